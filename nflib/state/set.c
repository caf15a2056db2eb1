/* SPDX-License-Identifier: Apache-2.0 */
/* set: a map whose values have no bytes. Written by the NF's lane, read by it and, at a cut, by show. */
#include "nflib/module/module.h"
#include "nflib/state/state.h"

/* The handle is the map's own: there is nothing else to keep. */
static inline struct nf_map *map_of(const struct nf_set *set)
{
    return (struct nf_map *)(uintptr_t)set;
}

uint64_t nf_set_bytes(uint32_t capacity, uint32_t key_size)
{
    return nf_map_bytes(capacity, key_size, 0);
}

struct nf_set *nf_set_make(struct nf *nf, uint32_t capacity, uint32_t key_size)
{
    return (struct nf_set *)nf_map_make(nf, capacity, key_size, 0);
}

bool nf_set_has(const struct nf_set *set, const void *key)
{
    return nf_map_find(map_of(set), key) != NF_NONE;
}

int nf_set_add(const struct nf *nf, struct nf_set *set, const void *key)
{
    if (nf_set_has(set, key))
        return FT_EBUSY;
    return nf_map_add(nf, map_of(set), key) == NF_NONE ? FT_EFULL : 0;
}

int nf_set_remove(const struct nf *nf, struct nf_set *set, const void *key)
{
    uint32_t slot = nf_map_find(map_of(set), key);

    if (slot == NF_NONE)
        return FT_ENOENT;
    nf_map_remove(nf, map_of(set), slot);
    return 0;
}

uint32_t nf_set_count(const struct nf_set *set)
{
    return nf_map_count(map_of(set));
}
