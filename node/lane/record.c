/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane and the flight recorder: asks between bursts whether a file is due, stops all lanes for its
 * snapshot, copies some of it. Records are handed over where they come to be: lane/live.c, lane/replay.c.
 */
#include "node/lane/lane.h"
#include "nflib/chain/chain.h"
#include "node/base/clock.h"

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
    else if (FT_REPORTED(lane->shared, stop_point) == 0)
        FT_REPORT(lane->shared, stop_point, ++lane->stop_point.asked);
}

bool nd_lane_record(struct nd_lane *lane)
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
