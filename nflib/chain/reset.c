/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NF's state begins anew while the chain runs: with on_crash: reset the state that it was made with is
 * kept behind it in its arena, so it is part of the state, and both nodes begin anew with the same bytes.
 * Constants are left as they are. Run by the lane, between bursts; of a chain of one lane where the NF has
 * shared state.
 */
#include "ftcore/base/check.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/parts.h"

#include <string.h>

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

bool nf_chain_keep_made(struct nf_chain *chain, unsigned index)
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
        nf_sessions_drop(&chain->sessions, nf, now);
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
