/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a chain's instance of a lane, in the same order on every node, begins an NF of it anew, and gives it
 * back. No state of its own. */
#include "ftcore/base/check.h"
#include "ftcore/base/draw.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "nflib/chain/parts.h"
#include "nflib/chain/payload_guard.h"
#include "nflib/module/heap.h"
#include "nflib/session/table.h"
#include "nflib/shared/shared.h"
#include "nflib/state/watch.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a configuration asks of its region --------------------------------------------------- */

/* What a chain's configuration asks of its region, before there is a chain. */

#define ARENA_SLACK 8192u /* counters' and root's rounding to lines */

uint32_t nf_chain_counters(const struct nf_module *module)
{
    uint32_t n = 0;
    while (module->counters && module->counters[n])
        n++;
    return n;
}

void nf_chain_sessions_wants(const struct nf_chain_config *config, struct nf_sessions_wants *wants)
{
    memset(wants, 0, sizeof(*wants));
    for (unsigned i = 0; i < config->count; i++)
        nf_sessions_want(wants, i + 1, config->nfs[i].module, config->nfs[i].config);
}

void nf_chain_arenas(const struct nf_chain_config *config, uint64_t sizes[], const char *names[])
{
    struct nf_sessions_wants wants;

    nf_chain_sessions_wants(config, &wants);
    sizes[0] = sizeof(struct nf_lane_state) + (config->l3 ? nf_l3_bytes(config->l3) : 0) +
               nf_sessions_bytes(&wants) + ARENA_SLACK;
    names[0] = "lane";
    for (unsigned i = 0; i < config->count; i++) {
        const struct nf_choice *nf = &config->nfs[i];
        sizes[i + 1] = (nf->module->arena ? nf->module->arena(nf->config) : 0) + nf->module->state_size +
                       nf_chain_counters(nf->module) * sizeof(uint64_t) +
                       nf_heap_bytes(nf->module, nf->config) + ARENA_SLACK;
        if (nf->on_crash == NF_CRASH_RESET)
            sizes[i + 1] =
                2 * sizes[i + 1] + nf_shared_bytes(nf->module, nf->config, config->lanes) + ARENA_SLACK;
        names[i + 1] = nf->module->name;
    }
}

uint64_t nf_chain_shared(const struct nf_chain_config *config, uint64_t floor)
{
    uint64_t bytes = nf_shared_directory_bytes();
    for (unsigned i = 0; i < config->count; i++)
        bytes += nf_shared_bytes(config->nfs[i].module, config->nfs[i].config, config->lanes);
    return bytes > floor ? bytes : floor;
}

int nf_chain_region(struct ft_region **out, const struct nf_chain_config *config,
                    const struct ft_region_config *how, struct ft_fault *fault)
{
    uint64_t sizes[FT_NFS_MAX], floor = how->shared_size ? how->shared_size : config->shared_size;
    const char *names[FT_NFS_MAX];
    struct ft_region_config region = *how;

    nf_chain_arenas(config, sizes, names);
    region.lanes = config->lanes;
    region.nfs = (uint16_t)(config->count + 1);
    region.arena_size = sizes;
    region.nf_name = names;
    for (unsigned i = 0; i < config->count; i++)
        region.huge &= !config->nfs[i].module->heap; /* written pages are tracked by 4 KiB */
    region.shared_size = nf_chain_shared(config, floor ? floor : FT_SHARED_DEFAULT);
    return ft_region_open(out, &region, fault);
}

enum nf_reads nf_chain_reads(const struct nf_chain_config *config)
{
    enum nf_reads most = NF_READS_FLOW;

    for (unsigned i = 0; i < config->count; i++) {
        enum nf_reads reads = config->nfs[i].module->reads;

        if (reads == NF_READS_PAYLOAD || most == NF_READS_FLOW)
            most = reads;
    }
    return most;
}

bool nf_chain_records_sessions(const struct nf_chain *chain)
{
    return chain->env.sessions && nf_chain_reads(chain->config) == NF_READS_FLOW;
}

/* ---- an NF begins anew ------------------------------------------------------------------------- */

/*
 * An NF's state begins anew while the chain runs: with on_crash: reset the state that it was made with is
 * kept behind it in its arena, so it is part of the state, and both nodes begin anew with the same bytes.
 * Constants are left as they are. Run by the lane, between bursts; of a chain of one lane where the NF has
 * shared state.
 */

#define PAGE 4096u

/* What is zero stays untouched, and needs no memory. */
static void copy_made(struct ft_region *region, const uint8_t *to, const uint8_t *from, uint64_t n)
{
    static const uint8_t zero[PAGE];

    for (uint64_t at = 0; at < n; at += PAGE) {
        uint64_t some = n - at < PAGE ? n - at : PAGE;

        if (memcmp(from + at, zero, some) != 0)
            memcpy(ft_edit(region, to + at, some), from + at, some);
    }
}

static const uint8_t *shared_part(const struct nf_chain *chain, unsigned index, uint64_t *bytes)
{
    const struct nf_chain_share *share = &chain->shared[index];

    *bytes = share->to - share->from;
    return chain->region->base + ft_region_shared(chain->region)->offset + share->from;
}

/* Keeps the state of an NF that has just been made; false: there is no room. */
static bool keep_made(struct nf_chain *chain, unsigned index)
{
    struct ft_arena *arena = chain->nfs[index].arena;
    struct nf_chain_made *made = &chain->as_made[index];
    uint64_t bytes;
    const uint8_t *shared = shared_part(chain, index, &bytes), *copy;

    made->used = arena->used;
    copy = ft_arena_alloc(arena, made->used);
    made->shared_copy = ft_arena_alloc(arena, bytes);
    if (!copy || !made->shared_copy)
        return false;
    copy_made(chain->region, copy, chain->region->base + arena->offset, made->used);
    copy_made(chain->region, made->shared_copy, shared, bytes);
    made->copy = copy;
    return true;
}

/* All but constants. */
static void restore(const struct nf_chain *chain, const uint8_t *to, const uint8_t *from, uint64_t n)
{
    const struct nf_content *content = &chain->content;
    uint64_t at = 0;

    for (uint32_t i = nf_content_from(content, to); at < n; i++) {
        const struct nf_kept *kept =
            i < content->kepts && content->kept[i].at < to + n ? &content->kept[i] : NULL;
        uint64_t next = kept ? (uint64_t)(kept->at - to) : n;

        if (next > at)
            memcpy(ft_edit(chain->region, to + at, next - at), from + at, next - at);
        at = kept ? next + kept->n : n;
    }
}

int nf_chain_reset(struct nf_chain *chain, struct nf *nf, uint64_t now, struct ft_fault *fault)
{
    const struct nf_chain_made *made = &chain->as_made[nf->index];
    struct ft_fault unsound = {""};
    struct nf_lane_state *state;
    const uint8_t *shared;
    uint64_t bytes;

    if (!made->copy)
        return ft_fail(fault, FT_EINVAL,
                       "reset %s: nothing is kept that it could begin anew from, expected on_crash: reset",
                       nf->module->name);
    if (chain->env.sessions && nf->module->session_size)
        nf_sessions_leave(&chain->sessions, nf, now);
    restore(chain, chain->region->base + nf->arena->offset, made->copy, made->used);
    shared = shared_part(chain, nf->index, &bytes);
    ft_audit_suspend(chain->region); /* the lane is alone, and enters no section for it */
    restore(chain, shared, made->shared_copy, bytes);
    ft_audit_resume(chain->region);
    /* The copy is state, which a peer may have written, and nothing has looked at it before. */
    FT_CHECK(nf_chain_check_nf(chain, nf->index, &unsound) == 0, "reset %s: %s", nf->module->name,
             unsound.text);
    state = ft_edit(chain->region, chain->state, sizeof(*state));
    state->bypassed &= ~(1ull << nf->index);
    state->wake[nf->index] = 0;
    return FT_OK;
}

/* ---- making and giving back --------------------------------------------------------------------- */

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
    bool made;

    nf->module = module;
    nf->config = choice->config;
    nf->counters = ft_arena_alloc(nf->arena, nf_chain_counters(module) * sizeof(uint64_t));
    nf->state = ft_arena_alloc(nf->arena, module->state_size);
    if (nf->state)
        nf_edit(nf, nf->state, module->state_size);
    nf_mark_thread(NF_DOING_MAKE, nf->index);
    made = nf->counters && nf->state && nf_heap_make(nf) && (!module->make || module->make(nf));
    nf_mark_thread_end();
    return made ? FT_OK
                : ft_fail(fault, FT_EFULL,
                          "nf %u: %s: the arena of %lu bytes is too small: `.arena` of the module says how "
                          "many it takes, and `.state_size`",
                          nf->index, module->name, nf->arena->size);
}

/* An NF of the chain changes the family of packets. */
static bool changes_family(const struct nf_chain_config *config)
{
    for (uint32_t i = 0; i < config->count; i++)
        if (config->nfs[i].module->translates & NF_FAMILY)
            return true;
    return false;
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
    bool grows = changes_family(config);
    if (error == FT_OK && config->l3)
        error = nf_l3_make(&chain->l3, &chain->nfs[0], config->l3, grows, fault);
    for (uint32_t i = 0; i < chain->config->count && !chain->l3; i++) {
        const struct nf_choice *nf = &chain->config->nfs[i];

        chain->unsummed |= nf->module->unsummed && nf->module->unsummed(nf->config);
    }
    if (error == FT_OK && grows &&
        !(chain->headroom =
              aligned_alloc(64, (size_t)NF_BURST_MAX * NF_HEADROOM_FRAME))) /* lint: config-time */
        error = ft_fail(fault, FT_ENOMEM, "chain %s: no memory for a burst's frames", config->name);
    for (unsigned i = 0; i < config->count; i++)
        chain->nfs[i + 1].module = config->nfs[i].module;
    if (error == FT_OK)
        error = make_sessions(chain, fault);
    for (unsigned i = 0; error == FT_OK && i < config->count; i++) {
        chain->shared[i + 1].from = shared_used(&chain->nfs[i + 1]);
        error = make_nf(&chain->nfs[i + 1], &config->nfs[i], fault);
        chain->shared[i + 1].to = shared_used(&chain->nfs[i + 1]);
        if (error == FT_OK && config->nfs[i].on_crash == NF_CRASH_RESET && !keep_made(chain, i + 1))
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
    if (error == FT_OK)
        NF_WATCH(making, config, &error, fault);
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
