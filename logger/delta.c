/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a lane's delta; see delta.h. Lines first, those of the shared arena, then the lane's own
 * in rising order; then outputs. */
#include "logger/delta.h"
#include "ftcore/base/check.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/record/delta.h"

#include <string.h>

#define RUN_MAX 256u /* lines */

static unsigned shared_index(const struct ft_region *region)
{
    return (unsigned)region->lanes * region->nfs;
}

void lg_delta_begin(struct lg_delta *delta, const struct ft_chunk *head, uint64_t first)
{
    FT_CHECK(!delta->active, "lane %u: a delta begins while cut %lu's is not whole", head->lane,
             delta->head.cut);
    delta->active = true;
    delta->head = *head;
    delta->arena = head->lane ? head->lane * delta->region->nfs : shared_index(delta->region);
    delta->line = 0;
    delta->lines_done = false;
    delta->next = first > delta->hold->out ? first : delta->hold->out;
    delta->end = delta->hold->in;
    delta->bytes = 0;
}

/* Lane 0 goes from the shared arena to those of its own. False: there is none any more. */
static bool next_arena(struct lg_delta *delta)
{
    unsigned last = (delta->head.lane + 1u) * delta->region->nfs - 1u;

    delta->line = 0;
    if (delta->arena == last)
        return false;
    delta->arena = delta->arena == shared_index(delta->region) ? 0 : delta->arena + 1;
    return true;
}

/* Takes the next run of lines in [from, to) into out[*len..most), which has room for `max` of them. */
static struct ft_line_range copy_run(const struct lg_delta *delta, uint64_t from, uint64_t to, uint64_t max,
                                     uint8_t *out, uint32_t *len, uint32_t most)
{
    struct ft_region *region = delta->region;
    bool incremental = delta->head.flags & FT_CHUNK_INCREMENTAL;
    struct ft_line_range run =
        ft_lines_take(incremental ? &region->checkpoint_pending : &region->dirty, from, to, max);
    uint8_t *room;

    if (run.count == 0)
        return run;
    room = ft_line_run_room(out, len, most, run.line, (uint32_t)run.count);
    FT_CHECK(room, "no room for %lu lines", run.count);
    if (incremental) {
        ft_checkpoint_copy(region, &run, room);
        return run;
    }
    memcpy(room, region->base + (run.line << FT_LINE_SHIFT), run.count << FT_LINE_SHIFT);
    return run;
}

/* Takes lines of the delta's arenas into out[0..most). A chunk has those of the shared arena or of others. */
static uint32_t copy_lines(struct lg_delta *delta, uint8_t *out, uint32_t most)
{
    struct ft_region *region = delta->region;
    uint32_t len = 0;

    while (!delta->lines_done) {
        const struct ft_arena *arena = &region->arenas[delta->arena];
        uint64_t first = arena->offset >> FT_LINE_SHIFT, end = first + (arena->used >> FT_LINE_SHIFT);
        uint64_t room = most - len, lines = room > FT_LINE_RUN_HEAD ? (room - FT_LINE_RUN_HEAD) / FT_LINE : 0;

        if (lines == 0)
            break;
        if (lines > RUN_MAX)
            lines = RUN_MAX;
        struct ft_line_range run = copy_run(delta, first + delta->line, end, lines, out, &len, most);

        if (run.count == 0) {
            bool was_shared = delta->arena == shared_index(region);

            delta->lines_done = !next_arena(delta);
            if (was_shared && len)
                break;
            continue;
        }
        delta->line = run.line + run.count - first;
    }
    return len;
}

static uint32_t copy_outputs(struct lg_delta *delta, uint8_t *out, uint32_t *count)
{
    uint32_t len = 0;

    for (; delta->next < delta->end; delta->next++) {
        const struct ft_held *held;
        struct ft_chunk_output *to = (struct ft_chunk_output *)(out + len);
        const uint8_t *frame;
        uint32_t have, size;

        if (delta->next < delta->hold->out) /* it has left meanwhile: a gate was open */
            continue;
        held = ft_hold_at(delta->hold, delta->next);
        have = delta->carry(delta->arg, held, &frame);
        if (have == 0)
            continue;
        size = (uint32_t)(sizeof(*to) + FT_ALIGN8(have));
        if (len + size > FT_CHUNK_OUTPUTS)
            break;
        *to = (struct ft_chunk_output){.number = held->number,
                                       .burst = held->burst,
                                       .seq = held->seq,
                                       .len = held->len,
                                       .have = have,
                                       .port = (uint8_t)held->port};
        memset((uint8_t *)(to + 1) + (FT_ALIGN8(have) - 8), 0, 8);
        memcpy(to + 1, frame, have);
        len += size;
        (*count)++;
    }
    return len;
}

/* `outputs`: of them too, once there are no more lines. False: no room. */
static bool make_chunk(struct lg_delta *delta, uint32_t most, bool outputs)
{
    struct ft_chunk *chunk = ft_ring_reserve(&delta->lane->log, FT_CHUNK_MAX);

    if (!chunk)
        return false;
    *chunk = delta->head;
    chunk->kind = FT_ENTRY_CHUNK;
    chunk->flags = delta->head.flags & FT_CHUNK_INCREMENTAL;
    chunk->lines = copy_lines(delta, ft_chunk_lines(chunk), most);
    memset(ft_chunk_lines(chunk) + chunk->lines, 0, FT_ALIGN8(chunk->lines) - chunk->lines);
    chunk->held = 0;
    if (!outputs && chunk->lines == 0 && chunk->number > 0)
        return true;
    chunk->bytes = outputs && delta->lines_done ? copy_outputs(delta, ft_chunk_held(chunk), &chunk->held) : 0;
    if (outputs && delta->lines_done && delta->next >= delta->end) {
        chunk->flags |= FT_CHUNK_LAST | (delta->head.flags & FT_REC_DIGESTS);
        delta->active = false;
    } else {
        chunk->digest = chunk->slice = 0;
    }
    chunk->size = ft_chunk_size(chunk->lines, chunk->bytes);
    delta->bytes += chunk->size;
    delta->head.number++;
    ft_ring_publish(&delta->lane->log, chunk->size);
    return true;
}

bool lg_delta_turn(struct lg_delta *delta)
{
    while (delta->active)
        if (!make_chunk(delta, FT_CHUNK_LINES, true))
            return false;
    return true;
}

bool lg_delta_some(struct lg_delta *delta, uint32_t bytes)
{
    uint32_t least = FT_LINE_RUN_HEAD + FT_LINE;

    return make_chunk(delta, bytes < least ? least : bytes < FT_CHUNK_LINES ? bytes : FT_CHUNK_LINES, false);
}

bool lg_delta_shared(struct lg_delta *delta)
{
    while (!delta->lines_done && delta->arena == shared_index(delta->region))
        if (!make_chunk(delta, FT_CHUNK_LINES, false))
            return false;
    return true;
}

static uint64_t dirty_lines(const struct ft_region *region, unsigned arena)
{
    const struct ft_arena *a = &region->arenas[arena];

    return ft_lines_count(&region->dirty, a->offset >> FT_LINE_SHIFT, (a->offset + a->used) >> FT_LINE_SHIFT);
}

uint64_t lg_delta_lines(const struct ft_region *region, unsigned lane)
{
    uint64_t lines = lane == 0 ? dirty_lines(region, shared_index(region)) : 0;

    for (unsigned nf = 0; nf < region->nfs; nf++)
        lines += dirty_lines(region, lane * region->nfs + nf);
    return lines * (FT_LINE + FT_LINE_RUN_HEAD);
}
