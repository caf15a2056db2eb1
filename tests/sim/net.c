/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network below the link: the product's link.c runs over these sockets in place of the kernel's. A
 * connection is two streams of bytes (stream.c). A process that dies leaves its kernel to say so, a machine
 * that loses power says nothing.
 */
#define _GNU_SOURCE
#include "tests/sim/net.h"

#include "ftcore/base/check.h"
#include "replicator/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SOCKETS  128u
#define CONNS    256u
#define FD_FIRST 2000

int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask);
int sim_poll(struct pollfd *fds, nfds_t n, int ms);
int sim_close(int fd);

static struct sim_sock socks[SOCKETS];
static struct sim_conn conns[CONNS];
static unsigned conns_used;
static struct {
    struct sim_conn *conn;
    uint64_t at;
} pending[SIM_NODES][2][16]; /* by way */
static unsigned pending_count[SIM_NODES][2];
static short waits_for[SIM_NODES]; /* what its replicator's wait is for, of its connection */

static bool listens(unsigned node, unsigned way)
{
    for (unsigned i = 0; i < SOCKETS; i++)
        if (socks[i].kind == LISTENER && socks[i].node == node && socks[i].way == way)
            return true;
    return false;
}

void sim_net_begin(void)
{
    for (unsigned i = 0; i < conns_used; i++)
        conns[i].used = false;
    conns_used = 0;
    memset(socks, 0, sizeof(socks));
    memset(pending_count, 0, sizeof(pending_count));
    sim_notices_begin();
    sim_seal_begin();
}

uint64_t sim_net_stuck(unsigned node)
{
    for (unsigned i = 0; i < SOCKETS; i++)
        if (socks[i].kind == STREAM && socks[i].node == node && socks[i].since)
            return sim.now - socks[i].since;
    return 0;
}

static int new_sock(unsigned kind, unsigned node, unsigned way)
{
    for (int i = 0; i < (int)SOCKETS; i++)
        if (socks[i].kind == FREE) {
            socks[i] = (struct sim_sock){.kind = kind, .node = node, .way = way};
            return FD_FIRST + i;
        }
    FT_CHECK(false, "no socket is left");
}

struct sim_sock *sim_sock_of(int fd)
{
    FT_CHECK(fd >= FD_FIRST && fd < FD_FIRST + (int)SOCKETS && socks[fd - FD_FIRST].kind != FREE,
             "descriptor %d is no socket", fd);
    return &socks[fd - FD_FIRST];
}

bool sim_sock_there(int fd)
{
    return socks[fd - FD_FIRST].kind != FREE;
}

static struct sim_conn *new_conn(unsigned from, unsigned to, unsigned way)
{
    struct sim_conn *c = NULL;

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
    c->way = way;
    for (unsigned e = 0; e < 2; e++) {
        struct sim_stream *s = &c->to[e];

        s->way = way;
        s->head = s->tail = 0;
        s->first = s->last = 0;
        s->newest = 0;
        s->fin_at = s->error_at = SIM_NEVER;
        s->error = 0;
    }
    return c;
}

static void conn_over(struct sim_conn *c)
{
    if (!c->open[0] && !c->open[1])
        c->used = false;
}

/* By the process, or by the kernel of a dead one at `at`. */
static void close_end(struct sim_sock *k, uint64_t at, bool silently)
{
    struct sim_conn *c = k->conn;
    struct sim_stream *in = &c->to[k->end], *out = &c->to[!k->end];

    c->open[k->end] = false;
    if (!silently && c->open[!k->end] && !c->broken) {
        uint64_t when = at + sim_net_delay();

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
    struct sim_sock *k = &socks[fd - FD_FIRST];

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
    for (unsigned way = 0; way < 2; way++) {
        for (unsigned i = 0; i < pending_count[node][way]; i++) {
            struct sim_sock k = {.kind = STREAM, .node = node, .end = 1, .conn = pending[node][way][i].conn};

            close_end(&k, at, silently);
        }
        pending_count[node][way] = 0;
    }
    sim_notices_gone(node);
}

void sim_net_intrude(unsigned to, const uint8_t *said, size_t len, bool closes)
{
    struct sim_conn *c;

    const struct sim_node *peer = sim_peer(&sim.node[to]);

    if (!listens(to, 0) || pending_count[to][0] == 16 || !peer)
        return;
    c = new_conn(peer->index, to, 0);
    c->broken = true; /* nobody is behind its other end */
    if (len)
        sim_stream_put(&c->to[1], said, len);
    if (closes)
        c->to[1].fin_at = c->to[1].newest > sim.now ? c->to[1].newest : sim.now;
    c->open[0] = false;
    pending[to][0][pending_count[to][0]].conn = c;
    pending[to][0][pending_count[to][0]++].at = sim.now;
}

static void break_conn(struct sim_conn *c)
{
    c->broken = true;
    for (unsigned e = 0; e < 2; e++) {
        struct sim_stream *s = &c->to[e];
        uint64_t at = sim.now + sim_draw(&sim.net, 3 * SIM_MS);

        if (!c->open[e] || s->error_at != SIM_NEVER)
            continue;
        sim_stream_cut(s, at);
        s->error = ETIMEDOUT;
        s->error_at = at;
    }
}

void sim_net_break(void)
{
    for (unsigned i = 0; i < conns_used; i++)
        if (conns[i].used)
            break_conn(&conns[i]);
}

void sim_net_break_way(unsigned way)
{
    for (unsigned i = 0; i < conns_used; i++)
        if (conns[i].used && conns[i].way == way)
            break_conn(&conns[i]);
}

void sim_net_inject(void)
{
    unsigned e = (unsigned)sim_draw(&sim.net, sim.nodes);
    bool reset = sim_draw(&sim.net, 2);
    uint64_t at = sim.now + sim_net_delay();

    sim_tell(SIM_NOBODY, "somebody on the way %s connections in %s's name", reset ? "resets" : "closes",
             sim_peer(&sim.node[e]) ? sim_peer(&sim.node[e])->name : "nobody");
    for (unsigned i = 0; i < conns_used; i++) {
        struct sim_conn *c = &conns[i];
        unsigned end = c->node[0] == e ? 0 : 1;
        struct sim_stream *s = &c->to[end];

        if (!c->used || c->broken || c->node[end] != e || !c->open[end] || s->error_at != SIM_NEVER ||
            s->fin_at != SIM_NEVER)
            continue;
        sim_stream_cut(s, at);
        s->error = ECONNRESET;
        *(reset ? &s->error_at : &s->fin_at) = at;
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

/* 10.9.0.1 is a's, 10.9.0.2 is b's, and so on; 10.9.1.1 is a's on the second way. */
static unsigned node_of(const struct sockaddr_in *at)
{
    return (ntohl(at->sin_addr.s_addr) & 0xff) - 1;
}

static unsigned way_of(const struct sockaddr_in *at)
{
    return ntohl(at->sin_addr.s_addr) >> 8 & 1;
}

void rp_device(const struct sockaddr_in *at, char device[IF_NAMESIZE])
{
    (void)at;
    device[0] = '\0';
}

int rp_listen(const struct sockaddr_in *at, const char *device, struct ft_fault *fault)
{
    (void)device;
    if (sim_refuses())
        return ft_fail(fault, FT_EBUSY, "the address is taken");
    return new_sock(LISTENER, node_of(at), way_of(at));
}

int rp_datagrams(const struct sockaddr_in *at, const char *device, struct ft_fault *fault)
{
    (void)device;
    if (sim_refuses())
        return ft_fail(fault, FT_EBUSY, "the address is taken");
    return new_sock(DATAGRAMS, node_of(at), way_of(at));
}

int rp_accept(int listener, const struct in_addr from[], unsigned n, unsigned *who, uint64_t *strangers)
{
    unsigned node = sim_sock_of(listener)->node, way = sim_sock_of(listener)->way;
    int fd;

    (void)strangers;
    if (!pending_count[node][way] || pending[node][way][0].at > sim.now || sim_net_blocked(node, way))
        return -1;
    fd = new_sock(STREAM, node, way);
    sim_sock_of(fd)->conn = pending[node][way][0].conn;
    sim_sock_of(fd)->end = 1;
    for (*who = 0; *who < n && (ntohl(from[*who].s_addr) & 0xff) - 1 != pending[node][way][0].conn->node[0];)
        ++*who;
    FT_CHECK(*who < n, "nobody of whom node %u knows connects to it", node);
    memmove(&pending[node][way][0], &pending[node][way][1],
            --pending_count[node][way] * sizeof(pending[node][way][0]));
    return fd;
}

int rp_connect(const struct sockaddr_in *local, const struct sockaddr_in *peer, const char *device)
{
    int fd = sim_troubled(50) ? -1 : new_sock(CONNECTING, node_of(local), way_of(local));

    (void)device;
    if (fd < 0)
        return -1;

    sim_sock_of(fd)->peer = node_of(peer);
    sim_sock_of(fd)->at = sim.now + sim_net_delay() + sim_net_delay();
    return fd;
}

int rp_connected(int fd)
{
    struct sim_sock *k = sim_sock_of(fd);

    if (k->kind == STREAM)
        return 1;
    if (sim.now < k->at || sim_net_blocked(k->node, k->way) || sim_net_blocked(k->peer, k->way) ||
        !sim.node[k->peer].powered)
        return 0;
    unsigned *count = &pending_count[k->peer][k->way];

    if (!listens(k->peer, k->way) || *count == 16)
        return -1;
    k->kind = STREAM;
    k->end = 0;
    k->conn = new_conn(k->node, k->peer, k->way);
    pending[k->peer][k->way][*count].conn = k->conn;
    pending[k->peer][k->way][(*count)++].at = sim.now + sim_net_delay();
    return 1;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

static short events_of(int fd, short wanted)
{
    const struct sim_sock *k = sim_sock_of(fd);
    struct sim_stream *s;

    switch (k->kind) {
    case LISTENER:
        return pending_count[k->node][k->way] && pending[k->node][k->way][0].at <= sim.now &&
                       !sim_net_blocked(k->node, k->way)
                   ? POLLIN
                   : 0;
    case DATAGRAMS:
        return k->way == 0 && sim_notice_there(k->node) >= 0 ? POLLIN : 0;
    case CONNECTING:
        return sim.now >= k->at && !sim_net_blocked(k->node, k->way) && !sim_net_blocked(k->peer, k->way) &&
                       sim.node[k->peer].powered
                   ? POLLOUT
                   : 0;
    default:
        s = &k->conn->to[k->end];
        if ((wanted & POLLRDHUP) && sim_stream_ended(s, k->node))
            return POLLRDHUP;
        if ((wanted & POLLIN) &&
            (sim_stream_arrived(s, k->node) || (s->first == s->last && sim_stream_ended(s, k->node))))
            return POLLIN;
        s = &k->conn->to[!k->end];
        return (wanted & POLLOUT) && s->tail - s->head < sim_send_room() ? POLLOUT : 0;
    }
}

static int look_at_fds(struct pollfd *fds, nfds_t n)
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
    return look_at_fds(fds, n);
}

int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    uint64_t ns = (uint64_t)time->tv_sec * 1000000000ull + (uint64_t)time->tv_nsec;

    (void)mask;
    waits_for[sim_current()->index] = fds[0].events & (POLLIN | POLLRDHUP);
    if (ns == 0 || look_at_fds(fds, n))
        sim_let_others(); /* a look costs time, too */
    else
        sim_sleep(ns, true);
    return look_at_fds(fds, n);
}

bool sim_net_ready(unsigned node)
{
    for (int i = 0; i < (int)SOCKETS; i++)
        if (socks[i].kind != FREE && socks[i].node == node &&
            events_of(FD_FIRST + i, waits_for[node]) & ~POLLOUT)
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
