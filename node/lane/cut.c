/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cuts of a live lane's stream. A chain that is protected by deltas is cut every commit interval; a chain
 * that is protected by its log is cut for a warm standby's checkpoints only, and otherwise never.
 *
 * When a cut is due in one lane, all meet between bursts; the last to come makes it for all. What a cut then
 * asks of a lane, its part of the delta, is done by the lane itself, in its own turns: it runs no burst
 * before, but releases, listens and obeys orders. Lane 0 copies the shared arena, and nobody runs before
 * that. A checkpoint between records is copied beside bursts instead: lane/checkpoint.c.
 *
 * Time of cuts is the chain's where a gate stamps it (so that a capture gives the same stream at any speed),
 * else the clock's. Lines are marked for deltas and checkpoints alone; else an edit costs one branch.
 */
#include "node/lane/lane.h"
#include "ftcore/region/checkpoint.h"
#include "nflib/chain/chain.h"

#include <string.h>

#define PACKET_LINES 8u /* that a packet changes, five NFs' entries and their lists */

/* ---- what the configuration says --------------------------------------------------------------- */

static uint64_t interval(const struct nd_lane *lane)
{
    return lane->config->protect.commit_interval_us * 1000ull;
}

static bool warm(const struct nd_lane *lane)
{
    return lane->config->protect.stores;
}

static uint64_t pending_bytes(const struct nd_lane *lane)
{
    return (uint64_t)lane->config->protect.pending_mb << 20;
}

/* ---- state ------------------------------------------------------------------------------------- */

static bool logging(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->shared->orders.logging, memory_order_relaxed) &&
           lane->group->stream.on;
}

bool nd_lane_logs(const struct nd_lane *lane)
{
    return logging(lane) && !lane->group->stream.deltas;
}

bool nd_lane_deltas(const struct nd_lane *lane)
{
    return logging(lane) && lane->group->stream.deltas;
}

bool nd_lane_digest_wanted(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->shared->orders.digest, memory_order_acquire) != lane->seen.digest;
}

bool nd_lane_digest_by_delta(const struct nd_lane *lane)
{
    return warm(lane) || nd_lane_deltas(lane);
}

static uint64_t cut_time(const struct nd_lane *lane)
{
    return lane->io->burst ? nf_chain_state(lane->chain)->time : lane->now;
}

bool nd_lane_unrecorded(const struct nd_lane *lane)
{
    return logging(lane) && atomic_load_explicit(&lane->shared->report.recorded, memory_order_relaxed) !=
                                nf_chain_state(lane->chain)->burst;
}

static void mark(struct ft_region *region, bool on)
{
    ft_checkpoint_end(region);
    if (!on) {
        atomic_fetch_and(&region->tracking, ~(uint32_t)FT_TRACK_DIRTY);
        return;
    }
    ft_lines_clear(&region->dirty);
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
}

static bool marking(const struct ft_region *region)
{
    return atomic_load_explicit(&region->tracking, memory_order_relaxed) & FT_TRACK_DIRTY;
}

bool nd_lane_marks(const struct nd_lane *lane)
{
    return logging(lane) && (lane->group->stream.deltas || warm(lane));
}

void nd_lane_cut_init(struct nd_lane *lane)
{
    lane->delta = (struct lg_delta){.lane = lane->shared,
                                    .region = lane->region,
                                    .hold = &lane->hold,
                                    .carry = nd_lane_carry,
                                    .arg = lane};
}

/* ---- barriers ---------------------------------------------------------------------------------- */

/* While one is still copied the standby keeps, beside all else, what is logged meanwhile. */
static uint64_t most_uncovered(const struct nd_lane *lane)
{
    const struct nd_stream *s = &lane->group->stream;
    bool beside = s->incremental && atomic_load_explicit(&s->copying, memory_order_relaxed);

    return pending_bytes(lane) / (beside ? 8 : 4);
}

static double share_of(uint64_t chunk, uint64_t all)
{
    return all ? (double)chunk / (double)all : 1;
}

double nd_lane_checkpoint_way(const struct nd_lane *lane)
{
    const struct nd_protect *p = &lane->config->protect;
    double time = share_of(cut_time(lane) - lane->cut.at, p->checkpoint_ms * 1000000ull);
    double kept = share_of(lane->cut.uncovered, most_uncovered(lane));

    if (lane->cut.grown)
        return 1;
    return time > kept ? time : kept;
}

/* By the sequence number, or by what a warm standby may keep: of records, or of the checkpoint itself. */
static bool checkpoint_due(const struct nd_lane *lane)
{
    return warm(lane) && (nd_lane_digest_wanted(lane) || nd_lane_checkpoint_way(lane) >= 1);
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
 * A checkpoint comes before a delta is larger than what the standby may keep. It is looked at each time that
 * packets may have changed a sixteenth of that since, were each lane's packets to change PACKET_LINES lines.
 * Lane 0's share has the shared arena, which all lanes change, so each looks at that one too.
 */
static void watch_delta(struct nd_lane *lane)
{
    uint64_t seq = nf_chain_state(lane->chain)->seq, room = pending_bytes(lane) / 16;

    if (!warm(lane) || seq < lane->cut.weigh_at)
        return;
    lane->cut.weigh_at = seq + room / (PACKET_LINES * FT_LINE * lane->group->lanes);
    lane->cut.grown =
        delta_bytes_now(lane) > 7 * room || (lane->index != 0 && lg_delta_lines(lane->region, 0) > 7 * room);
}

/* `digest`: one was taken here, and goes with the deltas of all lanes. `incremental`: it is copied beside
 * bursts.
 */
static void begin_delta(struct nd_lane *lane, bool digest, bool incremental)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct ft_chunk head = {.lane = (uint16_t)lane->index,
                            .flags = incremental ? FT_CHUNK_INCREMENTAL : 0,
                            .cut = lane->group->stream.number,
                            .from = lane->cut.burst,
                            .burst = state->burst,
                            .seq = state->seq,
                            .access = state->access - 1,
                            .released =
                                atomic_load_explicit(&lane->shared->report.released, memory_order_relaxed),
                            .outputs = state->outputs};

    if (digest) {
        head.flags |= FT_REC_DIGEST;
        head.digest = lane->group->digest;
        lane->seen.digest = lane->group->digest_taken;
        atomic_store_explicit(&lane->shared->report.digest_at, head.burst, memory_order_relaxed);
        atomic_store_explicit(&lane->shared->report.digest_seen, lane->seen.digest, memory_order_release);
    }
    lg_delta_begin(&lane->delta, &head, lane->cut.output);
    lane->recorded_released = head.released;
    lane->cut.at = cut_time(lane);
    FT_COUNT(lane->shared, cuts, 1);
}

/* The next delta is based on what all lanes have closed now. */
static void snapshot_here(struct nd_group *group)
{
    for (unsigned l = 0; l < group->lanes; l++) {
        struct nd_lane *lane = &group->lane[l];

        lane->cut.burst = nf_chain_state(lane->chain)->burst;
        lane->cut.output = lane->hold.in;
        lane->cut.uncovered = lane->cut.carry_bytes = lane->cut.weigh_at = 0;
        lane->cut.grown = false;
    }
}

/* No standby could keep a delta as large as the next one: only a snapshot helps, and until then all lanes
 * stand.
 */
static bool too_large(struct nd_group *group)
{
    bool large = false;

    for (unsigned l = 0; l < group->lanes; l++)
        large |= delta_bytes_now(&group->lane[l]) > pending_bytes(&group->lane[l]) / 2;
    for (unsigned l = 0; large && l < group->lanes; l++)
        atomic_store_explicit(&group->lane[l].shared->report.overrun, true, memory_order_release);
    return large;
}

/* Every lane has closed a burst since the last cut. A verdict on a digest is told by the burst where its
 * share ends, so no two of a lane may end at the same one; lanes that are asked for a digest close one (due).
 */
static bool all_moved(const struct nd_group *group)
{
    bool moved = true;

    for (unsigned l = 0; l < group->lanes; l++)
        moved &= nf_chain_state(group->lane[l].chain)->burst > group->lane[l].cut.burst;
    return moved;
}

/* All lanes are quiesced, and one of them found that a delta is due. */
static void cut(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;
    bool wanted = s->deltas, digest = false;

    for (unsigned l = 0; l < group->lanes; l++) {
        wanted |= checkpoint_due(&group->lane[l]);
        digest |= nd_lane_digest_wanted(&group->lane[l]);
    }
    if (!wanted || too_large(group) || nd_group_owes_digest(group))
        return;
    digest = digest && all_moved(group);
    s->number++;
    if (digest)
        nd_group_take_digest(group);
    atomic_store_explicit(&s->copying, group->lanes, memory_order_relaxed);
    s->incremental = !s->deltas &&
                     nd_checkpoint_begin_incremental(group); /* outputs of deltas wait for the delta anyway */
    for (unsigned l = 0; l < group->lanes; l++)
        begin_delta(&group->lane[l], digest, s->incremental);
    snapshot_here(group);
}

void nd_stream_begin(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;

    s->on = true;
    s->deltas = group->lane[0].config->protect.deltas;
    s->number = 0;
    s->held = atomic_load_explicit(&s->wanted, memory_order_acquire);
    atomic_store_explicit(&s->copying, 0, memory_order_relaxed);
    atomic_store_explicit(&s->hurry, false, memory_order_relaxed);
    atomic_store_explicit(&s->shared_copied, 0, memory_order_release);
    for (unsigned l = 0; l < group->lanes; l++) {
        struct nd_lane *lane = &group->lane[l];

        lg_delta_drop(&lane->delta);
        lane->cut.barrier_at = lane->cut.at = cut_time(lane);
        atomic_store_explicit(&lane->shared->report.overrun, false, memory_order_release);
        atomic_store_explicit(&lane->shared->report.recorded, nf_chain_state(lane->chain)->burst,
                              memory_order_release);
        lane->cut.barriers = s->held;
    }
    snapshot_here(group);
    nd_checkpoint_forget(group);
    if (warm(&group->lane[0]))
        ft_checkpoint_prepare(group->lane[0].region); /* without that room checkpoints are copied at once */
    if (nd_lane_marks(&group->lane[0]))
        mark(group->lane[0].region, true);
}

/* ---- a lane's turn ----------------------------------------------------------------------------- */

static bool due(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;
    uint64_t passed = cut_time(lane) - lane->cut.barrier_at;
    bool idle = lane->now - lane->timers.busy_at >= interval(lane);

    if (atomic_load_explicit(&s->copying, memory_order_acquire)) {
        if (s->incremental)
            watch_delta(lane);
        if (s->incremental && nd_lane_checkpoint_way(lane) >= 1)
            atomic_store_explicit(&s->hurry, true, memory_order_relaxed);
        return false;
    }
    if (s->deltas)
        return nd_lane_unrecorded(lane) &&
               (passed >= interval(lane) || idle || nd_lane_draining(lane) || lane->turn.no_room ||
                lane->cut.carry_bytes >
                    pending_bytes(lane) / 8); /* or it grows beyond what the standby may keep */
    watch_delta(lane);
    return lane->cut.burst != nf_chain_state(lane->chain)->burst && checkpoint_due(lane);
}

bool nd_stream_wanted(const struct nd_group *group)
{
    return atomic_load_explicit(&group->stream.wanted, memory_order_acquire) != group->stream.held;
}

/* Logging ends in one lane after the other; a stream that some have left is not worth a cut. */
static bool all_log(const struct nd_group *group)
{
    bool all = true;

    for (unsigned l = 0; l < group->lanes; l++)
        all &= atomic_load_explicit(&group->lane[l].shared->orders.logging, memory_order_relaxed);
    return all;
}

void nd_stream_cut(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;
    bool copying = atomic_load_explicit(&s->copying, memory_order_acquire) != 0;

    s->held = atomic_load_explicit(&s->wanted, memory_order_acquire);
    if (s->on && all_log(group) && !copying) {
        atomic_store_explicit(&s->hurry, false, memory_order_relaxed);
        cut(group);
    }
    for (unsigned l = 0; l < group->lanes; l++) {
        group->lane[l].cut.barrier_at = cut_time(&group->lane[l]);
        group->lane[l].cut.barriers = s->held;
    }
}

/* Its share is whole: the stream accounts for what the lane did up to the cut. */
static void delta_done(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;

    if (!s->incremental) /* else records tell of more already */
        atomic_store_explicit(&lane->shared->report.recorded, lane->delta.head.burst, memory_order_release);
    if (lane->index == 0)
        atomic_store_explicit(&s->shared_copied, s->number, memory_order_release);
    if (atomic_fetch_sub_explicit(&s->copying, 1, memory_order_acq_rel) == 1)
        ft_checkpoint_end(lane->region);
}

/* The others still copy: a warm standby may keep only so much of what is logged behind their deltas. */
static bool too_far_ahead(const struct nd_lane *lane)
{
    return lane->cut.uncovered > most_uncovered(lane) &&
           atomic_load_explicit(&lane->group->stream.copying, memory_order_acquire) != 0;
}

bool nd_lane_cut(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;

    if (!atomic_load_explicit(&lane->shared->orders.logging, memory_order_relaxed)) {
        lg_delta_drop(&lane->delta);
        ft_checkpoint_end(
            lane->region); /* each lane for itself, before it runs a burst: nobody wants the rest */
        if (lane->index == 0 && marking(lane->region))
            mark(lane->region, false);
        /* Logging ends in one lane after the other: one that still logged may be waiting for us. */
        return atomic_load_explicit(&s->wanted, memory_order_acquire) == lane->cut.barriers ||
               nd_lane_quiesce(lane);
    }
    if (due(lane)) { /* one of those who find so is enough */
        uint64_t met = lane->cut.barriers;

        atomic_compare_exchange_strong_explicit(&s->wanted, &met, met + 1, memory_order_acq_rel,
                                                memory_order_relaxed);
    }
    if (atomic_load_explicit(&s->wanted, memory_order_acquire) != lane->cut.barriers &&
        !nd_lane_quiesce(lane))
        return false;
    if (lane->delta.active) {
        if (!(s->incremental ? nd_lane_checkpoint(lane) : lg_delta_turn(&lane->delta)))
            return false;
        if (!lane->delta.active)
            delta_done(lane);
        /* What made it hurry comes before the next burst, so that a gate's cuts do not depend on its speed.
         */
        if (nd_lane_hurries(lane))
            return false;
    }
    if (nd_lane_hurries(lane) && atomic_load_explicit(&s->copying, memory_order_acquire) != 0)
        return false;
    return atomic_load_explicit(&s->shared_copied, memory_order_acquire) == s->number &&
           !atomic_load_explicit(&lane->shared->report.overrun, memory_order_relaxed) && !too_far_ahead(lane);
}
