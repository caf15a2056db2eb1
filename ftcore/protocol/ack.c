/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The acknowledgement: what the standby says of its closed set, and what the primary makes of it.
 *
 * Standby: an ACK says which bursts the standby holds (the closed set), which it has replayed, and how many
 * bytes of entries (records and chunks) it has taken out of its rings: replayed, applied, or skipped as
 * covered. The primary's credit follows from that.
 *
 * Primary: two numbers guard the gate of the lanes. `stable` is the closed set acknowledged last; outputs of
 * bursts up to it may leave while the lease runs. The lease runs from the time at which this node *sent* the
 * newest message that a READY standby has answered. So it ends here before the standby, which counts from its
 * answer, may consider this node dead.
 */
#include "ftcore/protocol/parts.h"

#include <string.h>

/* The standby acknowledges at once when so many bytes were taken out of its rings: they are the primary's
 * credit. */
#define ACK_TAKEN (256u << 10)
/* ns after an ACK when less is worth one: a primary that waits for us to catch up has nothing else to hear */
#define ACK_SOON 250000u

/* ---- standby ----------------------------------------------------------------------------------- */

/*
 * In view 0 a node may start alone, so one that may be promoted must not come back in it. Before its file has
 * a view it acknowledges nothing, and its primary goes on alone.
 */
void ft_ack_send(struct ft_core *core, struct ft_actions *actions)
{
    bool counts = ft_is_stored(core, 1);
    struct ft_message *m = ft_say(core, actions, counts ? FT_MSG_ACK : FT_MSG_HEARTBEAT);

    if (!counts)
        return;
    memcpy(m->burst, core->closed, sizeof(m->burst));
    memcpy(m->replayed, core->replayed, sizeof(m->replayed));
    memcpy(m->taken, core->taken, sizeof(m->taken));
    memcpy(core->acked, core->closed, sizeof(core->acked));
    memcpy(core->acked_replayed, core->replayed, sizeof(core->acked_replayed));
    memcpy(core->acked_taken, core->taken, sizeof(core->acked_taken));
    core->acked_at = core->now;
}

bool ft_ack_replay_untold(const struct ft_core *core)
{
    for (unsigned l = 0; l < core->config.lanes; l++)
        if (core->replayed[l] != core->acked_replayed[l] || core->taken[l] != core->acked_taken[l])
            return true;
    return false;
}

bool ft_ack_is_late(const struct ft_core *core)
{
    return core->now - core->acked_at >= ACK_SOON && ft_ack_replay_untold(core);
}

/*
 * Each step counts while catching up, since the primary waits to see the standby close. What came and closed
 * nothing is acknowledged as well: the primary may hold its next message until this one has been received.
 */
void ft_ack_consider(struct ft_core *core, struct ft_actions *actions)
{
    bool due = core->state == FT_SYNCING || core->peer.newest > core->echoed || ft_ack_is_late(core);

    if (!core->snapshot_whole || (core->state != FT_SYNCING && core->state != FT_READY))
        return;
    for (unsigned l = 0; l < core->config.lanes; l++)
        due |= core->closed[l] != core->acked[l] || core->taken[l] - core->acked_taken[l] >= ACK_TAKEN;
    if (due)
        ft_ack_send(core, actions);
}

/* ---- primary ----------------------------------------------------------------------------------- */

uint64_t ft_ack_lease(const struct ft_core *core)
{
    uint32_t lease = core->config.lease_ms;

    if (FT_PLANTED("long-lease"))
        lease = core->config.solo_after_ms;
    return core->ready_echo ? core->ready_echo + ft_ms(lease) : 0;
}

void ft_ack_guard(struct ft_core *core, struct ft_actions *actions)
{
    struct ft_action *action = ft_act(actions, FT_ACT_GATE);

    core->guarded = true;
    core->solo = core->unsettled = false;
    action->gate = FT_GATE_GUARDED;
    action->lease_until = ft_ack_lease(core);
    memcpy(action->vector, core->peer_closed, sizeof(action->vector));
}

void ft_ack_receive(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
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
    ft_resync_caught_up(core, actions);
}

void ft_ack_renew_lease(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    uint64_t old = core->ready_echo;

    ft_resync_ready(core);
    if (!core->guarded || core->cut_off || core->resync)
        return;
    if (m->echo > core->ready_echo)
        core->ready_echo = FT_PLANTED("lease-from-answer") ? core->now : m->echo;
    if (core->now < ft_ack_lease(core) && core->state != FT_PROTECTED) {
        if (old)
            core->false_alarms++;
        ft_become(core, actions, FT_PROTECTED, old ? "the standby answers again" : "the standby is ready");
    }
    ft_ack_guard(core, actions);
}
