/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other threads ask of the replicator: each kind is a bit or a word that they set, and the replicator
 * takes in its next turn. A newer request of a kind takes the place of one that was not taken yet.
 */
#include "replicator/parts.h"

#include <stdio.h>
#include <string.h>

void rp_request(struct rp_replicator *rp, enum ft_request what)
{
    atomic_fetch_or(&rp->requests, 1u << what);
}

/* One that the replicator has not taken yet gives way. */
void rp_reseal(struct rp_replicator *rp, struct rp_seal *seal)
{
    rp_seal_close(atomic_exchange(&rp->seal, seal));
}

void rp_drill(struct rp_replicator *rp, const char *kind)
{
    snprintf(rp->drill_ask, sizeof(rp->drill_ask), "%.31s", kind);
    atomic_store(&rp->drill_asked, true);
}

bool rp_drilled(struct rp_replicator *rp, char *kind, size_t cap)
{
    if (!atomic_load(&rp->drill_come))
        return false;
    snprintf(kind, cap, "%s", rp->drill_got);
    atomic_store(&rp->drill_come, false);
    return true;
}

void rp_serve_requests(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_REQUEST, .now = rp->now};
    unsigned asked = atomic_load(&rp->requests) ? atomic_exchange(&rp->requests, 0) : 0;
    struct rp_seal *seal = atomic_load(&rp->seal) ? atomic_exchange(&rp->seal, NULL) : NULL;
    struct ft_message m;

    if (seal)
        rp_link_reseal(rp->link, seal);
    /* A handover can wait for a resync that was asked for, not the other way. */
    for (int what = FT_REQUEST_RESYNC; what >= FT_REQUEST_PROMOTE; what--) {
        event.request = (enum ft_request)what;
        if (asked >> what & 1)
            rp_step(rp, &event);
    }
    rp_standing_turn(rp);
    if (rp->link) {
        rp_chain_rejoin(rp);
        rp_push_turn(rp);
    }
    /* Not kept for a peer that comes later. */
    if (atomic_exchange(&rp->drill_asked, false) && rp->link && rp->core.peer.known) {
        ft_core_head(&rp->core, FT_MSG_DRILL, rp->now, &m);
        memcpy(m.text, rp->drill_ask, sizeof(rp->drill_ask));
        rp_link_send(rp->link, &m, rp->lanes, NULL);
    }
}
