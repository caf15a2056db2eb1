/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: keys of fixed size to slots with values, the table behind every NF that knows flows. Owns the one
 * object it allocates in the NF's arena; the NF's lane writes and reads it, show reads it at a cut.
 *
 *     struct nf_map        line 0: shape and seed, constant; line 1: counts, change with every add
 *     struct bucket[]      one line each: 8 tags, 8 slots, how many entries passed over it
 *     used[]               one bit per slot, for walking the slots in order
 *     entries              stride bytes each: key, padding, value. A free one holds the next free slot
 *
 * A lookup reads one bucket and one entry. An entry whose home bucket is full goes to the next one with room,
 * and every full bucket on its way counts it in `passed`; a lookup goes on only over buckets that were
 * passed, and a removal takes its counts back, so there are no tombstones and nothing ever moves.
 *
 * Positions are offsets and indices, never pointers. Slots come from a free list, last freed first, then from
 * those never used: the order depends on the operations alone, so every node gives the same slots. Free slots
 * are not linked up beforehand, so that a large empty table costs no memory.
 */
#include "nflib/state/map.h"
#include "nflib/module/tables.h"

#include <immintrin.h>
#include <string.h>

/* The process's one watcher of state types. Written before a chain is made, read by lanes. */
const struct nf_watch *nf_watch;

#define SLOTS_FILLED 4u /* of a bucket at capacity, on average: then one bucket in fifty is passed over */

/* Bit 2i: tag i equals `tag`. */
static inline uint32_t match_tags(const struct bucket *bucket, uint16_t tag)
{
    __m128i tags = _mm_load_si128((const __m128i *)(const void *)bucket->tag);

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(tags, _mm_set1_epi16((short)tag))) & 0x5555u;
}

static uint64_t round_up_to_line(uint64_t bytes)
{
    return (bytes + FT_LINE - 1) & ~(uint64_t)(FT_LINE - 1);
}

/*
 * Values are aligned as their size allows (a struct with a 64-bit member has a multiple of 8). Entries up to
 * a line take the next power of two, so that none lies in two lines; larger ones take whole lines.
 */
static void shape_entry(struct nf_map *map)
{
    uint32_t align = map->value_size & -map->value_size;
    uint32_t end, stride = 8;

    align = align == 0 ? 1 : align > 8 ? 8 : align;
    map->value_at = (map->key_size + align - 1) & -align;
    end = map->value_at + map->value_size;
    while (stride < end && stride < FT_LINE)
        stride *= 2;
    map->stride = end <= stride ? stride : (uint32_t)round_up_to_line(end);
}

/* Fills the constant part but for the seed; returns the bytes of the whole. */
static uint64_t shape_map(struct nf_map *map, uint32_t capacity, uint32_t key_size, uint32_t value_size)
{
    FT_CHECK(capacity > 0 && capacity < NF_NONE, "a map of %u entries", capacity);
    FT_CHECK(key_size > 0 && key_size <= 4096 && value_size <= 1u << 20, "a map of key %u, value %u bytes",
             key_size, value_size);
    *map = (struct nf_map){.capacity = capacity, .key_size = key_size, .value_size = value_size};
    shape_entry(map);
    map->buckets = (uint32_t)(((uint64_t)capacity + SLOTS_FILLED - 1) / SLOTS_FILLED);
    map->used_at = sizeof(*map) + (uint64_t)map->buckets * sizeof(struct bucket);
    map->entries_at = map->used_at + round_up_to_line(((uint64_t)capacity + 63) / 64 * 8);
    return round_up_to_line(map->entries_at + (uint64_t)capacity * map->stride);
}

uint64_t nf_map_bytes(uint32_t capacity, uint32_t key_size, uint32_t value_size)
{
    struct nf_map map;

    return shape_map(&map, capacity, key_size, value_size);
}

struct nf_map *nf_map_make(struct nf *nf, uint32_t capacity, uint32_t key_size, uint32_t value_size)
{
    struct nf_map start;
    uint64_t bytes = shape_map(&start, capacity, key_size, value_size);
    struct nf_map *map = ft_arena_alloc(nf->arena, bytes);

    if (!map)
        return NULL;
    start.seed = nf_random(nf);
    *NF_EDIT(nf, map) = start;
    /* But for the seed, which is the node's that began the state. */
    nf_constant(nf, &map->used_at,
                offsetof(struct nf_map, stride) + sizeof(map->stride) - offsetof(struct nf_map, used_at));
    nf_object(nf, map, "map", nf_map_check);
    NF_WATCH(made, nf, NF_WATCH_MAP, map, bytes);
    return map;
}

uint64_t nf_map_hash(const struct nf_map *map, const void *key)
{
    return nf_key_hash(key, map->key_size, map->seed);
}

/* All of the way: other entries of the same tag, buckets that were passed, keys of any size. */
static __attribute__((noinline)) uint32_t find_on(const struct nf_map *map, const void *key, uint64_t hash)
{
    const uint32_t home = nf_key_bucket(hash, map->buckets);
    const uint16_t tag = nf_key_tag(hash);
    uint32_t b = home;

    do {
        const struct bucket *bucket = bucket_at(map, b);

        for (uint32_t hits = match_tags(bucket, tag); hits; hits &= hits - 1) {
            uint32_t slot = bucket->slot[__builtin_ctz(hits) / 2];

            if (ft_likely(nf_key_equal(entry_at(map, slot), key, map->key_size)))
                return slot;
        }
        if (ft_likely(!bucket->passed))
            return NF_NONE;
        b = bucket_after(map, b);
    } while (b != home); /* even a sparse table can have had every bucket passed */
    return NF_NONE;
}

/* Out of line, so that without a watcher a lookup is two instructions longer. */
static __attribute__((noinline)) uint32_t find_and_report(const struct nf_map *map, const void *key,
                                                          uint64_t hash)
{
    uint32_t slot = find_on(map, key, hash);

    NF_WATCH(found, map, key, slot);
    return slot;
}

/* Nearly always a flow's key is where its tag is found first, or nothing was passed on. */
uint32_t nf_map_find(const struct nf_map *map, const void *key)
{
    uint64_t hash = nf_map_hash(map, key);

    if (ft_unlikely(nf_watch != NULL))
        return find_and_report(map, key, hash);

    const struct bucket *bucket = bucket_at(map, nf_key_bucket(hash, map->buckets));
    uint32_t hits = match_tags(bucket, nf_key_tag(hash));

    if (!hits && !bucket->passed)
        return NF_NONE;
    if (ft_likely(hits && map->key_size == 16)) {
        uint32_t slot = bucket->slot[__builtin_ctz(hits) / 2];
        const uint8_t *a = entry_at(map, slot), *b = key;

        if (ft_likely(!((nf_get64(a) ^ nf_get64(b)) | (nf_get64(a + 8) ^ nf_get64(b + 8)))))
            return slot;
    }
    return find_on(map, key, hash);
}

static uint32_t take_slot(const struct nf *nf, struct nf_map *map)
{
    uint32_t slot = map->free - 1;

    if (map->free)
        *NF_EDIT(nf, &map->free) = nf_get32(entry_at(map, slot));
    else
        slot = (*NF_EDIT(nf, &map->fresh))++;
    (*NF_EDIT(nf, &map->count))++;
    *NF_EDIT(nf, &used_words(map)[slot / 64]) |= 1ull << slot % 64;
    return slot;
}

static void give_slot(const struct nf *nf, struct nf_map *map, uint32_t slot)
{
    memcpy(nf_edit(nf, entry_at(map, slot), sizeof(uint32_t)), &map->free, sizeof(uint32_t));
    *NF_EDIT(nf, &map->free) = slot + 1;
    (*NF_EDIT(nf, &map->count))--;
    *NF_EDIT(nf, &used_words(map)[slot / 64]) &= ~(1ull << slot % 64);
}

/* Enters `slot` in the first bucket with room: there is one, with twice as many places as entries. */
static void enter_slot(const struct nf *nf, struct nf_map *map, uint64_t hash, uint32_t slot)
{
    uint32_t b = nf_key_bucket(hash, map->buckets), empty, i;

    while (!(empty = match_tags(bucket_at(map, b), 0))) {
        (*NF_EDIT(nf, &bucket_at(map, b)->passed))++;
        b = bucket_after(map, b);
    }
    i = (uint32_t)__builtin_ctz(empty) / 2;
    *NF_EDIT(nf, &bucket_at(map, b)->tag[i]) = nf_key_tag(hash);
    *NF_EDIT(nf, &bucket_at(map, b)->slot[i]) = slot;
}

uint32_t nf_map_add(const struct nf *nf, struct nf_map *map, const void *key)
{
    uint64_t hash = nf_map_hash(map, key);
    uint8_t *entry;
    uint32_t slot;

    FT_CHECK(find_on(map, key, hash) == NF_NONE, "the key is in the map already");
    if (map->count == map->capacity)
        return NF_NONE;
    slot = take_slot(nf, map);
    entry = nf_edit(nf, entry_at(map, slot), map->value_at + map->value_size);
    memcpy(entry, key, map->key_size);
    memset(entry + map->key_size, 0, map->value_at + map->value_size - map->key_size);
    enter_slot(nf, map, hash, slot);
    NF_WATCH(changed, map, key);
    if (ft_unlikely(nf->lanes > 1 && nf->region->audit))
        nf_map_note_lane(nf, map, key);
    return slot;
}

void nf_map_remove(const struct nf *nf, struct nf_map *map, uint32_t slot)
{
    uint64_t hash;
    uint32_t home, b;

    FT_CHECK(is_used(map, slot), "slot %u of %u is not used", slot, map->capacity);
    NF_WATCH(changed, map, entry_at(map, slot));
    hash = nf_map_hash(map, entry_at(map, slot));
    home = b = nf_key_bucket(hash, map->buckets);
    do {
        const struct bucket *bucket = bucket_at(map, b);

        for (uint32_t hits = match_tags(bucket, nf_key_tag(hash)); hits; hits &= hits - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(hits) / 2;

            if (bucket->slot[i] != slot)
                continue;
            *NF_EDIT(nf, &bucket->tag[i]) = 0;
            give_slot(nf, map, slot);
            return;
        }
        (*NF_EDIT(nf, &bucket->passed))--;
        b = bucket_after(map, b);
    } while (b != home);
    FT_CHECK(false, "slot %u is in no bucket: its key was changed", slot);
}

const void *nf_map_key(const struct nf_map *map, uint32_t slot)
{
    return entry_at(map, slot);
}

const void *nf_map_value(const struct nf_map *map, uint32_t slot)
{
    return entry_at(map, slot) + map->value_at;
}

bool nf_map_has(const struct nf_map *map, uint32_t slot)
{
    return is_used(map, slot);
}

uint32_t nf_map_count(const struct nf_map *map)
{
    return map->count;
}

uint32_t nf_map_capacity(const struct nf_map *map)
{
    return map->capacity;
}

uint32_t nf_map_next(const struct nf_map *map, uint32_t slot)
{
    const uint64_t *words = used_words(map);
    uint32_t last = (map->capacity - 1) / 64;

    if (slot >= map->capacity)
        return NF_NONE;
    for (uint32_t w = slot / 64; w <= last; w++) {
        uint64_t word = words[w];

        if (w == slot / 64)
            word &= ~0ull << slot % 64;
        if (word)
            return w * 64 + (uint32_t)__builtin_ctzll(word);
    }
    return NF_NONE;
}

/* ---- for who watches ---- */

static uint32_t key_size_of(const void *map)
{
    return ((const struct nf_map *)map)->key_size;
}
static uint32_t value_size_of(const void *map)
{
    return ((const struct nf_map *)map)->value_size;
}
static const void *key_of(const void *map, uint32_t slot)
{
    return nf_map_key(map, slot);
}
static const void *value_of(const void *map, uint32_t slot)
{
    return nf_map_value(map, slot);
}
static uint32_t peek(const void *map, const void *key)
{
    return find_on(map, key, nf_map_hash(map, key));
}
static uint32_t next_of(const void *map, uint32_t slot)
{
    return nf_map_next(map, slot);
}

/* The slot whose value holds `p`: keys do not change. */
static uint32_t slot_of(const void *object, const void *p)
{
    const struct nf_map *map = object;
    uint64_t offset = (uintptr_t)p - (uintptr_t)map, slot;

    if (offset < map->entries_at)
        return NF_NONE;
    slot = (offset - map->entries_at) / map->stride;
    if ((offset - map->entries_at) % map->stride < map->value_at || !is_used(map, (uint32_t)slot))
        return NF_NONE;
    return (uint32_t)slot;
}

const struct nf_watch_table nf_map_as_table = {
    .key_size = key_size_of,
    .value_size = value_size_of,
    .key = key_of,
    .value = value_of,
    .slot_of = slot_of,
    .peek = peek,
    .next = next_of,
};

struct nf_table nf_table_of_map(const char *name, const struct nf_map *map)
{
    return (struct nf_table){.name = name, .count = &map->count, .parts = 1, .limit = map->capacity};
}
