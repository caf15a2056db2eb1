/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots, at which all lanes stop between two bursts. Of a resync: the cut at which the replicator's
 * snapshot begins and the stream begins anew, and the copies of pending lines; the replicator reads what is
 * copied. Of the flight recorder, which decides whether a file is due: the stop of all lanes for it, copies
 * of some of it. Owns the lane's `snapshot`. Runs on the lanes' threads.
 */
#include "lane/parts.h"
#include "ftcore/base/clock.h"
#include "nflib/chain/chain.h"

#define COPY_TURN 256u /* pending lines copied between two bursts: 16 KiB, some microseconds */

static void report_cut(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    FT_ORDER_SET(lane->shared, logging, true);
    FT_REPORT_SET(lane->shared, cut_burst, state->burst);
    FT_REPORT_SET(lane->shared, cut_access, state->access - 1);
    FT_REPORT_SET(lane->shared, cut_at, atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed));
    FT_REPORT_SET(lane->shared, cut_seen, lane->snapshot.cut);
}

void nd_group_cut_for_snapshot(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    uint64_t cut = 0, released;
    bool begun;

    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = FT_ORDER_GET(group->lane[l].shared, cut);

        cut = asked > cut ? asked : cut;
    }
    released = FT_ORDER_GET(first->shared, snapshot_release);
    nd_group_forget_digests(group);
    if (first->setup.recorder)
        lg_recorder_yield(first->setup.recorder); /* a standby matters more than a recording */
    ft_snapshot_end(first->region);
    nd_group_change(group, ND_CHANGE_ARMED); /* so the snapshot is the new chain's */
    /* Else the cut was taken back, or there is no memory, which the resync's deadline will reveal. */
    begun = released < cut && ft_snapshot_begin(first->region) == 0;
    for (unsigned l = 0; l < group->lanes; l++) {
        group->lane[l].snapshot.cut = cut;
        group->lane[l].snapshot.copied = 0;
        if (begun)
            report_cut(&group->lane[l]);
    }
    if (begun)
        nd_stream_begin(group);
}

void nd_snapshot_follow(struct nd_lane *lane)
{
    uint64_t released = FT_ORDER_GET(lane->shared, snapshot_release);

    if (released == lane->snapshot.release)
        return;
    lane->snapshot.release = released;
    if (lane->index == 0 && released >= lane->snapshot.cut &&
        !(lane->setup.recorder && lg_recorder_owes(lane->setup.recorder)))
        ft_snapshot_end(lane->region);
}

bool nd_lane_snapshot_copy(struct nd_lane *lane)
{
    uint64_t granted = FT_ORDER_GET(lane->shared, copy_granted);
    uint64_t zero, n;

    if (!nd_lane_has_snapshot(lane) || granted <= lane->snapshot.copied)
        return false;
    n = ft_snapshot_copy(lane->region, lane->index, COPY_TURN, &zero);
    lane->snapshot.copied += n - zero;
    return n > 0;
}

/* ---- the flight recorder -------------------------------------------------------------------------- */

void nd_group_begin_recording(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    struct lg_position at[FT_LANES_MAX];

    if (!first->setup.recorder)
        return;
    for (unsigned l = 0; l < group->lanes; l++) {
        const struct nf_lane_state *state = nf_chain_state(group->lane[l].chain);

        at[l] = (struct lg_position){.burst = state->burst,
                                     .seq = state->seq,
                                     .time = state->time,
                                     .access = state->access,
                                     .outputs = state->outputs};
    }
    lg_recorder_begin(first->setup.recorder, at, atomic_load(first->setup.view), ft_now());
}

/* After a divergence the state is that of no burst; while others may have stopped, it is theirs. In replay,
 * what was done in a delta is not known, and what a warm standby holds has not been done yet. */
static bool records_now(const struct nd_lane *lane)
{
    return !lane->stop_point.stopped && !nd_lane_replay_aborted(lane) &&
           !(lane->doing == FT_LANE_REPLAY && (lane->apply.last_was_chunk || lane->protect->stores));
}

bool nd_recorder_wants(const struct nd_lane *lane)
{
    struct lg_recorder *recorder = lane->setup.recorder;

    if (lane->index == 0 && records_now(lane))
        (void)lg_recorder_due(recorder, lane->now);
    return lg_recorder_waits(recorder);
}

bool nd_lane_recorder_turn(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (!lane->setup.recorder || !records_now(lane))
        return false;
    /* Live lanes come to the barrier for it, lanes that replay to a stop point. */
    if (lane->doing == FT_LANE_REPLAY && lane->index == 0 &&
        lg_recorder_due(lane->setup.recorder, lane->now)) {
        if (group->lanes == 1)
            nd_group_begin_recording(group);
        else if (FT_REPORT_GET(lane->shared, stop_point) == 0)
            nd_lane_ask_to_stop(lane);
    }
    return lg_recorder_turn(lane->setup.recorder, lane->index);
}
