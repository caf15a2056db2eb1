/* SPDX-License-Identifier: Apache-2.0 */
/* The rule by which data ports are whole; see health.h. No state. */
#include "node/track/health.h"
#include "node/base/text.h"

#include <stdio.h>
#include <string.h>

_Static_assert(FT_DATAGRAM_PORTS == NF_PORTS_MAX, "a heartbeat has room for every port");

static bool is_fresh(uint64_t came, uint64_t now, uint64_t within, uint64_t awake)
{
    return came && now < (came > awake ? came : awake) + within;
}

void nd_health_judge(struct nd_health *h, uint64_t now, uint64_t within, uint64_t awake)
{
    for (unsigned i = 0; i < h->ports; i++) {
        struct nd_port_health *p = &h->port[i];
        bool smaller = p->mtu && p->mtu < p->peer_mtu;

        p->hears = is_fresh(p->heard, now, within, awake);
        p->fault = FT_PORT_WHOLE;
        if (!p->judged)
            continue;
        if (!p->carrier)
            p->fault = FT_PORT_NO_CARRIER;
        else if (p->hears)
            p->fault = smaller ? FT_PORT_SMALL_MTU : FT_PORT_WHOLE;
        else if (is_fresh(p->crossed, now, within, awake))
            p->fault = FT_PORT_CROSSED;
        else if (h->meets && p->theirs != FT_PORT_NO_CARRIER)
            p->fault = FT_PORT_UNHEARD;
    }
}

const char *nd_health_no_carrier(const struct nd_port_health *p)
{
    return p->replaced ? "its interface was made anew, restart this node" : "no carrier";
}

/* A fault of this node's port, or of the peer's (`theirs`), in words behind those that are there. */
static void describe(const struct nd_health *h, unsigned port, bool theirs, enum ft_port_fault fault,
                     char *out)
{
    const struct nd_port_health *p = &h->port[port];
    const char *node = theirs ? h->peer : h->self, *other = theirs ? h->self : h->peer;

    switch (fault) {
    case FT_PORT_NO_CARRIER:
        nd_phrases_add(out, ND_HEALTH_TEXT, "node %s: port %s: %s", node, p->name,
                       theirs ? "no carrier" : nd_health_no_carrier(p));
        break;
    case FT_PORT_SMALL_MTU:
        nd_phrases_add(out, ND_HEALTH_TEXT, "node %s: port %s: MTU %u, expected %u as node %s has", node,
                       p->name, theirs ? p->peer_mtu : p->mtu, theirs ? p->mtu : p->peer_mtu, other);
        break;
    case FT_PORT_CROSSED:
        if (theirs)
            nd_phrases_add(out, ND_HEALTH_TEXT, "node %s: port %s: hears another port of node %s", node,
                           p->name, other);
        else
            nd_phrases_add(out, ND_HEALTH_TEXT, "node %s: port %s: hears port %s of node %s", node, p->name,
                           h->port[p->peer_port].name, other);
        break;
    case FT_PORT_UNHEARD:
        nd_phrases_add(out, ND_HEALTH_TEXT, "node %s: port %s: does not hear node %s", node, p->name, other);
        break;
    default:
        break;
    }
}

/* What is wrong between the two ports of a number, of which each may speak: it is said once. */
static bool is_between(enum ft_port_fault fault)
{
    return fault == FT_PORT_CROSSED || fault == FT_PORT_UNHEARD;
}

bool nd_health_faults(const struct nd_health *h, char out[ND_HEALTH_TEXT])
{
    out[0] = '\0';
    for (unsigned i = 0; i < h->ports; i++) {
        const struct nd_port_health *p = &h->port[i];

        describe(h, i, false, p->fault, out);
        if (p->fault == FT_PORT_WHOLE || !is_between(p->theirs))
            describe(h, i, true, p->theirs, out);
    }
    return out[0] != '\0';
}

bool nd_health_standby(const struct nd_health *h, bool primary, char out[ND_HEALTH_TEXT])
{
    out[0] = '\0';
    for (unsigned i = 0; i < h->ports; i++) {
        const struct nd_port_health *p = &h->port[i];
        enum ft_port_fault standby = primary ? p->theirs : p->fault, other = primary ? p->fault : p->theirs;

        if (standby && !is_between(standby))
            describe(h, i, primary, standby, out);
        else if (other == FT_PORT_NO_CARRIER || (!primary && !h->told))
            continue; /* nothing can be heard by it, or that may be why nothing is */
        else if (primary && p->deaf && p->fault != FT_PORT_CROSSED && p->theirs != FT_PORT_CROSSED)
            continue;
        else if (is_between(p->fault))
            describe(h, i, false, p->fault, out);
        else if (is_between(p->theirs))
            describe(h, i, true, p->theirs, out);
    }
    return out[0] != '\0';
}
