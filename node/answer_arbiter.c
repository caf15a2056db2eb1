/* SPDX-License-Identifier: Apache-2.0 */
/* What status tells of the arbiter: whether it answers, what it keeps, and what it last told this node. */
#include "node/answer_fields.h"
#include "node/running.h"
#include "node/base/event_format.h"

static json_t *kept_status(const struct ft_decision *d)
{
    if (!d->any)
        return json_null();
    return json_pack("{s:I,s:I,s:s?}", "view", (json_int_t)d->era.view, "era", (json_int_t)d->era.number,
                     "winner", d->winner[0] ? d->winner : NULL);
}

/* The last answer to a question of this node; null: it has asked nothing yet. */
static json_t *decision_status(const struct rp_status *s, uint64_t wall)
{
    char text[ND_WALL_TEXT];

    if (s->core.arbiter.decision.answer == FT_ANSWER_NONE)
        return json_null();
    return json_pack("{s:I,s:I,s:b,s:s}", "view", (json_int_t)s->core.arbiter.decision.era.view, "era",
                     (json_int_t)s->core.arbiter.decision.era.number, "won",
                     s->core.arbiter.decision.answer == FT_ANSWER_WON, "at", nd_wall_text(text, wall));
}

static json_t *arbiter_status(const struct nd_running *r, const struct rp_status *s, uint64_t now)
{
    struct nd_arbiter_status a;
    json_t *o;

    if (!r->arbiter)
        return json_null();
    nd_arbiter_status(r->arbiter, &a);
    o = json_object();
    add_text(o, "key", r->config->arbiter.key);
    add_text(o, "server", a.server[0] ? a.server : NULL);
    json_object_set_new(o, "answers", json_boolean(a.answers));
    add_age(o, "answered_ms", now, a.answered);
    json_object_set_new(o, "took_ms", json_real((double)a.took / 1e6));
    add_number(o, "failures", a.failures);
    add_text(o, "last_failure", a.why[0] ? a.why : NULL);
    json_object_set_new(o, "asking", json_boolean(s->core.arbiter.asking));
    json_object_set_new(o, "lost", json_boolean(s->core.arbiter.lost));
    json_object_set_new(o, "later", json_boolean(a.later));
    json_object_set_new(o, "kept", kept_status(&a.kept));
    json_object_set_new(o, "decision", decision_status(s, a.decided));
    return o;
}

void nd_arbiter_answer_status(json_t *status, const struct nd_running *r, const struct rp_status *s,
                              uint64_t now)
{
    json_object_set_new(status, "arbiter", arbiter_status(r, s, now));
}
