/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The looking half of a drill: asks both control sockets, waits for what should come, and at the end asks the
 * primary to compare both states, which it can refuse: then nothing was compared, which is not the same as a
 * difference. See tools/drill/drill.h.
 */
#include "node/base/clock.h"
#include "tools/drill/drill.h"
#include "tools/pair/child.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const nd_drill_kinds[ND_DRILL_KINDS] = {"kill", "server-loss", "hang", "standby-kill", "planned"};

#define RELEASE_MS  2000 /* from the takeover to its first packet; without traffic there is none */
#define MEASURED_MS 2000 /* for the standby to have listened, beyond listen_ms */
#define LONE_MS     500  /* how long a strict primary is watched without its standby, beyond solo_after_ms */

double nd_drill_ms(uint64_t from, uint64_t to)
{
    return from == 0 || to == 0 ? -1 : ((double)to - (double)from) / 1e6;
}

void nd_drill_say(struct nd_drill *d, const char *fmt, ...)
{
    va_list args;
    if (!d->options.verbose)
        return;
    fprintf(stderr, "%8.3f s  ", (double)(nd_now() - d->began) / 1e9);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void nd_drill_failed(struct nd_drill_run *r, const char *fmt, ...)
{
    va_list args;
    if (r->failure[0] != 0)
        return;
    va_start(args, fmt);
    vsnprintf(r->failure, sizeof r->failure, fmt, args);
    va_end(args);
}

/* ── asking ── */

json_t *nd_drill_ask(struct nd_drill *d, unsigned node, const char *command, int timeout_ms, int *error,
                     struct ft_fault *fault)
{
    json_t *answer = NULL, *request = json_pack("{s:s}", "cmd", command);
    int e = nd_ask(d->config->node[node].control, request, timeout_ms, &answer, fault);
    json_decref(request);
    if (error != NULL)
        *error = e;
    return e < 0 ? NULL : answer;
}

static json_t *ask_status(struct nd_drill *d, unsigned node, struct nd_listener *listener, int *error,
                          struct ft_fault *fault)
{
    json_t *answer = NULL, *request = json_pack("{s:s}", "cmd", "status");
    *error = nd_ask_whom(d->config->node[node].control, request, ND_ASK_MS, &answer, listener, fault);
    json_decref(request);
    return answer;
}

uint64_t nd_drill_number(const json_t *o, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* One that has to be there: without it the run has failed, and this is false. */
static bool read_field(struct nd_drill_run *r, const json_t *o, const char *key, uint64_t *out)
{
    const json_t *v = json_object_get(o, key);
    *out = (uint64_t)json_integer_value(v);
    if (!json_is_integer(v))
        nd_drill_failed(r, "a node's status has no number \"%s\"", key);
    return json_is_integer(v);
}

/* What one status says of its node, and of its peer. False: a field is missing. */
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
    for (unsigned i = 0; i < ND_NODES; i++) {
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

bool nd_drill_look(struct nd_drill *d, struct nd_sight *s, int *error)
{
    memset(s, 0, sizeof *s);
    s->held = -1;
    *error = FT_OK;
    for (unsigned i = 0; i < ND_NODES; i++) {
        const char *name = d->config->node[i].name;
        int e;
        json_t *answer = ask_status(d, i, &s->listener[i], &e, &s->why[i]);
        bool whole = answer == NULL || note_status(s, i, name, answer);
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

int nd_drill_settle(struct nd_drill *d, struct nd_sight *s, struct ft_fault *fault)
{
    uint64_t end = nd_now() + d->wait_ms * ND_MS;
    int error = FT_OK;
    do {
        /* A node whose socket is not on this server is known by its peer's word. One that has a socket and is
         * only slow to answer is waited for, unless the file permits to do without. */
        if (nd_drill_look(d, s, &error) &&
            (d->config->drill_permit || (s->place[0] != ND_SILENT && s->place[1] != ND_SILENT)))
            return FT_OK;
        nd_sleep(20 * ND_MS);
    } while (nd_now() < end && (d->hurt || !nd_interrupted()));
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
    for (unsigned i = 0; i < ND_NODES; i++) {
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
    uint64_t end = nd_now() + (listens + MEASURED_MS) * ND_MS;
    bool measured = !listens || (d->kind != ND_DRILL_SERVER_LOSS && d->kind != ND_DRILL_HANG);
    if (!measured)
        nd_drill_say(d, "waiting until %s has listened for %u ms", d->config->node[s->standby].name, listens);
    while (!measured && nd_now() < end && !nd_interrupted()) {
        json_t *answer = nd_drill_ask(d, s->standby, "status", ND_ASK_MS, NULL, NULL);
        measured = json_is_true(json_object_get(json_object_get(answer, "detection"), "measured"));
        json_decref(answer);
        if (!measured)
            nd_sleep(100 * ND_MS);
    }
}

int nd_drill_ready(struct nd_drill *d, struct nd_sight *s, struct ft_fault *fault)
{
    int error;
    if (!nd_drill_look(d, s, &error) && (s->seen[0] || s->seen[1]))
        fprintf(stderr, "understudy: waiting up to %.3g s for PROTECTED: %s, %s\n", d->wait_ms / 1e3,
                s->said[0], s->said[1]);
    error = nd_drill_settle(d, s, fault);
    if (error == FT_OK)
        error = check_reach(d, s, fault);
    if (error == FT_OK)
        await_measured(d, s);
    return error;
}

/* ── watching ── */

/* The run failed because something did not happen in time: with what both nodes say of themselves by now. */
static void fail_in_time(struct nd_drill *d, struct nd_drill_run *r, const char *what, int ms)
{
    struct nd_sight s;
    int error;
    char held[48] = "";
    nd_drill_look(d, &s, &error);
    if (s.held >= 0)
        snprintf(held, sizeof held, ", %.0f packets held", s.held);
    nd_drill_failed(r, "%s %s within %d ms: %s, %s%s", r->survivor, what, ms, s.said[0], s.said[1], held);
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
        nd_drill_failed(r, "a node's takeover has no \"reason\"");
    if (suspected == 0)
        suspected = r->decided_ns;
    r->detect_ms = nd_drill_ms(r->at_ns, suspected);
    r->replay_ms = nd_drill_ms(r->decided_ns, replayed);
    r->first_packet_ms = nd_drill_ms(suspected, released);
    return r->reason[0] != 0;
}

/* One look: primary in a later view? *released: when its first packet left, 0: not yet. */
static bool see_takeover(struct nd_drill *d, unsigned node, struct nd_drill_run *r, uint64_t *released)
{
    json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
    bool primary = strcmp(nd_text(answer, "role", ""), "primary") == 0 &&
                   nd_drill_number(answer, "view") > r->view_before;
    *released = 0;
    if (primary) {
        const json_t *t = json_object_get(answer, "takeover");
        r->view_after = nd_drill_number(answer, "view");
        if (note_takeover(r, t))
            *released = nd_drill_number(t, "first_release_ns");
    }
    json_decref(answer);
    return primary;
}

uint64_t nd_drill_await_release(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = nd_now() + RELEASE_MS * ND_MS, released = 0;
    bool failed = r->failure[0] != 0;
    do {
        see_takeover(d, node, r, &released);
        nd_sleep(ND_MS);
    } while (released == 0 && (failed || r->failure[0] == 0) && nd_now() < end);
    if (released == 0 && d->prober != NULL)
        fail_in_time(d, r, "took over but released nothing", RELEASE_MS);
    return released;
}

uint64_t nd_drill_await_takeover(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = r->at_ns + ND_TAKEOVER_MS * ND_MS, released = 0;
    bool primary = false;
    while (!primary && nd_now() < end) {
        primary = see_takeover(d, node, r, &released);
        if (!primary)
            nd_sleep(ND_MS);
    }
    if (!primary) {
        fail_in_time(d, r, "did not take over", ND_TAKEOVER_MS);
        return 0;
    }
    /* A strict one holds until its peer is back. */
    if (released == 0 && !d->config->protect.strict)
        released = nd_drill_await_release(d, node, r);
    return released ? released : nd_now();
}

uint64_t nd_drill_await_alone(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    const char *wanted = d->config->protect.strict ? "DEGRADED" : "SOLO";
    uint64_t end = r->at_ns + (d->config->timing.solo_after_ms + LONE_MS) * ND_MS, when = 0;
    char state[32] = "";
    do {
        json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
        snprintf(state, sizeof state, "%s", nd_text(answer, "state", ""));
        json_decref(answer);
        if (when == 0 && strcmp(state, wanted) == 0)
            when = nd_now();
        nd_sleep(ND_MS);
    } while (nd_now() < end && !(when != 0 && !d->config->protect.strict));
    if (strcmp(state, wanted) != 0)
        nd_drill_failed(r, "%s is %s without its standby, %s expected", r->survivor, state, wanted);
    r->detect_ms = nd_drill_ms(r->at_ns, when);
    return when ? when : nd_now();
}

void nd_drill_await_fenced(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = nd_now() + ND_TAKEOVER_MS * ND_MS;
    while (!r->was_fenced && nd_now() < end) {
        json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
        /* It may have been fenced before: in this run, by a later view. */
        r->was_fenced = nd_drill_number(json_object_get(answer, "fenced"), "view") > r->view_before;
        json_decref(answer);
        nd_sleep(ND_MS);
    }
    if (!r->was_fenced)
        nd_drill_failed(r, "%s was woken and did not say that it is fenced", r->victim);
}

void nd_drill_judge_fenced(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
    const json_t *fenced = json_object_get(answer, "fenced");
    uint64_t checked, sent;
    if (answer == NULL) {
        nd_drill_failed(r, "%s does not answer after it was fenced", r->victim);
    } else if (r->decided_ns == 0) {
        nd_drill_failed(r, "it is not known when %s took over", r->survivor);
    } else if (read_field(r, fenced, "last_release_ns", &checked) &&
               read_field(r, fenced, "last_sent_ns", &sent) &&
               read_field(r, fenced, "dropped", &r->fenced_dropped)) {
        r->fenced_before_ms = checked ? nd_drill_ms(checked, r->decided_ns) : -1;
        r->released_after = checked > r->decided_ns;
        r->burst_in_flight = !r->released_after && sent > r->decided_ns;
        if (r->released_after)
            nd_drill_failed(r, "%s released outputs %.3f ms after %s had taken over", r->victim,
                            nd_drill_ms(r->decided_ns, checked), r->survivor);
    }
    json_decref(answer);
}

/* ==== are the states of both nodes equal? =========================================================== */

#define VERIFY_MS 12000 /* longer than the node itself waits for the standby's digest */
#define AGAIN_MS  100

/* How often each node has found a difference so far. */
struct counts {
    uint64_t of[ND_NODES];
    bool known[ND_NODES]; /* it answered */
    char last[200];       /* where the last one was, if there was any */
};

static void count_differences(struct nd_drill *d, struct counts *c)
{
    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < ND_NODES; i++) {
        json_t *answer = nd_drill_ask(d, i, "status", ND_ASK_MS, NULL, NULL);
        const json_t *diverged = json_object_get(answer, "diverged");
        c->known[i] = answer != NULL;
        c->of[i] = nd_drill_number(diverged, "count");
        if (json_is_object(diverged))
            snprintf(c->last, sizeof c->last, "%s", nd_text(diverged, "last", "no more is known"));
        json_decref(answer);
    }
}

static bool has_found_more(const struct counts *before, const struct counts *after)
{
    bool more = false;
    for (unsigned i = 0; i < ND_NODES; i++)
        more |= before->known[i] && after->known[i] && after->of[i] > before->of[i];
    return more;
}

/* True when the node has compared. */
static bool ask_verify(struct nd_drill *d, unsigned primary, struct nd_drill_run *r)
{
    struct ft_fault fault = {""};
    json_t *answer = nd_drill_ask(d, primary, "verify", VERIFY_MS, NULL, &fault);
    const json_t *equal = json_object_get(answer, "equal"), *error = json_object_get(answer, "error");
    bool compared = json_is_boolean(equal);
    if (compared)
        r->digests = json_is_true(equal) ? ND_DIGESTS_EQUAL : ND_DIGESTS_DIFFERENT;
    else
        snprintf(r->not_compared, sizeof r->not_compared, "verify: %.180s",
                 answer == NULL  ? fault.text
                 : error != NULL ? nd_text(error, "text", "refused")
                                 : "an answer without \"equal\"");
    for (unsigned i = 0; compared && i < ND_NODES; i++)
        snprintf(r->digest[i], sizeof r->digest[i], "%s",
                 nd_text(json_object_get(answer, "digests"), d->config->node[i].name, ""));
    json_decref(answer);
    return compared;
}

void nd_drill_not_compared(struct nd_drill_run *r, const char *why)
{
    r->digests = ND_DIGESTS_NOT_COMPARED;
    if (why != r->not_compared)
        snprintf(r->not_compared, sizeof r->not_compared, "%.199s", why);
    nd_drill_failed(r, "the states were not compared: %s", r->not_compared);
}

void nd_drill_compare(struct nd_drill *d, unsigned primary, struct nd_drill_run *r)
{
    uint64_t end = nd_now() + d->wait_ms * ND_MS;
    struct counts before, after = {.of = {0}};
    count_differences(d, &before);
    bool first = ask_verify(d, primary, r), compared = first;
    if (!compared)
        nd_drill_say(d, "%s; asked again", r->not_compared);
    while (!compared && nd_now() < end) {
        nd_sleep(AGAIN_MS * ND_MS);
        compared = ask_verify(d, primary, r);
    }
    /* A difference ends the pair, perhaps before verify is told; after the resync the states are equal. */
    if (!first)
        count_differences(d, &after);
    if (r->digests != ND_DIGESTS_DIFFERENT && has_found_more(&before, &after)) {
        r->digests = ND_DIGESTS_DIFFERENT;
        nd_drill_failed(r, "the states differed before a resync: %s", after.last);
    } else if (!compared) {
        nd_drill_not_compared(r, r->not_compared);
    } else if (r->digests == ND_DIGESTS_DIFFERENT && r->digest[0][0] && r->digest[1][0]) {
        nd_drill_failed(r, "the digests of the two regions differ: %s %s, %s %s", d->config->node[0].name,
                        r->digest[0], d->config->node[1].name, r->digest[1]);
    } else if (r->digests == ND_DIGESTS_DIFFERENT) {
        nd_drill_failed(r, "verify says that the two regions differ, and names no digests");
    }
    if (r->digests != ND_DIGESTS_NOT_COMPARED)
        r->not_compared[0] = 0;
}
