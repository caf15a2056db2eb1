/* SPDX-License-Identifier: Apache-2.0 */
/* Carries out what the protocol core decided, in order: orders to the lanes, messages, the view file. */
#include "ftcore/region/audit.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/base/plant.h"
#include "replicator/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_NS    20000u        /* between two looks at lanes that are to quiesce */
#define QUIESCE_NS 2000000000ull /* a lane that does not reach a burst boundary within this is broken */

static void store_in_lanes(struct rp_replicator *rp, size_t offset, uint64_t value)
{
    for (unsigned l = 0; l < rp->lanes; l++)
        atomic_store_explicit((_Atomic uint64_t *)((char *)rp_lane(rp, l) + offset), value,
                              memory_order_release);
}

static void set_gate(struct rp_replicator *rp, const struct ft_action *a)
{
    bool change = a->gate != rp->gate_kind;

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane *lane = rp_lane(rp, l);
        uint64_t stable = a->gate == FT_GATE_SOLO ? FT_ALL : a->gate == FT_GATE_SHUT ? 0 : a->vector[l];
        uint64_t lease = a->gate == FT_GATE_GUARDED ? a->lease_until : stable;

        /* Closing writes the lease first, opening writes `stable` first: no output finds both open by
         * accident. */
        if (a->gate != FT_GATE_SOLO)
            atomic_store_explicit(&lane->orders.lease_until, lease, memory_order_release);
        atomic_store_explicit(&lane->orders.stable, stable, memory_order_release);
        atomic_store_explicit(&lane->orders.lease_until, lease, memory_order_release);
    }
    rp->gate_kind = a->gate;
    if (change) {
        rp->held_told = false;
        store_in_lanes(rp, offsetof(struct ft_lane, orders.gate), ++rp->gate);
    }
}

static void give_order(struct rp_replicator *rp, enum ft_order kind, const uint64_t vector[])
{
    rp->order++;
    rp->ordered = kind;
    rp->drained_told = false;
    if (rp->audit_off && kind != FT_LANE_WAIT && kind != FT_LANE_FENCED) {
        ft_audit_resume(rp->config.region);
        rp->audit_off = false;
    }
    for (unsigned l = 0; l < rp->lanes; l++) {
        if (kind == FT_LANE_LIVE && vector)
            atomic_store_explicit(&rp_lane(rp, l)->orders.closed_to, vector[l], memory_order_release);
        if (kind == FT_LANE_FRESH || kind == FT_LANE_LIVE)
            atomic_store_explicit(&rp_lane(rp, l)->orders.steer, false, memory_order_relaxed);
        atomic_store_explicit(&rp_lane(rp, l)->orders.order, ft_order_make(kind, rp->order),
                              memory_order_release);
    }
}

bool rp_ordered(struct rp_replicator *rp, enum ft_order kind)
{
    if (rp->ordered != kind)
        return false;
    for (unsigned l = 0; l < rp->lanes; l++)
        if (atomic_load_explicit(&rp_lane(rp, l)->report.done, memory_order_acquire) !=
            ft_order_make(kind, rp->order))
            return false;
    return true;
}

/* Lanes come by a burst boundary within microseconds, sleeping ones within a millisecond. */
static void stop_lanes(struct rp_replicator *rp)
{
    uint64_t waited = 0;

    give_order(rp, FT_LANE_WAIT, NULL);
    while (!rp_ordered(rp, FT_LANE_WAIT) && !atomic_load(&rp->stop)) {
        rp_sleep(STEP_NS);
        waited += STEP_NS;
        FT_CHECK(waited < QUIESCE_NS, "a lane has not reached a burst boundary for seconds");
    }
}

static void stop_sending(struct rp_replicator *rp)
{
    rp_snapshot_forget(rp);
    rp->sender.on = false;
    for (unsigned l = 0; l < rp->lanes; l++)
        atomic_store_explicit(&rp_lane(rp, l)->orders.logging, false, memory_order_release);
}

static void clear_state(struct rp_replicator *rp)
{
    stop_lanes(rp);
    stop_sending(rp);
    ft_snapshot_end(rp->config.region);
    ft_checkpoint_end(rp->config.region); /* a checkpoint that was under way */
    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane *lane = rp_lane(rp, l);

        /* What the lane reported of a state that is void. It is quiesced, so the replicator may write its
         * words. */
        atomic_store_explicit(&lane->report.executed, 0, memory_order_relaxed);
        atomic_store_explicit(&lane->report.recorded, 0, memory_order_relaxed);
        atomic_store_explicit(&lane->report.overrun, false, memory_order_relaxed);
        ft_ring_reset(&lane->replay);
        ft_ring_reset(&lane->checkpoint);
        ft_ring_reset(&lane->log);
        atomic_store_explicit(&lane->report.diverged, false, memory_order_relaxed);
        atomic_store_explicit(&lane->orders.steer, false, memory_order_relaxed);
    }
    rp_receiver_reset(rp, NULL);
    if (!rp->audit_off)
        ft_audit_suspend(rp->config.region); /* snapshot lines are written from here on */
    rp->audit_off = true;
}

static void remember_view(struct rp_replicator *rp, uint64_t view)
{
    struct ft_fault fault;

    if (rp->config.protect && !FT_PLANTED("view-forgotten") &&
        rp_view_store(rp->config.view_file, view, &fault) != 0)
        fprintf(stderr, "understudy: %s\n",
                fault.text); /* taking over without a file beats not taking over */
    if (rp->config.view)
        rp->config.view(rp->config.arg, view);
}

static void send(struct rp_replicator *rp, const struct ft_message *m)
{
    if (rp->link && rp_link_send(rp->link, m, rp->lanes, NULL) == FT_EFULL)
        rp->stuck = true; /* not even a heartbeat fits: the connection is as good as dead */
}

static void carry_out(struct rp_replicator *rp, const struct ft_action *a)
{
    switch (a->kind) {
    case FT_ACT_SEND:
        send(rp, &a->send);
        break;
    case FT_ACT_CLOSE:
        if (rp->link) {
            rp_link_flush(rp->link);
            rp_link_drop(rp->link);
        }
        break;
    case FT_ACT_GATE:
        set_gate(rp, a);
        break;
    case FT_ACT_ORDER:
        give_order(rp, a->order, a->vector);
        break;
    case FT_ACT_CUT:
        rp_snapshot_ask(rp);
        break;
    case FT_ACT_NO_SNAPSHOT:
        stop_sending(rp);
        break;
    case FT_ACT_VIEW:
        remember_view(rp, a->view);
        break;
    case FT_ACT_CLEAR:
        clear_state(rp);
        break;
    case FT_ACT_STEER:
        rp->steered_told = false;
        for (unsigned l = 0; l < rp->lanes; l++) {
            atomic_store_explicit(&rp_lane(rp, l)->report.steered, false, memory_order_relaxed);
            atomic_store_explicit(&rp_lane(rp, l)->orders.steer, a->flag, memory_order_release);
        }
        break;
    case FT_ACT_ANNOUNCE:
        store_in_lanes(rp, offsetof(struct ft_lane, orders.announce), ++rp->announced);
        break;
    case FT_ACT_STATE:
        rp->shown_at = 0; /* show it at once */
        if (rp->config.told)
            rp->config.told(rp->config.arg, a->send.state, a->view, a->send.text);
        break;
    }
}

void rp_carry_out(struct rp_replicator *rp)
{
    for (uint32_t i = 0; i < rp->actions.count; i++)
        carry_out(rp, &rp->actions.list[i]);
    /* What a takeover or a fence has to say must be on its way before the lanes act on it. */
    if (rp->link)
        rp_link_flush(rp->link);
}

/*
 * What was stored counts before anything that may make this node take over: the end of a connection can be
 * read in the same turn as the last records, and lanes may have replayed those by then.
 */
void rp_step(struct rp_replicator *rp, struct ft_event *event)
{
    if (rp->stored && !ft_core_primary(&rp->core)) {
        rp_reached(rp, event);
        event->reached = true;
    }
    ft_step(&rp->core, event, &rp->actions);
    rp_carry_out(rp);
}
