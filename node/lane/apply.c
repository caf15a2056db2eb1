/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A standby's lane applies deltas: writes the lines of its delta into its own arenas, lane 0 those of the
 * shared arena as well, and keeps the outputs that the primary held. Chunks come from the replay ring, in the
 * lane's order; none is touched before the whole delta, with the deltas of all lanes, is in the closed set.
 *
 * All lanes come to a barrier where the delta starts, since the lines of the shared arena must not change
 * under another lane that still replays; and none goes on before lane 0 has written them. Lines are written
 * through ft_edit like any other change: whoever copies or audits the region sees them.
 */
#include "node/lane/lane.h"
#include "ftcore/region/audit.h"
#include "ftcore/record/runs.h"
#include "ftcore/base/plant.h"
#include "ftcore/order/section.h"
#include "nflib/chain/chain.h"

#include <string.h>

/* False: it was aborted. Who waits for an access of this lane meanwhile is deadlocked: it would have to
 * come here first. */
static bool come_to_barrier(struct nd_lane *lane, struct nd_barrier *place,
                            void (*work)(struct nd_group *group))
{
    struct ft_published *own = &lane->group->published[lane->index];
    bool whole;

    ft_wait_for_all(own);
    whole = nd_group_barrier_at(lane, place, work);
    if (!whole)
        ft_wait_over(own);
    return whole;
}

/* The lane is where the delta starts. False: it is not, or the barrier was aborted. */
static bool at_delta_start(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    if (!FT_PLANTED("wrong-base") && (chunk->cut != lane->apply.cut + 1 || state->burst != chunk->from))
        return nd_lane_diverged(lane, chunk->burst, chunk->seq, "start of the delta, burst", chunk->from,
                                state->burst);
    return come_to_barrier(lane, &lane->group->delta_start, NULL);
}

/* Planted: a delta that is not applied, so that the next one starts from another state. */
static bool left_out(const struct ft_chunk *chunk)
{
    return FT_PLANTED("wrong-base") && chunk->cut % 2 == 0;
}

static void write_lines(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    struct ft_region *region = lane->region;
    struct ft_line_run run;
    uint32_t at = 0;

    if (left_out(chunk))
        return;
    ft_audit_enter(region, lane->index); /* no lane works on what they share meanwhile */
    while (ft_line_run_next(ft_chunk_lines(chunk), chunk->lines, &at, region->size >> FT_LINE_SHIFT, &run) >
           0) {
        size_t bytes = (size_t)run.count << FT_LINE_SHIFT;
        void *to = ft_edit(region, region->base + (run.line << FT_LINE_SHIFT), bytes);

        if (FT_PLANTED("skip-dirty-line") && chunk->cut % 2 == 0 && /* another one than the lane's own */
            run.line << FT_LINE_SHIFT >= ft_region_arena(region, lane->index, 1)->offset)
            bytes -= FT_LINE;
        if (run.zero)
            memset(to, 0, bytes);
        else
            memcpy(to, run.bytes, bytes);
    }
    ft_audit_leave(region, lane->index);
}

static void keep_outputs(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    const uint8_t *at = ft_chunk_held(chunk);

    for (uint32_t i = 0; i < chunk->held; i++) {
        const struct ft_chunk_output *held = (const struct ft_chunk_output *)at;
        struct lg_output out = {.number = held->number,
                                .burst = held->burst,
                                .seq = held->seq,
                                .len = held->len,
                                .have = held->have,
                                .port = held->port};

        lg_replayed_put(&lane->replayed, &out, held + 1);
        at += sizeof(*held) + FT_ALIGN8(held->have);
    }
    lane->apply.carried += chunk->held;
}

/* Lane 0 is past the barrier, so it gets there; unless it has stopped for good. */
static void wait_for_shared(struct nd_lane *lane, uint64_t cut)
{
    struct nd_group *group = lane->group;

    for (unsigned spins = 0; atomic_load_explicit(&group->shared_applied, memory_order_acquire) < cut;
         spins++) {
        if (nd_lane_is_to_end(lane) || nd_lane_replay_aborted(lane))
            return;
        nd_group_pause(spins);
    }
}

/* All lanes are where the delta ends. Each tells its own verdict on the digest of the whole region; slices
 * are lane 0's. */
static void compare_digests(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    bool slice = first->apply.is_slice;
    uint64_t got = slice ? 0 : ft_region_digest(first->region);

    for (struct nd_lane *lane = first; lane < first + group->lanes; lane++) {
        const struct nf_lane_state *state = nf_chain_state(lane->chain);

        if (!slice)
            nd_lane_verdict(lane, state->burst, state->seq, lane->apply.digest, got);
        else if (lane == first)
            nd_lane_compare_slice(lane, &(struct nd_slice_digest){state->burst, state->seq, lane->apply.slice,
                                                                  lane->apply.digest});
    }
}

/*
 * A barrier that was aborted compares nothing: then the state is given up, or another order waits. Who
 * only finishes its replay under another order already does not come: those it would wait for may have left.
 */
static bool check_digest(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    if (lane->doing != FT_LANE_REPLAY)
        return true;
    lane->apply.digest = chunk->digest;
    lane->apply.is_slice = chunk->flags & FT_REC_SLICE;
    lane->apply.slice = chunk->slice;
    come_to_barrier(lane, &lane->group->delta_end, compare_digests);
    return !nd_lane_replay_aborted(lane);
}

/* The whole delta is in place: the lane is where it ends. */
static bool finish_delta(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    uint64_t made = chunk->outputs - lane->apply.outputs_before;

    ft_audit_check(lane->region, lane->index);
    if (lane->index == 0)
        atomic_store_explicit(&lane->group->shared_applied, chunk->cut, memory_order_release);
    else
        wait_for_shared(lane, chunk->cut);
    if (!left_out(chunk) && (state->burst != chunk->burst || state->seq != chunk->seq ||
                             state->access != chunk->access + 1 || state->outputs != chunk->outputs))
        return nd_lane_diverged(lane, chunk->burst, chunk->seq, "the lane's own line after a delta, burst",
                                chunk->burst, state->burst);
    atomic_store_explicit(&lane->group->published[lane->index].access, chunk->access, memory_order_release);
    lg_replayed_missed(&lane->replayed, made > lane->apply.carried ? made - lane->apply.carried : 0,
                       chunk->outputs);
    lg_replayed_released(&lane->replayed, chunk->released);
    lane->apply.cut = chunk->cut;
    FT_COUNT(lane->words, deltas_applied, 1);
    if (chunk->flags & FT_REC_DIGEST && !check_digest(lane, chunk))
        return false;
    FT_REPORT_SET(lane->words, executed, chunk->burst);
    return true;
}

bool nd_lane_apply(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    if (chunk->number == 0) {
        if (!at_delta_start(lane, chunk))
            return false;
        lane->apply.outputs_before = nf_chain_state(lane->chain)->outputs;
        lane->apply.carried = 0;
    }
    lane->apply.begun = !(chunk->flags & FT_CHUNK_LAST);
    write_lines(lane, chunk);
    keep_outputs(lane, chunk);
    return !(chunk->flags & FT_CHUNK_LAST) || finish_delta(lane, chunk);
}
