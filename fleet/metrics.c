/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent exports to Prometheus. See metrics.h. */
#include "fleet/metrics.h"

#include <stdlib.h>

#define G "gauge"
#define ORDERS                                                                                               \
    "understudy_fleet_orders_total", "counter",                                                              \
        "Orders since the agent began: given and failed by the leader, refused by a node of this server"
#define OUTCOME(word) .label = "outcome=\"" word "\""

static const struct nd_metric rows[] = {
    {.path = "etcd_answers",
     "understudy_fleet_etcd_answers",
     G,
     "1: etcd answers this agent, its lease is held, and its word is taken"},
    {.path = "leads",
     "understudy_fleet_leads",
     G,
     "1: this agent leads the fleet, and tells what is about all of it"},
    {.path = "used",
     "understudy_fleet_capacity_used_ratio",
     G,
     "How much of a capacity of this server its nodes take, where the file limits it",
     ND_MAP,
     .names = ND_NAMES("measure")},
    {.path = "orders.given", ORDERS, OUTCOME("given")},
    {.path = "orders.failed", ORDERS, OUTCOME("failed")},
    {.path = "orders.refused", ORDERS, OUTCOME("refused")},
    {.path = "plan_age_s",
     "understudy_fleet_plan_age_seconds",
     G,
     "Leader: since its last plan; before its first one, since it leads"},
    {.path = "fleet.stopped",
     "understudy_fleet_stopped",
     G,
     "Leader: 1: so many leases went at once that nothing is ordered"},
    {.path = "fleet.servers",
     "understudy_fleet_servers",
     G,
     "Leader: servers of the file, by their leases",
     ND_MAP,
     .names = ND_NAMES("lease")},
    {.path = "fleet.overfull",
     "understudy_fleet_overfull_servers",
     G,
     "Leader: servers that are above a capacity, or would be if one other died"},
    {.path = "fleet.shards",
     "understudy_fleet_shards",
     G,
     "Leader: shards that are protected; served alone; of which some node is heard, and none serves; of "
     "which "
     "none is heard; new",
     ND_MAP,
     .names = ND_NAMES("state")},
    {.path = "fleet.unprotected_s",
     "understudy_fleet_unprotected_seconds",
     G,
     "Leader: for how long it has seen the shard unprotected that has been so for longest; 0: none is"},
    {.path = "fleet.orders",
     "understudy_fleet_orders_under_way",
     G,
     "Leader: orders that are not carried out yet"},
    {.path = "fleet.oldest_order_s",
     "understudy_fleet_oldest_order_seconds",
     G,
     "Leader: age of the oldest of these; 0: there is none"},
};
const struct nd_page fl_agent_page = {rows, sizeof(rows) / sizeof(rows[0])};

int fl_tally_make(struct fl_tally *t, uint32_t shards, struct ft_fault *fault)
{
    *t = (struct fl_tally){.since = calloc(shards + 1, sizeof(*t->since))};
    return t->since ? 0 : ft_fail(fault, FT_ENOMEM, "no memory for metrics");
}

void fl_tally_free(struct fl_tally *t)
{
    free(t->since);
    json_decref(t->fleet);
}

/* ---- of the fleet ------------------------------------------------------------------------------- */

enum condition { PROTECTED, ALONE, NOBODY_SERVES, BOTH_SILENT, NEW, CONDITIONS };

static enum condition condition_of(const struct fl_shard *s, const struct fl_step *step)
{
    if (!s->known)
        return NEW;
    if (!step->unprotected)
        return PROTECTED;
    if (s->primary != FL_NONE && fl_says_serves(s->says[s->primary]))
        return ALONE;
    return s->says[0] == FL_SAYS_NOTHING && s->says[1] == FL_SAYS_NOTHING ? BOTH_SILENT : NOBODY_SERVES;
}

/* For how long the shard that has been unprotected for longest has been, in s. */
static double note_unprotected(struct fl_tally *t, const struct fl_plan *plan, uint32_t shards, uint64_t now)
{
    uint64_t first = now;

    for (uint32_t i = 0; i < shards; i++) {
        if (!plan->step[i].unprotected)
            t->since[i] = 0;
        else if (!t->since[i])
            t->since[i] = now;
        if (t->since[i] && t->since[i] < first)
            first = t->since[i];
    }
    return (double)(now - first) / 1e9;
}

void fl_tally_written(struct fl_tally *t, const struct fl_step *step)
{
    t->failed += step->kind == FL_WITHDRAW && step->cause == FL_FAILED;
    t->given += step->kind == FL_REPAIR || step->kind == FL_HANDOVER || step->kind == FL_RESTART;
}

void fl_tally_plan(struct fl_tally *t, const struct fl_picture *p, const struct fl_plan *plan, uint64_t now)
{
    const struct fl_fleet *f = &p->fleet;
    uint32_t shards[CONDITIONS] = {0}, orders = 0, held = 0;
    uint64_t oldest = f->now;

    for (uint32_t i = 0; i < p->file->servers; i++)
        held += f->server[i].lease;
    for (uint32_t i = 0; i < f->shards; i++) {
        const struct fl_order *order = &f->shard[i].order;

        shards[condition_of(&f->shard[i], &plan->step[i])]++;
        orders += order->kind != FL_LEAVE;
        if (order->kind != FL_LEAVE && order->since < oldest)
            oldest = order->since;
    }
    json_decref(t->fleet);
    t->fleet = json_pack("{s:b, s:{s:i, s:i}, s:i, s:{s:i, s:i, s:i, s:i, s:i}, s:f, s:i, s:I}", "stopped",
                         plan->stopped, "servers", "held", (int)held, "gone", (int)(p->file->servers - held),
                         "overfull", (int)plan->overfull, "shards", "protected", (int)shards[PROTECTED],
                         "alone", (int)shards[ALONE], "nobody-serves", (int)shards[NOBODY_SERVES],
                         "both-silent", (int)shards[BOTH_SILENT], "new", (int)shards[NEW], "unprotected_s",
                         note_unprotected(t, plan, f->shards, now), "orders", (int)orders, "oldest_order_s",
                         (json_int_t)(f->now - oldest));
    t->planned = now;
}

void fl_tally_end(struct fl_tally *t, uint32_t shards)
{
    json_decref(t->fleet);
    t->fleet = NULL;
    t->planned = 0;
    for (uint32_t i = 0; i < shards; i++)
        t->since[i] = 0;
}

/* ---- of this server ----------------------------------------------------------------------------- */

static json_t *used_of(const struct fl_server_entry *server, const struct fl_server_said *said)
{
    double cores = 0, packets = 0, memory = 0;
    json_t *used = json_object();

    for (uint32_t i = 0; i < said->nodes; i++) {
        const struct fl_node_said *n = &said->node[i];

        cores += n->measured ? n->load.of[FL_PROCESSOR] : 0;
        packets += n->measured ? n->load.of[FL_PACKETS] : 0;
        memory += n->measured ? n->load.of[FL_MEMORY] : 0;
    }
    json_object_set_new(used, "nodes", json_real((double)said->nodes / server->nodes));
    if (server->cores > 0)
        json_object_set_new(used, "cores", json_real(cores / server->cores));
    if (server->mpps > 0)
        json_object_set_new(used, "mpps", json_real(packets / 1e6 / server->mpps));
    if (server->memory_mb > 0)
        json_object_set_new(used, "memory_mb", json_real(memory / server->memory_mb));
    return used;
}

json_t *fl_tally_status(const struct fl_tally *t, const struct fl_server_entry *server,
                        const struct fl_server_said *said, bool etcd_answers, bool leads, uint64_t now)
{
    json_t *o = json_pack("{s:b, s:b, s:o, s:{s:I, s:I, s:I}}", "etcd_answers", etcd_answers, "leads", leads,
                          "used", used_of(server, said), "orders", "given", (json_int_t)t->given, "failed",
                          (json_int_t)t->failed, "refused", (json_int_t)t->refused);

    if (o && t->planned) {
        json_object_set_new(o, "plan_age_s", json_real((double)(now - t->planned) / 1e9));
        json_object_set(o, "fleet", t->fleet);
    }
    return o;
}
