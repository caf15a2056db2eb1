/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: every start and every fall from a role ends here. Two nodes meet, compare who they are, and
 * exactly one of them becomes primary: the one that holds state; of two that hold some the higher view; of
 * two empty ones the higher view, then the file's role. A node that holds state never joins an empty one.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

/* It quotes the peer's identity and goes to both nodes: names, not here and there. Status shows it. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || (uint8_t)*text >= 0x7f)
            *text = '?';
}

static void refuse_peer(struct ft_core *core, const char *text, struct ft_actions *actions, bool tell)
{
    char why[FT_REASON_MAX];

    core->refused = true;
    if (tell)
        snprintf(ft_say(core, actions, FT_MSG_REFUSE)->text, FT_REASON_MAX, "%s", text);
    snprintf(why, sizeof(why), "the peer differs: %s", text);
    snprintf(core->differs, sizeof(core->differs), "%s", text);
    core->event = FT_SAYS_REFUSED;
    if (core->state == FT_JOINING && strcmp(why, core->why) != 0) /* a node that waits is told each time */
        ft_become(core, actions, FT_JOINING, "%s", why);
    else if (core->state != FT_JOINING && tell) /* and one that serves, which stays what it is, and why */
        ft_report(core, actions, why);
    core->event = FT_SAYS_STATE;
}

/* What it runs, and the version that both speak from here on. */
static void note_program(struct ft_core *core, const struct ft_message *m)
{
    const struct ft_core_config *c = &core->config;
    unsigned version = ft_format_common(c->newest, c->oldest, m->newest, m->oldest);

    memcpy(core->peer.program, m->program, sizeof(core->peer.program));
    core->peer.program[FT_PROGRAM_MAX - 1] = '\0';
    make_printable(core->peer.program);
    core->peer.agreed = version != 0;
    if (version)
        core->peer.version = (uint16_t)version;
    else
        core->peer.greeted = false; /* what it said before is not what it is now */
}

void ft_join_hello(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    char text[FT_REASON_MAX];

    if (m->type == FT_MSG_REFUSE) {
        refuse_peer(core, m->text, actions, false);
        return;
    }
    if (!core->peer.known) /* who is known has said what it is */
        note_program(core, m);
    if (ft_fit_hello(core, m, text, sizeof(text)) != 0) {
        core->peer.state = m->state;
        make_printable(text);
        refuse_peer(core, text, actions, true);
        return;
    }
    core->refused = false;
    core->differs[0] = '\0';
    core->peer.newest = ft_later(core->peer.newest, m->sent);
    FT_NEXT_SAY(core, actions)
    /* Our answer is what proves us there. Who is known already says nothing new. */
    ft_say(core, actions, FT_MSG_HEARTBEAT);
    if (core->peer.known)
        return;
    core->peer.greeted = true;
    core->peer.hello = *m;
    core->peer.hello.bulk = NULL;
    core->peer.hello.bulk_len = 0;
    ft_join_prove(core, m, actions);
}

static void accept_peer(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool same = m->incarnation == core->peer.incarnation;

    if (!same)
        core->silence.taken_since = 0;
    core->silence.lease_ms = m->lease_ms;
    core->peer.known = true;
    core->peer.incarnation = m->incarnation;
    memcpy(core->peer.secret, m->secret, sizeof(core->peer.secret));
    memcpy(core->peer.name, m->name, sizeof(core->peer.name));
    core->peer.name[FT_NAME_MAX - 1] = '\0';
    memcpy(core->partner, core->peer.name, sizeof(core->partner));
    make_printable(core->partner);
    core->peer.role = m->role;
    core->peer.heard = core->now;
    core->peer.newest = ft_later(core->peer.newest, m->sent);
    core->peer.state = m->state;
    core->peer.view = m->view;
    core->peer.echoed = m->echo;

    if (core->state == FT_READY && !same) {
        /* What we followed has died, or there would be no second process. */
        if (ft_standby_certain(core)) {
            ft_standby_promote(core, "the peer has started anew", actions);
        } else if (!core->config.arbiter) {
            ft_join_again(core, actions, "the peer has started anew, and the right to promote had ended");
        }
        return;
    }
    if (core->hand == FT_HAND_GIVEN) {
        ft_handover_hello(core, m, same, actions);
        return;
    }
    if (!ft_core_primary(core)) {
        if (m->view >= core->view) /* else it is a primary of the past: our view tells it */
            ft_standby_hears(core, m, actions);
        return; /* ft_step asks ft_join_consider next */
    }
    if (!ft_is_primary(m->state)) {
        /* The peer was primary after us and lost everything; what it released, we do not know. Nor may we go
         * on. */
        if (m->view > core->view)
            ft_join_fence(core, m->view, actions);
        else
            ft_primary_powerless(core, m, actions);
        return;
    }
    bool yields = m->view > core->view ||
                  (m->view == core->view &&
                   (core->config.role > m->role ||
                    (core->config.role == m->role && core->config.incarnation < m->incarnation)));

    if (yields)
        ft_join_fence(core, m->view, actions);
    else /* the other may have claimed the addresses */
        ft_act(actions, FT_ACT_ANNOUNCE);
}

/*
 * A hello may be an old one, overheard and said again from the peer's address. So it is not acted on,
 * whatever it says, before a message of the same connection echoes the hello that we said there. That
 * message's head is news, the hello's may have aged.
 */
void ft_join_prove(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    struct ft_message hello = core->peer.hello;

    if (m->echo < core->peer.asked)
        return;
    hello.state = m->state;
    hello.view = m->view;
    hello.sent = m->sent;
    hello.echo = m->echo;
    accept_peer(core, &hello, actions);
}

/*
 * With an empty state nothing is in a hurry. The view is on the disk before it begins: a node that came back
 * without it could begin the same view again, beside a peer that holds the state of the first.
 */
static bool is_reserved(struct ft_core *core, uint64_t view, struct ft_actions *actions, const char *why)
{
    if (ft_is_stored(core, view))
        return true;
    if (core->reserved != view) {
        core->reserved = view;
        ft_act(actions, FT_ACT_STORE)->view = view;
        ft_become(core, actions, FT_JOINING, "%s: waits until view %lu is on the disk", why, view);
    }
    return false;
}

/* It is not begun after all. Left in the file, it would be taken for one that we have served in. */
static void drop_reserved(struct ft_core *core, struct ft_actions *actions)
{
    if (core->reserved > core->view)
        ft_act(actions, FT_ACT_STORE)->view = core->view;
    core->reserved = 0;
}

void ft_join_begin_alone(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    uint64_t view = ft_later(core->view, core->peer.known ? core->peer.view : 0) + 1;

    if (!is_reserved(core, view, actions, why))
        return;
    core->alone_requested = false;
    core->view = view;
    memset(core->closed, 0, sizeof(core->closed));
    if (core->kept)
        ft_act(actions, FT_ACT_CLEAR);
    core->kept = false;
    ft_act(actions, FT_ACT_VIEW)->view = core->view;
    ft_primary_alone(core, actions, why);
    ft_order(core, actions, FT_LANE_FRESH);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

/*
 * The peer has heard what we are now. A hello is said before the last of the connection before it is read,
 * and that may have told us of a later view. Then the peer decides by what the hello said, and we must wait.
 */
static bool heard_as_we_are(struct ft_core *core, struct ft_actions *actions)
{
    if (core->said.state != core->state || core->said.view != core->view)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    return core->peer.echoed >= core->said.since;
}

void ft_join_consider(struct ft_core *core, struct ft_actions *actions)
{
    bool first = core->config.role == 0;

    if (core->refused)
        first = first && !ft_is_primary(core->peer.state);
    if (!core->peer.known && core->alone_requested) {
        ft_join_begin_alone(core, actions, "an operator's promote, with an empty state");
        return;
    }
    core->alone_requested = false;
    if (!core->peer.known) {
        /* Never served and meets nobody: the file's word has to do. With strict it begins as well, and holds
         * what it would release. */
        if (first && core->view == 0 && core->config.start_alone_ms &&
            core->now - core->started >= ft_ms(core->config.start_alone_ms) &&
            ft_arbiter_permits(core, actions))
            ft_join_begin_alone(core, actions, "started alone");
        return;
    }
    core->arbiter.alone = core->arbiter.lost = false;
    ft_arbiter_forget(core, actions);
    if (core->peer.state != FT_JOINING) {
        drop_reserved(core, actions);
        return;
    }
    if (!heard_as_we_are(core, actions))
        return;
    if (core->peer.role == core->config.role)
        first = strncmp(core->config.name, core->peer.name, FT_NAME_MAX) < 0;
    if (core->view > core->peer.view || (core->view == core->peer.view && first))
        ft_join_begin_alone(core, actions, core->view ? "both nodes are empty" : "first start");
}

void ft_join_again(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->guarded = core->solo = core->cut_off = core->unsettled = false;
    core->snapshot_whole = core->hold_known = core->kept = false;
    core->hand = FT_HAND_NONE;
    core->abandoning = false;
    core->arbiter.open = core->arbiter.lost = false;
    ft_arbiter_forget(core, actions);
    core->resync = FT_RESYNC_NONE;
    memset(core->closed, 0, sizeof(core->closed));
    memset(core->replayed, 0, sizeof(core->replayed));
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    if (core->steered)
        ft_act(actions, FT_ACT_STEER)->flag = false;
    core->steered = false;
    ft_act(actions, FT_ACT_CLEAR);
    ft_become(core, actions, FT_JOINING, "%s", why);
}

void ft_join_fence(struct ft_core *core, uint64_t view, struct ft_actions *actions)
{
    char why[FT_REASON_MAX];
    bool given = core->hand == FT_HAND_GIVEN;

    if (!given) {
        core->fenced.at = core->now;
        core->fenced.view = view;
        memcpy(core->fenced.by, core->partner, sizeof(core->fenced.by));
        core->fenced.count++;
        core->event = FT_SAYS_FENCED;
        ft_silence_fenced(core);
    }
    core->guarded = core->solo = core->cut_off = false;
    core->hand = FT_HAND_NONE;
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
    core->resync = FT_RESYNC_NONE;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_order(core, actions, FT_LANE_FENCED);
    core->view = view;
    ft_act(actions, FT_ACT_VIEW)->view = view;
    if (!given)
        ft_become(core, actions, FT_FENCED, "%s has taken over: view %lu has begun", ft_peer_name(core),
                  view);
    snprintf(why, sizeof(why),
             given ? "%s has taken over: handed over to view %lu" : "%s has taken over: fenced by view %lu",
             ft_peer_name(core), view);
    ft_join_again(core, actions, why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}
