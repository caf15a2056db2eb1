/* SPDX-License-Identifier: Apache-2.0 */
/* The slices of a region; see slice.h. */
#include "ftcore/region/slice.h"

#include <stdio.h>

#define XXH_INLINE_ALL /* for this machine's vectors: the library's own is for any */
#include <xxhash.h>

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
    for (const struct ft_arena *a = region->arenas; a < region->arenas + ft_region_arenas(region); a++)
        if (whose & FT_SLICES_OF(a->lane) && a->used && number < end_of(a))
            return number > a->offset / FT_SLICE ? number : a->offset / FT_SLICE;
    return FT_SLICE_NONE;
}

uint64_t ft_slice_count(const struct ft_region *region, uint32_t whose)
{
    uint64_t count = 0;

    for (const struct ft_arena *a = region->arenas; a < region->arenas + ft_region_arenas(region); a++)
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
