/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a connection: two streams, each in order and with its own delays. What a partition holds back
 * arrives after it.
 */
#define _GNU_SOURCE
#include "tests/sim/net.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SEND_ROOM (192u << 10) /* bytes under way, as a socket's buffers have it */
#define NARROW    (4u << 10)   /* the same in a narrow seed */

ssize_t sim_recv(int fd, void *to, size_t size, int flags);
ssize_t sim_send(int fd, const void *from, size_t size, int flags);

uint64_t sim_net_delay(void)
{
    uint64_t d = 10 * SIM_US + sim_draw(&sim.net, sim.plan.delay);

    if (sim_chance(&sim.net, 10))
        d += sim_draw(&sim.net, sim.plan.steady ? SIM_MS : 3 * SIM_MS);
    if (sim.now < sim.slow_until)
        d += sim_draw(&sim.net, 6 * SIM_MS);
    return d;
}

bool sim_net_blocked(unsigned to, unsigned way)
{
    return sim.now < sim.link_blocked[to] || sim.now < sim.way[way].blocked[to];
}

size_t sim_send_room(void)
{
    return sim.plan.narrow && !sim.faults_over ? NARROW : SEND_ROOM;
}

size_t sim_stream_arrived(struct sim_stream *s, unsigned node)
{
    size_t end = s->head;

    if (sim_net_blocked(node, s->way))
        return 0;
    for (uint32_t i = s->first; i != s->last && s->segment[i % SEGMENTS].at <= sim.now; i++)
        end = s->segment[i % SEGMENTS].end;
    return end - s->head;
}

bool sim_stream_ended(const struct sim_stream *s, unsigned node)
{
    return !sim_net_blocked(node, s->way) && (s->fin_at <= sim.now || s->error_at <= sim.now);
}

void sim_stream_put(struct sim_stream *s, const uint8_t *bytes, size_t n)
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
    if (sim.now + sim_net_delay() > s->newest)
        s->newest = sim.now + sim_net_delay();
    if (sim.plan.ways)
        s->newest += sim_way_delay(s->way, n);
    s->segment[s->last % SEGMENTS].at = s->newest;
    s->segment[s->last % SEGMENTS].end = s->tail;
    s->last++;
}

void sim_stream_cut(struct sim_stream *s, uint64_t at)
{
    while (s->first != s->last && s->segment[(s->last - 1) % SEGMENTS].at > at)
        s->last--;
    s->tail = s->first == s->last ? s->head : s->segment[(s->last - 1) % SEGMENTS].end;
    if (s->tail - s->head <= 8 || !sim_chance(&sim.net, 300))
        return;
    s->tail -= sim_draw(&sim.net, s->tail - s->head - 1);
    while (s->last - s->first > 1 && s->segment[(s->last - 2) % SEGMENTS].end >= s->tail)
        s->last--;
    s->segment[(s->last - 1) % SEGMENTS].end = s->tail;
}

static void drop_read(struct sim_stream *s, size_t n)
{
    s->head += n;
    while (s->first != s->last && s->segment[s->first % SEGMENTS].end <= s->head)
        s->first++;
}

ssize_t sim_recv(int fd, void *to, size_t size, int flags)
{
    struct sim_sock *k = sim_sock_of(fd);
    struct sim_stream *s = &k->conn->to[k->end];
    size_t there = sim_stream_arrived(s, k->node);

    if (sim_troubled(3)) {
        errno = EINTR;
        return -1;
    }

    if (there > size)
        there = size;
    if (there) {
        memcpy(to, s->bytes + s->head, there);
        if (!(flags & MSG_PEEK))
            drop_read(s, there);
        return (ssize_t)there;
    }
    if (sim_net_blocked(k->node, k->way) || s->first != s->last) {
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
    struct sim_sock *k = sim_sock_of(fd);
    struct sim_conn *c = k->conn;
    struct sim_stream *s = &c->to[!k->end], *back = &c->to[k->end];

    (void)flags;
    if (sim_troubled(3)) {
        errno = EINTR;
        return -1;
    }
    if (back->error_at <= sim.now && !sim_net_blocked(k->node, k->way)) {
        errno = back->error == ECONNRESET ? EPIPE : back->error;
        return -1;
    }
    if (!c->open[!k->end]) {
        /* Its kernel knows no such connection, once there is a kernel and a way to it. */
        if (!c->broken && sim.node[c->node[!k->end]].powered && !sim_net_blocked(c->node[!k->end], k->way) &&
            back->error_at == SIM_NEVER) {
            back->error = ECONNRESET;
            back->error_at = sim.now + sim_net_delay() + sim_net_delay();
        }
        return (ssize_t)size;
    }
    if (s->error_at != SIM_NEVER ||
        s->fin_at != SIM_NEVER) /* nothing follows what was lost: a chunk of a frame stays one */
        return (ssize_t)size;
    size_t waiting = s->tail - s->head, n = waiting >= sim_send_room() ? 0 : sim_send_room() - waiting;

    n = n < size ? n : size;
    if (n == 0 || s->last - s->first >= SEGMENTS) {
        k->since = k->since ? k->since : sim.now;
        errno = EAGAIN;
        return -1;
    }
    k->since = 0;
    if (sim_narrow(100)) /* a chunk of it */
        n = 1 + (size_t)sim_draw(&sim.width, n);
    sim_stream_put(s, from, n);
    return (ssize_t)n;
}
