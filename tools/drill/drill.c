/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One drill, step by step. See tools/drill/drill.h.
 *
 *   settle ─▶ baseline ─▶ hurt ─▶ takeover seen ─▶ restart (or wake) ─▶ settle ─▶ compare digests ─▶ figures
 */
#include "tools/drill/drill.h"
#include "tools/drill/process.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANDOVER_MS   10000
#define BASELINE_MS   1000
#define SUPERVISOR_MS 300 /* somebody else may start the node again, so long we wait */
#define ASLEEP_MS     500 /* a stopped node sleeps on after it was replaced */

/* ── hurting and healing ── */

/* What a node answers when it does not do what it is asked. NULL: it did. */
static const char *refusal_of(const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    return error ? nd_text(error, "text", "") : NULL;
}

/* A victim on another server does it to itself, when its file permits. */
static int ask_to_hurt(struct nd_drill *d, unsigned through, struct nd_drill_run *r, struct ft_fault *fault)
{
    if (d->kind != ND_DRILL_KILL && d->kind != ND_DRILL_STANDBY_KILL)
        return ft_fail(fault, FT_EINVAL,
                       "%s is not to be reached from here: a peer can ask it to be killed only",
                       d->config->node[1 - through].name);
    json_t *answer = NULL, *request = json_pack("{s:s,s:s}", "cmd", "drill", "kind", "kill");
    r->at_ns = nd_now();
    r->asked = true;
    int error = nd_ask(d->config->node[through].control, request, ND_ASK_MS, &answer, fault);
    json_decref(request);
    if (error == FT_OK && refusal_of(answer) != NULL)
        error = ft_fail(fault, FT_EPERM, "%s: %s", d->config->node[through].name, refusal_of(answer));
    json_decref(answer);
    return error;
}

struct victim {
    struct nd_process node, guardian; /* guardian.handle -1: there is none, or it is not hurt */
};

/* Of the node's status only what the kernel says as well is believed: who listens at the control socket is
 * what is hurt. */
static int meet_node(const struct nd_drill *d, const struct nd_sight *s, unsigned node, struct nd_process *p,
                     struct ft_fault *fault)
{
    const struct nd_listener *listener = &s->listener[node];
    const char *name = d->config->node[node].name;
    if (s->pid[node] <= 0 || listener->pid != s->pid[node])
        return ft_fail(fault, FT_EPERM,
                       "node %s: process %d listens at the control socket and says that it is process %d",
                       name, (int)listener->pid, (int)s->pid[node]);
    int error = nd_process_read(p, listener->pid, fault);
    if (error < 0)
        return error;
    if (p->user != listener->user)
        return ft_fail(fault, FT_EPERM,
                       "node %s: user %u made the control socket, and process %d is one of user %u", name,
                       (unsigned)listener->user, (int)p->pid, (unsigned)p->user);
    if (!p->same_program)
        return ft_fail(fault, FT_EPERM,
                       "node %s: process %d at the control socket does not run the drill's program", name,
                       (int)p->pid);
    return FT_OK;
}

/* One that has ended is none. */
static int meet_guardian(const struct nd_drill *d, const struct nd_sight *s, unsigned node, struct victim *v,
                         struct ft_fault *fault)
{
    int error = s->guardian[node] > 0 ? nd_process_read(&v->guardian, s->guardian[node], fault) : FT_ENOENT;
    if (error < 0)
        return error == FT_ENOENT ? FT_OK : error;
    if (v->guardian.parent == v->node.pid && v->guardian.same_program)
        return FT_OK;
    return ft_fail(fault, FT_EPERM, "node %s: process %d, its guardian by its word, is no child of it",
                   d->config->node[node].name, (int)v->guardian.pid);
}

/* All that can be refused is refused before anything is hurt. Who is not root cannot start a node in
 * another's place: somebody else will. */
static int meet_victim(const struct nd_drill *d, const struct nd_sight *s, unsigned node, struct victim *v,
                       struct ft_fault *fault)
{
    int error = meet_node(d, s, node, &v->node, fault);
    if (error == FT_OK && d->kind == ND_DRILL_SERVER_LOSS)
        error = meet_guardian(d, s, node, v, fault);
    if (error == FT_OK && d->kind != ND_DRILL_HANG && geteuid() == 0)
        error = nd_process_rehearse(&v->node, d->options.file, d->config->node[node].name, fault);
    return error;
}

/* A server falls silent at one moment, and the kernel takes milliseconds for each link: so its node is
 * stopped before they go. */
static int lose_server(const struct nd_process *victim, struct ft_fault *fault)
{
    int error = nd_process_signal(victim, SIGSTOP, fault);
    if (error == FT_OK && (error = nd_process_links(victim, false, fault)) == FT_OK &&
        (error = nd_process_signal(victim, SIGKILL, fault)) < 0)
        nd_process_links(victim, true, NULL);
    if (error < 0)
        nd_process_signal(victim, SIGCONT, NULL);
    return error;
}

static int hurt_victim(struct nd_drill *d, const struct victim *v, struct nd_drill_run *r,
                       struct ft_fault *fault)
{
    const struct nd_process *victim = &v->node;
    r->at_ns = nd_now();
    int error = d->kind == ND_DRILL_SERVER_LOSS
                    ? lose_server(victim, fault)
                    : nd_process_signal(victim, d->kind == ND_DRILL_HANG ? SIGSTOP : SIGKILL, fault);
    if (error == FT_OK && v->guardian.handle >= 0)
        nd_process_signal(&v->guardian, SIGKILL, NULL);
    return error;
}

/* Starts it again, unless somebody else does. */
static void bring_back(struct nd_drill *d, const struct nd_process *victim, unsigned node,
                       struct nd_drill_run *r)
{
    struct ft_fault fault;
    if (d->kind == ND_DRILL_SERVER_LOSS && nd_process_links(victim, true, &fault) < 0)
        nd_drill_failed(r, "%s", fault.text);
    for (int waited = 0; waited < SUPERVISOR_MS; waited += 20) {
        json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
        bool there = answer != NULL && (pid_t)nd_drill_number(answer, "pid") != victim->pid;
        json_decref(answer);
        if (there) {
            r->back_ms = nd_drill_ms(r->at_ns, nd_now());
            return;
        }
        nd_sleep(20 * ND_MS);
    }
    nd_drill_say(d, "%s is started again", r->victim);
    if (nd_process_start(victim, d->options.file, r->victim, &fault) < 0)
        nd_drill_failed(r, "%s", fault.text);
    else
        r->back_ms = nd_drill_ms(r->at_ns, nd_now());
}

static void wake_victim(struct nd_drill *d, const struct nd_process *victim, unsigned node,
                        struct nd_drill_run *r)
{
    struct ft_fault fault;
    nd_sleep(ASLEEP_MS * ND_MS); /* long enough that it believes nothing happened */
    nd_drill_say(d, "%s is woken", r->victim);
    r->back_ms = nd_drill_ms(r->at_ns, nd_now());
    if (nd_process_signal(victim, SIGCONT, &fault) < 0)
        nd_drill_failed(r, "%s", fault.text);
    else
        nd_drill_await_fenced(d, node, r);
}

static int ask_handover(struct nd_drill *d, unsigned primary, struct nd_drill_run *r, struct ft_fault *fault)
{
    int error;
    r->at_ns = nd_now();
    json_t *answer = nd_drill_ask(d, primary, "drain", HANDOVER_MS, &error, fault);
    if (answer == NULL)
        return error;
    if (refusal_of(answer) != NULL)
        nd_drill_failed(r, "%s refuses: %.100s", r->victim, refusal_of(answer));
    json_decref(answer);
    return FT_OK;
}

/* ── one run ── */

static void ask_prober(struct nd_drill *d, struct nd_drill_run *r, uint64_t over, uint64_t end)
{
    struct nd_probe_figures f;
    r->over_ns = over;
    r->ended_ns = end;
    if (d->prober == NULL)
        return;
    nd_sleep(300 * ND_MS); /* answers under way */
    nd_probe_figures(d->prober, r->at_ns - ND_BEFORE_MS * ND_MS, end, &r->seen);
    nd_probe_figures(d->prober, r->at_ns, over + ND_AFTER_MS * ND_MS, &f);
    r->outage_ms = f.silence_ms;
    r->flow_silence_ms = f.flow_silence_ms;
    r->flow_worst_ms = f.flow_worst_ms;
    nd_probe_figures(d->prober, over + ND_AFTER_MS * ND_MS, end, &f);
    r->resync_silence_ms = f.silence_ms;
    if (r->seen.contradicted > 0)
        nd_drill_failed(r, "%lu answers contradict what was sent", r->seen.contradicted);
    else if (r->seen.flows_broken > 0)
        nd_drill_failed(r, "%lu TCP flows broke", r->seen.flows_broken);
    else if (d->kind == ND_DRILL_PLANNED && r->seen.lost > 0)
        nd_drill_failed(r, "%lu probes were lost in a planned handover", r->seen.lost);
}

static void add_baseline(struct nd_drill *d, uint64_t until)
{
    struct nd_probe_figures f;
    if (d->prober == NULL || until <= d->quiet_since)
        return;
    nd_probe_figures(d->prober, d->quiet_since, until, &f);
    d->baseline_s += (double)(until - d->quiet_since) / 1e9;
    if (f.silence_ms > d->baseline_ms)
        d->baseline_ms = f.silence_ms;
}

static void begin_run(struct nd_drill *d, const struct nd_sight *s, unsigned victim, struct nd_drill_run *r)
{
    memset(r, 0, sizeof *r);
    r->detect_ms = r->replay_ms = r->first_packet_ms = r->outage_ms = r->protected_ms = -1;
    r->flow_silence_ms = r->flow_worst_ms = r->resync_silence_ms = -1;
    r->fenced_before_ms = r->back_ms = -1;
    r->view_before = r->view_after = s->view;
    snprintf(r->victim, sizeof r->victim, "%s", d->config->node[victim].name);
    snprintf(r->survivor, sizeof r->survivor, "%s", d->config->node[1 - victim].name);
}

/* What is common to all drills once the victim was hurt: it comes back, the pair settles, digests, figures.
 * `over`: when the survivor went on, 0: it did not. */
static void end_run(struct nd_drill *d, unsigned victim, uint64_t over, struct nd_drill_run *r)
{
    bool took = over != 0 && d->kind != ND_DRILL_STANDBY_KILL;
    struct ft_fault fault;
    struct nd_sight s;
    if (nd_drill_settle(d, &s, &fault) < 0) {
        nd_drill_failed(r, "%s", fault.text);
        nd_drill_not_compared(r, fault.text);
    } else {
        r->protected_ms = nd_drill_ms(r->at_ns, nd_now());
        nd_drill_say(d, "PROTECTED again, %s is primary, view %lu", d->config->node[s.primary].name, s.view);
        uint64_t expected = r->view_before + (d->kind != ND_DRILL_STANDBY_KILL);
        r->false_takeovers = s.view > expected ? s.view - expected : 0;
        r->view_after = s.view;
        if (took && d->config->protect.strict && s.view == expected) {
            uint64_t released = nd_drill_await_release(d, 1 - victim, r);
            over = released ? released : nd_now();
        }
        if (r->was_fenced)
            nd_drill_judge_fenced(d, victim, r);
        nd_drill_compare(d, s.primary, r);
    }
    ask_prober(d, r, over ? over : nd_now(), nd_now());
    d->quiet_since = nd_now();
}

static int hurt_by_kind(struct nd_drill *d, const struct nd_sight *s, unsigned victim, const struct victim *v,
                        struct nd_drill_run *r, struct ft_fault *fault)
{
    enum nd_drill_kind kind = d->kind;
    int error;
    if (kind == ND_DRILL_PLANNED)
        error = ask_handover(d, victim, r, fault);
    else if (!s->seen[victim])
        error = ask_to_hurt(d, 1 - victim, r, fault);
    else
        error = hurt_victim(d, v, r, fault);
    if (error == FT_OK && s->seen[victim])
        nd_drill_say(d, "%s: %s (pid %d), view %lu, %.0f packets held", nd_drill_kinds[kind], r->victim,
                     (int)s->pid[victim], s->view, s->held);
    else if (error == FT_OK)
        nd_drill_say(d, "%s: %s is asked through its peer to kill itself, view %lu", nd_drill_kinds[kind],
                     r->victim, s->view);
    return error;
}

/* Returns when the survivor went on, 0: it did not. */
static uint64_t await_survivor(struct nd_drill *d, unsigned survivor, struct nd_drill_run *r)
{
    bool alone = d->kind == ND_DRILL_STANDBY_KILL;
    uint64_t over = 0;
    if (r->failure[0] == 0)
        over = alone ? nd_drill_await_alone(d, survivor, r) : nd_drill_await_takeover(d, survivor, r);
    if (r->failure[0] != 0)
        nd_drill_say(d, "%s", r->failure);
    else
        nd_drill_say(d, "%s %s after %.1f ms", r->survivor,
                     alone                       ? "goes on alone"
                     : d->config->protect.strict ? "is primary and holds"
                                                 : "released its first packet",
                     nd_drill_ms(r->at_ns, over));
    return over;
}

int nd_drill_once(struct nd_drill *d, struct nd_drill_run *r, struct ft_fault *fault)
{
    enum nd_drill_kind kind = d->kind;
    struct victim met = {.node = ND_NO_PROCESS, .guardian = ND_NO_PROCESS};
    struct nd_sight s;
    int error = nd_drill_ready(d, &s, fault);
    if (error < 0)
        return error;
    if (d->prober != NULL)
        nd_sleep(BASELINE_MS * ND_MS);
    if (!nd_drill_look(d, &s, &error))
        return ft_fail(fault, FT_EIO, "%s: the pair did not stay PROTECTED: %s, %s", d->config->file,
                       s.said[0], s.said[1]);
    unsigned victim = kind == ND_DRILL_STANDBY_KILL ? s.standby : s.primary;
    bool here = s.seen[victim] && kind != ND_DRILL_PLANNED;
    begin_run(d, &s, victim, r);
    r->held = s.held;
    error = here ? meet_victim(d, &s, victim, &met, fault) : FT_OK;
    if (error == FT_OK) {
        add_baseline(d, nd_now());
        error = hurt_by_kind(d, &s, victim, &met, r, fault);
    }
    d->hurt = error == FT_OK;
    if (d->hurt) {
        uint64_t over = await_survivor(d, 1 - victim, r);
        if (kind == ND_DRILL_HANG && here)
            wake_victim(d, &met.node, victim, r);
        else if (here)
            bring_back(d, &met.node, victim, r);
        end_run(d, victim, over, r);
        d->hurt = false;
    }
    nd_process_close(&met.node);
    nd_process_close(&met.guardian);
    return error;
}

int nd_drill_open(struct nd_drill *d, struct ft_fault *fault)
{
    const struct nd_config *config = d->config;
    struct nd_sight s;
    d->began = nd_now();
    int error = nd_drill_ready(d, &s, fault);
    if (error == FT_OK && !d->options.no_probe && config->probe.port != 0) {
        struct nd_probe_options p = {.from = config->probe.from,
                                     .to = config->probe.to[0] ? config->probe.to : NULL,
                                     .address = config->probe.address,
                                     .port = config->probe.port,
                                     .interval_us = 1000,
                                     .flows = d->options.flows,
                                     .flow_interval_us = 5000,
                                     .seconds = 3600};
        error = nd_probe_start(&d->prober, &p, fault);
    }
    d->quiet_since = nd_now();
    return error;
}
