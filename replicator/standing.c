/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes' demotion counters and maintenance orders, between the main threads of both: what this node's
 * gives is said to the peer once on each connection and when it changes; what the peer says is shown in the
 * status for as long as its connection stands. The protocol core knows nothing of it. It goes by the link,
 * and not by heartbeats on the data ports, since those are what may have failed.
 */
#include "replicator/parts.h"

#include <stdio.h>

bool rp_tell(struct rp_replicator *rp, const struct rp_standing *own)
{
    if (atomic_load_explicit(&rp->standing.is_given, memory_order_acquire))
        return false;
    rp->standing.given = *own;
    atomic_store_explicit(&rp->standing.is_given, true, memory_order_release);
    return true;
}

/* False: there is no room for it now. */
static bool send_standing(struct rp_replicator *rp)
{
    struct ft_message m;

    ft_core_head(&rp->core, FT_MSG_COUNTER, rp->now, &m);
    m.number = rp->standing.own.counter;
    m.number2 = rp->standing.own.maintained;
    m.maintenance = rp->standing.own.maintenance;
    m.cluster = rp->standing.own.cluster;
    snprintf(m.text, sizeof(m.text), "%s", rp->standing.own.why);
    return rp_link_send(rp->link, &m, rp->lanes, NULL) != FT_EFULL;
}

static uint64_t connection(const struct rp_replicator *rp)
{
    return rp_link_stats(rp->link)->connects;
}

void rp_standing_turn(struct rp_replicator *rp)
{
    if (atomic_load_explicit(&rp->standing.is_given, memory_order_acquire)) {
        rp->standing.own = rp->standing.given;
        rp->standing.known = true;
        rp->standing.told = false;
        atomic_store_explicit(&rp->standing.is_given, false, memory_order_release);
    }
    if (!rp->link || !rp->core.peer.known || !rp->standing.known)
        return;
    if (rp->standing.told && rp->standing.to == connection(rp))
        return;
    rp->standing.to = connection(rp);
    rp->standing.told = send_standing(rp);
}

void rp_take_standing(struct rp_replicator *rp, const struct ft_message *m)
{
    /* The other end of a pair is the other way round. */
    static const uint8_t seen_from_here[FT_MAINTENANCES] = {
        [FT_MAINTENANCE_HOLD] = FT_MAINTENANCE_HOLD,
        [FT_MAINTENANCE_PIN_OWN] = FT_MAINTENANCE_PIN_OTHER,
        [FT_MAINTENANCE_PIN_OTHER] = FT_MAINTENANCE_PIN_OWN,
    };
    struct rp_standing *peer = &rp->standing.peer;

    peer->counter = (uint32_t)m->number;
    peer->maintained = m->number2;
    peer->cluster = m->cluster;
    peer->maintenance = seen_from_here[m->maintenance];
    snprintf(peer->why, sizeof(peer->why), "%s", m->text);
    rp->standing.from = connection(rp);
}

bool rp_peer_told(const struct rp_replicator *rp)
{
    return rp->link && rp->core.peer.known && rp->standing.from && rp->standing.from == connection(rp);
}
