/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feeder of a standby that is measured alone: a primary that has executed everything already. It sends
 * the tape's snapshot, and when the standby is READY by that, and the bench lets packets arrive, the tape's
 * records, as fast as link and credit permit, in messages of the size that a sender with a backlog makes.
 */
#include "ftcore/base/plant.h"
#include "tools/bench/half.h"

#include <string.h>

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
        nd_bench_half_step(h, &event);
    }
    if (h->guard_wanted) {
        h->guard_wanted = false;
        event.kind = FT_EV_GUARDED;
        nd_bench_half_step(h, &event);
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
        error = nd_bench_half_send(h, FT_MSG_SNAPSHOT, t->snapshot + h->fed_at + sizeof(len), len, fault);
        h->fed_at += sizeof(len) + len;
        *worked = true;
    }
    if (error)
        return error;
    h->fed_at = h->batch_end = 0; /* from here on, of the log */
    nd_bench_half_step(h, &whole);
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
        error = nd_bench_half_send(h, FT_MSG_LOG, h->tape->log + h->fed_at,
                                   (uint32_t)(h->batch_end - h->fed_at), fault);
        if (error)
            return error;
        h->fed_at = h->batch_end;
        h->fed_bytes += h->batch_size;
        h->fed_burst = reached.closed[0] = h->batch_burst;
        nd_bench_half_step(h, &reached);
        *worked = true;
    }
    return error;
}

int nd_bench_feeder_turn(struct nd_bench_half *h, bool *worked, struct ft_fault *fault)
{
    report_lanes(h);
    if (h->core.resync == FT_RESYNC_SNAPSHOT)
        return feed_snapshot(h, worked, fault);
    if (h->core.state == FT_PROTECTED && atomic_load(&h->slot->rate))
        return feed_log(h, worked, fault);
    return 0;
}
