/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of an incremental checkpoint, see checkpoint.h. Owns the set of pending ones and what is saved of
 * them, both the region's. Written by lanes. */
#include "ftcore/region/checkpoint.h"
#include "ftcore/base/plant.h"
#include "ftcore/region/heap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NEAR 16u /* lines ahead of the one that is copied: the cache may have them when they are */

/* A lane's, in memory that no other lane writes. */
struct saved_lane {
    _Alignas(64) uint64_t end; /* behind the last line of its arenas, and so behind the last place */
    uint64_t next;             /* place of what it saves next */
    uint64_t found;            /* `at` covers the places below */
};

struct ft_saved {
    uint8_t *bytes; /* places for as many lines as the region has; a lane's begin where its arenas do */
    uint32_t *line; /* of each place, whose it is */
    uint32_t *at;   /* of each line its place and one more; 0: it is in the region, or not looked at yet */
    struct saved_lane lane[];
};

_Static_assert((FT_REGION_MAX >> FT_LINE_SHIFT) < UINT32_MAX, "a place and one more take four bytes");

static uint64_t first_line(const struct ft_region *region, unsigned lane)
{
    return region->arenas[lane * region->nfs].offset >> FT_LINE_SHIFT; /* behind the last: the shared one's */
}

static uint64_t number_bytes(const struct ft_region *region)
{
    return ((region->size >> FT_LINE_SHIFT) + NEAR) * sizeof(uint32_t);
}

void ft_checkpoint_free(struct ft_region *region)
{
    struct ft_saved *saved = region->checkpoint_saved;

    if (saved && saved->bytes)
        munmap(saved->bytes, region->size);
    if (saved && saved->at)
        munmap(saved->at, number_bytes(region));
    if (saved && saved->line)
        munmap(saved->line, number_bytes(region));
    free(saved);
    region->checkpoint_saved = NULL;
    ft_lines_free(&region->checkpoint_pending);
}

int ft_checkpoint_prepare(struct ft_region *region)
{
    uint64_t lines = region->size >> FT_LINE_SHIFT;
    size_t size = sizeof(struct ft_saved) + region->lanes * sizeof(struct saved_lane);
    struct ft_saved *saved;

    if (region->checkpoint_saved)
        return FT_OK;
    saved = aligned_alloc(_Alignof(struct ft_saved), size);
    if (!saved)
        return FT_ENOMEM;
    region->checkpoint_saved = saved;
    memset(saved, 0, size);
    saved->bytes = ft_map_memory(region->size);
    saved->at = ft_map_memory(number_bytes(region));
    saved->line = ft_map_memory(number_bytes(region));
    if (ft_lines_init(&region->checkpoint_pending, lines) != 0 || !saved->bytes || !saved->at ||
        !saved->line) {
        ft_checkpoint_free(region);
        return FT_ENOMEM;
    }
    for (unsigned l = 0; l < region->lanes; l++)
        saved->lane[l].end = first_line(region, l + 1);
    return FT_OK;
}

/* Of a checkpoint that nobody wanted there may be some. */
static void forget_pending(struct ft_region *region)
{
    struct ft_saved *saved = region->checkpoint_saved;
    uint64_t lines = region->checkpoint_pending.lines;
    struct ft_line_range run = {0};

    while ((run = ft_lines_take(&region->checkpoint_pending, run.line + run.count, lines, lines)).count)
        memset(&saved->at[run.line], 0, run.count * sizeof(*saved->at));
    for (unsigned l = 0; l < region->lanes; l++)
        saved->lane[l].next = saved->lane[l].found = first_line(region, l);
}

/* Lines of heaps are written without edits, which would save them: all that are pending are saved now. */
static void save_heap(struct ft_region *region, const struct ft_heap *heap)
{
    uint64_t from = (uint64_t)((const uint8_t *)heap - region->base) >> FT_LINE_SHIFT;
    uint64_t to = ft_heap_end(heap, region) >> FT_LINE_SHIFT;
    struct ft_line_range run;

    for (; (run = ft_lines_find(&region->checkpoint_pending, from, to, to - from)).count; from += run.count) {
        from = run.line;
        ft_checkpoint_save(region, run.line, run.count);
    }
}

void ft_checkpoint_begin(struct ft_region *region)
{
    struct ft_lines marked = region->dirty;

    forget_pending(region);
    region->dirty = region->checkpoint_pending;
    region->checkpoint_pending = marked;
    for (unsigned i = 0; i < region->arena_count; i++)
        if (region->arenas[i].heap)
            save_heap(region, region->arenas[i].heap);
    atomic_store_explicit(&region->checkpoint_open, true, memory_order_release);
}

void ft_checkpoint_end(struct ft_region *region)
{
    if (atomic_load_explicit(&region->checkpoint_open, memory_order_relaxed))
        atomic_store_explicit(&region->checkpoint_open, false, memory_order_release);
}

static struct saved_lane *lane_of_line(const struct ft_region *region, uint64_t line)
{
    struct saved_lane *l = region->checkpoint_saved->lane;

    while (line >= l->end) {
        l++;
        FT_CHECK(l < region->checkpoint_saved->lane + region->lanes,
                 "edit of line %lu, which is shared and pending", line);
    }
    return l;
}

/*
 * One line behind the other, and what is saved where as well: a table of all lines would be one miss of the
 * cache more for each. A line that is marked anew was saved when it was.
 */
void ft_checkpoint_save(struct ft_region *region, uint64_t line, uint64_t count)
{
    struct ft_saved *saved = region->checkpoint_saved;

    for (uint64_t end = line + count; line < end; line++) {
        if (!ft_lines_marked(&region->checkpoint_pending, line) || ft_lines_marked(&region->dirty, line))
            continue;
        struct saved_lane *mine = lane_of_line(region, line);
        uint64_t place = mine->next++;

        FT_CHECK(place < mine->end, "line %lu is saved, and there are more saved ones than lines", line);
        __builtin_prefetch(saved->bytes + ((place + NEAR) << FT_LINE_SHIFT), 1);
        memcpy(saved->bytes + (place << FT_LINE_SHIFT), region->base + (line << FT_LINE_SHIFT), FT_LINE);
        saved->line[place] = (uint32_t)line;
    }
}

/* Where lines of the lane that copies were saved, all at once: their misses wait for each other no more. */
static void find_saved(struct ft_saved *saved, struct saved_lane *mine)
{
    for (; mine->found < mine->next; mine->found++) {
        uint32_t *at = &saved->at[saved->line[mine->found]];

        if (*at == 0) /* as it was at the cut, should it have been saved again */
            *at = (uint32_t)mine->found + 1;
    }
}

void ft_checkpoint_copy(struct ft_region *region, const struct ft_line_range *run, uint8_t *out)
{
    struct ft_saved *saved = region->checkpoint_saved;

    if (run->line < first_line(region, region->lanes)) /* the shared arena's are never saved */
        find_saved(saved, lane_of_line(region, run->line));
    for (uint64_t line = run->line; line < run->line + run->count; line++, out += FT_LINE) {
        uint32_t at = saved->at[line], later = saved->at[line + NEAR];
        const uint8_t *from = region->base + (line << FT_LINE_SHIFT);

        if (later)
            __builtin_prefetch(saved->bytes + ((uint64_t)(later - 1) << FT_LINE_SHIFT));
        if (at && !FT_PLANTED("copy-late"))
            from = saved->bytes + ((uint64_t)(at - 1) << FT_LINE_SHIFT);
        saved->at[line] = 0;
        memcpy(out, from, FT_LINE);
    }
}
