/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being primary: the gate and its lease, and what the loss of a standby means.
 *
 * The gate is in one of three positions. SOLO: everything leaves; announced, never with strict. Guarded:
 * outputs of bursts up to the closed set acknowledged last leave while the lease runs (ack.c). Shut: nothing
 * leaves.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

uint64_t ft_primary_silent(const struct ft_core *core, uint64_t since)
{
    return core->now - ft_later(since, core->awake);
}

void ft_primary_alone(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    struct ft_action *gate = ft_act(actions, FT_ACT_GATE);

    core->guarded = core->cut_off = core->unsettled = false;
    core->ready_echo = 0;
    core->arbiter.open = core->arbiter.lost = false;
    ft_arbiter_forget(core, actions);
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

void ft_primary_settle(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->guarded = core->solo = core->cut_off = false;
    core->ready_echo = 0;
    core->unsettled = true;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_become(core, actions, FT_DEGRADED,
              "%s; holds until view %lu is on the disk, or the peer has heard of it", why, core->view);
}

/*
 * This primary serves on, without its standby. What follows from one loss is no other; but who knows for
 * certain that it is dead knows better than who saw its connection break. Returns the sentence that says so,
 * which stays until the next loss.
 */
static const char *note_loss(struct ft_core *core, const char *why, bool certain)
{
    if (core->loss.open && !certain)
        return core->loss.why;
    if (!core->loss.open) {
        core->loss.open = true;
        core->loss.at = core->now;
        core->loss.view = core->view;
        core->loss.count++;
        core->event = FT_SAYS_STANDBY_LOST;
    }
    snprintf(core->loss.why, sizeof(core->loss.why), "standby %s lost: %.80s", ft_peer_name(core), why);
    return core->loss.why;
}

/*
 * A standby that says it is JOINING, or that has answered our SNAPSHOT_BEGIN, holds no right: nothing can
 * promote it before our next HOLDING. So we need not wait for anything before we go on alone.
 */
void ft_primary_powerless(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool early = core->resync == FT_RESYNC_SNAPSHOT || core->resync == FT_RESYNC_CATCHUP;
    bool forgot = early && m->state == FT_SYNCING && m->echo >= core->begun;
    bool lost = m->state == FT_JOINING && core->guarded && !core->resync;

    if (m->state != FT_JOINING && !forgot)
        return;
    if (core->hand)
        ft_handover_off(core, actions, "the standby is no longer ready");
    if (m->state == FT_JOINING) {
        if (core->resync >= FT_RESYNC_SWITCH || (early && m->echo > core->begun))
            ft_resync_end(core, actions, "the standby gave up");
        else if (core->guarded && !core->resync)
            ft_act(actions, FT_ACT_NO_SNAPSHOT);
    }
    if (core->guarded || (core->state == FT_DEGRADED && !core->config.strict))
        ft_primary_alone(core, actions,
                         lost ? note_loss(core, "it is not ready any more", false)
                              : "the standby is not ready");
}

/* The lease, if any, runs out by itself. */
static void lose_cut_off(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    core->cut_off = true;
    if (core->state == FT_PROTECTED)
        core->degradations++;
    ft_become(core, actions, FT_DEGRADED, "%s", why);
}

/*
 * The standby is lost. `certain`: it, its kernel or its guardian said so. While the lease runs it cannot have
 * promoted itself, so a certain loss lets us go on at once, and so does any loss of one that never heard
 * HOLDING; otherwise solo_after_ms has to pass (ft_primary_time), or it comes back without its rights.
 */
void ft_primary_lost(struct ft_core *core, const char *why, bool certain, struct ft_actions *actions)
{
    bool leased = core->guarded && core->now < ft_ack_lease(core);
    bool never = core->resync == FT_RESYNC_SWITCH, resynced = core->resync != FT_RESYNC_NONE;

    if (core->abandoning) {
        core->abandoning = false;
        /* A standby that is told so joins before it closes. Had the lease run out, it might have promoted
         * itself meanwhile, unheard; then it has to come back and say what it is, or solo_after_ms has to
         * pass. */
        if (certain && core->now < core->abandon_lease)
            ft_primary_alone(core, actions, core->loss.why);
        return;
    }
    if (core->hand)
        ft_handover_off(core, actions, why);
    if (core->resync)
        ft_resync_end(core, actions, why);
    else if (core->guarded)
        ft_act(actions, FT_ACT_NO_SNAPSHOT);
    /* SOLO, there is none to lose: why it is SOLO stays what it was. */
    if (core->solo && resynced)
        ft_become(core, actions, FT_SOLO, "the standby was lost before it was ready: %s", why);
    else if (core->unsettled && certain)
        ft_primary_alone(core, actions, core->takeover.why);
    else if (core->guarded && ((leased && certain) || never))
        ft_primary_alone(core, actions, note_loss(core, why, certain));
    else if (core->guarded && !core->arbiter.asking && !core->arbiter.lost)
        lose_cut_off(core, note_loss(core, why, certain), actions);
}

static void say_abandon(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    core->abandoning = true;
    core->abandon_began = core->now;
    core->abandon_lease = ft_ack_lease(core);
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    core->guarded = core->cut_off = core->unsettled = false;
    core->ready_echo = 0;
    if (core->hand)
        ft_handover_off(core, actions, text);
    if (core->resync)
        ft_resync_end(core, actions, text);
    else
        ft_act(actions, FT_ACT_NO_SNAPSHOT);
    core->degradations++;
    note_loss(core, text, false);
    ft_become(core, actions, FT_DEGRADED, "abandoning the connection: %s", text);
    snprintf(ft_say(core, actions, FT_MSG_ABANDON)->text, FT_REASON_MAX, "%s", text);
}

static bool must_ask(const struct ft_core *core)
{
    return core->config.arbiter && core->arbiter.open && !FT_PLANTED("solo-unasked");
}

/*
 * The link is silent, but a data port says that the peer is primary in a view after ours. We may have slept
 * and been replaced. Heartbeats on data ports are nobody's word that could fence; enough to hold until the
 * link tells.
 */
static bool perhaps_replaced(const struct ft_core *core)
{
    return core->peer.heartbeat_view > core->view &&
           core->now - core->peer.port_heartbeat < ft_ms(core->config.solo_after_ms);
}

/* `told`: the standby has said that it has no right any more; else it did not answer. */
static void close_abandoned(struct ft_core *core, bool told, struct ft_actions *actions)
{
    core->abandoning = false;
    ft_peer_gone(core);
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
    ft_act(actions, FT_ACT_CLOSE);
    if (perhaps_replaced(core))
        ft_become(core, actions, FT_DEGRADED,
                  "closed the connection; a data port says that the peer is primary");
    else if (!told && must_ask(core))
        ft_become(core, actions, FT_DEGRADED, "closed the connection after a malformed message");
    else
        ft_primary_alone(core, actions, "closed the connection after a malformed message");
}

void ft_primary_malformed(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    if (core->abandoning)
        return;
    /* While the standby may hold rights, closing would tell it that we died; but not where we have heard no
     * hello, and it nothing that proves who we are. There it would not believe what we said, either. */
    if (!core->solo && core->peer.up && core->peer.greeted) {
        say_abandon(core, text, actions);
        return;
    }
    bool lost = !core->solo && core->peer.up;

    ft_peer_gone(core);
    if (lost)
        ft_primary_lost(core, text, false, actions);
    else
        ft_resync_end(core, actions, text);
    ft_act(actions, FT_ACT_CLOSE);
}

/* ---- events ------------------------------------------------------------------------------------ */

void ft_primary_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    if (core->abandoning) {
        if (m->type == FT_MSG_ABANDONED || m->state == FT_JOINING)
            close_abandoned(core, true, actions);
        return;
    }
    switch (m->type) {
    case FT_MSG_ACK:
        ft_ack_receive(core, m, actions);
        break;
    case FT_MSG_ASK:
        ft_handover_begin(core, actions);
        break;
    case FT_MSG_STEERED:
        ft_handover_steered(core, actions);
        break;
    default:
        break;
    }
    /* Whatever its type, a message of a READY standby is an answer. */
    if (m->state == FT_READY)
        ft_ack_renew_lease(core, m, actions);
    else
        ft_primary_powerless(core, m, actions);
}

/* The death notice comes more than once, and may come after the connection is gone. */
static void hear_death_notice(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    if (!core->peer.incarnation || event->incarnation != core->peer.incarnation)
        return;
    if (core->peer.up) {
        ft_peer_gone(core);
        ft_act(actions, FT_ACT_CLOSE);
    }
    core->peer.incarnation = 0;
    ft_primary_lost(core, "its guardian says it is dead", true, actions);
}

void ft_primary_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    switch (event->kind) {
    case FT_EV_LANES:
        memcpy(core->closed, event->closed, sizeof(core->closed));
        break;
    case FT_EV_STORED:
        core->stored = event->view;
        if (core->unsettled && ft_is_stored(core, core->view))
            ft_primary_alone(core, actions, core->takeover.why);
        break;
    case FT_EV_DRAINED:
        if (core->hand == FT_HAND_DRAIN)
            ft_handover_give(core, event, actions);
        break;
    case FT_EV_DEATH_NOTICE:
        hear_death_notice(core, event, actions);
        break;
    default:
        ft_resync_event(core, event, actions);
    }
}

/*
 * With an arbiter: our answer to a hello may have begun the right anew of a standby of which we have not
 * heard since, and while that runs, a certain word makes it primary without asking.
 */
static bool silent_for_long(const struct ft_core *core)
{
    uint64_t since = core->peer.heard;

    if (must_ask(core))
        since = ft_later(since, core->answered);
    return ft_primary_silent(core, since) >=
           ft_ms(FT_PLANTED("solo-early") ? core->config.lease_ms : core->config.solo_after_ms);
}

/* Elapsed time alone does not say that the standby of this era will not take over: the arbiter does. */
static void ask_arbiter(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    note_loss(core, why, false);
    core->cut_off = core->guarded; /* who has asked has left the era, whatever it hears next */
    ft_arbiter_ask(core, core->arbiter.era, why, actions);
    ft_become(core, actions, FT_DEGRADED, "%s; asks the arbiter", core->loss.why);
}

void ft_primary_decided(struct ft_core *core, const char *by, struct ft_actions *actions)
{
    if (silent_for_long(core) && !perhaps_replaced(core))
        ft_primary_goes_on(core, by, actions);
    else
        ft_become(core, actions, FT_DEGRADED, "%.70s%s, and the peer is heard again", core->loss.why, by);
}

void ft_primary_goes_on(struct ft_core *core, const char *by, struct ft_actions *actions)
{
    char why[FT_REASON_MAX];

    snprintf(why, sizeof(why), "%.70s%s", core->loss.why, by);
    ft_primary_alone(core, actions, why);
}

uint64_t ft_primary_degrades_at(const struct ft_core *core)
{
    return core->ready_echo + ft_ms(core->config.degrade_ms);
}

static void check_silence(struct ft_core *core, struct ft_actions *actions)
{
    char why[40];

    if (core->state == FT_PROTECTED && core->now >= ft_primary_degrades_at(core)) {
        core->degradations++;
        ft_become(core, actions, FT_DEGRADED, "no answer from the standby for %u ms",
                  core->config.degrade_ms);
    }
    if (core->state != FT_DEGRADED || core->config.strict || !silent_for_long(core) ||
        perhaps_replaced(core) || core->arbiter.asking || core->arbiter.lost)
        return;
    if (core->hand)
        ft_handover_off(core, actions, "the standby fell silent");
    if (core->resync)
        ft_resync_end(core, actions, "the standby fell silent");
    else
        ft_act(actions, FT_ACT_NO_SNAPSHOT);
    snprintf(why, sizeof(why), "no answer for %u ms", core->config.solo_after_ms);
    if (must_ask(core)) {
        ask_arbiter(core, why, actions);
        return;
    }
    ft_primary_alone(core, actions, core->unsettled ? core->takeover.why : note_loss(core, why, false));
}

void ft_primary_time(struct ft_core *core, struct ft_actions *actions)
{
    if (core->abandoning) {
        if (ft_primary_silent(core, core->abandon_began) >= ft_ms(core->config.solo_after_ms))
            close_abandoned(core, false, actions);
        return;
    }
    ft_handover_time(core, actions);
    ft_resync_time(core, actions);
    check_silence(core, actions);
}
