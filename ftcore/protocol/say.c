/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core: the heads of messages, and the hello. See core.c. */
#include "ftcore/protocol/parts.h"

#include <string.h>

/* All of the head but the echo. `said` remembers since when the peer is told this state and view. */
static void fill_head(struct ft_core *core, enum ft_message_type type, uint64_t now, struct ft_message *m)
{
    memset(m, 0, sizeof(*m));
    m->type = type;
    if (type != FT_MSG_HELLO && type != FT_MSG_REFUSE) {
        m->version = core->peer.version;
        FT_NEXT_HEAD(m)
    }
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

/* Without a connection, and on one until a hello has told what the peer speaks, it goes to nobody. */
struct ft_message *ft_say(struct ft_core *core, struct ft_actions *actions, enum ft_message_type type)
{
    bool heard = core->peer.agreed || (core->peer.up && type == FT_MSG_REFUSE);
    struct ft_message *m = heard ? &ft_act(actions, FT_ACT_SEND)->send : &actions->unsaid;

    ft_core_head(core, type, core->now, m);
    core->heartbeat_due = core->now + ft_ms(core->config.heartbeat_ms);
    return m;
}

/* A hello echoes nothing, so it is no answer that a lease could rest on. */
void ft_core_hello(struct ft_core *core, uint64_t now, struct ft_message *m)
{
    fill_head(core, FT_MSG_HELLO, now, m);
    m->newest = core->config.newest;
    m->oldest = core->config.oldest;
    memcpy(m->program, core->config.program, sizeof(m->program));
    m->incarnation = core->config.incarnation;
    memcpy(m->secret, core->config.secret, sizeof(m->secret));
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
