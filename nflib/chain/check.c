/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a lane's state that a peer has written (nflib/module/content.h): constants first, since all else is
 * found by them; then the lane's own numbers, the objects in the order in which they were made, and what NFs
 * keep in them. Nothing is followed before it has been checked. Reads only; while no lane runs.
 */
#include "nflib/chain/chain.h"
#include "nflib/chain/parts.h"

#include <stdio.h>
#include <string.h>

/* Chain time ends here, 292 years: behind it, times and timeouts could no more be added. */
#define TIME_MAX (UINT64_MAX / 2)

static int check_constants(struct nf_check *c, const struct nf_chain *chain, const struct nf_content *content)
{
    for (uint32_t i = 0; i < content->kepts; i++) {
        const struct nf_kept *kept = &content->kept[i];

        c->nf = nf_chain_any(chain, kept->nf);
        c->kind = "constant";
        c->object = kept->at;
        for (uint32_t n = 0; n < kept->n; n++)
            if (kept->at[n] != kept->bytes[n])
                return nf_check_failed(c, "byte %u is %u, expected %u as this node made it", n, kept->at[n],
                                       kept->bytes[n]);
    }
    return 0;
}

static int check_lane_state(struct nf_check *c, const struct nf_lane_state *state)
{
    if (state->seq == 0 || state->access == 0 || state->time > TIME_MAX)
        return nf_check_failed(c, "seq %lu, access %lu, time %lu, expected numbers from 1 and a time to %lu",
                               state->seq, state->access, state->time, (uint64_t)TIME_MAX);
    return 0;
}

/* What may be bypassed is an NF that translates nothing. Of what is, nothing below is checked. */
static int check_bypassed(struct nf_check *c, const struct nf_chain *chain)
{
    uint64_t left = nf_chain_state(chain)->bypassed;
    const struct nf *nf;

    for (unsigned i = 0; (nf = nf_chain_any(chain, i)); i++)
        if (nf->module && i && !nf->module->translates)
            left &= ~(1ull << i);
    return left ? nf_check_failed(
                      c, "NFs %lx are bypassed, expected some of the chain's that translate nothing", left)
                : 0;
}

static int check_objects(struct nf_check *c, const struct nf_chain *chain, const struct nf_content *content)
{
    int error = 0;

    for (uint32_t i = 0; i < content->count && !error; i++) {
        const struct nf_object *object = &content->objects[i];

        if (nf_is_bypassed(nf_chain_state(chain), object->nf)) /* nobody follows what is in it */
            continue;
        c->nf = nf_chain_any(chain, object->nf);
        c->kind = object->kind;
        c->object = object->at;
        error = object->check(c, object->at);
    }
    return error;
}

static int check_nfs(struct nf_check *c, const struct nf_chain *chain)
{
    const struct nf *nf;
    int error = 0;

    c->kind = NULL;
    c->object = NULL;
    for (unsigned i = 0; !error && (nf = nf_chain_any(chain, i)); i++) {
        c->nf = nf;
        if (!nf->module || !nf->module->check_state || nf_is_bypassed(nf_chain_state(chain), i))
            continue;
        nf_mark_thread(NF_DOING_CHECK, i);
        error = nf->module->check_state(nf, c);
    }
    nf_mark_thread_end();
    return error;
}

int nf_chain_check(const struct nf_chain *chain, void (*pulse)(void *arg), void *arg, struct ft_fault *fault)
{
    const struct nf *nf = nf_chain_any(chain, 0);
    const struct nf_content *content = nf->env->content;
    struct nf_check c = {.nf = nf, .pulse = pulse, .arg = arg, .fault = fault};
    int error;

    if ((error = check_constants(&c, chain, content)) != 0)
        return error;
    c.nf = nf;
    c.object = NULL;
    c.time = nf_chain_state(chain)->time;
    if (!(error = check_lane_state(&c, nf_chain_state(chain))) && !(error = check_bypassed(&c, chain)) &&
        !(error = check_objects(&c, chain, content)))
        error = check_nfs(&c, chain);
    nf_check_end(&c);
    return error;
}

int nf_chain_check_nf(const struct nf_chain *chain, unsigned index, struct ft_fault *fault)
{
    const struct nf *nf = nf_chain_any(chain, index);
    const struct nf_content *content = nf_chain_any(chain, 0)->env->content;
    struct nf_check c = {.nf = nf, .time = nf_chain_state(chain)->time, .fault = fault};
    int error = 0;

    for (uint32_t i = 0; i < content->count && !error; i++) {
        if (content->objects[i].nf != index)
            continue;
        c.kind = content->objects[i].kind;
        c.object = content->objects[i].at;
        error = content->objects[i].check(&c, c.object);
    }
    c.kind = NULL;
    c.object = NULL;
    if (!error && nf->module->check_state)
        error = nf->module->check_state(nf, &c);
    nf_check_end(&c);
    return error;
}

int nf_chain_keeps(const struct nf_chain *chain, uint64_t offset, uint64_t size, const uint8_t *bytes,
                   struct ft_fault *fault)
{
    const struct nf *nf = nf_chain_any(chain, 0);
    const struct nf_content *content = nf->env->content;
    const uint8_t *from = nf->region->base + offset, *to = from + size;

    for (uint32_t i = nf_content_from(content, from); i < content->kepts && content->kept[i].at < to; i++) {
        const struct nf_kept *kept = &content->kept[i];
        struct nf_check c = {
            .nf = nf_chain_any(chain, kept->nf), .kind = "constant", .object = kept->at, .fault = fault};

        for (uint32_t n = kept->at < from ? (uint32_t)(from - kept->at) : 0; n < kept->n && kept->at + n < to;
             n++)
            if ((bytes ? bytes[kept->at + n - from] : 0) != kept->bytes[n])
                return nf_check_failed(&c, "a delta changes byte %u from %u", n, kept->bytes[n]);
    }
    return 0;
}

/* ---- names of what lies in a region ------------------------------------------------------------ */

/*
 * Names of what lies in a chain's region, for the audit and for whoever compares two states: the object,
 * and the byte in it. Reads what a lane's chain remembers of its objects; run by anybody who may look at
 * that.
 */

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
