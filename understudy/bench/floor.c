/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own part of a message's time: there and back over TCP on the loopback, as the link goes, by
 * threads that spin and by threads that block; and a cache line from core to core. Added latency cannot be
 * below the first of these.
 */
#define _GNU_SOURCE
#include "understudy/bench/bench.h"
#include "ftcore/base/clock.h"
#include "understudy/config/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS  2000u
#define LINES   100000u
#define MESSAGE 64u /* bytes, each way */

struct line {
    _Alignas(64) _Atomic unsigned there;
    _Alignas(64) _Atomic unsigned back;
};

/* The other thread: its core, and by what it answers. */
struct echo {
    cpu_set_t core;
    int fd, flags;
    struct line line;
};

/* One message; `flags` MSG_DONTWAIT: by spinning. False: the connection has ended. */
static bool receive_message(int fd, int flags)
{
    uint8_t bytes[MESSAGE];
    ssize_t n;

    do /* so few bytes come together */
        n = recv(fd, bytes, sizeof(bytes), flags);
    while (n < 0 && (errno == EAGAIN || errno == EINTR));
    return n == (ssize_t)sizeof(bytes);
}

static bool send_message(int fd)
{
    static const uint8_t bytes[MESSAGE];

    return send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) == (ssize_t)sizeof(bytes);
}

static void *echo_messages(void *arg)
{
    const struct echo *e = arg;

    sched_setaffinity(0, sizeof(e->core), &e->core);
    while (receive_message(e->fd, e->flags) && send_message(e->fd))
        ;
    shutdown(e->fd, SHUT_RDWR); /* who waits for an answer waits in vain */
    return NULL;
}

static void *echo_lines(void *arg)
{
    struct echo *e = arg;

    sched_setaffinity(0, sizeof(e->core), &e->core);
    for (unsigned i = 1; i <= LINES; i++) {
        while (atomic_load_explicit(&e->line.there, memory_order_acquire) != i)
            ;
        atomic_store_explicit(&e->line.back, i, memory_order_release);
    }
    return NULL;
}

/* Two ends of a connection on the loopback. False: there is none to be had. */
static bool connect_ends(int end[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    end[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    end[1] = -1;
    if (bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&at, &len) == 0 &&
        connect(end[0], (struct sockaddr *)&at, len) == 0)
        end[1] = accept(listener, NULL, NULL);
    close(listener);
    for (unsigned i = 0; i < 2; i++)
        setsockopt(end[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return end[1] >= 0;
}

/* Median of the rounds, us; 0: none ended. */
static double time_rounds(struct echo *other, int fd, int flags)
{
    double us[ROUNDS];
    unsigned rounds = 0;
    pthread_t thread;

    other->flags = flags;
    if (pthread_create(&thread, NULL, echo_messages, other) != 0)
        return 0;
    while (rounds < ROUNDS) {
        uint64_t began = ft_now();

        if (!send_message(fd) || !receive_message(fd, flags))
            break;
        us[rounds++] = (double)(ft_now() - began) / 1e3;
    }
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    return rounds ? nd_quantile(us, rounds, 0.5) : 0;
}

static double time_connection(struct echo *other, int flags)
{
    double us = 0;
    int end[2];

    if (connect_ends(end)) {
        other->fd = end[1];
        us = time_rounds(other, end[0], flags);
        close(end[1]);
    }
    close(end[0]);
    return us;
}

/* Mean of the rounds, one way, ns. */
static double time_line(struct echo *other)
{
    uint64_t began;
    pthread_t thread;

    if (pthread_create(&thread, NULL, echo_lines, other) != 0)
        return 0;
    began = ft_now();
    for (unsigned i = 1; i <= LINES; i++) {
        atomic_store_explicit(&other->line.there, i, memory_order_release);
        while (atomic_load_explicit(&other->line.back, memory_order_acquire) != i)
            ;
    }
    pthread_join(thread, NULL);
    return (double)(ft_now() - began) / LINES / 2;
}

void nd_bench_floor(struct nd_bench_floor *out)
{
    struct echo other = {.fd = -1};
    cpu_set_t before, lanes;
    int rest;

    *out = (struct nd_bench_floor){0};
    if (nd_bench_cores(1, &lanes, &rest) == 0 || sched_getaffinity(0, sizeof(before), &before) != 0)
        return; /* all threads of a run share one core, and nothing spins there */
    CPU_SET((unsigned)rest, &other.core);
    sched_setaffinity(0, sizeof(lanes), &lanes);
    out->spinning_us = time_connection(&other, MSG_DONTWAIT);
    out->blocking_us = time_connection(&other, 0);
    out->line_ns = time_line(&other);
    sched_setaffinity(0, sizeof(before), &before);
}
