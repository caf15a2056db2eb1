/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's side of a resync: the cut at which the replicator's snapshot begins and the stream begins anew,
 * and the copies of pending lines. Runs on the lanes' threads; the replicator reads what is copied.
 */
#include "node/lane/lane.h"
#include "nflib/chain/chain.h"

#define COPY_TURN 256u /* pending lines copied between two bursts: 16 KiB, some microseconds */

bool nd_lane_snapshot_wanted(const struct nd_lane *lane)
{
    /* Greater, not different: a cut that others asked for first may be asked of this lane a moment later. */
    return FT_ORDERED(lane->shared, cut) > lane->seen.cut;
}

static void report_cut(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    atomic_store_explicit(&lane->shared->orders.logging, true, memory_order_relaxed);
    FT_REPORT(lane->shared, cut_burst, state->burst);
    FT_REPORT(lane->shared, cut_access, state->access - 1);
    FT_REPORT(lane->shared, cut_at, atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed));
    FT_REPORT(lane->shared, cut_seen, lane->seen.cut);
}

void nd_lane_snapshot_cut(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    uint64_t cut = 0, released;
    bool begun;

    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = FT_ORDERED(group->lane[l].shared, cut);

        cut = asked > cut ? asked : cut;
    }
    released = FT_ORDERED(first->shared, snapshot_release);
    nd_lane_forget_digests(group);
    if (first->setup.recorder)
        lg_recorder_yield(first->setup.recorder); /* a standby matters more than a recording */
    ft_snapshot_end(first->region);
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
    uint64_t released = FT_ORDERED(lane->shared, snapshot_release);

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
    uint64_t granted = FT_ORDERED(lane->shared, copy_granted);
    uint64_t left = granted > lane->snapshot_copied ? granted - lane->snapshot_copied : 0, n;

    if (!(atomic_load_explicit(&lane->region->tracking, memory_order_relaxed) & FT_TRACK_SNAPSHOT) ||
        left == 0)
        return false;
    n = ft_snapshot_copy(lane->region, lane->index, left < COPY_TURN ? left : COPY_TURN);
    lane->snapshot_copied += n;
    return n > 0;
}
