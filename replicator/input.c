/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from the peer: connections, messages, the end of a connection, its death notice. Each becomes
 * an event of the core, in the order in which it came, after what it brought has been stored.
 */
#include "replicator/parts.h"
#include "ftcore/base/plant.h"

#include <stdio.h>

#ifndef DRAIN_ROUNDS
#define DRAIN_ROUNDS 64u /* reads of up to 1 MiB before the time is looked at again */
#endif

static void store_verdict(struct rp_replicator *rp, const struct ft_message *m)
{
    atomic_fetch_add(&rp->verdict[m->lane].seq, 1); /* odd: being written */
    atomic_store(&rp->verdict[m->lane].burst, m->burst[0]);
    atomic_store(&rp->verdict[m->lane].expected, m->number);
    atomic_store(&rp->verdict[m->lane].got, m->number2);
    atomic_fetch_add(&rp->verdict[m->lane].seq, 1);
}

static void take_message(struct rp_replicator *rp, const struct ft_message *m)
{
    struct ft_event event = {.kind = FT_EV_MESSAGE, .now = rp->now, .message = m};
    struct ft_fault fault;
    uint64_t snapshots = rp->core.snapshots;
    bool stream = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA;
    int error = 0;

    if ((stream || m->type == FT_MSG_SNAPSHOT) && ft_core_accepts(&rp->core, m)) {
        error = stream ? rp_receiver_take(rp, m, &fault) : rp_snapshot_take(rp, m, &fault);
        rp->stored |= stream;
    }
    if (error) {
        event.kind = FT_EV_MALFORMED;
        event.text = fault.text;
    }
    rp_step(rp, &event);
    if (rp->core.snapshots != snapshots)
        rp_receiver_reset(rp, m);
    if (error || !rp->core.peer.known)
        return;
    if (m->type == FT_MSG_VERDICT && ft_core_primary(&rp->core) && m->view == rp->core.view &&
        m->lane < rp->lanes)
        store_verdict(rp, m);
    if (m->type == FT_MSG_DRILL && !atomic_load(&rp->drill_come)) {
        snprintf(rp->drill_got, sizeof(rp->drill_got), "%.31s", m->text);
        atomic_store(&rp->drill_come, true);
    }
}

/*
 * After reading, before acting on what was read: we may have slept since the turn began. A right that has
 * ended meanwhile must not meet news that came later, like the end of the connection. Only when there was
 * something to read: FT_EV_TIME must not be later than a look that found nothing.
 */
static void read_clock(struct rp_replicator *rp)
{
    uint64_t now = rp_monotonic();

    if (now > rp->now && !FT_PLANTED("stale-clock"))
        rp->now = now;
}

static void report_loss(struct rp_replicator *rp)
{
    static const enum ft_lost how[] = {
        [RP_LOST_EOF] = FT_LOST_EOF, [RP_LOST_RESET] = FT_LOST_RESET, [RP_LOST_ERROR] = FT_LOST_ERROR};
    struct ft_event event = {.kind = FT_EV_LOST};
    struct ft_fault fault = {""};
    enum rp_lost lost = rp_link_lost(rp->link, &fault);

    if (rp->stuck && lost == RP_LOST_NONE) {
        rp_link_drop(rp->link);
        lost = RP_LOST_ERROR;
    }
    rp->stuck = false;
    if (lost == RP_LOST_NONE)
        return;
    read_clock(rp);
    event.now = rp->now;
    if (lost == RP_LOST_MALFORMED) {
        event.kind = FT_EV_MALFORMED;
        event.text = fault.text;
    } else {
        event.how = how[lost];
    }
    rp_step(rp, &event);
}

/* A second connection says hello. Is it the peer, and new, or somebody who says again what it once said? */
static void greet_another(struct rp_replicator *rp)
{
    struct ft_message m;
    uint64_t sent;

    if (!rp_link_asks(rp->link, &sent))
        return;
    ft_core_hello(&rp->core, rp->now, &m);
    m.echo = sent; /* and so we prove who we are */
    rp_link_greet(rp->link, &m);
}

bool rp_take_input(struct rp_replicator *rp)
{
    struct ft_event event = {0};
    struct ft_fault fault;
    struct ft_message m;
    bool any = false;
    uint64_t before;

    for (unsigned round = 0; round < DRAIN_ROUNDS; round++) {
        before = rp_link_stats(rp->link)->bytes_in;
        bool fresh = rp_link_poll(rp->link, rp->now);

        if (fresh || rp_link_stats(rp->link)->bytes_in != before)
            read_clock(rp);
        if (fresh) {
            event.kind = FT_EV_CONNECTED;
            event.now = rp->now;
            event.greeted = rp_link_greeted(rp->link);
            rp_step(rp, &event);
            any = true;
        }
        greet_another(rp);
        while (rp_link_next(rp->link, rp->core.peer.known ? rp->lanes : 0, &m, &fault) > 0) {
            take_message(rp, &m);
            any = true;
        }
        report_loss(rp);
        if (rp_link_stats(rp->link)->bytes_in == before)
            break;
    }
    event.kind = FT_EV_DEATH_NOTICE;
    while (rp_link_death_notice(rp->link, &event.word)) {
        read_clock(rp);
        event.now = rp->now;
        rp_step(rp, &event);
        any = true;
    }
    return any;
}
