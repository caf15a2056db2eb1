/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the state types report to whoever keeps their state somewhere else (nflib/backend/backend.h). Without
 * a watcher each call below is a branch. Private to nflib: the watcher sets nf_watch, the state types call.
 */
#ifndef NFLIB_STATE_WATCH_H
#define NFLIB_STATE_WATCH_H

#include "nflib/module/module.h"
#include "nflib/state/state.h"

enum nf_watch_kind {
    NF_WATCH_MAP,  /* its entries are reported */
    NF_WATCH_POOL, /* uint32_t numbers, all free when it is made, in order: taking and giving is reported */
    NF_WATCH_WORD, /* a uint64_t, which the region's watch reports */
    NF_WATCH_DERIVED, /* nothing: it can be made anew from the rest */
};

struct nf_watch {
    /* While a chain is made: an object of `bytes` bytes. */
    void (*made)(const struct nf *nf, enum nf_watch_kind kind, const void *object, uint64_t bytes);
    void (*found)(const struct nf_map *map, const void *key, uint32_t slot); /* a lookup and its result */
    void (*changed)(const struct nf_map *map, const void *key); /* added, or about to be removed */
    void (*read)(const uint64_t *word);
    void (*taken)(const uint32_t *pool, uint32_t number); /* the first; NF_NONE: the pool is empty */
    void (*given)(const uint32_t *pool, uint32_t number);
};

/* NULL: nobody watches. */
extern const struct nf_watch *nf_watch __attribute__((visibility("hidden")));

#define NF_WATCH(call, ...)                                                                                  \
    do {                                                                                                     \
        if (ft_unlikely(nf_watch != NULL))                                                                   \
            nf_watch->call(__VA_ARGS__);                                                                     \
    } while (0)

/* For the watcher. A lookup that is not reported; the slot whose value holds `p`, or NF_NONE; sizes in bytes.
 */
uint32_t nf_map_peek(const struct nf_map *map, const void *key);
uint32_t nf_map_slot_of(const struct nf_map *map, const void *p);
uint32_t nf_map_key_size(const struct nf_map *map);
uint32_t nf_map_value_size(const struct nf_map *map);

#endif
