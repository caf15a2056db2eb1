/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What status tells of the past: the last takeover, the last loss of the standby and the last fence, each
 * with its wall-clock time and reason until the next of its kind.
 */
#include "node/answer_fields.h"
#include "node/running.h"
#include "node/base/event_format.h"

#include <stddef.h>

#define LANE(member) offsetof(struct ft_lane, member)

/* Wall-clock time, RFC 3339 with milliseconds, UTC. */
static void add_wall(json_t *o, const char *name, uint64_t wall)
{
    char text[ND_WALL_TEXT];

    add_text(o, name, nd_wall_text(text, wall));
}

/* The last takeover by this node; null when it has made none. */
static json_t *takeover_status(const struct nd_running *r, const struct rp_status *s)
{
    uint64_t decided = s->core.takeover.decided,
             replayed = nd_over_lanes(r, LANE(count.replay_done_ns), ND_LAST),
             first = nd_over_lanes(r, LANE(count.first_release_ns), ND_FIRST);
    json_t *o;

    if (s->core.takeover.view == 0)
        return json_null();
    o = json_object();
    add_number(o, "view", s->core.takeover.view);
    add_text(o, "reason", s->core.takeover.reason);
    json_object_set_new(o, "planned", json_boolean(s->core.takeover.planned));
    add_text(o, "why", s->core.takeover.why);
    add_wall(o, "at", s->past.takeover);
    add_number(o, "suspected_ns", s->core.takeover.suspected);
    add_number(o, "decided_ns", decided);
    add_number(o, "replay_done_ns", replayed >= decided ? replayed : 0);
    add_number(o, "first_release_ns", first >= decided ? first : 0);
    add_number(o, "tail_emitted", nd_over_lanes(r, LANE(count.tail_emitted), ND_SUM));
    add_number(o, "tail_suppressed", nd_over_lanes(r, LANE(count.tail_suppressed), ND_SUM));
    return o;
}

static json_t *fenced_status(const struct nd_running *r, const struct rp_status *s)
{
    json_t *o;

    if (s->core.fenced.count == 0)
        return json_null();
    o = json_object();
    add_number(o, "count", s->core.fenced.count);
    add_number(o, "view", s->core.fenced.view);
    add_text(o, "by", s->core.fenced.by);
    add_wall(o, "at", s->past.fence);
    add_number(o, "at_ns", s->core.fenced.at);
    add_number(o, "dropped", nd_over_lanes(r, LANE(count.fenced_dropped), ND_SUM));
    add_number(o, "last_release_ns", nd_over_lanes(r, LANE(count.last_release_ns), ND_LAST));
    add_number(o, "last_sent_ns", nd_over_lanes(r, LANE(count.last_sent_ns), ND_LAST));
    return o;
}

/* The last standby that this node, as primary, lost; null when it has lost none. */
static json_t *loss_status(const struct rp_status *s)
{
    json_t *o;

    if (s->core.loss.count == 0)
        return json_null();
    o = json_object();
    add_number(o, "count", s->core.loss.count);
    add_number(o, "view", s->core.loss.view);
    add_text(o, "why", s->core.loss.why);
    add_wall(o, "at", s->past.loss);
    return o;
}

void nd_past_status(json_t *o, const struct nd_running *r, const struct rp_status *s)
{
    json_object_set_new(o, "takeover", takeover_status(r, s));
    json_object_set_new(o, "fenced", fenced_status(r, s));
    json_object_set_new(o, "standby_lost", loss_status(s));
}
