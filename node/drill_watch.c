/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The looking half of a drill: asks both control sockets and waits for what should come. See
 * node/drill_parts.h.
 */
#include "node/drill_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RELEASE_MS 2000 /* from the takeover to its first packet; without traffic there is none */
#define LONE_MS    500  /* how long a strict primary is watched without its standby, beyond solo_after_ms */
#define STALE_MAX  32   /* G5: at most one burst that was already stable */

void nd_drill_nap(long us)
{
    nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
}

double nd_drill_ms(uint64_t from, uint64_t to)
{
    return from == 0 || to == 0 ? -1 : ((double)to - (double)from) / 1e6;
}

void nd_drill_say(struct nd_drill *d, const char *fmt, ...)
{
    char line[256];
    va_list args;
    if (d->options.say == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    d->options.say(line, d->options.ctx);
}

/* The first thing that went wrong is the one that is told. */
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

const char *nd_drill_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

uint64_t nd_drill_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    double x = json_number_value(v);
    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : x > 0 ? (uint64_t)x : 0;
}

/* True when one node is a PROTECTED primary, and the other, if it can be asked from here, its READY standby.
 */
bool nd_drill_look(struct nd_drill *d, struct nd_sight *s, int *error)
{
    bool primary = false, standby = true;
    memset(s, 0, sizeof *s);
    *error = FT_OK;
    for (unsigned i = 0; i < ND_NODES; i++) {
        int e;
        json_t *answer = nd_drill_ask(d, i, "status", ND_ASK_MS, &e, NULL);
        if (answer == NULL) {
            *error = *error == FT_OK || e == FT_EPERM ? e : *error;
            continue;
        }
        s->seen[i] = true;
        s->pid[i] = (pid_t)nd_drill_number(answer, "pid");
        s->guardian[i] = (pid_t)nd_drill_number(answer, "guardian_pid");
        if (strcmp(nd_drill_text(answer, "role"), "primary") == 0) {
            s->primary = i;
            s->standby = 1 - i;
            s->view = nd_drill_number(answer, "view");
            s->held = nd_drill_number(answer, "held_packets");
            primary = !primary && strcmp(nd_drill_text(answer, "state"), "PROTECTED") == 0;
        } else {
            standby = standby && strcmp(nd_drill_text(answer, "state"), "READY") == 0;
        }
        json_decref(answer);
    }
    return primary && standby;
}

int nd_drill_settle(struct nd_drill *d, struct nd_sight *s, struct ft_fault *fault)
{
    uint64_t end = nd_probe_now() + d->options.wait_ms * 1000000ull;
    int error = FT_OK;
    do {
        /* Both nodes of this machine have to be there; a node elsewhere is known by its peer's word. */
        if (nd_drill_look(d, s, &error) && (s->seen[0] == s->seen[1] || d->config->drill_permit))
            return FT_OK;
        nd_drill_nap(20000);
    } while (nd_probe_now() < end);
    if (error == FT_EPERM)
        return ft_fail(fault, FT_EPERM, "%s: no permission for the control socket", d->config->file);
    if (!s->seen[0] && !s->seen[1])
        return ft_fail(fault, FT_ENOENT, "%s: no node answers", d->config->file);
    return ft_fail(fault, FT_EIO, "%s: the pair is not PROTECTED within %u ms", d->config->file,
                   d->options.wait_ms);
}

/* ── watching ── */

static void note_takeover(struct nd_drill_run *r, const json_t *t)
{
    uint64_t suspected = nd_drill_number(t, "suspected_ns"), decided = nd_drill_number(t, "decided_ns");
    if (suspected == 0)
        suspected = decided;
    r->detect_ms = nd_drill_ms(r->at_ns, suspected);
    r->replay_ms = nd_drill_ms(decided, nd_drill_number(t, "replay_done_ns"));
    r->first_packet_ms = nd_drill_ms(suspected, nd_drill_number(t, "first_release_ns"));
    r->outage_ms = nd_drill_ms(r->at_ns, nd_drill_number(t, "first_release_ns"));
    r->replayed_bursts = nd_drill_number(t, "replayed_bursts");
    r->tail_emitted = nd_drill_number(t, "tail_emitted");
    r->tail_suppressed = nd_drill_number(t, "tail_suppressed");
    r->discarded = nd_drill_number(t, "discarded");
    snprintf(r->reason, sizeof r->reason, "%s", nd_drill_text(t, "reason"));
}

/* Polls `node` until it is primary in a later view and has released something. Returns when that was, 0:
 * never. */
uint64_t nd_drill_await_takeover(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = r->at_ns + ND_TAKEOVER_MS * 1000000ull, released = 0;
    bool primary = false;
    while (released == 0 && nd_probe_now() < end) {
        json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
        const json_t *t = json_object_get(answer, "takeover");
        if (strcmp(nd_drill_text(answer, "role"), "primary") == 0 &&
            nd_drill_number(answer, "view") > r->view_before) {
            if (!primary)
                end = nd_probe_now() + RELEASE_MS * 1000000ull;
            primary = true;
            r->view_after = nd_drill_number(answer, "view");
            note_takeover(r, t);
            released = nd_drill_number(t, "first_release_ns");
        }
        json_decref(answer);
        nd_drill_nap(1000);
    }
    if (!primary)
        nd_drill_failed(r, "%s did not take over within %d ms", r->survivor, ND_TAKEOVER_MS);
    else if (released == 0 && d->prober != NULL)
        nd_drill_failed(r, "%s took over but released nothing within %d ms", r->survivor, RELEASE_MS);
    return primary ? released ? released : nd_probe_now() : 0;
}

/* The primary without its standby: as long as it takes to go SOLO, or to see that a strict one stays
 * DEGRADED. */
uint64_t nd_drill_await_alone(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    const char *wanted = d->config->protect.strict ? "DEGRADED" : "SOLO";
    uint64_t end = r->at_ns + (d->config->timing.solo_after_ms + LONE_MS) * 1000000ull, when = 0;
    char state[32] = "";
    do {
        json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
        snprintf(state, sizeof state, "%s", nd_drill_text(answer, "state"));
        json_decref(answer);
        if (when == 0 && strcmp(state, wanted) == 0)
            when = nd_probe_now();
        nd_drill_nap(1000);
    } while (nd_probe_now() < end && !(when != 0 && !d->config->protect.strict));
    if (strcmp(state, wanted) != 0)
        nd_drill_failed(r, "%s is %s without its standby, %s expected", r->survivor, state, wanted);
    r->detect_ms = nd_drill_ms(r->at_ns, when);
    return when ? when : nd_probe_now();
}

/* The woken node has to find itself fenced, and to have released nothing in the other's view. */
void nd_drill_await_fenced(struct nd_drill *d, unsigned node, struct nd_drill_run *r)
{
    uint64_t end = nd_probe_now() + ND_TAKEOVER_MS * 1000000ull;
    r->released_after = -1;
    while (!r->was_fenced && nd_probe_now() < end) {
        json_t *answer = nd_drill_ask(d, node, "status", ND_ASK_MS, NULL, NULL);
        const json_t *fenced = json_object_get(answer, "fenced");
        if (json_is_object(fenced)) {
            r->was_fenced = true;
            r->released_after = (int64_t)nd_drill_number(fenced, "released_after");
        }
        json_decref(answer);
        nd_drill_nap(1000);
    }
    if (!r->was_fenced)
        nd_drill_failed(r, "%s was woken and did not say that it is fenced", r->victim);
    else if (r->released_after > STALE_MAX)
        nd_drill_failed(r, "%s released %lld packets after it was replaced", r->victim,
                        (long long)r->released_after);
}
