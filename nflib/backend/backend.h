/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State outside the process, as the systems keep it that this one is compared with (StatelessNF, CHC): the
 * same NFs, with each read and write of their state sent to a remote store. Without a backend all this is a
 * branch in a lookup.
 *
 * The NFs go on working on the region. What they do to it is told to a store:
 *
 *   a lookup in a map         GET of the entry, found or not, before the NF goes on
 *   an edit of an entry       SET of the whole value at the burst's end; a GET before it, unless the burst
 *                             has read or written the entry already; a DEL where it was removed
 *   a pool                    the list of free numbers: taking one pops it, giving one back pushes it
 *   a shared word, a counter  each addition is one operation, or a read and a write (`offload`)
 *   anything else edited      its line, SET at the burst's end
 *
 * Not told, so free for the store: what can be made anew from the rest (hash buckets, free slots, timers, who
 * owns a number), reads that are no lookups, and the lane's own state (clock, neighbours, wake times).
 * A burst is the unit: an entry that several of its packets touch is read once and written once.
 *
 * What a read must give is known, for the region has it, and one lane is the owner of everything. So the
 * store may let the NF go on and look at the answer later, as if all reads of a batch had been foreseen; it
 * must compare, and no packet of the burst may leave before (store.burst).
 *
 * One backend in a process, one lane. Attached before nf_chain_make, which enters what the chain makes and
 * has the store take the state it begins with. Written by the lane.
 */
#ifndef NFLIB_BACKEND_BACKEND_H
#define NFLIB_BACKEND_BACKEND_H

#include "nflib/nf.h"

/*
 * The store. Keys and values are bytes, good for the time of the call. Nothing fails here: a store that is
 * lost remembers that, does nothing any more, and its owner asks it.
 */
struct nf_store {
    void *ctx;
    bool cache;   /* reads are served from the region: all is this instance's own */
    bool offload; /* words are added to in the store, not read and written */
    /* `expected`: what the region has; NULL: no such key. */
    void (*get)(void *ctx, const void *key, uint32_t key_len, const void *expected, uint32_t len);
    void (*set)(void *ctx, const void *key, uint32_t key_len, const void *value, uint32_t len);
    void (*del)(void *ctx, const void *key, uint32_t key_len);
    void (*add)(void *ctx, const void *key, uint32_t key_len, int64_t n, uint64_t sum);
    /* Lists of numbers. take: the first, which must be `number` (NF_NONE: empty); pick: this one, from the
     * middle; give: to the end. */
    void (*take)(void *ctx, const void *key, uint32_t key_len, uint32_t number);
    void (*pick)(void *ctx, const void *key, uint32_t key_len, uint32_t number);
    void (*give)(void *ctx, const void *key, uint32_t key_len, uint32_t number);
    void (*clear)(void *ctx);                 /* a new chain: away with all keys, its state follows … */
    void (*loaded)(void *ctx);                /* … and is whole */
    void (*burst)(void *ctx, uint64_t burst); /* all of this burst has been told */
};

struct nf_backend;

/* FT_ENOMEM, or FT_EBUSY: the process has one. `store` is copied. */
int nf_backend_attach(struct nf_backend **out, const struct nf_store *store);
/* Before the region is closed. */
void nf_backend_detach(struct nf_backend *backend);

/* ---- of the library ---------------------------------------------------------------------------- */

enum nf_backend_kind {
    NF_BACKEND_MAP,     /* its entries are told */
    NF_BACKEND_POOL,    /* its free numbers */
    NF_BACKEND_WORD,    /* a uint64_t */
    NF_BACKEND_DERIVED, /* nothing */
};

/* Private to nflib: NULL without one. */
extern struct nf_backend *nf_backend __attribute__((visibility("hidden")));

/* While a chain is made: forget what was entered; enter an object; all is made, `chain` has one lane. */
void nf_backend_forget(void);
void nf_backend_enter(const struct nf *nf, enum nf_backend_kind kind, const void *object, uint64_t bytes);
void nf_backend_start(struct ft_region *region);
/* The burst's end. */
void nf_backend_burst(uint64_t burst);

void nf_backend_found(const struct nf_map *map, const void *key, uint32_t slot); /* a lookup and its result */
void nf_backend_changed(const struct nf_map *map, const void *key); /* added, or about to be removed */
void nf_backend_read(const uint64_t *word);
void nf_backend_taken(const struct nf_pool *pool, uint32_t number);
void nf_backend_picked(const struct nf_pool *pool, uint32_t number);
void nf_backend_given(const struct nf_pool *pool, uint32_t number);

static inline void nf_backend_made(const struct nf *nf, enum nf_backend_kind kind, const void *object,
                                   uint64_t bytes)
{
    if (ft_unlikely(nf_backend != NULL))
        nf_backend_enter(nf, kind, object, bytes);
}

/* nflib/state/map.c: a lookup that nobody is told of; the slot whose value holds `p`, or NF_NONE; sizes. */
uint32_t nf_map_peek(const struct nf_map *map, const void *key);
uint32_t nf_map_slot_of(const struct nf_map *map, const void *p);
uint32_t nf_map_key_size(const struct nf_map *map);
uint32_t nf_map_value_size(const struct nf_map *map);
/* nflib/state/pool.c: the free numbers, oldest first. */
const struct nf_list *nf_pool_list(const struct nf_pool *pool);

#endif
