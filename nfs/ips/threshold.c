/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a rule of ips with a threshold has matched for a host, which all lanes count together. In a full
 * table those go whose time is over: as many as are looked at, from a random one on.
 */
#include "nfs/ips/parts.h"

#include <string.h>

#define SHARDS     16u
#define LOOKED_AT  32u
#define TRACK_ROOM 256u /* hosts; with fewer the table is one part */

struct key {
    uint8_t addr[16];
    uint32_t sid, zero;
};
struct track {
    uint64_t began; /* chain time of the first match of those counted */
    uint32_t count, seconds;
};

static uint32_t shards_of(uint32_t max_tracked)
{
    return max_tracked < TRACK_ROOM ? 1 : SHARDS;
}

uint64_t ips_tracks_bytes(uint32_t max_tracked)
{
    return nf_shared_map_bytes(max_tracked, sizeof(struct key), sizeof(struct track), shards_of(max_tracked));
}

struct nf_shared_map *ips_tracks_make(struct nf *nf, uint32_t max_tracked)
{
    struct nf_shared_map *tracks =
        nf_shared_map_make(nf, max_tracked, sizeof(struct key), sizeof(struct track), shards_of(max_tracked));

    if (tracks)
        nf_table_add_shared_map(nf, "tracked", tracks);
    return tracks;
}

static bool is_over(const struct track *t, uint64_t now)
{
    return now >= t->began + t->seconds * NF_SECOND;
}

static void make_room(struct nf *nf, struct nf_map *map, uint64_t now)
{
    uint32_t slot = (uint32_t)(nf_random(nf) % nf_map_capacity(map));

    for (uint32_t i = 0; i < LOOKED_AT; i++, slot = slot + 1 < nf_map_capacity(map) ? slot + 1 : 0)
        if (nf_map_has(map, slot) && is_over(nf_map_value(map, slot), now))
            nf_map_remove(nf, map, slot);
}

/* The match counted; 0: there is no room. */
static uint32_t count_match(struct nf *nf, struct nf_map *map, const struct key *key,
                            const struct ips_rule *rule, uint64_t now)
{
    uint32_t slot = nf_map_find(map, key);
    struct track *t;

    if (slot == NF_NONE) {
        slot = nf_map_add(nf, map, key);
        if (slot == NF_NONE) {
            make_room(nf, map, now);
            slot = nf_map_add(nf, map, key);
        }
        if (slot == NF_NONE)
            return 0;
    }
    t = NF_EDIT(nf, (const struct track *)nf_map_value(map, slot));
    if (!t->count || t->seconds != rule->seconds || is_over(t, now))
        *t = (struct track){.began = now, .seconds = rule->seconds};
    if (t->count < UINT32_MAX)
        t->count++;
    return t->count;
}

/* A rule's match: whether people are told, and whether it acts. */
struct ips_decision ips_threshold(struct ips_look *look, const struct ips_rule *rule, const uint8_t addr[16])
{
    struct ips *ips = look->nf->state;
    struct key key = {.sid = rule->sid};
    uint32_t n = 0, shard;

    if (rule->threshold == IPS_EVERY)
        return (struct ips_decision){true, true};
    memcpy(key.addr, addr, sizeof(key.addr));
    if (nf_shared_left(look->nf) > NF_SHARED_RESERVE) {
        shard = nf_shared_map_shard(ips->tracks, &key);
        n = count_match(look->nf, nf_shared_map_enter(look->nf, ips->tracks, shard), &key, rule, look->now);
        nf_shared_map_leave(look->nf, ips->tracks, shard);
    }
    if (!n) {
        nf_count(look->nf, IPS_TRACKED_FULL, 1);
        return (struct ips_decision){true, true};
    }
    switch (rule->threshold) {
    case IPS_LIMIT:
        return (struct ips_decision){n <= rule->count, true};
    case IPS_THRESHOLD:
        return (struct ips_decision){n % rule->count == 0, n >= rule->count};
    default:
        return (struct ips_decision){n == rule->count, n >= rule->count};
    }
}
