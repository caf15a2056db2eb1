/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lanes of a node do together between bursts: a digest of the whole region, the snapshot of a
 * recording, the stream's cuts; and the abort of a replay that has diverged. Runs on the lanes' threads; what
 * is agreed on lies in struct nd_group.
 *
 * Live lanes come to a barrier (group.h), all within a turn, since none waits for another in the middle of a
 * burst for longer than a section takes. The last to come does all that is wanted. A digest goes into the
 * next record of every lane: that of the whole region while all lanes are before the burst of that record.
 *
 * Lanes that replay may not wait in a barrier anywhere: one in the middle of a burst waits for accesses that
 * another would never make if it waited in the barrier already. They stop where the bursts before are a
 * closed set, so that every lane gets there:
 *
 *   - before a record that carries a digest, as the primary had executed when it took the digest;
 *   - at closed_to, while it does not move. Lane 0 asks for that (`stop_point`), the replicator stops moving
 *     it and says so (`stop_point_seen`). Lanes that stop at a digest on their way there count as well:
 *     others that wait for what comes behind it would have to be behind theirs.
 *
 * Any state in which all lanes have stopped between bursts is a state of the chain, so the last one to stop
 * can take a digest or begin a snapshot. A lane that has stopped goes on with its turns but does not replay;
 * before it follows a new order it leaves (nd_lane_leave_stop_point). A digest that other lanes' records
 * still lack after DIGEST_NS is not compared: replay must not depend on somebody's asking.
 */
#include "node/lane/change.h"
#include "node/lane/lane.h"
#include "ftcore/base/plant.h"
#include "ftcore/order/section.h"
#include "nflib/chain/chain.h"

#include <immintrin.h>

#define DIGEST_NS 300000000u /* a lane waits for the others at a digest: less than a handover may take */

/* Whoever waits for an access of this lane is deadlocked, until the order after this one. */
void nd_lane_abort_replay(struct nd_lane *lane)
{
    uint64_t aborted = atomic_load_explicit(&lane->group->aborted, memory_order_relaxed);

    while (aborted < lane->seen.order &&
           !atomic_compare_exchange_weak_explicit(&lane->group->aborted, &aborted, lane->seen.order,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

bool nd_lane_replay_aborted(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->group->aborted, memory_order_acquire) >= lane->seen.order;
}

void nd_lane_leave_stop_point(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (lane->index == 0)
        FT_REPORT_SET(lane->words, stop_point, 0);
    if (lane->stop_point.stopped) {
        while (!nd_barrier_over(&group->stop, lane->stop_point.number) &&
               !nd_barrier_leave(group, &group->stop, lane->stop_point.number))
            _mm_pause(); /* the last one to stop is at work for all */
        ft_wait_over(&group->published[lane->index]);
    }
    lane->stop_point.stopped = false;
    lane->stop_point.compared = 0;
}

/*
 * A lane that waited for DIGEST_NS in vain may have come to the next digest while others come to the one that
 * it left: those go on, and the newest is compared when all are there. True: they are.
 */
static bool at_one_digest(struct nd_group *group)
{
    const struct ft_record *newest = group->lane[0].stop_point.digest;
    bool one = true;

    for (unsigned l = 1; l < group->lanes; l++)
        if (group->lane[l].stop_point.digest->time > newest->time)
            newest = group->lane[l].stop_point.digest;
    for (struct nd_lane *lane = group->lane; lane < group->lane + group->lanes; lane++) {
        const struct ft_record *r = lane->stop_point.digest;

        if (r->digest == newest->digest && r->slice == newest->slice)
            continue;
        lane->stop_point.compared = r->burst;
        one = false;
    }
    return one;
}

/* All lanes have stopped before records that carry a digest. Each tells its own verdict on that of the whole
 * region; slices are lane 0's. */
static void compare_digests(struct nd_group *group)
{
    const struct ft_record *r = group->lane[0].stop_point.digest;
    bool slice = r->flags & FT_REC_SLICE;
    uint64_t got;

    if (!at_one_digest(group))
        return;
    got = slice ? 0 : ft_region_digest(group->lane[0].region);
    for (struct nd_lane *lane = group->lane; lane < group->lane + group->lanes; lane++) {
        r = lane->stop_point.digest;
        lane->stop_point.compared = r->burst;
        if (!slice)
            nd_lane_verdict(lane, r->burst, r->seq, r->digest, got);
        else if (lane->index == 0)
            nd_lane_compare_slice(lane, &(struct nd_slice_digest){r->burst, r->seq, r->slice, r->digest});
    }
}

static bool stopped_elsewhere(const struct nd_lane *lane)
{
    return !lane->stop_point.digest;
}

static void work_at_stop_point(struct nd_group *group)
{
    if (FT_PLANTED_ONCE("spoil-shared")) /* of a shared object's head, a byte that nobody reads */
        group->lane[0].region->base[ft_region_shared(group->lane[0].region)->offset + FT_LINE - 1] ^= 1;
    if (!nd_group_any(group, stopped_elsewhere))
        compare_digests(group);
    if (FT_REPORT_GET(group->lane[0].words, stop_point)) {
        FT_REPORT_SET(group->lane[0].words, stop_point, 0);
        /* Nor did a chunk come last when lane 0 asked; a delta may have come since. */
        if (!group->lane[0].apply.last_was_chunk)
            nd_lane_begin_snapshot(group);
    }
}

/* True once all have stopped and what was to be done is done. */
static bool stop_with_others(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (!lane->stop_point.stopped) {
        if (group->waits_without_limit)
            ft_wait_for_all(&group->published[lane->index]);
        lane->stop_point.number = nd_barrier_join(group, &group->stop, work_at_stop_point);
    }
    lane->stop_point.stopped = !nd_barrier_over(&group->stop, lane->stop_point.number);
    return !lane->stop_point.stopped;
}

/* closed_to does not move until a snapshot has begun, and this lane is there. */
static bool at_stop_point(const struct nd_lane *lane)
{
    const struct ft_lane *first = lane->group->lane[0].words;
    uint64_t stop_point = FT_REPORT_GET(first, stop_point);

    return stop_point && FT_ORDER_GET(first, stop_point_seen) == stop_point &&
           FT_ORDER_GET(lane->words, closed_to) == nf_chain_state(lane->chain)->burst;
}

bool nd_lane_stops(struct nd_lane *lane, const struct ft_record *next)
{
    if (lane->group->lanes == 1 || lane->doing != FT_LANE_REPLAY)
        return false;
    if (!lane->stop_point.stopped) {
        bool digest = next && ft_entry_kind(next) == FT_ENTRY_RECORD && next->flags & FT_REC_DIGEST &&
                      next->burst != lane->stop_point.compared;

        if (!digest && (next || !at_stop_point(lane)))
            return false;
        lane->stop_point.digest = digest ? next : NULL;
        lane->stop_point.since = lane->now;
    }
    if (lane->stop_point.digest && !lane->group->waits_without_limit &&
        lane->now - lane->stop_point.since > DIGEST_NS) {
        uint64_t burst = lane->stop_point.digest->burst;

        nd_lane_leave_stop_point(lane);
        lane->stop_point.compared = burst;
        return false;
    }
    return !stop_with_others(lane) || nd_lane_replay_aborted(lane);
}

/* Serial number of the digest that was asked for last, by `verify` or a drill. */
static uint64_t digest_asked(const struct nd_lane *lane)
{
    return FT_ORDER_GET(lane->words, digest);
}

/* Serial number of the digest that records are to carry: of several lanes, the one taken last. */
static uint64_t digest_to_carry(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 ? lane->group->digest_taken : digest_asked(lane);
}

/* Of several lanes: a digest that was not taken yet. */
static bool is_asked(const struct nd_lane *lane)
{
    return digest_asked(lane) > lane->group->digest_taken;
}

bool nd_lane_digest_wanted(const struct nd_lane *lane)
{
    return digest_asked(lane) != lane->seen.digest;
}

bool nd_lane_digest_by_delta(const struct nd_lane *lane)
{
    return lane->config->protect.stores || nd_lane_stream(lane) == ND_STREAM_DELTAS;
}

bool nd_group_owes_digest(const struct nd_group *group)
{
    return group->lanes > 1 && nd_group_any(group, nd_lane_owes_digest);
}

void nd_group_take_digest(struct nd_group *group)
{
    group->digest = ft_region_digest(group->lane[0].region);
    group->digest_taken = 0;
    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = digest_asked(&group->lane[l]);

        group->digest_taken = asked > group->digest_taken ? asked : group->digest_taken;
    }
}

/* Not before all have carried the last one: whoever comes to the barrier waits for those who have not. Nor
 * while a handover drains: the standby's lanes would wait at that digest instead of taking over. */
void nd_lane_want_slice(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (nd_lane_quiesced_slice_due(lane) && group->lanes > 1 && !nd_lane_draining(lane) &&
        !nd_lane_digest_by_delta(lane) && nd_lane_stream(lane) == ND_STREAM_RECORDS &&
        atomic_load_explicit(&group->owed, memory_order_acquire) == 0)
        atomic_store_explicit(&group->slice_due, true, memory_order_release);
}

bool nd_lane_digest_due(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 && !nd_lane_digest_by_delta(lane) && !nd_lane_owes_digest(lane) &&
           nd_lane_stream(lane) == ND_STREAM_RECORDS &&
           (is_asked(lane) || atomic_load_explicit(&lane->group->slice_due, memory_order_acquire));
}

static bool has_no_room(const struct nd_lane *lane)
{
    return lane->turn.no_room;
}

/* All lanes are quiesced. The standby's lanes wait for each other at this digest, so none is taken of a slice
 * while a lane here can make no record to carry it. */
static void take_digest(struct nd_group *group)
{
    if (nd_group_any(group, is_asked)) {
        nd_group_take_digest(group);
    } else if (!atomic_exchange_explicit(&group->slice_due, false, memory_order_relaxed)) {
        return;
    } else if (nd_group_any(group, has_no_room)) {
        nd_group_put_off_slice(group);
        return;
    } else {
        group->slice = nd_group_take_slice(group);
        group->slices_taken++;
    }
    atomic_store_explicit(&group->owed, group->lanes, memory_order_release);
}

bool nd_lane_owes_digest(const struct nd_lane *lane)
{
    return (digest_to_carry(lane) != lane->seen.digest || lane->group->slices_taken != lane->seen.slices) &&
           !nd_lane_digest_by_delta(lane);
}

void nd_lane_report_digest(struct nd_lane *lane, uint64_t serial, uint64_t burst)
{
    lane->seen.digest = serial;
    FT_REPORT_SET(lane->words, digest_at, burst);
    FT_REPORT_SET(lane->words, digest_seen, serial);
}

void nd_lane_carry_digest(struct nd_lane *lane, uint64_t burst)
{
    struct nd_group *group = lane->group;
    struct nd_slice_digest own;

    if (digest_to_carry(lane) != lane->seen.digest) {
        nd_lane_report_digest(lane, digest_to_carry(lane), burst);
        lg_capture_digest(&lane->capture, FT_REC_DIGEST, 0,
                          group->lanes == 1 ? ft_region_digest(lane->region) : group->digest);
    } else if (group->slices_taken != lane->seen.slices) {
        lane->seen.slices = group->slices_taken;
        lg_capture_digest(&lane->capture, FT_REC_DIGESTS, group->slice.slice, group->slice.digest);
    } else {
        own = nd_lane_take_slice(lane, burst);
        lg_capture_digest(&lane->capture, FT_REC_SLICE, own.slice, own.digest);
        return;
    }
    if (group->lanes > 1)
        atomic_fetch_sub_explicit(&group->owed, 1, memory_order_release);
}

void nd_lane_forget_digests(struct nd_group *group)
{
    for (unsigned l = 0; group->lanes > 1 && l < group->lanes; l++) {
        group->lane[l].seen.digest = group->digest_taken;
        group->lane[l].seen.slices = group->slices_taken;
    }
    atomic_store_explicit(&group->owed, 0, memory_order_relaxed);
    atomic_store_explicit(&group->slice_due, false, memory_order_relaxed);
}

/*
 * What live lanes come to the barrier for, whichever of it they came for: all that is wanted is done. A
 * snapshot comes first: it makes a delta of the old stream needless.
 */
static void work_between_bursts(struct nd_group *group)
{
    bool digest = nd_group_any(group, nd_lane_digest_due);

    if (!group->lane[0].region->snapshot_copy)
        nd_group_change(group, ND_CHANGE_ALONE);
    if (nd_group_any(group, nd_lane_snapshot_wanted))
        nd_lane_snapshot_cut(group);
    else
        nd_stream_cut(group);
    if (digest && !nd_group_owes_digest(group))
        take_digest(group);
    if (atomic_exchange_explicit(&group->snapshot_due, false, memory_order_relaxed))
        nd_lane_begin_snapshot(group);
}

/* Logging ends in one lane after the other: those for which it has ended do not come for a digest, and who
 * came before may not wait for them. */
static bool is_needed(const struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    return nd_lane_digest_due(lane) || nd_lane_snapshot_wanted(lane) || nd_lane_changes_alone(lane) ||
           atomic_load_explicit(&group->snapshot_due, memory_order_acquire) ||
           atomic_load_explicit(&group->stream.barriers_wanted, memory_order_acquire) != lane->cut.barriers;
}

bool nd_lane_changes_alone(const struct nd_lane *lane)
{
    struct nd_change *c = atomic_load_explicit(&lane->group->change, memory_order_acquire);

    return c && atomic_load_explicit(&c->stage, memory_order_acquire) == ND_CHANGE_ALONE &&
           !lane->region->snapshot_copy;
}

bool nd_lane_quiesce(struct nd_lane *lane)
{
    return nd_group_barrier(lane, work_between_bursts, is_needed);
}
