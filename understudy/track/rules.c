/* SPDX-License-Identifier: Apache-2.0 */
/* By which data ports are whole, and the role moves; see rules.h. */
#include "understudy/track/rules.h"
#include "understudy/base/text.h"

#include <stddef.h>

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

/* A fault of this node's port, or of the peer's (`theirs`), in words behind those that are there. */
static void describe(const struct nd_health *h, unsigned port, bool theirs, enum ft_port_fault fault,
                     char *out)
{
    const struct nd_port_health *p = &h->port[port];
    const char *node = theirs ? h->peer : h->self, *other = theirs ? h->self : h->peer;

    switch (fault) {
    case FT_PORT_NO_CARRIER:
        nd_phrases_add(out, ND_HEALTH_TEXT, "node %s: port %s: %s", node, p->name,
                       theirs && !p->fed ? "no carrier" : nd_health_no_carrier(p));
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

/* What is wrong between the two ports of a number, either of which may report it: it is reported once. */
static bool is_between(enum ft_port_fault fault)
{
    return fault == FT_PORT_CROSSED || fault == FT_PORT_UNHEARD;
}

const char *nd_health_no_carrier(const struct nd_port_health *p)
{
    return p->fed        ? "no keeper is heard"
           : p->replaced ? "its interface was made anew, restart this node"
                         : "no carrier";
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

/* ---- which node is to be primary ------------------------------------------------------------ */

static bool is_over(uint64_t since, uint64_t time, uint64_t now)
{
    return since == 0 || now - since >= time;
}

/* What would move the role if it could: the counters first. */
static enum nd_move find_reason(const struct nd_authority *a)
{
    if (a->held || a->pinned == ND_WANTED_OWN || !a->told)
        return ND_STAY;
    if (a->own != a->other)
        return a->own > a->other ? ND_MOVE_COUNTER : ND_STAY;
    if (a->pinned == ND_WANTED_OTHER)
        return ND_MOVE_PIN;
    return a->preferred == ND_WANTED_OTHER && a->returns ? ND_MOVE_RETURN : ND_STAY;
}

/* Why nothing moves; NULL: nothing wants to. */
static const char *explain_stay(const struct nd_authority *a)
{
    if (a->told && a->own > a->other && a->held)
        return "an operator holds the role where it is";
    if (a->told && a->own > a->other && a->pinned == ND_WANTED_OWN)
        return "an operator has pinned the role to this node";
    if (a->told && a->own < a->other && a->pinned == ND_WANTED_OTHER)
        return "the node that it is pinned to has the higher counter";
    if (a->told && a->own == a->other && a->preferred == ND_WANTED_OTHER && a->pinned == ND_WANTED_ANY &&
        !a->held && !a->returns)
        return "the other node is preferred: understudy failback";
    return NULL;
}

enum nd_move nd_authority_decide(const struct nd_authority *a, const char **why)
{
    static const char *const reasons[] = {[ND_MOVE_COUNTER] = "its counter is lower",
                                          [ND_MOVE_PIN] = "an operator has pinned the role to it",
                                          [ND_MOVE_RETURN] = "it is preferred, and the pair is well"};
    enum nd_move move = find_reason(a);

    *why = move ? reasons[move] : explain_stay(a);
    if (!move)
        return ND_STAY;
    if (!a->serves)
        *why = "the standby is not READY";
    else if (!a->whole)
        *why = "the standby could not carry traffic";
    else if (!is_over(a->moved, a->hold_down_ns, a->now))
        *why = "the role has moved within hold_down_s";
    else if (!is_over(a->tried, ND_RETRY_NS, a->now))
        *why = "the last handover did not happen";
    else if (move == ND_MOVE_COUNTER && (!a->higher_since || !is_over(a->higher_since, a->settle_ns, a->now)))
        *why = "the counters have differed for a moment only";
    else if (move != ND_MOVE_COUNTER && (!a->equal_since || !is_over(a->equal_since, ND_SETTLE_NS, a->now)))
        *why = "the counters have been equal for a moment only";
    else if (move == ND_MOVE_RETURN && !is_over(a->equal_since, a->return_after_ns, a->now))
        *why = "the time of failback is not over";
    else
        return move;
    return ND_STAY;
}

bool nd_tracked_note(struct nd_tracked *t, bool good)
{
    if (good != t->failed) {
        t->streak = 0;
        return false;
    }
    if (++t->streak < (t->failed ? t->rise : t->fall))
        return false;
    t->streak = 0;
    t->failed = !t->failed;
    return true;
}
