/* SPDX-License-Identifier: Apache-2.0 */
/* countermap: a map whose values are struct nf_counts. Written by the NF's lane, read by it and, at a cut, by
 * show. Keys of up to 32 bytes share a line with their counts. */
#include "nflib/module/module.h"
#include "nflib/state/state.h"

/* The handle is the map's own: there is nothing else to keep. */
struct nf_map *nf_countermap_map(struct nf_countermap *map)
{
    return (struct nf_map *)map;
}

uint64_t nf_countermap_bytes(uint32_t capacity, uint32_t key_size)
{
    return nf_map_bytes(capacity, key_size, sizeof(struct nf_counts));
}

struct nf_countermap *nf_countermap_make(struct nf *nf, uint32_t capacity, uint32_t key_size)
{
    return (struct nf_countermap *)nf_map_make(nf, capacity, key_size, sizeof(struct nf_counts));
}

uint32_t nf_countermap_add(const struct nf *nf, struct nf_countermap *map, const void *key, uint64_t bytes,
                           uint64_t now)
{
    struct nf_map *m = nf_countermap_map(map);
    uint32_t slot = nf_map_find(m, key);
    struct nf_counts *counts;

    if (slot == NF_NONE) {
        slot = nf_map_add(nf, m, key);
        if (slot == NF_NONE)
            return NF_NONE;
        *NF_EDIT(nf, &nf_countermap_get(map, slot)->first) = now;
    }
    counts = NF_EDIT(nf, nf_countermap_get(map, slot));
    counts->packets++;
    counts->bytes += bytes;
    counts->last = now;
    return slot;
}

const struct nf_counts *nf_countermap_get(const struct nf_countermap *map, uint32_t slot)
{
    return nf_map_value((const struct nf_map *)map, slot);
}
