/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being primary: the gate and its lease, bringing a standby up to date, handing over.
 *
 * The gate is in one of three positions. SOLO: everything leaves; announced, never with strict. Guarded:
 * outputs of bursts up to the standby's closed set leave while the lease runs. Shut: nothing leaves. The
 * lease runs from the time at which we *sent* the newest message that a READY standby has answered, so it
 * ends here before the standby, counting from its answer, may think us dead (design §8).
 */
#include "ftcore/core_parts.h"

#include <stdio.h>
#include <string.h>

#define CATCHUP_BURSTS                                                                                       \
    64u /* the standby is close enough to switch: replay of these takes far less than a lease */
#define RESYNC_PAUSE_MS 200u

static uint64_t lease_end(const struct ft_core *core)
{
    return core->ready_echo ? core->ready_echo + ft_ms(core->config.lease_ms) : 0;
}

static void guard(struct ft_core *core, struct ft_actions *actions)
{
    struct ft_action *action = ft_act(actions, FT_ACT_GATE);

    core->guarded = true;
    core->solo = false;
    action->gate = FT_GATE_GUARDED;
    action->lease_until = lease_end(core);
    memcpy(action->vector, core->peer_closed, sizeof(action->vector));
}

static void end_resync(struct ft_core *core, struct ft_actions *actions, const char *outcome)
{
    if (core->resync == FT_RESYNC_NONE)
        return;
    snprintf(core->resync_outcome, sizeof(core->resync_outcome), "%s", outcome);
    core->resync = FT_RESYNC_NONE;
    core->resyncs_failed++;
    core->resync_again = core->now + ft_ms(RESYNC_PAUSE_MS);
    ft_act(actions, FT_ACT_NO_BASE);
}

void ft_primary_alone(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    struct ft_action *gate = ft_act(actions, FT_ACT_GATE);

    core->guarded = false;
    core->ready_echo = 0;
    if (core->config.strict) {
        gate->gate = FT_GATE_SHUT;
        core->solo = false;
        if (core->state != FT_DEGRADED)
            core->degradations++;
        ft_become(core, actions, FT_DEGRADED, "%s; strict: holding", why);
        return;
    }
    gate->gate = FT_GATE_SOLO;
    core->solo = true;
    if (core->state != FT_SOLO)
        core->solos++;
    ft_become(core, actions, FT_SOLO, "%s", why);
}

static void call_off_handover(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->hand = FT_HAND_NONE;
    if (core->peer.known)
        ft_say(core, actions, FT_MSG_STEER)->number = 0;
    ft_order(core, actions, FT_LANE_LIVE);
    ft_act(actions, FT_ACT_ANNOUNCE);
    ft_become(core, actions, core->state, "handover called off: %s", why);
}

/*
 * The standby is lost. `certain`: its kernel or its guardian said so. While the lease runs it cannot have
 * promoted itself, so a certain loss lets us go on at once; otherwise solo_after_ms has to pass
 * (ft_primary_time).
 */
void ft_primary_lost(struct ft_core *core, const char *why, bool certain, struct ft_actions *actions)
{
    bool leased = core->guarded && core->now < lease_end(core);

    core->abandoning = false;
    if (core->hand == FT_HAND_GIVEN) {
        /* It was READY and ours is the state it would have gone on from; had it reigned, its view would have
         * come first. */
        core->hand = FT_HAND_NONE;
        if (!certain) {
            ft_join_again(core, actions, "lost the peer while handing over");
            return;
        }
        core->view += 2;
        ft_act(actions, FT_ACT_VIEW)->view = core->view;
        ft_primary_alone(core, actions, "the peer was lost before it took over");
        ft_order(core, actions, FT_LANE_LIVE);
        ft_act(actions, FT_ACT_ANNOUNCE);
        return;
    }
    if (core->hand)
        call_off_handover(core, actions, why);
    if (core->resync)
        end_resync(core, actions, why);
    else if (core->guarded)
        ft_act(actions, FT_ACT_NO_BASE);
    if (core->solo)
        ft_become(core, actions, FT_SOLO, "%s", why);
    else if (leased && certain)
        ft_primary_alone(core, actions, why);
    else if (core->state == FT_PROTECTED) {
        core->degradations++;
        ft_become(core, actions, FT_DEGRADED, "%s", why);
    }
}

static void say_abandon(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    core->abandoning = true;
    core->abandon_began = core->now;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    core->guarded = false;
    core->ready_echo = 0;
    end_resync(core, actions, text);
    core->degradations++;
    ft_become(core, actions, FT_DEGRADED, "abandoning the connection: %s", text);
    snprintf(ft_say(core, actions, FT_MSG_ABANDON)->text, FT_REASON_MAX, "%s", text);
}

static void close_abandoned(struct ft_core *core, struct ft_actions *actions)
{
    core->abandoning = false;
    core->peer.up = core->peer.known = false;
    core->alone = core->now;
    ft_act(actions, FT_ACT_NO_BASE);
    ft_act(actions, FT_ACT_CLOSE);
    ft_primary_alone(core, actions, "closed the connection after a malformed message");
}

void ft_primary_malformed(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    if (core->abandoning)
        return;
    /* While the standby may hold rights, closing would tell it that we died. */
    if (!core->solo && core->peer.up) {
        say_abandon(core, text, actions);
        return;
    }
    core->peer.up = core->peer.known = false;
    core->alone = core->now;
    end_resync(core, actions, text);
    ft_act(actions, FT_ACT_CLOSE);
}

/* ---- resync ------------------------------------------------------------------------------------ */

void ft_primary_consider_resync(struct ft_core *core, struct ft_actions *actions)
{
    if (core->resync || core->guarded || core->hand || core->abandoning || !core->peer.known ||
        core->now < core->resync_again)
        return;
    if (core->peer.state != FT_JOINING && core->peer.state != FT_SYNCING && core->peer.state != FT_READY)
        return;
    core->resync = FT_RESYNC_CUT;
    core->resync_began = core->now;
    snprintf(core->resync_outcome, sizeof(core->resync_outcome), "under way");
    ft_act(actions, FT_ACT_CUT);
}

static void begin_switch(struct ft_core *core, struct ft_actions *actions)
{
    core->resync = FT_RESYNC_SWITCH;
    core->switch_began = core->now;
    core->ready_echo = 0;
    guard(core, actions);
    ft_become(core, actions, FT_DEGRADED, "holding until the standby is ready");
}

static void take_ack(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    uint64_t lag = 0;
    bool early = core->resync == FT_RESYNC_CUT || core->resync == FT_RESYNC_BASE;
    bool first = core->resync == FT_RESYNC_CATCHUP || core->resync == FT_RESYNC_SWITCH;

    /* What is left in the connection of an earlier resync must not count: its `taken` ran on another scale.
     */
    if (early || (first && m->state != FT_SYNCING) || (!core->resync && !core->guarded))
        return;
    for (unsigned l = 0; l < core->config.lanes; l++) {
        if (m->burst[l] > core->peer_closed[l])
            core->peer_closed[l] = m->burst[l];
        if (m->replayed[l] > core->peer_replayed[l])
            core->peer_replayed[l] = m->replayed[l];
        if (m->taken[l] > core->peer_taken[l])
            core->peer_taken[l] = m->taken[l];
        lag += core->closed[l] > core->peer_replayed[l] ? core->closed[l] - core->peer_replayed[l] : 0;
    }
    if (core->resync == FT_RESYNC_CATCHUP && lag <= CATCHUP_BURSTS)
        begin_switch(core, actions);
}

/* The standby says READY: it holds everything up to H and has replayed it. */
static void take_ready(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    uint64_t old = core->ready_echo;

    if (core->resync == FT_RESYNC_HOLD) {
        if (!ft_reached(core, core->peer_replayed, core->hold))
            return;
        core->resync = FT_RESYNC_NONE;
        core->resyncs++;
        snprintf(core->resync_outcome, sizeof(core->resync_outcome), "done in %llu ms",
                 (core->now - core->resync_began) / FT_MS);
    }
    if (!core->guarded || core->resync)
        return;
    if (m->echo > core->ready_echo)
        core->ready_echo = m->echo;
    if (core->now < lease_end(core) && core->state != FT_PROTECTED) {
        if (old)
            core->false_alarms++;
        ft_become(core, actions, FT_PROTECTED, old ? "the standby answers again" : "the standby is ready");
    }
    guard(core, actions);
}

/* ---- handover ---------------------------------------------------------------------------------- */

int ft_primary_handover(struct ft_core *core, struct ft_actions *actions)
{
    if (core->state != FT_PROTECTED || core->hand)
        return FT_EBUSY;
    core->hand = FT_HAND_STEER;
    core->hand_began = core->now;
    ft_say(core, actions, FT_MSG_STEER)->number = 1;
    return 0;
}

static void hand_over(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    core->hand = FT_HAND_GIVEN;
    memcpy(core->final, event->closed, sizeof(core->final));
    memcpy(core->closed, event->closed, sizeof(core->closed));
    core->guarded = false;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_order(core, actions, FT_LANE_FENCED);
    ft_become(core, actions, FT_FENCED, "handed over");
    memcpy(ft_say(core, actions, FT_MSG_HANDOVER)->burst, core->final, sizeof(core->final));
}

/* ---- events ------------------------------------------------------------------------------------ */

void ft_primary_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    if (m->type == FT_MSG_ABANDONED && core->abandoning) {
        close_abandoned(core, actions);
        return;
    }
    if (core->hand == FT_HAND_GIVEN && (m->state == FT_JOINING || m->state == FT_SYNCING))
        ft_primary_lost(core, "the standby gave up before it took over", true, actions);
    if (core->abandoning || core->hand == FT_HAND_GIVEN)
        return;
    if (m->type == FT_MSG_ACK)
        take_ack(core, m, actions);
    if (m->type == FT_MSG_ASK)
        ft_primary_handover(core, actions);
    if (m->type == FT_MSG_STEERED && core->hand == FT_HAND_STEER) {
        core->hand = FT_HAND_DRAIN;
        ft_order(core, actions, FT_LANE_DRAIN);
    }
    if (m->state == FT_READY) {
        take_ready(core, m, actions);
    } else if (core->guarded && m->state == FT_JOINING) {
        /* It gave up its rights of its own accord. */
        if (core->hand)
            call_off_handover(core, actions, "the standby is no longer ready");
        if (core->resync)
            end_resync(core, actions, "the standby gave up");
        else
            ft_act(actions, FT_ACT_NO_BASE);
        ft_primary_alone(core, actions, "the standby is no longer ready");
    }
}

void ft_primary_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    switch (event->kind) {
    case FT_EV_LANES:
        memcpy(core->closed, event->closed, sizeof(core->closed));
        break;
    case FT_EV_CUT:
        if (core->resync != FT_RESYNC_CUT)
            break;
        core->resync = FT_RESYNC_BASE;
        memset(core->peer_closed, 0, sizeof(core->peer_closed));
        memset(core->peer_replayed, 0, sizeof(core->peer_replayed));
        memset(core->peer_taken, 0, sizeof(core->peer_taken));
        memcpy(ft_say(core, actions, FT_MSG_BASE_BEGIN)->burst, event->closed, sizeof(event->closed));
        break;
    case FT_EV_BASE_SENT:
        if (core->resync != FT_RESYNC_BASE)
            break;
        core->resync = FT_RESYNC_CATCHUP;
        ft_say(core, actions, FT_MSG_BASE_END);
        break;
    case FT_EV_HELD:
        if (core->resync != FT_RESYNC_SWITCH)
            break;
        core->resync = FT_RESYNC_HOLD;
        memcpy(core->hold, event->closed, sizeof(core->hold));
        memcpy(ft_say(core, actions, FT_MSG_HOLDING)->burst, core->hold, sizeof(core->hold));
        break;
    case FT_EV_DRAINED:
        if (core->hand == FT_HAND_DRAIN)
            hand_over(core, event, actions);
        break;
    case FT_EV_WORD:
        if (!core->peer.known || event->word.incarnation != core->peer.incarnation)
            break;
        core->peer.up = core->peer.known = false;
        core->alone = core->now;
        ft_act(actions, FT_ACT_CLOSE);
        ft_primary_lost(core, "the standby's guardian says it is dead", true, actions);
        break;
    default:
        break;
    }
}

static void check_silence(struct ft_core *core, struct ft_actions *actions)
{
    uint64_t heard = core->peer.heard > core->awake ? core->peer.heard : core->awake;

    if (core->state == FT_PROTECTED && core->now >= lease_end(core)) {
        core->degradations++;
        ft_become(core, actions, FT_DEGRADED, "no answer from the standby for %u ms", core->config.lease_ms);
    }
    if (core->state != FT_DEGRADED || core->config.strict ||
        core->now - heard < ft_ms(core->config.solo_after_ms))
        return;
    if (core->resync)
        end_resync(core, actions, "the standby fell silent");
    else
        ft_act(actions, FT_ACT_NO_BASE);
    ft_primary_alone(core, actions, "no answer from the standby for solo_after_ms");
}

void ft_primary_time(struct ft_core *core, struct ft_actions *actions)
{
    if (core->hand == FT_HAND_GIVEN)
        return;
    if (core->hand && core->now - core->hand_began > ft_ms(core->config.drain_ms))
        call_off_handover(core, actions, "it took too long");
    if (core->abandoning && core->now - core->abandon_began >= ft_ms(core->config.solo_after_ms)) {
        close_abandoned(core, actions);
        return;
    }
    if (core->resync && core->now - core->resync_began > ft_ms(core->config.resync_deadline_ms)) {
        end_resync(core, actions,
                   core->resync == FT_RESYNC_CATCHUP ? "deadline: the standby replays too slowly"
                                                     : "deadline: the base took too long");
        if (core->guarded)
            ft_primary_alone(core, actions, "the resync failed");
    } else if (core->resync >= FT_RESYNC_SWITCH && !core->config.strict &&
               core->now - core->switch_began >= ft_ms(core->config.solo_after_ms)) {
        end_resync(core, actions, "the standby was not ready in time after the switch");
        ft_primary_alone(core, actions, "the resync failed");
    }
    if (!core->abandoning)
        check_silence(core, actions);
}
