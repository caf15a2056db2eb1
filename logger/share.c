/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a lane's share of a delta; see share.h. Lines first, those of the shared arena, then the lane's own
 * in rising order; then outputs. */
#include "logger/share.h"
#include "ftcore/base/check.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/record/message.h"

#include <string.h>

#define RUN_HEAD 16u  /* bytes that ft_run_room puts before a run */
#define RUN_MAX  256u /* lines */

static unsigned shared_index(const struct ft_region *region)
{
    return (unsigned)region->lanes * region->nfs;
}

void lg_share_begin(struct lg_share *share, const struct ft_part *head, uint64_t first)
{
    FT_CHECK(!share->active, "lane %u: a share begins while cut %lu's is not whole", head->lane,
             share->head.cut);
    share->active = true;
    share->head = *head;
    share->arena = head->lane ? head->lane * share->region->nfs : shared_index(share->region);
    share->line = 0;
    share->lines_done = false;
    share->next = first > share->hold->out ? first : share->hold->out;
    share->end = share->hold->in;
    share->bytes = 0;
}

void lg_share_drop(struct lg_share *share)
{
    share->active = false;
}

/* Lane 0 goes from the shared arena to those of its own. False: there is none any more. */
static bool next_arena(struct lg_share *share)
{
    unsigned last = (share->head.lane + 1u) * share->region->nfs - 1u;

    share->line = 0;
    if (share->arena == last)
        return false;
    share->arena = share->arena == shared_index(share->region) ? 0 : share->arena + 1;
    return true;
}

/* Takes the next run of lines in [from, to) into out[*len..most), which has room for `max` of them. */
static struct ft_run copy_run(const struct lg_share *share, uint64_t from, uint64_t to, uint64_t max,
                              uint8_t *out, uint32_t *len, uint32_t most)
{
    struct ft_region *region = share->region;
    bool spread = share->head.flags & FT_PART_SPREAD;
    struct ft_run run =
        spread ? ft_checkpoint_take(region, from, to, max) : ft_lines_take(&region->dirty, from, to, max);
    uint8_t *room;

    if (run.count == 0)
        return run;
    room = ft_run_room(out, len, most, run.line, (uint32_t)run.count);
    FT_CHECK(room, "no room for %lu lines", run.count);
    if (spread) {
        ft_checkpoint_copy(region, &run, room);
        return run;
    }
    memcpy(room, region->base + (run.line << FT_LINE_SHIFT), run.count << FT_LINE_SHIFT);
    return run;
}

/* Takes lines of the share's arenas into out[0..most). A part has those of the shared arena or of others. */
static uint32_t copy_lines(struct lg_share *share, uint8_t *out, uint32_t most)
{
    struct ft_region *region = share->region;
    uint32_t len = 0;

    while (!share->lines_done) {
        const struct ft_arena *arena = &region->arenas[share->arena];
        uint64_t first = arena->offset >> FT_LINE_SHIFT, end = first + (arena->used >> FT_LINE_SHIFT);
        uint64_t room = most - len, lines = room > RUN_HEAD ? (room - RUN_HEAD) / FT_LINE : 0;

        if (lines == 0)
            break;
        if (lines > RUN_MAX)
            lines = RUN_MAX;
        struct ft_run run = copy_run(share, first + share->line, end, lines, out, &len, most);

        if (run.count == 0) {
            bool was_shared = share->arena == shared_index(region);

            share->lines_done = !next_arena(share);
            if (was_shared && len)
                break;
            continue;
        }
        FT_COUNT(share->lane, delta_lines, run.count);
        share->line = run.line + run.count - first;
    }
    return len;
}

static uint32_t copy_outputs(struct lg_share *share, uint8_t *out, uint32_t *count)
{
    uint32_t len = 0;

    for (; share->next < share->end; share->next++) {
        const struct ft_held *held;
        struct ft_part_output *to = (struct ft_part_output *)(out + len);
        const uint8_t *frame;
        uint32_t have, size;

        if (share->next < share->hold->out) /* it has left meanwhile: a gate was open */
            continue;
        held = ft_hold_at(share->hold, share->next);
        have = share->carry(share->arg, held, &frame);
        if (have == 0)
            continue;
        size = (uint32_t)(sizeof(*to) + FT_ALIGN8(have));
        if (len + size > FT_PART_OUTPUTS)
            break;
        *to = (struct ft_part_output){.number = held->number,
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
static bool make_part(struct lg_share *share, uint32_t most, bool outputs)
{
    struct ft_part *part = ft_ring_reserve(&share->lane->log, FT_PART_MAX);

    if (!part)
        return false;
    *part = share->head;
    part->flags = FT_REC_DELTA | (share->head.flags & FT_PART_SPREAD);
    part->lines = copy_lines(share, ft_part_lines(part), most);
    memset(ft_part_lines(part) + part->lines, 0, FT_ALIGN8(part->lines) - part->lines);
    part->held = 0;
    if (!outputs && part->lines == 0 && part->number > 0)
        return true;
    part->bytes = outputs && share->lines_done ? copy_outputs(share, ft_part_held(part), &part->held) : 0;
    if (outputs && share->lines_done && share->next >= share->end) {
        part->flags |= FT_PART_LAST | (share->head.flags & FT_REC_DIGEST);
        share->active = false;
    } else {
        part->digest = 0;
    }
    part->size = ft_part_size(part->lines, part->bytes);
    share->bytes += part->size;
    share->head.number++;
    FT_COUNT(share->lane, delta_bytes, part->size);
    ft_ring_publish(&share->lane->log, part->size);
    return true;
}

bool lg_share_turn(struct lg_share *share)
{
    while (share->active)
        if (!make_part(share, FT_PART_LINES, true))
            return false;
    return true;
}

bool lg_share_some(struct lg_share *share, uint32_t bytes)
{
    uint32_t least = RUN_HEAD + FT_LINE;

    return make_part(share, bytes < least ? least : bytes < FT_PART_LINES ? bytes : FT_PART_LINES, false);
}

bool lg_share_shared(struct lg_share *share)
{
    while (!share->lines_done && share->arena == shared_index(share->region))
        if (!make_part(share, FT_PART_LINES, false))
            return false;
    return true;
}

uint64_t lg_share_lines(const struct ft_region *region, unsigned lane)
{
    uint64_t lines = 0;

    for (unsigned nf = 0; nf < region->nfs; nf++) {
        const struct ft_arena *a = &region->arenas[lane * region->nfs + nf];

        lines += ft_lines_count(&region->dirty, a->offset >> FT_LINE_SHIFT,
                                (a->offset + a->used) >> FT_LINE_SHIFT);
    }
    if (lane == 0) {
        const struct ft_arena *a = &region->arenas[shared_index(region)];

        lines += ft_lines_count(&region->dirty, a->offset >> FT_LINE_SHIFT,
                                (a->offset + a->used) >> FT_LINE_SHIFT);
    }
    return lines * (FT_LINE + RUN_HEAD);
}
