/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control sockets answer. Runs on the node's main thread, and waits for nobody: a request whose
 * answer is an effect (a digest, a handover) is looked at again and again until the effect is there or its
 * time is over. In between the thread serves other clients.
 */
#include "node/base/clock.h"
#include "node/running.h"

#include <stdio.h>
#include <string.h>

#define HANDOVER_MS 5000
#define REFUSED_MS  200 /* a handover that has not begun by then was refused */
#define PROMOTE_MS  50  /* until it is asked for again: the lease may have to run out first */
#define RESYNC_MS   1000
#define VERIFY_MS   10000

static enum ft_state state_of(struct nd_running *r, struct rp_status *s)
{
    rp_status(r->replicator, s);
    return s->core.state;
}

static bool is_primary(struct nd_running *r, struct rp_status *s)
{
    rp_status(r->replicator, s);
    return ft_core_primary(&s->core);
}

static bool is_over(const struct nd_work *w)
{
    return nd_now() >= w->until;
}

/* The first step is taken; the next ones wait for its effect. Not answered yet: false. */
static bool begin_work(struct nd_work *w, unsigned ms)
{
    w->begun = true;
    w->since = nd_now();
    w->until = w->since + ms * FT_MS;
    return false;
}

/* What made this node primary, where it is: what it has come to since is the status's to tell. */
static json_t *make_done(const struct rp_status *s)
{
    bool took = ft_core_primary(&s->core) && s->core.takeover.view == s->core.view;

    return json_pack("{s:b,s:I,s:s}", "done", 1, "view", (json_int_t)s->core.view, "why",
                     took ? s->core.takeover.why : s->core.why);
}

/* ---- verify ------------------------------------------------------------------------------------ */

/* The bursts that carry the digests asked for, FT_ALL where a lane has taken none yet. Returns the last such
 * lane, or how many lanes there are. */
static unsigned find_asked_bursts(const struct nd_running *r, const struct nd_work *w, uint64_t bursts[])
{
    unsigned lanes = r->config->chain.lanes, without = lanes;

    for (unsigned l = 0; l < lanes; l++) {
        const struct ft_lane *lane = &r->words[l];

        bursts[l] = FT_ALL;
        if (FT_REPORT_GET(lane, digest_seen) >= w->digest[l])
            bursts[l] = FT_REPORT_GET(lane, digest_at);
        else
            without = l;
    }
    return without;
}

/* The standby that was asked is gone, or a snapshot is in place of the record that carries the digest. */
static bool asked_in_vain(struct nd_running *r, struct rp_status *s, uint64_t resyncs)
{
    enum ft_state state = state_of(r, s);

    return (state != FT_PROTECTED && state != FT_DEGRADED) || s->core.resync || s->core.resyncs != resyncs;
}

static json_t *make_verdict(const struct nd_running *r, const struct rp_status *s, const struct rp_verdict *v)
{
    char here[24], there[24];

    snprintf(here, sizeof(here), "%016lx", v->expected);
    snprintf(there, sizeof(there), "%016lx", v->got);
    return json_pack("{s:b,s:{s:s,s:s},s:I}", "equal", v->expected == v->got, "digests",
                     r->config->node[r->self].name, here, s->core.peer.name, there, "at",
                     (json_int_t)v->burst);
}

static bool answer_verify(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    unsigned lanes = r->config->chain.lanes, without;
    struct rp_status s;
    struct rp_verdict verdict;
    uint64_t bursts[FT_LANES_MAX];
    bool in_vain;

    if (!w->begun) {
        if (state_of(r, &s) != FT_PROTECTED)
            return nd_answered(x, nd_refuse("busy", "not protected (%s): there is nothing to compare with",
                                            ft_state_name(s.core.state)));
        for (unsigned l = 0; l < lanes; l++)
            w->digest[l] = atomic_fetch_add(&r->words[l].orders.digest, 1) + 1;
        w->resyncs = s.core.resyncs;
        return begin_work(w, VERIFY_MS);
    }
    in_vain = asked_in_vain(r, &s, w->resyncs); /* looked at first: a digest that differs ends the pair */
    without = find_asked_bursts(r, w, bursts);
    if (rp_verdict_find(&s.verdicts, lanes, bursts, &verdict))
        return nd_answered(x, make_verdict(r, &s, &verdict));
    if (in_vain)
        return nd_answered(x, nd_refuse("busy", "not protected any more: %s", s.core.why));
    if (!is_over(w))
        return false;
    if (without < lanes)
        return nd_answered(x, nd_refuse("busy", "lane %u does not answer", without));
    return nd_answered(x,
                       nd_refuse("input/output", "the standby gave no digest within %d s", VERIFY_MS / 1000));
}

/* ---- the pair ---------------------------------------------------------------------------------- */

/* This node is the one that failback hands over to. */
static bool is_home(const struct nd_running *r)
{
    int prefer = r->config->authority.prefer;

    return prefer < 0 ? r->config->node[r->self].role == ND_ROLE_PRIMARY : (unsigned)prefer == r->self;
}

/* drain, failback: until this node is primary no more, or the handover was aborted, or none came of it. */
static bool answer_handover(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    struct rp_status s;
    bool primary = is_primary(r, &s), idle = s.core.hand == FT_HAND_NONE;
    char faults[ND_HEALTH_TEXT];

    if (!w->begun) {
        if (s.core.state != FT_PROTECTED)
            return nd_answered(x, nd_refuse("busy", "%s: only a PROTECTED primary can hand over",
                                            ft_state_name(s.core.state)));
        if (nd_health_standby(&r->port_watch.health, true, faults))
            return nd_answered(x, nd_refuse("busy", "the standby could not carry traffic: %s", faults));
        if (x->command == ND_CMD_FAILBACK && is_home(r))
            return nd_answered(x, nd_refuse("busy", "node %s is the file's %s already",
                                            r->config->node[r->self].name,
                                            r->config->authority.prefer < 0 ? "primary" : "preferred node"));
        rp_request(r->replicator, FT_REQUEST_HANDOVER);
        return begin_work(w, HANDOVER_MS);
    }
    w->under_way |= !idle;
    if (idle && !primary)
        return nd_answered(x, make_done(&s));
    if (!is_over(w) && !(idle && (w->under_way || nd_now() - w->since > REFUSED_MS * FT_MS)))
        return false;
    return nd_answered(x, nd_refuse("busy", "the handover did not happen: %s",
                                    s.core.hand_outcome[0] ? s.core.hand_outcome : s.core.why));
}

static bool answer_promote(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    struct rp_status s;
    bool primary = is_primary(r, &s);
    bool alone = !s.core.peer.known && (s.core.state == FT_JOINING || s.core.state == FT_FENCED);
    char faults[ND_HEALTH_TEXT];

    if (primary)
        return nd_answered(
            x, w->begun ? make_done(&s)
                        : nd_refuse("busy", "node %s is primary already", r->config->node[r->self].name));
    if (!w->begun && s.core.state != FT_READY && !alone)
        return nd_answered(
            x, nd_refuse("busy",
                         "%s: only a READY standby, or a JOINING or FENCED node that meets nobody, can be "
                         "promoted",
                         ft_state_name(s.core.state)));
    /* From a primary that answers. Without one, a node that carries less is better than none. */
    if (!w->begun && s.core.peer.known && nd_health_standby(&r->port_watch.health, false, faults))
        return nd_answered(x, nd_refuse("busy", "this node could not carry traffic: %s", faults));
    if (!w->begun)
        begin_work(w, HANDOVER_MS);
    else if (is_over(w))
        return nd_answered(x, nd_refuse("busy", "not promoted: %s", s.core.why));
    else if (nd_now() - w->since < PROMOTE_MS * FT_MS)
        return false;
    w->since = nd_now();
    rp_request(r->replicator, FT_REQUEST_PROMOTE);
    return false;
}

/* Answered when it has begun. */
static bool answer_resync(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    struct rp_status s;
    bool primary = is_primary(r, &s);

    if (!w->begun) {
        if (!primary || !s.core.peer.known)
            return nd_answered(x, nd_refuse("busy", "%s: only a primary with a connected peer can resync it",
                                            ft_state_name(s.core.state)));
        w->resyncs = s.core.resyncs + s.core.resyncs_failed;
        rp_request(r->replicator, FT_REQUEST_RESYNC);
        return begin_work(w, RESYNC_MS);
    }
    if (s.core.resync || s.core.resyncs + s.core.resyncs_failed != w->resyncs)
        return nd_answered(x, json_pack("{s:b}", "done", 1));
    return is_over(w) && nd_answered(x, nd_refuse("busy", "the resync has not begun: %s", s.core.why));
}

static bool answer_drill(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const char *kind = json_string_value(json_object_get(x->request, "kind"));
    struct rp_status s;

    (void)w;
    state_of(r, &s);
    if (!kind || (strcmp(kind, "kill") != 0 && strcmp(kind, "hang") != 0))
        return nd_answered(x, nd_refuse("invalid", "drill kind: expected kill or hang"));
    if (!s.core.peer.known)
        return nd_answered(x, nd_refuse("busy", "no peer to pass the drill on to"));
    rp_drill(r->replicator, kind);
    return nd_answered(x, json_pack("{s:b}", "done", 1));
}

static bool answer_status(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    (void)w;
    return nd_answered(x, nd_answer_status(r, x->request));
}

static bool answer_watch(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    (void)w;
    return nd_answered(x, nd_answer_watch(r, x->request));
}

static bool (*const steps[ND_COMMANDS])(struct nd_running *, struct nd_exchange *, struct nd_work *) = {
    [ND_CMD_STATUS] = answer_status,        [ND_CMD_WATCH] = answer_watch,
    [ND_CMD_SHOW] = nd_answer_show,         [ND_CMD_VERIFY] = answer_verify,
    [ND_CMD_SET] = nd_answer_change,        [ND_CMD_CLEAR] = nd_answer_change,
    [ND_CMD_PROMOTE] = answer_promote,      [ND_CMD_DRAIN] = answer_handover,
    [ND_CMD_FAILBACK] = answer_handover,    [ND_CMD_RESYNC] = answer_resync,
    [ND_CMD_DRILL] = answer_drill,          [ND_CMD_TRACE] = nd_answer_trace,
    [ND_CMD_PIN] = nd_answer_maintenance,   [ND_CMD_HOLD] = nd_answer_maintenance,
    [ND_CMD_UNPIN] = nd_answer_maintenance, [ND_CMD_APPLY] = nd_answer_apply,
    [ND_CMD_PUSH] = nd_answer_push,
};

bool nd_answer(void *running, struct nd_exchange *x)
{
    struct nd_running *r = running;
    struct nd_work *w = &r->work[x->command == ND_CMD_TRACE     ? ND_TRACING
                                 : nd_commands[x->command].acts ? ND_ACTING
                                 : x->looks                     ? ND_LOOKING
                                                                : ND_SHOWING];

    if (x->command == ND_CMD_STATUS || x->command == ND_CMD_WATCH)
        return steps[x->command](r, x, NULL); /* at once, whatever else is at work */
    if (w->of && (w->of->command == ND_CMD_APPLY || w->of->command == ND_CMD_PUSH) && w->of != x)
        return nd_answered(x, nd_refuse("busy", "apply is under way")); /* it may take most of a minute */
    if (w->of && w->of != x)
        return x->command == ND_CMD_TRACE && nd_answered(x, nd_refuse("busy", "a trace is under way"));
    w->of = x;
    x->begun = true;
    if (!steps[x->command](r, x, w))
        return false;
    *w = (struct nd_work){.of = NULL};
    return true;
}
