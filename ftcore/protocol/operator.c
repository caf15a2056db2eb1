/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator asks for: a handover, a resync, a promotion. */
#include "ftcore/protocol/parts.h"

/* Nobody has answered for longer than any lease runs, and the operator has decided. */
static void begin_without_peer(struct ft_core *core, struct ft_actions *actions)
{
    if (core->kept)
        ft_standby_promote(core, "an operator's promote, with the state that was kept", actions);
    else
        core->alone_requested = true; /* ft_step asks ft_join_consider next */
}

void ft_operator_asks(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    enum ft_request what = event->request;

    if (what == FT_REQUEST_HANDOVER && ft_core_primary(core)) {
        ft_handover_begin(core, actions);
    } else if (what == FT_REQUEST_RESYNC && ft_core_primary(core)) {
        ft_resync_asked(core, event->text ? event->text : "resync asked for", actions);
    } else if (what == FT_REQUEST_PROMOTE && core->hand == FT_HAND_GIVEN) {
        ft_handover_reclaim(core, actions);
    } else if (what == FT_REQUEST_PROMOTE && ft_arbiter_overruled(core, actions)) {
        return;
    } else if (what == FT_REQUEST_PROMOTE && core->state == FT_READY) {
        if (core->peer.known)
            ft_say(core, actions, FT_MSG_ASK);
        else if ((ft_standby_right(core) || core->config.arbiter) &&
                 core->now - core->answered >= ft_ms(core->config.detect_ms))
            ft_standby_promote(core, "an operator's promote", actions);
    } else if (what == FT_REQUEST_PROMOTE && core->state == FT_JOINING && !core->peer.known &&
               core->now - core->alone >= ft_ms(core->config.solo_after_ms)) {
        begin_without_peer(core, actions);
    }
}
