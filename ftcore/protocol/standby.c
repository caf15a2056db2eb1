/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being standby: taking in a snapshot and the log, becoming READY, and the right to promote itself.
 *
 * The right comes from the primary's own answers: it ends promote_within_ms after we sent the last message
 * that the primary answered. A standby that slept, or only lost its link, finds its right gone and joins
 * again; it never promotes a stale state.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

bool ft_standby_right(const struct ft_core *core)
{
    if (FT_PLANTED("endless-right"))
        return core->own_echoed;
    return core->own_echoed && core->now < core->own_echoed + ft_ms(core->config.promote_within_ms);
}

bool ft_standby_certain(const struct ft_core *core)
{
    return ft_standby_right(core) && (!core->arbiter.lapsed || FT_PLANTED("right-again"));
}

#define SILENCE "silence"

static uint64_t quiet_for(const struct ft_core *core)
{
    return core->now - ft_later(ft_later(core->peer.heard, core->peer.port_heartbeat), core->awake);
}

static void note_takeover(struct ft_core *core, const char *reason, const char *by)
{
    uint64_t quiet = by[0] ? core->arbiter.quiet : quiet_for(core);
    char after[32] = "";

    if (strcmp(reason, SILENCE) == 0)
        snprintf(after, sizeof(after), " for %llu ms", quiet / FT_MS);
    snprintf(core->takeover.reason, sizeof(core->takeover.reason), "%s", reason);
    snprintf(core->takeover.why, sizeof(core->takeover.why), "took over from %s: %.64s%s%s",
             ft_peer_name(core), reason, after, by);
}

/*
 * A takeover waits for no disk. A successor that dies before its view is on its disk comes back in an older
 * one; the peer knows better, unless it is alive, holds the state of the view before, and has not heard of
 * the new one: two faults (docs/guarantees.md, "Views and the disk"). A planned handover would need only the
 * second of them: there the peer is alive and holds the state, on purpose. So there nothing leaves until one
 * of the two nodes cannot forget.
 */
static void promote_standby(struct ft_core *core, const char *reason, const char *by, bool planned,
                            struct ft_actions *actions)
{
    const char *why = core->takeover.why;

    core->takeover.suspected = by[0] ? core->arbiter.since : core->now;
    core->takeover.decided = core->now;
    note_takeover(core, reason, by);
    ft_arbiter_forget(core, actions);
    core->view = ft_later(core->peer.view, core->view) + 1;
    core->takeover.view = core->view;
    core->event = FT_SAYS_TAKEOVER;
    core->planned = planned;
    core->takeover.planned = planned;
    core->hand = FT_HAND_NONE;
    core->kept = false;
    core->resync_again = 0;
    ft_act(actions, FT_ACT_VIEW)->view = core->view;
    if (planned && !core->config.strict && !ft_is_stored(core, core->view))
        ft_primary_settle(core, actions, why);
    else
        ft_primary_alone(core, actions, why);
    /* The gate opens for lanes that replay first; the new view is on its way before anything leaves. */
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    ft_order(core, actions, FT_LANE_LIVE);
    ft_act(actions, FT_ACT_ANNOUNCE);
    core->steered = false; /* live lanes read */
}

void ft_standby_promote(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    promote_standby(core, why, "", false, actions);
}

void ft_standby_decided(struct ft_core *core, const char *by, struct ft_actions *actions)
{
    promote_standby(core, core->arbiter.why, by, false, actions);
}

/*
 * Who goes on? With an arbiter the right of a standby does not end by time: its primary cannot go on alone in
 * this era without the arbiter's word, either. Time is what certain words need: they say that the primary has
 * ended, not that it did not go on alone before.
 */
static void ask(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    if (core->arbiter.asking)
        return;
    core->arbiter.quiet = quiet_for(core);
    ft_arbiter_ask(core, core->arbiter.era, why, actions);
    ft_become(core, actions, FT_READY, "%s; asks the arbiter", why);
}

void ft_standby_lost(struct ft_core *core, enum ft_lost how, struct ft_actions *actions)
{
    if (core->state == FT_READY && how != FT_LOST_ERROR && ft_standby_certain(core)) {
        ft_standby_promote(core,
                           how == FT_LOST_EOF ? "the peer closed its connection"
                                              : "the peer's kernel reset its connection",
                           actions);
        return;
    }
    if (core->state == FT_READY && how != FT_LOST_ERROR && core->config.arbiter)
        ask(core, "the connection was closed after the right had ended", actions);
    if (core->state == FT_READY && (ft_standby_right(core) || core->config.arbiter))
        return; /* we cannot tell; silence will */
    if (core->state != FT_JOINING || core->snapshot_whole)
        ft_join_again(core, actions, "lost the primary before being ready");
}

static void consider_ready(struct ft_core *core, struct ft_actions *actions)
{
    if (core->state == FT_SYNCING && core->snapshot_whole && core->hold_known &&
        (FT_PLANTED("ready-early") ||
         (ft_reached(core, ft_counts(core, core->closed, core->replayed), core->hold) &&
          ft_reached(core, core->closed, core->hold)))) {
        ft_become(core, actions, FT_READY, "%s all that left before outputs were held",
                  core->config.warm ? "stored" : "replayed");
        ft_ack_send(core, actions);
    }
}

static void consider_taking(struct ft_core *core, struct ft_actions *actions)
{
    /* Without the right: we slept, and the primary may have stopped waiting for us. */
    if (core->hand == FT_HAND_TAKING && core->state == FT_READY && ft_standby_right(core) &&
        ft_reached(core, ft_counts(core, core->closed, core->replayed), core->final)) {
        promote_standby(core, "planned", "", true, actions);
    }
}

static void begin_snapshot(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    ft_join_again(core, actions, "a snapshot begins");
    core->snapshots++;
    memcpy(core->closed, m->burst, sizeof(core->closed));
    memcpy(core->replayed, m->burst, sizeof(core->replayed));
    memset(core->taken, 0, sizeof(core->taken));
    ft_become(core, actions, FT_SYNCING, "a snapshot arrives from view %lu", m->view);
    ft_say(core, actions, FT_MSG_HEARTBEAT); /* the primary may be waiting for us to forget */
}

/*
 * What the state of the primary says about our rights. One that releases without a standby does not count on
 * us: what it released since, we may not hold. One that has dropped its state leaves ours as the only one.
 */
void ft_standby_hears(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool ready = core->state == FT_READY;

    if (m->state == FT_SOLO && (ready || core->kept || (core->state == FT_SYNCING && core->hold_known))) {
        ft_join_again(core, actions, "the primary goes on alone");
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    } else if (m->state == FT_JOINING && ready && ft_standby_certain(core)) {
        ft_standby_promote(core, "the primary has dropped its state", actions);
    } else if (m->state == FT_JOINING && ready && core->config.arbiter) {
        ask(core, "the primary has dropped its state", actions);
    }
}

bool ft_core_ends_snapshot(const struct ft_core *core, const struct ft_message *m)
{
    return m->type == FT_MSG_SNAPSHOT_END && core->state == FT_SYNCING && !core->snapshot_whole &&
           ft_is_primary(m->state) && core->peer.known && m->view == core->view && m->echo <= core->sent;
}

void ft_standby_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    switch (m->type) {
    case FT_MSG_SNAPSHOT_BEGIN:
        if (m->state == FT_SOLO || m->state == FT_DEGRADED)
            begin_snapshot(core, m, actions);
        break;
    case FT_MSG_SNAPSHOT_END:
        if (!ft_core_ends_snapshot(core, m))
            break;
        core->snapshot_whole = true;
        ft_order(core, actions, FT_LANE_REPLAY);
        ft_ack_send(core, actions);
        break;
    case FT_MSG_HOLDING:
        if (core->state != FT_SYNCING)
            break;
        memcpy(core->hold, m->burst, sizeof(core->hold));
        core->hold_known = true;
        core->arbiter.lapsed = false;
        core->arbiter.era = (struct ft_era){m->view, FT_PLANTED("one-era") ? 1 : m->sent};
        consider_ready(core, actions);
        break;
    case FT_MSG_HEARTBEAT:
        /* The last of the replay is worth no message of its own, and must not stay untold. */
        if (core->snapshot_whole && ft_ack_replay_untold(core))
            ft_ack_send(core, actions);
        else if (core->state == FT_READY || core->state == FT_SYNCING)
            ft_say(core, actions, FT_MSG_HEARTBEAT);
        break;
    case FT_MSG_STEER:
        if (core->state != FT_READY && m->number)
            break;
        core->steered = m->number != 0;
        ft_act(actions, FT_ACT_STEER)->flag = core->steered;
        break;
    case FT_MSG_HANDOVER:
        if (core->state != FT_READY)
            break;
        memcpy(core->final, m->burst, sizeof(core->final));
        core->hand = FT_HAND_TAKING;
        consider_taking(core, actions);
        break;
    case FT_MSG_ABANDON:
        ft_join_again(core, actions, m->text);
        ft_say(core, actions, FT_MSG_ABANDONED);
        /* It reads nothing of ours any more, so this, too, may go unheard. Our closing will not. */
        ft_peer_gone(core);
        ft_act(actions, FT_ACT_CLOSE);
        break;
    default:
        break;
    }
}

/* What lanes reached counts before the event that tells of it: a takeover goes on from there. */
void ft_standby_reached(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    if (core->state != FT_SYNCING && core->state != FT_READY)
        return;
    memcpy(core->closed, event->closed, sizeof(core->closed));
    memcpy(core->replayed, event->replayed, sizeof(core->replayed));
    memcpy(core->taken, event->taken, sizeof(core->taken));
    consider_ready(core, actions);
    consider_taking(core, actions);
}

void ft_standby_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    switch (event->kind) {
    case FT_EV_LANES:
        ft_ack_consider(core, actions);
        break;
    case FT_EV_STORED:
        core->stored = event->view;
        ft_ack_consider(core, actions);
        break;
    case FT_EV_STEERED:
        if (core->state == FT_READY && core->peer.known)
            ft_say(core, actions, FT_MSG_STEERED);
        break;
    case FT_EV_DEATH_NOTICE:
        if (core->state == FT_READY && event->incarnation == core->peer.incarnation &&
            (ft_standby_certain(core) || core->config.arbiter)) {
            bool connected = core->peer.up;

            ft_peer_gone(core);
            core->peer.incarnation = 0; /* the notice comes more than once */
            if (ft_standby_certain(core))
                ft_standby_promote(core, "the death notice", actions);
            else
                ask(core, "the death notice, after the right had ended", actions);
            if (connected) /* it takes a while, and the lanes need not wait for it */
                ft_act(actions, FT_ACT_CLOSE);
        }
        break;
    case FT_EV_DIVERGED:
        if (core->state == FT_READY || core->state == FT_SYNCING || core->kept) {
            ft_join_again(core, actions, event->text);
            if (core->peer.up)
                ft_say(core, actions, FT_MSG_HEARTBEAT);
        }
        break;
    default:
        break;
    }
}

/*
 * The primary may go on alone from here on, and whether it does, the link alone tells. Until it speaks what
 * is held here may be all that there is: it is kept, for a person to promote. A word of the primary that it
 * is SOLO, or a snapshot, ends that.
 */
void ft_standby_keep(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    ft_arbiter_forget(core, actions);
    core->snapshot_whole = core->hold_known = false;
    core->hand = FT_HAND_NONE;
    core->kept = true;
    if (core->steered)
        ft_act(actions, FT_ACT_STEER)->flag = false;
    core->steered = false;
    ft_become(core, actions, FT_JOINING, "%s", why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

void ft_standby_time(struct ft_core *core, struct ft_actions *actions)
{
    if (core->state != FT_READY)
        return;
    /* With an arbiter it has no end by time, unless a data port says that the primary lives: then there is
     * nothing to ask, and a standby that gives up is sooner brought up to date. */
    bool lives =
        core->peer.port_heartbeat && core->now - core->peer.port_heartbeat < ft_ms(core->config.detect_ms);

    if (!ft_standby_right(core) && !core->arbiter.asking && (!core->config.arbiter || lives)) {
        ft_standby_keep(core, "the right to promote has ended: the primary did not answer", actions);
        return;
    }
    consider_taking(core, actions); /* when HANDOVER came we may have had no right, for a moment */
    if (core->state != FT_READY)
        return;
    if (core->now >= ft_standby_suspects_at(core)) {
        ft_silence_is_death(core);
        if (core->config.arbiter && !FT_PLANTED("takeover-unasked"))
            ask(core, SILENCE, actions);
        else
            ft_standby_promote(core, SILENCE, actions);
    } else if (core->peer.known && ft_ack_is_late(core)) {
        ft_ack_send(core, actions);
    }
}
