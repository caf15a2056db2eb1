/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control sockets answer. Runs on the node's main thread, and waits for nobody: a request whose
 * answer is an effect (a digest, a handover) is looked at again and again until the effect is there or its
 * time is over. In between the thread serves other clients. Status is status.c's, a trace is trace.c's, and a
 * change of the chain understudy/change's.
 */
#include "understudy/node/running.h"
#include "understudy/control/commands.h"
#include "understudy/config/peer.h"
#include "ftcore/base/clock.h"
#include "understudy/base/event_writer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDOVER_MS   5000
#define REFUSED_MS    200 /* a handover that has not begun by then was refused */
#define PROMOTE_MS    50  /* until it is asked for again: the lease may have to run out first */
#define REPAIR_MS     30000
#define HELLO_MS      3000 /* a node that waits sends a hello to each other one several times in that */
#define UNPROVEN_MANY 3u   /* handshakes with the new peer that were refused: its key is another one */
#define RESYNC_MS     1000
#define VERIFY_MS     10000
#define LANE_MS       2000
#define LANE_SHIFT    56 /* of a cursor: the lane is above it, the lane's own cursor below */
#define CURSOR_MASK   ((1ull << LANE_SHIFT) - 1)
#define EVENTS        64u           /* of an answer, at most */
#define AGAIN_NS      5000000000ull /* until what was not confirmed is taken back once more, where that failed */
#define KNOWN_MS      1000          /* within which a peer that is connected has heard of an order */

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
    return ft_now() >= w->until;
}

/* The first step is taken; the next ones wait for its effect. Not answered yet: false. */
static bool begin_work(struct nd_work *w, unsigned ms)
{
    w->begun = true;
    w->since = ft_now();
    w->until = w->since + ms * FT_MS;
    return false;
}

/* What made this node primary, where it is: the status shows what it has become since. */
static json_t *make_done(const struct nd_running *r, const struct rp_status *s)
{
    bool took = ft_core_primary(&s->core) && s->core.takeover.view == s->core.view;

    return json_pack("{s:b,s:I,s:s,s:s}", "done", 1, "view", (json_int_t)s->core.view, "why",
                     took ? s->core.takeover.why : s->core.why, "peer", nd_peer_name(r->config, r->self));
}

/* ---- verify ------------------------------------------------------------------------------------ */

/* The bursts that carry the digests asked for, FT_ALL where a lane has taken none yet. Returns the last such
 * lane, or how many lanes there are. */
static unsigned find_asked_bursts(const struct nd_running *r, const struct nd_work *w, uint64_t bursts[])
{
    unsigned lanes = r->config->chain.lanes, without = lanes;

    for (unsigned l = 0; l < lanes; l++) {
        const struct ft_lane_shared *lane = &r->shared[l];

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
        if (state_of(r, &s) == FT_READY)
            return nd_refused(x, "busy", "this node is the standby: ask node %s, which compares",
                              nd_peer_name(r->config, r->self));
        if (s.core.state != FT_PROTECTED)
            return nd_refused(x, "busy", "not protected (%s): there is nothing to compare with",
                              ft_state_name(s.core.state));
        for (unsigned l = 0; l < lanes; l++)
            w->digest[l] = atomic_fetch_add(&r->shared[l].orders.digest, 1) + 1;
        w->resyncs = s.core.resyncs;
        return begin_work(w, VERIFY_MS);
    }
    in_vain = asked_in_vain(r, &s, w->resyncs); /* looked at first: a digest that differs ends the pair */
    without = find_asked_bursts(r, w, bursts);
    if (rp_verdict_find(&s.verdicts, lanes, bursts, &verdict))
        return nd_answered(x, make_verdict(r, &s, &verdict));
    if (in_vain)
        return nd_refused(x, "busy", "not protected any more: %s", s.core.why);
    if (!is_over(w))
        return false;
    if (without < lanes)
        return nd_refused(x, "busy", "lane %u does not answer", without);
    return nd_refused(x, "input/output", "the standby gave no digest within %d s", VERIFY_MS / 1000);
}

/* ---- the pair ---------------------------------------------------------------------------------- */

/* This node is the one that failback hands over to, or that one is no member. */
static bool is_home(const struct nd_running *r)
{
    int prefer = r->config->authority.prefer;

    return prefer < 0 ? r->config->node[r->self].role == ND_ROLE_PRIMARY
                      : &r->config->node[prefer] != nd_peer_node(r->config, r->self);
}

/* drain, failback: until this node is primary no more, or the handover was aborted, or none came of it. */
static bool answer_handover(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    struct rp_status s;
    bool primary = is_primary(r, &s), idle = s.core.hand == FT_HAND_NONE;
    char faults[ND_HEALTH_TEXT];

    if (!w->begun) {
        if (s.core.state != FT_PROTECTED)
            return nd_refused(x, "busy", "%s: only a PROTECTED primary can hand over",
                              ft_state_name(s.core.state));
        if (nd_health_standby(&r->port_watch.health, true, faults))
            return nd_refused(x, "busy", "the standby could not carry traffic: %s", faults);
        if (x->command == ND_CMD_FAILBACK && is_home(r))
            return nd_refused(x, "busy", "node %s is the file's %s already", r->config->node[r->self].name,
                              r->config->authority.prefer < 0 ? "primary" : "preferred node");
        rp_request(r->replicator, FT_REQUEST_HANDOVER);
        return begin_work(w, HANDOVER_MS);
    }
    w->under_way |= !idle;
    if (idle && !primary)
        return nd_answered(x, make_done(r, &s));
    if (!is_over(w) && !(idle && (w->under_way || ft_now() - w->since > REFUSED_MS * FT_MS)))
        return false;
    return nd_refused(x, "busy", "the handover did not happen: %s",
                      s.core.hand_outcome[0] ? s.core.hand_outcome : s.core.why);
}

static bool answer_promote(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    struct rp_status s;
    bool primary = is_primary(r, &s);
    bool alone = !s.core.peer.known && (s.core.state == FT_JOINING || s.core.state == FT_FENCED);
    char faults[ND_HEALTH_TEXT];

    if (primary)
        return nd_answered(
            x, w->begun ? make_done(r, &s)
                        : nd_refuse("busy", "node %s is primary already", r->config->node[r->self].name));
    if (!w->begun && s.core.state != FT_READY && !alone)
        return nd_refused(x, "busy",
                          "%s: only a READY standby, or a JOINING or FENCED node that meets nobody, can be "
                          "promoted",
                          ft_state_name(s.core.state));
    /* From a primary that answers. Without one, a node that carries less is better than none. */
    if (!w->begun && s.core.peer.known && nd_health_standby(&r->port_watch.health, false, faults))
        return nd_refused(x, "busy", "this node could not carry traffic: %s", faults);
    if (!w->begun)
        begin_work(w, HANDOVER_MS);
    else if (is_over(w))
        return nd_refused(x, "busy", "not promoted: %s", s.core.why);
    else if (ft_now() - w->since < PROMOTE_MS * FT_MS)
        return false;
    w->since = ft_now();
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
            return nd_refused(x, "busy", "%s: only a primary with a connected peer can resync it",
                              ft_state_name(s.core.state));
        w->resyncs = s.core.resyncs + s.core.resyncs_failed;
        rp_request(r->replicator, FT_REQUEST_RESYNC);
        return begin_work(w, RESYNC_MS);
    }
    if (s.core.resync || s.core.resyncs + s.core.resyncs_failed != w->resyncs)
        return nd_answered(x, make_done(r, &s));
    return is_over(w) && nd_refused(x, "busy", "the resync has not begun: %s", s.core.why);
}

/* Another node's, and no other text. */
static bool is_other(const struct nd_running *r, const char *name)
{
    return name && ft_is_name(name, FT_NAME_MAX) && strcmp(name, r->config->node[r->self].name) != 0;
}

/* The node that is to be the standby, and the one that is lost, as the request names them. 0, or refused. */
static int read_repair(const struct nd_running *r, const json_t *request, struct rp_repair *out,
                       char why[ND_HEALTH_TEXT])
{
    const char *name = json_string_value(json_object_get(request, "node")),
               *host = json_string_value(json_object_get(request, "host")),
               *lost = json_string_value(json_object_get(request, "lost"));
    const char *second = json_string_value(json_object_get(request, "second_host"));
    json_int_t port = json_integer_value(json_object_get(request, "port")),
               second_port = json_integer_value(json_object_get(request, "second_port"));
    struct in_addr at;

    *out = (struct rp_repair){.node.port = (uint16_t)port};
    if (!is_other(r, name))
        return snprintf(why, ND_HEALTH_TEXT, "node: expected the name of another node");
    if (json_object_get(request, "lost") && !is_other(r, lost))
        return snprintf(why, ND_HEALTH_TEXT, "lost: expected the name of another node");
    if (!host || strlen(host) >= sizeof(out->node.host) || inet_pton(AF_INET, host, &at) != 1 || port < 1 ||
        port > UINT16_MAX)
        return snprintf(why, ND_HEALTH_TEXT,
                        "host and port: expected where node %s is reached, a numeric IPv4 address and a port",
                        name);
    snprintf(out->node.name, sizeof(out->node.name), "%s", name);
    snprintf(out->node.host, sizeof(out->node.host), "%s", host);
    if (second && strlen(second) < sizeof(out->node.second_host) && inet_pton(AF_INET, second, &at) == 1 &&
        second_port > 0 && second_port <= UINT16_MAX) {
        snprintf(out->node.second_host, sizeof(out->node.second_host), "%s", second);
        out->node.second_port = (uint16_t)second_port;
    }
    snprintf(out->lost, sizeof(out->lost), "%s", lost ? lost : "");
    return 0;
}

static const char no_arbiter[] = "the arbiter does not answer, which has to keep the view that begins";

/* Why no other standby can be had now; NULL: it can. */
static const char *refuse_repair(struct nd_running *r, const struct rp_status *s, const struct nd_exchange *x,
                                 const struct rp_repair *repair)
{
    const json_t *view = json_object_get(x->request, "view");
    const char *why =
        ft_core_refuses_repair(&s->core, repair->node.name, repair->lost[0] ? repair->lost : NULL);
    struct nd_arbiter_status arbiter;

    if (ft_core_primary(&s->core) && json_is_integer(view) &&
        (uint64_t)json_integer_value(view) != s->core.view)
        return "the pair is in another view than the command expects";
    if (why || !r->arbiter)
        return why;
    nd_arbiter_status(r->arbiter, &arbiter);
    return arbiter.answers ? NULL : no_arbiter;
}

/*
 * Whether a re-pair may begin: what is known is of after it was asked for. The arbiter answers, and, where
 * there is a standby to give up, the other node has sent a hello, and can take its place. *why: it may not,
 * and will not.
 */
static bool may_begin(struct nd_running *r, const struct rp_status *s, const struct nd_work *w,
                      const char *name, char why[ND_HEALTH_TEXT])
{
    const struct ft_visitor *v = &s->core.visitor;
    bool said = strncmp(v->name, name, FT_NAME_MAX) == 0 && v->at >= w->since;
    struct nd_arbiter_status arbiter = {.answers = true, .answered = UINT64_MAX};

    if (r->arbiter)
        nd_arbiter_status(r->arbiter, &arbiter);
    if (!arbiter.answers)
        return snprintf(why, ND_HEALTH_TEXT, "%s", no_arbiter);
    if (arbiter.answered < w->since)
        return false;
    if (!s->core.peer.known || ft_members_have(&s->core.members, name))
        return true;
    if (said && v->differs[0])
        return snprintf(why, ND_HEALTH_TEXT, "it differs: %.150s", v->differs);
    if (!said && ft_now() - w->since > HELLO_MS * FT_MS)
        return snprintf(why, ND_HEALTH_TEXT,
                        "it says no hello here: it does not run, is not reached, or has another key");
    return said;
}

/* Why a node that is this one's peer is not ready yet. *final: time changes nothing in that. */
static const char *why_not_ready(const struct nd_running *r, const struct rp_status *s,
                                 const struct nd_work *w, bool *final)
{
    bool unheard = r->config->protect.strict && !s->core.peer.known && s->core.right != FT_RIGHT_NONE;

    *final = s->core.refused || (!s->core.peer.known && s->link.unproven >= UNPROVEN_MANY);
    if (s->core.refused)
        return s->core.differs;
    if (s->core.peer.known)
        return s->core.why;
    if (unheard && ft_now() - w->since > HELLO_MS * FT_MS) {
        *final = true;
        return "it does not say that it has given up its state; if it is dead or its disk is new, say so "
               "with --lost";
    }
    return s->link.unproven ? "its connections do not prove that they are its own"
                            : "there is no connection to it";
}

/* Answered when the pair is protected again; and when that takes long, with why it is not. */
static bool answer_repair(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    char wrong[ND_HEALTH_TEXT];
    struct rp_status s;
    struct rp_repair repair;
    const char *name = repair.node.name, *why;
    bool final;

    state_of(r, &s);
    if (read_repair(r, x->request, &repair, wrong) != 0)
        return nd_refused(x, "invalid", "%s", wrong);
    bool is_protected = s.core.state == FT_PROTECTED;
    bool pair = ft_core_primary(&s.core) && !s.core.repair.step && ft_members_have(&s.core.members, name);

    if (!w->begun && pair && is_protected)
        return nd_answered(x, make_done(r, &s));
    if (!w->under_way) {
        wrong[0] = '\0';
        if (w->begun && !may_begin(r, &s, w, name, wrong))
            return false;
        /* A member may be reached at another place by now; and a new machine may have the lost one's name. */
        why = wrong[0] ? wrong : pair && !repair.lost[0] ? NULL : refuse_repair(r, &s, x, &repair);
        if (!why && w->begun &&
            !rp_repair(r->replicator, &repair)) { /* it takes the one before in a moment */
            if (!is_over(w))
                return false;
            why = "another one is asked for";
        }
        if (why)
            return nd_refused(x, "busy", "no re-pair with node %s (%s, view %lu): %s", name,
                              ft_state_name(s.core.state), s.core.view, why);
        w->under_way = w->begun;
        w->repairs = s.repairs;
        if (w->begun)
            return false;
        begin_work(w, REPAIR_MS);
        nd_arbiter_wake(r->arbiter);
        repair.meets = true; /* the file need not have it */
        rp_repair(r->replicator, &repair);
        return false;
    }
    if (pair && is_protected)
        return nd_answered(x, make_done(r, &s));
    if (!pair && !s.core.repair.step && s.repairs != w->repairs)
        return nd_refused(x, "busy", "no re-pair with node %s: %s", name,
                          s.core.repair.outcome[0] ? s.core.repair.outcome : s.core.why);
    if (!pair)
        return is_over(w) &&
               nd_refused(x, "busy", "no re-pair with node %s yet: %s", name, s.core.repair.outcome);
    w->only_waits = true;
    why = why_not_ready(r, &s, w, &final);
    return (final || is_over(w)) &&
           nd_refused(x, "busy", "view %lu has begun with node %s, which is not ready yet: %s", s.core.view,
                      name, why);
}

static bool answer_drill(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const char *kind = json_string_value(json_object_get(x->request, "kind"));
    struct rp_status s;

    (void)w;
    state_of(r, &s);
    if (!kind || (strcmp(kind, "kill") != 0 && strcmp(kind, "hang") != 0))
        return nd_refused(x, "invalid", "drill kind: expected kill or hang");
    if (!s.core.peer.known)
        return nd_refused(x, "busy", "no peer to pass the drill on to");
    rp_drill(r->replicator, kind);
    return nd_answered(x, json_pack("{s:b}", "done", 1));
}

/* ---- orders ------------------------------------------------------------------------------------ */

/* Which order is asked for. False: no such node. */
static bool find_order(const struct nd_running *r, const struct nd_exchange *x, enum ft_maintenance *what)
{
    const char *name = json_string_value(json_object_get(x->request, "node"));
    int node = name ? nd_config_node(r->config, name) : -1;
    bool member = node == (int)r->self || (name && strcmp(name, nd_peer_name(r->config, r->self)) == 0);

    *what = x->command == ND_CMD_HOLD    ? FT_MAINTENANCE_HOLD
            : x->command == ND_CMD_UNPIN ? FT_MAINTENANCE_NONE
            : node == (int)r->self       ? FT_MAINTENANCE_PIN_OWN
                                         : FT_MAINTENANCE_PIN_OTHER;
    return x->command != ND_CMD_PIN || member;
}

static bool answer_maintenance(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    enum ft_maintenance what;
    struct rp_status s;
    char text[64];

    rp_status(r->replicator, &s);
    if (!w->begun) {
        if (!find_order(r, x, &what))
            return nd_refused(x, "invalid", "pin node: expected %s or %s", r->config->node[r->self].name,
                              nd_peer_name(r->config, r->self));
        if (nd_standing_order(&r->standing, what))
            return nd_refused(x, "busy", "an order of the far future is known: restart both nodes");
        w->begun = true;
        w->until = ft_now() + KNOWN_MS * FT_MS;
        return false;
    }
    if (!nd_standing_known(&r->standing, &s) && s.core.peer.known && ft_now() < w->until)
        return false;
    return nd_answered(x, json_pack("{s:b,s:s,s:b}", "done", 1, "role", nd_standing_text(&r->standing, text),
                                    "peer_knows", nd_standing_known(&r->standing, &s)));
}

/* ---- what lanes answer: show, set and clear ------------------------------------------------------ */

/*
 * The main thread has one question for all lanes (struct nd_question). Each step puts it to a lane or looks
 * whether the lane has answered; a lane that stands costs the asker LANE_MS, and nobody else anything.
 */

static const char *text_of(const json_t *request, const char *key)
{
    return json_string_value(json_object_get(request, key));
}

/* The question is free, and w's turn has come. False: not yet, or w's time is over and `x` has its answer. */
static bool may_ask(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const struct nd_question *q = &r->answers.question;
    bool is_free = atomic_load_explicit(&q->asked, memory_order_acquire) == ND_ASK_NONE;
    uint64_t now = ft_now();

    w->wants_lanes = true;
    if (!w->until)
        w->until = now + LANE_MS * FT_MS;
    for (struct nd_work *other = r->answers.work; other < r->answers.work + ND_WORKING; other++)
        is_free &= !other->asked && !(other < w && other->wants_lanes);
    if (!is_free && now > w->until)
        nd_refused(x, "busy", "lane %u is still at an earlier question", q->lane);
    return is_free;
}

static void ask_lane(struct nd_running *r, struct nd_work *w, unsigned lane, enum nd_ask_kind kind)
{
    struct nd_question *q = &r->answers.question;

    q->lane = lane;
    q->fault.text[0] = '\0';
    atomic_store_explicit(&q->asked, (int)kind, memory_order_release);
    w->asked = true;
    w->late = false;
    w->until = ft_now() + LANE_MS * FT_MS;
}

/* The lane has answered, or its time is over, or it refuses: then `x` has its answer. False: not yet. */
static bool has_answered(struct nd_running *r, struct nd_exchange *x, struct nd_work *w,
                         enum nd_ask_kind kind)
{
    struct nd_question *q = &r->answers.question;
    uint64_t now = ft_now();
    int expected = (int)kind;

    if (atomic_load_explicit(&q->asked, memory_order_acquire) == ND_ASK_NONE) {
        /* A clear of one entry goes on past the lanes that have no such entry: it is done when one lane had
         * it. */
        if (q->error && !(q->error == FT_ENOENT && x->command == ND_CMD_CLEAR && text_of(x->request, "key")))
            nd_refused(x, ft_error_name(q->error), "%s", q->fault.text);
    } else if (now <= w->until) {
        return false;
    } else if (atomic_compare_exchange_strong(&q->asked, &expected, ND_ASK_NONE)) {
        nd_refused(x, "busy", "lane %u does not answer", q->lane);
    } else if (!w->late) { /* it is at it just now, or was */
        w->late = true;
        w->until = now + LANE_MS * FT_MS;
        return false;
    } else {
        nd_refused(x, "busy", "lane %u takes long to answer", q->lane);
    }
    w->asked = false;
    return true;
}

/* ---- show -------------------------------------------------------------------------------------- */

/* Of the lane, by which the times in its rows are. */
static uint64_t chain_time(const struct nd_running *r, unsigned lane)
{
    const struct nd_lane *l = &r->lanes[lane];

    if (ft_order_kind(FT_REPORT_GET(&r->shared[lane], done)) < FT_LANE_FRESH) /* that of its last burst */
        return __atomic_load_n(&nf_chain_state(l->chain)->time, __ATOMIC_RELAXED);
    return ft_now() + __atomic_load_n(&l->time_offset, __ATOMIC_RELAXED);
}

static json_t *make_page(struct nd_running *r, const char *nf)
{
    const struct nd_question *q = &r->answers.question;
    json_t *rows = json_loadb(q->out, q->len, 0, NULL), *counters, *page;
    bool last = !q->more && q->lane + 1 == r->config->chain.lanes;
    uint64_t next;

    if (!rows)
        return nd_refuse("malformed", "'%s' shows what is no JSON", nf);
    /* One lane after the other: the cursor holds whose turn it is. */
    next = q->more ? (uint64_t)q->lane << LANE_SHIFT | q->cursor : (uint64_t)(q->lane + 1) << LANE_SHIFT;
    if (!last)
        return json_pack("{s:o,s:I,s:I}", "rows", rows, "now_ns", (json_int_t)chain_time(r, q->lane), "next",
                         (json_int_t)next);
    counters = nd_counters_status(&r->counts, nf);
    page = json_pack("{s:o,s:I,s:n,s:o,s:O?,s:o}", "rows", rows, "now_ns", (json_int_t)chain_time(r, q->lane),
                     "next", "tables", nd_tables_status(&r->counts, nf), "counters",
                     json_object_get(counters, nf), "timeouts", nd_timeouts_status(&r->counts, nf));
    json_decref(counters);
    return page;
}

static bool answer_show(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const char *nf = text_of(x->request, "nf");
    uint64_t cursor = (uint64_t)json_integer_value(json_object_get(x->request, "cursor"));
    struct nd_question *q = &r->answers.question;

    if (!nf || strlen(nf) >= sizeof(q->text))
        return nd_refused(x, "invalid", "show needs the name of an NF");
    if (cursor >> LANE_SHIFT >= r->config->chain.lanes)
        return nd_refused(x, "invalid", "the cursor is of no lane");
    if (!w->asked) {
        if (!may_ask(r, x, w))
            return x->answer != NULL;
        snprintf(q->text, sizeof(q->text), "%s", nf);
        q->cursor = cursor & CURSOR_MASK;
        ask_lane(r, w, (unsigned)(cursor >> LANE_SHIFT), ND_ASK_SHOW);
        return false;
    }
    if (!has_answered(r, x, w, ND_ASK_SHOW))
        return false;
    return x->answer ? true : nd_answered(x, make_page(r, nf));
}

/* ---- set, clear -------------------------------------------------------------------------------- */

/* Lanes change one after the other; who asks again changes all of them. */
static void say_changed(struct nd_exchange *x, unsigned lanes)
{
    json_t *error = json_object_get(x->answer, "error");

    if (error && lanes > 0)
        json_object_set_new(error, "text",
                            json_sprintf("%s; %u lanes have changed, ask again",
                                         json_string_value(json_object_get(error, "text")), lanes));
}

/* Counters are cleared by a program that knows how, and replayed by one that does. */
static const char *other_program(struct nd_running *r, struct rp_status *s)
{
    rp_status(r->replicator, s);
    return s->core.peer.known && strcmp(s->core.peer.program, UNDERSTUDY_VERSION) != 0 ? s->core.peer.program
                                                                                       : NULL;
}

static bool answer_change(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const char *nf = text_of(x->request, "nf"), *key = text_of(x->request, "key"),
               *value = text_of(x->request, "value");
    bool set = x->command == ND_CMD_SET;
    struct nd_question *q = &r->answers.question;
    char text[sizeof(q->text)];
    struct rp_status s;
    int n;

    if (nf && !set && strcmp(nf, "counters") == 0 && other_program(r, &s))
        return nd_answered(x, nd_refuse_version(&s, "clear counters"));
    if (nf && !set && strcmp(nf, "quarantine") == 0 && !key) {
        if (!nd_quarantine_lift(&r->peer_crashes))
            return nd_refused(x, "invalid", "there is no quarantine");
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE, "an operator has said: clear quarantine");
        return nd_answered(x, json_pack("{s:b,s:s}", "done", 1, "change", "clear quarantine"));
    }
    if (!nf || (set && (!key || !value)))
        return nd_refused(x, "invalid", set ? "set needs nf, key and value" : "clear needs nf");
    if (set)
        n = snprintf(text, sizeof(text), "set %s %s=%s", nf, key, value);
    else
        n = snprintf(text, sizeof(text), key ? "clear %s %s" : "clear %s", nf, key);
    if (n >= (int)sizeof(text) || strpbrk(text, "\n\r"))
        return nd_refused(x, "invalid", "the change is too long for one line of %zu bytes", sizeof(text) - 1);
    if (!w->asked) {
        if (!may_ask(r, x, w)) {
            if (x->answer)
                say_changed(x, w->changed);
            return x->answer != NULL;
        }
        memcpy(q->text, text, sizeof(text));
        ask_lane(r, w, w->lane, ND_ASK_COMMAND); /* each lane records it in its own burst */
        return false;
    }
    if (!has_answered(r, x, w, ND_ASK_COMMAND))
        return false;
    if (x->answer) {
        say_changed(x, w->changed);
        return true;
    }
    w->changed += !q->error;
    if (++w->lane < r->config->chain.lanes)
        return false;
    if (!w->changed)
        return nd_refused(x, ft_error_name(q->error), "%s", q->fault.text);
    ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_CHAIN, "an operator has said: %s", text);
    return nd_answered(x, json_pack("{s:b,s:s}", "done", 1, "change", text));
}

/* ---- each command ------------------------------------------------------------------------------- */

/*
 * The lines of the event log since the one that the client has seen. Nothing is kept for a client and nothing
 * waits for it: it sends where it is ("next", of the process "of"), and gets how many lines it has missed.
 */
static json_t *make_events(struct nd_running *r, const json_t *request)
{
    static struct nd_recent_line lines[EVENTS]; /* the main thread's */
    const json_t *asked = json_object_get(request, "next");
    json_int_t self = (json_int_t)(r->datagram_key.incarnation >> 32);
    uint64_t next = (uint64_t)json_integer_value(asked), lost = 0;
    json_t *events = json_array();
    unsigned n = 0;

    if (!asked) /* it begins: with what comes from now on */
        next = nd_recent_count();
    else if (json_integer_value(json_object_get(request, "of")) != self)
        next = 0; /* it has seen another process: all of this one is new to it */
    if (json_integer_value(asked) < 0 || next > nd_recent_count()) {
        json_decref(events);
        return nd_refuse("invalid", "next: expected a number that a watch has answered");
    }
    n = nd_recent_read(&next, &lost, lines, EVENTS);
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(events,
                              nd_event_json(&lines[i].line, r->config->node[r->self].name, lines[i].more));
    return json_pack("{s:I,s:I,s:I,s:o}", "of", self, "next", (json_int_t)next, "lost", (json_int_t)lost,
                     "events", events);
}

static bool answer_status(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    (void)w;
    return nd_answered(x, nd_answer_status(r));
}

static bool answer_watch(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    (void)w;
    return nd_answered(x, make_events(r, x->request));
}

static bool answer_files(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    (void)w;
    return nd_answer_change(&r->changing, x);
}

static bool answer_history(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    (void)w;
    return nd_answered(x, nd_answer_history(&r->changing));
}

static bool (*const steps[ND_COMMANDS])(struct nd_running *, struct nd_exchange *, struct nd_work *) = {
    [ND_CMD_STATUS] = answer_status,     [ND_CMD_WATCH] = answer_watch,
    [ND_CMD_SHOW] = answer_show,         [ND_CMD_VERIFY] = answer_verify,
    [ND_CMD_SET] = answer_change,        [ND_CMD_CLEAR] = answer_change,
    [ND_CMD_PROMOTE] = answer_promote,   [ND_CMD_DRAIN] = answer_handover,
    [ND_CMD_FAILBACK] = answer_handover, [ND_CMD_RESYNC] = answer_resync,
    [ND_CMD_REPAIR] = answer_repair,     [ND_CMD_DRILL] = answer_drill,
    [ND_CMD_TRACE] = nd_answer_trace,    [ND_CMD_PIN] = answer_maintenance,
    [ND_CMD_HOLD] = answer_maintenance,  [ND_CMD_UNPIN] = answer_maintenance,
    [ND_CMD_APPLY] = answer_files,       [ND_CMD_PUSH] = answer_files,
    [ND_CMD_ROLLBACK] = answer_files,    [ND_CMD_CONFIRM] = answer_files,
    [ND_CMD_HISTORY] = answer_history,
};

static bool step_answer(struct nd_running *r, struct nd_exchange *x)
{
    struct nd_work *repairing = &r->answers.work[ND_REPAIRING];
    struct nd_work *w = repairing->of == x
                            ? repairing
                            : &r->answers.work[x->command == ND_CMD_TRACE                 ? ND_TRACING
                                               : nd_commands[x->command].role != ND_LOOKS ? ND_ACTING
                                               : x->looks                                 ? ND_LOOKING
                                                                                          : ND_SHOWING];

    if (x->command == ND_CMD_STATUS || x->command == ND_CMD_WATCH || x->command == ND_CMD_HISTORY)
        return steps[x->command](r, x, NULL); /* at once, whatever else is at work */
    if (w->of && w->of != x &&
        (w->of->command == ND_CMD_APPLY || w->of->command == ND_CMD_ROLLBACK ||
         w->of->command == ND_CMD_PUSH))
        return nd_refused(x, "busy", "apply is under way"); /* it may take most of a minute */
    if (w->of && w->of != x)
        return x->command == ND_CMD_TRACE && nd_refused(x, "busy", "a trace is under way");
    w->of = x;
    x->begun = true;
    bool done = steps[x->command](r, x, w);
    if (!done && w->only_waits && !repairing->of) {
        *repairing = *w;
        *w = (struct nd_work){.of = NULL};
    }
    if (done)
        *w = (struct nd_work){.of = NULL};
    return done;
}

bool nd_answer(void *running, struct nd_exchange *x)
{
    bool peer = json_is_true(json_object_get(x->request, "peer"));
    bool done = peer ? nd_look_answer(running, x) : step_answer(running, x);

    if (done && nd_commands[x->command].role != ND_LOOKS)
        nd_command_say(x);
    return done;
}

void nd_answer_due(struct nd_running *r, const struct rp_status *s)
{
    struct nd_confirm *c = &r->changing.confirm;
    struct nd_exchange *x = &r->answers.own;
    int set;

    if (!x->request) {
        /* Behind another command it would wait, while that one confirms, or numbers the sets anew. */
        if (!nd_confirm_is_due(c, ft_now()) || !ft_core_primary(&s->core) || r->answers.work[ND_ACTING].of)
            return;
        set = nd_confirm_find(c, c->order.back);
        *x = (struct nd_exchange){
            .request = json_pack("{s:s,s:i}", "cmd", "rollback", "set", set < 0 ? (int)ND_KEPT_SETS : set),
            .command = ND_CMD_ROLLBACK};
    }
    if (!x->request || !nd_answer(r, x))
        return;
    c->again = ft_now() + AGAIN_NS;
    json_decref(x->answer);
    json_decref((json_t *)(uintptr_t)x->request);
    *x = (struct nd_exchange){.request = NULL};
}
