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
    return atomic_load_explicit(&lane->shared->orders.cut, memory_order_acquire) > lane->seen.cut;
}

static void report_cut(struct nd_lane *lane)
{
    struct ft_lane_report *report = &lane->shared->report;
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    atomic_store_explicit(&lane->shared->orders.logging, true, memory_order_relaxed);
    atomic_store_explicit(&report->cut_burst, state->burst, memory_order_relaxed);
    atomic_store_explicit(&report->cut_access, state->access - 1, memory_order_relaxed);
    atomic_store_explicit(&report->cut_at,
                          atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&report->cut_seen, lane->seen.cut, memory_order_release);
}

void nd_lane_snapshot_cut(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    uint64_t cut = 0, released;
    bool begun;

    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = atomic_load_explicit(&group->lane[l].shared->orders.cut, memory_order_acquire);

        cut = asked > cut ? asked : cut;
    }
    released = atomic_load_explicit(&first->shared->orders.snapshot_release, memory_order_acquire);
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
    uint64_t released = atomic_load_explicit(&lane->shared->orders.snapshot_release, memory_order_acquire);

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
    uint64_t granted = atomic_load_explicit(&lane->shared->orders.copy_granted, memory_order_relaxed);
    uint64_t left = granted > lane->snapshot_copied ? granted - lane->snapshot_copied : 0, n;

    if (!(atomic_load_explicit(&lane->region->tracking, memory_order_relaxed) & FT_TRACK_SNAPSHOT) ||
        left == 0)
        return false;
    n = ft_snapshot_copy(lane->region, lane->index, left < COPY_TURN ? left : COPY_TURN);
    lane->snapshot_copied += n;
    return n > 0;
}
