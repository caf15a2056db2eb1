/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network below the link: the product's link.c runs over these sockets in place of the kernel's. A
 * connection is two streams of bytes, each in order and with its own delays; what a partition holds back
 * arrives after it. A process that dies leaves its kernel to say so, a machine that loses power says nothing.
 */
#define _GNU_SOURCE
#include "tests/sim/sim.h"

#include "ftcore/base/check.h"
#include "replicator/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SOCKETS   128u
#define CONNS     256u
#define SEGMENTS  4096u
#define WORDS     16u
#define FD_FIRST  2000
#define SEND_ROOM (192u << 10) /* bytes under way, as a socket's buffers have it */
#define NARROW    (4u << 10)   /* … in a narrow seed */

ssize_t sim_recv(int fd, void *to, size_t size, int flags);
ssize_t sim_recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *len);
ssize_t sim_send(int fd, const void *from, size_t size, int flags);
int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask);
int sim_poll(struct pollfd *fds, nfds_t n, int ms);
int sim_close(int fd);

struct stream { /* towards one end */
    uint8_t *bytes;
    size_t room, head, tail;
    struct {
        uint64_t at;
        size_t end;
    } segment[SEGMENTS]; /* bytes up to `end` arrive at `at` */
    uint32_t first, last;
    uint64_t newest;
    uint64_t fin_at, error_at; /* SIM_NEVER */
    int error;
};

struct conn {
    bool used;
    bool open[2]; /* whose end still has a socket */
    bool broken;  /* it timed out, and kernels say no more of it */
    unsigned node[2];
    struct stream to[2];
};

struct sock {
    enum { FREE, LISTENER, DATAGRAMS, CONNECTING, STREAM } kind;
    unsigned node, end, peer;
    struct conn *conn;
    uint64_t at;    /* CONNECTING: answered then */
    uint64_t since; /* it takes nothing; 0: it does */
};

static struct sock socks[SOCKETS];
static struct conn conns[CONNS];
static unsigned conns_used;
static struct {
    struct conn *conn;
    uint64_t at;
} pending[2][16];
static unsigned pending_count[2];
static struct {
    uint8_t bytes[FT_DEATH_NOTICE_BYTES];
    size_t len;
    bool stranger; /* from another host */
    uint64_t at;
} words[2][WORDS];
static unsigned word_count[2];

static uint64_t delay(void)
{
    uint64_t d = 10 * SIM_US + sim_draw(&sim.net, sim.plan.delay);

    if (sim_chance(&sim.net, 10))
        d += sim_draw(&sim.net, 3 * SIM_MS);
    if (sim.now < sim.slow_until)
        d += sim_draw(&sim.net, 6 * SIM_MS);
    return d;
}

static bool listens(unsigned node)
{
    for (unsigned i = 0; i < SOCKETS; i++)
        if (socks[i].kind == LISTENER && socks[i].node == node)
            return true;
    return false;
}

static bool blocked(unsigned to)
{
    return sim.now < sim.link_blocked[to];
}

void sim_net_begin(void)
{
    for (unsigned i = 0; i < conns_used; i++)
        conns[i].used = false;
    conns_used = 0;
    memset(socks, 0, sizeof(socks));
    memset(pending_count, 0, sizeof(pending_count));
    memset(word_count, 0, sizeof(word_count));
}

static size_t send_room(void)
{
    return sim.plan.narrow && !sim.faults_over ? NARROW : SEND_ROOM;
}

uint64_t sim_net_stuck(unsigned node)
{
    for (unsigned i = 0; i < SOCKETS; i++)
        if (socks[i].kind == STREAM && socks[i].node == node && socks[i].since)
            return sim.now - socks[i].since;
    return 0;
}

static int new_sock(unsigned kind, unsigned node)
{
    for (int i = 0; i < (int)SOCKETS; i++)
        if (socks[i].kind == FREE) {
            socks[i] = (struct sock){.kind = kind, .node = node};
            return FD_FIRST + i;
        }
    FT_CHECK(false, "no socket is left");
}

static struct sock *sock_of(int fd)
{
    FT_CHECK(fd >= FD_FIRST && fd < FD_FIRST + (int)SOCKETS && socks[fd - FD_FIRST].kind != FREE,
             "descriptor %d is no socket", fd);
    return &socks[fd - FD_FIRST];
}

static struct conn *new_conn(unsigned from, unsigned to)
{
    struct conn *c = NULL;

    for (unsigned i = 0; i < CONNS && !c; i++)
        if (!conns[i].used) {
            c = &conns[i];
            conns_used = i + 1 > conns_used ? i + 1 : conns_used;
        }
    FT_CHECK(c, "more than %u connections", CONNS);
    c->used = c->open[0] = c->open[1] = true;
    c->broken = false;
    c->node[0] = from;
    c->node[1] = to;
    for (unsigned e = 0; e < 2; e++) {
        struct stream *s = &c->to[e];

        s->head = s->tail = 0;
        s->first = s->last = 0;
        s->newest = 0;
        s->fin_at = s->error_at = SIM_NEVER;
        s->error = 0;
    }
    return c;
}

static void conn_over(struct conn *c)
{
    if (!c->open[0] && !c->open[1])
        c->used = false;
}

/* ---- streams ----------------------------------------------------------------------------------- */

static size_t arrived(struct stream *s, unsigned node)
{
    size_t end = s->head;

    if (blocked(node))
        return 0;
    for (uint32_t i = s->first; i != s->last && s->segment[i % SEGMENTS].at <= sim.now; i++)
        end = s->segment[i % SEGMENTS].end;
    return end - s->head;
}

static bool ended(const struct stream *s, unsigned node)
{
    return !blocked(node) && (s->fin_at <= sim.now || s->error_at <= sim.now);
}

static void put(struct stream *s, const uint8_t *bytes, size_t n)
{
    if (s->head == s->tail && s->first == s->last)
        s->head = s->tail = 0;
    if (s->tail + n > s->room) {
        s->room = (s->tail + n) * 2;
        s->bytes = realloc(s->bytes, s->room);
        FT_CHECK(s->bytes, "no memory for a stream");
    }
    memcpy(s->bytes + s->tail, bytes, n);
    if (sim.flips && n > 0) {
        size_t at = (size_t)sim_draw(&sim.net, n);

        sim.flips--;
        s->bytes[s->tail + at] ^= (uint8_t)(1u << sim_draw(&sim.net, 8));
        sim_tell(SIM_NOBODY, "a bit of the link's stream flips");
    }
    s->tail += n;
    if (sim.now + delay() > s->newest)
        s->newest = sim.now + delay();
    s->segment[s->last % SEGMENTS].at = s->newest;
    s->segment[s->last % SEGMENTS].end = s->tail;
    s->last++;
}

static void take(struct stream *s, size_t n)
{
    s->head += n;
    while (s->first != s->last && s->segment[s->first % SEGMENTS].end <= s->head)
        s->first++;
}

ssize_t sim_recv(int fd, void *to, size_t size, int flags)
{
    struct sock *k = sock_of(fd);
    struct stream *s = &k->conn->to[k->end];
    size_t there = arrived(s, k->node);

    if (sim_troubled(3)) {
        errno = EINTR;
        return -1;
    }

    if (there > size)
        there = size;
    if (there) {
        memcpy(to, s->bytes + s->head, there);
        if (!(flags & MSG_PEEK))
            take(s, there);
        return (ssize_t)there;
    }
    if (blocked(k->node) || s->first != s->last) {
        errno = EAGAIN;
        return -1;
    }
    if (s->error_at <= sim.now && s->error_at <= s->fin_at) {
        errno = s->error;
        return -1;
    }
    if (s->fin_at <= sim.now)
        return 0;
    errno = EAGAIN;
    return -1;
}

ssize_t sim_send(int fd, const void *from, size_t size, int flags)
{
    struct sock *k = sock_of(fd);
    struct conn *c = k->conn;
    struct stream *s = &c->to[!k->end], *back = &c->to[k->end];

    (void)flags;
    if (sim_troubled(3)) {
        errno = EINTR;
        return -1;
    }
    if (back->error_at <= sim.now && !blocked(k->node)) {
        errno = back->error == ECONNRESET ? EPIPE : back->error;
        return -1;
    }
    if (!c->open[!k->end]) {
        /* Its kernel knows no such connection, once there is a kernel and a way to it. */
        if (!c->broken && sim.node[c->node[!k->end]].powered && !blocked(c->node[!k->end]) &&
            back->error_at == SIM_NEVER) {
            back->error = ECONNRESET;
            back->error_at = sim.now + delay() + delay();
        }
        return (ssize_t)size;
    }
    if (s->error_at != SIM_NEVER) /* nothing follows what was lost: a chunk of a frame stays one */
        return (ssize_t)size;
    size_t waiting = s->tail - s->head, n = waiting >= send_room() ? 0 : send_room() - waiting;

    n = n < size ? n : size;
    if (n == 0 || s->last - s->first >= SEGMENTS) {
        k->since = k->since ? k->since : sim.now;
        errno = EAGAIN;
        return -1;
    }
    k->since = 0;
    if (sim_narrow(100)) /* a chunk of it */
        n = 1 + (size_t)sim_draw(&sim.width, n);
    put(s, from, n);
    return (ssize_t)n;
}

/* By the process, or by the kernel of a dead one at `at`. */
static void close_end(struct sock *k, uint64_t at, bool silently)
{
    struct conn *c = k->conn;
    struct stream *in = &c->to[k->end], *out = &c->to[!k->end];

    c->open[k->end] = false;
    if (!silently && c->open[!k->end] && !c->broken) {
        uint64_t when = at + delay();

        when = when > out->newest ? when : out->newest;
        if (in->head != in->tail) { /* data that nobody read: reset */
            out->error = ECONNRESET;
            out->error_at = when < out->error_at ? when : out->error_at;
        } else if (when < out->fin_at) {
            out->fin_at = when;
        }
    }
    conn_over(c);
}

int sim_close(int fd)
{
    struct sock *k = &socks[fd - FD_FIRST];

    if (k->kind == STREAM) /* FREE: the kernel of a dead process has closed it */
        close_end(k, sim.now, false);
    k->kind = FREE;
    return 0;
}

void sim_net_gone(unsigned node, bool silently)
{
    /* The kernel takes a dead process's memory down before it closes its sockets. */
    uint64_t at = sim.now + sim_draw(&sim.net, sim_chance(&sim.net, 300) ? 8 * SIM_MS : SIM_MS / 2);

    for (unsigned i = 0; i < SOCKETS; i++)
        if (socks[i].kind != FREE && socks[i].node == node) {
            if (socks[i].kind == STREAM)
                close_end(&socks[i], at, silently);
            socks[i].kind = FREE;
        }
    for (unsigned i = 0; i < pending_count[node]; i++) {
        struct sock k = {.kind = STREAM, .node = node, .end = 1, .conn = pending[node][i].conn};

        close_end(&k, at, silently);
    }
    pending_count[node] = word_count[node] = 0;
}

void sim_net_intrude(unsigned to, const uint8_t *said, size_t len, bool closes)
{
    struct conn *c;

    if (!listens(to) || pending_count[to] == 16)
        return;
    c = new_conn(!to, to);
    c->broken = true; /* nobody is behind its other end */
    if (len)
        put(&c->to[1], said, len);
    if (closes)
        c->to[1].fin_at = c->to[1].newest > sim.now ? c->to[1].newest : sim.now;
    c->open[0] = false;
    pending[to][pending_count[to]].conn = c;
    pending[to][pending_count[to]++].at = sim.now;
}

void sim_net_break(void)
{
    for (unsigned i = 0; i < conns_used; i++) {
        struct conn *c = &conns[i];

        if (!c->used)
            continue;
        c->broken = true;
        for (unsigned e = 0; e < 2; e++) {
            struct stream *s = &c->to[e];
            uint64_t at = sim.now + sim_draw(&sim.net, 3 * SIM_MS);

            if (!c->open[e] || s->error_at != SIM_NEVER)
                continue;
            /* What has not arrived by then never will: often half a frame. */
            while (s->first != s->last && s->segment[(s->last - 1) % SEGMENTS].at > at)
                s->last--;
            s->tail = s->first == s->last ? s->head : s->segment[(s->last - 1) % SEGMENTS].end;
            if (s->tail - s->head > 8 && sim_chance(&sim.net, 300)) {
                s->tail -= sim_draw(&sim.net, s->tail - s->head - 1);
                while (s->last - s->first > 1 && s->segment[(s->last - 2) % SEGMENTS].end >= s->tail)
                    s->last--;
                s->segment[(s->last - 1) % SEGMENTS].end = s->tail;
            }
            s->error = ETIMEDOUT;
            s->error_at = at;
        }
    }
}

/* ---- making connections: in place of socket.c --------------------------------------------------- */

int rp_address(struct sockaddr_in *out, const char *host, uint16_t port, struct ft_fault *fault)
{
    if (sim_refuses())
        return ft_fail(fault, FT_EINVAL, "address %s", host);
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    return inet_pton(AF_INET, host, &out->sin_addr) == 1 ? 0 : ft_fail(fault, FT_EINVAL, "address %s", host);
}

/* 10.9.0.1 is a's, 10.9.0.2 is b's. */
static unsigned node_of(const struct sockaddr_in *at)
{
    return (ntohl(at->sin_addr.s_addr) & 0xff) - 1;
}

int rp_listen(const struct sockaddr_in *at, struct ft_fault *fault)
{
    if (sim_refuses())
        return ft_fail(fault, FT_EBUSY, "the address is taken");
    return new_sock(LISTENER, node_of(at));
}

int rp_datagrams(const struct sockaddr_in *at, struct ft_fault *fault)
{
    if (sim_refuses())
        return ft_fail(fault, FT_EBUSY, "the address is taken");
    return new_sock(DATAGRAMS, node_of(at));
}

int rp_accept(int listener, const struct sockaddr_in *peer, uint64_t *strangers)
{
    unsigned node = sock_of(listener)->node;
    int fd;

    (void)peer;
    (void)strangers;
    if (!pending_count[node] || pending[node][0].at > sim.now || blocked(node))
        return -1;
    fd = new_sock(STREAM, node);
    sock_of(fd)->conn = pending[node][0].conn;
    sock_of(fd)->end = 1;
    memmove(&pending[node][0], &pending[node][1], --pending_count[node] * sizeof(pending[node][0]));
    return fd;
}

int rp_connect(const struct sockaddr_in *local, const struct sockaddr_in *peer)
{
    int fd = sim_troubled(50) ? -1 : new_sock(CONNECTING, node_of(local));

    if (fd < 0)
        return -1;

    sock_of(fd)->peer = node_of(peer);
    sock_of(fd)->at = sim.now + delay() + delay();
    return fd;
}

int rp_connected(int fd)
{
    struct sock *k = sock_of(fd);

    if (k->kind == STREAM)
        return 1;
    if (sim.now < k->at || blocked(0) || blocked(1) || !sim.node[k->peer].powered)
        return 0;
    if (!listens(k->peer) || pending_count[k->peer] == 16)
        return -1;
    k->kind = STREAM;
    k->end = 0;
    k->conn = new_conn(k->node, k->peer);
    pending[k->peer][pending_count[k->peer]].conn = k->conn;
    pending[k->peer][pending_count[k->peer]++].at = sim.now + delay();
    return 1;
}

/* ---- the guardians' datagrams ------------------------------------------------------------------- */

void sim_net_death_notice(unsigned to, uint64_t incarnation, uint64_t view, uint64_t at)
{
    struct ft_death_notice word = {.incarnation = incarnation, .view = view};

    if (word_count[to] == WORDS)
        return;
    ft_death_notice_encode(&word, words[to][word_count[to]].bytes);
    if (sim_troubled(100)) /* damaged on its way; or somebody else's, who speaks another language */
        words[to][word_count[to]].bytes[sim_draw(&sim.trouble, FT_DEATH_NOTICE_BYTES)] ^= 1;
    words[to][word_count[to]].len = sim_troubled(50) ? 7 : FT_DEATH_NOTICE_BYTES;
    words[to][word_count[to]].stranger = sim_troubled(50);
    words[to][word_count[to]++].at = at;
}

static int word_there(unsigned node)
{
    for (unsigned i = 0; i < word_count[node] && !blocked(node); i++)
        if (words[node][i].at <= sim.now)
            return (int)i;
    return -1;
}

ssize_t sim_recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *len)
{
    unsigned node = sock_of(fd)->node;
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)from;
    int i = word_there(node);

    (void)flags;
    (void)len;
    if (i < 0) {
        errno = EAGAIN;
        return -1;
    }
    bool stranger = words[node][i].stranger;

    size = size < words[node][i].len ? size : words[node][i].len;
    memcpy(to, words[node][i].bytes, size);
    memmove(&words[node][i], &words[node][i + 1],
            (--word_count[node] - (unsigned)i) * sizeof(words[node][0]));
    *in = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(stranger ? 0x0a090009u : 0x0a090001u + !node)};
    return (ssize_t)size;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

static short events_of(int fd, short wanted)
{
    const struct sock *k = sock_of(fd);
    struct stream *s;

    switch (k->kind) {
    case LISTENER:
        return pending_count[k->node] && pending[k->node][0].at <= sim.now && !blocked(k->node) ? POLLIN : 0;
    case DATAGRAMS:
        return word_there(k->node) >= 0 ? POLLIN : 0;
    case CONNECTING:
        return sim.now >= k->at && !blocked(0) && !blocked(1) && sim.node[k->peer].powered ? POLLOUT : 0;
    default:
        s = &k->conn->to[k->end];
        if ((wanted & POLLIN) && (arrived(s, k->node) || (s->first == s->last && ended(s, k->node))))
            return POLLIN;
        s = &k->conn->to[!k->end];
        return (wanted & POLLOUT) && s->tail - s->head < send_room() ? POLLOUT : 0;
    }
}

static int look(struct pollfd *fds, nfds_t n)
{
    int ready = 0;

    for (nfds_t i = 0; i < n; i++) {
        fds[i].revents = fds[i].fd < 0 ? 0 : events_of(fds[i].fd, fds[i].events);
        ready += fds[i].revents != 0;
    }
    return ready;
}

int sim_poll(struct pollfd *fds, nfds_t n, int ms)
{
    (void)ms; /* a look, no more */
    return look(fds, n);
}

int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    uint64_t ns = (uint64_t)time->tv_sec * 1000000000ull + (uint64_t)time->tv_nsec;

    (void)mask;
    if (ns == 0 || look(fds, n))
        sim_let_others(); /* a look costs time, too */
    else
        sim_sleep(ns, true);
    return look(fds, n);
}

bool sim_net_ready(unsigned node)
{
    for (int i = 0; i < (int)SOCKETS; i++)
        if (socks[i].kind != FREE && socks[i].node == node && (events_of(FD_FIRST + i, POLLIN) & POLLIN))
            return true;
    return false;
}

/* ---- what the system says of the connection: by the seed ---- */

bool rp_times(int fd, uint64_t *busy_us, uint64_t *full_us)
{
    (void)fd;
    *busy_us = sim.now / 1000;
    *full_us = sim.seed % 2 ? *busy_us : 0;
    return sim.seed % 5 != 0;
}
