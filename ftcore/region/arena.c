/* SPDX-License-Identifier: Apache-2.0 */
/* The arenas of a region: where they are, what they hand out, the digest of what lies in them, and the slices
 * that they are compared by (slice.h). */
#include "ftcore/region/region.h"
#include "ftcore/region/slice.h"

#include <stdio.h>

#define XXH_INLINE_ALL /* for this machine's vectors: the library's own is for any */
#include <xxhash.h>

struct ft_arena *ft_region_arena(struct ft_region *region, unsigned lane, unsigned nf)
{
    FT_CHECK(lane < region->lanes && nf < region->nfs, "arena of lane %u, NF %u", lane, nf);
    return &region->arenas[lane * region->nfs + nf];
}

struct ft_arena *ft_region_shared(struct ft_region *region)
{
    return &region->arenas[region->arena_count - 1];
}

bool ft_region_has_heap(const struct ft_region *region)
{
    for (unsigned i = 0; i < region->arena_count; i++)
        if (region->arenas[i].heap)
            return true;
    return false;
}

struct ft_arena *ft_region_arena_at(const struct ft_region *region, uint64_t offset)
{
    unsigned low = 0, high = region->arena_count;

    /* The last arena that begins at or before the offset; the first begins at 0. */
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;

        if (region->arenas[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return offset - region->arenas[low].offset < region->arenas[low].size ? &region->arenas[low] : NULL;
}

void *ft_arena_alloc(struct ft_arena *arena, uint64_t size)
{
    uint64_t left = arena->size - arena->used;
    uint8_t *p;

    if (size > left)
        return NULL;
    /* An empty one takes a line too, so that no two allocations are at the same place. */
    size = size ? (size + FT_LINE - 1) / FT_LINE * FT_LINE : FT_LINE;
    if (size > left)
        return NULL;
    p = arena->region->base + arena->offset + arena->used;
    arena->used += size;
    return p;
}

/* Capacity stays out of it: what lies above `used` is nobody's state. */
uint64_t ft_region_digest(const struct ft_region *region)
{
    XXH3_state_t state;

    XXH3_64bits_reset(&state);
    for (const struct ft_arena *a = region->arenas; a < &region->arenas[region->arena_count]; a++) {
        XXH3_64bits_update(&state, &a->used, sizeof(a->used));
        XXH3_64bits_update(&state, region->base + a->offset, a->used);
    }
    return XXH3_64bits_digest(&state);
}

uint64_t ft_region_used(const struct ft_region *region)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < region->arena_count; i++)
        used += region->arenas[i].used;
    return used;
}

/* ---- slices ------------------------------------------------------------------------------------ */

bool ft_slice_find(const struct ft_region *region, uint64_t number, struct ft_slice *out)
{
    const struct ft_arena *arena =
        number < region->size / FT_SLICE ? ft_region_arena_at(region, number * FT_SLICE) : NULL;

    if (!arena || number * FT_SLICE - arena->offset >= arena->used)
        return false;
    out->arena = arena;
    out->at = number * FT_SLICE - arena->offset;
    out->size = arena->used - out->at < FT_SLICE ? arena->used - out->at : FT_SLICE;
    out->base = region->base + number * FT_SLICE;
    return true;
}

/* The number of the first slice behind the arena's, if it uses anything. */
static uint64_t end_of(const struct ft_arena *arena)
{
    return (arena->offset + arena->used + FT_SLICE - 1) / FT_SLICE;
}

uint64_t ft_slice_from(const struct ft_region *region, uint64_t number, uint32_t whose)
{
    for (const struct ft_arena *a = region->arenas; a < region->arenas + region->arena_count; a++)
        if (whose & FT_SLICES_OF(a->lane) && a->used && number < end_of(a))
            return number > a->offset / FT_SLICE ? number : a->offset / FT_SLICE;
    return FT_SLICE_NONE;
}

uint64_t ft_slice_count(const struct ft_region *region, uint32_t whose)
{
    uint64_t count = 0;

    for (const struct ft_arena *a = region->arenas; a < region->arenas + region->arena_count; a++)
        if (whose & FT_SLICES_OF(a->lane) && a->used)
            count += end_of(a) - a->offset / FT_SLICE;
    return count;
}

uint64_t ft_slice_digest(const void *bytes, uint64_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

const char *ft_slice_text(const struct ft_slice *slice, char out[FT_SLICE_TEXT])
{
    const struct ft_arena *a = slice->arena;
    uint64_t last = slice->at + slice->size - 1;

    if (a->lane == FT_LANES_MAX)
        snprintf(out, FT_SLICE_TEXT, "the shared arena, bytes %lu to %lu of it", slice->at, last);
    else
        snprintf(out, FT_SLICE_TEXT, "nf %s of lane %u, bytes %lu to %lu of its arena",
                 a->region->nf_name[a->nf], a->lane, slice->at, last);
    return out;
}
