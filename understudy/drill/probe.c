/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prober. Its parent makes the shared table, forks the children into their namespaces, and reads figures
 * out of the table. The sending child sends datagrams on an absolute schedule from one thread, takes their
 * answers in another, and has TCP flows in a third; what a flow carries at a position follows from the
 * position alone, so either end can check it. The other child is the echo server.
 */
#define _GNU_SOURCE
#include "understudy/drill/probe.h"
#include "ftcore/base/clock.h"
#include "understudy/pair/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* What the prober's sending child writes and its parent reads: one shared mapping. */

#define ND_PROBE_BYTES 64u

struct nd_probe_slot {       /* one datagram */
    _Atomic uint64_t sent;   /* ns; 0: not yet */
    _Atomic uint64_t answer; /* ns, when the first one came; 0: none */
    _Atomic uint32_t copies; /* answers seen */
    _Atomic uint32_t odd;    /* 1: came after a later one, 2: other bytes than were sent */
};

struct nd_probe_flow {
    _Atomic uint64_t count; /* arrivals noted */
    _Atomic bool broken;
};

struct nd_probe_table {
    uint64_t run;      /* marks this run's datagrams */
    uint32_t capacity; /* slots */
    uint32_t arrivals_capacity, flow_capacity;
    _Atomic bool stop, serving, sending;
    _Atomic uint64_t next;     /* slots used */
    _Atomic uint64_t arrivals; /* of datagrams */
    _Atomic uint64_t strange;  /* answers that fit no slot */
    _Atomic uint64_t refused;
    _Atomic uint64_t late_ns;
    struct nd_probe_flow flow[ND_PROBE_FLOWS_MAX];
    char fault[256]; /* of a child that could not begin */
};

struct nd_prober {
    struct nd_probe_options options;
    char address[64];
    struct nd_probe_table
        *table; /* then slots, arrivals, arrivals of each flow, in one mapping of `size` bytes */
    size_t size;
    struct nd_probe_slot *slots;
    _Atomic uint64_t *arrivals;
    _Atomic uint64_t *flow_arrivals; /* flow_capacity for each flow */
    pid_t sender, server;
    int socket; /* the sender's, for datagrams */
};

/* A real-time priority where permitted, for the calling thread. */
static void hurry(void)
{
    struct sched_param p = {.sched_priority = 20};
    sched_setscheduler(0, SCHED_FIFO, &p); /* without permission it stays as it is: late_ms shows */
}

/* ==== the sending child ============================================================================= */

#define FLOW_CHUNK   64u
#define FLOW_WINDOW  65536u          /* bytes under way at most: a flow that is cut off does not pile up */
#define CONNECT_WAIT 2               /* s */
#define NOTE_EACH    (1000u * 1000u) /* ns between two noted arrivals of a flow */
#define ANSWERS_MS   5000            /* so late may an answer be on a machine that has much to do */

struct datagram {
    uint64_t run, number, sent;
    uint64_t fill[5];
};
_Static_assert(sizeof(struct datagram) == ND_PROBE_BYTES, "a probe is 64 bytes");

static void make_datagram(struct datagram *d, uint64_t run, uint64_t number, uint64_t sent)
{
    d->run = run;
    d->number = number;
    d->sent = sent;
    for (unsigned i = 0; i < 5; i++)
        d->fill[i] = (run ^ number * 0x9e3779b97f4a7c15u) + i * sent;
}

static struct sockaddr_in target_address(const struct nd_prober *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p->options.port)};
    inet_pton(AF_INET, p->address, &a.sin_addr);
    return a;
}

static void sleep_until(uint64_t t)
{
    struct timespec at = {.tv_sec = (time_t)(t / 1000000000u), .tv_nsec = (long)(t % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

/* ── datagrams ── */

static void note_answer(struct nd_prober *p, const struct datagram *d, ssize_t length, uint64_t now,
                        uint64_t *highest)
{
    struct nd_probe_table *t = p->table;
    if (length != sizeof *d || d->run != t->run || d->number >= atomic_load(&t->next)) {
        atomic_fetch_add(&t->strange, 1);
        return;
    }
    struct nd_probe_slot *s = &p->slots[d->number];
    struct datagram expected;
    make_datagram(&expected, t->run, d->number, s->sent);
    if (memcmp(&expected, d, sizeof expected) != 0)
        atomic_fetch_or(&s->odd, 2);
    if (d->number < *highest && s->copies == 0)
        atomic_fetch_or(&s->odd, 1);
    if (d->number > *highest)
        *highest = d->number;
    if (s->copies == 0)
        s->answer = now;
    atomic_fetch_add(&s->copies, 1);
    uint64_t n = atomic_load(&t->arrivals);
    if (n < t->arrivals_capacity) {
        p->arrivals[n] = now;
        atomic_store(&t->arrivals, n + 1);
    }
}

static void *receive_answers(void *arg)
{
    struct nd_prober *p = arg;
    uint64_t highest = 0;
    struct datagram d[2]; /* room to see that an answer is too long */
    hurry();
    for (;;) {
        ssize_t n = recv(p->socket, d, sizeof d, 0);
        uint64_t now = ft_now();
        if (n >= 0)
            note_answer(p, d, n, now, &highest);
        else if (errno != EINTR)
            atomic_fetch_add(&p->table->refused, 1);
    }
    return NULL;
}

static void send_scheduled(struct nd_prober *p)
{
    struct nd_probe_table *t = p->table;
    uint64_t interval = p->options.interval_us * 1000u, at = ft_now() + interval;
    struct datagram d;
    for (uint64_t i = 0; i < t->capacity && !atomic_load(&t->stop); i++, at += interval) {
        sleep_until(at);
        uint64_t now = ft_now();
        if (now - at > atomic_load(&t->late_ns))
            atomic_store(&t->late_ns, now - at);
        make_datagram(&d, t->run, i, now);
        p->slots[i].sent = now;
        atomic_store(&t->next, i + 1);
        /* Refused: an ICMP error to an earlier one, delivered here instead of to the receiver. */
        if (send(p->socket, &d, sizeof d, MSG_DONTWAIT) < 0)
            atomic_fetch_add(&t->refused, 1);
    }
}

/* A busy machine may give us no processor for a second; what comes then is not lost here. Without the right,
 * as much as there is. */
static void make_room(int s)
{
    int room = 8 << 20;
    if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
        setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
}

static int send_probes(struct nd_prober *p, struct ft_fault *fault)
{
    struct sockaddr_in to = target_address(p);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pthread_t thread;
    if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) < 0)
        return ft_fail(fault, FT_EIO, "%s: %s", p->address, strerror(errno));
    make_room(s);
    p->socket = s;
    if (pthread_create(&thread, NULL, receive_answers, p) != 0)
        return ft_fail(fault, FT_ENOMEM, "no thread");
    hurry();
    atomic_store(&p->table->sending, true);
    send_scheduled(p);
    for (;;)
        pause(); /* the receiver goes on until the parent ends us */
}

/* ── TCP flows ── */

static struct flow {
    int socket;
    uint64_t sent, received; /* bytes */
    uint64_t noted;
} flows[ND_PROBE_FLOWS_MAX]; /* of this child */

static uint8_t flow_byte(uint32_t flow, uint64_t position)
{
    return (uint8_t)((position * 0x9e3779b97f4a7c15u) >> 32 ^ flow * 37u);
}

static void flow_broke(struct nd_prober *p, uint32_t i)
{
    close(flows[i].socket);
    flows[i].socket = -1;
    atomic_store(&p->table->flow[i].broken, true);
}

static void flow_send(struct nd_prober *p, uint32_t i)
{
    struct flow *f = &flows[i];
    uint8_t chunk[FLOW_CHUNK];
    if (f->socket < 0 || f->sent - f->received > FLOW_WINDOW)
        return;
    for (unsigned k = 0; k < FLOW_CHUNK; k++)
        chunk[k] = flow_byte(i, f->sent + k);
    ssize_t n = send(f->socket, chunk, sizeof chunk, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        f->sent += (uint64_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        flow_broke(p, i);
}

static void flow_receive(struct nd_prober *p, uint32_t i)
{
    struct flow *f = &flows[i];
    uint8_t bytes[4096];
    ssize_t n = recv(f->socket, bytes, sizeof bytes, MSG_DONTWAIT);
    uint64_t now = ft_now();
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        flow_broke(p, i);
        return;
    }
    for (ssize_t k = 0; k < n; k++)
        if (bytes[k] != flow_byte(i, f->received + (uint64_t)k)) {
            atomic_fetch_add(&p->table->strange, 1);
            break;
        }
    f->received += (uint64_t)n;
    uint64_t count = atomic_load(&p->table->flow[i].count);
    if (now - f->noted < NOTE_EACH || count >= p->table->flow_capacity)
        return;
    f->noted = now;
    p->flow_arrivals[(uint64_t)i * p->table->flow_capacity + count] = now;
    atomic_store(&p->table->flow[i].count, count + 1);
}

static void *run_flows(void *arg)
{
    struct nd_prober *p = arg;
    struct pollfd polls[ND_PROBE_FLOWS_MAX];
    uint64_t interval = p->options.flow_interval_us * 1000u, at = ft_now() + interval;
    hurry();
    for (;;) {
        uint64_t now = ft_now();
        if (now >= at) {
            for (uint32_t i = 0; i < p->options.flows && !atomic_load(&p->table->stop); i++)
                flow_send(p, i);
            at += interval;
            continue;
        }
        for (uint32_t i = 0; i < p->options.flows; i++)
            polls[i] = (struct pollfd){.fd = flows[i].socket, .events = POLLIN};
        struct timespec wait = {.tv_sec = (time_t)((at - now) / 1000000000u),
                                .tv_nsec = (long)((at - now) % 1000000000u)};
        if (ppoll(polls, p->options.flows, &wait, NULL) <= 0)
            continue;
        for (uint32_t i = 0; i < p->options.flows; i++)
            if (polls[i].fd >= 0 && polls[i].revents)
                flow_receive(p, i);
    }
    return NULL;
}

/* Sends and receives never wait; only this does. */
static int connect_flow(struct flow *f, const struct sockaddr_in *to)
{
    const struct timeval patience = {.tv_sec = CONNECT_WAIT};
    int one = 1;
    f->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(f->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(f->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connect(f->socket, (const struct sockaddr *)to, sizeof *to);
}

static int send_all_flows(struct nd_prober *p, struct ft_fault *fault)
{
    struct sockaddr_in to = target_address(p);
    pthread_t thread;
    for (uint32_t i = 0; i < p->options.flows; i++)
        if (connect_flow(&flows[i], &to) < 0)
            return ft_fail(fault, FT_EIO, "TCP to %s port %u: %s", p->address, p->options.port,
                           strerror(errno == EINPROGRESS ? ETIMEDOUT : errno));
    if (pthread_create(&thread, NULL, run_flows, p) != 0)
        return ft_fail(fault, FT_ENOMEM, "no thread");
    return FT_OK;
}

/* ==== the parent and the echo server ================================================================ */

/* ── the echo server: a thread for datagrams and one a TCP flow; every byte is sent back as it came ── */

/* What is left open when this fails goes with the process. */
static int open_socket(int type, const struct sockaddr_in *at)
{
    int one = 1, s = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (type == SOCK_DGRAM)
        make_room(s);
    bool good =
        bind(s, (const struct sockaddr *)at, sizeof *at) == 0 && (type == SOCK_DGRAM || listen(s, 64) == 0);
    return good ? s : -1;
}

static int listen_at(const char *address, uint16_t port, int sockets[2], struct ft_fault *fault)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
        return ft_fail(fault, FT_EINVAL, "%s: not a numeric IPv4 address", address);
    if ((sockets[0] = open_socket(SOCK_DGRAM, &at)) >= 0 && (sockets[1] = open_socket(SOCK_STREAM, &at)) >= 0)
        return FT_OK;
    return ft_fail(fault, errno == EADDRINUSE ? FT_EBUSY : FT_EIO, "%s port %u: %s", address, port,
                   strerror(errno));
}

static void *echo_datagrams(void *arg)
{
    int s = (int)(intptr_t)arg;
    uint8_t bytes[2048];
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(s, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
        if (n >= 0)
            (void)sendto(s, bytes, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&from, length);
    }
    return NULL;
}

/* One client's flow, until it ends. */
static void *echo_flow(void *arg)
{
    uint8_t bytes[16384];
    int s = (int)(intptr_t)arg;
    ssize_t n, sent = 0;
    while (sent >= 0 && (n = recv(s, bytes, sizeof bytes, 0)) > 0)
        for (ssize_t done = 0; done < n && sent >= 0; done += sent)
            sent = send(s, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
    close(s);
    return NULL;
}

static int start_thread(void *(*work)(void *), int socket)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, work, (void *)(intptr_t)socket);
    if (error == 0)
        pthread_detach(thread);
    return error;
}

static void echo_flows(const int sockets[2])
{
    int one = 1;
    hurry(); /* and the threads that it starts */
    if (start_thread(echo_datagrams, sockets[0]) != 0)
        _exit(1);
    for (;;) {
        int s = accept4(sockets[1], NULL, NULL, SOCK_CLOEXEC);
        if (s < 0)
            continue;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (start_thread(echo_flow, s) != 0)
            close(s);
    }
}

/* ── the children ── */

static int enter_space(const char *name, struct ft_fault *fault)
{
    char path[128];
    if (name == NULL || name[0] == 0)
        return FT_OK;
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_ENOENT, "namespace %s: %s", name,
                       strerror(errno));
    int bad = setns(fd, CLONE_NEWNET), error = errno;
    close(fd);
    if (bad)
        return ft_fail(fault, error == EPERM ? FT_EPERM : FT_EIO, "namespace %s: %s", name, strerror(error));
    return FT_OK;
}

static void serve_echoes(struct nd_prober *p)
{
    struct ft_fault fault = {""};
    int sockets[2] = {-1, -1};
    if (enter_space(p->options.to, &fault) < 0 ||
        listen_at(p->address, p->options.port, sockets, &fault) < 0) {
        memcpy(p->table->fault, fault.text, sizeof p->table->fault);
        return;
    }
    atomic_store(&p->table->serving, true);
    echo_flows(sockets);
}

static void send_all(struct nd_prober *p)
{
    struct ft_fault fault = {""};
    if (enter_space(p->options.from, &fault) < 0 || (p->options.flows > 0 && send_all_flows(p, &fault) < 0) ||
        send_probes(p, &fault) < 0)
        memcpy(p->table->fault, fault.text, sizeof p->table->fault);
}

/* Returns when the child has raised `flag`: it has begun. */
static int start_child(struct nd_prober *p, pid_t *child, void (*work)(struct nd_prober *),
                       _Atomic bool *flag, struct ft_fault *fault)
{
    *child = nd_child();
    if (*child == 0) {
        signal(SIGINT, SIG_IGN); /* the parent ends us */
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        work(p);
        _exit(1);
    }
    if (*child < 0)
        return ft_fail(fault, FT_EIO, "probe: fork: %s", strerror(errno));
    for (int i = 0; i < 3000 && !atomic_load(flag); i++) {
        if (waitpid(*child, NULL, WNOHANG) == *child) {
            *child = 0;
            return ft_fail(fault, FT_EIO, "probe: %s",
                           p->table->fault[0] ? p->table->fault : "its child ended at once");
        }
        nd_sleep(1000000u);
    }
    return atomic_load(flag) ? FT_OK : ft_fail(fault, FT_EIO, "probe: did not begin within 3 s");
}

static int make_table(struct nd_prober *p, struct ft_fault *fault)
{
    const struct nd_probe_options *o = &p->options;
    uint64_t slots = (uint64_t)o->seconds * 1000000u / o->interval_us + 1000;
    uint64_t flow = (uint64_t)o->seconds * 1000000u / 1000u + 1000; /* at most one arrival noted each ms */
    p->size = sizeof *p->table + slots * sizeof *p->slots + 2 * slots * 8 + o->flows * flow * 8;
    p->table = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->table == MAP_FAILED) {
        p->table = NULL;
        return ft_fail(fault, FT_ENOMEM, "probe: %zu bytes: %s", p->size, strerror(errno));
    }
    p->slots = (struct nd_probe_slot *)(p->table + 1);
    p->arrivals = (_Atomic uint64_t *)(p->slots + slots);
    p->flow_arrivals = p->arrivals + 2 * slots;
    p->table->capacity = (uint32_t)slots;
    p->table->arrivals_capacity = (uint32_t)(2 * slots);
    p->table->flow_capacity = (uint32_t)flow;
    if (getrandom(&p->table->run, sizeof p->table->run, 0) != sizeof p->table->run)
        p->table->run = ft_now();
    return FT_OK;
}

static int check_options(const struct nd_probe_options *o, struct ft_fault *fault)
{
    if (o->interval_us < 100 || o->interval_us > 1000000 || o->seconds < 1 || o->seconds > 7200 ||
        o->port == 0 || o->flows > ND_PROBE_FLOWS_MAX ||
        (o->flows > 0 && (o->flow_interval_us < 1000 || o->flow_interval_us > 1000000)) ||
        strlen(o->address) >= sizeof((struct nd_prober *)0)->address)
        return ft_fail(fault, FT_EINVAL, "probe: interval, seconds, flows, address or port out of range");
    return FT_OK;
}

int nd_probe_start(struct nd_prober **out, const struct nd_probe_options *options, struct ft_fault *fault)
{
    int error = check_options(options, fault);
    if (error < 0)
        return error;
    struct nd_prober *p = calloc(1, sizeof *p);
    if (p == NULL)
        return ft_fail(fault, FT_ENOMEM, "probe: no memory");
    p->options = *options;
    memcpy(p->address, options->address, strlen(options->address) + 1);
    error = make_table(p, fault);
    if (error == FT_OK && options->to != NULL)
        error = start_child(p, &p->server, serve_echoes, &p->table->serving, fault);
    if (error == FT_OK)
        error = start_child(p, &p->sender, send_all, &p->table->sending, fault);
    if (error < 0) {
        nd_probe_free(p);
        return error;
    }
    *out = p;
    return FT_OK;
}

/* Stops sending, waits `settle_ms` for answers under way, ends the children. Figures stay readable. */
static void stop_probe(struct nd_prober *p, uint32_t settle_ms)
{
    if (p->sender > 0) {
        atomic_store(&p->table->stop, true);
        nd_sleep(settle_ms * 1000000ull);
    }
    nd_child_kill(&p->sender);
    nd_child_kill(&p->server);
}

void nd_probe_free(struct nd_prober *p)
{
    if (p == NULL)
        return;
    stop_probe(p, 0);
    if (p->table != NULL)
        munmap(p->table, p->size);
    free(p);
}

/* The longest gap among `n` arrivals that touches [t0, t1]; the time since the last one counts up to t1. */
static uint64_t longest_silence(const _Atomic uint64_t *arrivals, uint64_t n, uint64_t t0, uint64_t t1,
                                uint64_t *begin)
{
    uint64_t best = 0, last = 0;
    *begin = 0;
    for (uint64_t i = 0; i < n && last <= t1; i++) {
        uint64_t t = arrivals[i];
        if (last != 0 && t >= t0 && t > last && t - last > best) {
            best = t - last;
            *begin = last;
        }
        last = t;
    }
    if (last != 0 && last < t1 && t1 - last > best) {
        best = t1 - last;
        *begin = last;
    }
    return best;
}

/* Of the datagrams, flow -1, or of a TCP flow. */
static const _Atomic uint64_t *arrivals_of(const struct nd_prober *p, int flow, uint64_t *count)
{
    *count = atomic_load(flow < 0 ? &p->table->arrivals : &p->table->flow[flow].count);
    return flow < 0 ? p->arrivals : p->flow_arrivals + (uint64_t)flow * p->table->flow_capacity;
}

uint64_t nd_probe_silence(const struct nd_prober *p, int flow, uint64_t t0, uint64_t t1, uint64_t *begin)
{
    uint64_t n;
    const _Atomic uint64_t *arrivals = arrivals_of(p, flow, &n);
    return longest_silence(arrivals, n, t0, t1, begin);
}

static void flow_figures(const struct nd_prober *p, uint64_t t0, uint64_t t1, struct nd_probe_figures *out)
{
    double silence[ND_PROBE_FLOWS_MAX]; /* in order */
    uint64_t begin;
    out->flows = p->options.flows;
    for (uint32_t f = 0; f < out->flows; f++) {
        double ms = (double)nd_probe_silence(p, (int)f, t0, t1, &begin) / 1e6;
        uint32_t at = f;
        for (; at > 0 && silence[at - 1] > ms; at--)
            silence[at] = silence[at - 1];
        silence[at] = ms;
        out->flows_broken += atomic_load(&p->table->flow[f].broken);
    }
    if (out->flows == 0)
        return;
    out->flow_worst_ms = silence[out->flows - 1];
    out->flow_silence_ms = silence[out->flows / 2];
}

void nd_probe_figures(const struct nd_prober *p, uint64_t t0, uint64_t t1, struct nd_probe_figures *out)
{
    const struct nd_probe_table *t = p->table;
    memset(out, 0, sizeof *out);
    out->asked_ns = ft_now();
    uint64_t n = atomic_load(&t->next), begin;
    for (uint64_t i = 0; i < n; i++) {
        const struct nd_probe_slot *s = &p->slots[i];
        uint64_t sent = s->sent;
        if (sent < t0 || sent > t1)
            continue;
        uint32_t copies = s->copies, odd = s->odd;
        uint64_t answer = s->answer;
        bool answered = answer != 0 && answer <= out->asked_ns;
        out->sent++;
        out->received += answered;
        out->lost += !answered;
        out->duplicated += copies > 1 ? copies - 1 : 0;
        out->reordered += odd & 1;
        out->contradicted += odd >> 1 & 1;
    }
    out->contradicted += atomic_load(&t->strange);
    out->refused = atomic_load(&t->refused);
    out->late_ms = (double)atomic_load(&t->late_ns) / 1e6;
    out->silence_ms = (double)nd_probe_silence(p, -1, t0, t1, &begin) / 1e6;
    flow_figures(p, t0, t1, out);
}

void nd_probe_await_answers(const struct nd_prober *p, uint64_t end)
{
    struct nd_probe_figures f;
    for (int waited = 0; waited < ANSWERS_MS; waited += 20) {
        nd_probe_figures(p, end, ft_now(), &f);
        if (f.received > 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
}

void nd_probe_arrivals(const struct nd_prober *p, int flow, uint64_t t0, uint64_t t1,
                       void (*each)(void *ctx, uint64_t at_ns), void *ctx)
{
    uint64_t n;
    const _Atomic uint64_t *arrivals = arrivals_of(p, flow, &n);
    for (uint64_t i = 0; i < n; i++)
        if (arrivals[i] >= t0 && arrivals[i] <= t1)
            each(ctx, arrivals[i]);
}

void nd_probe_sends(const struct nd_prober *p, uint64_t t0, uint64_t t1,
                    void (*each)(void *ctx, uint64_t sent_ns, uint64_t answered_ns), void *ctx)
{
    uint64_t n = atomic_load(&p->table->next);
    for (uint64_t i = 0; i < n; i++)
        if (p->slots[i].sent >= t0 && p->slots[i].sent <= t1)
            each(ctx, p->slots[i].sent, p->slots[i].answer);
}
