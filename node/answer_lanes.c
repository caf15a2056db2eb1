/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers that come from lanes: show, set and clear. The main thread has one question for all lanes
 * (struct nd_question). Each step puts it to a lane or looks whether the lane has answered; a lane that
 * stands costs the asker LANE_MS, and nobody else anything.
 */
#include "node/base/clock.h"
#include "node/running.h"

#include <stdio.h>
#include <string.h>

#define LANE_MS     2000
#define LANE_SHIFT  56 /* of a cursor: the lane is above it, the lane's own cursor below */
#define CURSOR_MASK ((1ull << LANE_SHIFT) - 1)

static const char *text_of(const json_t *request, const char *key)
{
    return json_string_value(json_object_get(request, key));
}

/* The question is free, and w's turn has come. False: not yet, or w's time is over and `x` has its answer. */
static bool may_ask(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const struct nd_question *q = &r->question;
    bool is_free = atomic_load_explicit(&q->asked, memory_order_acquire) == ND_ASK_NONE;
    uint64_t now = nd_now();

    w->wants_lanes = true;
    if (!w->until)
        w->until = now + LANE_MS * FT_MS;
    for (struct nd_work *other = r->work; other < r->work + ND_WORKING; other++)
        is_free &= !other->asked && !(other < w && other->wants_lanes);
    if (!is_free && now > w->until)
        nd_answered(x, nd_refuse("busy", "lane %u is still at an earlier question", q->lane));
    return is_free;
}

static void ask_lane(struct nd_running *r, struct nd_work *w, unsigned lane, enum nd_ask_kind kind)
{
    struct nd_question *q = &r->question;

    q->lane = lane;
    q->fault.text[0] = '\0';
    atomic_store_explicit(&q->asked, (int)kind, memory_order_release);
    w->asked = true;
    w->late = false;
    w->until = nd_now() + LANE_MS * FT_MS;
}

/* A clear of one entry goes on past the lanes that have no such entry: it is done when one lane had it. */
static bool lacks_entry(const struct nd_exchange *x, int error)
{
    return error == FT_ENOENT && x->command == ND_CMD_CLEAR && text_of(x->request, "key");
}

/* The lane has answered, or its time is over, or it refuses: then `x` has its answer. False: not yet. */
static bool has_answered(struct nd_running *r, struct nd_exchange *x, struct nd_work *w,
                         enum nd_ask_kind kind)
{
    struct nd_question *q = &r->question;
    uint64_t now = nd_now();
    int expected = (int)kind;

    if (atomic_load_explicit(&q->asked, memory_order_acquire) == ND_ASK_NONE) {
        if (q->error && !lacks_entry(x, q->error))
            nd_answered(x, nd_refuse(ft_error_name(q->error), "%s", q->fault.text));
    } else if (now <= w->until) {
        return false;
    } else if (atomic_compare_exchange_strong(&q->asked, &expected, ND_ASK_NONE)) {
        nd_answered(x, nd_refuse("busy", "lane %u does not answer", q->lane));
    } else if (!w->late) { /* it is at it just now, or was */
        w->late = true;
        w->until = now + LANE_MS * FT_MS;
        return false;
    } else {
        nd_answered(x, nd_refuse("busy", "lane %u takes long to answer", q->lane));
    }
    w->asked = false;
    return true;
}

/* ---- show -------------------------------------------------------------------------------------- */

/* Of the lane, by which the times in its rows are. */
static uint64_t chain_time(const struct nd_running *r, unsigned lane)
{
    const struct nd_lane *l = &r->lanes[lane];

    if (ft_order_kind(FT_REPORT_GET(&r->words[lane], done)) < FT_LANE_FRESH) /* that of its last burst */
        return __atomic_load_n(&nf_chain_state(l->chain)->time, __ATOMIC_RELAXED);
    return nd_now() + __atomic_load_n(&l->time_offset, __ATOMIC_RELAXED);
}

static json_t *make_page(struct nd_running *r, const char *nf)
{
    const struct nd_question *q = &r->question;
    json_t *rows = json_loadb(q->out, q->len, 0, NULL), *counters, *page;
    bool last = !q->more && q->lane + 1 == r->config->chain.lanes;
    uint64_t next;

    if (!rows)
        return nd_refuse("malformed", "'%s' shows what is no JSON", nf);
    /* One lane after the other: the cursor says whose turn it is. */
    next = q->more ? (uint64_t)q->lane << LANE_SHIFT | q->cursor : (uint64_t)(q->lane + 1) << LANE_SHIFT;
    if (!last)
        return json_pack("{s:o,s:I,s:I}", "rows", rows, "now_ns", (json_int_t)chain_time(r, q->lane), "next",
                         (json_int_t)next);
    counters = nd_counters_status(r, nf);
    page = json_pack("{s:o,s:I,s:n,s:o,s:O?,s:o}", "rows", rows, "now_ns", (json_int_t)chain_time(r, q->lane),
                     "next", "tables", nd_tables_status(r, nf), "counters", json_object_get(counters, nf),
                     "timeouts", nd_timeouts_status(r, nf));
    json_decref(counters);
    return page;
}

bool nd_answer_show(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const char *nf = text_of(x->request, "nf");
    uint64_t cursor = (uint64_t)json_integer_value(json_object_get(x->request, "cursor"));
    struct nd_question *q = &r->question;

    if (!nf || strlen(nf) >= sizeof(q->text))
        return nd_answered(x, nd_refuse("invalid", "show needs the name of an NF"));
    if (cursor >> LANE_SHIFT >= r->config->chain.lanes)
        return nd_answered(x, nd_refuse("invalid", "the cursor is of no lane"));
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
static void tell_changed(struct nd_exchange *x, unsigned lanes)
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

bool nd_answer_change(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    const char *nf = text_of(x->request, "nf"), *key = text_of(x->request, "key"),
               *value = text_of(x->request, "value");
    bool set = x->command == ND_CMD_SET;
    struct nd_question *q = &r->question;
    char text[sizeof(q->text)];
    struct rp_status s;
    int n;

    if (nf && !set && strcmp(nf, "counters") == 0 && other_program(r, &s))
        return nd_answered(x, nd_refuse("busy",
                                        "node %s runs understudy %s, this one " UNDERSTUDY_VERSION
                                        ": counters are cleared where both run one version",
                                        s.core.peer.name, s.core.peer.program));
    if (!nf || (set && (!key || !value)))
        return nd_answered(x, nd_refuse("invalid", set ? "set needs nf, key and value" : "clear needs nf"));
    if (set)
        n = snprintf(text, sizeof(text), "set %s %s=%s", nf, key, value);
    else
        n = snprintf(text, sizeof(text), key ? "clear %s %s" : "clear %s", nf, key);
    if (n >= (int)sizeof(text) || strpbrk(text, "\n\r"))
        return nd_answered(
            x, nd_refuse("invalid", "the change is too long for one line of %zu bytes", sizeof(text) - 1));
    if (!w->asked) {
        if (!may_ask(r, x, w)) {
            if (x->answer)
                tell_changed(x, w->changed);
            return x->answer != NULL;
        }
        memcpy(q->text, text, sizeof(text));
        ask_lane(r, w, w->lane, ND_ASK_COMMAND); /* each lane records it in its own burst */
        return false;
    }
    if (!has_answered(r, x, w, ND_ASK_COMMAND))
        return false;
    if (x->answer) {
        tell_changed(x, w->changed);
        return true;
    }
    w->changed += !q->error;
    if (++w->lane < r->config->chain.lanes)
        return false;
    return nd_answered(x, w->changed ? json_pack("{s:b,s:s}", "done", 1, "change", text)
                                     : nd_refuse(ft_error_name(q->error), "%s", q->fault.text));
}
