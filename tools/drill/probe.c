/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prober's parent and its echo server: makes the shared table, forks the children into their namespaces,
 * and reads figures out of the table. See tools/drill/probe.h.
 */
#define _GNU_SOURCE
#include "tools/drill/probe_table.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"
#include "tools/pair/columns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
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

void nd_probe_hurry(void)
{
    struct sched_param p = {.sched_priority = 20};
    sched_setscheduler(0, SCHED_FIFO, &p); /* without permission it stays as it is: late_ms tells */
}

/* ── the echo server: a thread for datagrams and one a TCP flow; every byte is sent back as it came ── */

/* What is left open when this fails goes with the process. */
static int open_socket(int type, const struct sockaddr_in *at)
{
    int one = 1, room = 1 << 20, s = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (type == SOCK_DGRAM)
        setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
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
    nd_probe_hurry(); /* and the threads that it starts */
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

int nd_probe_serve(const char *address, uint16_t port, struct ft_fault *fault)
{
    int sockets[2] = {-1, -1}, error = listen_at(address, port, sockets, fault);
    if (error == FT_OK)
        echo_flows(sockets);
    return error;
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
    if (enter_space(p->options.from, &fault) < 0 ||
        (p->options.flows > 0 && nd_probe_send_flows(p, &fault) < 0) ||
        nd_probe_send_datagrams(p, &fault) < 0)
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
        p->table->run = nd_now();
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

void nd_probe_stop(struct nd_prober *p, uint32_t settle_ms)
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
    nd_probe_stop(p, 0);
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
    double silence[ND_PROBE_FLOWS_MAX];
    uint64_t begin;
    out->flows = p->options.flows;
    for (uint32_t f = 0; f < out->flows; f++) {
        out->flows_broken += atomic_load(&p->table->flow[f].broken);
        silence[f] = (double)nd_probe_silence(p, (int)f, t0, t1, &begin) / 1e6;
    }
    if (out->flows == 0)
        return;
    out->flow_worst_ms = nd_quantile(silence, out->flows, 1); /* sorts them */
    out->flow_silence_ms = silence[out->flows / 2];
}

void nd_probe_figures(const struct nd_prober *p, uint64_t t0, uint64_t t1, struct nd_probe_figures *out)
{
    const struct nd_probe_table *t = p->table;
    memset(out, 0, sizeof *out);
    out->asked_ns = nd_now();
    uint64_t n = atomic_load(&t->next);
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
    out->silence_ms = (double)nd_probe_silence(p, -1, t0, t1, &out->silence_ns) / 1e6;
    flow_figures(p, t0, t1, out);
}

void nd_probe_gaps(const struct nd_prober *p, int flow, uint64_t least_ns,
                   void (*each)(void *ctx, uint64_t begin_ns, uint64_t length_ns), void *ctx)
{
    uint64_t n, last = 0;
    const _Atomic uint64_t *arrivals = arrivals_of(p, flow, &n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t t = arrivals[i];
        if (last != 0 && t > last && t - last >= least_ns)
            each(ctx, last, t - last);
        last = t;
    }
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
