/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: numbers that are given out, the one that has been free longest first. Owns one object in the NF's
 * arena and, behind it, the list of the free numbers; the NF's lane writes and reads them.
 */
#include "nflib/state/watch.h"

struct nf_pool {
    uint32_t count;
    uint32_t free;    /* length of the list */
    uint64_t list_at; /* bytes from here to the list of free numbers */
};

static inline struct nf_list *list_of(const struct nf_pool *pool)
{
    return (struct nf_list *)((uintptr_t)pool + pool->list_at);
}

uint64_t nf_pool_bytes(uint32_t count)
{
    return FT_LINE + nf_list_bytes(count);
}

struct nf_pool *nf_pool_make(struct nf *nf, uint32_t count)
{
    struct nf_pool *pool = ft_arena_alloc(nf->arena, sizeof(*pool));
    struct nf_list *list = pool ? nf_list_make(nf, count) : NULL;

    if (!list)
        return NULL;
    *NF_EDIT(nf, pool) =
        (struct nf_pool){.count = count, .free = count, .list_at = (uintptr_t)list - (uintptr_t)pool};
    for (uint32_t number = 0; number < count; number++)
        nf_list_push(nf, list, number);
    NF_WATCH(made, nf, NF_WATCH_POOL, pool, FT_LINE);
    NF_WATCH(made, nf, NF_WATCH_DERIVED, list, nf_list_bytes(count));
    return pool;
}

uint32_t nf_pool_take(const struct nf *nf, struct nf_pool *pool)
{
    uint32_t number = nf_list_first(list_of(pool));

    if (number != NF_NONE) {
        nf_list_remove(nf, list_of(pool), number);
        (*NF_EDIT(nf, &pool->free))--;
    }
    NF_WATCH(taken, pool, number);
    return number;
}

void nf_pool_give(const struct nf *nf, struct nf_pool *pool, uint32_t number)
{
    FT_CHECK(nf_pool_taken(pool, number), "number %u given back twice", number);
    nf_list_push(nf, list_of(pool), number);
    (*NF_EDIT(nf, &pool->free))++;
    NF_WATCH(given, pool, number);
}

bool nf_pool_taken(const struct nf_pool *pool, uint32_t number)
{
    FT_CHECK(number < pool->count, "number %u of a pool of %u", number, pool->count);
    return !nf_list_has(list_of(pool), number);
}

const struct nf_list *nf_pool_list(const struct nf_pool *pool)
{
    return list_of(pool);
}

uint32_t nf_pool_free(const struct nf_pool *pool)
{
    return pool->free;
}
