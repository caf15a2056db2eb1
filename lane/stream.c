/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream that live lanes make together, and what it asks of a lane between two bursts: its cuts, the
 * deltas and checkpoints copied there, the snapshot with which it begins, the flight recorder's snapshots,
 * digests, changes of the chain. Each turn asks once (nd_lane_between_bursts), which also says what the
 * coming burst needs. Runs on the lanes' threads; what is agreed on lies in struct nd_group.
 *
 * Barrier. When one lane wants something of all, all come to a barrier between bursts (group.h), all within a
 * turn, since none waits for another in the middle of a burst for longer than a section takes. The last to
 * come does all that is wanted by any.
 *
 * Cuts. A stream of deltas is cut every commit interval; a stream of records is cut for a warm standby's
 * checkpoints only. Each lane then copies its own delta in its own turns, lane 0 that of the shared arena
 * first. When lanes may run bursts says enum nd_copy. The clock of cuts is the chain's time where an input
 * keeper stamps bursts (so that a capture gives the same stream at any speed), else the lane's. Lines are
 * marked for deltas and checkpoints alone.
 *
 * A checkpoint between records is copied beside bursts. At the cut the marked lines are pending
 * (ftcore/region/checkpoint.h) and lanes go on with bursts. Between
 * these a lane copies some of its pending lines into a chunk, which lies in the log ring between the records.
 * Lane 0 copies the shared arena at the cut itself, before anybody runs a burst: lanes edit it in turns, so
 * its lines are nobody's to save. Also the first chunk comes before the next burst.
 *
 * Its schedule: whatever is behind a chunk waits for it, in the ring, on the link, at the standby. So there
 * is one under way at a time: the next is made when the first burst behind the last one is stable, or when no
 * burst came and some time has passed; and, as acknowledgements may take long, when the copied fraction of
 * the lines is less than AHEAD times the progress to the next checkpoint. While bursts are full only that
 * makes a chunk. When the next checkpoint is due, or somebody waits, the rest is copied at once and the lane
 * runs no burst meanwhile. So a standby never has chunks of two checkpoints to keep.
 *
 * Lanes that are done with their lines make their last chunks when all are: what comes behind a lane's last
 * chunk is not stable before the others' are there (ftcore/order/closed.c). The last chunk carries the
 * outputs of before the cut that are still held. Records tell of those as well, so they leave soon; the chunk
 * waits for that, and carries none, unless it takes LEAVE_NS.
 *
 * Snapshots. Of a resync: the cut at which the replicator's snapshot begins and the stream begins anew, and
 * the copies of pending lines; the replicator reads what is copied. Of the flight recorder: whether a file is
 * due, the stop of all lanes for its snapshot, copies of some of it.
 */
#include "lane/parts.h"
#include "ftcore/base/event_log.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/region/pages.h"
#include "nflib/chain/chain.h"
#include "ftcore/base/clock.h"

/* Lines that one packet changes at most, as assumed: the entries of five NFs and their lists. */
#define PACKET_LINES 8u
#define CHUNK_BYTES  (32u << 10)
#define CHUNK_NS     100000u /* between two chunks when no burst is run */
#define LEAVE_NS     10000000u
#define AHEAD        2.0        /* copied fraction : progress to the next checkpoint, at least */
#define COPY_TURN    256u       /* pending lines copied between two bursts: 16 KiB, some microseconds */
#define QUIET_NS     2000000ull /* without a burst, until the standby is told what was released meanwhile */

/* Lane 0: a slice is due that needs all lanes to wait. */
static bool quiesced_slice_due(const struct nd_lane *lane)
{
    return lane->now >= lane->verification.quiesced_at;
}

/* What tells the standby of the lane's bursts, at present. */
static enum nd_stream_kind stream_kind(const struct nd_lane *lane)
{
    return FT_ORDER_GET(lane->shared, logging) ? lane->group->stream.kind : ND_STREAM_NONE;
}

/* Somebody waits for a digest of the region. */
static bool digest_wanted(const struct nd_lane *lane)
{
    return nd_lane_digest_asked(lane) != lane->seen.digest;
}

/* A delta carries the digest, since the standby does not replay every record. */
static bool digest_by_delta(const struct nd_lane *lane)
{
    return lane->protect->stores || stream_kind(lane) == ND_STREAM_DELTAS;
}

/* The next record is to carry what all quiesced for. */
static bool lane_owes_digest(const struct nd_lane *lane)
{
    return (nd_lane_digest_to_carry(lane) != lane->seen.digest ||
            lane->group->slices_taken != lane->seen.slices) &&
           !digest_by_delta(lane);
}

/* ---- how far it is ------------------------------------------------------------------------------- */

static bool is_warm(const struct nd_lane *lane)
{
    return lane->protect->stores;
}

static uint64_t pending_bytes(const struct nd_lane *lane)
{
    return (uint64_t)lane->protect->pending_mb << 20;
}

/* The delta of the last cut is an incremental checkpoint. */
static bool is_incremental(const struct nd_stream *stream)
{
    return atomic_load_explicit(&stream->copy, memory_order_relaxed) != ND_COPY_STOPPED;
}

static uint64_t cut_time(const struct nd_lane *lane)
{
    return lane->io->burst ? nf_chain_state(lane->chain)->time : lane->now;
}

/* No record or delta tells of its last burst yet. */
static bool is_unrecorded(const struct nd_lane *lane)
{
    return stream_kind(lane) != ND_STREAM_NONE &&
           FT_REPORT_GET(lane->shared, recorded) != nf_chain_state(lane->chain)->burst;
}

/* Lines that a burst changes are marked, for a delta or a checkpoint. */
static bool marks_lines(const struct nd_lane *lane, enum nd_stream_kind stream)
{
    return stream == ND_STREAM_DELTAS || (stream == ND_STREAM_RECORDS && is_warm(lane));
}

/* Bytes of records that a warm standby may keep; while a checkpoint is copied, it keeps a second one. */
static uint64_t most_uncovered(const struct nd_lane *lane)
{
    const struct nd_stream *s = &lane->group->stream;
    bool beside = is_incremental(s) && atomic_load_explicit(&s->copying, memory_order_relaxed);

    return pending_bytes(lane) / (beside ? 8 : 4);
}

static double fraction_of(uint64_t n, uint64_t all)
{
    return all ? (double)n / (double)all : 1;
}

/* How far the lane is from the last cut to its next checkpoint: from 0 on, 1 and more when it is due. */
static double progress(const struct nd_lane *lane)
{
    const struct nd_protect *p = lane->protect;
    double time = fraction_of(cut_time(lane) - lane->cut.at, p->checkpoint_ms * 1000000ull);
    double kept = fraction_of(lane->cut.uncovered, most_uncovered(lane));

    if (lane->cut.grown)
        return 1;
    return time > kept ? time : kept;
}

/* Its interval is over, a warm standby may keep no more, or somebody waits for a digest. */
static bool checkpoint_due(const struct nd_lane *lane)
{
    return is_warm(lane) && (digest_wanted(lane) || progress(lane) >= 1);
}

/* Memory that a delta would take now: its lines, and what it carries of the outputs still held. */
static uint64_t delta_bytes_now(const struct nd_lane *lane)
{
    uint64_t made = lane->hold.in - lane->cut.output, from = lane->cut.output;

    if (from < lane->hold.out)
        from = lane->hold.out;
    return lg_delta_lines(lane->region, lane->index) +
           (made ? lane->cut.carry_bytes * (lane->hold.in - from) / made : 0);
}

/*
 * A checkpoint comes before a delta is larger than what the standby may keep. Deltas are weighed each time
 * that packets may have changed a sixteenth of that since, if each lane's packets change PACKET_LINES lines.
 * Lane 0's delta has the shared arena, which all lanes change, so each lane weighs that one too.
 */
static void weigh_delta(struct nd_lane *lane)
{
    uint64_t seq = nf_chain_state(lane->chain)->seq, room = pending_bytes(lane) / 16;

    if (seq < lane->cut.weigh_at)
        return;
    lane->cut.weigh_at = seq + room / (PACKET_LINES * FT_LINE * lane->group->lanes);
    ft_pages_mark(lane->region, lane->index);
    lane->cut.grown =
        delta_bytes_now(lane) > 7 * room || (lane->index != 0 && lg_delta_lines(lane->region, 0) > 7 * room);
}

/* ---- a checkpoint that is copied beside bursts --------------------------------------------------- */

/* All lanes are quiesced, at a checkpoint's cut: its lines are pending from here on. False: there is no
 * memory to copy it beside bursts. */
static bool begin_checkpoint(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;
    struct ft_region *region = group->lane[0].region;

    if (!region->checkpoint_saved)
        return false;
    atomic_store_explicit(&s->copy, ND_COPY_BESIDE, memory_order_relaxed);
    atomic_store_explicit(&s->lines_left, group->lanes, memory_order_relaxed);
    for (unsigned l = 0; l < group->lanes; l++) {
        group->lane[l].checkpoint.bytes = lg_delta_lines(region, l);
        group->lane[l].checkpoint.lines_done = false;
    }
    ft_checkpoint_begin(region);
    return true;
}

static uint32_t chunk_bytes(const struct nd_lane *lane)
{
    return lane->setup.chunk_bytes ? lane->setup.chunk_bytes : CHUNK_BYTES;
}

static void note_chunk(struct nd_lane *lane)
{
    lane->checkpoint.chunk_burst = nf_chain_state(lane->chain)->burst;
    lane->checkpoint.chunk_at = lane->now;
}

static bool make_chunk(struct nd_lane *lane, uint32_t bytes)
{
    note_chunk(lane);
    return lg_delta_some(&lane->delta, bytes);
}

/* The last chunk has reached the standby, or nobody waits behind it. */
static bool last_chunk_arrived(struct nd_lane *lane)
{
    uint64_t stable = FT_ORDER_GET(lane->shared, stable);

    if (nf_chain_state(lane->chain)->burst == lane->checkpoint.chunk_burst)
        return lane->now - lane->checkpoint.chunk_at >= CHUNK_NS;
    if (stable == FT_ALL) /* outputs do not wait for the standby; the ring does */
        return ft_ring_used(&lane->shared->log) < CHUNK_BYTES;
    return stable > lane->checkpoint.chunk_burst;
}

static bool falls_behind(const struct nd_lane *lane)
{
    return (double)lane->delta.bytes < AHEAD * progress(lane) * (double)lane->checkpoint.bytes;
}

/* No burst before the checkpoint is whole. */
static bool hurries(const struct nd_lane *lane)
{
    int copy = atomic_load_explicit(&lane->group->stream.copy, memory_order_relaxed);

    return copy == ND_COPY_HURRIED || (copy == ND_COPY_BESIDE && nd_lane_draining(lane));
}

/* The last chunk has nothing to carry: what was held at the cut has left. */
static bool outputs_left(const struct nd_lane *lane)
{
    return lane->hold.out >= lane->delta.end || lane->protect->tail == ND_TAIL_SUPPRESS;
}

/* The first chunk, and the shared arena, at the cut. False: the ring has no room for them yet. */
static bool make_first_chunks(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;

    if (lane->index == 0 && atomic_load_explicit(&s->shared_copied, memory_order_relaxed) != s->number) {
        note_chunk(lane);
        if (!lg_delta_shared(&lane->delta))
            return false;
        atomic_store_explicit(&s->shared_copied, s->number, memory_order_release);
    }
    return lane->delta.head.number > 0 || make_chunk(lane, chunk_bytes(lane));
}

/* A turn of a lane that has not copied all of it. False: it may run no burst. */
static bool go_on_with_checkpoint(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;
    struct lg_delta *delta = &lane->delta;

    if (!make_first_chunks(lane))
        return false;
    while (!delta->lines_done && hurries(lane))
        if (!make_chunk(lane, FT_CHUNK_LINES))
            return false;
    if (!delta->lines_done && ((!lane->turn.full && last_chunk_arrived(lane)) || falls_behind(lane)))
        make_chunk(lane, chunk_bytes(lane));
    if (delta->lines_done && !lane->checkpoint.lines_done) {
        lane->checkpoint.lines_done = true;
        atomic_fetch_sub_explicit(&s->lines_left, 1, memory_order_acq_rel);
    }
    if (lane->checkpoint.lines_done && atomic_load_explicit(&s->lines_left, memory_order_acquire) == 0 &&
        (outputs_left(lane) || nd_lane_draining(lane) || lane->now - lane->checkpoint.chunk_at >= LEAVE_NS))
        return lg_delta_turn(delta);
    return true;
}

/* ---- digests that all lanes quiesce for ------------------------------------------------------------ */

/* All lanes are quiesced: the last digest has not gone into the records of all. No other one, and no other
 * kind of segment, before it has: the standby would compare what belongs to different moments. */
static bool owes_digest(const struct nd_group *group)
{
    return group->lanes > 1 && nd_group_any(group, lane_owes_digest);
}

/* Lane 0 says that a slice is due, of several lanes to all. Not before all have carried the last one: whoever
 * comes to the barrier waits for those who have not. Nor while a handover drains: the standby's lanes would
 * wait at that digest instead of taking over. */
static void want_slice(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (group->lanes > 1 && !nd_lane_draining(lane) && !digest_by_delta(lane) &&
        stream_kind(lane) == ND_STREAM_RECORDS &&
        atomic_load_explicit(&group->owed, memory_order_acquire) == 0)
        atomic_store_explicit(&group->slice_due, true, memory_order_release);
}

/* A digest of the region that was not taken yet. */
static bool is_asked(const struct nd_lane *lane)
{
    return nd_lane_digest_asked(lane) > lane->group->digest_taken;
}

bool nd_lane_digest_due(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 && !digest_by_delta(lane) && !lane_owes_digest(lane) &&
           stream_kind(lane) == ND_STREAM_RECORDS &&
           (is_asked(lane) || atomic_load_explicit(&lane->group->slice_due, memory_order_acquire));
}

static bool has_no_room(const struct nd_lane *lane)
{
    return lane->turn.no_room;
}

/* All lanes are quiesced: the digest that is due, which the next record of each carries. The standby's lanes
 * wait for each other at it, so none is taken of a slice while a lane here can make no record to carry it. */
static void take_for_records(struct nd_group *group)
{
    if (nd_group_any(group, is_asked)) {
        nd_group_take_digest(group);
    } else if (!atomic_exchange_explicit(&group->slice_due, false, memory_order_relaxed)) {
        return;
    } else if (nd_group_any(group, has_no_room)) {
        nd_verification_put_off(&group->lane[0]);
        return;
    } else {
        group->slice = nd_group_take_slice(group);
        group->slices_taken++;
    }
    atomic_store_explicit(&group->owed, group->lanes, memory_order_release);
}

/* At a snapshot's cut: records before it and after it have different readers. Who asked has to ask again. */
static void forget_digests(struct nd_group *group)
{
    for (unsigned l = 0; group->lanes > 1 && l < group->lanes; l++) {
        group->lane[l].seen.digest = group->digest_taken;
        group->lane[l].seen.slices = group->slices_taken;
    }
    atomic_store_explicit(&group->owed, 0, memory_order_relaxed);
    atomic_store_explicit(&group->slice_due, false, memory_order_relaxed);
}

/* ---- a cut --------------------------------------------------------------------------------------- */

/* What digest was taken at a cut. It goes with the deltas of all lanes. */
enum cut_digest { NO_DIGEST, OF_REGION, OF_SLICE };

static void begin_delta(struct nd_lane *lane, enum cut_digest digest)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct ft_chunk head = {.lane = (uint16_t)lane->index,
                            .flags = is_incremental(&lane->group->stream) ? FT_CHUNK_INCREMENTAL : 0,
                            .cut = lane->group->stream.number,
                            .from = lane->cut.burst,
                            .burst = state->burst,
                            .seq = state->seq,
                            .access = state->access - 1,
                            .released = FT_REPORT_GET(lane->shared, released),
                            .outputs = state->outputs};

    if (digest == OF_REGION) {
        head.flags |= FT_REC_DIGEST;
        head.digest = lane->group->digest;
        nd_lane_report_digest(lane, lane->group->digest_taken, head.burst);
    } else if (digest == OF_SLICE) {
        head.flags |= FT_REC_DIGESTS;
        head.digest = lane->group->slice.digest;
        head.slice = lane->group->slice.slice;
    }
    lg_delta_begin(&lane->delta, &head, lane->cut.output);
    lane->recorded_released = head.released;
    lane->cut.at = cut_time(lane);
    FT_COUNTER_ADD(lane->shared, cuts, 1);
}

/* The next delta starts from what all lanes have executed now. */
static void start_next_delta(struct nd_group *group)
{
    for (struct nd_lane *lane = group->lane; lane < group->lane + group->lanes; lane++) {
        lane->cut.burst = nf_chain_state(lane->chain)->burst;
        lane->cut.output = lane->hold.in;
        lane->cut.uncovered = lane->cut.carry_bytes = lane->cut.weigh_at = 0;
        lane->cut.grown = false;
    }
}

/* No standby could keep a delta as large as the next one: only a snapshot helps, and until then no lane runs
 * a burst. */
static bool too_large(struct nd_group *group)
{
    bool large = false;

    for (unsigned l = 0; l < group->lanes; l++)
        large |= delta_bytes_now(&group->lane[l]) > pending_bytes(&group->lane[l]) / 2;
    for (unsigned l = 0; large && l < group->lanes; l++)
        FT_REPORT_SET(group->lane[l].shared, overrun, true);
    return large;
}

/* No burst since the last cut. The verdict on a digest names the burst where a delta ends, so no two of a
 * lane may end at the same one; lanes that are asked for a digest execute one (delta_needs_burst below). */
static bool executed_none(const struct nd_lane *lane)
{
    return nf_chain_state(lane->chain)->burst <= lane->cut.burst;
}

/* All lanes are quiesced, at a cut. */
static enum cut_digest take_digest(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];

    if (nd_group_any(group, digest_wanted) && !nd_group_any(group, executed_none)) {
        nd_group_take_digest(group);
        return OF_REGION;
    }
    if (!quiesced_slice_due(first) || executed_none(first))
        return NO_DIGEST;
    group->slice = nd_group_take_slice(group);
    return OF_SLICE;
}

/* All lanes are quiesced, and one of them found that a cut is due. */
static void make_delta_cut(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;
    bool wanted = s->kind == ND_STREAM_DELTAS || nd_group_any(group, checkpoint_due);
    enum cut_digest digest;

    if (!wanted || owes_digest(group))
        return;
    ft_pages_mark(group->lane[0].region, FT_LANES_MAX);
    if (too_large(group))
        return;
    s->number++;
    digest = take_digest(group);
    atomic_store_explicit(&s->copying, group->lanes, memory_order_relaxed);
    /* Outputs of a stream of deltas wait for the delta anyway. */
    if (s->kind == ND_STREAM_DELTAS || !begin_checkpoint(group))
        atomic_store_explicit(&s->copy, ND_COPY_STOPPED, memory_order_relaxed);
    for (unsigned l = 0; l < group->lanes; l++)
        begin_delta(&group->lane[l], digest);
    start_next_delta(group);
}

void nd_stream_begin(struct nd_group *group)
{
    struct ft_region *region = group->lane[0].region;
    struct nd_stream *s = &group->stream;

    s->kind = group->lane[0].protect->deltas ? ND_STREAM_DELTAS : ND_STREAM_RECORDS;
    s->number = 0;
    s->barriers = atomic_load_explicit(&s->barriers_wanted, memory_order_acquire);
    atomic_store_explicit(&s->copying, 0, memory_order_relaxed);
    atomic_store_explicit(&s->copy, ND_COPY_STOPPED, memory_order_relaxed);
    atomic_store_explicit(&s->shared_copied, 0, memory_order_release);
    for (struct nd_lane *lane = group->lane; lane < group->lane + group->lanes; lane++) {
        lane->delta.active = false;
        lane->cut.barrier_at = lane->cut.at = cut_time(lane);
        FT_REPORT_SET(lane->shared, overrun, false);
        FT_REPORT_SET(lane->shared, recorded, nf_chain_state(lane->chain)->burst);
        lane->cut.barriers = s->barriers;
        nd_verification_begin(lane);
    }
    start_next_delta(group);
    ft_checkpoint_end(region);
    if (is_warm(&group->lane[0]))
        ft_checkpoint_prepare(region); /* without that room checkpoints are copied at once */
    if (marks_lines(&group->lane[0], stream_kind(&group->lane[0]))) {
        ft_lines_clear(&region->dirty);
        if (!ft_pages_begin(region))
            ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START,
                         "the kernel does not tell which pages of a heap were written, expected Linux 6.7 "
                         "at least; each page in use counts as written");
        atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    }
}

/* The lane wants a cut. If the previous cut is still being copied when the next is due, the copy is finished
 * before any further burst. */
static bool wants_cut(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;
    uint64_t passed = cut_time(lane) - lane->cut.barrier_at;
    uint64_t interval = lane->protect->commit_interval_us * 1000ull;
    bool idle = lane->now - lane->timers.busy_at >= interval;

    if (atomic_load_explicit(&s->copying, memory_order_acquire)) {
        if (!is_incremental(s))
            return false;
        weigh_delta(lane);
        if (progress(lane) >= 1)
            atomic_store_explicit(&s->copy, ND_COPY_HURRIED, memory_order_relaxed);
        return false;
    }
    if (s->kind == ND_STREAM_DELTAS)
        return is_unrecorded(lane) &&
               (passed >= interval || idle || nd_lane_draining(lane) || lane->turn.no_room ||
                lane->cut.carry_bytes > pending_bytes(lane) / 8); /* the standby may keep no more */
    if (!is_warm(lane)) /* its standby replays what records tell, and needs no checkpoint */
        return false;
    weigh_delta(lane);
    return lane->cut.burst != nf_chain_state(lane->chain)->burst && checkpoint_due(lane);
}

/* Logging ends in one lane after the other; a stream that some have left is not worth a cut. */
static bool has_left(const struct nd_lane *lane)
{
    return !FT_ORDER_GET(lane->shared, logging);
}

/* All lanes are quiesced: a cut, if one is wanted and due. */
static void cut_stream(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;
    bool copying = atomic_load_explicit(&s->copying, memory_order_acquire) != 0;
    uint64_t wanted = atomic_load_explicit(&s->barriers_wanted, memory_order_acquire);

    if (wanted == s->barriers)
        return;
    s->barriers = wanted;
    if (s->kind != ND_STREAM_NONE && !nd_group_any(group, has_left) && !copying)
        make_delta_cut(group);
    for (unsigned l = 0; l < group->lanes; l++) {
        group->lane[l].cut.barrier_at = cut_time(&group->lane[l]);
        group->lane[l].cut.barriers = s->barriers;
    }
}

/* The lane's delta is whole: the stream accounts for what the lane did up to the cut. */
static void end_delta(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;

    if (!is_incremental(s)) /* else records tell of more already */
        FT_REPORT_SET(lane->shared, recorded, lane->delta.head.burst);
    if (lane->index == 0)
        atomic_store_explicit(&s->shared_copied, s->number, memory_order_release);
    if (atomic_fetch_sub_explicit(&s->copying, 1, memory_order_acq_rel) == 1)
        ft_checkpoint_end(lane->region);
}

/* Nobody wants the lane's stream any more: each lane ends it for itself, before it runs a burst. */
static void end_stream(struct nd_lane *lane)
{
    lane->delta.active = false;
    ft_checkpoint_end(lane->region);
    if (lane->index == 0 &&
        atomic_load_explicit(&lane->region->tracking, memory_order_relaxed) & FT_TRACK_DIRTY)
        atomic_fetch_and(&lane->region->tracking, ~(uint32_t)FT_TRACK_DIRTY);
}

/* A turn at the lane's delta. False: it may run no burst in this turn. */
static bool copy_delta(struct nd_lane *lane)
{
    bool beside = is_incremental(&lane->group->stream);

    if (!(beside ? go_on_with_checkpoint(lane) : lg_delta_turn(&lane->delta)))
        return false;
    if (!lane->delta.active)
        end_delta(lane);
    /* What made it hurry comes before the next burst, so that an input keeper's cuts do not depend on its
     * speed. */
    return !hurries(lane);
}

/* ---- snapshots ----------------------------------------------------------------------------------- */

static bool wants_snapshot(const struct nd_lane *lane)
{
    /* Greater, not different: a cut that others asked for first may be asked of this lane a moment later. */
    return FT_ORDER_GET(lane->shared, cut) > lane->seen.cut;
}

static void report_cut(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    FT_ORDER_SET(lane->shared, logging, true);
    FT_REPORT_SET(lane->shared, cut_burst, state->burst);
    FT_REPORT_SET(lane->shared, cut_access, state->access - 1);
    FT_REPORT_SET(lane->shared, cut_at, atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed));
    FT_REPORT_SET(lane->shared, cut_seen, lane->seen.cut);
}

/* All lanes are quiesced: the snapshot's cut. What is asked for last counts, for all lanes. */
static void cut_for_snapshot(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    uint64_t cut = 0, released;
    bool begun;

    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = FT_ORDER_GET(group->lane[l].shared, cut);

        cut = asked > cut ? asked : cut;
    }
    released = FT_ORDER_GET(first->shared, snapshot_release);
    forget_digests(group);
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

/* Ends a snapshot that nobody reads any more. */
static void follow_release(struct nd_lane *lane)
{
    uint64_t released = FT_ORDER_GET(lane->shared, snapshot_release);

    if (released == lane->seen.snapshot_release)
        return;
    lane->seen.snapshot_release = released;
    if (lane->index == 0 && released >= lane->seen.cut &&
        !(lane->setup.recorder && lg_recorder_owes(lane->setup.recorder)))
        ft_snapshot_end(lane->region);
}

bool nd_lane_snapshot_copy(struct nd_lane *lane)
{
    uint64_t granted = FT_ORDER_GET(lane->shared, copy_granted);
    uint64_t zero, n;

    if (!nd_lane_has_snapshot(lane) || granted <= lane->snapshot_copied)
        return false;
    n = ft_snapshot_copy(lane->region, lane->index, COPY_TURN, &zero);
    lane->snapshot_copied += n - zero;
    return n > 0;
}

/* All lanes are quiesced between bursts. */
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
            FT_REPORT_SET(lane->shared, stop_point, ++lane->stop_point.asked);
    }
    return lg_recorder_turn(lane->setup.recorder, lane->index);
}

/* ---- between two bursts -------------------------------------------------------------------------- */

/*
 * What live lanes come to the barrier for, whichever of it they came for: all that is wanted is done. A
 * snapshot comes first: it makes a delta of the old stream needless.
 */
static void work_between_bursts(struct nd_group *group)
{
    bool digest = nd_group_any(group, nd_lane_digest_due);

    if (!group->lane[0].region->snapshot_copy)
        nd_group_change(group, ND_CHANGE_ALONE);
    if (nd_group_any(group, wants_snapshot))
        cut_for_snapshot(group);
    else
        cut_stream(group);
    if (digest && !owes_digest(group))
        take_for_records(group);
    if (atomic_exchange_explicit(&group->snapshot_due, false, memory_order_relaxed))
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
static inline __attribute__((always_inline)) bool wants_barrier(const struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    return (group->lanes > 1 && nd_lane_digest_due(lane)) || wants_snapshot(lane) || changes_alone(lane) ||
           atomic_load_explicit(&group->snapshot_due, memory_order_acquire) ||
           atomic_load_explicit(&group->stream.barriers_wanted, memory_order_acquire) != lane->cut.barriers;
}

/* For the barrier, which asks it again and again. */
static bool is_needed(const struct nd_lane *lane)
{
    return wants_barrier(lane);
}

bool nd_lane_quiesce(struct nd_lane *lane)
{
    return nd_group_barrier(lane, work_between_bursts, is_needed);
}

/* Frames that one lane polls may be another's, so none stops before all are quiet. */
static bool all_drained(const struct nd_lane *lane)
{
    if (!nd_lane_draining(lane))
        return false;
    for (unsigned l = 0; l < lane->group->lanes; l++)
        if (FT_REPORT_GET(lane->group->lane[l].shared, done) != lane->seen.order)
            return false;
    return true;
}

/* Says what this lane wants of all. One of those who find a cut due is enough. */
static void want_of_all(struct nd_lane *lane, bool drained)
{
    struct nd_stream *s = &lane->group->stream;

    if (quiesced_slice_due(lane))
        want_slice(lane);
    if (lane->setup.recorder && records_now(lane) && lane->index == 0 &&
        lg_recorder_due(lane->setup.recorder, lane->now))
        atomic_store_explicit(&lane->group->snapshot_due, true, memory_order_release);
    if (FT_ORDER_GET(lane->shared, logging) && !drained && wants_cut(lane)) {
        uint64_t barriers = lane->cut.barriers;

        atomic_compare_exchange_strong_explicit(&s->barriers_wanted, &barriers, barriers + 1,
                                                memory_order_acq_rel, memory_order_relaxed);
    }
}

/* The last cut lets the lane run a burst; until it does the lane copies. */
static bool cut_permits(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;

    if (!FT_ORDER_GET(lane->shared,
                      logging)) { /* it may have ended since the barrier, at which there was a cut */
        end_stream(lane);
        return true;
    }
    if (lane->delta.active && !copy_delta(lane))
        return false;
    /* While others still copy: a warm standby may keep only so much of what is logged behind their deltas. */
    if (atomic_load_explicit(&s->copying, memory_order_acquire) != 0 &&
        (hurries(lane) || lane->cut.uncovered > most_uncovered(lane)))
        return false;
    return atomic_load_explicit(&s->shared_copied, memory_order_acquire) == s->number &&
           !FT_REPORT_GET(lane->shared, overrun);
}

/* A digest goes with the next delta, which needs a burst to be cut behind, and no more than one. */
static bool delta_needs_burst(const struct nd_lane *lane)
{
    return digest_by_delta(lane) && (digest_wanted(lane) || quiesced_slice_due(lane)) &&
           nf_chain_state(lane->chain)->burst == lane->cut.burst;
}

struct nd_needs nd_lane_between_bursts(struct nd_lane *lane)
{
    bool drained = all_drained(lane); /* what comes now is the other node's */
    enum nd_stream_kind stream;

    follow_release(lane);
    want_of_all(lane, drained);
    /* Before the barrier: at each of its turns a slow lane would find the cut behind another one's burst.
     * Where an input keeper says when a burst is, a lane has none to give. */
    bool behind = !drained && stream_kind(lane) != ND_STREAM_NONE && !lane->io->burst &&
                  delta_needs_burst(lane) && cut_permits(lane) && !lane->turn.no_room;

    if ((wants_barrier(lane) && !behind && !nd_lane_quiesce(lane)) || drained || !cut_permits(lane))
        return (struct nd_needs){.may_run = false};
    /* Logging and recording begin between bursts only, by this lane, so what is said here holds for the
     * burst. */
    stream = stream_kind(lane);
    return (struct nd_needs){.may_run = true,
                             .stream = stream,
                             .record = stream == ND_STREAM_RECORDS || lane->io->record ||
                                       (lane->setup.recorder && lg_recorder_listens(lane->setup.recorder)),
                             .digest = stream == ND_STREAM_RECORDS &&
                                       (lane_owes_digest(lane) || lane->now >= lane->verification.at),
                             .marks = marks_lines(lane, stream)};
}

/* The standby keeps outputs that were released after the last record, until one more record says so. */
static bool owes_released(const struct nd_lane *lane)
{
    return lane->now - lane->timers.busy_at > QUIET_NS &&
           FT_REPORT_GET(lane->shared, released) != lane->recorded_released;
}

bool nd_stream_needs_burst(const struct nd_lane *lane, const struct nd_needs *needs)
{
    if (needs->stream == ND_STREAM_NONE)
        return false;
    /* The next delta says what has been released, if there is a burst to be cut behind. */
    return needs->digest || delta_needs_burst(lane) ||
           (owes_released(lane) && !(needs->stream == ND_STREAM_DELTAS && is_unrecorded(lane)));
}

bool nd_stream_is_told(const struct nd_lane *lane)
{
    return !is_unrecorded(lane) &&
           !(FT_ORDER_GET(lane->shared, logging) &&
             (atomic_load_explicit(&lane->group->stream.copying, memory_order_acquire) ||
              lane_owes_digest(lane) || atomic_load_explicit(&lane->group->owed, memory_order_acquire) != 0));
}
