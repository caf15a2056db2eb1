/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a lane share beyond lane.h, by the file that has it. They are one unit around struct
 * nd_lane and struct nd_group, and run on the lanes' threads.
 */
#ifndef LANE_PARTS_H
#define LANE_PARTS_H

#include "lane/lane.h"

/* The node is to end. */
static inline bool nd_lane_is_to_end(const struct nd_lane *lane)
{
    return atomic_load_explicit(lane->setup.stop, memory_order_relaxed);
}

/* Another order waits than the one that the lane follows. */
static inline bool nd_lane_is_taken_back(const struct nd_lane *lane)
{
    return FT_ORDER_GET(lane->shared, order) != lane->seen.order;
}

/* The region keeps the state of a snapshot's cut, whose lines lanes copy. */
static inline bool nd_lane_has_snapshot(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->region->tracking, memory_order_relaxed) & FT_TRACK_SNAPSHOT;
}

/* Serial number of the digest of the region that was asked for last, by `verify` or a drill. */
static inline uint64_t nd_lane_digest_asked(const struct nd_lane *lane)
{
    return FT_ORDER_GET(lane->shared, digest);
}

/* Serial number of the digest that records are to carry: of several lanes, the one taken last. */
static inline uint64_t nd_lane_digest_to_carry(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 ? lane->group->digest_taken : nd_lane_digest_asked(lane);
}

static inline void nd_lane_report_digest(struct nd_lane *lane, uint64_t serial, uint64_t burst)
{
    lane->seen.digest = serial;
    FT_REPORT_SET(lane->shared, digest_at, burst);
    FT_REPORT_SET(lane->shared, digest_seen, serial);
}

/* ---- lane.c -------------------------------------------------------------------------------------- */

/* Runs this chain from now on, with the state that it has. All lanes are quiesced. */
void nd_lane_take_chain(struct nd_lane *lane, struct nf_chain *chain);
/* The lane's thread is about to end: what others wait for is replayed, what is held is dropped. */
void nd_lane_end(struct nd_lane *lane);
/* A turn is over. Backs off when there was no work. */
void nd_lane_wait(struct nd_lane *lane, bool worked);
/* The last packets came less than this apart, and the last one is no longer ago. */
#define ND_DENSE_NS 200000u
static inline bool nd_lane_is_dense(const struct nd_lane *lane)
{
    return lane->turn.gap < ND_DENSE_NS && lane->now - lane->turn.moved < ND_DENSE_NS;
}
/* Claims the lane's question, so that the asker cannot take it back any more. False: it just did. */
bool nd_lane_claim_question(const struct nd_lane *lane, enum nd_ask_kind kind);

/* ---- tests/sim/planted_lane.c: in the simulation, which plants bugs ------------------------------- */

#ifdef UNDERSTUDY_PLANT
/* What the record has of packet `p`, the burst's `i`, where it should have `identity`. */
struct nf_session_input nd_planted_input(const struct nd_lane *lane, const struct nf_sessions_lane *found,
                                         const struct nf_packet *p, uint32_t i,
                                         struct nf_session_input identity);
/* When the chain has run: into the record that was captured before. */
void nd_planted_marks(const struct nd_lane *lane);
#else
#define nd_planted_input(lane, found, p, i, identity) (identity)
#define nd_planted_marks(lane)                        ((void)0)
#endif

/* ---- turn.c -------------------------------------------------------------------------------------- */

/* lg_delta.carry: how many bytes of a held output a delta carries; `arg` is the lane. */
uint32_t nd_lane_carry(void *arg, const struct ft_held *held, const uint8_t **frame);

/* ---- inputs.c ------------------------------------------------------------------------------------ */

/* Room for a quarter of the packet buffers: the hold may have half. FT_ENOMEM: nothing is left to free. */
int nd_waiting_make(struct nd_waiting *waiting, uint32_t buffers);
void nd_waiting_free(struct nd_waiting *waiting);
/* The oldest frame that waits. False: none does. */
static inline bool nd_waiting_take(struct nd_waiting *waiting, struct nd_frame *out)
{
    if (waiting->count == 0)
        return false;
    *out = waiting->frames[waiting->first];
    waiting->first = (waiting->first + 1) % waiting->room;
    waiting->count--;
    return true;
}
/* Takes the packets of the burst from `from` on out of it: they wait in front of all others, for the next
 * one. What finds no room is dropped, and counted. */
void nd_lane_put_back(struct nd_lane *lane, uint32_t from);
void nd_lane_receive(struct nd_lane *lane); /* adds to burst.packets, up to a burst */
/* From an input keeper: a whole burst, with its time. False: none is there. */
bool nd_lane_receive_burst(struct nd_lane *lane, uint64_t *time);
/* The lane has no room for a burst: receives what is to wait, if it may not release. True: frames came. */
bool nd_lane_receive_to_wait(struct nd_lane *lane);

/* ---- frames.c ------------------------------------------------------------------------------------ */

/* NULL: no buffer, which is counted. */
void *nd_lane_make_packet(struct nd_lane *lane, const void *frame, uint32_t len);
/* Claims the chain's addresses. `again`: also three times a little later. */
void nd_lane_announce(struct nd_lane *lane, bool again);
/* When lane 0 is to send the next heartbeat, at the latest as it is now. */
uint64_t nd_lane_heartbeat_due(const struct nd_lane *lane);
/* Lane 0, when they are due. */
void nd_lane_ask_gateways(struct nd_lane *lane);

/* ---- between.c ----------------------------------------------------------------------------------- */

/* What the stream and others make of a lane's coming burst. */
struct nd_needs {
    bool may_run;               /* a burst may be run in this turn */
    bool record;                /* a record is made of it, for the stream or for somebody else */
    bool digest;                /* that record carries a digest */
    bool marks;                 /* its outputs are weighed, for a delta or checkpoint */
    enum nd_stream_kind stream; /* what reports it to the standby */
};

/* Once a turn of a live lane: announces what this lane wants of all others, and has it done at the barrier;
 * copies what the last cut left to be copied; decides what the coming burst needs. */
struct nd_needs nd_lane_between_bursts(struct nd_lane *lane);
/* A burst is due though no packet came: for a digest that somebody waits for, or for what has been released.
 */
bool nd_stream_needs_burst(const struct nd_lane *lane, const struct nd_needs *needs);
/* The stream covers all that the lane did, no lane has a delta to finish, without which what was recorded
 * behind it does not count, and none a digest to carry, at which the standby's other lanes would wait. */
bool nd_stream_is_complete(const struct nd_lane *lane);

/* ---- cut.c --------------------------------------------------------------------------------------- */

/* What reports the lane's bursts to the standby, at present. */
static inline enum nd_stream_kind nd_lane_stream(const struct nd_lane *lane)
{
    return FT_ORDER_GET(lane->shared, logging) ? lane->group->stream.kind : ND_STREAM_NONE;
}
/* No cut is wanted, and none can be due or copied: a hot standby replays the records, or there is no stream,
 * and the lane has ended its own. */
static inline bool nd_cut_rests(const struct nd_lane *lane, enum nd_stream_kind stream)
{
    const struct nd_stream *s = &lane->group->stream;

    return atomic_load_explicit(&s->barriers_wanted, memory_order_acquire) == lane->cut.barriers &&
           ((stream == ND_STREAM_RECORDS && !lane->protect->stores) ||
            (stream == ND_STREAM_NONE && lane->cut.left));
}
/* The lane's stream is wanted: announces a cut if one is due. A copy of the last one that is under way when
 * the next is due is finished before any further burst. */
void nd_cut_want(struct nd_lane *lane);
/* All lanes are quiesced: a cut, if one is wanted and due. */
void nd_group_cut_stream(struct nd_group *group);
/* The last cut lets the lane run a burst; until it does the lane copies. */
bool nd_cut_permits(struct nd_lane *lane);
/* No record or delta covers its last burst yet. */
bool nd_cut_unrecorded(const struct nd_lane *lane);
/* A digest goes with the next delta, which needs a burst to be cut behind, and no more than one. */
bool nd_cut_needs_burst(const struct nd_lane *lane);
/* Lines that a burst changes are marked, for a delta or a checkpoint. */
bool nd_cut_marks(const struct nd_lane *lane, enum nd_stream_kind stream);

/* ---- cost.c -------------------------------------------------------------------------------------- */

/* A live lane's turn ends, with this last burst whose outputs may leave: what its standby has cost since the
 * turn before. */
void nd_cost_turn(struct nd_lane *lane, uint64_t stable);

/* ---- snapshot.c ---------------------------------------------------------------------------------- */

/* All lanes are quiesced: the snapshot's cut. What is asked for last counts, for all lanes. */
void nd_group_cut_for_snapshot(struct nd_group *group);
static inline bool nd_snapshot_wanted(const struct nd_lane *lane)
{
    /* Greater, not different: a cut that others asked for first may be asked of this lane a moment later. */
    return FT_ORDER_GET(lane->shared, cut) > lane->snapshot.cut;
}
/* Ends a snapshot that nobody reads any more. */
void nd_snapshot_follow(struct nd_lane *lane);
/* Copies pending lines of a resync's snapshot, as many as are granted. True if there were any. */
bool nd_lane_snapshot_copy(struct nd_lane *lane);
/* Live: the flight recorder, which is there, wants all lanes at the barrier. Lane 0 looks whether it does. */
bool nd_recorder_wants(const struct nd_lane *lane);
/* Live or in replay, between bursts; true if there was work. */
bool nd_lane_recorder_turn(struct nd_lane *lane);
/* All lanes are quiesced: the flight recorder's snapshot. */
void nd_group_begin_recording(struct nd_group *group);
/* No snapshot is wanted, by either, and none is to be ended. */
static inline bool nd_snapshot_rests(const struct nd_lane *lane)
{
    return FT_ORDER_GET(lane->shared, cut) <= lane->snapshot.cut &&
           FT_ORDER_GET(lane->shared, snapshot_release) == lane->snapshot.release &&
           !(lane->setup.recorder && nd_recorder_wants(lane));
}

/* ---- verification.c ------------------------------------------------------------------------------ */

/* FT_ENOMEM: nd_lane_free frees what there is. */
int nd_verification_make(struct nd_lane *lane);
void nd_verification_free(struct nd_lane *lane);
/* All lanes are quiesced, and a stream begins: the first turn of a round is due after an interval. */
void nd_verification_begin(struct nd_lane *lane);
/* All lanes are quiesced, and lane 0 found a slice due: it is lane 0's last burst. */
struct nd_slice_digest nd_group_take_slice(struct nd_group *group);
/* Standby: this lane has replayed or applied as much as the primary's had when it took the digest. False:
 * they differ, which is reported and kept, and the lane's replay has diverged. */
bool nd_lane_compare_slice(struct nd_lane *lane, const struct nd_slice_digest *theirs);

/* All lanes are quiesced, at a cut or for records: the digest of the region. */
void nd_group_take_digest(struct nd_group *group);
/* Lane 0: a slice is due that needs all lanes to wait. */
static inline bool nd_slice_due(const struct nd_lane *lane)
{
    return lane->now >= lane->verification.quiesced_at;
}
/* Somebody waits for a digest of the region. */
static inline bool nd_digest_wanted(const struct nd_lane *lane)
{
    return nd_lane_digest_asked(lane) != lane->seen.digest;
}
/* A delta carries the digest, since the standby does not replay every record. */
static inline bool nd_digest_by_delta(const struct nd_lane *lane)
{
    return lane->protect->stores || nd_lane_stream(lane) == ND_STREAM_DELTAS;
}
/* The next record is to carry what all quiesced for. */
bool nd_digest_owed(const struct nd_lane *lane);
/* No digest is wanted of the lane, due, or still to be carried. */
static inline bool nd_digests_rest(const struct nd_lane *lane, enum nd_stream_kind stream)
{
    const struct nd_group *group = lane->group;
    uint64_t seen = lane->seen.digest;

    return stream == ND_STREAM_NONE ||
           (lane->now < lane->verification.at && lane->now < lane->verification.quiesced_at &&
            FT_ORDER_GET(lane->shared, digest) == seen && group->slices_taken == lane->seen.slices &&
            (group->lanes == 1 || (group->digest_taken == seen &&
                                   !atomic_load_explicit(&group->slice_due, memory_order_acquire))));
}
/* Lane 0 announces that a slice is due, to all lanes if there are several. Not before all have carried the
 * last one: a lane that comes to the barrier waits for those that have not. Nor while a handover drains: the
 * standby's lanes would wait at that digest instead of taking over. */
void nd_slice_want(struct nd_lane *lane);
/* All lanes are quiesced: the last digest has not gone into the records of all. No other one, and no other
 * kind of segment, before it has: the standby would compare what belongs to different moments. */
bool nd_group_owes_digest(const struct nd_group *group);
/* All lanes are quiesced: the digest that is due, which the next record of each carries. The standby's lanes
 * wait for each other at it, so none is taken of a slice while a lane here can make no record to carry it. */
void nd_group_take_for_records(struct nd_group *group);
/* At a snapshot's cut: records before it and after it have different readers. Who asked has to ask again. */
void nd_group_forget_digests(struct nd_group *group);
/* Puts the digest into the record of this burst: the one that all quiesced for, or that of the slice due. */
void nd_lane_carry_digest(struct nd_lane *lane, uint64_t burst);

/* ---- standby.c ----------------------------------------------------------------------------------- */

/* Reports the divergence, stops this lane's replay and aborts that of the others. Always false. */
bool nd_lane_diverged(struct nd_lane *lane, uint64_t burst, uint64_t seq, const char *what, uint64_t expected,
                      uint64_t got);
/* Something up to burst `upto`, or of a whole delta, is still to be replayed or applied. */
bool nd_lane_behind(const struct nd_lane *lane, uint64_t upto);
/* Bursts up to here are to be replayed: they are in the closed set of what the link brought, or in that of
 * what came by the lanes' ports. */
static inline uint64_t nd_lane_replays_to(const struct nd_lane *lane)
{
    uint64_t closed = FT_ORDER_GET(lane->shared, closed_to), by_port = nd_link_closed(lane);

    return closed > by_port ? closed : by_port;
}
/* Lane 0: all lanes are to stop where they may replay to, which moves no more until they have. Tried again in
 * the next turn where another lane is about to move it. */
void nd_lane_ask_to_stop(struct nd_lane *lane);
/* Another order is to be followed. */
void nd_lane_leave_stop_point(struct nd_lane *lane);

/* ---- group.c ------------------------------------------------------------------------------------- */

/* Some lane is so. */
bool nd_group_any(const struct nd_group *group, bool (*is)(const struct nd_lane *lane));

/* A lane waits for another, and has found `spins` times that it still has to: sleeps when that is often. */
void nd_group_pause(unsigned spins);

/* Comes to a barrier; the last lane to come does the work (NULL: there is none) before this returns. The
 * barrier's number, for its end and for leaving it; then the same lane may come again. */
uint64_t nd_barrier_join(struct nd_group *group, struct nd_barrier *place,
                         void (*work)(struct nd_group *group));
bool nd_barrier_over(const struct nd_barrier *place, uint64_t number);
/* False: all have come, and the last one is at work or done. */
bool nd_barrier_leave(const struct nd_group *group, struct nd_barrier *place, uint64_t number);

/* Waits at `between` until all lanes have come, then `work` runs once, then all go on. Lanes come between
 * bursts. False: the lane left again, because it has another order, replay was aborted, it is to end, or what
 * it came for is not `needed` any more (NULL: it is). */
bool nd_group_barrier(struct nd_lane *lane, void (*work)(struct nd_group *group),
                      bool (*needed)(const struct nd_lane *lane));
/* The same at another place, always needed: lanes at different places do not count for each other. */
bool nd_group_barrier_at(struct nd_lane *lane, struct nd_barrier *place,
                         void (*work)(struct nd_group *group));

/* All lanes are quiesced: carries out the change of the chain if it is at this stage. */
void nd_group_change(struct nd_group *group, enum nd_change_stage at);

#endif
