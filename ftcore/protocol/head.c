/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every message to the peer tells: our state and view, its own time, and what was heard last of the
 * peer's. Writes struct ft_core's `sent`, `said`, `echoed`, `answered` and `beat_due`; used by all files of
 * the core, and by the replicator for the messages that carry bulk.
 */
#include "ftcore/protocol/parts.h"

#include <string.h>

/* All of the head but the echo. `said` remembers since when the peer is told this state and view. */
static void fill_head(struct ft_core *core, enum ft_message_type type, uint64_t now, struct ft_message *m)
{
    memset(m, 0, sizeof(*m));
    m->type = type;
    m->state = core->state;
    m->view = core->view;
    m->sent = core->sent = now > core->sent ? now : core->sent + 1;
    if (core->said.since && core->said.state == core->state && core->said.view == core->view)
        return;
    core->said.state = core->state;
    core->said.view = core->view;
    core->said.since = m->sent;
}

void ft_core_head(struct ft_core *core, enum ft_message_type type, uint64_t now, struct ft_message *m)
{
    fill_head(core, type, now, m);
    m->echo = core->peer.newest;
    /* An answer is a message that echoes something new: from here the other side's lease can run on. */
    if (core->peer.newest > core->echoed) {
        core->echoed = core->peer.newest;
        core->answered = now;
    }
}

struct ft_message *ft_say(struct ft_core *core, struct ft_actions *actions, enum ft_message_type type)
{
    struct ft_action *action = ft_act(actions, FT_ACT_SEND);

    ft_core_head(core, type, core->now, &action->send);
    core->beat_due = core->now + ft_ms(core->config.heartbeat_ms);
    return &action->send;
}

/* A hello echoes nothing, so it is no answer that a lease could rest on. */
void ft_core_hello(struct ft_core *core, uint64_t now, struct ft_message *m)
{
    fill_head(core, FT_MSG_HELLO, now, m);
    m->incarnation = core->config.incarnation;
    memcpy(m->name, core->config.name, sizeof(m->name));
    m->role = core->config.role;
    m->strict = core->config.strict;
    m->warm = core->config.warm;
    m->lanes = core->config.lanes;
    m->lease_ms = core->config.lease_ms;
    m->detect_ms = core->config.detect_ms;
    m->promote_within_ms = core->config.promote_within_ms;
    m->solo_after_ms = core->config.solo_after_ms;
    m->bulk = (const uint8_t *)core->config.identity;
    m->bulk_len = m->identity_len = core->config.identity_len;
}
