/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared map: maps (nflib/state/map.c) in the shared arena, one a shard, each behind a section of its own.
 * Written by every lane, inside the shard's section.
 *
 * The shard comes from bits of the hash that neither the bucket nor the tag is made of, so a shard's keys are
 * spread over all its buckets.
 */
#include "ftcore/order/section.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"
#include "nflib/module/env.h"
#include "nflib/module/module.h"
#include "nflib/shared/shared.h"

struct shard {
    struct ft_shared head;
    _Alignas(FT_LINE) struct nf_map *map; /* constant */
};

struct nf_shared_map {
    uint32_t shards;
    _Alignas(FT_LINE) struct shard shard[];
};

static uint32_t part_of(uint32_t capacity, uint32_t shards)
{
    uint32_t part = (capacity + shards - 1) / shards;

    return shards == 1 ? capacity : part + part / 8 + 8;
}

uint64_t nf_shared_map_bytes(uint32_t capacity, uint32_t key_size, uint32_t value_size, uint32_t shards)
{
    return sizeof(struct nf_shared_map) +
           shards * (sizeof(struct shard) + FT_LINE +
                     nf_map_bytes(part_of(capacity, shards), key_size, value_size));
}

struct nf_shared_map *nf_shared_map_make(struct nf *nf, uint32_t capacity, uint32_t key_size,
                                         uint32_t value_size, uint32_t shards)
{
    struct nf home = *nf; /* as if the shared arena were its own */
    struct nf_shared_map *map;
    bool created;

    FT_CHECK(shards > 0 && shards <= 4096, "a map of %u shards", shards);
    map = nf_shared_object(nf, NF_SHARED_MAP, sizeof(*map) + shards * sizeof(struct shard), &created);
    if (!map || !created)
        return map;
    map = nf_edit(nf, map, sizeof(*map) + shards * sizeof(struct shard));
    map->shards = shards;
    NF_CONSTANT(nf, &map->shards);
    home.arena = ft_region_shared(nf->region);
    for (uint32_t i = 0; i < shards; i++) {
        map->shard[i].map = nf_map_make(&home, part_of(capacity, shards), key_size, value_size);
        if (!map->shard[i].map)
            return NULL;
        NF_CONSTANT(nf, &map->shard[i].map);
        nf_object(nf, &map->shard[i].head, "shard", nf_head_check);
    }
    return map;
}

uint32_t nf_shared_map_shards(const struct nf_shared_map *map)
{
    return map->shards;
}

uint32_t nf_shared_map_shard(const struct nf_shared_map *map, const void *key)
{
    if (map->shards == 1)
        return 0;
    return (uint32_t)((nf_map_hash(map->shard[0].map, key) >> 32 & 0xffff) * map->shards >> 16);
}

struct nf_map *nf_shared_map_enter(const struct nf *nf, struct nf_shared_map *map, uint32_t shard)
{
    FT_CHECK(shard < map->shards, "shard %u of %u", shard, map->shards);
    ft_section_enter(nf->env->sections, &map->shard[shard].head);
    return map->shard[shard].map;
}

void nf_shared_map_leave(const struct nf *nf, struct nf_shared_map *map, uint32_t shard)
{
    ft_section_leave(nf->env->sections, &map->shard[shard].head);
}

struct nf_map *nf_shared_map_part(const struct nf_shared_map *map, uint32_t shard)
{
    ft_audit_peeked(&map->shard[shard]);
    return map->shard[shard].map;
}

/* Parts are made one behind the other, all of one size. */
void nf_table_add_shared_map(const struct nf *nf, const char *name, const struct nf_shared_map *map)
{
    const struct nf_map *first = map->shard[0].map, *second = map->shard[map->shards > 1].map;
    const struct nf_map *last = map->shard[map->shards - 1].map;
    struct nf_table table = nf_table_of_map(name, first);
    uint64_t stride = (uint64_t)((const uint8_t *)second - (const uint8_t *)first);

    FT_CHECK((const uint8_t *)last - (const uint8_t *)first == (int64_t)((map->shards - 1) * stride),
             "%s: parts of a map lie apart", name);
    table.parts = map->shards;
    table.stride = stride;
    table.limit *= map->shards;
    table.shared = true;
    nf_table_add(nf, table);
}
