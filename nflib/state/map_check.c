/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a map that came from a peer is one that map.c could have made. Its shape is constant and has been
 * compared (nf_map_make), so here are counts, the free list, and that entries and places in buckets are the
 * same ones: every used slot has one place, where its key leads to, no key is there twice, and each bucket
 * counts those that passed. Reads only. Takes memory for a bit a slot and a number a bucket while it is at
 * work.
 */
#include "nflib/state/map.h"

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

int nf_map_check(struct nf_check *c, const void *object)
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
