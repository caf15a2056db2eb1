/* SPDX-License-Identifier: Apache-2.0 */
/* What "status" says of the node's standing, and the steps of pin, hold and unpin. The main thread's. */
#include "node/running.h"
#include "node/answer_fields.h"
#include "node/base/clock.h"
#include "node/base/event_format.h"

#include <stdio.h>
#include <string.h>

#define KNOWN_MS 1000 /* within which a peer that is connected has heard of an order */

/* Both nodes keep the same order. */
static bool peer_knows(const struct nd_running *r, const struct rp_status *s)
{
    return s->peer_told && s->peer_standing.maintained == r->standing.maintained;
}

static json_t *authority_status(const struct nd_running *r, const struct rp_status *s)
{
    static const char *const words[] = {"free", "held", "pinned", "pinned"};
    const struct nd_standing *st = &r->standing;
    const struct nd_config *c = r->config;
    char wall[ND_WALL_TEXT];
    json_t *o = json_object();

    add_number(o, "counter", st->counter);
    add_text(o, "counter_why", st->why[0] ? st->why : NULL);
    json_object_set_new(o, "peer_counter",
                        s->peer_told ? json_integer(s->peer_standing.counter) : json_null());
    add_text(o, "peer_counter_why", s->peer_told && s->peer_standing.why[0] ? s->peer_standing.why : NULL);
    add_text(o, "maintenance", words[st->maintenance]);
    add_text(o, "pinned_to",
             st->maintenance == FT_MAINTENANCE_PIN_OWN     ? c->node[r->self].name
             : st->maintenance == FT_MAINTENANCE_PIN_OTHER ? c->node[!r->self].name
                                                           : NULL);
    add_text(o, "maintenance_since", st->maintained ? nd_wall_text(wall, st->maintained) : NULL);
    json_object_set_new(o, "peer_knows", json_boolean(peer_knows(r, s)));
    add_text(o, "prefer", c->authority.prefer < 0 ? NULL : c->node[c->authority.prefer].name);
    add_text(o, "failback", nd_failbacks[c->authority.failback]);
    add_text(o, "stays", st->stays);
    return o;
}

static json_t *track_status(const struct nd_running *r)
{
    const struct nd_node *self = &r->config->node[r->self];
    json_t *list = json_array();

    for (unsigned i = 0; i < self->tracks; i++) {
        char name[ND_PATH_MAX + 16], found[ND_RUNNER_TEXT];
        json_t *o = json_object();
        bool failed = nd_standing_failed(r, i, found);

        snprintf(name, sizeof(name), "%s %s", nd_track_kinds[self->track[i].kind], self->track[i].what);
        add_text(o, "thing", name);
        add_number(o, "weight", self->track[i].weight);
        json_object_set_new(o, "failed", json_boolean(failed));
        add_text(o, "found", found);
        json_array_append_new(list, o);
    }
    return list;
}

/* And the events that all of them have lost. */
static json_t *hooks_status(const struct nd_running *r, uint64_t *lost)
{
    const struct nd_node *self = &r->config->node[r->self];
    json_t *list = json_array();

    *lost = 0;
    for (unsigned i = 0; i < self->hooks; i++) {
        char name[ND_PATH_MAX + 16];
        struct nd_hook_counts counts;
        json_t *o = json_object();

        nd_runner_hook(r->standing.runner, i, &counts);
        snprintf(name, sizeof(name), "%s %s", nd_hook_kinds[self->hook[i].kind], self->hook[i].path);
        add_text(o, "hook", name);
        add_number(o, "delivered", counts.delivered);
        add_number(o, "waiting", counts.waiting);
        add_number(o, "lost_events", counts.lost);
        json_array_append_new(list, o);
        *lost += counts.lost;
    }
    return list;
}

void nd_authority_status(struct nd_running *r, const struct rp_status *s, json_t *status)
{
    uint64_t lost;

    json_object_set_new(status, "authority", authority_status(r, s));
    json_object_set_new(status, "track", track_status(r));
    json_object_set_new(status, "hooks", hooks_status(r, &lost));
    add_number(status, "hooks_lost", lost);
    json_object_set_new(status, "runner_pid",
                        r->standing.runner ? json_integer(nd_runner_pid(r->standing.runner)) : json_null());
}

/* Which order is asked for. False: no such node. */
static bool find_order(const struct nd_running *r, const struct nd_exchange *x, enum ft_maintenance *what)
{
    const char *name = json_string_value(json_object_get(x->request, "node"));
    int node = name ? nd_config_node(r->config, name) : -1;

    *what = x->command == ND_CMD_HOLD    ? FT_MAINTENANCE_HOLD
            : x->command == ND_CMD_UNPIN ? FT_MAINTENANCE_NONE
            : node == (int)r->self       ? FT_MAINTENANCE_PIN_OWN
                                         : FT_MAINTENANCE_PIN_OTHER;
    return x->command != ND_CMD_PIN || node >= 0;
}

bool nd_answer_maintenance(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    enum ft_maintenance what;
    struct rp_status s;
    char text[64];

    rp_status(r->replicator, &s);
    if (!w->begun) {
        if (!find_order(r, x, &what))
            return nd_answered(x, nd_refuse("invalid", "pin node: expected %s or %s", r->config->node[0].name,
                                            r->config->node[1].name));
        if (nd_standing_order(r, what))
            return nd_answered(x,
                               nd_refuse("busy", "an order of the far future is known: restart both nodes"));
        w->begun = true;
        w->until = nd_now() + KNOWN_MS * FT_MS;
        return false;
    }
    if (!peer_knows(r, &s) && s.core.peer.known && nd_now() < w->until)
        return false;
    return nd_answered(x, json_pack("{s:b,s:s,s:b}", "done", 1, "role", nd_standing_text(r, text),
                                    "peer_knows", peer_knows(r, &s)));
}
