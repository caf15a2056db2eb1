/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slices: the used bytes of the arenas, cut at multiples of FT_SLICE. The digest of one costs a lane little
 * enough to be taken between two bursts. A slice's number is its place in the region, the same on both nodes;
 * a place of which no arena uses a byte is no slice, so numbers have gaps. Read by lanes; nothing is kept.
 */
#ifndef FTCORE_REGION_SLICE_H
#define FTCORE_REGION_SLICE_H

#include "ftcore/region/region.h"

#define FT_SLICE      (64ull << 10)
#define FT_SLICE_NONE UINT64_MAX

_Static_assert(FT_ARENA_ALIGN % FT_SLICE == 0, "a slice is of one arena");

/* Whose slices: a bit for each lane's arenas, and that of FT_LANES_MAX for the shared arena. */
#define FT_SLICES_ALL   UINT32_MAX
#define FT_SLICES_OF(l) (1u << (l))

struct ft_slice {
    const struct ft_arena *arena;
    uint64_t at;         /* its first byte's offset in the arena */
    uint64_t size;       /* bytes, 1 to FT_SLICE */
    const uint8_t *base; /* in the region */
};

/* False: no slice has this number. */
bool ft_slice_find(const struct ft_region *region, uint64_t number, struct ft_slice *out);
/* The first slice of `whose` with this number or a higher one; FT_SLICE_NONE: there is none. */
uint64_t ft_slice_from(const struct ft_region *region, uint64_t number, uint32_t whose);
uint64_t ft_slice_count(const struct ft_region *region, uint32_t whose);

/* XXH3 of a slice's bytes or of a copy. The seed makes that of unchanged bytes another one: the last burst of
 * the lane, or of lane 0 where all lanes have stopped. */
uint64_t ft_slice_digest(const void *bytes, uint64_t size, uint64_t seed);

/* Whose bytes these are, for people: "nf nat of lane 0, bytes 65536 to 131071 of its arena". Returns `out`.
 */
#define FT_SLICE_TEXT 128u
const char *ft_slice_text(const struct ft_slice *slice, char out[FT_SLICE_TEXT]);

#endif
