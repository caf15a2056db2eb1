/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the protocol core and the rest of the node, by the replicator's thread. Carries out what the core
 * decided, in order: orders to the lanes, messages, views for their writer, questions to the arbiter, none of
 * which waits. Reports to the core, once each, and to the peer what lanes have reached, as published in
 * struct ft_lane: how far they are, the cut, the gate, the end of a drain, the digest, a divergence. Follows
 * the chain, which lanes change between bursts or while they wait. And shows what the core is as the status,
 * with the wall-clock times of the last takeover, loss and fence, which the core has no clock for.
 */
#include "ftcore/region/audit.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "ftcore/base/seqlock.h"
#include "replicator/parts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define STEP_NS    20000u        /* between two looks at lanes that are to quiesce */
#define QUIESCE_NS 2000000000ull /* for a burst that a lane is in */
#define SHOW_NS    1000000ull    /* between two copies for the status */
#define REREAD_NS  50000u        /* before a copy that was torn is read again */

#ifndef RP_COST_NS           /* the simulation's seconds are shorter */
#define RP_COST_NS 20000000u /* between two looks at what lanes waited */
#endif

/* ---- orders to the lanes ------------------------------------------------------------------------ */

static void set_gate(struct rp_replicator *rp, const struct ft_action *a)
{
    bool change = a->gate != rp->gate_kind;

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);
        uint64_t stable = a->gate == FT_GATE_SOLO ? FT_ALL : a->gate == FT_GATE_SHUT ? 0 : a->vector[l];
        uint64_t lease = a->gate == FT_GATE_GUARDED ? a->lease_until : stable;

        /* Closing writes the lease first, opening writes `stable` first: no output finds both open by
         * accident. */
        if (a->gate != FT_GATE_SOLO)
            FT_ORDER_SET(lane, lease_until, lease);
        FT_ORDER_SET(lane, stable, stable);
        FT_ORDER_SET(lane, lease_until, lease);
    }
    rp->gate_kind = a->gate;
    if (change) {
        rp->guarded_reported = false;
        rp->gate++;
        RP_ORDER_ALL(rp, gate, rp->gate);
    }
    rp_wake_sleepers(rp);
}

static void give_order(struct rp_replicator *rp, enum ft_order kind, const uint64_t vector[])
{
    rp->order++;
    rp->ordered = kind;
    rp->drained_reported = false;
    if (rp->audit_off && kind != FT_LANE_WAIT && kind != FT_LANE_FENCED) {
        ft_audit_resume(rp->config.region);
        rp->audit_off = false;
    }
    for (unsigned l = 0; l < rp->lanes; l++) {
        if (kind == FT_LANE_LIVE && vector)
            FT_ORDER_SET(rp_lane(rp, l), closed_to, vector[l]);
        if (kind == FT_LANE_LIVE || kind == FT_LANE_FRESH)
            FT_ORDER_SET(rp_lane(rp, l), live_view, rp->core.view);
        FT_ORDER_SET(rp_lane(rp, l), order, ft_order_make(kind, rp->order));
    }
    for (unsigned l = 0; l < rp->lanes; l++)
        ft_lane_wake(rp_lane(rp, l));
}

bool rp_is_followed(const struct rp_replicator *rp)
{
    for (unsigned l = 0; l < rp->lanes; l++)
        if (FT_REPORT_GET(&rp->config.lanes[l], done) != ft_order_make(rp->ordered, rp->order))
            return false;
    return true;
}

static bool has_order(const struct rp_replicator *rp, enum ft_order kind)
{
    return rp->ordered == kind && rp_is_followed(rp);
}

/* Lanes come by a burst boundary within microseconds, an order wakes those that sleep. One that does not
 * within `limit` ns is broken. False: the node ends, and lanes may not have stopped. */
static bool stop_lanes(struct rp_replicator *rp, uint64_t limit)
{
    uint64_t waited = 0;

    give_order(rp, FT_LANE_WAIT, NULL);
    while (!has_order(rp, FT_LANE_WAIT) && !atomic_load(&rp->stop)) {
        rp_sleep(STEP_NS);
        waited += STEP_NS;
        FT_CHECK(waited < limit, "a lane has not reached a burst boundary for seconds");
    }
    return has_order(rp, FT_LANE_WAIT);
}

/* All lanes are to make a snapshot's cut. */
static void ask_for_cut(struct rp_replicator *rp)
{
    rp_port_off(rp);
    rp->snapshot.cutting = true;
    rp->snapshot.reading = false;
    rp->snapshot.cut++;
    RP_ORDER_ALL(rp, copy_granted, 0);
    RP_ORDER_ALL(rp, peer_version, rp->core.peer.version); /* of the first record behind the cut already */
    RP_ORDER_ALL(rp, cut, rp->snapshot.cut);
}

static void stop_sending(struct rp_replicator *rp)
{
    rp_port_off(rp);
    rp_snapshot_forget(rp);
    rp->sender.on = false;
    RP_ORDER_ALL(rp, logging, false);
}

static void clear_state(struct rp_replicator *rp)
{
    rp_port_off(rp);
    if (!stop_lanes(rp, QUIESCE_NS))
        return;
    stop_sending(rp);
    ft_snapshot_end(rp->config.region);
    ft_checkpoint_end(rp->config.region); /* a checkpoint that was under way */
    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);

        /* What the lane reported of a state that is void. It is quiesced, so the replicator may write its
         * words. */
        FT_REPORT_SET(lane, executed, 0);
        FT_REPORT_SET(lane, recorded, 0);
        FT_REPORT_SET(lane, overrun, false);
        ft_ring_reset(&lane->replay);
        ft_ring_reset(&lane->checkpoint);
        ft_ring_reset(&lane->log);
        ft_ring_reset(&lane->direct);
        FT_REPORT_SET(lane, diverged, false);
        FT_REPORT_SET(lane, round_ns, 0);
        FT_ORDER_SET(lane, steer, false);
    }
    rp_receiver_reset(rp, NULL);
    if (!rp->audit_off)
        ft_audit_suspend(rp->config.region); /* snapshot lines are written from here on */
    rp->audit_off = true;
}

/* ---- status ------------------------------------------------------------------------------------- */

static void publish_status(struct rp_replicator *rp)
{
    rp->shown_at = rp->now;
    ft_seqlock_begin(&rp->shown_seq);
    rp->shown.at = rp->now;
    rp->shown.core = rp->core;
    rp->shown.link_up = rp->link && rp_link_up(rp->link);
    if (rp->link)
        rp->shown.link = *rp_link_stats(rp->link);
    rp->shown.peer_told = rp_has_peer_standing(rp);
    rp->shown.peer_standing = rp->standing.peer;
    rp->shown.lag_packets = rp_lag_packets(rp);
    rp->shown.port = rp_port_state(rp);
    rp->shown.compressed = rp->schedule.compressing.count;
    rp->shown.compressing = rp->schedule.compressing.yes;
    rp->shown.view_behind = rp->writer ? rp_view_writer_behind(rp->writer, rp->now) : 0;
    rp->shown.repairs = rp->repairs_taken;
    rp->shown.refused = rp->core.malformed.count;
    memcpy(rp->shown.last_refused, rp->core.malformed.text, sizeof(rp->shown.last_refused));
    rp->shown.verdicts = rp->verdicts;
    rp->shown.turns = rp->turns;
    rp->shown.snapshot_left = rp->snapshot.reading ? rp->snapshot.left : 0;
    ft_seqlock_end(&rp->shown_seq);
}

void rp_update_status(struct rp_replicator *rp)
{
    if (rp->now - rp->shown_at < SHOW_NS)
        return;
    publish_status(rp);
}

void rp_status(struct rp_replicator *rp, struct rp_status *out)
{
    uint64_t at;

    while (!ft_seqlock_copy(&rp->shown_seq, &at, out, &rp->shown, sizeof(*out)))
        rp_sleep(REREAD_NS); /* the replicator may wait for the processor that this thread has */
}

static void note_time(struct rp_past *past, enum ft_event_name event)
{
    uint64_t now = ft_wall();

    if (event == FT_SAYS_TAKEOVER)
        past->takeover = now;
    else if (event == FT_SAYS_STANDBY_LOST)
        past->loss = now;
    else if (event == FT_SAYS_FENCED)
        past->fence = now;
}

static void report_state(struct rp_replicator *rp, const struct ft_action *a)
{
    note_time(&rp->shown.past, a->event);
    publish_status(rp);
    if (rp->config.state_changed)
        rp->config.state_changed(rp->config.arg, a->event, a->flag, a->send.state, a->view, a->send.text);
}

/* ---- actions ------------------------------------------------------------------------------------ */

static void send_message(struct rp_replicator *rp, const struct ft_message *m)
{
    if (rp->link && rp_link_send(rp->link, m, rp->lanes, NULL) == FT_EFULL)
        rp->stuck = true; /* not even a heartbeat fits: the connection is dropped */
}

/* The rounds were those of a state that the standby gives up. */
static void forget_rounds(struct rp_replicator *rp)
{
    memset(rp->verdicts.round_at, 0, sizeof(rp->verdicts.round_at));
}

/* Members are known on the disk from when their shard has a name. */
static void to_store(struct rp_replicator *rp, const struct ft_action *a)
{
    rp->stores = true;
    rp->to_store = (struct rp_view){.number = a->view};
    if (ft_has_shard(&a->members) && a->members.name[0][0])
        rp->to_store.members = a->members;
}

void rp_report_aim(struct rp_replicator *rp, const char *name)
{
    const struct rp_node *known = rp->link ? rp_link_node(rp->link, name) : NULL;
    struct rp_node peer = {.port = 0};

    snprintf(peer.name, sizeof(peer.name), "%s", name);
    if (rp->config.aimed)
        rp->config.aimed(rp->config.arg, known ? known : &peer);
}

static void carry_out(struct rp_replicator *rp, const struct ft_action *a)
{
    const struct rp_arbiter *arbiter = rp->config.arbiter;

    switch (a->kind) {
    case FT_ACT_SEND:
        send_message(rp, &a->send);
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
        forget_rounds(rp);
        ask_for_cut(rp);
        break;
    case FT_ACT_NO_SNAPSHOT:
        forget_rounds(rp);
        stop_sending(rp);
        break;
    case FT_ACT_VIEW:
        if (rp->config.view)
            rp->config.view(rp->config.arg, a->view);
        to_store(rp, a);
        break;
    case FT_ACT_STORE:
        to_store(rp, a);
        break;
    case FT_ACT_CLEAR:
        clear_state(rp);
        break;
    case FT_ACT_STEER:
        rp->steered_reported = false;
        for (unsigned l = 0; l < rp->lanes; l++)
            FT_REPORT_SET(rp_lane(rp, l), steered, false);
        RP_ORDER_ALL(rp, steer, a->flag);
        break;
    case FT_ACT_ANNOUNCE:
        rp->announced++;
        RP_ORDER_ALL(rp, announce, rp->announced);
        break;
    case FT_ACT_ASK:
        if (arbiter)
            arbiter->ask(arbiter->arg, a->flag ? &a->question : NULL);
        break;
    case FT_ACT_AIM:
        if (rp->link && rp_link_aim(rp->link, a->name) == FT_ENOENT)
            ft_log_event(
                FT_LEVEL_WARNING, FT_SAYS_START,
                "node %s is the other member of view %lu, and the file does not say where it is reached",
                a->name, rp->core.view);
        rp_report_aim(rp, a->name);
        break;
    case FT_ACT_STATE:
        report_state(rp, a);
        break;
    }
}

void rp_carry_out(struct rp_replicator *rp)
{
    for (uint32_t i = 0; i < rp->actions.count; i++)
        carry_out(rp, &rp->actions.list[i]);
    /* The messages of a takeover or a fence must be on their way before the lanes act on it. */
    if (rp->link)
        rp_link_flush(rp->link);
    /* Last: its writer may get this thread's processor as soon as it is woken. */
    if (rp->stores && rp->writer)
        rp_view_writer_give(rp->writer, &rp->to_store, rp->now);
    rp->stores = false;
}

/* ---- the chain ---------------------------------------------------------------------------------- */

uint64_t rp_chain_hash(const char *identity, uint32_t len)
{
    uint64_t hash = XXH3_64bits(identity, len);

    return hash ? hash : 1;
}

/* A primary's lanes change it at the cut of a snapshot, whose lines nobody reads before the cut is known
 * here; or where there is no snapshot. */
void rp_chain_follow(struct rp_replicator *rp)
{
    const struct ft_chain_name *chain = rp->config.chain ? rp->config.chain(rp->config.judge) : NULL;
    struct ft_core_config *core = &rp->core.config;

    if (!chain || (chain->hash == core->chain && chain->identity == core->identity))
        return;
    core->identity = chain->identity;
    core->identity_len = chain->identity_len;
    core->chain = chain->hash;
    rp_snapshot_fit(rp);
}

/* The core has had the lanes stopped: they stop once more, and make the other chain on their way. What does
 * not come to an end there is ended as an NF that hangs (docs/guarantees.md), and has more time than a burst.
 */
bool rp_chain_become(struct rp_replicator *rp, uint64_t hash)
{
    if (!rp->config.become || !rp->config.become(rp->config.judge, hash) || !stop_lanes(rp, UINT64_MAX))
        return false;
    rp_chain_follow(rp);
    return rp->core.config.chain == hash;
}

/* ---- reports ------------------------------------------------------------------------------------ */

static void reached_by_lanes(struct rp_replicator *rp, struct ft_event *event)
{
    bool primary = ft_core_primary(&rp->core);

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);
        uint64_t closed = atomic_load_explicit(primary ? &lane->report.recorded : &lane->report.executed,
                                               memory_order_acquire);

        event->closed[l] = primary ? closed : rp_stored(rp, l);
        event->replayed[l] = closed;
        event->taken[l] = atomic_load_explicit(&lane->replay.tail, memory_order_acquire) +
                          atomic_load_explicit(&lane->checkpoint.tail, memory_order_acquire) +
                          rp->receiver.had[l];
    }
}

/*
 * What was stored counts before anything that may make this node take over: the end of a connection can be
 * read in the same turn as the last records, and lanes may have replayed those by then.
 */
void rp_step(struct rp_replicator *rp, struct ft_event *event)
{
    if ((rp->stored || rp->config.by_port) && !ft_core_primary(&rp->core)) {
        reached_by_lanes(rp, event);
        event->reached = true;
    }
    ft_step(&rp->core, event, &rp->actions);
    rp_carry_out(rp);
}

bool rp_progress(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_LANES, .now = rp->now};
    bool primary = ft_core_primary(&rp->core), moved = rp->stored;

    reached_by_lanes(rp, &event);
    for (unsigned l = 0; l < rp->lanes; l++) {
        moved |= event.taken[l] != rp->core.taken[l] || event.replayed[l] != rp->replayed_reported[l];
        rp->replayed_reported[l] = event.replayed[l];
    }
    rp->stored = false;
    if (moved)
        rp_step(rp, &event);
    return moved && !primary;
}

struct ft_datagram_key rp_peer(const struct rp_replicator *rp)
{
    return (struct ft_datagram_key){.incarnation = rp->core.peer.incarnation,
                                    .secret = {rp->core.peer.secret[0], rp->core.peer.secret[1]}};
}

/* By it lanes know the peer's heartbeats. A key that is half another's makes them refuse one. */
static void note_peer(struct rp_replicator *rp, const struct ft_datagram_key *peer)
{
    rp->heartbeat_from = peer->incarnation;
    rp->heartbeat_sent = 0;
    RP_ORDER_ALL(rp, peer_incarnation, peer->incarnation);
    RP_ORDER_ALL(rp, peer_secret[0], peer->secret[0]);
    RP_ORDER_ALL(rp, peer_secret[1], peer->secret[1]);
    RP_ORDER_ALL(rp, peer_version, rp->core.peer.version);
}

/* An old heartbeat may have been recorded and sent again: what counts is newer than any before it. */
static void report_port_heartbeats(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_PORT_HEARTBEAT, .now = rp->now};
    const struct ft_datagram_key peer = rp_peer(rp);

    if (peer.incarnation != rp->heartbeat_from)
        note_peer(rp, &peer);
    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t heartbeat = FT_REPORT_GET(rp_lane(rp, l), heartbeat_ns), sent;

        if (heartbeat == rp->heartbeat_seen[l])
            continue;
        rp->heartbeat_seen[l] = heartbeat;
        event.view = FT_REPORT_GET(rp_lane(rp, l), heartbeat_view);
        sent = FT_REPORT_GET(rp_lane(rp, l), heartbeat_sent);
        if (FT_REPORT_GET(rp_lane(rp, l), heartbeat_from) != peer.incarnation || sent <= rp->heartbeat_sent)
            continue;
        rp->heartbeat_sent = sent;
        event.came = heartbeat;
        rp_step(rp, &event);
    }
}

/* False while the stream does not account for all: the standby would wait for the rest, and we do nothing
 * more. */
static bool gather_closed(struct rp_replicator *rp, uint64_t closed[])
{
    bool all = true;

    for (unsigned l = 0; l < rp->lanes; l++) {
        closed[l] = FT_REPORT_GET(rp_lane(rp, l), executed);
        all &= FT_REPORT_GET(rp_lane(rp, l), recorded) == closed[l];
    }
    return all;
}

/*
 * A lane can send no delta that the standby has room for: a snapshot takes its place. Until the snapshot is
 * begun, nobody reads what lanes report of the stream before it.
 */
static void report_overrun(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_REQUEST,
                             .now = rp->now,
                             .request = FT_REQUEST_RESYNC,
                             .text = "the next delta is larger than half of pending_mb"};
    bool over = false;

    for (unsigned l = 0; l < rp->lanes; l++)
        over |= FT_REPORT_GET(rp_lane(rp, l), overrun);
    if (!over || !rp->sender.on)
        return;
    rp_step(rp, &event);
    rp->shown.overruns += !rp->sender.on; /* it was not the moment, as in a handover */
}

/* What lanes have waited for the standby. */
static void report_cost(struct rp_replicator *rp)
{
    struct ft_cost cost[FT_LANES_MAX];
    struct ft_event event = {.kind = FT_EV_COST, .now = rp->now, .cost = cost};

    if (!rp->core.config.slow_percent || rp->now - rp->cost_at < RP_COST_NS)
        return;
    rp->cost_at = rp->now;
    for (unsigned l = 0; l < rp->lanes; l++) {
        const struct ft_lane_counters *count = &rp_lane(rp, l)->count;

        cost[l].beside = atomic_load_explicit(&count->beside_ns, memory_order_relaxed);
        for (unsigned w = 0; w < FT_WAITS; w++)
            cost[l].waited[w] = atomic_load_explicit(&count->waited_ns[w], memory_order_relaxed);
    }
    rp_step(rp, &event);
}

/* The cut was asked for, and all lanes made it. */
static bool is_cut(struct rp_replicator *rp)
{
    bool all = rp->snapshot.cutting;

    for (unsigned l = 0; all && l < rp->lanes; l++)
        all = FT_REPORT_GET(rp_lane(rp, l), cut_seen) == rp->snapshot.cut;
    return all;
}

static void primary_reports(struct rp_replicator *rp)
{
    struct ft_event event = {.now = rp->now};
    bool guarded = rp->core.resync == FT_RESYNC_SWITCH && !rp->guarded_reported;

    event.kind = FT_EV_CUT;
    if (is_cut(rp)) {
        rp_chain_follow(rp);
        rp_snapshot_begin(rp, event.closed, event.access);
        rp_step(rp, &event);
    }
    for (unsigned l = 0; guarded && l < rp->lanes; l++) {
        guarded = FT_PLANTED("gate-unseen") || FT_REPORT_GET(rp_lane(rp, l), gate_seen) == rp->gate;
        event.closed[l] = FT_REPORT_GET(rp_lane(rp, l), hold_from);
    }
    if (guarded) {
        rp->guarded_reported = true;
        event.kind = FT_EV_GUARDED;
        rp_step(rp, &event);
    }
    report_overrun(rp);
    report_cost(rp);
    if (has_order(rp, FT_LANE_DRAIN) && !rp->drained_reported && rp->core.hand == FT_HAND_DRAIN &&
        gather_closed(rp, event.closed)) {
        rp->drained_reported = true;
        event.kind = FT_EV_DRAINED;
        rp_step(rp, &event);
    }
}

static void standby_reports(struct rp_replicator *rp)
{
    struct ft_event event = {.now = rp->now};
    bool steered = !rp->steered_reported, diverged = false;

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);

        steered &= FT_REPORT_GET(lane, steered);
        diverged |= FT_REPORT_GET(lane, diverged);
    }
    rp_send_verdicts(rp);
    if (steered) {
        rp->steered_reported = true;
        event.kind = FT_EV_STEERED;
        rp_step(rp, &event);
    }
    if (diverged && !rp->diverged_reported) {
        event.kind = FT_EV_DIVERGED;
        event.text = "replay did not reproduce the recording";
        rp_step(rp, &event);
    }
    rp->diverged_reported = diverged;
}

void rp_report_stored(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_STORED, .now = rp->now};

    event.view = rp->writer ? rp_view_writer_stored(rp->writer) : rp->core.stored;
    if (event.view != rp->core.stored)
        rp_step(rp, &event);
}

static void receive_decision(struct rp_replicator *rp)
{
    const struct rp_arbiter *arbiter = rp->config.arbiter;
    struct ft_decision kept = {.any = false};
    struct ft_event event = {.kind = FT_EV_ANSWER, .now = rp->now, .decision = &kept};
    bool serves = rp->core.state == FT_SOLO || rp->core.state == FT_PROTECTED;

    if (!arbiter)
        return;
    arbiter->serves(arbiter->arg, serves ? rp->core.view : 0, &rp->core.members);
    if (arbiter->answer(arbiter->arg, &event.era, &event.answer, &kept))
        rp_step(rp, &event);
}

void rp_reports(struct rp_replicator *rp)
{
    rp_report_stored(rp);
    report_port_heartbeats(rp);
    receive_decision(rp);
    if (ft_core_primary(&rp->core))
        primary_reports(rp);
    else
        standby_reports(rp);
}
