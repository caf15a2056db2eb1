/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core: dispatch of events, and the invariants that hold after every step. The files of
 * ftcore/protocol/ own struct ft_core together, and nobody else writes to it. They are one unit and call each
 * other (parts.h): head.c fills the heads of messages, join.c decides who reigns, primary.c, standby.c and
 * handover.c are the roles, resync.c brings a standby up to date, and ack.c says what is stable.
 */
#include "ftcore/protocol/parts.h"
#include "ftcore/base/plant.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEAF 4u /* times solo_after_ms: a peer that only slept is to find the connection as it was */

uint64_t ft_ms(uint32_t ms)
{
    return ms * FT_MS;
}

struct ft_action *ft_act(struct ft_actions *actions, enum ft_action_kind kind)
{
    FT_CHECK(actions->count < FT_ACTIONS_MAX, "a step wants more than %u actions", FT_ACTIONS_MAX);
    struct ft_action *action = &actions->list[actions->count++];

    memset(action, 0, sizeof(*action));
    action->kind = kind;
    return action;
}

void ft_become(struct ft_core *core, struct ft_actions *actions, enum ft_state state, const char *fmt, ...)
{
    va_list ap;

    if (core->state != state)
        core->since = core->now;
    core->state = state;
    va_start(ap, fmt);
    vsnprintf(core->why, sizeof(core->why), fmt, ap);
    va_end(ap);

    struct ft_action *action = ft_act(actions, FT_ACT_STATE);

    action->view = core->view;
    action->send.state = state;
    memcpy(action->send.text, core->why, sizeof(action->send.text));
}

void ft_order(struct ft_core *core, struct ft_actions *actions, enum ft_order order)
{
    struct ft_action *action = ft_act(actions, FT_ACT_ORDER);

    action->order = order;
    memcpy(action->vector, core->closed, sizeof(action->vector));
}

bool ft_reached(const struct ft_core *core, const uint64_t have[], const uint64_t want[])
{
    for (unsigned l = 0; l < core->config.lanes; l++)
        if (have[l] < want[l])
            return false;
    return true;
}

static void check_invariants(const struct ft_core *core)
{
    bool primary = ft_core_primary(core);

    FT_CHECK(!(core->solo && core->guarded), "the gate is both guarded and SOLO");
    FT_CHECK(!core->solo || (core->state == FT_SOLO && !core->config.strict), "SOLO gate in state %s",
             ft_state_name(core->state));
    FT_CHECK(core->state != FT_SOLO || core->solo, "state SOLO with a shut gate");
    FT_CHECK(primary || !core->guarded, "state %s with an open gate", ft_state_name(core->state));
    FT_CHECK(core->state != FT_PROTECTED || (core->guarded && core->peer.known && !core->cut_off),
             "PROTECTED by nobody");
    FT_CHECK(core->state != FT_PROTECTED || !core->resync, "PROTECTED while a snapshot is on its way");
    FT_CHECK(core->guarded || !core->cut_off, "cut off from a standby that guards nothing");
    FT_CHECK(core->hand != FT_HAND_GIVEN || core->state == FT_FENCED, "handed over in state %s",
             ft_state_name(core->state));
    FT_CHECK(core->state != FT_FENCED || core->hand == FT_HAND_GIVEN, "FENCED for longer than a step");
    FT_CHECK(core->state != FT_READY || core->snapshot_whole, "READY without a whole snapshot");
    FT_CHECK(!primary || core->view > 0, "primary of view 0");
    FT_CHECK(core->resync == FT_RESYNC_NONE || primary, "a resync without a primary");
    FT_CHECK(!core->peer.known || core->peer.up, "a peer known without a connection");
}

void ft_core_init(struct ft_core *core, const struct ft_core_config *config, uint64_t now,
                  struct ft_actions *actions)
{
    memset(core, 0, sizeof(*core));
    actions->count = 0;
    core->config = *config;
    core->view = config->view;
    core->now = core->started = core->awake = core->alone = now;
    core->beat_due = now;
    ft_become(core, actions, FT_JOINING, "started");
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    check_invariants(core);
}

static void handle_lost(struct ft_core *core, enum ft_lost how, struct ft_actions *actions);

/*
 * The right of a standby (own_echoed) and its promise (answered) run on: they were given by a node, not by a
 * connection. So do the times of what we heard, or a reconnect would look like silence.
 */
static void handle_connected(struct ft_core *core, uint64_t greeted, struct ft_actions *actions)
{
    if (core->peer.up)
        handle_lost(core, FT_LOST_ERROR, actions);

    uint64_t heard = core->peer.heard, port_beat = core->peer.port_beat, was = core->peer.incarnation;
    uint64_t beat_view = core->peer.beat_view;

    memset(&core->peer, 0, sizeof(core->peer));
    core->peer.up = true;
    core->peer.heard = heard;
    core->peer.met = core->now;
    core->peer.port_beat = port_beat;
    core->peer.beat_view = beat_view;
    core->peer.incarnation = was;
    core->ready_echo = core->echoed = 0;

    core->peer.asked = greeted;
    if (greeted)
        return;
    struct ft_message *m = &ft_act(actions, FT_ACT_SEND)->send;

    ft_core_hello(core, core->now, m);
    core->beat_due = core->now + ft_ms(core->config.heartbeat_ms);
    core->peer.asked = m->sent;
}

/* The connection is gone, by the peer's doing or ours. */
static void handle_lost(struct ft_core *core, enum ft_lost how, struct ft_actions *actions)
{
    static const char *const text[] = {"", "the peer closed the connection",
                                       "the peer's kernel reset the connection", "the connection broke"};

    if (!core->peer.up)
        return; /* we closed it ourselves */
    /* One that never proved who it is: its end says nothing about the peer. */
    if (!core->peer.known)
        how = FT_LOST_ERROR;
    core->peer.up = core->peer.known = false;
    core->alone = core->now;
    if (core->hand == FT_HAND_GIVEN)
        ft_handover_unknown(core, text[how], actions);
    else if (ft_core_primary(core))
        ft_primary_lost(core, text[how], how != FT_LOST_ERROR, actions);
    else
        ft_standby_lost(core, how, actions);
}

static void handle_malformed(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    core->malformed.count++;
    snprintf(core->malformed.text, sizeof(core->malformed.text), "%s", text);
    if (ft_core_primary(core)) {
        ft_primary_malformed(core, text, actions);
        return;
    }
    /* Rights first, then the connection: a primary that sees it closed may believe we are gone. */
    core->peer.up = core->peer.known = false;
    core->alone = core->now;
    ft_join_again(core, actions, text);
    ft_act(actions, FT_ACT_CLOSE);
}

/* What every message means, whatever its type. False: it ends here. */
static bool read_head(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool reigns = m->state == FT_SOLO || m->state == FT_PROTECTED || m->state == FT_DEGRADED;

    core->peer.heard = core->now;
    core->peer.state = m->state;
    core->peer.view = m->view;
    if (m->sent > core->peer.newest)
        core->peer.newest = m->sent;
    if (m->echo > core->own_echoed)
        core->own_echoed = m->echo;
    if (m->echo > core->peer.echoed)
        core->peer.echoed = m->echo;
    if (m->view > core->view && !FT_PLANTED("no-fence") &&
        (ft_core_primary(core) || core->hand == FT_HAND_GIVEN)) {
        ft_join_fence(core, m->view, actions);
        return true;
    }
    if (!reigns) {
        ft_standby_hears(core, m, actions);
        return true;
    }
    if (m->view < core->view) {
        /* A primary of the past. Our view in any message tells it. */
        ft_say(core, actions, FT_MSG_BEAT);
        return false;
    }
    if (m->view > core->view) {
        if (core->state == FT_READY || core->state == FT_SYNCING)
            ft_join_again(core, actions, "another view has begun");
        core->view = m->view;
        ft_act(actions, FT_ACT_VIEW)->view = core->view;
    }
    if (m->type != FT_MSG_SNAPSHOT_BEGIN)
        ft_standby_hears(core, m, actions);
    return true;
}

/* True, and why, when what the head says cannot be. */
static bool contradicts(const struct ft_core *core, const struct ft_message *m, struct ft_fault *why)
{
    if (m->view > FT_VIEW_MAX)
        return ft_fail(why, FT_EMALFORMED, "view %lu is beyond any that a pair reaches", m->view);
    if (m->echo > core->sent)
        return ft_fail(why, FT_EMALFORMED, "it echoes %lu, and the last we said is %lu", m->echo, core->sent);
    return false;
}

static void handle_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    struct ft_fault why;

    if (contradicts(core, m, &why)) {
        handle_malformed(core, why.text, actions);
        return;
    }
    if (!core->peer.known && m->type != FT_MSG_HELLO && m->type != FT_MSG_REFUSE) {
        if (core->peer.greeted)
            ft_join_prove(core, m, actions);
        else if (!core->refused)
            handle_malformed(core, "a message before the hello", actions);
        return;
    }
    if (m->type == FT_MSG_HELLO || m->type == FT_MSG_REFUSE) {
        ft_join_hello(core, m, actions);
        return;
    }
    if (!read_head(core, m, actions))
        return;
    if (core->hand == FT_HAND_GIVEN)
        ft_handover_message(core, m, actions);
    else if (ft_core_primary(core))
        ft_primary_message(core, m, actions);
    else
        ft_standby_message(core, m, actions);
}

static void obey_operator(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    enum ft_told what = event->told;

    if (what == FT_TOLD_HANDOVER && ft_core_primary(core)) {
        ft_handover_begin(core, actions);
    } else if (what == FT_TOLD_RESYNC && ft_core_primary(core)) {
        ft_resync_asked(core, event->text ? event->text : "resync asked for", actions);
    } else if (what == FT_TOLD_PROMOTE && core->hand == FT_HAND_GIVEN) {
        ft_handover_told(core, actions);
    } else if (what == FT_TOLD_PROMOTE && core->state == FT_READY) {
        if (core->peer.known)
            ft_say(core, actions, FT_MSG_ASK);
        else if (ft_standby_right(core) && core->now - core->answered >= ft_ms(core->config.detect_ms))
            ft_standby_promote(core, "told to", actions);
    } else if (what == FT_TOLD_PROMOTE && core->state == FT_JOINING && !core->peer.known &&
               core->now - core->alone >= ft_ms(core->config.solo_after_ms)) {
        /* Nobody has answered for longer than any lease runs. The state is lost; the person has decided. */
        ft_join_reign(core, actions, "told to, with an empty state");
    }
}

/*
 * A connection on which nothing arrives any more though it stands: damage to a frame's length makes the
 * link wait for bytes that nobody sends, and the peer may hear us all the time. By now neither side has
 * rights that rest on it (promote_within_ms is shorter), so closing it tells nobody that we died. Who has
 * handed over has none either, and has to hear what became of it.
 */
static void leave_deaf(struct ft_core *core, struct ft_actions *actions)
{
    uint64_t since = core->peer.heard > core->peer.met ? core->peer.heard : core->peer.met;

    if (!core->peer.up || core->abandoning || core->state == FT_READY ||
        ft_primary_silent(core, since) < DEAF * ft_ms(core->config.solo_after_ms))
        return;
    handle_lost(core, FT_LOST_ERROR, actions);
    ft_act(actions, FT_ACT_CLOSE);
}

static void handle_time(struct ft_core *core, struct ft_actions *actions)
{
    if (ft_core_primary(core))
        ft_primary_time(core, actions);
    else if (core->hand != FT_HAND_GIVEN)
        ft_standby_time(core, actions);
    if (core->state == FT_JOINING)
        ft_join_consider(core, actions);
    leave_deaf(core, actions);
    if (core->peer.up && core->now >= core->beat_due)
        ft_say(core, actions, FT_MSG_BEAT);
}

void ft_step(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    FT_CHECK(event->now >= core->now, "time goes back from %lu to %lu", core->now, event->now);
    actions->count = 0;
    /* We slept (SIGSTOP, a paused machine). What we have not heard meanwhile says nothing about the peer. */
    if (event->now - core->now > ft_ms(core->config.lease_ms) && !FT_PLANTED("never-slept"))
        core->awake = event->now;
    core->now = event->now;
    if (event->reached || event->kind == FT_EV_LANES)
        ft_standby_reached(core, event, actions);
    switch (event->kind) {
    case FT_EV_TIME:
        handle_time(core, actions);
        break;
    case FT_EV_CONNECTED:
        handle_connected(core, event->greeted, actions);
        break;
    case FT_EV_LOST:
        handle_lost(core, event->how, actions);
        break;
    case FT_EV_MESSAGE:
        handle_message(core, event->message, actions);
        break;
    case FT_EV_MALFORMED:
        handle_malformed(core, event->text, actions);
        break;
    case FT_EV_PORT_BEAT:
        core->peer.port_beat = core->now;
        core->peer.beat_view = event->view;
        break;
    case FT_EV_TOLD:
        obey_operator(core, event, actions);
        break;
    default:
        if (ft_core_primary(core))
            ft_primary_event(core, event, actions);
        else
            ft_standby_event(core, event, actions);
    }
    if (core->state == FT_JOINING)
        ft_join_consider(core, actions);
    if (ft_core_primary(core))
        ft_resync_consider(core, actions);
    check_invariants(core);
}

bool ft_core_accepts(const struct ft_core *core, const struct ft_message *m)
{
    if (m->view != core->view || m->echo > core->sent ||
        (core->state != FT_SYNCING && core->state != FT_READY))
        return false;
    return m->type != FT_MSG_SNAPSHOT || !core->snapshot_whole;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t ft_core_due(const struct ft_core *core)
{
    uint64_t due = core->now + ft_ms(core->config.heartbeat_ms);

    if (core->peer.up)
        due = earlier(due, core->beat_due);
    if (core->state == FT_READY)
        due = earlier(due, ft_standby_patience(core));
    if (core->state == FT_PROTECTED)
        due = earlier(due, core->ready_echo + ft_ms(core->config.lease_ms));
    return due > core->now ? due : core->now;
}
