/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a map lies in memory, and its rules of place: what map.c, which works on it, and map_check.c, which
 * looks at one that came from a peer, have in common. Private to those two; map.c says what is where.
 */
#ifndef NFLIB_STATE_MAP_H
#define NFLIB_STATE_MAP_H

#include "nflib/module/content.h"
#include "nflib/state/key.h"
#include "nflib/state/watch.h"

#define SLOTS 8u /* in a bucket */

struct bucket {
    uint16_t tag[SLOTS]; /* 0: empty */
    uint32_t slot[SLOTS];
    uint32_t passed; /* entries that wanted this bucket or an earlier one and lie behind it */
    uint32_t unused[3];
};
_Static_assert(sizeof(struct bucket) == FT_LINE, "a bucket is one line");

struct nf_map {
    uint64_t seed;
    uint64_t used_at, entries_at; /* bytes from the map's start */
    uint32_t capacity, buckets;
    uint32_t key_size, value_size;
    uint32_t value_at, stride;
    _Alignas(FT_LINE) uint32_t count;
    uint32_t fresh; /* slots from here on were never used */
    uint32_t free;  /* slot last freed + 1; 0: none */
};
_Static_assert(sizeof(struct nf_map) == 2 * FT_LINE, "buckets follow at a line's start");

static inline const struct bucket *bucket_at(const struct nf_map *map, uint32_t b)
{
    return (const struct bucket *)(map + 1) + b;
}

static inline const uint8_t *entry_at(const struct nf_map *map, uint32_t slot)
{
    return (const uint8_t *)map + map->entries_at + (uint64_t)slot * map->stride;
}

static inline const uint64_t *used_words(const struct nf_map *map)
{
    return (const uint64_t *)((const uint8_t *)map + map->used_at);
}

static inline bool is_used(const struct nf_map *map, uint32_t slot)
{
    return slot < map->capacity && used_words(map)[slot / 64] >> slot % 64 & 1;
}

static inline uint32_t bucket_after(const struct nf_map *map, uint32_t b)
{
    return b + 1 < map->buckets ? b + 1 : 0;
}

/* map_check.c, for nf_object. */
int nf_map_check(struct nf_check *c, const void *map);

/* map_scope.c: the key is added, the region has an audit, and there are several lanes. */
void nf_map_note_lane(const struct nf *nf, const struct nf_map *map, const void *key);

#endif
