/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of what lies in a chain's region, for the audit and for whoever compares two states: the object, and
 * the byte in it. Reads what a lane's chain remembers of its objects; run by anybody who may look at that.
 */
#include "nflib/chain/parts.h"

#include <stdio.h>

static const char *name_of(const struct nf_chain *chain, unsigned nf)
{
    return nf ? chain->nfs[nf].module->name : "lane";
}

/* The last object of the arena that begins at or before the place, and how many of its NF and kind come
 * before. */
static const struct nf_object *object_at(const struct nf_chain *chain, const struct ft_arena *arena,
                                         const uint8_t *at, unsigned *number)
{
    const uint8_t *start = chain->region->base + arena->offset;
    const struct nf_object *list = chain->content.objects, *found = NULL;

    for (const struct nf_object *o = list; o < list + chain->content.count; o++)
        if ((const uint8_t *)o->at >= start && (const uint8_t *)o->at <= at && (!found || o->at > found->at))
            found = o;
    *number = 1;
    for (const struct nf_object *o = list; found && o < found; o++)
        *number += o->nf == found->nf && o->kind == found->kind;
    return found;
}

/* What each NF's arena begins with. */
static bool name_root(const struct nf *nf, const uint8_t *at, char *text, size_t cap)
{
    const uint8_t *counters = (const uint8_t *)nf->counters, *state = nf->state;
    const char *const *names = nf->module ? nf->module->counters : NULL;
    unsigned count = 0;

    while (names && names[count])
        count++;
    if (nf->index && counters && at >= counters && at < counters + count * sizeof(uint64_t)) {
        snprintf(text, cap, "counter \"%s\" of NF '%s'", names[(size_t)(at - counters) / sizeof(uint64_t)],
                 nf->module->name);
        return true;
    }
    if (nf->index && state && at >= state && at < state + nf->module->state_size) {
        snprintf(text, cap, "the state of NF '%s' at byte %zu", nf->module->name, (size_t)(at - state));
        return true;
    }
    return false;
}

void nf_chain_name_place(void *of, uint64_t offset, char *text, size_t cap)
{
    const struct nf_chain *chain = of;
    const uint8_t *at = chain->region->base + offset;
    const struct ft_arena *arena = ft_region_arena_at(chain->region, offset);
    const struct nf_object *object;
    unsigned number;

    if (!arena || offset - arena->offset >= arena->used)
        return;
    if (arena->nf <= chain->count && name_root(&chain->nfs[arena->nf], at, text, cap))
        return;
    object = object_at(chain, arena, at, &number);
    if (object)
        snprintf(text, cap, "%s %u of NF '%s' at byte %zu", object->kind, number, name_of(chain, object->nf),
                 (size_t)(at - (const uint8_t *)object->at));
}
