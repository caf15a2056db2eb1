/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts of the stream that live lanes make together, and the deltas and checkpoints that are copied then. Owns
 * the lane's `cut` and `checkpoint`. Runs on the lanes' threads; what is agreed on lies in struct nd_stream.
 *
 * Cuts. A stream of deltas is cut every commit interval; a stream of records is cut for a warm standby's
 * checkpoints only. Each lane then copies its own delta in its own turns, lane 0 that of the shared arena
 * first. enum nd_copy states when lanes may run bursts. The clock of cuts is the chain's time where an input
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
 * outputs of before the cut that are still held. Records cover those outputs as well, so they leave soon; the
 * chunk waits for that, and carries none, unless it takes LEAVE_NS.
 */
#include "lane/parts.h"
#include "ftcore/base/event_log.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/region/pages.h"
#include "nflib/chain/chain.h"

/* Lines that one packet changes at most, as assumed: the entries of five NFs and their lists. */
#define PACKET_LINES 8u
#define CHUNK_BYTES  (32u << 10)
#define CHUNK_NS     100000u /* between two chunks when no burst is run */
#define LEAVE_NS     10000000u
#define AHEAD        2.0 /* copied fraction : progress to the next checkpoint, at least */

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

bool nd_cut_unrecorded(const struct nd_lane *lane)
{
    return nd_lane_stream(lane) != ND_STREAM_NONE &&
           FT_REPORT_GET(lane->shared, recorded) != nf_chain_state(lane->chain)->burst;
}

bool nd_cut_marks(const struct nd_lane *lane, enum nd_stream_kind stream)
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
    return is_warm(lane) && (nd_digest_wanted(lane) || progress(lane) >= 1);
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
 * lane may end at the same one; lanes that are asked for a digest execute one (nd_cut_needs_burst below). */
static bool executed_none(const struct nd_lane *lane)
{
    return nf_chain_state(lane->chain)->burst <= lane->cut.burst;
}

/* All lanes are quiesced, at a cut. */
static enum cut_digest take_digest(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];

    if (nd_group_any(group, nd_digest_wanted) && !nd_group_any(group, executed_none)) {
        nd_group_take_digest(group);
        return OF_REGION;
    }
    if (!nd_slice_due(first) || executed_none(first))
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

    if (!wanted || nd_group_owes_digest(group))
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
        lane->delta.active = lane->cut.left = false;
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
    if (nd_cut_marks(&group->lane[0], nd_lane_stream(&group->lane[0]))) {
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
        return nd_cut_unrecorded(lane) &&
               (passed >= interval || idle || nd_lane_draining(lane) || lane->turn.no_room ||
                lane->cut.carry_bytes > pending_bytes(lane) / 8); /* the standby may keep no more */
    if (!is_warm(lane)) /* its standby replays the records, and needs no checkpoint */
        return false;
    weigh_delta(lane);
    return lane->cut.burst != nf_chain_state(lane->chain)->burst && checkpoint_due(lane);
}

void nd_cut_want(struct nd_lane *lane)
{
    uint64_t barriers = lane->cut.barriers;

    if (wants_cut(lane)) /* one of those who find it due is enough */
        atomic_compare_exchange_strong_explicit(&lane->group->stream.barriers_wanted, &barriers, barriers + 1,
                                                memory_order_acq_rel, memory_order_relaxed);
}

/* Logging ends in one lane after the other; a stream that some have left is not worth a cut. */
static bool has_left(const struct nd_lane *lane)
{
    return !FT_ORDER_GET(lane->shared, logging);
}

void nd_group_cut_stream(struct nd_group *group)
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

    if (!is_incremental(s)) /* else records have reported more already */
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
    lane->cut.left = true;
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

bool nd_cut_permits(struct nd_lane *lane)
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

bool nd_cut_needs_burst(const struct nd_lane *lane)
{
    return nd_digest_by_delta(lane) && (nd_digest_wanted(lane) || nd_slice_due(lane)) &&
           nf_chain_state(lane->chain)->burst == lane->cut.burst;
}
