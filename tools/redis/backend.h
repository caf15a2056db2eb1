/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State outside the process, as the systems keep it that this one is compared with (StatelessNF, CHC): the
 * same NFs, with each read and write of their state sent to a remote store.
 *
 * The NFs go on working on the region. What they do to it the library tells who watches it
 * (nflib/state/watch.h), which is the backend; and that reports to a store:
 *
 *   a lookup in a map         GET of the entry, found or not, before the NF goes on
 *   an edit of an entry       SET of the whole value at the burst's end; a GET before it, unless the burst
 *                             has read or written the entry already; a DEL where it was removed
 *   a pool                    the set of free numbers: taking one removes it, giving one back adds it
 *   a shared word             each addition is one operation, or a read and a write (`offload`)
 *   anything else edited      its line, SET at the burst's end
 *
 * Not reported, so free for the store: what can be made anew from the rest (hash buckets, free slots, timers,
 * who owns a number), reads that are no lookups, and the lane's own state (time, neighbours, wake times). A
 * burst is the unit: an entry that several of its packets touch is read once and written once.
 *
 * What a read must give is known, for the region has it, and one lane is the owner of everything. So the
 * store may let the NF go on and look at the answer later, as if all reads of a batch had been foreseen; it
 * must compare, and no packet of the burst may leave before (store.burst).
 *
 * One backend in a process, one lane. Attached before nf_chain_make, which enters what the chain makes and
 * has the store take the state it begins with. Written by the lane.
 */
#ifndef TOOLS_REDIS_BACKEND_H
#define TOOLS_REDIS_BACKEND_H

#include "nflib/module/module.h"

/*
 * The store. Keys and values are bytes, good for the time of the call. Nothing fails here: a store that is
 * lost remembers that, does nothing any more, and its owner asks it.
 */
struct nd_store {
    void *ctx;
    bool cache;   /* reads are served from the region: all is this instance's own */
    bool offload; /* words are added to in the store, not read and written */
    /* `expected`: what the region has; NULL: no such key. */
    void (*get)(void *ctx, const void *key, uint32_t key_len, const void *expected, uint32_t len);
    void (*set)(void *ctx, const void *key, uint32_t key_len, const void *value, uint32_t len);
    void (*del)(void *ctx, const void *key, uint32_t key_len);
    void (*add)(void *ctx, const void *key, uint32_t key_len, int64_t n, uint64_t sum);
    /* Lists of numbers. take: the first, which must be `number` (NF_NONE: empty); give: to the end. */
    void (*take)(void *ctx, const void *key, uint32_t key_len, uint32_t number);
    void (*give)(void *ctx, const void *key, uint32_t key_len, uint32_t number);
    void (*clear)(void *ctx);                 /* a new chain: deletes all keys; its state follows */
    void (*loaded)(void *ctx);                /* the new chain's state is whole */
    void (*burst)(void *ctx, uint64_t burst); /* all of this burst has been reported */
};

struct nd_backend;

/* FT_ENOMEM, or FT_EBUSY: the process has one. `store` is copied. */
int nd_backend_attach(struct nd_backend **out, const struct nd_store *store);
/* Before the region is closed. */
void nd_backend_detach(struct nd_backend *backend);

#endif
