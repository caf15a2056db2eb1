/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a hot standby takes for what it is sent, and so how long a takeover would have to replay. Measured
 * by the standby's lanes, which write took_log and took_delta in struct ft_lane; told to the primary (COST),
 * with what receiving took; its lanes read cost_log and cost_delta there.
 *
 * With `auto` a primary keeps the lag below half of recovery_budget_ms; the other half is for what a takeover
 * does beside replay. Beyond it no burst is begun and the ports' queues wait, as when a ring is full. Bursts
 * are larger then, and cost the standby less each packet. Not in SOLO, where nothing waits for the standby
 * and a resync has all of the log to replay.
 */
#include "node/lane.h"

#define SHARE 2u /* of the budget, one part in so many for replay */

/* ---- standby ----------------------------------------------------------------------------------- */

void nd_lane_took(struct nd_lane *lane, uint64_t ns)
{
    struct ft_effort *e = &lane->took[lane->last_kind];
    uint64_t bytes = lane->last_bytes;

    lane->last_bytes = 0;
    if (bytes == 0 || lane->doing != FT_LANE_REPLAY)
        return;
    ft_effort_add(e, bytes, ns, lane->last_full);
    atomic_store_explicit(lane->last_kind == FT_SEGMENT_LOG ? &lane->shared->took_log
                                                            : &lane->shared->took_delta,
                          ft_effort_cost(e), memory_order_relaxed);
}

/* ---- primary ----------------------------------------------------------------------------------- */

static uint64_t told(const struct nd_lane *lane, enum ft_segment kind)
{
    return atomic_load_explicit(kind == FT_SEGMENT_LOG ? &lane->shared->cost_log : &lane->shared->cost_delta,
                                memory_order_relaxed);
}

uint64_t nd_lane_replay_ns(const struct nd_lane *lane, uint64_t bytes)
{
    if (lane->busy_bytes == 0)
        return 0;
    return (uint64_t)((double)bytes * (double)lane->busy_ns / (double)lane->busy_bytes);
}

/* Until the standby has told: records take at most what they took here. */
uint64_t nd_lane_cost(const struct nd_lane *lane, enum ft_segment kind)
{
    uint64_t cost = told(lane, kind);

    return cost || kind == FT_SEGMENT_DELTA ? cost : nd_lane_replay_ns(lane, FT_EFFORT_UNIT);
}

uint64_t nd_lane_lag(const struct nd_lane *lane)
{
    enum ft_segment kind = lane->group->stream.segment;
    uint64_t head = atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed),
             taken = atomic_load_explicit(&lane->shared->taken_at, memory_order_relaxed),
             from = lane->kind_from;

    if (taken >= head)
        return 0;
    if (taken >= from)
        return (head - taken) * nd_lane_cost(lane, kind) / FT_EFFORT_UNIT;
    return ((head - from) * nd_lane_cost(lane, kind) + (from - taken) * nd_lane_cost(lane, !kind)) /
           FT_EFFORT_UNIT;
}

bool nd_lane_lags(const struct nd_lane *lane)
{
    const struct nd_protect *p = &lane->config->protect;

    /* What it costs here may be far off; who waits for little to be replayed would never learn better. */
    if (p->mode != ND_MODE_AUTO || p->standby != ND_STANDBY_HOT || !told(lane, FT_SEGMENT_LOG) ||
        !atomic_load_explicit(&lane->shared->logging, memory_order_relaxed) ||
        atomic_load_explicit(&lane->shared->lease_until, memory_order_relaxed) == FT_ALL)
        return false;
    return nd_lane_lag(lane) > p->recovery_budget_ms * 1000000ull / SHARE;
}
