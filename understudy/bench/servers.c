/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in for the other server where two servers run on one machine, one after the other: a process of
 * the bench that does as little as the protocol permits. It has the node's own protocol core and link, and
 * neither lanes nor region nor replicator; its turns are those of a replicator without lanes. What the core
 * wants of lanes and disks nobody does, and the core does not learn that. When the link ends, it stays
 * silent: the bench looks at the real node.
 *
 *   the primary ─▶ the peer, which reads heads, acknowledges, and writes the stream to the tape
 *   the feeder, which plays the tape of the same pair of runs ─▶ the standby
 */
#define _GNU_SOURCE
#include "ftcore/base/plant.h"
#include "ftcore/base/clock.h"
#include "understudy/bench/bench.h"
#include "understudy/pair/child.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

struct nd_bench_half {
    const struct nd_bench_nodes *all; /* as it was before the fork, as the two below */
    struct nd_bench_tape *tape;
    unsigned number;            /* 0: the feeder, in place of the primary; 1: the peer */
    struct nd_bench_slot *slot; /* its own */
    struct rp_config config;
    struct ft_core core;
    struct rp_link *link;
    uint64_t now, shown_at;
    bool lost;                             /* the link has ended: there is nothing to do any more */
    bool cut_wanted, guard_wanted;         /* by the core, of a primary */
    struct ft_record numbers;              /* of the last record looked at */
    uint64_t snapshots;                    /* peer: that have begun, by the core's count */
    uint64_t closed, taken;                /* peer: last burst that it has, bytes of records in memory */
    bool fresh;                            /* peer: something came that is not acknowledged yet */
    uint32_t fed;                          /* feeder: messages of the snapshot that are sent */
    uint64_t fed_at, fed_burst, fed_bytes; /* feeder: bytes of the tape, last burst, bytes in memory */
    uint64_t batch_end, batch_burst, batch_size; /* feeder: the next message; of nothing when end is fed_at */
};

/* ==== a step of what stands in, and what its core wants done ======================================== */

static void carry_out(struct nd_bench_half *h, const struct ft_action *a)
{
    if (a->kind == FT_ACT_SEND) {
        rp_link_send(h->link, &a->send, 1, NULL);
    } else if (a->kind == FT_ACT_CLOSE) {
        rp_link_flush(h->link);
        rp_link_drop(h->link);
        h->lost = true;
    } else if (a->kind == FT_ACT_CUT) {
        h->cut_wanted = true;
    } else if (a->kind == FT_ACT_GATE) {
        h->guard_wanted = a->gate == FT_GATE_GUARDED && h->core.resync == FT_RESYNC_SWITCH;
    } else if (a->kind == FT_ACT_STATE) {
        snprintf(h->slot->status.why, sizeof(h->slot->status.why), "%s", a->send.text);
        atomic_store(&h->slot->status.state, a->send.state);
    }
}

static void half_step(struct nd_bench_half *h, struct ft_event *event)
{
    static struct ft_actions actions;

    event->now = h->now;
    ft_step(&h->core, event, &actions);
    for (uint32_t i = 0; i < actions.count; i++)
        carry_out(h, &actions.list[i]);
}

static int half_send(struct nd_bench_half *h, enum ft_message_type type, const uint8_t *bulk, uint32_t len,
                     struct ft_fault *fault)
{
    struct ft_message m;

    ft_core_head(&h->core, type, h->now, &m);
    m.bulk = bulk;
    m.bulk_len = len;
    int error = rp_link_send(h->link, &m, 1, NULL);

    return error ? ft_fail(fault, FT_EIO, "the link takes no message of %u bytes", len) : 0;
}

/* ==== the peer of a primary ========================================================================= */

static int keep_snapshot(struct nd_bench_tape *t, const struct ft_message *m, struct ft_fault *fault)
{
    uint32_t len = m->bulk_len;

    if (t->snapshot_bytes + sizeof(len) + len > sizeof(t->snapshot))
        return ft_fail(fault, FT_EFULL, "a snapshot of more than %u MB, expected one that can be kept",
                       ND_TAPE_SNAPSHOT >> 20);
    memcpy(t->snapshot + t->snapshot_bytes, &len, sizeof(len));
    memcpy(t->snapshot + t->snapshot_bytes + sizeof(len), m->bulk, len);
    t->snapshot_bytes += sizeof(len) + len;
    t->snapshots++;
    return 0;
}

/* Whole messages only; what does not fit ends the tape. */
static bool keeps_log(struct nd_bench_tape *t, const struct ft_message *m)
{
    if (!t || atomic_load_explicit(&t->closed, memory_order_relaxed))
        return false;
    if (t->log_bytes + m->bulk_len > sizeof(t->log)) {
        atomic_store(&t->closed, true);
        return false;
    }
    memcpy(t->log + t->log_bytes, m->bulk, m->bulk_len);
    t->log_bytes += m->bulk_len;
    return true;
}

static int take_log(struct nd_bench_half *h, const struct ft_message *m, struct ft_fault *fault)
{
    struct nd_bench_tape *t = keeps_log(h->tape, m) ? h->tape : NULL;
    struct ft_record *r = &h->numbers;

    for (uint32_t at = 0; at < m->bulk_len;) {
        long n = ft_record_peek(m->bulk + at, m->bulk_len - at, r, fault);

        if (n < 0)
            return (int)n;
        if (r->burst != h->closed + 1 || r->lane != 0)
            return ft_fail(fault, FT_EORDER, "burst %lu of lane %u, expected burst %lu of lane 0", r->burst,
                           r->lane, h->closed + 1);
        at += (uint32_t)n;
        h->closed = r->burst;
        h->taken += r->size;
        if (t) {
            t->records++;
            t->packets += r->inputs;
            t->last = r->burst;
        }
    }
    h->fresh = true;
    return 0;
}

static int peer_take(struct nd_bench_half *h, const struct ft_message *m, struct ft_fault *fault)
{
    struct nd_bench_tape *t = h->tape;

    if (m->type == FT_MSG_SNAPSHOT_BEGIN) {
        h->closed = m->burst[0];
        h->taken = 0;
        if (t && !atomic_load(&t->closed)) {
            t->burst = t->last = m->burst[0];
            t->access = m->access[0];
            t->snapshots = 0;
            t->snapshot_bytes = t->log_bytes = t->records = t->packets = 0;
        }
    }
    if (m->type == FT_MSG_DELTA)
        return ft_fail(fault, FT_EMALFORMED, "a delta, expected records alone");
    if (!ft_core_accepts(&h->core, m))
        return 0;
    if (m->type == FT_MSG_SNAPSHOT)
        return t && !atomic_load(&t->closed) ? keep_snapshot(t, m, fault) : 0;
    return m->type == FT_MSG_LOG ? take_log(h, m, fault) : 0;
}

static void peer_turn(struct nd_bench_half *h)
{
    struct ft_event event = {
        .kind = FT_EV_LANES, .closed[0] = h->closed, .replayed[0] = h->closed, .taken[0] = h->taken};

    if (!h->fresh)
        return;
    h->fresh = false;
    half_step(h, &event);
    FT_REPORT_SET(&h->slot->shared[0], executed, h->closed);
}

/* ==== the feeder of a standby ======================================================================= */

#define BATCH (128u << 10) /* bytes of a message, as the sender's */
#define LEAST (2 * FT_RECORD_MAX + BATCH)

/* The primary's core asked for a cut, and for a gate that is guarded: both are there at once. */
static void report_lanes(struct nd_bench_half *h)
{
    struct ft_event event = {.closed[0] = h->fed_burst, .access[0] = h->tape->access};

    if (h->cut_wanted) {
        h->cut_wanted = false;
        h->fed = 0;
        h->fed_at = h->fed_bytes = h->batch_end = 0;
        h->fed_burst = event.closed[0] = h->tape->burst;
        event.kind = FT_EV_CUT;
        half_step(h, &event);
    }
    if (h->guard_wanted) {
        h->guard_wanted = false;
        event.kind = FT_EV_GUARDED;
        half_step(h, &event);
    }
}

static int feed_snapshot(struct nd_bench_half *h, bool *worked, struct ft_fault *fault)
{
    const struct nd_bench_tape *t = h->tape;
    struct ft_event whole = {.kind = FT_EV_SNAPSHOT_SENT};
    uint32_t len;
    int error = 0;

    for (; h->fed < t->snapshots && !error; h->fed++) {
        memcpy(&len, t->snapshot + h->fed_at, sizeof(len));
        if (rp_link_room(h->link) < len + LEAST)
            return 0;
        error = half_send(h, FT_MSG_SNAPSHOT, t->snapshot + h->fed_at + sizeof(len), len, fault);
        h->fed_at += sizeof(len) + len;
        *worked = true;
    }
    if (error)
        return error;
    h->fed_at = h->batch_end = 0; /* from here on, of the log */
    half_step(h, &whole);
    return 0;
}

/* What the next message has, up to the end of the tape. */
static int make_batch(struct nd_bench_half *h, struct ft_fault *fault)
{
    const struct nd_bench_tape *t = h->tape;

    if (h->batch_end > h->fed_at)
        return 0;
    h->batch_size = 0;
    for (h->batch_end = h->fed_at; h->batch_end < t->log_bytes && h->batch_end - h->fed_at < BATCH;) {
        long n = ft_record_peek(t->log + h->batch_end, t->log_bytes - h->batch_end, &h->numbers, fault);

        if (n < 0)
            return (int)n;
        h->batch_end += (uint64_t)n;
        if (FT_PLANTED("damaged-tape") && h->batch_end >= t->log_bytes / 2 &&
            h->batch_end - (uint64_t)n < t->log_bytes / 2)
            h->tape->log[h->batch_end - 1] ^= 1; /* of a checksum */
        h->batch_burst = h->numbers.burst;
        h->batch_size += h->numbers.size;
    }
    return 0;
}

static int feed_log(struct nd_bench_half *h, bool *worked, struct ft_fault *fault)
{
    struct ft_event reached = {.kind = FT_EV_LANES};
    int error = 0;

    while (!(error = make_batch(h, fault)) && h->batch_end > h->fed_at && rp_link_room(h->link) >= LEAST &&
           h->fed_bytes + h->batch_size <= h->core.peer_taken[0] + h->config.pending_bytes) {
        error =
            half_send(h, FT_MSG_LOG, h->tape->log + h->fed_at, (uint32_t)(h->batch_end - h->fed_at), fault);
        if (error)
            return error;
        h->fed_at = h->batch_end;
        h->fed_bytes += h->batch_size;
        h->fed_burst = reached.closed[0] = h->batch_burst;
        half_step(h, &reached);
        *worked = true;
    }
    return error;
}

/* ==== turns of what stands in for a server ============================================================ */

#define WAIT_NS 200000u
#define SHOW_NS 2000000u

static struct nd_bench_half half;

static int take_messages(struct nd_bench_half *h, bool *worked, struct ft_fault *fault)
{
    struct ft_event event = {.kind = FT_EV_MESSAGE};
    struct ft_message m;
    int got, error = 0;

    while (!error && !h->lost && (got = rp_link_next(h->link, h->core.peer.known ? 1 : 0, &m, fault)) != 0) {
        *worked = true;
        error = got < 0 ? got : h->number ? peer_take(h, &m, fault) : 0;
        event.message = &m;
        if (!error)
            half_step(h, &event);
    }
    return error;
}

static int take_turn(struct nd_bench_half *h, bool *worked, struct ft_fault *fault)
{
    struct ft_event event = {.kind = FT_EV_CONNECTED}, time = {.kind = FT_EV_TIME};
    struct ft_fault why = {""};
    int error;

    h->now = ft_now();
    if (rp_link_poll(h->link, h->now)) {
        event.greeted = rp_link_greeted(h->link);
        half_step(h, &event);
    }
    error = take_messages(h, worked, fault);
    h->lost |= rp_link_lost(h->link, &why) != RP_LOST_NONE;
    if (error || h->lost)
        return error;
    if (h->number)
        peer_turn(h);
    else
        report_lanes(h);
    if (!h->number && h->core.resync == FT_RESYNC_SNAPSHOT)
        error = feed_snapshot(h, worked, fault);
    else if (!h->number && h->core.state == FT_PROTECTED && atomic_load(&h->slot->rate))
        error = feed_log(h, worked, fault);
    if (h->now >= ft_core_due(&h->core))
        half_step(h, &time);
    rp_link_flush(h->link);
    return error;
}

/* As a node does, for whoever reads both alike. */
static void show_figures(struct nd_bench_half *h)
{
    if (h->now - h->shown_at < SHOW_NS)
        return;
    h->shown_at = h->now;
    atomic_store(&h->slot->cpu_replicator, nd_cpu_time(CLOCK_THREAD_CPUTIME_ID));
    atomic_store(&h->slot->link_bytes, rp_link_stats(h->link)->bytes_out);
    atomic_store(&h->slot->shown_at, ft_now());
}

static int run_half(void *arg, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX];
    struct nd_bench_half *h = arg;
    const struct nd_bench_plan *plan = h->all->plan;
    struct nd_member_config how = {.config = plan->config,
                                   .place = &h->all->place,
                                   .number = h->number,
                                   .timing = nd_bench_timing,
                                   .datagram_key.incarnation = ft_now() ^ (uint64_t)h->number << 63};
    struct ft_actions begin;
    cpu_set_t cores, rest;
    int rest_core, error;

    if (nd_bench_cores(1, &cores, &rest_core) > 0) {
        CPU_ZERO(&rest);
        CPU_SET((unsigned)rest_core, &rest);
        sched_setaffinity(0, sizeof(rest), &rest);
    }
    prctl(PR_SET_NAME, h->number ? "us-peer" : "us-feeder");
    nd_member_network(&h->config, &how, identity);
    error = rp_link_open(&h->link, &h->config.link, fault);
    ft_core_init(&h->core, &h->config.core, ft_now(), &begin);
    for (uint32_t i = 0; i < begin.count && !error; i++)
        carry_out(h, &begin.list[i]);
    while (!error && atomic_load(&h->slot->status.wish) != ND_MEMBER_END) {
        bool worked = false;

        if (h->lost) {
            h->now = ft_now();
            nd_sleep(SHOW_NS);
        } else {
            error = take_turn(h, &worked, fault);
        }
        show_figures(h);
        if (worked)
            sched_yield();
        else if (!h->lost && !error)
            rp_link_wait(h->link, WAIT_NS);
    }
    return error;
}

int nd_bench_start_half(struct nd_bench_nodes *all, unsigned n, struct ft_fault *fault)
{
    half = (struct nd_bench_half){.all = all, .tape = all->plan->tape, .number = n, .slot = all->slot[n]};
    return nd_member_fork(&all->pid[n], &all->slot[n]->status, run_half, &half, fault);
}
