/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a lane's chain goes on in another chain's memory; see change.h. Memory that is laid out as
 * before is copied whole, but for constants, which the new chain has made and which say where all else is.
 * By the thread that works for all lanes; owns nothing.
 */
#include "nflib/chain/change.h"
#include "nflib/chain/parts.h"
#include "nflib/module/was.h"

#include <string.h>

/* A part of a region, and the constants in it. */
struct part {
    uint64_t from, to;                /* offsets in the region */
    const struct nf_content *content; /* of the lane that made it */
    const uint8_t *base;              /* where the region can be read */
    uint64_t size;                    /* of the region */
};

static uint32_t first_kept(const struct part *p)
{
    return nf_content_from(p->content, (const uint8_t *)(uintptr_t)FT_REGION_BASE + p->from);
}

static uint64_t kept_at(const struct nf_kept *kept)
{
    return (uint64_t)(uintptr_t)kept->at - FT_REGION_BASE;
}

static bool has_kept(const struct part *p, uint32_t i)
{
    return i < p->content->kepts && kept_at(&p->content->kept[i]) < p->to;
}

static bool is_pointer(uint64_t word, const struct part *p)
{
    return word >= FT_REGION_BASE && word < FT_REGION_BASE + p->size;
}

/* Pointers lead to other places; all else that is constant says how memory is laid out. */
static bool same_constant(const struct nf_kept *a, const struct part *in_a, const struct nf_kept *b,
                          const struct part *in_b)
{
    if (a->n != b->n || kept_at(a) - in_a->from != kept_at(b) - in_b->from)
        return false;
    for (uint32_t n = 0; n < a->n;) {
        uint64_t x = 0, y = 0;

        if (((uintptr_t)a->at + n) % sizeof(x) == 0 && a->n - n >= sizeof(x)) {
            memcpy(&x, a->bytes + n, sizeof(x));
            memcpy(&y, b->bytes + n, sizeof(y));
            if (x != y && !(is_pointer(x, in_a) && is_pointer(y, in_b)))
                return false;
            n += sizeof(x);
        } else if (a->bytes[n] != b->bytes[n]) {
            return false;
        } else {
            n++;
        }
    }
    return true;
}

static bool same_layout(const struct part *a, const struct part *b)
{
    uint32_t i = first_kept(a), j = first_kept(b);

    if (a->to - a->from != b->to - b->from)
        return false;
    for (; has_kept(a, i) && has_kept(b, j); i++, j++)
        if (!same_constant(&a->content->kept[i], a, &b->content->kept[j], b))
            return false;
    return !has_kept(a, i) && !has_kept(b, j);
}

/* All but constants. */
static void copy_part(const struct part *to, const struct part *from)
{
    uint64_t at = 0, end = to->to - to->from;

    for (uint32_t i = first_kept(to); at < end; i++) {
        const struct nf_kept *kept = has_kept(to, i) ? &to->content->kept[i] : NULL;
        uint64_t next = kept ? kept_at(kept) - to->from : end;

        memcpy((uint8_t *)(uintptr_t)to->base + to->from + at, from->base + from->from + at,
               next > at ? next - at : 0);
        at = kept ? next + kept->n : end;
    }
}

static bool carry_part(const struct part *to, const struct part *from)
{
    bool same = same_layout(to, from);

    if (same)
        copy_part(to, from);
    return same;
}

/* What all lanes share, of the NF: the first lane has made it. */
static bool carry_shared(const struct nf_chain *to, unsigned place, const struct nf_chain *from, unsigned was,
                         const struct ft_region *old)
{
    const struct ft_region *now = to->region;
    uint64_t base_now = now->arenas[ft_region_arenas(now) - 1].offset;
    uint64_t base_old = old->arenas[ft_region_arenas(old) - 1].offset;
    struct part a = {base_now + to->shared[place].from, base_now + to->shared[place].to, &to->content,
                     now->base, now->size};
    struct part b = {base_old + from->shared[was].from, base_old + from->shared[was].to, &from->content,
                     old->base, old->size};

    return carry_part(&a, &b);
}

static struct part part_of_arena(const struct ft_arena *arena, const struct nf_chain *chain,
                                 const struct ft_region *region)
{
    return (struct part){arena->offset, arena->offset + arena->used, &chain->content, region->base,
                         region->size};
}

static int carry_nf(struct nf_chain *to, unsigned place, const struct nf_chain *from, unsigned was,
                    const struct ft_region *old, const struct nf_chain_change *change, struct ft_fault *fault)
{
    struct nf *nf = &to->nfs[place];
    const struct nf *before = &from->nfs[was];
    int64_t moved = (int64_t)((uint64_t)(uintptr_t)old->base - FT_REGION_BASE);
    const struct ft_arena *old_arena = &old->arenas[nf->lane * old->nfs + was];
    struct part a = part_of_arena(nf->arena, to, to->region), b = part_of_arena(old_arena, from, old);
    /* What it was made with, by the new configuration, stays (reset.c). */
    if (to->as_made[place].copy)
        a.to = a.from + to->as_made[place].used;
    if (from->as_made[was].copy)
        b.to = b.from + from->as_made[was].used;
    struct nf_was w = {.config = change->from->nfs[was - 1].config, .moved = moved};

    if (nf_is_bypassed(to->state, place)) /* nobody has checked what is in it */
        return ft_fail(
            fault, FT_EBUSY,
            "nf %u: %s: packets pass by it, expected set %s bypass=off first, or a chain without it", place,
            nf->module->name, nf->module->name);
    if (nf->heap != before->heap)
        return ft_fail(fault, FT_EINVAL, "nf %u: %s: its heap would lie at another address", place,
                       nf->module->name);
    w.state = nf_was_at(&w, before->state);
    w.same = carry_part(&a, &b);
    if (nf->lane == 0)
        w.same &= carry_shared(to, place, from, was, old);
    memcpy(nf->counters, nf_was_at(&w, before->counters), nf_chain_counters(nf->module) * sizeof(uint64_t));
    if (!w.same && !nf->module->carry)
        return ft_fail(fault, FT_EINVAL, "nf %u: %s: its state would lie in memory in another way", place,
                       nf->module->name);
    if (nf->module->carry && !nf->module->carry(nf, &w, fault))
        return FT_EFULL;
    return FT_OK;
}

/* Numbers, generator and wake times; then L3 with its neighbours, which are made by the same settings. */
static int carry_lane(struct nf_chain *to, const struct nf_chain *from, const struct ft_region *old,
                      const struct nf_chain_change *change, struct ft_fault *fault)
{
    const struct ft_arena *was = &old->arenas[to->nfs[0].lane * old->nfs];
    const struct nf_lane_state *before = (const void *)(old->base + was->offset);
    struct nf_lane_state *state = (struct nf_lane_state *)(uintptr_t)to->state;
    struct part a = part_of_arena(to->nfs[0].arena, to, to->region), b = part_of_arena(was, from, old);
    uint64_t own = (sizeof(*state) + FT_LINE - 1) & ~(uint64_t)(FT_LINE - 1);

    state->burst = before->burst;
    state->seq = before->seq;
    state->time = before->time;
    state->access = before->access;
    state->outputs = before->outputs;
    memcpy(state->random, before->random, sizeof(state->random));
    state->unmade = before->unmade;
    for (unsigned i = 0; i <= to->count; i++)
        if (i == 0 || change->was[i]) {
            state->wake[i] = before->wake[change->was[i]];
            state->bypassed |= (before->bypassed >> change->was[i] & 1) << i;
        }
    a.to = a.from + to->l3_end;
    b.to = b.from + from->l3_end;
    a.from += own;
    b.from += own;
    return carry_part(&a, &b) ? FT_OK
                              : ft_fail(fault, FT_EINVAL, "l3: its state would lie in memory in another way");
}

static int carry_sessions(struct nf_chain *to, const struct nf_chain *from, const struct ft_region *old,
                          const struct nf_chain_change *change, struct ft_fault *fault)
{
    int64_t moved = (int64_t)((uint64_t)(uintptr_t)old->base - FT_REGION_BASE);
    const struct nf_was w = {.moved = moved};
    struct nf_sessions_carry how = {.was = change->was};
    struct nf_sessions_wants wants;

    if (!to->env.sessions || !from->env.sessions)
        return FT_OK;
    nf_chain_sessions_wants(change->from, &wants);
    how.from = &wants;
    how.old = nf_was_at(&w, from->env.sessions->table);
    how.old_fragments = how.old->fragments ? nf_was_at(&w, how.old->fragments) : NULL;
    how.old_arrival = how.old->fragments ? nf_was_at(&w, how.old->by_arrival) : NULL;
    return nf_sessions_carry(&to->sessions, &how, to->state->time, fault);
}

int nf_chain_carry(struct nf_chain *to, const struct nf_chain *from, const struct ft_region *old,
                   const struct nf_chain_change *change, struct ft_fault *fault)
{
    int error = carry_lane(to, from, old, change, fault);

    if (!error)
        error = carry_sessions(to, from, old, change, fault);
    for (unsigned i = 1; i <= to->count && !error; i++)
        if (change->was[i])
            error = carry_nf(to, i, from, change->was[i], old, change, fault);
    return error;
}
