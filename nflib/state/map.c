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
#include "ftcore/base/event_log.h"
#include "ftcore/base/cpu.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"
#include "nflib/module/module.h"
#include "nflib/state/key.h"
#include "nflib/state/watch.h"
#include "nflib/state/state.h"

#include <stdatomic.h>
#include <string.h>

#include <xxhash.h>

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

/* ---- the check of a map that came from a peer ---------------------------------------------------- */

/*
 * Whether it is one that the operations below could have made. Its shape is constant and has been
 * compared (nf_map_make), so here are counts, the free list, and that entries and places in buckets are the
 * same ones: every used slot has one place, where its key leads to, no key is there twice, and each bucket
 * counts those that passed. Reads only. Takes memory for a bit a slot and a number a bucket while it is at
 * work.
 */

/* Buckets that an entry lies behind its home, at most. At capacity half of all places are taken, so that a
 * way of d buckets has a probability of about e^-1.5d; one that is longer was chosen by somebody. It bounds
 * the check's time, and that of each lookup behind it. */
#define WAY_MAX 64u

/* What the check finds out on its way. */
struct found {
    uint64_t *seen;   /* bit of each slot that has a place */
    uint32_t *passed; /* [buckets] entries that lie behind it and wanted it or an earlier one */
};

static uint64_t words_of(const struct nf_map *map)
{
    return ((uint64_t)map->capacity + 63) / 64;
}

static int check_counts(struct nf_check *c, const struct nf_map *map)
{
    uint64_t used = 0;

    if (map->fresh > map->capacity)
        return nf_check_failed(c, "%u slots were used, expected at most %u", map->fresh, map->capacity);
    if (map->count > map->fresh || map->free > map->fresh)
        return nf_check_failed(c, "%u entries, free slot %u, expected at most the %u slots ever used",
                               map->count, map->free, map->fresh);
    for (uint64_t w = 0; w < words_of(map); w++) {
        uint64_t bits = used_words(map)[w], first = w * 64;

        nf_check_step(c);
        if (first + 64 > map->fresh && bits >> (map->fresh > first ? map->fresh - first : 0))
            return nf_check_failed(c, "a slot behind the %u ever used is used", map->fresh);
        used += (uint64_t)__builtin_popcountll(bits);
    }
    if (used != map->count)
        return nf_check_failed(c, "%lu slots are used, expected %u, the count", used, map->count);
    return 0;
}

/* All that were used and are not: by their number the list ends. */
static int check_free(struct nf_check *c, const struct nf_map *map)
{
    uint32_t next = map->free;

    for (uint32_t left = map->fresh - map->count; left; left--) {
        nf_check_step(c);
        if (next == 0)
            return nf_check_failed(c, "the list of free slots ends %u slots early", left);
        if (next > map->fresh || is_used(map, next - 1))
            return nf_check_failed(c, "slot %u is in the list of free ones, expected one that is free",
                                   next - 1);
        next = nf_get32(entry_at(map, next - 1));
    }
    if (next)
        return nf_check_failed(c, "the list of free slots does not end after %u", map->fresh - map->count);
    return 0;
}

static int check_places(struct nf_check *c, const struct nf_map *map, struct found *found)
{
    uint32_t places = 0;

    for (uint32_t b = 0; b < map->buckets; b++) {
        const struct bucket *bucket = bucket_at(map, b);

        nf_check_step(c);
        for (uint32_t i = 0; i < SLOTS; i++) {
            uint32_t slot = bucket->slot[i];

            if (!bucket->tag[i])
                continue;
            if (!is_used(map, slot))
                return nf_check_failed(c, "bucket %u names slot %u, expected one of the %u used", b, slot,
                                       map->count);
            if (found->seen[slot / 64] >> slot % 64 & 1)
                return nf_check_failed(c, "bucket %u names slot %u, which has a place already", b, slot);
            found->seen[slot / 64] |= 1ull << slot % 64;
            places++;
        }
    }
    if (places != map->count)
        return nf_check_failed(c, "%u places are taken in buckets, expected %u, the count", places,
                               map->count);
    return 0;
}

/* The entry at place i of bucket b lies where its key leads to, and a lookup finds no other before it. */
static int check_way(struct nf_check *c, const struct nf_map *map, uint32_t b, uint32_t i,
                     struct found *found)
{
    uint32_t slot = bucket_at(map, b)->slot[i], steps = 0;
    const uint8_t *key = entry_at(map, slot);
    uint64_t hash = nf_key_hash(key, map->key_size, map->seed);
    uint16_t tag = nf_key_tag(hash);

    if (bucket_at(map, b)->tag[i] != tag)
        return nf_check_failed(c, "slot %u has another tag in bucket %u than its key gives", slot, b);
    for (uint32_t at = nf_key_bucket(hash, map->buckets);; at = bucket_after(map, at)) {
        const struct bucket *bucket = bucket_at(map, at);

        for (uint32_t j = 0; j < (at == b ? i : SLOTS); j++)
            if (bucket->tag[j] == tag && nf_key_equal(entry_at(map, bucket->slot[j]), key, map->key_size))
                return nf_check_failed(c, "slots %u and %u have the same key", bucket->slot[j], slot);
        if (at == b)
            return 0;
        if (++steps > WAY_MAX)
            return nf_check_failed(c, "slot %u lies in bucket %u, too far from where its key leads to", slot,
                                   b);
        found->passed[at]++;
    }
}

static int check_ways(struct nf_check *c, const struct nf_map *map, struct found *found)
{
    int error;

    for (uint32_t b = 0; b < map->buckets; b++) {
        const struct bucket *bucket = bucket_at(map, b);

        for (uint32_t i = 0; i < SLOTS; i++) {
            if (!bucket->tag[i])
                continue;
            nf_check_step(c);
            error = check_way(c, map, b, i, found);
            if (error)
                return error;
        }
    }
    for (uint32_t b = 0; b < map->buckets; b++)
        if (bucket_at(map, b)->passed != found->passed[b])
            return nf_check_failed(c, "bucket %u was passed by %u entries, expected %u", b,
                                   bucket_at(map, b)->passed, found->passed[b]);
    return 0;
}

static int check_map(struct nf_check *c, const void *object)
{
    const struct nf_map *map = object;
    struct found found = {.seen = nf_check_memory(c, 0, words_of(map) * sizeof(*found.seen)),
                          .passed = nf_check_memory(c, 1, map->buckets * sizeof(*found.passed))};
    int error;

    if (!found.seen || !found.passed)
        return FT_ENOMEM;
    if ((error = check_counts(c, map)) || (error = check_free(c, map)) ||
        (error = check_places(c, map, &found)))
        return error;
    return check_ways(c, map, &found);
}

/* ---- with the audit: one key in two lanes -------------------------------------------------------- */

/*
 * Finds an NF that adds one key to maps of its own in two lanes. All packets of what its
 * state belongs to come to one lane (module->scope), so each of the two entries knows of some of the packets
 * only. A warning, since an NF may mean it so. Owns the keys that were added last; written by all lanes.
 */

#define KEYS  65536u
#define LANES 15u /* of an entry: the bits of the lane. The others are those of the key's hash. */
_Static_assert(FT_LANES_MAX <= LANES + 1, "a lane has four bits");

static _Atomic uint64_t keys[KEYS]; /* by the first bits of the hash; 0: none yet */
static _Atomic uint32_t told;       /* bit i: of NF i */

static const char *scope_of(const struct nf *nf)
{
    static const char *const names[] = {"a flow", "an address inside", "an address outside", "the chain"};

    return names[nf->module->scope ? nf->module->scope(nf->config) : NF_OF_FLOW];
}

static void note_lane(const struct nf *nf, const struct nf_map *map, const void *key)
{
    /* The same for the same map of each lane; a map that lanes share is elsewhere for each. */
    uint64_t at = (uintptr_t)map - (uintptr_t)nf->region->base - nf->arena->offset;
    uint64_t seed = (at << 8 | nf->index) ^ (uintptr_t)nf->config, hash, before;

    /* What make adds, or an operator, is in all lanes; and a lane's own maps are by nobody's scope. */
    if (!ft_audit_runs() || !nf->index)
        return;
    hash = XXH3_64bits_withSeed(key, map->key_size, seed) & ~(uint64_t)LANES;
    before = atomic_exchange(&keys[hash >> 48], hash | nf->lane);
    if ((before & ~(uint64_t)LANES) != hash || (before & LANES) == nf->lane ||
        atomic_fetch_or(&told, 1u << nf->index) >> nf->index & 1)
        return;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START,
                 "audit: NF '%s' added one key to maps of its own in lanes %u and %u, expected one lane: by "
                 "its scope its state is of %s",
                 nf->module->name, (unsigned)(before & LANES), nf->lane, scope_of(nf));
}

/* ---- the map ------------------------------------------------------------------------------------- */

#define SLOTS_FILLED 4u /* of a bucket at capacity, on average: then one bucket in fifty is passed over */

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
    nf_object(nf, map, "map", check_map);
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

        for (uint32_t hits = ft_match_tags(bucket->tag, tag); hits; hits &= hits - 1) {
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

/* Nearly always a flow's key is where its tag is found first, or nothing was passed on. */
uint32_t nf_map_find(const struct nf_map *map, const void *key)
{
    uint64_t hash = nf_map_hash(map, key);
    const struct bucket *bucket = bucket_at(map, nf_key_bucket(hash, map->buckets));
    uint32_t hits = ft_match_tags(bucket->tag, nf_key_tag(hash));

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

    while (!(empty = ft_match_tags(bucket_at(map, b)->tag, 0))) {
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
        note_lane(nf, map, key);
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

        for (uint32_t hits = ft_match_tags(bucket->tag, nf_key_tag(hash)); hits; hits &= hits - 1) {
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

struct nf_table nf_table_of_map(const char *name, const struct nf_map *map)
{
    return (struct nf_table){.name = name, .count = &map->count, .parts = 1, .limit = map->capacity};
}
