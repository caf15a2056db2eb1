/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arbiter, asked by a node that has lost the other one without a certain word of its end: where a pair
 * without an arbiter decides by elapsed time. One decision for each era, made once: there is no lease at the
 * arbiter and no clock, and nobody asks while the pair is well.
 *
 * Who has asked has left the era: it goes on by the answer or, when the two have met again, by a new snapshot
 * and so a new era. A primary that asks takes its standby for cut off; a standby that asks echoes nothing
 * more, so no lease runs on when the answer makes it primary. An answer of another era is nobody's.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

#define DECIDED "the arbiter decided for"

void ft_arbiter_ask(struct ft_core *core, struct ft_era era, const char *why, struct ft_actions *actions)
{
    struct ft_action *action;

    if (core->arbiter.asking)
        return;
    core->arbiter.asking = true;
    core->arbiter.heard = core->arbiter.silent = false;
    core->arbiter.asked = era;
    core->arbiter.since = core->now;
    snprintf(core->arbiter.why, sizeof(core->arbiter.why), "%s", why);
    action = ft_act(actions, FT_ACT_ASK);
    action->flag = true;
    action->era = era;
}

void ft_arbiter_forget(struct ft_core *core, struct ft_actions *actions)
{
    if (!core->arbiter.asking)
        return;
    core->arbiter.asking = false;
    ft_act(actions, FT_ACT_ASK)->era = core->arbiter.asked;
}

void ft_arbiter_heard(struct ft_core *core, struct ft_actions *actions)
{
    if (!core->arbiter.asking || core->state != FT_READY)
        return;
    core->arbiter.heard = true;
    if (core->arbiter.silent)
        ft_standby_keep(core, "the primary is heard again, and the arbiter does not answer", actions);
}

/* It is asked again all the time: what changes is what people read, once. */
static void no_answer(struct ft_core *core, struct ft_actions *actions)
{
    bool first = !core->arbiter.silent;

    core->arbiter.silent = true;
    if (core->state == FT_READY && core->arbiter.heard)
        ft_standby_keep(core, "the primary is heard again, and the arbiter does not answer", actions);
    else if (first)
        ft_become(core, actions, core->state, "%s; the arbiter does not answer: holding", core->arbiter.why);
}

static void won(struct ft_core *core, struct ft_actions *actions)
{
    char by[FT_NAME_MAX + sizeof("; " DECIDED " ")];

    snprintf(by, sizeof(by), "; " DECIDED " %.31s", core->config.name);
    if (ft_core_primary(core)) {
        ft_primary_decided(core, by, actions);
    } else if (core->state == FT_READY) {
        ft_standby_decided(core, by, actions);
    } else {
        core->arbiter.alone = true; /* ft_step asks ft_join_consider next */
    }
}

static void lost(struct ft_core *core, struct ft_actions *actions)
{
    core->arbiter.lost = core->state != FT_READY;
    if (ft_core_primary(core))
        ft_become(core, actions, FT_DEGRADED, "%.70s; " DECIDED " %s: holding", core->loss.why,
                  ft_peer_name(core));
    else if (core->state == FT_READY)
        ft_standby_keep(core, "the arbiter decided for the primary: it may have gone on alone", actions);
    else
        ft_become(core, actions, FT_JOINING,
                  "the arbiter knows of a pair that has served: waits for its peer, or promote");
}

void ft_arbiter_answers(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    bool ours = core->arbiter.asking && ft_era_compare(&event->era, &core->arbiter.asked) == 0;

    if (!ours && !(FT_PLANTED("any-answer") && core->arbiter.asking))
        return;
    if (event->answer == FT_ANSWER_SILENT) {
        no_answer(core, actions);
        return;
    }
    core->arbiter.asking = false;
    core->arbiter.decision.era = event->era;
    core->arbiter.decision.answer = event->answer;
    core->arbiter.decision.at = core->now;
    if (event->answer == FT_ANSWER_WON)
        won(core, actions);
    else
        lost(core, actions);
}

/* Or the peer serves, and cannot be heard: whoever meets nobody asks whether a pair has ever been. */
bool ft_arbiter_permits(struct ft_core *core, struct ft_actions *actions)
{
    if (!core->config.arbiter || core->arbiter.alone)
        return true;
    if (!core->arbiter.asking && !core->arbiter.lost) {
        ft_arbiter_ask(core, (struct ft_era){0, 0}, "meets no peer", actions);
        ft_become(core, actions, FT_JOINING, "meets no peer; asks the arbiter");
    }
    return false;
}

/* What is asked stays asked: the arbiter is to hear of it, so that the other node loses when it asks. */
bool ft_arbiter_overruled(struct ft_core *core, struct ft_actions *actions)
{
    bool held = core->arbiter.asking || core->arbiter.lost;

    if (!held || (core->state != FT_DEGRADED && core->state != FT_READY))
        return false;
    core->arbiter.asking = false;
    if (core->state == FT_DEGRADED)
        ft_primary_goes_on(core, "; an operator's promote", actions);
    else
        ft_standby_promote(core, "an operator's promote, without the arbiter", actions);
    return true;
}
