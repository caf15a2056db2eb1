/* SPDX-License-Identifier: Apache-2.0 */
/* The arenas of a region: where they are, what they hand out, and the digest of what lies in them. */
#include "ftcore/region/region.h"

#define XXH_INLINE_ALL /* for this machine's vectors: the library's own is for any */
#include <xxhash.h>

struct ft_arena *ft_region_arena(struct ft_region *region, unsigned lane, unsigned nf)
{
    FT_CHECK(lane < region->lanes && nf < region->nfs, "arena of lane %u, NF %u", lane, nf);
    return &region->arenas[lane * region->nfs + nf];
}

struct ft_arena *ft_region_shared(struct ft_region *region)
{
    return &region->arenas[ft_region_arenas(region) - 1];
}

bool ft_region_has_heap(const struct ft_region *region)
{
    for (unsigned i = 0; i < ft_region_arenas(region); i++)
        if (region->arenas[i].heap)
            return true;
    return false;
}

struct ft_arena *ft_region_arena_at(const struct ft_region *region, uint64_t offset)
{
    unsigned low = 0, high = ft_region_arenas(region);

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
static uint64_t digest_arenas(const struct ft_region *region, unsigned first, unsigned count)
{
    XXH3_state_t state;

    XXH3_64bits_reset(&state);
    for (const struct ft_arena *a = &region->arenas[first]; a < &region->arenas[first + count]; a++) {
        XXH3_64bits_update(&state, &a->used, sizeof(a->used));
        XXH3_64bits_update(&state, region->base + a->offset, a->used);
    }
    return XXH3_64bits_digest(&state);
}

uint64_t ft_region_digest_lane(const struct ft_region *region, unsigned lane)
{
    FT_CHECK(lane < region->lanes, "digest of lane %u", lane);
    return digest_arenas(region, lane * region->nfs, region->nfs);
}

uint64_t ft_region_digest(const struct ft_region *region)
{
    return digest_arenas(region, 0, ft_region_arenas(region));
}

uint64_t ft_region_used(const struct ft_region *region)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < ft_region_arenas(region); i++)
        used += region->arenas[i].used;
    return used;
}
