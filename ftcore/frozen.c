/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen lines; see frozen.h. Owns the set and what is saved of it, both the region's. Written by lanes. */
#include "ftcore/frozen.h"
#include "ftcore/plant.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of a lane. Two lanes never write to one line of the processor's cache. */
struct ft_saved {
    _Alignas(64) uint64_t end; /* behind the last line of its arenas */
    uint8_t *bytes;            /* as many lines as these have … */
    uint32_t *line;            /* … and which they are */
    uint64_t in, out;          /* saved, taken */
};

_Static_assert((FT_REGION_MAX >> FT_LINE_SHIFT) <= UINT32_MAX, "a line's number takes four bytes");

static uint64_t first_line(const struct ft_region *region, unsigned lane)
{
    return region->arenas[lane * region->nfs].offset >> FT_LINE_SHIFT; /* behind the last: the shared one's */
}

static void *map(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static uint64_t number_bytes(const struct ft_region *region)
{
    return (region->size >> FT_LINE_SHIFT) * sizeof(uint32_t);
}

void ft_frozen_free(struct ft_region *region)
{
    struct ft_saved *saved = region->saved;

    if (saved && saved->bytes)
        munmap(saved->bytes, region->size);
    if (saved && saved->line)
        munmap(saved->line, number_bytes(region));
    free(saved);
    region->saved = NULL;
    ft_lines_free(&region->frozen);
}

int ft_freeze_prepare(struct ft_region *region)
{
    struct ft_saved *saved;

    if (region->saved)
        return FT_OK;
    saved = aligned_alloc(_Alignof(struct ft_saved), region->lanes * sizeof(*saved));
    if (!saved)
        return FT_ENOMEM;
    region->saved = saved;
    memset(saved, 0, region->lanes * sizeof(*saved));
    saved->bytes = map(region->size);
    saved->line = map(number_bytes(region));
    if (ft_lines_init(&region->frozen, region->size >> FT_LINE_SHIFT) != 0 || !saved->bytes || !saved->line) {
        ft_frozen_free(region);
        return FT_ENOMEM;
    }
    for (unsigned l = 0; l < region->lanes; l++) { /* lane 0's are the region's first: its pointers stay */
        saved[l].end = first_line(region, l + 1);
        saved[l].bytes = saved->bytes + (first_line(region, l) << FT_LINE_SHIFT);
        saved[l].line = saved->line + first_line(region, l);
    }
    return FT_OK;
}

/* Of a checkpoint that nobody wanted there may be some. */
static void forget(struct ft_region *region)
{
    ft_lines_clear(&region->frozen);
    for (unsigned l = 0; l < region->lanes; l++)
        region->saved[l].in = region->saved[l].out = 0;
}

void ft_freeze(struct ft_region *region)
{
    struct ft_lines marked = region->dirty;

    forget(region);
    region->dirty = region->frozen;
    region->frozen = marked;
    atomic_store_explicit(&region->freezing, true, memory_order_release);
}

void ft_thaw(struct ft_region *region)
{
    if (atomic_load_explicit(&region->freezing, memory_order_relaxed))
        atomic_store_explicit(&region->freezing, false, memory_order_release);
}

static struct ft_saved *owner(const struct ft_region *region, uint64_t line)
{
    struct ft_saved *s = region->saved;

    while (line >= s->end) {
        s++;
        FT_CHECK(s < region->saved + region->lanes, "edit of line %lu, which is shared and frozen", line);
    }
    return s;
}

void ft_frozen_save(struct ft_region *region, uint64_t line, uint64_t count)
{
    for (uint64_t end = line + count; line < end; line++) {
        if (!ft_lines_marked(&region->frozen, line))
            continue;
        struct ft_saved *s = owner(region, line);

        ft_lines_claim(&region->frozen, line);
        memcpy(s->bytes + (s->in << FT_LINE_SHIFT), region->base + (line << FT_LINE_SHIFT), FT_LINE);
        s->line[s->in++] = (uint32_t)line;
    }
}

struct ft_run ft_frozen_take(struct ft_region *region, uint64_t from, uint64_t to, uint64_t max,
                             const uint8_t **bytes)
{
    struct ft_run run = ft_lines_take(&region->frozen, from, to, max);

    *bytes = region->base + (run.line << FT_LINE_SHIFT);
    return run;
}

struct ft_run ft_saved_take(struct ft_region *region, unsigned lane, uint64_t max, const uint8_t **bytes)
{
    struct ft_saved *s = &region->saved[lane];
    uint64_t left = s->in - s->out, at = s->out;
    struct ft_run run = {0};

    if (left == 0 || max == 0)
        return run;
    run.line = s->line[at];
    while (run.count < left && run.count < max && s->line[at + run.count] == run.line + run.count)
        run.count++;
    *bytes = FT_PLANTED("copy-late") ? region->base + (run.line << FT_LINE_SHIFT)
                                     : s->bytes + (at << FT_LINE_SHIFT);
    s->out += run.count;
    if (s->out == s->in) /* from the start again, in pages that the cache may have */
        s->in = s->out = 0;
    return run;
}
