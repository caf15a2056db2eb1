/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: every start and every fall from a role ends here. Two nodes meet, compare who they are, and
 * exactly one of them reigns: the one that holds state; of two that hold some the higher view; of two empty
 * ones the higher view, then the file's role. A node that holds state never joins an empty one.
 */
#include "ftcore/core_parts.h"

#include <stdio.h>
#include <string.h>

static bool reigning(enum ft_state state)
{
    return state == FT_SOLO || state == FT_PROTECTED || state == FT_DEGRADED;
}

/* First line in which two texts differ, for a refusal by name. */
static void first_difference(const char *ours, uint32_t ours_len, const char *theirs, uint32_t theirs_len,
                             char *out, size_t cap)
{
    uint32_t at = 0, start = 0;

    while (at < ours_len && at < theirs_len && ours[at] == theirs[at]) {
        if (ours[at] == '\n')
            start = at + 1;
        at++;
    }
    int a = (int)strcspn(ours_len > start ? ours + start : "", "\n");
    int b = (int)strcspn(theirs_len > start ? theirs + start : "", "\n");

    snprintf(out, cap, "here '%.*s', there '%.*s'", a > 45 ? 45 : a, ours_len > start ? ours + start : "",
             b > 45 ? 45 : b, theirs_len > start ? theirs + start : "");
}

/* 0, or the reason in `text`. */
static int fits(const struct ft_core *core, const struct ft_message *m, char *text, size_t cap)
{
    const struct ft_core_config *c = &core->config;
    char theirs[FT_IDENTITY_MAX + 1], ours[FT_IDENTITY_MAX + 1];

    if (m->lanes != c->lanes)
        return snprintf(text, cap, "lanes: here %u, there %u", c->lanes, m->lanes);
    if (strncmp(m->name, c->name, FT_NAME_MAX) == 0)
        return snprintf(text, cap, "both nodes are called '%s'", c->name);
    if (m->strict != c->strict)
        return snprintf(text, cap, "strict: here %s, there %s", c->strict ? "true" : "false",
                        m->strict ? "true" : "false");
    if (c->lease_ms >= m->detect_ms || m->lease_ms >= c->detect_ms)
        return snprintf(text, cap, "lease_ms %u and %u must be below detect_ms %u and %u", c->lease_ms,
                        m->lease_ms, c->detect_ms, m->detect_ms);
    if (c->promote_within_ms >= m->solo_after_ms || m->promote_within_ms >= c->solo_after_ms)
        return snprintf(text, cap, "promote_within_ms must be below the other node's solo_after_ms");
    if (m->bulk_len != c->identity_len ||
        (m->bulk_len && memcmp(m->bulk, c->identity, c->identity_len) != 0)) {
        uint32_t len = m->bulk_len < FT_IDENTITY_MAX ? m->bulk_len : FT_IDENTITY_MAX;
        uint32_t own = c->identity_len < FT_IDENTITY_MAX ? c->identity_len : FT_IDENTITY_MAX;

        memcpy(theirs, m->bulk, len);
        theirs[len] = '\0';
        memcpy(ours, c->identity, own);
        ours[own] = '\0';
        first_difference(ours, own, theirs, len, text, cap);
        return 1;
    }
    return 0;
}

/* It quotes the peer's identity, and status shows it. */
static void clean(char *text)
{
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || (uint8_t)*text >= 0x7f)
            *text = '?';
}

static void refuse(struct ft_core *core, const char *text, struct ft_actions *actions, bool tell)
{
    core->refused = true;
    if (tell)
        snprintf(ft_say(core, actions, FT_MSG_REFUSE)->text, FT_REASON_MAX, "%s", text);
    if (core->state == FT_JOINING)
        ft_become(core, actions, FT_JOINING, "the peer differs: %s", text);
}

void ft_join_hello(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    char text[FT_REASON_MAX];

    if (m->type == FT_MSG_REFUSE) {
        refuse(core, m->text, actions, false);
        return;
    }
    if (fits(core, m, text, sizeof(text)) != 0) {
        core->peer.state = m->state;
        clean(text);
        refuse(core, text, actions, true);
        return;
    }
    core->refused = false;
    if (m->sent > core->peer.newest)
        core->peer.newest = m->sent;
    /* Our answer is what proves us there. Who is known already says nothing new. */
    ft_say(core, actions, FT_MSG_BEAT);
    if (core->peer.known)
        return;
    core->peer.greeted = true;
    core->peer.hello = *m;
    core->peer.hello.bulk = NULL;
    core->peer.hello.bulk_len = 0;
    ft_join_prove(core, m, actions);
}

static void believe(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool same = m->incarnation == core->peer.incarnation;

    core->peer.known = true;
    core->peer.incarnation = m->incarnation;
    memcpy(core->peer.name, m->name, sizeof(core->peer.name));
    core->peer.name[FT_NAME_MAX - 1] = '\0';
    core->peer.role = m->role;
    core->peer.heard = core->now;
    if (m->sent > core->peer.newest)
        core->peer.newest = m->sent;
    core->peer.state = m->state;
    core->peer.view = m->view;

    if (core->state == FT_READY && !same) {
        /* What we followed has died, or there would be no second process. */
        if (ft_standby_right(core)) {
            core->takeover.suspected = core->now;
            ft_standby_promote(core, "the peer has started anew", actions);
        } else {
            ft_join_again(core, actions, "the peer has started anew, and the right to promote had ended");
        }
        return;
    }
    if (core->hand == FT_HAND_GIVEN) {
        ft_handover_hello(core, m, same, actions);
        return;
    }
    if (!ft_core_primary(core)) {
        ft_standby_hears(core, m, actions);
        return; /* ft_step asks ft_join_consider next */
    }
    if (!reigning(m->state)) {
        /* The peer has reigned after us and lost everything; what it released, we do not know. Nor may we go
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
    else /* hazard 10: the other may have claimed the addresses */
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
    believe(core, &hello, actions);
}

void ft_join_reign(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->view = (core->peer.known && core->peer.view > core->view ? core->peer.view : core->view) + 1;
    memset(core->closed, 0, sizeof(core->closed));
    ft_act(actions, FT_ACT_VIEW)->view = core->view;
    ft_primary_alone(core, actions, why);
    ft_order(core, actions, FT_LANE_FRESH);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_BEAT);
}

void ft_join_consider(struct ft_core *core, struct ft_actions *actions)
{
    bool first = core->config.role == 0;

    if (core->refused)
        first = first && !reigning(core->peer.state);
    if (!core->peer.known) {
        /* Never served and meets nobody: the file's word has to do, unless strict forbids to release alone
         * anyway. */
        if (first && core->view == 0 && core->config.start_alone_ms &&
            core->now - core->started >= ft_ms(core->config.start_alone_ms))
            ft_join_reign(core, actions, "started alone");
        return;
    }
    if (core->peer.state != FT_JOINING)
        return;
    if (core->peer.role == core->config.role)
        first = strncmp(core->config.name, core->peer.name, FT_NAME_MAX) < 0;
    if (core->view > core->peer.view || (core->view == core->peer.view && first))
        ft_join_reign(core, actions, core->view ? "both nodes are empty" : "first start");
}

void ft_join_again(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->guarded = core->solo = core->cut_off = false;
    core->base_whole = core->hold_known = false;
    core->hand = FT_HAND_NONE;
    core->abandoning = false;
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
        core->fenced.count++;
    }
    core->guarded = core->solo = core->cut_off = false;
    core->hand = FT_HAND_NONE;
    ft_act(actions, FT_ACT_NO_BASE);
    core->resync = FT_RESYNC_NONE;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_order(core, actions, FT_LANE_FENCED);
    core->view = view;
    ft_act(actions, FT_ACT_VIEW)->view = view;
    if (!given)
        ft_become(core, actions, FT_FENCED, "view %lu has begun", view);
    snprintf(why, sizeof(why), given ? "handed over to view %lu" : "fenced by view %lu", view);
    ft_join_again(core, actions, why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_BEAT);
}
