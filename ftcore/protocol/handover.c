/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planned handover, the giving side. The standby draws the frames to itself, we work off what still lies in
 * our ports, then say HANDOVER: from there on the standby may be primary whenever it has replayed.
 *
 * A peer lost after HANDOVER may have been primary and released before it died, and not even the end of its
 * connection proves that its last words reached us. So we keep our state, fenced, until we know: it says that
 * it joins (nothing leaves a successor by handover before its view is on its disk or we have heard of it, so
 * of one that comes back in our view nothing has left), or a person says so. Silence says nothing here:
 * taking over was what it was about to do.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

void ft_handover_begin(struct ft_core *core, struct ft_actions *actions)
{
    if (core->state != FT_PROTECTED || core->hand)
        return;
    core->hand = FT_HAND_STEER;
    core->hand_began = core->now;
    core->hand_outcome[0] = '\0';
    /* First, so that nothing from the chain's MAC leaves here once the standby claims it. */
    ft_order(core, actions, FT_LANE_ASIDE);
    ft_say(core, actions, FT_MSG_STEER)->number = 1;
}

void ft_handover_steered(struct ft_core *core, struct ft_actions *actions)
{
    if (core->hand != FT_HAND_STEER)
        return;
    core->hand = FT_HAND_DRAIN;
    ft_order(core, actions, FT_LANE_DRAIN);
}

void ft_handover_off(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->hand = FT_HAND_NONE;
    if (core->peer.known)
        ft_say(core, actions, FT_MSG_STEER)->number = 0;
    ft_order(core, actions, FT_LANE_LIVE);
    ft_act(actions, FT_ACT_ANNOUNCE);
    snprintf(core->hand_outcome, sizeof(core->hand_outcome), "aborted: %s", why);
    ft_become(core, actions, core->state, "handover aborted: %s", why);
}

void ft_handover_give(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    memcpy(core->closed, event->closed, sizeof(core->closed));
    if (core->state != FT_PROTECTED) {
        ft_handover_off(core, actions, "the standby does not answer");
        return;
    }
    core->hand = FT_HAND_GIVEN;
    memcpy(core->final, event->closed, sizeof(core->final));
    core->guarded = false;
    core->ready_echo = 0;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_order(core, actions, FT_LANE_FENCED);
    ft_become(core, actions, FT_FENCED, "handed over");
    memcpy(ft_say(core, actions, FT_MSG_HANDOVER)->burst, core->final, sizeof(core->final));
}

/* It did not take over. Ours is the state to go on from. */
static void resume_as_primary(struct ft_core *core, uint64_t view, const char *why,
                              struct ft_actions *actions)
{
    core->hand = FT_HAND_NONE;
    core->view = view;
    ft_act(actions, FT_ACT_VIEW)->view = view;
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
    ft_primary_alone(core, actions, why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    ft_order(core, actions, FT_LANE_LIVE);
    ft_act(actions, FT_ACT_ANNOUNCE);
}

void ft_handover_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    if (m->state == FT_JOINING)
        resume_as_primary(core, core->view + 2, "the standby gave up before it took over", actions);
}

/* A new connection while we do not know. `same`: it is the process that we handed over to. */
void ft_handover_hello(struct ft_core *core, const struct ft_message *m, bool same,
                       struct ft_actions *actions)
{
    if (m->view > core->view) {
        ft_join_fence(core, m->view, actions);
    } else if (m->state == FT_READY && same) {
        /* HANDOVER, or the log before it, may have been lost with the connection. */
        snprintf(ft_say(core, actions, FT_MSG_ABANDON)->text, FT_REASON_MAX,
                 "the connection was lost while handing over");
    } else {
        ft_handover_message(core, m, actions);
    }
}

void ft_handover_unknown(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    ft_become(core, actions, FT_FENCED, "handed over, then %s: waiting to know", why);
}

void ft_handover_reclaim(struct ft_core *core, struct ft_actions *actions)
{
    /* In our own view: if the peer did take over, behind a partition, its higher view wins. */
    if (ft_primary_silent(core, core->peer.heard) >= ft_ms(core->config.solo_after_ms))
        resume_as_primary(core, core->view, "an operator's promote, after a handover that nobody answered",
                          actions);
}

void ft_handover_time(struct ft_core *core, struct ft_actions *actions)
{
    if (core->hand && core->now - core->hand_began > ft_ms(core->config.drain_ms))
        ft_handover_off(core, actions, "it took too long");
}
