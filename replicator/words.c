/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes' demotion counters and maintenance orders, between the main threads of both: what this node's
 * gives is said to the peer once on each connection and when it changes; what the peer says is shown in the
 * status for as long as its connection stands. The protocol core knows nothing of it. A message in its place,
 * and no datagram on a data port: the ports are what may have failed.
 */
#include "replicator/parts.h"

#include <stdio.h>

bool rp_tell(struct rp_replicator *rp, const struct rp_word *word)
{
    if (atomic_load_explicit(&rp->word.is_given, memory_order_acquire))
        return false;
    rp->word.given = *word;
    atomic_store_explicit(&rp->word.is_given, true, memory_order_release);
    return true;
}

/* False: there is no room for it now. */
static bool send_word(struct rp_replicator *rp)
{
    struct ft_message m;

    ft_core_head(&rp->core, FT_MSG_COUNTER, rp->now, &m);
    m.number = rp->word.own.counter;
    m.number2 = rp->word.own.maintained;
    m.maintenance = rp->word.own.maintenance;
    snprintf(m.text, sizeof(m.text), "%s", rp->word.own.why);
    return rp_link_send(rp->link, &m, rp->lanes, NULL) != FT_EFULL;
}

static uint64_t connection(const struct rp_replicator *rp)
{
    return rp_link_stats(rp->link)->connects;
}

void rp_words_turn(struct rp_replicator *rp)
{
    if (atomic_load_explicit(&rp->word.is_given, memory_order_acquire)) {
        rp->word.own = rp->word.given;
        rp->word.known = true;
        rp->word.told = false;
        atomic_store_explicit(&rp->word.is_given, false, memory_order_release);
    }
    if (!rp->link || !rp->core.peer.known || !rp->word.known)
        return;
    if (rp->word.told && rp->word.to == connection(rp))
        return;
    rp->word.to = connection(rp);
    rp->word.told = send_word(rp);
}

void rp_take_word(struct rp_replicator *rp, const struct ft_message *m)
{
    /* The other end of a pair is the other way round. */
    static const uint8_t seen_from_here[FT_MAINTENANCES] = {
        [FT_MAINTENANCE_HOLD] = FT_MAINTENANCE_HOLD,
        [FT_MAINTENANCE_PIN_OWN] = FT_MAINTENANCE_PIN_OTHER,
        [FT_MAINTENANCE_PIN_OTHER] = FT_MAINTENANCE_PIN_OWN,
    };
    struct rp_word *word = &rp->word.peer;

    word->counter = (uint32_t)m->number;
    word->maintained = m->number2;
    word->maintenance = seen_from_here[m->maintenance];
    snprintf(word->why, sizeof(word->why), "%s", m->text);
    rp->word.from = connection(rp);
}

bool rp_peer_told(const struct rp_replicator *rp)
{
    return rp->link && rp->core.peer.known && rp->word.from && rp->word.from == connection(rp);
}
