/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lanes have reached, as they say in struct ft_lane: how far they are, the cut, the gate, the end of a
 * drain, the digest, a divergence. Told to the core once each, and to the peer what concerns it.
 */
#include "replicator/parts.h"
#include "ftcore/base/plant.h"

void rp_reached(struct rp_replicator *rp, struct ft_event *event)
{
    bool primary = ft_core_primary(&rp->core);

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane *lane = rp_lane(rp, l);
        uint64_t closed = atomic_load_explicit(primary ? &lane->report.recorded : &lane->report.executed,
                                               memory_order_acquire);

        event->closed[l] = primary ? closed : rp->receiver.held[l];
        event->replayed[l] = closed;
        event->taken[l] = atomic_load_explicit(&lane->replay.tail, memory_order_acquire) +
                          atomic_load_explicit(&lane->checkpoint.tail, memory_order_acquire);
    }
}

bool rp_progress(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_LANES, .now = rp->now};
    bool primary = ft_core_primary(&rp->core), moved = rp->stored;

    rp_reached(rp, &event);
    for (unsigned l = 0; l < rp->lanes; l++) {
        moved |= event.taken[l] != rp->core.taken[l] || event.replayed[l] != rp->closed_told[l];
        rp->closed_told[l] = event.replayed[l];
    }
    rp->stored = false;
    if (moved)
        rp_step(rp, &event);
    return moved && !primary;
}

static void report_port_beats(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_PORT_BEAT, .now = rp->now};

    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t beat = atomic_load_explicit(&rp_lane(rp, l)->report.beat_ns, memory_order_acquire);

        if (beat == rp->beat_seen[l])
            continue;
        rp->beat_seen[l] = beat;
        event.view = atomic_load_explicit(&rp_lane(rp, l)->report.beat_view, memory_order_relaxed);
        if (atomic_load_explicit(&rp_lane(rp, l)->report.beat_half, memory_order_relaxed) ==
            (uint32_t)(rp->core.peer.incarnation >> 32))
            rp_step(rp, &event);
    }
}

/* False while the stream does not account for all: the standby would wait for the rest, and we do nothing
 * more. */
static bool gather_closed(struct rp_replicator *rp, uint64_t closed[])
{
    bool all = true;

    for (unsigned l = 0; l < rp->lanes; l++) {
        closed[l] = atomic_load_explicit(&rp_lane(rp, l)->report.executed, memory_order_acquire);
        all &= atomic_load_explicit(&rp_lane(rp, l)->report.recorded, memory_order_acquire) == closed[l];
    }
    return all;
}

/*
 * A lane can send no delta that the standby has room for: a snapshot takes its place. Until it is begun,
 * nobody reads what lanes say about the stream before it.
 */
static void report_overrun(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_TOLD,
                             .now = rp->now,
                             .told = FT_TOLD_RESYNC,
                             .text = "the next delta is larger than half of pending_mb"};
    bool over = false;

    for (unsigned l = 0; l < rp->lanes; l++)
        over |= atomic_load_explicit(&rp_lane(rp, l)->report.overrun, memory_order_acquire);
    if (!over || !rp->sender.on)
        return;
    rp_step(rp, &event);
    rp->shown.overruns += !rp->sender.on; /* it was not the moment, as in a handover */
}

static void primary_reports(struct rp_replicator *rp)
{
    struct ft_event event = {.now = rp->now};
    bool held = rp->core.resync == FT_RESYNC_SWITCH && !rp->held_told;

    event.kind = FT_EV_CUT;
    if (rp_snapshot_cut(rp, event.closed, event.access))
        rp_step(rp, &event);
    for (unsigned l = 0; held && l < rp->lanes; l++) {
        held = FT_PLANTED("gate-unseen") ||
               atomic_load_explicit(&rp_lane(rp, l)->report.gate_seen, memory_order_acquire) == rp->gate;
        event.closed[l] = atomic_load_explicit(&rp_lane(rp, l)->report.hold_from, memory_order_relaxed);
    }
    if (held) {
        rp->held_told = true;
        event.kind = FT_EV_HELD;
        rp_step(rp, &event);
    }
    report_overrun(rp);
    if (rp_ordered(rp, FT_LANE_DRAIN) && !rp->drained_told && rp->core.hand == FT_HAND_DRAIN &&
        gather_closed(rp, event.closed)) {
        rp->drained_told = true;
        event.kind = FT_EV_DRAINED;
        rp_step(rp, &event);
    }
}

static void standby_reports(struct rp_replicator *rp)
{
    struct ft_event event = {.now = rp->now};
    bool steered = !rp->steered_told, diverged = false;
    struct ft_message m;

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane *lane = rp_lane(rp, l);
        uint64_t burst = atomic_load_explicit(&lane->report.digest_burst, memory_order_acquire);

        steered &= atomic_load_explicit(&lane->report.steered, memory_order_acquire);
        diverged |= atomic_load_explicit(&lane->report.diverged, memory_order_acquire);
        if (burst == rp->digest_told[l] || !rp->core.peer.known)
            continue;
        rp->digest_told[l] = burst;
        ft_core_head(&rp->core, FT_MSG_VERDICT, rp->now, &m);
        m.lane = (uint16_t)l;
        m.burst[0] = burst;
        m.number = atomic_load_explicit(&lane->report.expected, memory_order_relaxed);
        m.number2 = atomic_load_explicit(&lane->report.got, memory_order_relaxed);
        rp_link_send(rp->link, &m, rp->lanes, NULL);
    }
    if (steered) {
        rp->steered_told = true;
        event.kind = FT_EV_STEERED;
        rp_step(rp, &event);
    }
    if (diverged && !rp->diverged_told) {
        event.kind = FT_EV_DIVERGED;
        event.text = "replay did not reproduce the recording";
        rp_step(rp, &event);
    }
    rp->diverged_told = diverged;
}

void rp_reports(struct rp_replicator *rp)
{
    report_port_beats(rp);
    if (ft_core_primary(&rp->core))
        primary_reports(rp);
    else
        standby_reports(rp);
}
