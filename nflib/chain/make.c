/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a chain's instance of a lane, in the same order on every node, and gives it back. No state of its
 * own. */
#include "nflib/chain/parts.h"

#include "ftcore/base/draw.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/payload_guard.h"
#include "nflib/module/heap.h"
#include "nflib/shared/shared.h"
#include "nflib/state/watch.h"

#include <stdlib.h>
#include <string.h>

static int make_lane_state(struct nf_chain *chain, unsigned lane, uint64_t seed, struct ft_fault *fault)
{
    struct nf_lane_state *state = ft_arena_alloc(chain->nfs[0].arena, sizeof(*state));
    if (!state)
        return ft_fail(fault, FT_EFULL, "lane %u: no room for the lane's state", lane);
    state = ft_edit(chain->region, state, sizeof(*state));
    state->seq = 1;
    state->access = 1;
    seed ^= (lane + 1) * 0xd1342543de82ef95ull; /* lanes given one seed still differ */
    for (unsigned i = 0; i < 2; i++)
        state->random[i] = ft_draw(&seed);
    for (unsigned i = 0; i < FT_NFS_MAX; i++)
        state->wake[i] = UINT64_MAX;
    chain->state = chain->env.state = state;
    return FT_OK;
}

/* Of the shared arena: all that comes next is the NF's, but for the directory, which lies first. */
static uint64_t shared_used(const struct nf *nf)
{
    uint64_t used = ft_region_shared(nf->region)->used, directory = nf_shared_directory_bytes() - FT_LINE;

    return used < directory ? directory : used;
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
    if (nf->counters && nf->state && nf_heap_make(nf) && (!module->make || module->make(nf)))
        return FT_OK;
    return ft_fail(fault, FT_EFULL, "nf %u: %s: the arena is too small", nf->index, module->name);
}

/* Of a packet that leaves the NFs, for where its answers will come in. */
static uint8_t out_side(const void *arg, const struct nf_packet *p)
{
    return nf_l3_side(arg, p);
}

static int make_sessions(struct nf_chain *chain, struct ft_fault *fault)
{
    struct nf_sessions_wants wants;

    nf_chain_sessions_wants(chain->config, &wants);
    if (!wants.capacity)
        return FT_OK;
    chain->sessions.nfs = chain->nfs;
    nf_chain_mark(chain, chain->mark);
    chain->sessions.out_side = chain->l3 ? out_side : NULL;
    chain->sessions.out_arg = chain->l3;
    chain->env.sessions = &chain->sessions.burst;
    return nf_sessions_make(&chain->sessions, &wants)
               ? FT_OK
               : ft_fail(fault, FT_EFULL, "chain %s: no room for sessions", chain->config->name);
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
    for (uint32_t i = 0; i < chain->config->count && !chain->l3; i++) {
        const struct nf_choice *nf = &chain->config->nfs[i];

        chain->unsummed |= nf->module->unsummed && nf->module->unsummed(nf->config);
    }
    if (error == FT_OK && !nf_chain_make_headroom(chain))
        error = ft_fail(fault, FT_ENOMEM, "chain %s: no memory for a burst's frames", config->name);
    if (chain->l3 && chain->headroom)
        nf_l3_expect_growth(chain->l3);
    chain->l3_end = chain->nfs[0].arena->used;
    for (unsigned i = 0; i < config->count; i++)
        chain->nfs[i + 1].module = config->nfs[i].module;
    if (error == FT_OK)
        error = make_sessions(chain, fault);
    for (unsigned i = 0; error == FT_OK && i < config->count; i++) {
        chain->shared[i + 1].from = shared_used(&chain->nfs[i + 1]);
        error = make_nf(&chain->nfs[i + 1], &config->nfs[i], fault);
        chain->shared[i + 1].to = shared_used(&chain->nfs[i + 1]);
        if (error == FT_OK && config->nfs[i].on_crash == NF_CRASH_RESET && !nf_chain_keep_made(chain, i + 1))
            error = ft_fail(fault, FT_EFULL, "nf %u: %s: the arena is too small for what it is made with",
                            i + 1, config->nfs[i].module->name);
    }
    return error;
}

int nf_chain_make(struct nf_chain **out, const struct nf_chain_config *config, struct ft_region *region,
                  unsigned lane, uint64_t seed, struct ft_fault *fault)
{
    *out = NULL;
    if (config->count > FT_NFS_MAX - 1 || region->nfs < config->count + 1u || lane >= region->lanes)
        return ft_fail(fault, FT_EINVAL, "chain %s: region is made for another chain", config->name);
    enum nf_scope scope;
    int error = nf_chain_scope(config, config->lanes, &scope, fault);
    if (error == FT_OK && nf_watch)
        error = nf_watch->making(config, fault);
    if (error < 0)
        return error;
    struct nf_chain *chain =
        aligned_alloc(64, sizeof(*chain)); /* published numbers have lines of their own */
    if (!chain)
        return ft_fail(fault, FT_ENOMEM, "chain %s: no memory", config->name);
    memset(chain, 0, sizeof(*chain));
    chain->config = config;
    chain->mark = &chain->own_mark;
    chain->tally = chain->own_tally;
    chain->region = region;
    chain->count = config->count;
    chain->env.packets = chain->made;
    chain->env.frames = chain->frames;
    chain->env.sections = &chain->sections;
    chain->env.determinants = &chain->determinants;
    chain->env.content = &chain->content;
    chain->env.scope = scope;
    ft_sections_init(&chain->sections, region, chain->alone, lane, region->lanes);
    chain->sections.unreduced = config->unreduced;
    ft_audit_suspend(region); /* what is made here is nobody's change */
    error = make_all(chain, lane, seed, fault);
    ft_audit_resume(region);
    if (error == FT_OK && (chain->content.failed || nf_payload_guard_make(&chain->guard, region) < 0))
        error = ft_fail(fault, FT_ENOMEM, "chain %s: no memory for its checks", config->name);
    if (error < 0) {
        nf_chain_free(chain);
        return error;
    }
    NF_WATCH(whole, region);
    if (lane == 0)
        ft_audit_name_places(region, nf_chain_name_place, chain);
    *out = chain;
    return FT_OK;
}

void nf_chain_free(struct nf_chain *chain)
{
    if (!chain)
        return;
    for (unsigned i = 1; i <= chain->count; i++)
        if (chain->nfs[i].module && chain->nfs[i].module->unmake)
            chain->nfs[i].module->unmake(&chain->nfs[i]);
    nf_payload_guard_free(chain->guard);
    nf_content_free(&chain->content);
    free(chain->l3);
    free(chain->headroom);
    free(chain);
}
