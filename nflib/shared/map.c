/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared map: maps (nflib/state/map.c) in the shared arena, one a shard, each behind a section of its own.
 * Written by every lane, inside the shard's section.
 *
 * The shard comes from bits of the hash that neither the bucket nor the tag is made of, so a shard's keys are
 * spread over all its buckets.
 */
#include "ftcore/order/section.h"
#include "nflib/module/env.h"
#include "nflib/shared/shared.h"

#include <string.h>

struct shard {
    struct ft_shared head;
    _Alignas(FT_LINE) struct nf_map *map; /* constant */
};

struct nf_shared_map {
    uint32_t shards, key_size, value_size, unused;
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
    struct nf_shared_map *map;
    struct nf home;
    bool created;

    FT_CHECK(shards > 0 && shards <= 4096, "a map of %u shards", shards);
    map = nf_shared_object(nf, NF_SHARED_MAP, sizeof(*map) + shards * sizeof(struct shard), &home, &created);
    if (!map || !created)
        return map;
    map = nf_edit(nf, map, sizeof(*map) + shards * sizeof(struct shard));
    map->shards = shards;
    map->key_size = key_size;
    map->value_size = value_size;
    for (uint32_t i = 0; i < shards; i++) {
        map->shard[i].map = nf_map_make(&home, part_of(capacity, shards), key_size, value_size);
        if (!map->shard[i].map)
            return NULL;
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
    return map->shard[shard].map;
}

bool nf_shared_map_get(const struct nf *nf, struct nf_shared_map *map, const void *key, void *value)
{
    uint32_t shard = nf_shared_map_shard(map, key);
    struct nf_map *part = nf_shared_map_enter(nf, map, shard);
    uint32_t slot = nf_map_find(part, key);

    if (slot != NF_NONE && value)
        memcpy(value, nf_map_value(part, slot), map->value_size);
    nf_shared_map_leave(nf, map, shard);
    return slot != NF_NONE;
}

static int add_here(const struct nf *nf, struct nf_map *part, const void *key, const void *value,
                    uint32_t size)
{
    uint32_t slot;

    if (nf_map_find(part, key) != NF_NONE)
        return FT_EBUSY;
    slot = nf_map_add(nf, part, key);
    if (slot == NF_NONE)
        return FT_EFULL;
    memcpy(nf_edit(nf, nf_map_value(part, slot), size), value, size);
    return FT_OK;
}

int nf_shared_map_add(const struct nf *nf, struct nf_shared_map *map, const void *key, const void *value)
{
    uint32_t shard = nf_shared_map_shard(map, key);
    int error = add_here(nf, nf_shared_map_enter(nf, map, shard), key, value, map->value_size);

    nf_shared_map_leave(nf, map, shard);
    return error;
}

int nf_shared_map_remove(const struct nf *nf, struct nf_shared_map *map, const void *key)
{
    uint32_t shard = nf_shared_map_shard(map, key);
    struct nf_map *part = nf_shared_map_enter(nf, map, shard);
    uint32_t slot = nf_map_find(part, key);

    if (slot != NF_NONE)
        nf_map_remove(nf, part, slot);
    nf_shared_map_leave(nf, map, shard);
    return slot == NF_NONE ? FT_ENOENT : FT_OK;
}

static int cas_here(const struct nf *nf, struct nf_map *part, const void *key, void *expected,
                    const void *value, uint32_t size)
{
    uint32_t slot = nf_map_find(part, key);
    const void *there;

    if (slot == NF_NONE)
        return FT_ENOENT;
    there = nf_map_value(part, slot);
    if (memcmp(there, expected, size) != 0) {
        memcpy(expected, there, size);
        return FT_EBUSY;
    }
    memcpy(nf_edit(nf, there, size), value, size);
    return FT_OK;
}

int nf_shared_map_cas(const struct nf *nf, struct nf_shared_map *map, const void *key, void *expected,
                      const void *value)
{
    uint32_t shard = nf_shared_map_shard(map, key);
    int error = cas_here(nf, nf_shared_map_enter(nf, map, shard), key, expected, value, map->value_size);

    nf_shared_map_leave(nf, map, shard);
    return error;
}

static int add_to_here(const struct nf *nf, struct nf_map *part, const void *key, uint32_t at, int64_t n,
                       uint64_t most, uint64_t *sum)
{
    uint32_t slot = nf_map_find(part, key);
    uint64_t was = 0;

    if (slot != NF_NONE)
        memcpy(&was, (const uint8_t *)nf_map_value(part, slot) + at, sizeof(was));
    if (n >= 0 ? (uint64_t)n > most || was > most - (uint64_t)n : was < 0 - (uint64_t)n)
        return FT_EBUSY;
    if (slot == NF_NONE)
        slot = nf_map_add(nf, part, key);
    if (slot == NF_NONE)
        return FT_EFULL;
    was += (uint64_t)n;
    memcpy(nf_edit(nf, (const uint8_t *)nf_map_value(part, slot) + at, sizeof(was)), &was, sizeof(was));
    if (sum)
        *sum = was;
    return FT_OK;
}

int nf_shared_map_add_to(const struct nf *nf, struct nf_shared_map *map, const void *key, uint32_t at,
                         int64_t n, uint64_t most, uint64_t *sum)
{
    uint32_t shard = nf_shared_map_shard(map, key);
    int error;

    FT_CHECK(at + sizeof(uint64_t) <= map->value_size, "number at %u of a value of %u bytes", at,
             map->value_size);
    error = add_to_here(nf, nf_shared_map_enter(nf, map, shard), key, at, n, most, sum);
    nf_shared_map_leave(nf, map, shard);
    return error;
}
