/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being primary: the gate and its lease, bringing a standby up to date, the giving side of a planned
 * handover, and what the loss of a standby means.
 *
 * The gate is in one of three positions. SOLO: everything leaves; announced, never with strict. Guarded:
 * outputs of bursts up to the closed set acknowledged last leave while the lease runs. Shut: nothing leaves.
 * The lease runs from the time at which this node *sent* the newest message that a READY standby has
 * answered. So it ends here before the standby, which counts from its answer, may consider this node dead.
 *
 * A resync, from the cut to a READY standby, begins beside a gate that is SOLO (or shut, with strict); or
 * beside a guarded one whose standby was cut off from the log. That standby may still hold rights, so the
 * gate stays as it is until the standby has answered SNAPSHOT_BEGIN. From HOLDING on it may hold rights
 * again: a resync that fails there leaves the primary holding, and only the next snapshot, or solo_after_ms
 * of silence, lets it go on alone.
 *
 * A standby that is lost without having died for certain costs clients each time, and so does a resync that
 * fails once outputs are held for it (FT_RESYNC_SWITCH). From the second such time in a row on the standby is
 * taken back later: after a back-off that doubles, and that is forgotten once it has been READY for as long
 * as the longest one, or the reign ends. Meanwhile the primary is SOLO. A resync that fails behind HOLDING is
 * followed by another at once all the same, until the standby has answered it: then it holds no rights, and
 * the rest waits. A strict primary does not wait, since nothing leaves it without a standby. A certain death,
 * a resync that fails earlier and a standby that a re-pair gives up do not count.
 *
 * At a handover the standby draws the frames to itself, we work off what still lies in our ports, then send
 * HANDOVER: from there on the standby may be primary whenever it has replayed. A peer lost after HANDOVER may
 * have been primary and released before it died, and not even the end of its connection proves that its last
 * words reached us. So we keep our state, fenced, until we know: the peer reports that it joins (nothing
 * leaves a successor by handover before its view is on its disk or we have heard of it, so of one that comes
 * back in our view nothing has left), or a person decides. Silence proves nothing here: the peer was about to
 * take over.
 */
#include "ftcore/protocol/parts.h"
#include "ftcore/base/plant.h"

#include <stdio.h>
#include <string.h>

/* A lane of the standby that is no further behind is close: it replays these in far less than a lease. */
#define CATCHUP_BURSTS  64u
#define RESYNC_PAUSE_MS 200u

/* ---- the gate and its lease --------------------------------------------------------------------- */

void ft_primary_alone(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    struct ft_action *gate = ft_act(actions, FT_ACT_GATE);

    core->guarded = core->cut_off = core->unsettled = core->abandoning = false;
    core->ready_echo = 0;
    core->right = FT_RIGHT_NONE;
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

/* ns; 0: there is none. */
static uint64_t lease_end(const struct ft_core *core)
{
    uint32_t lease = core->config.lease_ms;

    if (FT_PLANTED("long-lease"))
        lease = core->config.solo_after_ms;
    return core->ready_echo ? core->ready_echo + ft_ms(lease) : 0;
}

/* Guards the gate from now on. */
static void guard_gate(struct ft_core *core, struct ft_actions *actions)
{
    struct ft_action *action = ft_act(actions, FT_ACT_GATE);

    core->guarded = true;
    core->solo = core->unsettled = false;
    action->gate = FT_GATE_GUARDED;
    action->lease_until = lease_end(core);
    memcpy(action->vector, core->peer_closed, sizeof(action->vector));
}

/* ---- resync ------------------------------------------------------------------------------------- */

/* Once for all that comes of one event. A standby that is given up for another one has not failed. */
static void back_off(struct ft_core *core)
{
    uint64_t wait = ft_ms(core->config.back_off_least_ms), most = ft_ms(core->config.back_off_most_ms);
    bool quiet = core->back_off.taken_at && core->now - core->back_off.taken_at >= most;
    bool slow = core->slow.gives_up || core->slow.proves;

    if (!wait || core->config.strict || core->back_off.at == core->now ||
        core->repair.step == FT_REPAIR_RELEASE)
        return;
    core->back_off.count = quiet ? 1 : core->back_off.count + 1;
    core->back_off.at = core->now;
    core->back_off.taken_at = 0;
    for (unsigned i = slow ? 1 : 2; i < core->back_off.count && wait < most; i++)
        wait *= 2;
    if (slow || core->back_off.count > 1)
        core->back_off.until = core->now + (wait < most ? wait : most);
}

unsigned ft_core_back_off(const struct ft_core *core, uint64_t *left)
{
    uint64_t taken = core->back_off.taken_at, most = ft_ms(core->config.back_off_most_ms);
    bool over = !ft_core_primary(core) || (taken && core->now - taken >= most);

    *left = !over && core->back_off.until > core->now ? core->back_off.until - core->now : 0;
    return over ? 0 : core->back_off.count;
}

/* The end of the reason why this primary is alone. */
static const char *taken_back(const struct ft_core *core, char text[64])
{
    uint64_t left;
    unsigned count = ft_core_back_off(core, &left);

    text[0] = '\0';
    left = (left + ft_ms(999)) / ft_ms(1000);
    if (left && count > 1)
        snprintf(text, 64, ", %u times in a row; taken back in %lu s", count, left);
    else if (left)
        snprintf(text, 64, "; taken back in %lu s", left);
    return text;
}

static void stop_resync(struct ft_core *core, struct ft_actions *actions, const char *outcome)
{
    if (core->resync == FT_RESYNC_NONE)
        return;
    snprintf(core->resync_outcome, sizeof(core->resync_outcome), "%s", outcome);
    core->resync = FT_RESYNC_NONE;
    core->slow.since = 0;
    core->resyncs_failed++;
    core->resync_again = core->now + ft_ms(RESYNC_PAUSE_MS);
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
}

/* It has failed. `certain`: the standby has died for certain. */
static void end_resync(struct ft_core *core, bool certain, struct ft_actions *actions, const char *outcome)
{
    if ((core->resync >= FT_RESYNC_SWITCH || core->slow.since) && !certain)
        back_off(core);
    stop_resync(core, actions, outcome);
}

void ft_resync_consider(struct ft_core *core, struct ft_actions *actions)
{
    if (core->resync || (core->guarded && !core->cut_off) || core->hand || core->abandoning ||
        core->repair.step || !core->peer.known || core->now < core->resync_again ||
        (!core->guarded && core->now < core->back_off.until))
        return;
    if (core->peer.state != FT_JOINING && core->peer.state != FT_SYNCING && core->peer.state != FT_READY)
        return;
    /* A snapshot for one that does not answer would only fill buffers. */
    if (core->now - core->peer.heard >= ft_ms(core->config.detect_ms))
        return;
    core->resync = FT_RESYNC_CUT;
    core->resync_began = core->now;
    snprintf(core->resync_outcome, sizeof(core->resync_outcome), "under way");
    ft_act(actions, FT_ACT_CUT);
}

/* Guarded, and from now on without a lease: the standby is to forget what it holds. */
static void cut_off(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->cut_off = true;
    core->ready_echo = 0;
    guard_gate(core, actions);
    if (core->state == FT_PROTECTED)
        core->degradations++;
    ft_become(core, actions, FT_DEGRADED, "%s", why);
}

void ft_resync_asked(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    bool holding_announced =
        core->resync == FT_RESYNC_NONE || core->resync == FT_RESYNC_HOLD || core->cut_off;

    if (!core->peer.known || core->hand || core->abandoning)
        return;
    if (core->resync)
        stop_resync(core, actions, "another was asked for");
    else if (core->guarded)
        ft_act(actions, FT_ACT_NO_SNAPSHOT);
    core->resync_again = core->back_off.until = 0;
    if (core->guarded && holding_announced)
        cut_off(core, actions, why);
    else if (core->guarded)
        ft_primary_alone(core, actions, why);
}

static void begin_switch(struct ft_core *core, struct ft_actions *actions)
{
    core->resync = FT_RESYNC_SWITCH;
    core->right = FT_RIGHT_GIVEN;
    core->switch_began = core->now;
    core->ready_echo = 0;
    core->cut_off = false;
    guard_gate(core, actions);
    core->planned = true;
    ft_become(core, actions, FT_DEGRADED, "holding until the standby is ready");
}

/*
 * Once every lane of the standby is close to its primary's, the gate is guarded and outputs are held for it.
 * Lanes replay beside each other, and with deltas a lane is behind by what is executed between two cuts and
 * on the way, so the sum over lanes has no meaning.
 */
static void consider_switch(struct ft_core *core, struct ft_actions *actions)
{
    const uint64_t *counts = ft_counts(core, core->peer_closed, core->peer_replayed);
    bool close = true;

    for (unsigned l = 0; l < core->config.lanes; l++)
        close &= core->closed[l] <= counts[l] + CATCHUP_BURSTS;
    if (core->resync == FT_RESYNC_CATCHUP && ft_slow_proves(core, close))
        begin_switch(core, actions);
}

/* The standby reports READY: it holds everything up to H and, if it is hot, has replayed it. */
static void consider_ready(struct ft_core *core)
{
    if (core->resync != FT_RESYNC_HOLD ||
        !ft_reached(core, ft_counts(core, core->peer_closed, core->peer_replayed), core->hold))
        return;
    core->resync = FT_RESYNC_NONE;
    core->resyncs++;
    core->loss.open = false;
    core->back_off.taken_at = core->now;
    snprintf(core->resync_outcome, sizeof(core->resync_outcome), "done in %llu ms",
             (core->now - core->resync_began) / FT_MS);
}

static void resync_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    struct ft_message *m;

    if (event->kind == FT_EV_CUT && core->resync == FT_RESYNC_CUT) {
        core->resync = FT_RESYNC_SNAPSHOT;
        memset(core->peer_closed, 0, sizeof(core->peer_closed));
        memset(core->peer_replayed, 0, sizeof(core->peer_replayed));
        memset(core->peer_taken, 0, sizeof(core->peer_taken));
        /* Once ordered to forget, the standby protects nothing more: the rest of a lease ends here. */
        if (core->guarded)
            cut_off(core, actions, "the standby gets a new snapshot");
        m = ft_say(core, actions, FT_MSG_SNAPSHOT_BEGIN);
        memcpy(m->burst, event->closed, sizeof(event->closed));
        memcpy(m->access, event->access, sizeof(event->access));
        m->number = core->config.chain;
        m->members = core->members;
        core->begun = m->sent;
    } else if (event->kind == FT_EV_SNAPSHOT_SENT && core->resync == FT_RESYNC_SNAPSHOT) {
        core->resync = FT_RESYNC_CATCHUP;
        ft_say(core, actions, FT_MSG_SNAPSHOT_END);
    } else if (event->kind == FT_EV_GUARDED && core->resync == FT_RESYNC_SWITCH) {
        core->resync = FT_RESYNC_HOLD;
        memcpy(core->hold, event->closed, sizeof(core->hold));
        m = ft_say(core, actions, FT_MSG_HOLDING);
        memcpy(m->burst, core->hold, sizeof(core->hold));
        core->arbiter.era = (struct ft_era){m->view, FT_PLANTED("one-era") ? 1 : m->sent};
        core->arbiter.open = true;
    }
}

/* Too late. Has it heard HOLDING? Then it may be READY by now, and has to forget first. */
static void give_up(struct ft_core *core, struct ft_actions *actions, const char *outcome)
{
    bool holding_announced = core->resync == FT_RESYNC_HOLD || core->cut_off;

    end_resync(core, false, actions, outcome);
    if (core->guarded && holding_announced) {
        core->resync_again = core->now;
        cut_off(core, actions, outcome);
    } else if (core->guarded) {
        char why[FT_REASON_MAX], later[64];

        snprintf(why, sizeof(why), "the resync failed%s", taken_back(core, later));
        ft_primary_alone(core, actions, why);
    }
}

static void resync_time(struct ft_core *core, struct ft_actions *actions)
{
    uint64_t most = ft_ms(core->config.resync_deadline_ms) + (core->slow.proves ? FT_SLOW_NS : 0);

    if (core->slow.since)
        consider_switch(core, actions);
    if (core->resync && core->now - core->resync_began > most)
        give_up(core, actions,
                core->resync == FT_RESYNC_CATCHUP ? "deadline: the standby replays too slowly"
                : core->resync < FT_RESYNC_SWITCH ? "deadline: the snapshot took too long"
                                                  : "deadline: the standby was not ready in time");
    else if (core->resync >= FT_RESYNC_SWITCH && !core->config.strict &&
             core->now - core->switch_began >= ft_ms(core->config.solo_after_ms))
        give_up(core, actions, "the standby was not ready in time after the switch");
}

/* ---- acknowledgements --------------------------------------------------------------------------- */

static void receive_ack(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool early = core->resync == FT_RESYNC_CUT || core->resync == FT_RESYNC_SNAPSHOT;
    bool first = core->resync == FT_RESYNC_CATCHUP || core->resync == FT_RESYNC_SWITCH;

    /* What is left in the connection of an earlier resync must not count: its `taken` ran on another scale,
     * and its sender has forgotten since what it acknowledged. */
    if (early || m->echo < core->begun || (first && m->state != FT_SYNCING) || core->cut_off ||
        (!core->resync && !core->guarded))
        return;
    for (unsigned l = 0; l < core->config.lanes; l++) {
        core->peer_closed[l] = ft_later(core->peer_closed[l], m->burst[l]);
        core->peer_replayed[l] = ft_later(core->peer_replayed[l], m->replayed[l]);
        core->peer_taken[l] = ft_later(core->peer_taken[l], m->taken[l]);
    }
    consider_switch(core, actions);
}

static void renew_lease(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    uint64_t old = core->ready_echo;

    consider_ready(core);
    if (!core->guarded || core->cut_off || core->resync)
        return;
    if (m->echo > core->ready_echo)
        core->ready_echo = FT_PLANTED("lease-from-answer") ? core->now : m->echo;
    if (core->now < lease_end(core) && core->state != FT_PROTECTED) {
        if (old)
            core->false_alarms++;
        ft_become(core, actions, FT_PROTECTED, old ? "the standby answers again" : "the standby is ready");
    }
    guard_gate(core, actions);
}

/* ---- handover ----------------------------------------------------------------------------------- */

void ft_handover_begin(struct ft_core *core, struct ft_actions *actions)
{
    if (core->state != FT_PROTECTED || core->hand)
        return;
    core->hand = FT_HAND_STEER;
    core->hand_began = core->now;
    core->hand_outcome[0] = '\0';
    /* First, so that nothing from the chain's MAC leaves here once the standby claims it. */
    ft_order(core, actions, FT_LANE_OWN_MAC);
    ft_say(core, actions, FT_MSG_STEER)->number = 1;
}

static void begin_drain(struct ft_core *core, struct ft_actions *actions)
{
    if (core->hand != FT_HAND_STEER)
        return;
    core->hand = FT_HAND_DRAIN;
    ft_order(core, actions, FT_LANE_DRAIN);
}

static void abort_handover(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->hand = FT_HAND_NONE;
    if (core->peer.known)
        ft_say(core, actions, FT_MSG_STEER)->number = 0;
    ft_order(core, actions, FT_LANE_LIVE);
    ft_act(actions, FT_ACT_ANNOUNCE);
    core->reclaims = true;
    snprintf(core->hand_outcome, sizeof(core->hand_outcome), "aborted: %s", why);
    ft_become(core, actions, core->state, "handover aborted: %s", why);
}

/* Its lanes announced for as long as its replicator did not hear that it is over, so also behind what was
 * claimed at the abort. */
static void claim_again(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    if (m->state != FT_JOINING && (m->type != FT_MSG_STEERED || !m->number))
        return;
    core->reclaims = false;
    ft_act(actions, FT_ACT_ANNOUNCE);
}

static void hand_over(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    memcpy(core->closed, event->closed, sizeof(core->closed));
    if (core->state != FT_PROTECTED) {
        abort_handover(core, actions, "the standby does not answer");
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
    ft_write_view(actions, FT_ACT_VIEW, view, &core->members);
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
    ft_primary_alone(core, actions, why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    ft_order(core, actions, FT_LANE_LIVE);
    ft_act(actions, FT_ACT_ANNOUNCE);
}

static void receive_successor(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
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
        receive_successor(core, m, actions);
    }
}

void ft_handover_reclaim(struct ft_core *core, struct ft_actions *actions)
{
    /* In our own view: if the peer did take over, behind a partition, its higher view wins. */
    if (ft_primary_silent(core, core->peer.heard) >= ft_ms(core->config.solo_after_ms)) {
        resume_as_primary(core, core->view, "an operator's promote, after a handover that nobody answered",
                          actions);
        core->right = FT_RIGHT_GIVEN;
    }
}

/* ---- the loss of a standby ---------------------------------------------------------------------- */

/*
 * This primary serves on, without its standby. What follows from one loss is no other loss; but a certain
 * death replaces the reason of a broken connection. Returns the sentence that reports the loss, which stays
 * until the next one.
 */
static const char *note_loss(struct ft_core *core, const char *why, bool certain)
{
    char later[64];

    if (core->loss.open && !certain)
        return core->loss.why;
    if (!core->loss.open) {
        core->loss.open = true;
        core->loss.at = core->now;
        core->loss.view = core->view;
        core->loss.count++;
        core->event = FT_SAYS_STANDBY_LOST;
        if (!certain)
            back_off(core);
    }
    snprintf(core->loss.why, sizeof(core->loss.why), "standby %s lost: %.80s%s", ft_peer_name(core), why,
             taken_back(core, later));
    return core->loss.why;
}

/*
 * A standby that reports JOINING, or that has answered our SNAPSHOT_BEGIN, holds no right: nothing can
 * promote it before our next HOLDING. So we need not wait for anything before we go on alone.
 */
void ft_primary_powerless(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool early = core->resync == FT_RESYNC_SNAPSHOT || core->resync == FT_RESYNC_CATCHUP;
    bool forgot = early && m->state == FT_SYNCING && m->echo >= core->begun;
    bool lost = m->state == FT_JOINING && core->guarded && !core->resync;

    if (m->state != FT_JOINING && !forgot)
        return;
    core->right = FT_RIGHT_NONE;
    if (core->hand) {
        abort_handover(core, actions, "the standby is no longer ready");
        core->reclaims = false; /* who is not draws no frames */
    }
    if (m->state == FT_JOINING) {
        if (core->resync >= FT_RESYNC_SWITCH || (early && m->echo > core->begun))
            end_resync(core, false, actions, "the standby gave up");
        else if (core->guarded && !core->resync)
            ft_act(actions, FT_ACT_NO_SNAPSHOT);
    }
    if (core->guarded || (core->state == FT_DEGRADED && !core->config.strict)) {
        char why[FT_REASON_MAX], later[64];

        snprintf(why, sizeof(why), "the standby is not ready%s", taken_back(core, later));
        ft_primary_alone(core, actions, lost ? note_loss(core, "it is not ready any more", false) : why);
        if (core->now < core->back_off.until)
            stop_resync(core, actions, "the standby has given up what it held, and is taken back later");
    }
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
 * The standby is lost. `certain`: it, its kernel or its guardian reported that. While the lease runs it
 * cannot have promoted itself, so a certain loss lets us go on at once, and so does any loss of one that
 * never heard HOLDING; otherwise solo_after_ms has to pass (ft_primary_time), or it comes back without its
 * rights.
 */
void ft_primary_lost(struct ft_core *core, const char *why, bool certain, struct ft_actions *actions)
{
    bool leased = core->guarded && core->now < lease_end(core);
    bool never = core->resync == FT_RESYNC_SWITCH, resynced = core->resync != FT_RESYNC_NONE;

    if (core->abandoning) {
        core->abandoning = false;
        /* A standby that receives ABANDON joins before it closes. Had the lease run out, it might have
         * promoted itself meanwhile, unheard; then it has to come back and report its state, or solo_after_ms
         * has to pass. */
        if (certain && core->now < core->abandon_lease)
            ft_primary_alone(core, actions, core->loss.why);
        return;
    }
    if (core->hand)
        abort_handover(core, actions, why);
    if (core->resync)
        end_resync(core, certain, actions, why);
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

/* `since`: when the standby can have been given its right last. */
static void say_abandon(struct ft_core *core, const char *text, uint64_t since, struct ft_actions *actions)
{
    core->abandoning = true;
    core->abandon_began = since;
    core->abandon_lease = lease_end(core);
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    core->guarded = core->cut_off = core->unsettled = false;
    core->ready_echo = 0;
    if (core->hand)
        abort_handover(core, actions, text);
    if (core->resync)
        end_resync(core, false, actions, text);
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
 * The link is silent, but by a data port the peer is primary in a view after ours. We may have slept and been
 * replaced. A heartbeat on a data port cannot fence; it is enough to hold until the link speaks.
 */
static bool perhaps_replaced(const struct ft_core *core)
{
    return core->peer.heartbeat_view > core->view &&
           core->now - core->peer.port_heartbeat < ft_ms(core->config.solo_after_ms);
}

/* `told`: the standby has reported that it has no right any more; else it did not answer. */
static void close_abandoned(struct ft_core *core, bool told, struct ft_actions *actions)
{
    core->abandoning = false;
    ft_peer_gone(core);
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
    ft_act(actions, FT_ACT_CLOSE);
    if (perhaps_replaced(core))
        ft_become(core, actions, FT_DEGRADED,
                  "closed the connection; a data port says that the peer is primary");
    else if (!told && (must_ask(core) || core->config.strict) && !FT_PLANTED("released-by-time"))
        ft_become(core, actions, FT_DEGRADED, "%.120s%s", core->loss.why,
                  core->arbiter.asking && core->arbiter.silent ? FT_UNANSWERED : "");
    else
        ft_primary_alone(core, actions, core->loss.why);
}

/* ---- re-pair ------------------------------------------------------------------------------------ */

/*
 * Another standby: this primary's view ends, and the next one has other members. First its standby gives up
 * its state, so that the primary is alone; then the arbiter keeps the view that is to begin, so that a node
 * that asks for an earlier one has lost; then the view is on this node's disk; then it begins. So nothing
 * that is durable has to be taken back. From the question to its answer the primary stays alone: the arbiter
 * may have kept the view though no answer came.
 *
 * A strict pair has no arbiter. Its standby has given up its state when it reports that, or when a person
 * claims that it is dead: a silent one may have taken over, and have another standby of its own by now. Nor
 * may its primary have gone on without it: its gate is shut.
 */

/* Why a strict primary takes nobody in the place of a standby that is silent. */
static const char unheard[] =
    "the standby does not say that it has given up its state; if it is dead, say so with --lost";

void ft_repair_end(struct ft_core *core, const char *outcome)
{
    core->repair.step = FT_REPAIR_NONE;
    snprintf(core->repair.outcome, sizeof(core->repair.outcome), "%s", outcome);
}

bool ft_core_repairs(const struct ft_core *core)
{
    return core->config.arbiter ||
           (core->config.strict && (core->config.spares || ft_has_shard(&core->members)));
}

const char *ft_core_refuses_repair(const struct ft_core *core, const char *name, const char *lost)
{
    if (!core->config.arbiter && !core->config.strict)
        return "the file has neither arbiter nor strict: true, without which nobody may take a node's place";
    if (!ft_core_repairs(core))
        return "this node's file has no spare: a strict pair's nodes are to know of one before";
    if (!ft_core_primary(core))
        return "only a primary gets another standby";
    if (core->unsettled)
        return "this node does not serve yet";
    if (!name || !name[0] || strlen(name) >= FT_NAME_MAX || strcmp(name, core->config.name) == 0)
        return "it needs the name of another node";
    if (core->repair.step)
        return "another one is under way";
    if (core->hand)
        return "a handover is under way";
    if (core->abandoning)
        return "the connection to the standby is being given up";
    if (lost && !core->config.strict)
        return "the arbiter decides whether a standby is lost";
    if (lost && strcmp(lost, ft_other_member(core)) != 0)
        return "who is said to be lost is not the standby";
    if (lost && core->peer.known && core->right == FT_RIGHT_GIVEN)
        return "the standby answers, and is not lost";
    if (!lost && core->config.strict && !core->peer.known && core->right != FT_RIGHT_NONE &&
        !FT_PLANTED("lost-unsaid"))
        return unheard;
    return NULL;
}

void ft_repair_asked(struct ft_core *core, const char *name, const char *lost, struct ft_actions *actions)
{
    const char *why = ft_core_refuses_repair(core, name, lost);

    if (!why && !lost && strcmp(name, ft_other_member(core)) == 0)
        return; /* they are a pair */
    if (why) {
        if (!core->repair.step)
            snprintf(core->repair.outcome, sizeof(core->repair.outcome), "refused: %s", why);
        return;
    }
    core->repair.step = FT_REPAIR_RELEASE;
    memset(core->repair.name, 0, sizeof(core->repair.name));
    snprintf(core->repair.name, sizeof(core->repair.name), "%s", name);
    snprintf(core->repair.outcome, sizeof(core->repair.outcome), "waits until %s has given up its state",
             ft_peer_name(core));
    if ((lost || FT_PLANTED("lost-unsaid")) && core->right != FT_RIGHT_NONE) {
        char gone[64];

        if (core->resync)
            end_resync(core, true, actions, "the standby is lost");
        else
            ft_act(actions, FT_ACT_NO_SNAPSHOT);
        snprintf(gone, sizeof(gone), "a person says that standby %s is lost", ft_other_member(core));
        ft_primary_alone(core, actions, gone);
    }
    ft_repair_consider(core, actions);
}

/* The members of the view that is to begin. */
static struct ft_members repaired(const struct ft_core *core)
{
    struct ft_members members = core->members;
    bool first = strcmp(core->config.name, core->repair.name) < 0;

    memset(members.name, 0, sizeof(members.name));
    memcpy(members.name[!first], core->config.name, sizeof(members.name[0]));
    memcpy(members.name[first], core->repair.name, sizeof(members.name[0]));
    ft_name_shard(core, &members);
    return members;
}

static void ask_for_view(struct ft_core *core, struct ft_actions *actions)
{
    const struct ft_question question = {
        .era = {core->view + 1, 0}, .members = repaired(core), .new_shard = !ft_has_shard(&core->members)};

    stop_resync(core, actions, "another standby was asked for");
    if (!core->config.arbiter) {
        ft_repair_granted(core, actions);
        return;
    }
    core->repair.step = FT_REPAIR_ASK;
    snprintf(core->repair.outcome, sizeof(core->repair.outcome), "asks the arbiter for view %lu",
             core->view + 1);
    if (FT_PLANTED("repair-unasked"))
        ft_repair_granted(core, actions);
    else
        ft_arbiter_ask(core, &question, "re-pair", actions);
}

/* From here on any other node that comes learns that it is no member. */
static void begin_view(struct ft_core *core, struct ft_actions *actions)
{
    core->members = repaired(core);
    core->view = core->first_view = core->view + 1;
    core->repair.count++;
    ft_repair_end(core, "");
    if (core->peer.up) {
        ft_peer_gone(core);
        ft_act(actions, FT_ACT_CLOSE);
    }
    core->abandoning = false;
    ft_forget_peer(core);
    core->resync_again = 0;
    memset(&core->back_off, 0, sizeof(core->back_off));
    core->slow.proves = false;
    core->slow.side = FT_SLOW_NONE; /* another one has not been slow yet */
    core->planned = true;
    ft_write_view(actions, FT_ACT_VIEW, core->view, &core->members);
    ft_aim(core, core->repair.name, actions);
    ft_become(core, actions, core->state, "view %lu has begun, with %s%s", core->view, core->repair.name,
              core->config.strict ? "; strict: holding" : "");
}

void ft_repair_consider(struct ft_core *core, struct ft_actions *actions)
{
    bool release = core->repair.step == FT_REPAIR_RELEASE;

    bool unasked = core->repair.step == FT_REPAIR_ASK && !core->arbiter.asking;

    if ((release && ft_is_alone(core)) || unasked)
        ask_for_view(core, actions);
    else if (release && core->peer.known && !core->abandoning && !core->hand)
        say_abandon(core, "re-pair with another node", core->now, actions);
    else if (release && core->config.strict && !core->abandoning)
        ft_repair_end(core, unheard);
    else if (core->repair.step == FT_REPAIR_STORE && ft_is_stored(core, core->view + 1))
        begin_view(core, actions);
}

void ft_repair_granted(struct ft_core *core, struct ft_actions *actions)
{
    const struct ft_members members = repaired(core);

    core->repair.step = FT_REPAIR_STORE;
    snprintf(core->repair.outcome, sizeof(core->repair.outcome), "waits until view %lu is on the disk",
             core->view + 1);
    ft_write_view(actions, FT_ACT_STORE, core->view + 1, &members);
}

void ft_repair_refused(struct ft_core *core, const struct ft_decision *kept)
{
    char why[FT_REASON_MAX];

    snprintf(why, sizeof(why), "the arbiter keeps view %lu, which is another pair's or another life's",
             kept->era.view);
    ft_repair_end(core, why);
}

void ft_repair_unanswered(struct ft_core *core, struct ft_actions *actions, bool first)
{
    snprintf(core->repair.outcome, sizeof(core->repair.outcome),
             "the arbiter does not answer: stays as it is");
    if (first)
        ft_become(core, actions, core->state, "%.100s; re-pair with %s: the arbiter does not answer",
                  core->why, core->repair.name);
}

void ft_primary_gives_up(struct ft_core *core, const char *text, uint64_t since, struct ft_actions *actions)
{
    if (core->abandoning)
        return;
    /* While the standby may hold rights, it would take a closed connection for our death; but not where we
     * have heard no hello, and it has no proof of our identity. There it would not believe ABANDON,
     * either. */
    if (!core->solo && core->peer.up && core->peer.greeted) {
        say_abandon(core, text, since, actions);
        return;
    }
    bool lost = !core->solo && core->peer.up;

    ft_peer_gone(core);
    if (lost)
        ft_primary_lost(core, text, false, actions);
    else
        end_resync(core, false, actions, text);
    ft_act(actions, FT_ACT_CLOSE);
}

/* ---- events ------------------------------------------------------------------------------------- */

void ft_primary_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    if (core->hand == FT_HAND_GIVEN) {
        receive_successor(core, m, actions);
        return;
    }
    if (core->abandoning) {
        if (m->type == FT_MSG_ABANDONED || m->state == FT_JOINING)
            close_abandoned(core, true, actions);
        return;
    }
    if (core->reclaims)
        claim_again(core, m, actions);
    switch (m->type) {
    case FT_MSG_ACK:
        receive_ack(core, m, actions);
        break;
    case FT_MSG_ASK:
        ft_handover_begin(core, actions);
        break;
    case FT_MSG_STEERED:
        if (!m->number)
            begin_drain(core, actions);
        break;
    default:
        break;
    }
    /* Whatever its type, a message of a READY standby is an answer. */
    if (m->state == FT_READY)
        renew_lease(core, m, actions);
    else
        ft_primary_powerless(core, m, actions);
}

/* The death notice comes more than once, and may come after the connection is gone. */
static void receive_death_notice(struct ft_core *core, const struct ft_event *event,
                                 struct ft_actions *actions)
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
    case FT_EV_COST:
        ft_slow_judge(core, event->cost, actions);
        break;
    case FT_EV_STORED:
        core->stored = event->view;
        if (core->unsettled && ft_is_stored(core, core->view))
            ft_primary_alone(core, actions, core->takeover.why);
        break;
    case FT_EV_DRAINED:
        if (core->hand == FT_HAND_DRAIN)
            hand_over(core, event, actions);
        break;
    case FT_EV_DEATH_NOTICE:
        receive_death_notice(core, event, actions);
        break;
    default:
        resync_event(core, event, actions);
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

/* Elapsed time alone does not prove that the standby of this era will not take over: the arbiter's answer
 * does. */
static void ask_arbiter(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    note_loss(core, why, false);
    core->cut_off = core->guarded; /* who has asked has left the era, whatever it hears next */
    ft_arbiter_ask_who(core, core->arbiter.era, why, actions);
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
        abort_handover(core, actions, "the standby fell silent");
    if (core->resync)
        end_resync(core, false, actions, "the standby fell silent");
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
    if (core->hand && core->now - core->hand_began > ft_ms(core->config.drain_ms))
        abort_handover(core, actions, "it took too long");
    resync_time(core, actions);
    check_silence(core, actions);
}
