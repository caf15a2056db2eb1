/* SPDX-License-Identifier: Apache-2.0 */
/* The fragment table; see fragment.h. Owned by one NF instance, in its arena. */
#include "nflib/flow/fragment.h"

/* What a datagram's fragments have in common as they arrive. 12 bytes, no padding. */
struct nf_fragment_key {
    uint32_t saddr, daddr;
    uint16_t id;
    uint8_t proto;
    uint8_t side;
};

struct nf_fragments {
    struct nf_map *map; /* nf_fragment_key to the word */
    struct nf_wheel *wheel;
    uint32_t base;
};

uint64_t nf_fragments_bytes(uint32_t capacity)
{
    return sizeof(struct nf_fragments) + FT_LINE +
           nf_map_bytes(capacity, sizeof(struct nf_fragment_key), sizeof(uint32_t));
}

struct nf_fragments *nf_fragments_make(struct nf *nf, uint32_t capacity, struct nf_wheel *wheel,
                                       uint32_t base)
{
    struct nf_fragments *f = ft_arena_alloc(nf->arena, sizeof(*f));
    struct nf_map *map = nf_map_make(nf, capacity, sizeof(struct nf_fragment_key), sizeof(uint32_t));
    if (!f || !map)
        return NULL;
    f = NF_EDIT(nf, f);
    f->map = map;
    f->wheel = wheel;
    f->base = base;
    return f;
}

static struct nf_fragment_key key_of(const struct nf_packet *p)
{
    return (struct nf_fragment_key){p->saddr, p->daddr, p->frag_id, p->proto, p->side};
}

bool nf_fragments_note(const struct nf *nf, struct nf_fragments *fragments, const struct nf_packet *p,
                       uint32_t word, uint64_t now)
{
    struct nf_fragment_key key = key_of(p);
    uint32_t slot = nf_map_find(fragments->map, &key);
    if (slot == NF_NONE)
        slot = nf_map_add(nf, fragments->map, &key);
    if (slot == NF_NONE)
        return false;
    *(uint32_t *)nf_edit(nf, nf_map_value(fragments->map, slot), sizeof(word)) = word;
    nf_wheel_set(nf, fragments->wheel, fragments->base + slot, now + NF_FRAGMENT_LIFE);
    return true;
}

bool nf_fragments_find(const struct nf_fragments *fragments, const struct nf_packet *p, uint32_t *word)
{
    struct nf_fragment_key key = key_of(p);
    uint32_t slot = nf_map_find(fragments->map, &key);
    if (slot == NF_NONE)
        return false;
    *word = *(const uint32_t *)nf_map_value(fragments->map, slot);
    return true;
}

void nf_fragments_due(const struct nf *nf, struct nf_fragments *fragments, uint32_t number)
{
    nf_map_remove(nf, fragments->map, number - fragments->base);
}

void nf_fragments_clear(const struct nf *nf, struct nf_fragments *fragments)
{
    uint32_t slot = 0;
    while ((slot = nf_map_next(fragments->map, slot)) != NF_NONE) {
        nf_wheel_cancel(nf, fragments->wheel, fragments->base + slot);
        nf_map_remove(nf, fragments->map, slot++);
    }
}
