/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of apply and push, which operators ask a primary for: its files are judged, given to the peer, and
 * become the chain at the cut of a resync. What is made ready, and what becomes of it, is change.c's.
 */
#include "node/base/clock.h"
#include "node/config/files.h"
#include "lane/group.h"
#include "node/running.h"

#include <stdio.h>
#include <stdlib.h>

#define LATE_MS   3000u  /* a standby whose answers are late answers again */
#define FILES_MS  10000u /* the disk gives files */
#define ANSWER_MS 10000u /* the peer reads and checks files */
#define CUT_MS    5000u  /* until lanes have changed */
#define READY_MS  40000u /* until the standby is READY again; then the answer does not wait for it */

enum step { BEGIN, AT_FILES, AT_PEER, AT_LANES, AT_STANDBY };

static bool refused(struct nd_running *r, struct nd_exchange *x, const char *what, const char *why)
{
    char text[300];

    snprintf(text, sizeof(text), "%s%s%s", what, *what ? ": " : "", why);
    nd_change_tell(r, FT_LEVEL_WARNING, text);
    if (!nd_change_give_up(r))
        return false; /* a lane is at it: the next step sees what became of it */
    r->changing.step = BEGIN;
    return nd_answered(x, nd_refuse("busy", "%s; the chain is as it was", text));
}

static bool done(struct nd_running *r, struct nd_exchange *x, const char *text)
{
    r->changing.step = BEGIN;
    return nd_answered(x, json_pack("{s:b,s:s}", "done", 1, "text", text));
}

static void wait_for(struct nd_running *r, struct nd_work *w, enum step step, uint32_t ms)
{
    r->changing.step = step;
    w->begun = true;
    w->until = nd_now() + ms * FT_MS;
}

static int send_files(struct nd_running *r, const struct nd_config *config, uint64_t chain,
                      struct ft_fault *fault)
{
    struct nd_files files;
    uint32_t len = 0;
    uint8_t *bytes;
    int error;

    if (!config->link.key[0] && !config->link.certificate[0])
        return ft_fail(
            fault, FT_EPERM,
            "link.insecure: true: a chain's files travel over a sealed link alone, expected a key or "
            "certificates");
    error = nd_files_of(&files, config, fault);
    if (error)
        return error;
    bytes = nd_files_pack(&files, &len);
    if (!bytes || !rp_push(r->replicator, chain, bytes, len))
        error = ft_fail(fault, FT_EBUSY, "files are on their way to the peer already");
    free(bytes);
    return error;
}

/* The standby's answers are late, as they are for moments on a busy machine: the chain waits for them. */
static bool is_late(const struct nd_work *w, const struct rp_status *s)
{
    return s->core.peer.known && s->core.state == FT_DEGRADED && nd_now() <= w->until;
}

static bool read_files(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    if (!nd_change_read(r))
        return nd_answered(x, nd_refuse("busy", "the disk has not done what it was asked for before"));
    wait_for(r, w, AT_FILES, FILES_MS);
    return false;
}

/* 0: they make a change; or why not. FT_EBUSY with no text: they are still being read. */
static int take_read(struct nd_running *r, const struct nd_work *w, bool state, struct nd_change **c,
                     struct ft_fault *fault)
{
    struct nd_changing *g = &r->changing;
    struct nd_config *next = g->read.next;

    if (!g->was_read && nd_now() <= w->until)
        return FT_EBUSY;
    if (!g->was_read)
        return ft_fail(fault, FT_EBUSY, "%s: the disk does not give the files", r->config->file);
    g->was_read = false;
    g->read.next = NULL;
    *fault = g->read.fault;
    return g->read.error ? g->read.error : nd_change_make(r, next, state, c, fault);
}

/* Why this node cannot apply its files now; NULL: it can. */
static json_t *refuse_state(const struct rp_status *s)
{
    if (!ft_core_primary(&s->core))
        return nd_refuse("busy", "%s: the primary applies a chain", ft_state_name(s->core.state));
    if (s->core.peer.known && s->core.state != FT_PROTECTED)
        return nd_refuse("busy", "%s: %s: a pair's chain is changed while it is PROTECTED",
                         ft_state_name(s->core.state), s->core.why);
    return NULL;
}

static bool begin_apply(struct nd_running *r, struct nd_exchange *x, struct nd_work *w,
                        const struct rp_status *s)
{
    json_t *refusal;

    if (w->until == 0)
        w->until = nd_now() + LATE_MS * FT_MS;
    if (is_late(w, s))
        return false;
    refusal = refuse_state(s);
    if (refusal)
        return nd_answered(x, refusal);
    if (r->changing.change && !nd_change_give_up(r))
        return nd_answered(x, nd_refuse("busy", "a change is under way"));
    return read_files(r, x, w);
}

static bool at_files(struct nd_running *r, struct nd_exchange *x, struct nd_work *w,
                     const struct rp_status *s)
{
    struct nd_changing *g = &r->changing;
    struct ft_fault fault = {""};
    struct nd_change *c;
    json_t *refusal;
    int error;

    if (is_late(w, s))
        return false;
    refusal = refuse_state(s);
    if (refusal)
        return nd_answered(x, refusal);
    error = take_read(r, w, true, &c, &fault);
    if (error && !fault.text[0])
        return false;
    if (error)
        return refused(r, x, "", fault.text);
    if (c->chain.hash == nd_change_hash(r, s)) {
        nd_change_free(c);
        return done(r, x, "the chain file is the one that runs");
    }
    nd_change_offer(r, c);
    g->alone = !s->core.peer.known;
    g->resyncs = s->core.resyncs;
    if (g->alone) {
        nd_change_pass(c, ND_CHANGE_PREPARED, ND_CHANGE_ALONE);
        nd_change_tell(r, FT_LEVEL_NOTICE, "the chain is being changed, without a peer");
        wait_for(r, w, AT_LANES, CUT_MS);
        return false;
    }
    if (send_files(r, c->next, c->chain.hash, &fault) != 0)
        return refused(r, x, "", fault.text);
    nd_change_tell(r, FT_LEVEL_NOTICE, "the peer is checking the chain's files");
    wait_for(r, w, AT_PEER, ANSWER_MS);
    return false;
}

/* The peer's answer: then the lanes' turn, at the cut of a resync. */
static bool at_peer(struct nd_running *r, struct nd_exchange *x, struct nd_work *w, const struct rp_status *s)
{
    struct rp_push_answer answer;

    if (!s->core.peer.known)
        return refused(r, x, s->core.peer.name, "the standby was lost");
    if (is_late(w, s))
        return false;
    if (!rp_push_answered(r->replicator, &answer))
        return nd_now() > w->until && refused(r, x, s->core.peer.name, "no answer about the chain's files");
    if (!answer.taken)
        return refused(r, x, s->core.peer.name, answer.text);
    if (s->core.state != FT_PROTECTED)
        return refused(r, x, ft_state_name(s->core.state), s->core.why);
    nd_change_pass(r->changing.change, ND_CHANGE_PREPARED, ND_CHANGE_ARMED);
    rp_request(r->replicator, FT_REQUEST_RESYNC);
    nd_change_tell(r, FT_LEVEL_NOTICE, "the chain is being changed; a resync follows");
    wait_for(r, w, AT_LANES, CUT_MS);
    return false;
}

/* nd_changes_turn has finished it where it is done. */
static bool at_lanes(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    struct nd_change *c = r->changing.change;
    struct ft_fault fault;

    if (!c && r->changing.alone)
        return done(r, x, r->changing.told);
    if (!c) {
        wait_for(r, w, AT_STANDBY, READY_MS);
        return false;
    }
    if (atomic_load_explicit(&c->stage, memory_order_acquire) == ND_CHANGE_FAILED) {
        fault = c->fault;
        return refused(r, x, "", fault.text);
    }
    return nd_now() > w->until && refused(r, x, "", "the lanes did not come to a cut in time");
}

static bool at_standby(struct nd_running *r, struct nd_exchange *x, struct nd_work *w,
                       const struct rp_status *s)
{
    char text[400];

    if (s->core.state == FT_PROTECTED && s->core.resyncs != r->changing.resyncs) {
        snprintf(text, sizeof(text), "%s; PROTECTED again", r->changing.told);
        return done(r, x, text);
    }
    if (nd_now() <= w->until)
        return false;
    snprintf(text, sizeof(text), "%s; the standby is not READY yet", r->changing.told);
    return done(r, x, text);
}

bool nd_answer_apply(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    struct rp_status s;

    rp_status(r->replicator, &s);
    nd_changes_turn(r, &s);
    if (!w->begun)
        return begin_apply(r, x, w, &s);
    switch (r->changing.step) {
    case AT_FILES:
        return at_files(r, x, w, &s);
    case AT_PEER:
        return at_peer(r, x, w, &s);
    case AT_LANES:
        return at_lanes(r, x, w);
    case AT_STANDBY:
        return at_standby(r, x, w, &s);
    default:
        return nd_answered(x, nd_refuse("busy", "the change was given up"));
    }
}

/* The files as they are here; the chain that runs is theirs. */
static bool push_files(struct nd_running *r, struct nd_exchange *x, struct nd_work *w,
                       const struct rp_status *s)
{
    struct ft_fault fault = {""};
    struct nd_change *c = NULL;
    int error = take_read(r, w, false, &c, &fault);

    if (error && !fault.text[0])
        return false;
    if (!error && r->changing.change)
        error = ft_fail(&fault, FT_EBUSY, "a change is under way");
    if (!error && c->chain.hash != nd_change_hash(r, s))
        error =
            ft_fail(&fault, FT_EINVAL,
                    "the files here make another chain than the one that runs: apply them, or, where apply "
                    "refuses them, put those that run back first");
    if (!error)
        error = send_files(r, c->next, c->chain.hash, &fault);
    nd_change_free(c);
    if (error)
        return nd_answered(x, nd_refuse("invalid", "%s", fault.text));
    wait_for(r, w, AT_PEER, ANSWER_MS);
    return false;
}

bool nd_answer_push(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const char *peer = r->config->node[!r->self].name;
    struct rp_push_answer answer;
    struct rp_status s;
    char text[FT_REASON_MAX];

    rp_status(r->replicator, &s);
    nd_changes_turn(r, &s);
    if (!ft_core_primary(&s.core))
        return nd_answered(
            x, nd_refuse("busy", "%s: the primary pushes its files", ft_state_name(s.core.state)));
    if (!w->begun)
        return r->changing.change ? nd_answered(x, nd_refuse("busy", "a change is under way"))
                                  : read_files(r, x, w);
    if (r->changing.step == AT_FILES)
        return push_files(r, x, w, &s);
    if (rp_push_answered(r->replicator, &answer)) {
        if (!answer.taken)
            return nd_answered(x, nd_refuse("busy", "node %s: %s", peer, answer.text));
        snprintf(text, sizeof(text), "node %s has the chain's files", peer);
        return done(r, x, text);
    }
    if (nd_now() <= w->until)
        return false;
    rp_push_forget(r->replicator);
    return nd_answered(x, nd_refuse("busy", "node %s does not answer", peer));
}
