/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint that is copied beside bursts: a lane's side of it between its cut and its last chunk. Written
 * and read by the lane, but for what lies in struct nd_stream.
 *
 * At the cut the marked lines are pending (ftcore/region/checkpoint.h) and lanes go on with bursts. Between
 * these a lane copies some of its pending lines into a chunk, which lies in the log ring between the records.
 * Lane 0 copies the shared arena at the cut itself, before anybody runs a burst: lanes edit it in turns, so
 * its lines are nobody's to save. Also the first chunk comes before the next burst.
 *
 * Schedule. Whatever is behind a chunk waits for it, in the ring, on the link, at the standby. So there is
 * one under way at a time: the next is made when the first burst behind the last one is stable, or when no
 * burst came and some time has passed; and, as acknowledgements may take long, when the copied fraction of
 * the lines is less than AHEAD times the progress to the next checkpoint. While bursts are full only that
 * makes a chunk. When the next checkpoint is due, or somebody waits, the rest is copied at once and the lane
 * runs no burst meanwhile. So a standby never has chunks of two checkpoints to keep.
 *
 * Lanes that are done with their lines make their last chunks when all are: what comes behind a lane's last
 * chunk is not stable before the others' are there (ftcore/order/closed.c). The last chunk carries the
 * outputs of before the cut that are still held. Records tell of those as well, so they leave soon; the chunk
 * waits for that, and carries none, unless it takes LEAVE_NS.
 */
#include "node/lane/lane.h"
#include "ftcore/region/checkpoint.h"
#include "nflib/chain/chain.h"

#define CHUNK_BYTES (32u << 10)
#define QUIET_NS    100000u /* between two chunks when no burst is run */
#define LEAVE_NS    10000000u
#define AHEAD       2.0 /* copied fraction : progress to the next checkpoint, at least */

bool nd_checkpoint_begin(struct nd_group *group)
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
    uint64_t stable = FT_ORDER_GET(lane->words, stable);

    if (nf_chain_state(lane->chain)->burst == lane->checkpoint.chunk_burst)
        return lane->now - lane->checkpoint.chunk_at >= QUIET_NS;
    if (stable == FT_ALL) /* outputs do not wait for the standby; the ring does */
        return ft_ring_used(&lane->words->log) < CHUNK_BYTES;
    return stable > lane->checkpoint.chunk_burst;
}

static bool falls_behind(const struct nd_lane *lane)
{
    return (double)lane->delta.bytes <
           AHEAD * nd_lane_checkpoint_progress(lane) * (double)lane->checkpoint.bytes;
}

bool nd_lane_hurries(const struct nd_lane *lane)
{
    int copy = atomic_load_explicit(&lane->group->stream.copy, memory_order_relaxed);

    return copy == ND_COPY_HURRIED || (copy == ND_COPY_BESIDE && nd_lane_draining(lane));
}

/* The last chunk has nothing to carry: what was held at the cut has left. */
static bool outputs_left(const struct nd_lane *lane)
{
    return lane->hold.out >= lane->delta.end || lane->config->protect.tail == ND_TAIL_SUPPRESS;
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

bool nd_lane_checkpoint(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;
    struct lg_delta *delta = &lane->delta;

    if (!make_first_chunks(lane))
        return false;
    while (!delta->lines_done && nd_lane_hurries(lane))
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
