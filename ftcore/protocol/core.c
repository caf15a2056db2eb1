/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core: dispatch of events. The files of ftcore/protocol/ are one unit: they own struct ft_core
 * and call each other (parts.h). say.c makes the heads of messages; fit.c judges a hello, join.c decides who
 * is primary; then primary.c, standby.c, handover.c; ack.c and resync.c are the two exchanges between them;
 * arbiter.c asks who goes on where they have lost each other; invariants.c is what holds after every step.
 */
#include "ftcore/protocol/parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VIEW_STEP 2u /* the most that a view is above those that its node has heard of */
#define SILENCES  4u /* times solo_after_ms: a peer that only slept is to find the connection as it was */

struct ft_action *ft_act(struct ft_actions *actions, enum ft_action_kind kind)
{
    FT_CHECK(actions->count < FT_ACTIONS_MAX, "a step wants more than %u actions", FT_ACTIONS_MAX);
    struct ft_action *action = &actions->list[actions->count++];

    memset(action, 0, sizeof(*action));
    action->kind = kind;
    return action;
}

void ft_report(struct ft_core *core, struct ft_actions *actions, const char *text)
{
    struct ft_action *action = ft_act(actions, FT_ACT_STATE);

    action->view = core->view;
    action->event = core->event;
    action->flag = core->planned;
    core->event = FT_SAYS_STATE;
    core->planned = false;
    action->send.state = core->state;
    snprintf(action->send.text, sizeof(action->send.text), "%s", text);
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
    ft_report(core, actions, core->why);
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

void ft_core_init(struct ft_core *core, const struct ft_core_config *config, uint64_t now,
                  struct ft_actions *actions)
{
    memset(core, 0, sizeof(*core));
    actions->count = 0;
    core->config = *config;
    if (!config->degrade_ms)
        core->config.degrade_ms = config->lease_ms;
    if (!config->newest) {
        core->config.newest = FT_FORMAT_NEWEST;
        core->config.oldest = FT_NEXT_OLDEST;
    }
    core->view = core->stored = config->view;
    core->now = core->started = core->awake = core->alone = core->heartbeat_due = now;
    ft_become(core, actions, FT_JOINING, "started");
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_invariants_check(core);
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
    ft_peer_gone(core);
    if (core->hand == FT_HAND_GIVEN)
        ft_handover_unknown(core, text[how], actions);
    else if (ft_core_primary(core))
        ft_primary_lost(core, text[how], how != FT_LOST_ERROR, actions);
    else
        ft_standby_lost(core, how, actions);
}

/*
 * The right of a standby (own_echoed) and its promise (answered) run on: they were given by a node, not by a
 * connection. So do the times of what we heard, or a reconnect would look like silence.
 */
static void handle_connected(struct ft_core *core, uint64_t greeted, struct ft_actions *actions)
{
    if (core->peer.up)
        handle_lost(core, FT_LOST_ERROR, actions);
    core->peer = (__typeof__(core->peer)){.up = true,
                                          .asked = greeted,
                                          .version = core->peer.version,
                                          .incarnation = core->peer.incarnation,
                                          .secret = {core->peer.secret[0], core->peer.secret[1]},
                                          .heard = core->peer.heard,
                                          .met = core->now,
                                          .port_heartbeat = core->peer.port_heartbeat,
                                          .heartbeat_view = core->peer.heartbeat_view};
    core->ready_echo = core->echoed = 0;
    if (greeted)
        return;
    struct ft_message *m = &ft_act(actions, FT_ACT_SEND)->send;

    ft_core_hello(core, core->now, m);
    core->heartbeat_due = core->now + ft_ms(core->config.heartbeat_ms);
    core->peer.asked = m->sent;
}

/* The connection gave what cannot be: whoever is at its other end is not believed any more. */
static void give_up_connection(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    if (ft_core_primary(core)) {
        ft_primary_malformed(core, text, actions);
        return;
    }
    /* Nobody has proved himself there, so it says nothing of the peer, and costs no state. */
    if (!core->peer.known) {
        ft_peer_gone(core);
        ft_act(actions, FT_ACT_CLOSE);
        return;
    }
    /* Rights first, then the connection: a primary that sees it closed may believe we are gone. */
    ft_peer_gone(core);
    ft_join_again(core, actions, text);
    ft_act(actions, FT_ACT_CLOSE);
}

static void handle_malformed(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    actions->malformed = true;
    core->malformed.count++;
    snprintf(core->malformed.text, sizeof(core->malformed.text), "%.127s", text);
    give_up_connection(core, text, actions);
}

/* What every message means, whatever its type. False: it ends here. */
static bool read_head(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    if (core->peer.known) /* the process that it was, and no other */
        ft_silence_ends(core, core->now);
    core->peer.heard = core->now;
    core->peer.state = m->state;
    core->peer.view = m->view;
    if (!ft_arbiter_mute(core))
        core->peer.newest = ft_later(core->peer.newest, m->sent);
    core->own_echoed = ft_later(core->own_echoed, m->echo);
    core->peer.echoed = ft_later(core->peer.echoed, m->echo);
    if (m->view > core->view && !FT_PLANTED("no-fence") &&
        (ft_core_primary(core) || core->hand == FT_HAND_GIVEN)) {
        ft_join_fence(core, m->view, actions);
        return true;
    }
    if (!ft_is_primary(m->state)) {
        ft_standby_hears(core, m, actions);
        return true;
    }
    if (m->view < core->view) {
        /* A primary of the past. Our view in any message tells it. */
        ft_say(core, actions, FT_MSG_HEARTBEAT);
        return false;
    }
    if (m->view > core->view) {
        if (core->state == FT_READY || core->state == FT_SYNCING || core->kept)
            ft_join_again(core, actions, "another view has begun");
        core->view = m->view;
        ft_act(actions, FT_ACT_VIEW)->view = core->view;
    }
    if (m->type != FT_MSG_SNAPSHOT_BEGIN)
        ft_standby_hears(core, m, actions);
    ft_arbiter_heard(core, actions);
    return true;
}

/*
 * A new connection may say any view up to the limit: the peer has served without us. On one that stands,
 * views follow each other: who begins one takes the next after all that it has heard of, or the one after
 * that (handover.c), and says so at once.
 */
static int check_view(const struct ft_core *core, uint64_t view, struct ft_fault *fault)
{
    uint64_t last = ft_later(core->view, core->peer.view);

    if (view > FT_VIEW_MAX)
        return ft_fail(fault, FT_EMALFORMED, "view %lu is beyond any that a pair reaches", view);
    if (core->peer.known && view > last + VIEW_STEP)
        return ft_fail(fault, FT_EMALFORMED, "view %lu does not follow view %lu", view, last);
    return 0;
}

static void handle_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    struct ft_fault why = {""};

    if (m->version && core->peer.agreed && m->version != core->peer.version)
        ft_fail(&why, FT_EMALFORMED, "it speaks version %u, agreed on is %u", m->version, core->peer.version);
    else if (!check_view(core, m->view, &why) && m->echo > core->sent)
        ft_fail(&why, FT_EMALFORMED, "it echoes %lu, and the last we said is %lu", m->echo, core->sent);
    if (why.text[0]) {
        handle_malformed(core, why.text, actions);
        return;
    }
    if (!core->peer.known && m->type != FT_MSG_HELLO && m->type != FT_MSG_REFUSE) {
        if (core->peer.greeted)
            ft_join_prove(core, m, actions);
        else if (!core->refused)
            give_up_connection(core, "a message before the hello", actions); /* a stranger's: not counted */
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

/*
 * A connection on which nothing arrives any more though it stands: damage to a frame's length makes the
 * link wait for bytes that nobody sends, and the peer may hear us all the time. By now neither side has
 * rights that rest on it (promote_within_ms is shorter), so closing it tells nobody that we died. Who has
 * handed over has none either, and has to hear what became of it.
 */
static void drop_silent_connection(struct ft_core *core, struct ft_actions *actions)
{
    bool may_take_over =
        core->state == FT_READY && (!core->config.arbiter || ft_standby_right(core)); /* else it only asks */

    if (!core->peer.up || core->abandoning || may_take_over ||
        ft_primary_silent(core, ft_later(core->peer.heard, core->peer.met)) <
            SILENCES * ft_ms(core->config.solo_after_ms))
        return;
    handle_lost(core, FT_LOST_ERROR, actions);
    ft_act(actions, FT_ACT_CLOSE);
}

static void handle_time(struct ft_core *core, struct ft_actions *actions)
{
    ft_silence_pass(core);
    if (ft_core_primary(core))
        ft_primary_time(core, actions);
    else if (core->hand != FT_HAND_GIVEN)
        ft_standby_time(core, actions);
    if (core->state == FT_JOINING)
        ft_join_consider(core, actions);
    drop_silent_connection(core, actions);
    if (core->peer.up && core->now >= core->heartbeat_due)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

void ft_step(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    FT_CHECK(event->now >= core->now, "time goes back from %lu to %lu", core->now, event->now);
    actions->count = 0;
    actions->malformed = false;
    ft_silence_step(core, event->now);
    core->now = event->now;
    if (core->config.arbiter && core->state == FT_READY && !ft_standby_right(core))
        core->arbiter.lapsed = true;
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
    case FT_EV_PORT_HEARTBEAT: /* it puts off what silence would do, and changes no state */
        ft_silence_port(core, event);
        break;
    case FT_EV_ANSWER:
        ft_arbiter_answers(core, event, actions);
        break;
    case FT_EV_REQUEST:
        ft_operator_asks(core, event, actions);
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
    ft_invariants_check(core);
}

bool ft_core_accepts(const struct ft_core *core, const struct ft_message *m)
{
    if (!core->peer.known || m->view != core->view || m->echo > core->sent ||
        (core->state != FT_SYNCING && core->state != FT_READY))
        return false;
    return m->type != FT_MSG_SNAPSHOT || !core->snapshot_whole;
}

uint64_t ft_core_due(const struct ft_core *core)
{
    uint64_t due = core->now + ft_ms(core->config.heartbeat_ms);

    if (core->peer.up && core->heartbeat_due < due)
        due = core->heartbeat_due;
    if (core->state == FT_READY && !core->arbiter.asking && ft_standby_suspects_at(core) < due)
        due = ft_standby_suspects_at(core);
    if (core->state == FT_PROTECTED && ft_primary_degrades_at(core) < due)
        due = ft_primary_degrades_at(core);
    return ft_later(due, core->now);
}
