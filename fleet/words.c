/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the planner's steps are called in keys and commands, and the sentence for people that gives the
 * reason. Owns the words; the leader's agent writes them, `fleet plan` and `fleet status` print them.
 */
#include "fleet/plan.h"

#include "ftcore/base/check.h"

#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {
    [FL_LEAVE] = "none",         [FL_CREATE] = "create",   [FL_REPAIR] = "re-pair",
    [FL_HANDOVER] = "hand over", [FL_RESTART] = "restart", [FL_WITHDRAW] = "withdraw",
};
static const char *const causes[] = {
    [FL_NO_CAUSE] = "none",   [FL_NEW] = "new",         [FL_HEAL] = "heal",     [FL_DRAIN] = "drain",
    [FL_PIN] = "pin",         [FL_MOVE] = "move",       [FL_RELIEF] = "relief", [FL_ZONE] = "zone",
    [FL_BALANCE] = "balance", [FL_UPGRADE] = "upgrade", [FL_FAILED] = "failed", [FL_NEEDLESS] = "needless",
    [FL_SLOW] = "slow",
};
static const char *const waits[] = {
    [FL_FINE] = "fine",
    [FL_ORDERED] = "ordered",
    [FL_UNDER_WAY] = "under-way",
    [FL_RESYNCS] = "resyncs",
    [FL_BOTH_SILENT] = "both-silent",
    [FL_NOBODY_SERVES] = "nobody-serves",
    [FL_NODE_SILENT] = "node-silent",
    [FL_IS_SLOW] = "slow",
    [FL_UNSETTLED] = "unsettled",
    [FL_AGENT_GONE] = "agent-gone",
    [FL_UNFIT] = "unfit",
    [FL_NO_ROOM] = "no-room",
    [FL_LIMIT] = "limit",
    [FL_BUSY] = "busy",
    [FL_BACK_OFF] = "back-off",
    [FL_LEASES_GONE] = "leases-gone",
    [FL_SERVER_ABSENT] = "server-absent",
    [FL_FOUND] = "found",
    [FL_UNREADABLE] = "unreadable",
};

#define NAME_OF(words, at) ((size_t)(at) < sizeof(words) / sizeof((words)[0]) ? (words)[at] : "unknown")

const char *fl_kind_name(enum fl_kind kind)
{
    return NAME_OF(kinds, kind);
}

const char *fl_cause_name(enum fl_cause cause)
{
    return NAME_OF(causes, cause);
}

const char *fl_wait_name(enum fl_wait wait)
{
    return NAME_OF(waits, wait);
}

enum fl_kind fl_kind_of(const char *word)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(word, kinds[i]))
            return (enum fl_kind)i;
    return FL_LEAVE;
}

enum fl_cause fl_cause_of(const char *word)
{
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
        if (!strcmp(word, causes[i]))
            return (enum fl_cause)i;
    return FL_NO_CAUSE;
}

static const char *name_server(const struct fl_fleet *fleet, uint32_t server)
{
    return server < fleet->servers ? fleet->server[server].name : "no server";
}

/* Why an order: the part behind the colon. */
static void explain_cause(const struct fl_plan *plan, const struct fl_fleet *fleet, uint32_t shard, char *why,
                          size_t size)
{
    const struct fl_step *step = &plan->step[shard];
    const char *about = name_server(fleet, step->about);

    switch (step->cause) {
    case FL_NEW:
        snprintf(why, size, "it has no node yet");
        break;
    case FL_HEAL:
        snprintf(why, size,
                 step->about < fleet->servers && fleet->server[step->about].lease
                     ? "its standby on %s does not come up, the other member is alone"
                     : "%s is dead, the other member is alone",
                 about);
        break;
    case FL_SLOW:
        if (step->kind == FL_HANDOVER)
            snprintf(why, size,
                     "its primary on %s is slow: its lanes are busy for %u %% of the time, its "
                     "standby's for %u %%",
                     about, fleet->shard[shard].busy[0], fleet->shard[shard].busy[1]);
        else
            snprintf(why, size, "its standby on %s is slow: %s", about, fleet->shard[shard].slow);
        break;
    case FL_DRAIN:
        snprintf(why, size, "%s is %s", about,
                 step->about < fleet->servers && fleet->server[step->about].unlisted
                     ? "not in the fleet's file any more"
                     : "drained");
        break;
    case FL_PIN:
        snprintf(why, size, "its primary is pinned to %s", about);
        break;
    case FL_MOVE:
        snprintf(why, size, "it is to be moved to %s", about);
        break;
    case FL_RELIEF:
        snprintf(why, size, "%s would be above its capacity if %s died", about,
                 name_server(fleet, plan->view[step->about].worst_when));
        break;
    case FL_ZONE:
        snprintf(why, size, "both members are in one zone");
        break;
    case FL_BALANCE:
        snprintf(why, size, "%s is fuller than the mean by more than %.0f %%", about,
                 fleet->settings.gain * 100);
        break;
    case FL_UPGRADE:
        snprintf(why, size, "the nodes of %s are to be started anew", about);
        break;
    case FL_FAILED:
        snprintf(why, size, "it failed, or was not carried out in time");
        break;
    case FL_NEEDLESS:
        snprintf(why, size, "it is not needed any more, or cannot be done");
        break;
    default:
        snprintf(why, size, "no cause");
        break;
    }
}

static void explain_wait(const struct fl_plan *plan, const struct fl_fleet *fleet, uint32_t shard, char *why,
                         size_t size)
{
    const struct fl_step *step = &plan->step[shard];
    const struct fl_order *order = &fleet->shard[shard].order;
    const char *about = name_server(fleet, step->about);

    switch (step->wait) {
    case FL_UNDER_WAY:
        snprintf(why, size, "%s %s is under way (%s)",
                 order->kind == FL_REPAIR     ? "re-pair with"
                 : order->kind == FL_HANDOVER ? "hand over to"
                                              : "restart its standby on",
                 about, fl_cause_name(order->cause));
        break;
    case FL_RESYNCS:
        snprintf(why, size, "its standby on %s is given the state", about);
        break;
    case FL_BOTH_SILENT:
        snprintf(why, size, "both nodes are silent: left as it is, a person looks");
        break;
    case FL_NOBODY_SERVES:
        snprintf(why, size, "no node says that it serves, or could take over: left as it is, a person looks");
        break;
    case FL_NODE_SILENT:
        snprintf(why, size, "the primary is alone: the node on %s is silent, though that server lives",
                 about);
        break;
    case FL_IS_SLOW:
        snprintf(why, size, "its standby on %s is slow: %s", about, fleet->shard[shard].slow);
        break;
    case FL_UNSETTLED:
        snprintf(why, size, "its nodes have not settled who serves");
        break;
    case FL_AGENT_GONE:
        snprintf(why, size, "no agent speaks for %s: nothing is ordered until one does", about);
        break;
    case FL_UNFIT:
        snprintf(why, size, "not handed over to %s: what its node there tracks fails", about);
        break;
    case FL_NO_ROOM:
        snprintf(why, size, "no server has room for its standby");
        break;
    case FL_LIMIT:
        snprintf(why, size, "%u re-pairs and resyncs are under way, as many as may be",
                 fleet->settings.heals);
        break;
    case FL_BUSY:
        snprintf(why, size, "waits until %s has resynced another shard", about);
        break;
    case FL_BACK_OFF:
        snprintf(why, size, "its last order failed, to %s: it is tried again later", about);
        break;
    case FL_LEASES_GONE:
        snprintf(why, size,
                 "%u of %u servers went at once: nothing is ordered until they are back, or drained",
                 plan->gone, plan->were);
        break;
    case FL_SERVER_ABSENT:
        snprintf(why, size, "not created while %s is absent: it may have a state of that shard", about);
        break;
    case FL_FOUND:
        snprintf(why, size, "not created: %s may have a node of that shard, or a view that it kept", about);
        break;
    case FL_UNREADABLE:
        snprintf(why, size, "not created: its key shards/%s is there, and cannot be read",
                 fleet->shard[shard].name);
        break;
    default:
        why[0] = '\0';
        break;
    }
}

const char *fl_plan_explain(const struct fl_plan *plan, const struct fl_fleet *fleet, uint32_t shard,
                            char why[FL_WHY_MAX])
{
    const struct fl_step *step = &plan->step[shard];
    char cause[160];
    uint32_t pin = fleet->shard[shard].pin;

    FT_CHECK(shard < fleet->shards, "shard %u of %u", shard, fleet->shards);
    explain_cause(plan, fleet, shard, cause, sizeof(cause));
    switch (step->kind) {
    case FL_CREATE:
        snprintf(why, FL_WHY_MAX, "create, primary on %s, standby on %s: %s", name_server(fleet, step->to[0]),
                 name_server(fleet, step->to[1]), cause);
        break;
    case FL_REPAIR:
        snprintf(why, FL_WHY_MAX, "re-pair with %s: %s", name_server(fleet, step->to[0]), cause);
        break;
    case FL_HANDOVER:
        snprintf(why, FL_WHY_MAX, "hand over to %s: %s", name_server(fleet, step->to[0]), cause);
        break;
    case FL_RESTART:
        snprintf(why, FL_WHY_MAX, "restart its standby on %s: %s", name_server(fleet, step->to[0]), cause);
        break;
    case FL_WITHDRAW:
        snprintf(why, FL_WHY_MAX, "withdraw the order to %s: %s", name_server(fleet, step->to[0]),
                 fleet->shard[shard].order.kind == FL_RESTART && step->cause == FL_NEEDLESS
                     ? "its standby was started anew, or is not to be any more"
                     : cause);
        break;
    default:
        explain_wait(plan, fleet, shard, why, FL_WHY_MAX);
        if (step->wait == FL_LIMIT && !fleet->shard[shard].known)
            snprintf(why, FL_WHY_MAX, "created after %u others", FL_CREATES);
        if (!why[0] && step->pin_waits)
            snprintf(why, FL_WHY_MAX, "its %s waits: %s is dead, drained or full",
                     fleet->shard[shard].moves ? "move" : "pin", name_server(fleet, pin));
        break;
    }
    return why;
}
