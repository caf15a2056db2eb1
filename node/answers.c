/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control socket answers. Runs on the node's main thread; asks lanes through their question, the
 * replicator through its words, and waits a bounded while where the answer is an effect.
 */
#include "node/base/clock.h"
#include "node/running.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LANE_MS     2000
#define HANDOVER_MS 5000
#define VERIFY_MS   10000
#define LANE_SHIFT  56 /* of a cursor: the lane is above it, the lane's own cursor below */
#define CURSOR_MASK ((1ull << LANE_SHIFT) - 1)

static json_t *fail(const char *code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static json_t *fail(const char *code, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    json_t *o;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    o = json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", text);
    if (o)
        return o;
    for (char *c = text; *c; c++) /* what was quoted has been cut inside a character: that is no JSON */
        if (*c & 0x80)
            *c = '?';
    return json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", text);
}

static void sleep_a_little(void)
{
    nanosleep(&(struct timespec){0, 200000}, NULL);
}

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

static const char *text_of(const json_t *request, const char *key)
{
    return json_string_value(json_object_get(request, key));
}

/* ---- lanes ------------------------------------------------------------------------------------- */

static bool is_free_within(struct nd_running *r, int ms)
{
    uint64_t end = nd_now() + (uint64_t)ms * FT_MS;

    while (nd_now() < end && !atomic_load(&r->stop)) {
        if (atomic_load_explicit(&r->question.asked, memory_order_acquire) == ND_ASK_NONE)
            return true;
        sleep_a_little();
    }
    return false;
}

static json_t *ask_lane(struct nd_running *r, unsigned lane, enum nd_ask_kind kind)
{
    struct nd_question *q = &r->question;
    int expected = (int)kind;

    q->lane = lane;
    q->fault.text[0] = '\0';
    atomic_store_explicit(&q->asked, (int)kind, memory_order_release);
    if (!is_free_within(r, LANE_MS)) {
        if (atomic_compare_exchange_strong(&q->asked, &expected, ND_ASK_NONE))
            return fail("busy", "the lane does not answer: it has no room to run a burst");
        if (!is_free_within(r, LANE_MS)) /* it is at it just now, or was */
            return fail("busy", "the lane takes long to answer");
    }
    return q->error ? fail(ft_error_name(q->error), "%s", q->fault.text) : NULL;
}

static json_t *show(struct nd_running *r, const json_t *request)
{
    const char *nf = text_of(request, "nf");
    uint64_t next = (uint64_t)json_integer_value(json_object_get(request, "cursor"));
    unsigned lane = (unsigned)(next >> LANE_SHIFT);
    struct nd_question *q = &r->question;
    json_t *error, *rows;

    if (!nf || strlen(nf) >= sizeof(q->text))
        return fail("invalid", "show needs the name of an NF");
    snprintf(q->text, sizeof(q->text), "%s", nf);
    if (lane >= r->config->chain.lanes)
        return fail("invalid", "the cursor is of no lane");
    q->cursor = next & CURSOR_MASK;
    error = ask_lane(r, lane, ND_ASK_SHOW);
    if (error)
        return error;
    rows = json_loadb(q->out, q->len, 0, NULL);
    if (!rows)
        return fail("malformed", "'%s' shows what is no JSON", nf);
    /* One lane after the other: the cursor says whose turn it is. */
    next = q->more ? (uint64_t)lane << LANE_SHIFT | q->cursor : (uint64_t)(lane + 1) << LANE_SHIFT;
    return json_pack("{s:o,s:o}", "rows", rows, "next",
                     q->more || lane + 1u < r->config->chain.lanes ? json_integer((json_int_t)next)
                                                                   : json_null());
}

static json_t *change(struct nd_running *r, const json_t *request)
{
    const char *nf = text_of(request, "nf"), *key = text_of(request, "key"),
               *value = text_of(request, "value");
    bool set = strcmp(text_of(request, "cmd"), "set") == 0;
    struct nd_question *q = &r->question;
    json_t *error = NULL;
    int n;

    if (!nf || (set && (!key || !value)))
        return fail("invalid", set ? "set needs nf, key and value" : "clear needs nf");
    if (set)
        n = snprintf(q->text, sizeof(q->text), "set %s %s=%s", nf, key, value);
    else
        n = snprintf(q->text, sizeof(q->text), key ? "clear %s %s" : "clear %s", nf, key);
    if (n >= (int)sizeof(q->text) || strpbrk(q->text, "\n\r"))
        return fail("invalid", "the change is too long for one line of %zu bytes", sizeof(q->text) - 1);
    for (unsigned l = 0; l < r->config->chain.lanes && !error; l++) /* each records it in its own burst */
        error = ask_lane(r, l, ND_ASK_COMMAND);
    return error ? error : json_pack("{s:b,s:s}", "done", 1, "change", q->text);
}

/* ---- the pair ---------------------------------------------------------------------------------- */

/* The verdict is on the burst that carries the digest asked for, and on no other. */
static bool is_told(const struct ft_lane *lane, uint64_t asked, const struct rp_verdict *verdict)
{
    return FT_REPORTED(lane, digest_seen) >= asked && verdict->burst == FT_REPORTED(lane, digest_at);
}

/* The standby that was asked is gone, or a snapshot is in place of the record that carries the digest. */
static bool asked_in_vain(struct nd_running *r, struct rp_status *s, uint64_t resyncs)
{
    enum ft_state state = state_of(r, s);

    return (state != FT_PROTECTED && state != FT_DEGRADED) || s->core.resync || s->core.resyncs != resyncs;
}

static json_t *verify(struct nd_running *r, const json_t *request)
{
    struct rp_status s;
    const struct rp_verdict *first = &s.verdicts.last[0], *v = first;
    unsigned lanes = r->config->chain.lanes, told = 0;
    uint64_t asked[FT_LANES_MAX], end = nd_now() + VERIFY_MS * FT_MS, resyncs;
    char here[24], there[24];
    bool equal = true;

    (void)request;
    if (state_of(r, &s) != FT_PROTECTED)
        return fail("busy", "not protected (%s): there is nothing to compare with",
                    ft_state_name(s.core.state));
    for (unsigned l = 0; l < lanes; l++)
        asked[l] = atomic_fetch_add(&r->shared[l].orders.digest, 1) + 1;
    resyncs = s.core.resyncs;
    for (; nd_now() < end && told < lanes && !atomic_load(&r->stop); sleep_a_little()) {
        /* Looked at first: a digest that differs ends the pair. */
        bool in_vain = asked_in_vain(r, &s, resyncs);

        while (told < lanes && is_told(&r->shared[told], asked[told], &s.verdicts.last[told]))
            told++;
        if (told < lanes && in_vain)
            return fail("busy", "not protected any more: %s", s.core.why);
    }
    if (told < lanes)
        return fail("input/output", "the standby gave no digest within %d s", VERIFY_MS / 1000);
    /* Lanes took one digest of everything, and tell it each. */
    for (; v < first + lanes; v++)
        equal &= v->expected == v->got && v->expected == first->expected;
    snprintf(here, sizeof(here), "%016lx", first->expected);
    snprintf(there, sizeof(there), "%016lx", first->got);
    return json_pack("{s:b,s:{s:s,s:s},s:I}", "equal", equal, "digests", r->config->node[r->self].name, here,
                     s.core.peer.name, there, "at", (json_int_t)first->burst);
}

/* Waits until this node is primary no more; false when it was aborted, or nothing came of it at all. */
static bool hands_over(struct nd_running *r, struct rp_status *s)
{
    bool under_way = false;

    for (int i = 0; i < HANDOVER_MS * 5 && !atomic_load(&r->stop); i++, sleep_a_little()) {
        bool primary = is_primary(r, s), idle = s->core.hand == FT_HAND_NONE;

        under_way |= !idle;
        if (idle && (!primary || under_way || i > 1000))
            return !primary;
    }
    return false;
}

static json_t *hand_over(struct nd_running *r, const json_t *request)
{
    bool back = strcmp(text_of(request, "cmd"), "failback") == 0;
    struct rp_status s;

    if (state_of(r, &s) != FT_PROTECTED)
        return fail("busy", "%s: only a PROTECTED primary can hand over", ft_state_name(s.core.state));
    if (back && r->config->node[r->self].role == ND_ROLE_PRIMARY)
        return fail("busy", "node %s is the file's primary already", r->config->node[r->self].name);
    rp_tell(r->replicator, FT_TOLD_HANDOVER);
    if (!hands_over(r, &s))
        return fail("busy", "the handover did not happen: %s",
                    s.core.hand_outcome[0] ? s.core.hand_outcome : s.core.why);
    return json_pack("{s:b,s:I}", "done", 1, "view", (json_int_t)s.core.view);
}

static json_t *promote(struct nd_running *r, const json_t *request)
{
    struct rp_status s;

    (void)request;
    if (is_primary(r, &s))
        return fail("busy", "node %s is primary already", r->config->node[r->self].name);
    bool alone = !s.core.peer.known && (s.core.state == FT_JOINING || s.core.state == FT_FENCED);

    if (s.core.state != FT_READY && !alone)
        return fail("busy",
                    "%s: only a READY standby, or a JOINING or FENCED node that meets nobody, can be "
                    "promoted",
                    ft_state_name(s.core.state));
    for (int i = 0; i < HANDOVER_MS * 5 && !atomic_load(&r->stop); i++, sleep_a_little()) {
        if (i % 250 == 0) /* the lease may have to run out first */
            rp_tell(r->replicator, FT_TOLD_PROMOTE);
        if (is_primary(r, &s))
            return json_pack("{s:b,s:I}", "done", 1, "view", (json_int_t)s.core.view);
    }
    return fail("busy", "not promoted: %s", s.core.why);
}

static json_t *resync(struct nd_running *r, const json_t *request)
{
    struct rp_status s;

    (void)request;
    if (!is_primary(r, &s) || !s.core.peer.known)
        return fail("busy", "%s: only a primary with a connected peer can resync it",
                    ft_state_name(s.core.state));
    rp_tell(r->replicator, FT_TOLD_RESYNC);
    return json_pack("{s:b}", "done", 1);
}

static json_t *drill(struct nd_running *r, const json_t *request)
{
    const char *kind = text_of(request, "kind");
    struct rp_status s;

    state_of(r, &s);
    if (!kind || (strcmp(kind, "kill") != 0 && strcmp(kind, "hang") != 0))
        return fail("invalid", "drill kind: expected kill or hang");
    if (!s.core.peer.known)
        return fail("busy", "no peer to pass the drill on to");
    rp_drill(r->replicator, kind);
    return json_pack("{s:b}", "done", 1);
}

static const struct {
    const char *cmd;
    json_t *(*answer)(struct nd_running *r, const json_t *request);
    bool asks_lanes; /* one may still be at a question that its asker gave up */
} answers[] = {
    {"status", nd_answer_status, false},
    {"verify", verify, false},
    {"show", show, true},
    {"set", change, true},
    {"clear", change, true},
    {"promote", promote, false},
    {"drain", hand_over, false},
    {"failback", hand_over, false},
    {"resync", resync, false},
    {"drill", drill, false},
};

json_t *nd_answer(void *running, const json_t *request)
{
    struct nd_running *r = running;
    const char *cmd = text_of(request, "cmd");

    if (!cmd)
        return fail("invalid", "the request names no cmd");
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (strcmp(cmd, answers[i].cmd) == 0) {
            if (answers[i].asks_lanes && atomic_load(&r->question.asked) != ND_ASK_NONE)
                return fail("busy", "a lane is still at an earlier question");
            return answers[i].answer(r, request);
        }
    return fail("not found", "unknown cmd '%.40s'", cmd);
}
