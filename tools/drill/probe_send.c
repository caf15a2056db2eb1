/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prober's sending child: datagrams on an absolute schedule from one thread, their answers in another,
 * and TCP flows in a third. What a flow carries at a position follows from the position alone, so either end
 * can check it.
 */
#define _GNU_SOURCE
#include "tools/drill/probe_table.h"
#include "node/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOW_CHUNK   64u
#define FLOW_WINDOW  65536u          /* bytes under way at most: a flow that is cut off does not pile up */
#define CONNECT_WAIT 2               /* s */
#define NOTE_EACH    (1000u * 1000u) /* ns between two noted arrivals of a flow */

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
    nd_probe_hurry();
    for (;;) {
        ssize_t n = recv(p->socket, d, sizeof d, 0);
        uint64_t now = nd_now();
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
    uint64_t interval = p->options.interval_us * 1000u, at = nd_now() + interval;
    struct datagram d;
    for (uint64_t i = 0; i < t->capacity && !atomic_load(&t->stop); i++, at += interval) {
        sleep_until(at);
        uint64_t now = nd_now();
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

int nd_probe_send_datagrams(struct nd_prober *p, struct ft_fault *fault)
{
    struct sockaddr_in to = target_address(p);
    int room = 1 << 20, s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pthread_t thread;
    if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) < 0)
        return ft_fail(fault, FT_EIO, "%s: %s", p->address, strerror(errno));
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    p->socket = s;
    if (pthread_create(&thread, NULL, receive_answers, p) != 0)
        return ft_fail(fault, FT_ENOMEM, "no thread");
    nd_probe_hurry();
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
    uint64_t now = nd_now();
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
    uint64_t interval = p->options.flow_interval_us * 1000u, at = nd_now() + interval;
    nd_probe_hurry();
    for (;;) {
        uint64_t now = nd_now();
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

int nd_probe_send_flows(struct nd_prober *p, struct ft_fault *fault)
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
