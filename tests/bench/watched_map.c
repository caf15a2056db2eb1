/* SPDX-License-Identifier: Apache-2.0 */
/* nflib/state/map.c as a watched build has it: a lookup is reported, and a map can be looked at as a table.
 */
static uint32_t find_unreported(const struct nf_map *map, const void *key) __attribute__((unused));
#define nf_map_find find_unreported
#include "nflib/state/map.c"
#undef nf_map_find

uint32_t nf_map_find(const struct nf_map *map, const void *key)
{
    uint32_t slot = find_on(map, key, nf_map_hash(map, key));

    NF_WATCH(found, map, key, slot);
    return slot;
}

/* The process's one watcher of state types. Written before a chain is made, read by lanes. */
const struct nf_watch *nf_watch;

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
