/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared state types: one object for all lanes of a chain, in the shared arena. Each operation enters the
 * object's section, marks what it changes and leaves, so what lanes do to it in any order is done again in
 * the same order by replay (ftcore/order/section.h). An object that another lane used before costs one
 * dependency in the record; used by the same lane again, nothing.
 *
 * Every lane's `make` makes the same objects in the same order; the first one creates, the others find it.
 * Each type has `_bytes`, what it needs of the shared arena, for module->shared; a `_lane_bytes`, where there
 * is one, for module->arena; docs/writing-an-nf.md has the formulas. `_make` returns NULL when an arena is
 * full. Each checks what a peer wrote (nf_object).
 *
 * Operations are called from process, timers, set and clear alone. `_peek` reads without a section, for show:
 * what it returns is of no moment in particular and must not reach the chain.
 */
#ifndef NFLIB_SHARED_SHARED_H
#define NFLIB_SHARED_SHARED_H

#include "nflib/module/module.h"
#include "nflib/state/state.h"

#define NF_SHARED_MAX 32u /* objects an NF may make */

/*
 * How many more sections this burst may enter: a record has a bounded number of dependencies, and going over
 * it is a broken invariant. Whoever works through a long list (timers) stops in time and goes on in the next
 * burst. The same live and in replay.
 */
uint32_t nf_shared_left(const struct nf *nf);
#define NF_SHARED_RESERVE 256u /* what timers leave to packets: enough for 32 packets in several NFs */

/* ---- word: one number -------------------------------------------------------------------------- */

/* Each operation is one stay in its section. It wraps at 2^64. */
struct nf_shared_word;
uint64_t nf_shared_word_bytes(void);
struct nf_shared_word *nf_shared_word_make(struct nf *nf);
uint64_t nf_shared_word_get(const struct nf *nf, struct nf_shared_word *word);
uint64_t nf_shared_word_add(const struct nf *nf, struct nf_shared_word *word, uint64_t n); /* the sum */
uint64_t nf_shared_word_peek(const struct nf_shared_word *word);

/* ---- map: keys to values of fixed sizes -------------------------------------------------------- */

/*
 * Kept in shards by hash, each with a section of its own, so that lanes contend only for keys of one shard.
 * With one shard `capacity` is exact. With more a shard takes an eighth more than its part: a table is full
 * when the key's shard is.
 */
struct nf_shared_map;
uint64_t nf_shared_map_bytes(uint32_t capacity, uint32_t key_size, uint32_t value_size, uint32_t shards);
struct nf_shared_map *nf_shared_map_make(struct nf *nf, uint32_t capacity, uint32_t key_size,
                                         uint32_t value_size, uint32_t shards);
/*
 * A stay in the section of one shard: until it is left, the map of the shard is used like one of the NF's own
 * (nflib/state/state.h). Sections do not nest: nothing else that is shared may be touched in between.
 */
uint32_t nf_shared_map_shards(const struct nf_shared_map *map);
uint32_t nf_shared_map_shard(const struct nf_shared_map *map, const void *key);
struct nf_map *nf_shared_map_enter(const struct nf *nf, struct nf_shared_map *map, uint32_t shard);
void nf_shared_map_leave(const struct nf *nf, struct nf_shared_map *map, uint32_t shard);
/* The common cases, each in a section of its own. Get copies `size` bytes of the key's value; false: the key
 * is not there. Add: the sum, when n (not 0) is added to the uint64_t that the value begins with, 0 for a new
 * key; 0: there is no room for one. */
bool nf_shared_map_get(const struct nf *nf, struct nf_shared_map *map, const void *key, void *value,
                       size_t size);
uint64_t nf_shared_map_add(const struct nf *nf, struct nf_shared_map *map, const void *key, uint64_t n);
/* Without a section: to look at for show, to fill while the chain is made. */
struct nf_map *nf_shared_map_part(const struct nf_shared_map *map, uint32_t shard);
void nf_table_add_shared_map(const struct nf *nf, const char *name, const struct nf_shared_map *map);

/*
 * A wheel of this lane for entries of a shared map, by their numbers over all shards: the lane that has added
 * an entry sets its timer, nf_wheel_set(nf, wheel, nf_shared_map_number(map, shard, slot), at), and no other
 * lane moves it. nf_shared_map_due is for `timers`, and calls nf_wheel_due: for each entry that comes due and
 * is still there `until` returns, in its shard's section, the time until which the entry stays. A time that
 * is not later than `now` removes it. As many as the burst has accesses for; the rest in the next bursts.
 */
uint32_t nf_shared_map_numbers(const struct nf_shared_map *map); /* numbers are below that */
uint32_t nf_shared_map_number(const struct nf_shared_map *map, uint32_t shard, uint32_t slot);
uint32_t nf_shared_map_shard_of(const struct nf_shared_map *map, uint32_t number, uint32_t *slot);
uint64_t nf_shared_map_wheel_bytes(uint32_t capacity, uint32_t shards); /* of the arena; as of the map */
struct nf_wheel *nf_shared_map_wheel_make(struct nf *nf, const struct nf_shared_map *map, uint64_t tick);
void nf_shared_map_due(const struct nf *nf, struct nf_shared_map *map, struct nf_wheel *wheel, uint64_t now,
                       uint64_t (*until)(const struct nf *nf, const void *value, uint64_t now));

/* ---- pool: numbers that are given out ---------------------------------------------------------- */

/*
 * Numbers 0 … count-1, each drawn at random (nf_random) from those that are free, but for the quarter of them
 * that was given back last, which rests. As long as one is free, one is found. A lane takes from and gives to
 * a cache of its own, which is refilled from and returns to the shared part in batches, so lanes contend once
 * a batch. One lane alone has no cache. With several, up to an eighth of all numbers can lie in the caches of
 * lanes that do not need them.
 */
struct nf_shared_pool;
uint64_t nf_shared_pool_bytes(uint32_t count);
uint64_t nf_shared_pool_lane_bytes(uint32_t count);
struct nf_shared_pool *nf_shared_pool_make(struct nf *nf, uint32_t count);
uint32_t nf_shared_pool_take(const struct nf *nf, struct nf_shared_pool *pool); /* NF_NONE: exhausted */
/* A pool of which single numbers can be asked for, too: nf_shared_pool_places_bytes more of the shared arena.
 * Each question is a stay in its section. False: the number is not free, rests, or is in a lane's cache. */
uint64_t nf_shared_pool_places_bytes(uint32_t count);
struct nf_shared_pool *nf_shared_pool_make_places(struct nf *nf, uint32_t count);
bool nf_shared_pool_take_this(const struct nf *nf, struct nf_shared_pool *pool, uint32_t number);
/* Only the lane that took it gives it back; another's, or a free one, is a broken invariant. */
void nf_shared_pool_give(const struct nf *nf, struct nf_shared_pool *pool, uint32_t number);
/*
 * The lane in whose hands the number is, or NF_NONE. Without a section and by any thread: right for as long
 * as the number is taken.
 */
uint32_t nf_shared_pool_owner(const struct nf_shared_pool *pool, uint32_t number);

/* This lane has taken the number: any number below the count. For module->check_state. */
bool nf_shared_pool_has(const struct nf_shared_pool *pool, uint32_t number);
/* For nf_table_add. What lies in the caches of lanes counts as taken. */
struct nf_table nf_table_of_pool(const char *name, const struct nf_shared_pool *pool);

/* ---- bucket: a rate ---------------------------------------------------------------------------- */

struct nf_rate {
    uint64_t rate;  /* tokens a second */
    uint64_t burst; /* tokens at most */
};
/* A token bucket, for values of maps, shared ones too: whole numbers, nothing is lost to rounding. What is
 * taken is subtracted from `level` after a fill. */
struct nf_bucket {
    uint64_t level; /* tokens */
    uint64_t at;    /* chain time it was last filled up to */
    uint64_t rest;  /* of the last token, in billionths */
};
void nf_bucket_full(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t now);
/* Adds the tokens due until `now` and returns the level. An earlier time (of another lane) adds nothing. */
uint64_t nf_bucket_fill(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t now);

/* ---- merged: a count kept per lane ------------------------------------------------------------- */

/*
 * Adding needs no order and enters nothing. At the end of a burst in which it added, a lane publishes its
 * count, under one access number for all its merged counts. A read takes the lane's own count as it is
 * and of every other lane what it published last; once a burst, so later reads of the burst see the same of
 * the others. What it saw of them is a determinant: the sum goes into the record, with one dependency for
 * each lane, so that no burst is stable before those it has read from. In replay the recorded sum is used.
 */
struct nf_merged;
uint64_t nf_merged_bytes(void);
uint64_t nf_merged_lane_bytes(void);
struct nf_merged *nf_merged_make(struct nf *nf);
void nf_merged_add(const struct nf *nf, struct nf_merged *merged, uint64_t n);
uint64_t nf_merged_read(const struct nf *nf, struct nf_merged *merged);
uint64_t nf_merged_peek(const struct nf *nf, const struct nf_merged *merged);

/* ---- of the chain ------------------------------------------------------------------------------ */

/* Bytes of the shared arena for an NF's objects, and for the directory of all of them. */
uint64_t nf_shared_bytes(const struct nf_module *module, const void *config, unsigned lanes);
uint64_t nf_shared_directory_bytes(void);
/* The end of a burst: publishes the lane's merged counts that changed. */
void nf_merged_publish(struct nf_env *env);

#endif
