/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that takes the place of another, see change.h: what may change of one that runs, judged by the two
 * configurations; how the state of a lane goes on; and both for all lanes of a node at once.
 */
#include "nflib/chain/change.h"
#include "ftcore/region/audit.h"
#include "ftcore/region/exchange.h"
#include "nflib/chain/parts.h"
#include "nflib/module/module.h"

#include <string.h>

#define L3_TEXT_MAX 24576 /* 8 ports of 9 addresses, 64 routes and 64 neighbours, as text */
#define SETTING_MAX 512   /* NF_PREFIXES_MAX networks; a text may be cut, to be shown */
#define SHOWN_MAX   60

static unsigned place_of(const struct nf_chain_config *config, const struct nf_module *module)
{
    for (unsigned i = 0; i < config->count; i++)
        if (config->nfs[i].module == module)
            return i + 1;
    return 0;
}

/* How many bytes of two long lists are not shown, since their first entries are the same. */
static size_t same_entries(const char *before, const char *after)
{
    size_t n = 0, entry = 0;

    for (; before[n] && before[n] == after[n]; n++)
        if (before[n] == ',')
            entry = n + 1;
    return n < SHOWN_MAX ? 0 : entry;
}

static int check_settings(unsigned place, const struct nf_choice *from, const struct nf_choice *to,
                          struct ft_fault *fault)
{
    char before[SETTING_MAX], after[SETTING_MAX];

    for (const struct nf_param *p = to->module->params; p && p->name; p++) {
        size_t same;

        if (p->marks & NF_PARAM_LIVE || nf_chain_same_setting(p, from->config, to->config))
            continue;
        nf_chain_setting(p, from->config, before, sizeof(before));
        nf_chain_setting(p, to->config, after, sizeof(after));
        same = same_entries(before, after);
        return ft_fail(fault, FT_EINVAL,
                       "nf %u: %s %s: %s%.60s, then %s%.60s: cannot be changed while the pair runs", place,
                       to->module->name, p->name, same ? "..." : "", before + same, same ? "..." : "",
                       after + same);
    }
    return FT_OK;
}

static bool translates_ends(const struct nf_module *module)
{
    return module->translates & (NF_SOURCE | NF_DESTINATION | NF_INSIDE_END);
}

static int refuse_translator(const struct nf_choice *nf, const char *what, struct ft_fault *fault)
{
    return ft_fail(fault, FT_EINVAL, "%s: %s, so it cannot be %s while the pair runs: flows would break",
                   nf->module->name,
                   translates_ends(nf->module) ? "translates addresses" : "moves sequence numbers", what);
}

/* Those that stay come in the same order. */
static int match_nfs(struct nf_chain_change *change, struct ft_fault *fault)
{
    const struct nf_chain_config *from = change->from, *to = change->to;
    unsigned last = 0;
    int error = FT_OK;

    for (unsigned i = 0; i < to->count && !error; i++) {
        const struct nf_choice *nf = &to->nfs[i];
        unsigned was = place_of(from, nf->module);

        if (!was && translates_ends(nf->module))
            return refuse_translator(nf, "added", fault);
        if (was && was < last)
            return ft_fail(fault, FT_EINVAL,
                           "nf %u: %s: NFs that stay keep their order, expected it before %s", i + 1,
                           nf->module->name, from->nfs[last - 1].module->name);
        change->was[i + 1] = (uint16_t)was;
        last = was ? was : last;
        if (was)
            error = check_settings(i + 1, &from->nfs[was - 1], nf, fault);
    }
    for (unsigned i = 0; i < from->count && !error; i++)
        if (from->nfs[i].module->translates && !place_of(to, from->nfs[i].module))
            error = refuse_translator(&from->nfs[i], "taken out", fault);
    return error;
}

static bool has_same_hops(const struct nf_l3_config *from, const struct nf_l3_config *to, bool ipv6)
{
    const struct nf_hop *a = from->next_hop[ipv6], *b = to->next_hop[ipv6];
    bool same = from->next_hops[ipv6] == to->next_hops[ipv6];

    for (unsigned i = 0; same && i < from->next_hops[ipv6]; i++)
        same = a[i].port == b[i].port && nf_addr_same(&a[i].addr, &b[i].addr);
    return same;
}

/* As the hello contains them, and which next hops are asked for. */
bool nf_chain_same_l3(const struct nf_l3_config *from, const struct nf_l3_config *to)
{
    char before[L3_TEXT_MAX], after[L3_TEXT_MAX];

    if (!from || !to)
        return from == to;
    nf_chain_identity(&(struct nf_chain_config){.l3 = (struct nf_l3_config *)from}, before, sizeof(before));
    nf_chain_identity(&(struct nf_chain_config){.l3 = (struct nf_l3_config *)to}, after, sizeof(after));
    return strcmp(before, after) == 0 && has_same_hops(from, to, false) && has_same_hops(from, to, true);
}

int nf_chain_same_lanes(const struct nf_chain_config *from, const struct nf_chain_config *to,
                        struct ft_fault *fault)
{
    enum nf_scope before, after;
    int error = 0;

    if (from->lanes != to->lanes)
        return ft_fail(fault, FT_EINVAL, "lanes: %u, then %u: cannot be changed while the pair runs",
                       from->lanes, to->lanes);
    if (from->frame_max != to->frame_max)
        return ft_fail(fault, FT_EINVAL, "frame_max: %u, then %u: cannot be changed while the pair runs",
                       from->frame_max, to->frame_max);
    if (!from->l3 != !to->l3)
        return ft_fail(fault, FT_EINVAL, "interfaces: %s, then %s: cannot be changed while the pair runs",
                       from->l3 ? "some" : "none", to->l3 ? "some" : "none");
    error = nf_chain_scope(from, from->lanes, &before, fault);
    if (!error)
        error = nf_chain_scope(to, to->lanes, &after, fault);
    if (!error && before != after)
        error = ft_fail(fault, FT_EINVAL,
                        "the scope of the NFs' state, by which packets are dealt to %u "
                        "lanes: cannot be changed while the pair runs",
                        to->lanes);
    return error;
}

int nf_chain_change_plan(struct nf_chain_change *change, const struct nf_chain_config *from,
                         const struct nf_chain_config *to, struct ft_fault *fault)
{
    memset(change, 0, sizeof(*change));
    change->from = from;
    change->to = to;
    int error = nf_chain_same_lanes(from, to, fault);

    return error ? error : match_nfs(change, fault);
}

/* ---- the state of a lane goes on --------------------------------------------------------------- */

/*
 * The state of a lane's chain goes on in another chain's memory. Memory that is laid out as before is
 * copied whole, but for constants, which the new chain has made and which locate all else. By the thread that
 * works for all lanes; owns nothing.
 */

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

/* Pointers lead to other places; all else that is constant describes how memory is laid out. */
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
    uint64_t base_now = now->arenas[now->arena_count - 1].offset;
    uint64_t base_old = old->arenas[old->arena_count - 1].offset;
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
    /* What it was made with, by the new configuration, stays (nf_chain_reset). */
    if (to->as_made[place].copy)
        a.to = a.from + to->as_made[place].used;
    if (from->as_made[was].copy)
        b.to = b.from + from->as_made[was].used;
    struct nf_was w = {.config = change->from->nfs[was - 1].config, .moved = moved};

    if (nf_is_bypassed(to->state, place)) /* nobody has checked what is in it */
        return ft_fail(fault, FT_EBUSY,
                       "nf %u: %s: it is bypassed, expected set %s bypass=off first, or a chain without it",
                       place, nf->module->name, nf->module->name);
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

/* Numbers, generator and wake times; then L3, which has been made to look at its next hops in the first
 * burst.
 */
static void carry_lane(struct nf_chain *to, const struct nf_chain *from, const struct ft_region *old,
                       const struct nf_chain_change *change)
{
    const struct ft_arena *was = &old->arenas[to->nfs[0].lane * old->nfs];
    const struct nf_lane_state *before = (const void *)(old->base + was->offset);
    struct nf_lane_state *state = (struct nf_lane_state *)(uintptr_t)to->state;

    state->burst = before->burst;
    state->seq = before->seq;
    state->time = before->time;
    state->access = before->access;
    state->outputs = before->outputs;
    memcpy(state->random, before->random, sizeof(state->random));
    state->unmade = before->unmade;
    for (unsigned i = 1; i <= to->count; i++)
        if (change->was[i]) {
            state->wake[i] = before->wake[change->was[i]];
            state->bypassed |= (before->bypassed >> change->was[i] & 1) << i;
        }
    if (before->wake[0] < state->wake[0])
        state->wake[0] = before->wake[0];
    if (to->l3)
        nf_l3_carry(to->l3, from->l3, (int64_t)((uint64_t)(uintptr_t)old->base - FT_REGION_BASE));
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

/*
 * Gives `to`, a lane's chain that was just made by change->to in its node's region, the state of `from`, the
 * lane's chain before, whose region is `old` and set aside (ftcore/region/exchange.h). All lanes' chains are
 * made before the first; lanes come in order. FT_EFULL: more entries than there is room for; FT_EBUSY:
 * an NF that stays is bypassed; FT_EINVAL: an NF's memory is laid out in another way. Then `to` is void,
 * and `from` as it was.
 */
static int carry_chain(struct nf_chain *to, const struct nf_chain *from, const struct ft_region *old,
                       const struct nf_chain_change *change, struct ft_fault *fault)
{
    int error;

    carry_lane(to, from, old, change);
    error = carry_sessions(to, from, old, change, fault);
    for (unsigned i = 1; i <= to->count && !error; i++)
        if (change->was[i])
            error = carry_nf(to, i, from, change->was[i], old, change, fault);
    return error;
}

/* ---- all lanes at once ------------------------------------------------------------------------- */

/*
 * All lanes of a node get another chain, in a region of its own that takes the place of theirs. Run once
 * by one thread while no lane runs. Owns what it makes until it has succeeded.
 */

static void free_chains(struct nf_chain *chains[], unsigned lanes)
{
    for (unsigned l = 0; l < lanes; l++) {
        nf_chain_free(chains[l]);
        chains[l] = NULL;
    }
}

static void close_brackets(struct ft_region *region, unsigned brackets)
{
    while (brackets--)
        ft_audit_suspend(region);
}

/* Audit of a region that has just come to its address, with so many brackets open. */
static int audit(struct ft_region *region, bool wanted, unsigned brackets, struct ft_fault *fault)
{
    int error = wanted ? ft_audit_open(region, fault) : FT_OK;

    if (!error)
        close_brackets(region, brackets);
    return error;
}

static int make_chains(struct nf_chain_switch *s, struct ft_fault *fault)
{
    const struct nf_chain_change *change = s->change;
    int error = FT_OK;

    for (unsigned l = 0; l < change->to->lanes && !error; l++)
        error = nf_chain_make(&s->next[l], change->to, s->region, l, s->seed, fault);
    for (unsigned l = 0; l < change->to->lanes && !error && !s->empty; l++)
        error = carry_chain(s->next[l], s->chain[l], s->old, change, fault);
    for (unsigned l = 0; l < change->to->lanes && !error && !s->empty; l++)
        error = nf_chain_check(s->next[l], NULL, NULL, fault);
    return error;
}

/* The new region is at its address, and s->region is it. */
static int fill_region(struct nf_chain_switch *s, bool audited, unsigned brackets, struct ft_fault *fault)
{
    /* One more: what is carried is nobody's change. */
    int error = audit(s->region, audited, brackets + 1, fault);

    if (error)
        return error;
    error = make_chains(s, fault);
    ft_audit_resume(s->region);
    return error;
}

int nf_chain_switch(struct nf_chain_switch *s, struct ft_fault *fault)
{
    bool audited = s->region->audit != NULL;
    unsigned lanes = s->change->to->lanes, brackets = ft_audit_suspended(s->region);
    struct ft_region_config how = s->how;
    int error;

    how.audit = false; /* opened below, when the region has its place */
    ft_audit_close(s->region);
    error = ft_region_set_aside(s->region, fault);
    if (error) {
        audit(s->region, audited, brackets, NULL);
        return error;
    }
    error = nf_chain_region(&s->old, s->change->to, &how, fault);
    if (!error) {
        ft_region_exchange(s->region, s->old);
        error = fill_region(s, audited, brackets, fault);
        if (!error)
            return FT_OK;
        free_chains(s->next, lanes);
        ft_region_exchange(s->region, s->old);
        ft_region_close(s->old);
    }
    s->old = NULL;
    ft_region_put_back(s->region);
    FT_CHECK(audit(s->region, audited, brackets, NULL) == 0, "no memory to audit the region again");
    return error;
}
