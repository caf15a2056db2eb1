/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the running of a chain: order of NFs, timers, packets made by NFs, and the lane's own state in arena
 * (lane, 0). Run by one thread, the lane's, live and in replay alike. Everything that outlives a burst is in
 * the region; what is here (instances, buffers of made packets) is rebuilt from the configuration.
 */
#include "nflib/chain/chain.h"

#include "ftcore/base/draw.h"
#include "ftcore/region/audit.h"
#include "nflib/backend/backend.h"
#include "nflib/chain/payload_guard.h"
#include "nflib/shared/shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD 4u /* packets between prefetch and parse */

struct nf_chain {
    const struct nf_chain_config *config;
    struct ft_region *region;
    const struct nf_lane_state *state;
    struct nf_l3 *l3;
    struct nf_payload_guard *guard; /* with audit */
    struct nf nfs[FT_NFS_MAX];      /* 0: L3 */
    uint32_t count;
    bool open;   /* a command began the coming burst */
    bool follow; /* the coming burst is replayed */
    struct ft_sections sections;
    struct ft_published alone[FT_LANES_MAX];
    struct nf_determinants determinants;
    struct nf_env env;
    struct nf_content content;
    struct nf_packet made[NF_EMIT_MAX];
    struct nf_emitted list[NF_EMIT_MAX];
    uint32_t listed;
    uint8_t frames[NF_EMIT_MAX * NF_EMIT_SLOT];
};

/* ---- making ---- */

static int make_lane_state(struct nf_chain *chain, unsigned lane, uint64_t seed, struct ft_fault *fault)
{
    struct nf_lane_state *state = ft_arena_alloc(chain->nfs[0].arena, sizeof(*state));
    if (!state)
        return ft_fail(fault, FT_EFULL, "lane %u: no room for the lane's state", lane);
    state = ft_edit(chain->region, state, sizeof(*state));
    state->seq = 1;
    state->access = 1;
    seed ^= (lane + 1) * 0xd1342543de82ef95ull; /* lanes given one seed still differ */
    for (unsigned i = 0; i < 4; i++)
        state->random[i] = ft_draw(&seed);
    for (unsigned i = 0; i < FT_NFS_MAX; i++)
        state->wake[i] = UINT64_MAX;
    chain->state = chain->env.state = state;
    return FT_OK;
}

static int make_nf(struct nf *nf, const struct nf_choice *choice, struct ft_fault *fault)
{
    const struct nf_module *module = choice->module;
    nf->module = module;
    nf->config = choice->config;
    nf->counters = ft_arena_alloc(nf->arena, nf_chain_counters(module) * sizeof(uint64_t));
    nf->state = ft_arena_alloc(nf->arena, module->state_size);
    if (nf->state)
        nf_edit(nf, nf->state, module->state_size);
    if (nf->counters && nf->state && (!module->make || module->make(nf)))
        return FT_OK;
    return ft_fail(fault, FT_EFULL, "nf %u: %s: the arena is too small", nf->index, module->name);
}

static int make_all(struct nf_chain *chain, unsigned lane, uint64_t seed, struct ft_fault *fault)
{
    const struct nf_chain_config *config = chain->config;
    for (unsigned i = 0; i <= config->count; i++)
        chain->nfs[i] = (struct nf){.region = chain->region,
                                    .arena = ft_region_arena(chain->region, lane, i),
                                    .env = &chain->env,
                                    .lane = (uint16_t)lane,
                                    .lanes = config->lanes,
                                    .index = (uint16_t)i};
    int error = make_lane_state(chain, lane, seed, fault);
    if (error == FT_OK && config->l3)
        error = nf_l3_make(&chain->l3, &chain->nfs[0], config->l3, fault);
    for (unsigned i = 0; error == FT_OK && i < config->count; i++)
        error = make_nf(&chain->nfs[i + 1], &config->nfs[i], fault);
    return error;
}

int nf_chain_make(struct nf_chain **out, const struct nf_chain_config *config, struct ft_region *region,
                  unsigned lane, uint64_t seed, struct ft_fault *fault)
{
    *out = NULL;
    if (config->count > FT_NFS_MAX - 1 || region->nfs < config->count + 1u || lane >= region->lanes)
        return ft_fail(fault, FT_EINVAL, "chain %s: region is made for another chain", config->name);
    if (nf_backend && config->lanes > 1)
        return ft_fail(fault, FT_EINVAL, "chain %s: %u lanes, a state backend serves one", config->name,
                       config->lanes);
    struct nf_chain *chain =
        aligned_alloc(64, sizeof(*chain)); /* published numbers have lines of their own */
    if (!chain)
        return ft_fail(fault, FT_ENOMEM, "chain %s: no memory", config->name);
    memset(chain, 0, sizeof(*chain));
    chain->config = config;
    chain->region = region;
    chain->count = config->count;
    chain->env.packets = chain->made;
    chain->env.frames = chain->frames;
    chain->env.sections = &chain->sections;
    chain->env.determinants = &chain->determinants;
    chain->env.content = &chain->content;
    ft_sections_init(&chain->sections, region, chain->alone, lane, region->lanes);
    chain->sections.unreduced = config->unreduced;
    ft_audit_suspend(region); /* what is made here is nobody's change */
    nf_backend_forget();
    int error = make_all(chain, lane, seed, fault);
    ft_audit_resume(region);
    if (error == FT_OK && (chain->content.failed || nf_payload_guard_make(&chain->guard, region) < 0))
        error = ft_fail(fault, FT_ENOMEM, "chain %s: no memory for its checks", config->name);
    if (error < 0) {
        nf_chain_free(chain);
        return error;
    }
    if (nf_backend)
        nf_backend_start(region);
    *out = chain;
    return FT_OK;
}

void nf_chain_free(struct nf_chain *chain)
{
    if (!chain)
        return;
    nf_payload_guard_free(chain->guard);
    nf_content_free(&chain->content);
    free(chain->l3);
    free(chain);
}

/* ---- looking ---- */

const struct nf_lane_state *nf_chain_state(const struct nf_chain *chain)
{
    return chain->state;
}

uint64_t nf_chain_wake(const struct nf_chain *chain)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i <= chain->count; i++)
        if (chain->state->wake[i] < first)
            first = chain->state->wake[i];
    return first;
}

bool nf_chain_due(const struct nf_chain *chain, uint64_t now)
{
    uint64_t wake = nf_chain_wake(chain);
    return wake != UINT64_MAX && wake <= now;
}

const struct nf *nf_chain_any(const struct nf_chain *chain, unsigned index)
{
    return index <= chain->count ? &chain->nfs[index] : NULL;
}

struct nf *nf_chain_nf(const struct nf_chain *chain, unsigned index)
{
    return index >= 1 && index <= chain->count ? (struct nf *)(uintptr_t)&chain->nfs[index] : NULL;
}

struct nf *nf_chain_find(const struct nf_chain *chain, const char *name)
{
    for (uint32_t i = 0; i <= chain->count; i++)
        if (chain->nfs[i].module && strcmp(chain->nfs[i].module->name, name) == 0)
            return (struct nf *)(uintptr_t)&chain->nfs[i];
    return NULL;
}

uint32_t nf_chain_emitted(const struct nf_chain *chain, const struct nf_emitted **list)
{
    *list = chain->list;
    return chain->listed;
}

/* ---- running ---- */

static void open_burst(struct nf_chain *chain)
{
    chain->listed = 0;
    if (chain->open)
        return;
    chain->env.emitted = 0;
    if (!chain->follow) {
        ft_sections_begin(&chain->sections, chain->state->access);
        nf_determinants_begin(&chain->determinants, false);
    }
    chain->follow = false;
    chain->open = true;
}

void nf_chain_open(struct nf_chain *chain)
{
    FT_CHECK(!chain->open, "two commands in one burst");
    open_burst(chain);
}

/* The wake time is reset first, so that what the timers ask for remains. */
static void run_timers(struct nf_chain *chain, uint64_t now)
{
    for (uint32_t i = 0; i <= chain->count; i++) {
        const uint64_t *wake = &chain->state->wake[i];
        if (*wake == UINT64_MAX || *wake > now)
            continue;
        *(uint64_t *)ft_edit(chain->region, wake, sizeof(*wake)) = UINT64_MAX;
        if (chain->nfs[i].module->timers)
            chain->nfs[i].module->timers(&chain->nfs[i], now);
    }
}

static void parse_all(struct nf_packet *packets, uint32_t n)
{
    for (uint32_t i = 0; i < n && i < AHEAD; i++)
        __builtin_prefetch(packets[i].data);
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(packets[i + AHEAD].data);
        struct nf_packet *p = &packets[i];
        p->out_port = p->in_port ^ 1;
        p->drop = p->drop_nf = 0;
        if (!p->parsed) /* capture has looked at it already */
            nf_packet_parse(p);
        p->parsed = 0; /* NFs rewrite */
    }
}

static uint32_t keep_passing(struct nf_packet *list[], uint32_t n)
{
    uint32_t kept = 0;
    uint8_t dropped = 0;
    for (uint32_t i = 0; i < n; i++)
        dropped |= list[i]->drop;
    if (ft_likely(!dropped))
        return n;
    for (uint32_t i = 0; i < n; i++)
        if (!list[i]->drop)
            list[kept++] = list[i];
    return kept;
}

/* What came in on one side and is to pass the NFs. */
static void run_side(struct nf_chain *chain, struct nf_packet *list[], uint32_t left, uint8_t side,
                     struct nf_packet *packets, uint64_t now)
{
    for (uint32_t step = 1; step <= chain->count && left; step++) {
        struct nf *nf = &chain->nfs[side == NF_INSIDE ? step : chain->count + 1 - step];
        if (ft_unlikely(chain->guard))
            nf_payload_guard_begin(chain->guard, nf, list, left, packets, chain->state->seq);
        nf->module->process(nf, list, left, now);
        if (ft_unlikely(chain->guard))
            nf_payload_guard_end(chain->guard);
        left = keep_passing(list, left);
    }
}

/* Inside first. Told apart before any NF runs: it is L3 alone that drops and turns round before them. */
static void run_sides(struct nf_chain *chain, struct nf_packet *packets, uint32_t n, uint64_t now)
{
    struct nf_packet *list[2][NF_BURST_MAX];
    uint32_t left[2] = {0, 0};
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = &packets[i];
        unsigned side = p->side != NF_INSIDE;
        list[side][left[side]] = p;
        left[side] += !(p->drop | (p->flags & NF_P_LOCAL));
    }
    run_side(chain, list[0], left[0], NF_INSIDE, packets, now);
    run_side(chain, list[1], left[1], NF_OUTSIDE, packets, now);
}

/* Packets made while these leave (ARP requests) join the end and leave too. */
static void send_made(struct nf_chain *chain, uint64_t now)
{
    for (uint32_t i = 0; i < chain->env.emitted; i++) {
        struct nf_packet *p = &chain->made[i];
        if (chain->l3)
            nf_l3_out(chain->l3, &p, 1, now);
        if (!p->drop)
            chain->list[chain->listed++] =
                (struct nf_emitted){.port = p->out_port, .len = p->len, .frame = p->data};
    }
}

static uint32_t run_packets(struct nf_chain *chain, struct nf_packet *packets, uint32_t n, uint64_t now)
{
    struct nf_packet *all[NF_BURST_MAX];
    uint32_t left = 0;
    parse_all(packets, n);
    if (!chain->l3) {
        run_sides(chain, packets, n, now);
        for (uint32_t i = 0; i < n; i++)
            left += !packets[i].drop;
        return left;
    }
    for (uint32_t i = 0; i < n; i++)
        all[i] = &packets[i];
    nf_l3_in(chain->l3, all, n, now);
    run_sides(chain, packets, n, now);
    left = keep_passing(all, n);
    if (left) {
        nf_l3_out(chain->l3, all, left, now);
        left = keep_passing(all, left);
    }
    return left;
}

/* As determinants, which replay must find to be its own. */
static void note_accesses(struct nf_chain *chain)
{
    struct ft_access noted[FT_ACCESSES_MAX];
    const struct ft_sections *s = &chain->sections;
    uint16_t size = (uint16_t)(s->accesses * sizeof(noted[0]));
    if (!size)
        return;
    memcpy(noted, s->access, size);
    nf_determinant(&chain->nfs[0], noted, size);
    if (memcmp(noted, s->access, size) != 0)
        chain->determinants.wrong = true;
}

void nf_chain_run(struct nf_chain *chain, uint64_t burst, uint64_t now, struct nf_packet *packets, uint32_t n)
{
    const struct nf_lane_state *state = chain->state;
    FT_CHECK(n <= NF_BURST_MAX, "%u packets in a burst", n);
    FT_CHECK(burst == state->burst + 1, "burst %llu after %llu", (unsigned long long)burst,
             (unsigned long long)state->burst);
    FT_CHECK(now >= state->time, "time %llu after %llu", (unsigned long long)now,
             (unsigned long long)state->time);
    open_burst(chain);
    run_timers(chain, now);
    uint32_t passed = n ? run_packets(chain, packets, n, now) : 0;
    send_made(chain, now);
    nf_merged_publish(&chain->env);
    if (ft_unlikely(chain->sections.unreduced))
        note_accesses(chain);
    struct nf_lane_state *edit = ft_edit(chain->region, state, offsetof(struct nf_lane_state, random));
    edit->burst = burst;
    edit->seq += n;
    edit->time = now;
    edit->access = chain->sections.next;
    edit->outputs += passed + chain->listed;
    chain->open = false;
    if (ft_unlikely(nf_backend != NULL))
        nf_backend_burst(burst);
}

struct ft_sections *nf_chain_sections(struct nf_chain *chain)
{
    return &chain->sections;
}

struct nf_determinants *nf_chain_determinants(struct nf_chain *chain)
{
    return &chain->determinants;
}

void nf_chain_share(struct nf_chain *chain, struct ft_published *published)
{
    chain->sections.published = published;
}

void nf_chain_follow(struct nf_chain *chain, const struct ft_dependency dependencies[], uint32_t count)
{
    ft_sections_begin_replay(&chain->sections, chain->state->access, dependencies, count);
    nf_determinants_begin(&chain->determinants, true);
    chain->follow = true;
}

void nf_chain_abandon(struct nf_chain *chain)
{
    ft_sections_abandon(&chain->sections);
    chain->open = chain->follow = false;
    chain->listed = 0;
}
