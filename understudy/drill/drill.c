/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy drill: runs a drill so many times, step by step. See understudy/drill/drill.h.
 *
 *   settle ─▶ baseline ─▶ hurt ─▶ takeover seen ─▶ restart (or wake) ─▶ settle ─▶ compare digests ─▶ figures
 *
 * It asks both control sockets, waits for what should come, and at the end asks the primary to compare both
 * states, which it can refuse: then nothing was compared, which is not the same as a difference.
 */
#include "ftcore/base/clock.h"
#include "understudy/drill/drill.h"
#include "understudy/pair/child.h"
#include "understudy/drill/process.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ==== looking and waiting ============================================================================== */

const char *const nd_drill_kinds[ND_DRILL_KINDS] = {"kill", "server-loss", "hang", "standby-kill", "planned"};

enum nd_place {
    ND_UNSETTLED, /* in no state that a drill begins in */
    ND_LEADS,     /* a PROTECTED primary */
    ND_FOLLOWS,   /* a READY standby */
    ND_SILENT,    /* no answer from its socket */
    ND_ABSENT,    /* nobody listens there: on another server, or it does not run */
};

struct nd_sight { /* of both nodes; primary, standby and view count in a settled pair */
    unsigned primary, standby;
    pid_t pid[ND_PAIR], guardian[ND_PAIR]; /* by their own word */
    uint64_t incarnation[ND_PAIR];         /* the same; 0: not known */
    struct nd_listener listener[ND_PAIR];  /* by the kernel's */
    uint64_t view;
    double held; /* -1: not known, the primary is on another server */
    bool seen[ND_PAIR];
    enum nd_place place[ND_PAIR];
    bool peer_leads;         /* a READY standby reports that its peer is a PROTECTED primary */
    uint64_t peer_view;      /* the view in which it reports that */
    char said[ND_PAIR][160]; /* "NAME STATE (why)" or "NAME no answer" */
    struct ft_fault why[ND_PAIR];
};

#define ASK_MS      500 /* a status answer */
#define TAKEOVER_MS 5000
#define RELEASE_MS  2000 /* from the takeover to its first packet; without traffic there is none */
#define MEASURED_MS 2000 /* for the standby to have listened, beyond listen_ms */
#define LONE_MS     500  /* how long a strict primary is watched without its standby, beyond solo_after_ms */

/* -1 when either is unknown (0) */
static double ms_between(uint64_t from, uint64_t to)
{
    return from == 0 || to == 0 ? -1 : ((double)to - (double)from) / 1e6;
}

/* By which the drill judges that something took too long: ns that this process was given. */
static uint64_t waited(struct nd_drill *d)
{
    return nd_given_now(&d->given, (pid_t[]){getpid()}, 1);
}

static __attribute__((format(printf, 2, 3))) void say(struct nd_drill *d, const char *fmt, ...)
{
    va_list args;
    if (!d->options.verbose)
        return;
    fprintf(stderr, "%8.3f s  ", (double)(ft_now() - d->began) / 1e9);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

/* Only the first thing that went wrong is reported. */
static __attribute__((format(printf, 2, 3))) void fail_run(struct nd_drill_run *r, const char *fmt, ...)
{
    va_list args;
    if (r->failure[0] != 0)
        return;
    va_start(args, fmt);
    vsnprintf(r->failure, sizeof r->failure, fmt, args);
    va_end(args);
}

/* ── asking ── */

/* The answer (a new reference) or NULL, then `fault` has the reason; *error, which may be NULL, is always
 * set. */
static json_t *ask_node(struct nd_drill *d, unsigned node, const char *command, int timeout_ms, int *error,
                        struct ft_fault *fault)
{
    json_t *answer = NULL, *request = json_pack("{s:s}", "cmd", command);
    int e = nd_ask(d->config->node[node].control, request, timeout_ms, &answer, NULL, fault);
    json_decref(request);
    if (error != NULL)
        *error = e;
    return e < 0 ? NULL : answer;
}

/* 0 when it is not there */
static uint64_t number_of(const json_t *o, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* One that has to be there: without it the run has failed, and this is false. */
static bool read_field(struct nd_drill_run *r, const json_t *o, const char *key, uint64_t *out)
{
    const json_t *v = json_object_get(o, key);
    *out = (uint64_t)json_integer_value(v);
    if (!json_is_integer(v))
        fail_run(r, "a node's status has no number \"%s\"", key);
    return json_is_integer(v);
}

/* What one status reports of its node, and of its peer. False: a field is missing. */
static bool note_status(struct nd_sight *s, unsigned i, const char *name, const json_t *answer)
{
    json_int_t pid, guardian, view, held;
    const char *role, *state;
    const json_t *peer = json_object_get(answer, "peer");
    if (json_unpack((json_t *)answer, "{s:I,s:I,s:I,s:I,s:s,s:s}", "pid", &pid, "guardian_pid", &guardian,
                    "view", &view, "held_packets", &held, "role", &role, "state", &state) != 0)
        return false;
    snprintf(s->said[i], sizeof s->said[i], "%s %s (%s)", name, state, nd_text(answer, "why", ""));
    s->seen[i] = true;
    s->pid[i] = (pid_t)pid;
    s->guardian[i] = (pid_t)guardian;
    s->incarnation[i] = number_of(answer, "incarnation");
    if (strcmp(role, "primary") == 0) {
        s->place[i] = strcmp(state, "PROTECTED") == 0 ? ND_LEADS : ND_UNSETTLED;
        s->primary = i;
        s->view = (uint64_t)view;
        s->held = (double)held;
    } else if (strcmp(state, "READY") == 0) {
        s->place[i] = ND_FOLLOWS;
        s->peer_leads |= json_is_true(json_object_get(peer, "connected")) &&
                         strcmp(nd_text(peer, "state", ""), "PROTECTED") == 0;
        s->peer_view = (uint64_t)view;
    }
    return true;
}

/* Whether both places fit; the primary's place may be known by its standby's word alone. */
static bool is_settled(struct nd_sight *s)
{
    for (unsigned i = 0; i < ND_PAIR; i++) {
        enum nd_place other = s->place[1 - i];
        if (s->place[i] == ND_LEADS && (other == ND_FOLLOWS || other == ND_SILENT || other == ND_ABSENT)) {
            s->standby = 1 - i;
            return true;
        }
        if (s->place[i] == ND_FOLLOWS && other == ND_ABSENT && s->peer_leads) {
            s->standby = i;
            s->primary = 1 - i;
            s->view = s->peer_view;
            return true;
        }
    }
    return false;
}

/* True when one node is a PROTECTED primary, and the other, if it can be asked from here, its READY standby;
 * or when a READY standby reports a PROTECTED primary that cannot be asked from here. */
static bool look_at_pair(struct nd_drill *d, struct nd_sight *s, int *error)
{
    memset(s, 0, sizeof *s);
    s->held = -1;
    *error = FT_OK;
    for (unsigned i = 0; i < ND_PAIR; i++) {
        const char *name = d->config->node[i].name;
        json_t *answer = NULL, *request = json_pack("{s:s}", "cmd", "status");
        int e = nd_ask(d->config->node[i].control, request, ASK_MS, &answer, &s->listener[i], &s->why[i]);
        bool whole = answer == NULL || note_status(s, i, name, answer);
        json_decref(request);
        json_decref(answer);
        if (!whole) {
            *error = FT_EMALFORMED;
            return false;
        }
        if (e == FT_OK)
            continue;
        snprintf(s->said[i], sizeof s->said[i], "%s no answer", name);
        s->place[i] = e == FT_ENOENT ? ND_ABSENT : ND_SILENT;
        *error = *error == FT_OK || e == FT_EPERM ? e : *error;
    }
    return is_settled(s);
}

/* Waits until one node is a PROTECTED primary, and the other one its READY standby, wait_ms at most.
 * FT_ENOENT: no node answers, FT_EPERM, FT_EMALFORMED, FT_EIO. */
static int settle(struct nd_drill *d, struct nd_sight *s, struct ft_fault *fault)
{
    uint64_t end = waited(d) + d->wait_ms * ND_MS;
    int error = FT_OK;
    do {
        /* A node whose socket is not on this server is known by its peer's word. One that has a socket and is
         * only slow to answer is waited for, unless the file permits to do without. */
        if (look_at_pair(d, s, &error) &&
            (d->config->drill_permit || (s->place[0] != ND_SILENT && s->place[1] != ND_SILENT)))
            return FT_OK;
        nd_sleep(20 * ND_MS);
    } while (waited(d) < end && (d->hurt || !nd_interrupted()));
    if (!d->hurt && nd_interrupted())
        return ft_fail(fault, FT_EIO, "%s: ended before the pair was PROTECTED", d->config->file);
    if (error == FT_EPERM)
        return ft_fail(fault, FT_EPERM, "%s: no permission for the control socket", d->config->file);
    if (error == FT_EMALFORMED)
        return ft_fail(fault, error, "%s: a node's status lacks what a drill reads", d->config->file);
    if (!s->seen[0] && !s->seen[1])
        return ft_fail(fault, FT_ENOENT, "%s: no node answers", d->config->file);
    return ft_fail(fault, FT_EIO, "%s: the pair is not PROTECTED within %u ms: %s, %s", d->config->file,
                   d->wait_ms, s->said[0], s->said[1]);
}

/* The survivor is watched through its own socket. The victim may be on another server when it is to be killed
 * and nothing else, since its peer can ask it to do that. */
static int check_reach(const struct nd_drill *d, const struct nd_sight *s, struct ft_fault *fault)
{
    bool kills = d->kind == ND_DRILL_KILL || d->kind == ND_DRILL_STANDBY_KILL;
    unsigned victim = d->kind == ND_DRILL_STANDBY_KILL ? s->standby : s->primary;
    for (unsigned i = 0; i < ND_PAIR; i++) {
        if (s->place[i] != ND_ABSENT || (i == victim && kills && d->config->drill_permit))
            continue;
        return ft_fail(
            fault, FT_ENOENT, "%s: a drill \"%s\" has to reach node %s, %s: %s%s", d->config->file,
            nd_drill_kinds[d->kind], d->config->node[i].name,
            i == victim ? "which it hurts" : "which is to go on", s->why[i].text,
            i == victim && kills ? "; its peer may ask it where the file has drill: { permit: true }" : "");
    }
    return FT_OK;
}

/* What silence notices is measured as it is on most days: after the standby has listened to its primary. */
static void await_measured(struct nd_drill *d, const struct nd_sight *s)
{
    uint32_t listens = d->config->timing.listen_ms;
    uint64_t end = waited(d) + (listens + MEASURED_MS) * ND_MS;
    bool measured = !listens || (d->kind != ND_DRILL_SERVER_LOSS && d->kind != ND_DRILL_HANG);
    if (!measured)
        say(d, "waiting until %s has listened for %u ms", d->config->node[s->standby].name, listens);
    while (!measured && waited(d) < end && !nd_interrupted()) {
        json_t *answer = ask_node(d, s->standby, "status", ASK_MS, NULL, NULL);
        measured = json_is_true(json_object_get(json_object_get(answer, "detection"), "measured"));
        json_decref(answer);
        if (!measured)
            nd_sleep(100 * ND_MS);
    }
}

/* The same before a run: prints on stderr what it waits for. FT_ENOENT also: this kind of drill has to reach
 * a node whose socket is not here. */
static int await_ready(struct nd_drill *d, struct nd_sight *s, struct ft_fault *fault)
{
    int error;
    if (!look_at_pair(d, s, &error) && (s->seen[0] || s->seen[1]))
        fprintf(stderr, "understudy: waiting up to %.3g s for PROTECTED: %s, %s\n", d->wait_ms / 1e3,
                s->said[0], s->said[1]);
    error = settle(d, s, fault);
    if (error == FT_OK)
        error = check_reach(d, s, fault);
    if (error == FT_OK)
        await_measured(d, s);
    return error;
}

/* ── watching ── */

/* The run failed because something did not happen in time: with what both nodes report of themselves by
 * now. */
static void fail_in_time(struct nd_drill *d, struct nd_drill_run *r, const char *what, int ms)
{
    struct nd_sight s;
    int error;
    char held[48] = "";
    look_at_pair(d, &s, &error);
    if (s.held >= 0)
        snprintf(held, sizeof held, ", %.0f packets held", s.held);
    fail_run(r, "%s %s within %d ms: %s, %s%s", r->survivor, what, ms, s.said[0], s.said[1], held);
}

static bool note_takeover(struct nd_drill_run *r, const json_t *t)
{
    uint64_t suspected, replayed, released;
    if (!read_field(r, t, "suspected_ns", &suspected) || !read_field(r, t, "decided_ns", &r->decided_ns) ||
        !read_field(r, t, "replay_done_ns", &replayed) || !read_field(r, t, "first_release_ns", &released) ||
        !read_field(r, t, "tail_emitted", &r->tail_emitted) ||
        !read_field(r, t, "tail_suppressed", &r->tail_suppressed))
        return false;
    snprintf(r->reason, sizeof r->reason, "%s", nd_text(t, "reason", ""));
    if (r->reason[0] == 0)
        fail_run(r, "a node's takeover has no \"reason\"");
    if (suspected == 0)
        suspected = r->decided_ns;
    r->detect_ms = ms_between(r->at_ns, suspected);
    r->replay_ms = ms_between(r->decided_ns, replayed);
    r->first_packet_ms = ms_between(suspected, released);
    return r->reason[0] != 0;
}

/* One look: primary in a later view? *released: when its first packet left, 0: not yet. */
static bool see_takeover(struct nd_drill *d, unsigned node, struct nd_drill_run *r, uint64_t *released)
{
    json_t *answer = ask_node(d, node, "status", ASK_MS, NULL, NULL);
    bool primary =
        strcmp(nd_text(answer, "role", ""), "primary") == 0 && number_of(answer, "view") > r->view_before;
    *released = 0;
    if (primary) {
        const json_t *t = json_object_get(answer, "takeover");
        r->view_after = number_of(answer, "view");
        if (note_takeover(r, t))
            *released = number_of(t, "first_release_ns");
    }
    json_decref(answer);
    return primary;
}

/* Until the first packet of the takeover has left, or for a while. Returns when that was, 0: none has. */
static uint64_t await_release(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = waited(d) + RELEASE_MS * ND_MS, released = 0;
    bool failed = r->failure[0] != 0;
    do {
        see_takeover(d, node, r, &released);
        nd_sleep(ND_MS);
    } while (released == 0 && (failed || r->failure[0] == 0) && waited(d) < end);
    if (released == 0 && d->prober != NULL)
        fail_in_time(d, r, "took over but released nothing", RELEASE_MS);
    return released;
}

/* Polls `node` until it is primary in a later view and, unless it is strict, has released something. Returns
 * when that was, 0: never. */
static uint64_t await_takeover(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = waited(d) + TAKEOVER_MS * ND_MS, released = 0;
    bool primary = false;
    while (!primary && waited(d) < end) {
        primary = see_takeover(d, node, r, &released);
        if (!primary)
            nd_sleep(ND_MS);
    }
    if (!primary) {
        fail_in_time(d, r, "did not take over", TAKEOVER_MS);
        return 0;
    }
    /* A strict one holds until its peer is back. */
    if (released == 0 && !d->config->protect.strict)
        released = await_release(d, node, r);
    return released ? released : ft_now();
}

/* The primary without its standby: until it goes SOLO, or long enough to see that a strict one stays
 * DEGRADED. */
static uint64_t await_alone(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    const char *wanted = d->config->protect.strict ? "DEGRADED" : "SOLO";
    uint64_t end = waited(d) + (d->config->timing.solo_after_ms + LONE_MS) * ND_MS, when = 0;
    char state[32] = "";
    do {
        json_t *answer = ask_node(d, node, "status", ASK_MS, NULL, NULL);
        snprintf(state, sizeof state, "%s", nd_text(answer, "state", ""));
        json_decref(answer);
        if (when == 0 && strcmp(state, wanted) == 0)
            when = ft_now();
        nd_sleep(ND_MS);
    } while (waited(d) < end && !(when != 0 && !d->config->protect.strict));
    if (strcmp(state, wanted) != 0)
        fail_run(r, "%s is %s without its standby, %s expected", r->survivor, state, wanted);
    r->detect_ms = ms_between(r->at_ns, when);
    return when ? when : ft_now();
}

/* The woken node has to find itself fenced by a view after the one it was stopped in. */
static void await_fenced(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = waited(d) + TAKEOVER_MS * ND_MS;
    while (!r->was_fenced && waited(d) < end) {
        json_t *answer = ask_node(d, node, "status", ASK_MS, NULL, NULL);
        /* It may have been fenced before: in this run, by a later view. */
        r->was_fenced = number_of(json_object_get(answer, "fenced"), "view") > r->view_before;
        json_decref(answer);
        nd_sleep(ND_MS);
    }
    if (!r->was_fenced)
        fail_run(r, "%s was woken and did not say that it is fenced", r->victim);
}

/* Once it can release no more: did it, after it was replaced? Both clocks are this machine's. */
static void judge_fenced(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    json_t *answer = ask_node(d, node, "status", ASK_MS, NULL, NULL);
    const json_t *fenced = json_object_get(answer, "fenced");
    uint64_t checked, sent;
    if (answer == NULL) {
        fail_run(r, "%s does not answer after it was fenced", r->victim);
    } else if (r->decided_ns == 0) {
        fail_run(r, "it is not known when %s took over", r->survivor);
    } else if (read_field(r, fenced, "last_release_ns", &checked) &&
               read_field(r, fenced, "last_sent_ns", &sent) &&
               read_field(r, fenced, "dropped", &r->fenced_dropped)) {
        r->fenced_before_ms = checked ? ms_between(checked, r->decided_ns) : -1;
        r->released_after = checked > r->decided_ns;
        r->burst_in_flight = !r->released_after && sent > r->decided_ns;
        if (r->released_after)
            fail_run(r, "%s released outputs %.3f ms after %s had taken over", r->victim,
                     ms_between(r->decided_ns, checked), r->survivor);
    }
    json_decref(answer);
}

/* ==== are the states of both nodes equal? =========================================================== */

#define VERIFY_MS 12000 /* longer than the node itself waits for the standby's digest */
#define AGAIN_MS  100

/* How often each node has found a difference so far. */
struct counts {
    uint64_t of[ND_PAIR];
    bool known[ND_PAIR]; /* it answered */
    char last[200];      /* where the last one was, if there was any */
};

static void count_differences(struct nd_drill *d, struct counts *c)
{
    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < ND_PAIR; i++) {
        json_t *answer = ask_node(d, i, "status", ASK_MS, NULL, NULL);
        const json_t *diverged = json_object_get(answer, "diverged");
        c->known[i] = answer != NULL;
        c->of[i] = number_of(diverged, "count");
        if (json_is_object(diverged))
            snprintf(c->last, sizeof c->last, "%s", nd_text(diverged, "last", "no more is known"));
        json_decref(answer);
    }
}

/* True when the node has compared. */
static bool ask_verify(struct nd_drill *d, unsigned primary, struct nd_drill_run *r)
{
    struct ft_fault fault = {""};
    json_t *answer = ask_node(d, primary, "verify", VERIFY_MS, NULL, &fault);
    const json_t *equal = json_object_get(answer, "equal"), *error = json_object_get(answer, "error");
    bool compared = json_is_boolean(equal);
    if (compared)
        r->digests = json_is_true(equal) ? ND_DIGESTS_EQUAL : ND_DIGESTS_DIFFERENT;
    else
        snprintf(r->not_compared, sizeof r->not_compared, "verify: %.180s",
                 answer == NULL  ? fault.text
                 : error != NULL ? nd_text(error, "text", "refused")
                                 : "an answer without \"equal\"");
    for (unsigned i = 0; compared && i < ND_PAIR; i++)
        snprintf(r->digest[i], sizeof r->digest[i], "%s",
                 nd_text(json_object_get(answer, "digests"), d->config->node[i].name, ""));
    json_decref(answer);
    return compared;
}

/* They were not, and this is why: the run has failed. */
static void fail_uncompared(struct nd_drill_run *r, const char *why)
{
    r->digests = ND_DIGESTS_NOT_COMPARED;
    if (why != r->not_compared)
        snprintf(r->not_compared, sizeof r->not_compared, "%.199s", why);
    fail_run(r, "the states were not compared: %s", r->not_compared);
}

/* Asks the primary to compare both states, again and again while it refuses, wait_ms at most. Sets the run's
 * digests; anything but equal fails the run. */
static void compare_states(struct nd_drill *d, unsigned primary, struct nd_drill_run *r)
{
    uint64_t end = waited(d) + d->wait_ms * ND_MS;
    struct counts before, after = {.of = {0}};
    count_differences(d, &before);
    bool first = ask_verify(d, primary, r), compared = first;
    if (!compared)
        say(d, "%s; asked again", r->not_compared);
    while (!compared && waited(d) < end) {
        nd_sleep(AGAIN_MS * ND_MS);
        compared = ask_verify(d, primary, r);
    }
    /* A difference ends the pair, perhaps before verify is answered; after the resync the states are
     * equal. */
    if (!first)
        count_differences(d, &after);
    bool more = false;
    for (unsigned i = 0; i < ND_PAIR; i++)
        more |= before.known[i] && after.known[i] && after.of[i] > before.of[i];
    if (r->digests != ND_DIGESTS_DIFFERENT && more) {
        r->digests = ND_DIGESTS_DIFFERENT;
        fail_run(r, "the states differed before a resync: %s", after.last);
    } else if (!compared) {
        fail_uncompared(r, r->not_compared);
    } else if (r->digests == ND_DIGESTS_DIFFERENT && r->digest[0][0] && r->digest[1][0]) {
        fail_run(r, "the digests of the two regions differ: %s %s, %s %s", d->config->node[0].name,
                 r->digest[0], d->config->node[1].name, r->digest[1]);
    } else if (r->digests == ND_DIGESTS_DIFFERENT) {
        fail_run(r, "verify says that the two regions differ, and names no digests");
    }
    if (r->digests != ND_DIGESTS_NOT_COMPARED)
        r->not_compared[0] = 0;
}

/* ==== one drill ======================================================================================== */

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
    r->at_ns = ft_now();
    r->asked = true;
    int error = nd_ask(d->config->node[through].control, request, ASK_MS, &answer, NULL, fault);
    json_decref(request);
    if (error == FT_OK && refusal_of(answer) != NULL)
        error = ft_fail(fault, FT_EPERM, "%s: %s", d->config->node[through].name, refusal_of(answer));
    json_decref(answer);
    return error;
}

struct victim {
    struct nd_process node, guardian; /* guardian.handle -1: there is none, or it is not hurt */
};

/* Of the node's status only what the kernel confirms is believed: the process that listens at the control
 * socket is what is hurt. */
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
        error = nd_process_start(&v->node, d->options.file, d->config->node[node].name, true, fault);
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
    r->at_ns = ft_now();
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
        fail_run(r, "%s", fault.text);
    for (int waited = 0; waited < SUPERVISOR_MS; waited += 20) {
        json_t *answer = ask_node(d, node, "status", ASK_MS, NULL, NULL);
        bool there = answer != NULL && (pid_t)number_of(answer, "pid") != victim->pid;
        json_decref(answer);
        if (there) {
            r->back_ms = ms_between(r->at_ns, ft_now());
            return;
        }
        nd_sleep(20 * ND_MS);
    }
    say(d, "%s is started again", r->victim);
    if (nd_process_start(victim, d->options.file, r->victim, false, &fault) < 0)
        fail_run(r, "%s", fault.text);
    else
        r->back_ms = ms_between(r->at_ns, ft_now());
}

static void wake_victim(struct nd_drill *d, const struct nd_process *victim, unsigned node,
                        struct nd_drill_run *r)
{
    struct ft_fault fault;
    nd_sleep(ASLEEP_MS * ND_MS); /* long enough that it believes nothing happened */
    say(d, "%s is woken", r->victim);
    r->back_ms = ms_between(r->at_ns, ft_now());
    if (nd_process_signal(victim, SIGCONT, &fault) < 0)
        fail_run(r, "%s", fault.text);
    else
        await_fenced(d, node, r);
}

static int ask_handover(struct nd_drill *d, unsigned primary, struct nd_drill_run *r, struct ft_fault *fault)
{
    int error;
    r->at_ns = ft_now();
    json_t *answer = ask_node(d, primary, "drain", HANDOVER_MS, &error, fault);
    if (answer == NULL)
        return error;
    if (refusal_of(answer) != NULL)
        fail_run(r, "%s refuses: %.100s", r->victim, refusal_of(answer));
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
    nd_probe_await_answers(d->prober, end);
    nd_probe_figures(d->prober, r->at_ns - ND_BEFORE_MS * ND_MS, end, &r->seen);
    nd_probe_figures(d->prober, r->at_ns, over + ND_AFTER_MS * ND_MS, &f);
    r->outage_ms = f.silence_ms;
    r->flow_silence_ms = f.flow_silence_ms;
    r->flow_worst_ms = f.flow_worst_ms;
    nd_probe_figures(d->prober, over + ND_AFTER_MS * ND_MS, end, &f);
    r->resync_silence_ms = f.silence_ms;
    if (r->seen.contradicted > 0)
        fail_run(r, "%lu answers contradict what was sent", r->seen.contradicted);
    else if (r->seen.flows_broken > 0)
        fail_run(r, "%lu TCP flows broke", r->seen.flows_broken);
    else if (d->kind == ND_DRILL_PLANNED && r->seen.lost > 0)
        fail_run(r, "%lu probes were lost in a planned handover", r->seen.lost);
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
    r->incarnation = s->incarnation[1 - victim];
}

/* What is common to all drills once the victim was hurt: it comes back, the pair settles, digests, figures.
 * `over`: when the survivor went on, 0: it did not. */
static void end_run(struct nd_drill *d, unsigned victim, uint64_t over, struct nd_drill_run *r)
{
    bool took = over != 0 && d->kind != ND_DRILL_STANDBY_KILL;
    struct ft_fault fault;
    struct nd_sight s;
    if (settle(d, &s, &fault) < 0) {
        fail_run(r, "%s", fault.text);
        fail_uncompared(r, fault.text);
    } else {
        r->protected_ms = ms_between(r->at_ns, ft_now());
        say(d, "PROTECTED again, %s is primary, view %lu", d->config->node[s.primary].name, s.view);
        uint64_t expected = r->view_before + (d->kind != ND_DRILL_STANDBY_KILL);
        r->false_takeovers = s.view > expected ? s.view - expected : 0;
        r->view_after = s.view;
        /* State outlives a run in the survivor alone: a pair of which both nodes began anew has equal states
         * too. */
        if (s.incarnation[1 - victim] == 0 || r->incarnation == 0)
            fail_run(r, "%s did not say which process it is: whether state outlived the run is not known",
                     r->survivor);
        else if (s.incarnation[1 - victim] != r->incarnation)
            fail_run(r, "%s was started again meanwhile: no state outlived the run", r->survivor);
        if (took && d->config->protect.strict && s.view == expected) {
            uint64_t released = await_release(d, 1 - victim, r);
            over = released ? released : ft_now();
        }
        if (r->was_fenced)
            judge_fenced(d, victim, r);
        compare_states(d, s.primary, r);
    }
    ask_prober(d, r, over ? over : ft_now(), ft_now());
    d->quiet_since = ft_now();
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
        say(d, "%s: %s (pid %d), view %lu, %.0f packets held", nd_drill_kinds[kind], r->victim,
            (int)s->pid[victim], s->view, s->held);
    else if (error == FT_OK)
        say(d, "%s: %s is asked through its peer to kill itself, view %lu", nd_drill_kinds[kind], r->victim,
            s->view);
    return error;
}

/* Returns when the survivor went on, 0: it did not. */
static uint64_t await_survivor(struct nd_drill *d, unsigned survivor, struct nd_drill_run *r)
{
    bool alone = d->kind == ND_DRILL_STANDBY_KILL;
    uint64_t over = 0;
    if (r->failure[0] == 0)
        over = alone ? await_alone(d, survivor, r) : await_takeover(d, survivor, r);
    if (r->failure[0] != 0)
        say(d, "%s", r->failure);
    else
        say(d, "%s %s after %.1f ms", r->survivor,
            alone                       ? "goes on alone"
            : d->config->protect.strict ? "is primary and holds"
                                        : "released its first packet",
            ms_between(r->at_ns, over));
    return over;
}

/* One run; a drill that did not end well is FT_OK with out->failure. FT_ENOENT, FT_EPERM, FT_EIO: it could
 * not begin. */
static int run_once(struct nd_drill *d, struct nd_drill_run *r, struct ft_fault *fault)
{
    enum nd_drill_kind kind = d->kind;
    struct victim met = {.node = ND_NO_PROCESS, .guardian = ND_NO_PROCESS};
    struct nd_sight s;
    int error = await_ready(d, &s, fault);
    if (error < 0)
        return error;
    if (d->prober != NULL)
        nd_sleep(BASELINE_MS * ND_MS);
    /* Once more: a busy machine may have kept a node from answering meanwhile. */
    error = settle(d, &s, fault);
    if (error < 0)
        return error;
    unsigned victim = kind == ND_DRILL_STANDBY_KILL ? s.standby : s.primary;
    bool here = s.seen[victim] && kind != ND_DRILL_PLANNED;
    begin_run(d, &s, victim, r);
    r->held = s.held;
    error = here ? meet_victim(d, &s, victim, &met, fault) : FT_OK;
    if (error == FT_OK) {
        add_baseline(d, ft_now());
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

/* With options, kind and configuration filled in: starts the prober. FT_ENOENT: no node answers, FT_EPERM,
 * FT_EIO. */
static int open_drill(struct nd_drill *d, struct ft_fault *fault)
{
    const struct nd_config *config = d->config;
    struct nd_sight s;
    d->began = ft_now();
    int error = await_ready(d, &s, fault);
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
    d->quiet_since = ft_now();
    return error;
}

/* ==== the command ====================================================================================== */

#define AT(field) offsetof(struct nd_drill_options, field)

static const struct nd_option rows[] = {
    ND_OPTION_FILE_ROW(AT(file), "configuration"),
    {"repeat", 0, ND_OPTION_U32, AT(repeat), 1, 100000, "1", .value = "N", .help = "run the drill N times"},
    {"flows", 0, ND_OPTION_U32, AT(flows), 0, ND_PROBE_FLOWS_MAX, "8", .value = "N",
     .help = "TCP flows of the prober"},
    {"no-probe", 0, ND_OPTION_FLAG, AT(no_probe), .help = "leave out the prober that the file configures"},
    {"verbose", 'v', ND_OPTION_FLAG, AT(verbose), .help = "tell each step on stderr"},
    {"report", 0, ND_OPTION_TEXT, AT(report), .value = "FILE",
     .help = "write a page with a timeline of each run to this file, HTML"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};

const struct nd_syntax nd_drill_syntax = {"drill", rows, "KIND", 1, 1};

static int repeat_drill(struct nd_drill *d)
{
    uint32_t times_wanted = d->options.repeat;
    struct nd_drill_run *runs = calloc(times_wanted, sizeof *runs);
    struct ft_fault fault = {""};
    unsigned count = 0, bad = 0;
    int error = runs ? FT_OK : ft_fail(&fault, FT_ENOMEM, "no memory"), code = ND_DONE;
    while (error == FT_OK && count < times_wanted && !nd_interrupted()) {
        error = run_once(d, &runs[count], &fault);
        if (error != FT_OK)
            break;
        if (runs[count++].failure[0] != 0) {
            fprintf(stderr, "understudy: %s, run %u: %s\n", nd_drill_kinds[d->kind], count,
                    runs[count - 1].failure);
            bad++;
        }
    }
    if (error < 0)
        fprintf(stderr, "understudy: %s\n", fault.text);
    int written = d->options.report ? nd_drill_report(d, runs, count, fault.text) : ND_DONE;
    code = nd_drill_print(d, runs, count);
    free(runs);
    if (error == FT_ENOENT || error == FT_EPERM)
        return nd_exit_of(error);
    code = code != ND_DONE ? code : written;
    return code != ND_DONE ? code : error < 0 || bad > 0 || count < times_wanted ? ND_NOT_EQUAL : ND_DONE;
}

static int run_drills(struct nd_drill *d)
{
    struct ft_fault fault = {""};
    int error;
    nd_catch_ends(); /* a node that was hurt is brought back first */
    signal(SIGPIPE, SIG_IGN);
    if ((error = open_drill(d, &fault)) == FT_OK)
        return repeat_drill(d);
    fprintf(stderr, "understudy: %s\n", fault.text);
    if (d->options.report)
        nd_drill_report(d, NULL, 0, fault.text);
    return error == FT_ENOENT || error == FT_EPERM ? nd_exit_of(error) : ND_NOT_EQUAL;
}

int nd_cmd_drill(int argc, char **argv)
{
    struct nd_drill drill = {.wait_ms = 30000};
    struct nd_pair pair = {.only = -1};
    struct nd_arguments rest;
    int code;
    if ((code = nd_syntax_read(&nd_drill_syntax, &drill.options, argc, argv, &rest)) != 0)
        return code;
    while (drill.kind < ND_DRILL_KINDS && strcmp(rest.argv[0], nd_drill_kinds[drill.kind]) != 0)
        drill.kind++;
    if (drill.kind == ND_DRILL_KINDS)
        return nd_usage("drill",
                        "unknown kind \"%.40s\": kill, server-loss, hang, standby-kill or planned expected",
                        rest.argv[0]);
    pair.options.file = drill.options.file;
    if ((code = nd_pair_begin(&pair, "drill")) != 0)
        return code;
    nd_pair_ask_status(
        &pair); /* of a file with more nodes, the two that are the pair stand first from now on */
    drill.config = pair.config;
    if ((code = nd_report_open(&drill.report, "drill", drill.options.report)) == ND_DONE)
        code = run_drills(&drill);
    nd_report_drop(&drill.report);
    nd_probe_free(drill.prober);
    nd_pair_close(&pair);
    return code;
}
