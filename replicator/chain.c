/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that is changed while the pair runs, as the replicator sees it: lanes do it, between bursts or
 * while they wait, and this thread finds that the chain has another name. No state of its own.
 */
#include "replicator/parts.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t rp_chain_hash(const char *identity, uint32_t len)
{
    uint64_t hash = XXH3_64bits(identity, len);

    return hash ? hash : 1;
}

/* A primary's lanes change it at the cut of a snapshot, whose lines nobody reads before the cut is known
 * here; or where there is no snapshot. */
void rp_chain_follow(struct rp_replicator *rp)
{
    const struct ft_chain_name *chain = rp->config.chain ? rp->config.chain(rp->config.judge) : NULL;
    struct ft_core_config *core = &rp->core.config;

    if (!chain || (chain->hash == core->chain && chain->identity == core->identity))
        return;
    core->identity = chain->identity;
    core->identity_len = chain->identity_len;
    core->chain = chain->hash;
    rp_snapshot_fit(rp);
}

/* The core has had the lanes stopped: they stop once more, and make the other chain on their way. */
bool rp_chain_become(struct rp_replicator *rp, uint64_t hash)
{
    if (!rp->config.become || !rp->config.become(rp->config.judge, hash) || !rp_stop_lanes(rp))
        return false;
    rp_chain_follow(rp);
    return rp->core.config.chain == hash;
}

/* The peer refuses the old one, so it is to hear of the new one on a new connection. */
void rp_chain_rejoin(struct rp_replicator *rp)
{
    uint64_t hash = atomic_load(&rp->rejoin) ? atomic_exchange(&rp->rejoin, 0) : 0;
    struct ft_event lost = {.kind = FT_EV_LOST, .now = rp->now, .how = FT_LOST_ERROR};

    if (!hash || rp->core.state != FT_JOINING || rp->core.peer.known || rp->core.kept ||
        !rp_chain_become(rp, hash))
        return;
    rp_step(rp, &lost);
    rp_link_drop(rp->link);
}

void rp_rejoin(struct rp_replicator *rp, uint64_t chain)
{
    atomic_store(&rp->rejoin, chain);
}
