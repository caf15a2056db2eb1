/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lanes want of each other between two bursts, asked once a turn (nd_lane_between_bursts), which also
 * decides what the coming burst needs. An ordinary burst finds that nothing is wanted and nothing under way,
 * in one look at each of those who may want something: cuts (cut.c), snapshots and the flight recorder
 * (snapshot.c), digests (verification.c), a change of the chain (group.c), a handover.
 *
 * Barrier. When one lane wants something of all, all come to a barrier between bursts (group.h), all within a
 * turn, since none waits for another in the middle of a burst for longer than a section takes. The last to
 * come does all that is wanted by any.
 */
#include "lane/parts.h"
#include "nflib/chain/chain.h"

#define QUIET_NS 2000000ull /* without a burst, until what was released is reported to the standby */

/*
 * What live lanes come to the barrier for, whichever of it they came for: all that is wanted is done. A
 * snapshot comes first: it makes a delta of the old stream needless.
 */
static void work_between_bursts(struct nd_group *group)
{
    struct lg_recorder *recorder = group->lane[0].setup.recorder;
    bool digest = nd_group_any(group, nd_lane_digest_due);

    if (!group->lane[0].region->snapshot_copy)
        nd_group_change(group, ND_CHANGE_ALONE);
    if (nd_group_any(group, nd_snapshot_wanted))
        nd_group_cut_for_snapshot(group);
    else
        nd_group_cut_stream(group);
    if (digest && !nd_group_owes_digest(group))
        nd_group_take_for_records(group);
    if (recorder && lg_recorder_waits(recorder))
        nd_group_begin_recording(group);
}

/* The chain is to be changed at once, at a barrier. */
static bool changes_alone(const struct nd_lane *lane)
{
    struct nd_change *c = atomic_load_explicit(&lane->group->change, memory_order_acquire);

    return c && atomic_load_explicit(&c->stage, memory_order_acquire) == ND_CHANGE_ALONE &&
           !lane->region->snapshot_copy;
}

/* Logging ends in one lane after the other: those for which it has ended do not come for a digest, and who
 * came before may not wait for them. */
static bool wants_barrier(const struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    return (group->lanes > 1 && nd_lane_digest_due(lane)) || nd_snapshot_wanted(lane) ||
           changes_alone(lane) || (lane->setup.recorder && lg_recorder_waits(lane->setup.recorder)) ||
           atomic_load_explicit(&group->stream.barriers_wanted, memory_order_acquire) != lane->cut.barriers;
}

bool nd_lane_quiesce(struct nd_lane *lane)
{
    return nd_group_barrier(lane, work_between_bursts, wants_barrier);
}

/* Frames that one lane polls may be another's, so none stops before all are quiet. */
static bool has_drained(const struct nd_lane *lane)
{
    if (!nd_lane_draining(lane))
        return false;
    for (unsigned l = 0; l < lane->group->lanes; l++)
        if (FT_REPORT_GET(lane->group->lane[l].shared, done) != lane->seen.order)
            return false;
    return true;
}

/* What an ordinary burst finds: nobody wants anything, and nothing is under way. */
static inline bool is_ordinary(const struct nd_lane *lane, enum nd_stream_kind stream)
{
    return nd_cut_rests(lane, stream) && nd_snapshot_rests(lane) && nd_digests_rest(lane, stream) &&
           lane->doing != FT_LANE_DRAIN && !atomic_load_explicit(&lane->group->change, memory_order_acquire);
}

/* Announces what this lane wants, has all lanes' wishes carried out, and goes on with what is under way.
 * False: the lane may run no burst in this turn. */
static __attribute__((noinline)) bool settle(struct nd_lane *lane)
{
    bool drained = has_drained(lane); /* what comes now is the other node's */

    nd_snapshot_follow(lane);
    nd_slice_want(lane);
    if (lane->setup.recorder)
        (void)nd_recorder_wants(lane);
    if (FT_ORDER_GET(lane->shared, logging) && !drained)
        nd_cut_want(lane);
    /* Before the barrier: at each of its turns a slow lane would find the cut behind another one's burst.
     * Where an input keeper cuts the bursts, a lane has none of its own. */
    bool behind = !drained && nd_lane_stream(lane) != ND_STREAM_NONE && !lane->io->burst &&
                  nd_cut_needs_burst(lane) && nd_cut_permits(lane) && !lane->turn.no_room;

    return (!wants_barrier(lane) || behind || nd_lane_quiesce(lane)) && !drained && nd_cut_permits(lane);
}

struct nd_needs nd_lane_between_bursts(struct nd_lane *lane)
{
    enum nd_stream_kind stream = nd_lane_stream(lane);
    bool ordinary = ft_likely(is_ordinary(lane, stream));

    if (!ordinary && !settle(lane))
        return (struct nd_needs){.may_run = false};
    /* Logging and recording begin between bursts only, by this lane, so what is read here holds for the
     * burst. */
    if (!ordinary)
        stream = nd_lane_stream(lane);
    return (struct nd_needs){.may_run = true,
                             .stream = stream,
                             .record = stream == ND_STREAM_RECORDS || lane->io->record ||
                                       (lane->setup.recorder && lg_recorder_listens(lane->setup.recorder)),
                             .digest = !ordinary && stream == ND_STREAM_RECORDS &&
                                       (nd_digest_owed(lane) || lane->now >= lane->verification.at),
                             .marks = !ordinary && nd_cut_marks(lane, stream)};
}

/* The standby keeps outputs that were released after the last record, until one more record reports them. */
static bool owes_released(const struct nd_lane *lane)
{
    return lane->now - lane->timers.busy_at > QUIET_NS &&
           FT_REPORT_GET(lane->shared, released) != lane->recorded_released;
}

bool nd_stream_needs_burst(const struct nd_lane *lane, const struct nd_needs *needs)
{
    if (needs->stream == ND_STREAM_NONE)
        return false;
    /* The next delta reports what has been released, if there is a burst to be cut behind. */
    return needs->digest || nd_cut_needs_burst(lane) ||
           (owes_released(lane) && !(needs->stream == ND_STREAM_DELTAS && nd_cut_unrecorded(lane)));
}

bool nd_stream_is_complete(const struct nd_lane *lane)
{
    return !nd_cut_unrecorded(lane) &&
           !(FT_ORDER_GET(lane->shared, logging) &&
             (atomic_load_explicit(&lane->group->stream.copying, memory_order_acquire) ||
              nd_digest_owed(lane) || atomic_load_explicit(&lane->group->owed, memory_order_acquire) != 0));
}
