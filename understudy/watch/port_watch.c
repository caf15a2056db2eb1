/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks after the data ports of a running node. By the rule of understudy/track/rules.h it reports whether
 * they are whole: to the peer, in heartbeats; to status; to the log, once for each change. See port_watch.h.
 */
#include "understudy/watch/port_watch.h"
#include "understudy/config/peer.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/clock.h"
#include "understudy/base/interface.h"
#include "understudy/ports/fed.h"

#include <string.h>

#define LOOK_NS    50000000ull    /* between two looks at interfaces */
#define COUNT_NS   250000000ull   /* between two looks at their counters */
#define LATE_NS    500000000ull   /* between two turns: this thread was held up, and lanes may have been */
#define HEARD_NS   1000000000ull  /* a port without a heartbeat for so long, or detect_ms, is not heard */
#define SILENCE_NS 10000000000ull /* without any keeper, until that is logged */
#define STANDS_NS  250000000ull   /* faults that have been the same for so long are logged */

/* Drivers whose frames come from nowhere, or from a file: no heartbeat passes between two nodes. */
static bool leads_to_a_network(const char *devargs)
{
    return strncmp(devargs, "net_null", 8) != 0 && strncmp(devargs, "net_ring", 8) != 0 &&
           (strncmp(devargs, "net_pcap", 8) != 0 || strstr(devargs, "iface="));
}

void nd_port_watch_name(struct nd_port_watch *watch)
{
    const struct nd_config *c = watch->config;
    struct nd_health *h = &watch->health;

    *h = (struct nd_health){.self = c->node[watch->self].name, .ports = nd_interfaces(c)};
    for (unsigned i = 0; i < h->ports; i++) {
        watch->device[i] = nd_port_number(c, i);
        h->port[i].name = nd_interface_name(c, i);
        h->port[i].judged = leads_to_a_network(c->node[watch->self].port[watch->device[i]]);
    }
    watch->look_at = 0;
}

void nd_port_watch_begin(struct nd_port_watch *watch)
{
    nd_port_watch_name(watch);
    for (unsigned d = 0; d < watch->config->ports; d++) {
        struct nd_interface_now kernel;

        if (nd_interface_ask(watch->config->node[watch->self].port[d], true, &kernel)) {
            watch->frames[d].index = kernel.index;
            watch->frames[d].sent = kernel.sent;
        }
    }
}

/* ---- interfaces --------------------------------------------------------------------------------- */

/*
 * A driver of kernel interfaces reports that a frame has left when the kernel has it, which drops what is too
 * long for the MTU, and all that is sent while the link is down. So what the interface has sent is compared
 * with what the driver took. The driver is asked first: a frame between both questions is not counted as
 * lost.
 */
static void count_frames(struct nd_port_watch *watch, unsigned device, const struct rte_eth_stats *driver,
                         const struct nd_interface_now *kernel)
{
    uint64_t taken = driver->opackets + driver->oerrors, lost = driver->oerrors;

    if (kernel) {
        lost = kernel->sent - watch->frames[device].sent;
        lost = taken > lost ? taken - lost : 0;
    }
    if (lost > watch->frames[device].tx_lost)
        watch->frames[device].tx_lost = lost;
    watch->frames[device].rx_missed = driver->imissed + driver->ierrors + driver->rx_nombuf;
}

static void look_at_port(struct nd_port_watch *watch, unsigned port, bool counts)
{
    struct nd_port_health *health = &watch->health.port[port];
    unsigned device = watch->device[port];
    uint16_t id = watch->ports->deal.device[device].id, mtu = 0;
    struct rte_eth_stats driver = {0};
    struct rte_eth_link link = {0};
    struct nd_interface_now kernel;
    bool asked;

    health->fed = watch->ports->fed != NULL;
    if (health->fed) { /* the keeper has the ports */
        health->carrier = nd_fed_is_heard(watch->ports, ft_now());
        return;
    }
    if (counts)
        rte_eth_stats_get(id, &driver);
    asked = nd_interface_ask(watch->config->node[watch->self].port[device], counts, &kernel);
    if (asked) {
        health->replaced = kernel.index && kernel.index != watch->frames[device].index;
        health->carrier = kernel.carrier && !health->replaced;
        health->mtu = kernel.mtu;
    } else {
        /* A driver that does not know its link is believed to have one. */
        health->carrier = rte_eth_link_get_nowait(id, &link) != 0 || link.link_status;
        health->mtu = rte_eth_dev_get_mtu(id, &mtu) == 0 ? mtu : 0;
    }
    if (counts)
        count_frames(watch, device, &driver, asked ? &kernel : NULL);
    atomic_store(&watch->told.mtu[port], health->mtu);
}

/* Carrier often: what depends on it must not wait. Counters, which may cost a driver more, less so. */
static void look_at_ports(struct nd_port_watch *watch, uint64_t now)
{
    bool counts = now >= watch->count_at;

    if (now < watch->look_at)
        return;
    for (unsigned i = 0; i < watch->health.ports; i++)
        look_at_port(watch, i, counts);
    watch->look_at = now + LOOK_NS;
    if (counts)
        watch->count_at = now + COUNT_NS;
}

/* ---- heartbeats --------------------------------------------------------------------------------- */

/* The newest of the peer's process, by whichever lane it was received. NULL: there is none. */
static const struct nd_port_heard *newest(const struct nd_port_watch *watch, uint64_t incarnation,
                                          unsigned port, bool crossed)
{
    const struct nd_port_heard *best = NULL;

    for (unsigned l = 0; l < watch->config->chain.lanes; l++) {
        const struct nd_port_heard *heard = &watch->lanes[l].heard[port][crossed];

        if (atomic_load(&heard->came) && atomic_load(&heard->from) == incarnation &&
            (!best || atomic_load(&heard->sent) > atomic_load(&best->sent)))
            best = heard;
    }
    return best;
}

/* What was heard by each port, and what the newest of it reports of the peer's. */
static void gather_received(struct nd_port_watch *watch, uint64_t incarnation, uint64_t now, uint64_t within)
{
    struct nd_health *h = &watch->health;
    uint64_t faults, came, awake = watch->awake;
    const struct nd_port_heard *last = NULL;

    for (unsigned i = 0; i < h->ports; i++) {
        const struct nd_port_heard *right = newest(watch, incarnation, i, false),
                                   *crossed = newest(watch, incarnation, i, true);
        const struct nd_port_heard *both[] = {right, crossed};

        h->port[i].heard = right ? atomic_load(&right->came) : 0;
        h->port[i].peer_mtu = right ? atomic_load(&right->mtu) : 0;
        h->port[i].crossed = crossed ? atomic_load(&crossed->came) : 0;
        h->port[i].peer_port = crossed ? atomic_load(&crossed->port) : 0;
        for (unsigned k = 0; k < 2; k++)
            if (both[k] && (!last || atomic_load(&both[k]->sent) > atomic_load(&last->sent)))
                last = both[k];
    }
    came = last ? atomic_load(&last->came) : 0;
    h->told = last && now < (came > awake ? came : awake) + within;
    faults = h->told ? atomic_load(&last->faults) : 0;
    for (unsigned i = 0; i < h->ports; i++)
        h->port[i].theirs = (enum ft_port_fault)(faults >> 8 * i & 0xff);
}

/* ---- the log ------------------------------------------------------------------------------------- */

/* Of a pair that would be protected: else more is amiss than its ports, and the log has that. Only what lasts
 * is logged: the nodes find a fault of both, or its end, one after the other. */
static void log_faults(struct nd_port_watch *watch, enum ft_state state, uint64_t now)
{
    if ((state != FT_PROTECTED && state != FT_READY) || now < watch->changed + STANDS_NS ||
        strcmp(watch->faults, watch->logged) == 0)
        return;
    memcpy(watch->logged, watch->faults, sizeof(watch->logged));
    if (watch->faults[0])
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_PORT, "data ports are not whole: %s", watch->faults);
    else
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_PORT, "data ports are whole again");
}

/* No keeper has been heard for SILENCE_NS. The counts of what has come and was not taken show where to
 * look. */
static void log_silence(struct nd_port_watch *watch, const struct nd_fed_counts *fed, uint64_t now)
{
    const struct nd_node *k = watch->config->keeper;

    if (fed->heard || !watch->silent)
        watch->silent = now;
    if (fed->heard)
        watch->silence_told = false;
    if (watch->silence_told || now - watch->silent < SILENCE_NS)
        return;
    watch->silence_told = true;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_PORT,
                 "no keeper is heard (%s at %s:%u%s); %lu datagrams came from elsewhere, or without a key of "
                 "%s",
                 k->name, k->inputs_host, k->inputs_port, watch->config->keepers > 1 ? ", and another" : "",
                 fed->strangers, watch->config->link.key);
}

/* Which keepers are heard; of two, which one is active, by whom this node is fed. */
static void log_keepers(struct nd_port_watch *watch, uint64_t now)
{
    const struct nd_config *c = watch->config;
    struct nd_fed_counts fed;

    if (!c->keepers)
        return;
    nd_fed_counts(watch->ports, &fed);
    log_silence(watch, &fed, now);
    if (fed.active >= 0 && fed.keeper_view != watch->keeper_view) {
        watch->keeper_view = fed.keeper_view;
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_PORT, "keeper %s is active, keeper view %lu",
                     c->keeper[fed.active].name, fed.keeper_view);
    }
    for (unsigned k = 0; k < c->keepers; k++) {
        if (!((fed.heard ^ watch->keepers) & 1u << k))
            continue;
        if (fed.heard & 1u << k)
            ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_PORT, "keeper %s is heard", c->keeper[k].name);
        else
            ft_log_event(FT_LEVEL_WARNING, FT_SAYS_PORT, "keeper %s is not heard any more",
                         c->keeper[k].name);
    }
    watch->keepers = fed.heard;
}

void nd_port_watch_turn(struct nd_port_watch *watch, const struct rp_status *s)
{
    struct nd_health *h = &watch->health;
    char before[ND_HEALTH_TEXT];
    uint64_t now = ft_now(), within = watch->config->timing.detect_ms * FT_MS;

    within = within > HEARD_NS ? within : HEARD_NS;
    if (now - watch->turn > LATE_NS)
        watch->awake = now;
    watch->turn = now;
    look_at_ports(watch, now);
    h->peer = nd_peer_name(watch->config, watch->self); /* a re-pair has made it another one */
    gather_received(watch, s->core.peer.incarnation, now, within);
    h->meets = watch->config->protect.pair && s->core.peer.known && s->link_up;
    nd_health_judge(h, now, within, watch->awake);
    memcpy(before, watch->faults, sizeof(before));
    nd_health_faults(h, watch->faults);
    if (strcmp(before, watch->faults) != 0)
        watch->changed = now;
    for (unsigned i = 0; i < h->ports; i++)
        atomic_store(&watch->told.fault[i], (uint8_t)h->port[i].fault);
    log_faults(watch, s->core.state, now);
    log_keepers(watch, now);
}
