/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's side of snapshots. Of a resync: the cut at which the replicator's snapshot begins and the stream
 * begins anew, and the copies of pending lines; the replicator reads what is copied. Of the flight recorder:
 * whether a file is due, the stop of all lanes for its snapshot, copies of some of it. Runs on the lanes'
 * threads.
 */
#include "node/lane/change.h"
#include "node/lane/lane.h"
#include "nflib/chain/chain.h"
#include "node/base/clock.h"

#define COPY_TURN 256u /* pending lines copied between two bursts: 16 KiB, some microseconds */

bool nd_lane_snapshot_wanted(const struct nd_lane *lane)
{
    /* Greater, not different: a cut that others asked for first may be asked of this lane a moment later. */
    return FT_ORDER_GET(lane->words, cut) > lane->seen.cut;
}

static void report_cut(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    FT_ORDER_SET(lane->words, logging, true);
    FT_REPORT_SET(lane->words, cut_burst, state->burst);
    FT_REPORT_SET(lane->words, cut_access, state->access - 1);
    FT_REPORT_SET(lane->words, cut_at, atomic_load_explicit(&lane->words->log.head, memory_order_relaxed));
    FT_REPORT_SET(lane->words, cut_seen, lane->seen.cut);
}

void nd_lane_snapshot_cut(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    uint64_t cut = 0, released;
    bool begun;

    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = FT_ORDER_GET(group->lane[l].words, cut);

        cut = asked > cut ? asked : cut;
    }
    released = FT_ORDER_GET(first->words, snapshot_release);
    nd_lane_forget_digests(group);
    if (first->setup.recorder)
        lg_recorder_yield(first->setup.recorder); /* a standby matters more than a recording */
    ft_snapshot_end(first->region);
    nd_group_change(group, ND_CHANGE_ARMED); /* so the snapshot is the new chain's */
    /* Else the cut was taken back, or there is no memory, which the resync's deadline will tell. */
    begun = released < cut && ft_snapshot_begin(first->region) == 0;
    for (unsigned l = 0; l < group->lanes; l++) {
        group->lane[l].seen.cut = cut;
        group->lane[l].snapshot_copied = 0;
        if (begun)
            report_cut(&group->lane[l]);
    }
    if (begun)
        nd_stream_begin(group);
}

void nd_lane_snapshot_orders(struct nd_lane *lane)
{
    uint64_t released = FT_ORDER_GET(lane->words, snapshot_release);

    if (released != lane->seen.snapshot_release) {
        lane->seen.snapshot_release = released;
        if (lane->index == 0 && released >= lane->seen.cut &&
            !(lane->setup.recorder && lg_recorder_owes(lane->setup.recorder)))
            ft_snapshot_end(lane->region);
    }
    if (nd_lane_snapshot_wanted(lane))
        nd_lane_quiesce(lane);
}

bool nd_lane_snapshot_copy(struct nd_lane *lane)
{
    uint64_t granted = FT_ORDER_GET(lane->words, copy_granted);
    uint64_t left = granted > lane->snapshot_copied ? granted - lane->snapshot_copied : 0, n;

    if (!(atomic_load_explicit(&lane->region->tracking, memory_order_relaxed) & FT_TRACK_SNAPSHOT) ||
        left == 0)
        return false;
    n = ft_snapshot_copy(lane->region, lane->index, left < COPY_TURN ? left : COPY_TURN);
    lane->snapshot_copied += n;
    return n > 0;
}

/* All lanes are quiesced between bursts. */
void nd_lane_begin_snapshot(struct nd_group *group)
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
    lg_recorder_begin(first->setup.recorder, at, atomic_load(first->setup.view), nd_now());
}

void nd_lane_rotate(struct nd_group *group)
{
    if (group->lane[0].setup.recorder)
        lg_recorder_rotate(group->lane[0].setup.recorder);
}

/* Lane 0: live lanes come to a barrier, lanes that replay to a stop point. */
static void want_snapshot(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (lane->doing != FT_LANE_REPLAY)
        atomic_store_explicit(&group->snapshot_due, true, memory_order_release);
    else if (group->lanes == 1)
        nd_lane_begin_snapshot(group);
    else if (FT_REPORT_GET(lane->words, stop_point) == 0)
        FT_REPORT_SET(lane->words, stop_point, ++lane->stop_point.asked);
}

bool nd_lane_recorder_turn(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    /* After a divergence the state is that of no burst; while others may have stopped, it is theirs. */
    if (!lane->setup.recorder || lane->stop_point.stopped || nd_lane_replay_aborted(lane))
        return false;
    /* What was done in a delta is not known; what a warm standby holds has not been done yet. */
    if (lane->doing == FT_LANE_REPLAY && (lane->apply.last_was_chunk || lane->config->protect.stores))
        return false;
    if (lane->index == 0 && lg_recorder_due(lane->setup.recorder, lane->now))
        want_snapshot(lane);
    if (lane->doing != FT_LANE_REPLAY && atomic_load_explicit(&group->snapshot_due, memory_order_acquire))
        nd_lane_quiesce(lane);
    return lg_recorder_turn(lane->setup.recorder, lane->index);
}
