/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a standby up to date, from the cut to its being READY.
 *
 * A resync begins beside a gate that is SOLO (or shut, with strict); or beside a guarded one whose standby
 * was cut off from the log. That standby may still hold rights, so the gate stays as it is until the standby
 * has answered SNAPSHOT_BEGIN. From HOLDING on it may hold rights again: a resync that fails there leaves the
 * primary holding, and only the next snapshot, or solo_after_ms of silence, lets it go on alone.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

/* A lane of the standby that is no further behind is close: it replays these in far less than a lease. */
#define CATCHUP_BURSTS  64u
#define RESYNC_PAUSE_MS 200u

void ft_resync_end(struct ft_core *core, struct ft_actions *actions, const char *outcome)
{
    if (core->resync == FT_RESYNC_NONE)
        return;
    snprintf(core->resync_outcome, sizeof(core->resync_outcome), "%s", outcome);
    core->resync = FT_RESYNC_NONE;
    core->resyncs_failed++;
    core->resync_again = core->now + ft_ms(RESYNC_PAUSE_MS);
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
}

void ft_resync_consider(struct ft_core *core, struct ft_actions *actions)
{
    if (core->resync || (core->guarded && !core->cut_off) || core->hand || core->abandoning ||
        !core->peer.known || core->now < core->resync_again)
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
    ft_ack_guard(core, actions);
    if (core->state == FT_PROTECTED)
        core->degradations++;
    ft_become(core, actions, FT_DEGRADED, "%s", why);
}

/* By an operator, or by lanes whose changes outgrew what a delta may be. */
void ft_resync_asked(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    bool holding_announced =
        core->resync == FT_RESYNC_NONE || core->resync == FT_RESYNC_HOLD || core->cut_off;

    if (!core->peer.known || core->hand || core->abandoning)
        return;
    if (core->resync)
        ft_resync_end(core, actions, "another was asked for");
    else if (core->guarded)
        ft_act(actions, FT_ACT_NO_SNAPSHOT);
    core->resync_again = 0;
    if (core->guarded && holding_announced)
        cut_off(core, actions, why);
    else if (core->guarded)
        ft_primary_alone(core, actions, why);
}

static void begin_switch(struct ft_core *core, struct ft_actions *actions)
{
    core->resync = FT_RESYNC_SWITCH;
    core->switch_began = core->now;
    core->ready_echo = 0;
    core->cut_off = false;
    ft_ack_guard(core, actions);
    core->planned = true;
    ft_become(core, actions, FT_DEGRADED, "holding until the standby is ready");
}

/*
 * Once every lane of the standby is close to its primary's, the gate is guarded and outputs are held for it.
 * Lanes replay beside each other, and with deltas a lane is behind by what is executed between two cuts and
 * on the way, so the sum over lanes says nothing.
 */
void ft_resync_caught_up(struct ft_core *core, struct ft_actions *actions)
{
    const uint64_t *counts = ft_counts(core, core->peer_closed, core->peer_replayed);
    bool close = true;

    for (unsigned l = 0; l < core->config.lanes; l++)
        close &= core->closed[l] <= counts[l] + CATCHUP_BURSTS;
    if (core->resync == FT_RESYNC_CATCHUP && close)
        begin_switch(core, actions);
}

/* The standby says READY: it holds everything up to H and, if it is hot, has replayed it. */
void ft_resync_ready(struct ft_core *core)
{
    if (core->resync != FT_RESYNC_HOLD ||
        !ft_reached(core, ft_counts(core, core->peer_closed, core->peer_replayed), core->hold))
        return;
    core->resync = FT_RESYNC_NONE;
    core->resyncs++;
    core->loss.open = false;
    snprintf(core->resync_outcome, sizeof(core->resync_outcome), "done in %llu ms",
             (core->now - core->resync_began) / FT_MS);
}

void ft_resync_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    struct ft_message *m;

    if (event->kind == FT_EV_CUT && core->resync == FT_RESYNC_CUT) {
        core->resync = FT_RESYNC_SNAPSHOT;
        memset(core->peer_closed, 0, sizeof(core->peer_closed));
        memset(core->peer_replayed, 0, sizeof(core->peer_replayed));
        memset(core->peer_taken, 0, sizeof(core->peer_taken));
        /* Told to forget, it protects nothing more: what is left of a lease ends here. */
        if (core->guarded)
            cut_off(core, actions, "the standby gets a new snapshot");
        m = ft_say(core, actions, FT_MSG_SNAPSHOT_BEGIN);
        memcpy(m->burst, event->closed, sizeof(event->closed));
        memcpy(m->access, event->access, sizeof(event->access));
        m->number = core->config.chain;
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

    ft_resync_end(core, actions, outcome);
    if (core->guarded && holding_announced) {
        core->resync_again = core->now;
        cut_off(core, actions, outcome);
    } else if (core->guarded) {
        ft_primary_alone(core, actions, "the resync failed");
    }
}

void ft_resync_time(struct ft_core *core, struct ft_actions *actions)
{
    if (core->resync && core->now - core->resync_began > ft_ms(core->config.resync_deadline_ms))
        give_up(core, actions,
                core->resync == FT_RESYNC_CATCHUP ? "deadline: the standby replays too slowly"
                : core->resync < FT_RESYNC_SWITCH ? "deadline: the snapshot took too long"
                                                  : "deadline: the standby was not ready in time");
    else if (core->resync >= FT_RESYNC_SWITCH && !core->config.strict &&
             core->now - core->switch_began >= ft_ms(core->config.solo_after_ms))
        give_up(core, actions, "the standby was not ready in time after the switch");
}
