/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The looking half of a drill: asks both control sockets and waits for what should come. See
 * tools/drill/drill.h.
 */
#include "tools/drill/drill.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RELEASE_MS 2000 /* from the takeover to its first packet; without traffic there is none */
#define LONE_MS    500  /* how long a strict primary is watched without its standby, beyond solo_after_ms */

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

bool nd_drill_look(struct nd_drill *d, struct nd_sight *s, int *error)
{
    bool primary = false, standby = true;
    memset(s, 0, sizeof *s);
    *error = FT_OK;
    for (unsigned i = 0; i < ND_NODES; i++) {
        json_int_t pid, guardian, view, held;
        const char *role, *state;
        int e;
        json_t *answer = nd_drill_ask(d, i, "status", ND_ASK_MS, &e, NULL);
        if (answer == NULL) {
            *error = *error == FT_OK || e == FT_EPERM ? e : *error;
            continue;
        }
        if (json_unpack(answer, "{s:I,s:I,s:I,s:I,s:s,s:s}", "pid", &pid, "guardian_pid", &guardian, "view",
                        &view, "held_packets", &held, "role", &role, "state", &state) != 0) {
            *error = FT_EMALFORMED;
            json_decref(answer);
            return false;
        }
        s->seen[i] = true;
        s->pid[i] = (pid_t)pid;
        s->guardian[i] = (pid_t)guardian;
        if (strcmp(role, "primary") == 0) {
            s->primary = i;
            s->standby = 1 - i;
            s->view = (uint64_t)view;
            s->held = (uint64_t)held;
            primary = !primary && strcmp(state, "PROTECTED") == 0;
        } else {
            standby = standby && strcmp(state, "READY") == 0;
        }
        json_decref(answer);
    }
    return primary && standby;
}

int nd_drill_settle(struct nd_drill *d, struct nd_sight *s, struct ft_fault *fault)
{
    uint64_t end = nd_now() + d->wait_ms * ND_MS;
    int error = FT_OK;
    do {
        /* Both nodes of this machine have to be there; a node elsewhere is known by its peer's word. */
        if (nd_drill_look(d, s, &error) && (s->seen[0] == s->seen[1] || d->config->drill_permit))
            return FT_OK;
        nd_sleep(20 * ND_MS);
    } while (nd_now() < end);
    if (error == FT_EPERM)
        return ft_fail(fault, FT_EPERM, "%s: no permission for the control socket", d->config->file);
    if (error == FT_EMALFORMED)
        return ft_fail(fault, error, "%s: a node's status lacks what a drill reads", d->config->file);
    if (!s->seen[0] && !s->seen[1])
        return ft_fail(fault, FT_ENOENT, "%s: no node answers", d->config->file);
    return ft_fail(fault, FT_EIO, "%s: the pair is not PROTECTED within %u ms", d->config->file, d->wait_ms);
}

/* ── watching ── */

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
    r->outage_ms = nd_drill_ms(r->at_ns, released);
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
        nd_drill_failed(r, "%s took over but released nothing within %d ms", r->survivor, RELEASE_MS);
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
        nd_drill_failed(r, "%s did not take over within %d ms", r->survivor, ND_TAKEOVER_MS);
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
