/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's life: follows its orders from one burst boundary to the next. What it does in each is in
 * lane/live.c (with lane/inputs.c, lane/outputs.c) and lane/replay.c. Everything here runs on the lane's own
 * thread.
 */
#include "node/lane/lane.h"
#include "node/base/clock.h"
#include "ftcore/region/audit.h"
#include "ftcore/base/plant.h"
#include "nflib/chain/chain.h"
#include "node/lane/beat.h"
#include "node/lane/priority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define REPLAYED_BYTES (4u << 20)
#define STEER_NS       1000000u /* between two claims while steering */
#define COPY_TURN      256u     /* pending lines copied between two bursts: 16 KiB, some microseconds */

static int make_chain(struct nd_lane *lane, struct ft_fault *fault)
{
    int error;

    ft_audit_suspend(lane->region);
    error =
        nf_chain_make(&lane->chain, &lane->config->chain, lane->region, lane->index, lane->setup.seed, fault);
    if (error == 0) {
        nf_chain_share(lane->chain, lane->group->published);
        nf_chain_sections(lane->chain)->off = &lane->group->aborted;
    }
    ft_audit_resume(lane->region);
    return error;
}

int nd_lane_make(struct nd_lane *lane, struct ft_fault *fault)
{
    /* Half the buffers stay for the ports, or a full hold would starve reception for good. */
    uint32_t hold = ft_hold_fit(lane->config->protect.hold_packets, lane->io->buffers / 2);

    if (hold < NF_BURST_MAX + NF_EMIT_MAX)
        return ft_fail(fault, FT_EINVAL, "lane %u: %u packet buffers are too few to hold a burst's outputs",
                       lane->index, lane->io->buffers);
    lane->whole_capture =
        lane->config->protect.capture == ND_CAPTURE_FULL || nf_chain_reads_payload(&lane->config->chain);
    lane->by_seq = lane->io->input && lane->config->protect.capture == ND_CAPTURE_AUTO;
    lane->burst.frames = lane->by_seq ? aligned_alloc(64, (size_t)NF_BURST_MAX * lane->io->frame_max) : NULL;
    if (lane->by_seq && !lane->burst.frames)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory for a burst's frames", lane->index);
    lane->capture.lane = lane->shared;
    nd_lane_cut_init(lane);
    if (ft_hold_init(&lane->hold, hold) != 0 || nd_waiting_make(&lane->waiting, lane->io->buffers) != 0 ||
        lg_replayed_init(&lane->replayed,
                         lane->setup.replayed_bytes ? lane->setup.replayed_bytes : REPLAYED_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory for %u held packets", lane->index, hold);
    return make_chain(lane, fault);
}

void nd_lane_free(struct nd_lane *lane)
{
    nf_chain_free(lane->chain);
    ft_hold_free(&lane->hold);
    nd_waiting_free(&lane->waiting);
    lg_replayed_free(&lane->replayed);
    free(lane->burst.frames);
}

/* ---- orders ------------------------------------------------------------------------------------ */

static bool barrier(struct nd_lane *lane, void (*work)(struct nd_group *group))
{
    return nd_group_barrier(lane->group, work, &lane->shared->orders.order, lane->seen.order,
                            lane->setup.stop);
}

static void report(struct nd_lane *lane)
{
    atomic_store_explicit(&lane->shared->report.executed, nf_chain_state(lane->chain)->burst,
                          memory_order_release);
    atomic_store_explicit(&lane->shared->report.recorded, nf_chain_state(lane->chain)->burst,
                          memory_order_release);
}

static void reached(struct nd_lane *lane)
{
    atomic_store_explicit(&lane->shared->report.done, lane->seen.order, memory_order_release);
}

/* Nobody has any state: make every lane's anew, in order, whatever a snapshot may have left in the region. */
static void make_fresh(struct nd_group *group)
{
    struct ft_region *region = group->lane[0].region;
    struct ft_fault fault;

    ft_audit_suspend(region);
    for (unsigned l = 0; l < group->lanes; l++)
        nf_chain_free(group->lane[l].chain);
    ft_region_wipe(region);
    ft_audit_resume(region);
    for (unsigned l = 0; l < group->lanes; l++) {
        FT_CHECK(make_chain(&group->lane[l], &fault) == 0, "the chain could be made before: %s", fault.text);
        group->lane[l].time_offset = 0;
        if (!FT_PLANTED("old-tail"))
            lg_replayed_clear(&group->lane[l].replayed); /* of a state that was dropped */
        atomic_store_explicit(&group->published[l].access, 0, memory_order_relaxed);
    }
}

static void discard(struct ft_ring *ring)
{
    uint64_t there;

    while (ft_ring_peek(ring, &there))
        ft_ring_advance(ring, there);
    ft_ring_consume(ring);
}

/* Takeover: what is left of the closed set is replayed; chain time goes on from where it stood (hazard 1). */
static void take_over(struct nd_lane *lane)
{
    uint64_t upto = atomic_load_explicit(&lane->shared->orders.closed_to, memory_order_acquire);

    while (nd_lane_behind(lane, upto) && nd_lane_replay(lane, upto))
        ;
    FT_CHECK(nf_chain_state(lane->chain)->burst == upto, "replay ends at burst %lu of %lu",
             nf_chain_state(lane->chain)->burst, upto);
    discard(&lane->shared->replay); /* outside the closed set: nothing of it was released */
    discard(&lane->shared->checkpoint);
    if (FT_PLANTED("reuse-seq")) {
        const uint64_t *seq = &nf_chain_state(lane->chain)->seq;

        *(uint64_t *)ft_edit(lane->region, seq, sizeof(*seq)) -= 1;
    }
    lane->now = nd_now();
    lane->time_offset = nf_chain_state(lane->chain)->time - lane->now;
    atomic_store_explicit(&lane->shared->count.replay_done_ns, lane->now, memory_order_relaxed);
}

/* All lanes have replayed. What they do next goes on from there, in a new file soon. */
static void end_replay(struct nd_group *group)
{
    nd_lane_rotate(group);
}

/*
 * False: the order was taken back while lanes met. A lane that is live takes locks, one that replays does
 * not: none may go live before all have replayed.
 */
static bool go_live(struct nd_lane *lane, enum ft_order before)
{
    atomic_store_explicit(&lane->shared->count.first_release_ns, 0, memory_order_relaxed);
    if (lane->doing == FT_LANE_FRESH && !barrier(lane, make_fresh))
        return false;
    if (before == FT_LANE_REPLAY) {
        take_over(lane);
        if (!barrier(lane, end_replay)) {
            lane->doing = before;
            return false;
        }
    }
    report(lane);
    lane->doing = FT_LANE_LIVE;
    if (before == FT_LANE_REPLAY || before == FT_LANE_WAIT) {
        nd_lane_announce(lane);
        nd_lane_emit_tail(lane);
    }
    lane->now = nd_now();
    atomic_store_explicit(&lane->shared->count.live_ns, lane->now, memory_order_relaxed);
    return true;
}

/* Another lane may be waiting for what this one was to replay; all of the closed set can be. */
static void finish_replay(struct nd_lane *lane)
{
    uint64_t upto = atomic_load_explicit(&lane->shared->orders.closed_to, memory_order_acquire);

    while (lane->group->lanes > 1 && !lane->config->protect.stores && nd_lane_behind(lane, upto) &&
           nd_lane_replay(lane, upto))
        ;
}

/* From a snapshot: others may depend on what it already holds. */
/* What was said of the snapshot, and what is in it. */
static void check_snapshot(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    uint64_t said = atomic_load_explicit(&lane->shared->orders.snapshot_burst, memory_order_relaxed);

    if (lane->doing == FT_LANE_REPLAY && state->burst != said)
        nd_lane_diverged(lane, state->burst, state->seq, "last burst of the snapshot", said, state->burst);
}

static void begin_replay(struct nd_lane *lane)
{
    atomic_store_explicit(&lane->group->published[lane->index].access,
                          nf_chain_state(lane->chain)->access - 1, memory_order_release);
    lg_replayed_clear(&lane->replayed);
    lane->apply.cut = 0;
    lane->apply.last = false;
    if (lane->index == 0)
        atomic_store_explicit(&lane->group->applied, 0, memory_order_release);
    if (lane->setup.recorder)
        lg_recorder_stop(lane->setup.recorder, lane->index);
    if (lane->doing == FT_LANE_REPLAY)
        nd_lane_record(lane); /* one lane: from the first record on, if any is to come */
    check_snapshot(lane);
    report(lane);
}

/*
 * We stopped and slept, and an order came and went (a WAIT does not: the replicator waits for it). If it
 * was to replay, others may have begun, and wait for what is ours.
 */
static bool overslept(const struct nd_lane *lane, uint64_t order)
{
    return !FT_PLANTED("overslept") && lane->doing == FT_LANE_WAIT && lane->group->lanes > 1 &&
           lane->seen.order != FT_ALL && ft_order_serial(order) > ft_order_serial(lane->seen.order) + 1;
}

static void follow(struct nd_lane *lane, uint64_t order)
{
    enum ft_order before = lane->doing;
    bool missed = overslept(lane, order);

    bool off = nd_lane_replay_aborted(lane);

    nd_lane_leave_stop_point(lane);
    lane->seen.order = order;
    lane->doing = ft_order_kind(order);
    lane->timers.steer_at = 0;
    switch (lane->doing) {
    case FT_LANE_WAIT:
    case FT_LANE_FENCED:
        if (missed)
            begin_replay(lane);
        if (before == FT_LANE_REPLAY && off)
            nd_lane_abort_replay(lane); /* for those who are at this order already, too */
        else if (missed || before == FT_LANE_REPLAY)
            finish_replay(lane);
        nd_lane_drop_held(lane);
        if (lane->setup.recorder)
            lg_recorder_stop(lane->setup.recorder, lane->index);
        break;
    case FT_LANE_REPLAY:
        begin_replay(lane);
        break;
    case FT_LANE_LIVE:
        /*
         * REPLAY came and went while we slept: with nothing to replay yet the standby is READY without us,
         * and what it has acknowledged since is ours to replay now.
         */
        if (before == FT_LANE_WAIT) {
            begin_replay(lane);
            before = FT_LANE_REPLAY;
        }
        if (!go_live(lane, before))
            return;
        break;
    case FT_LANE_FRESH:
        if (!go_live(lane, before))
            return;
        break;
    case FT_LANE_ASIDE:
        break;
    case FT_LANE_DRAIN: /* reached when the ports have been empty for a while */
        lane->timers.quiet_since = lane->now;
        return;
    }
    reached(lane);
}

/* ---- between bursts ---------------------------------------------------------------------------- */

/* The gate changed between SOLO and guarded: what left under the old one is at most what is closed now. */
static void look_at_gate(struct nd_lane *lane)
{
    uint64_t gate = atomic_load_explicit(&lane->shared->orders.gate, memory_order_acquire);

    if (gate == lane->seen.gate)
        return;
    lane->seen.gate = gate;
    atomic_store_explicit(&lane->shared->report.hold_from, nf_chain_state(lane->chain)->burst,
                          memory_order_relaxed);
    atomic_store_explicit(&lane->shared->report.gate_seen, gate, memory_order_release);
}

/* The cut: all lanes are quiesced between bursts (design §1). What is asked for newest counts, for all. */
static void make_cut(struct nd_group *group)
{
    struct ft_region *region = group->lane[0].region;
    uint64_t cut = 0, snapshot_release;
    bool begun;

    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = atomic_load_explicit(&group->lane[l].shared->orders.cut, memory_order_acquire);

        cut = asked > cut ? asked : cut;
    }
    snapshot_release =
        atomic_load_explicit(&group->lane[0].shared->orders.snapshot_release, memory_order_acquire);
    nd_lane_forget_digests(group);
    if (group->lane[0].setup.recorder)
        lg_recorder_yield(group->lane[0].setup.recorder); /* a standby matters more than a recording */
    ft_snapshot_end(region);
    begun = snapshot_release < cut &&
            ft_snapshot_begin(region) ==
                0; /* else: taken back, or no memory, which the resync's deadline will tell */
    for (unsigned l = 0; l < group->lanes; l++) {
        struct nd_lane *lane = &group->lane[l];

        lane->seen.cut = cut;
        lane->snapshot_copied = 0;
        if (!begun)
            continue;
        atomic_store_explicit(&lane->shared->orders.logging, true, memory_order_relaxed);
        atomic_store_explicit(&lane->shared->report.cut_burst, nf_chain_state(lane->chain)->burst,
                              memory_order_relaxed);
        atomic_store_explicit(&lane->shared->report.cut_access, nf_chain_state(lane->chain)->access - 1,
                              memory_order_relaxed);
        atomic_store_explicit(&lane->shared->report.cut_at,
                              atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&lane->shared->report.cut_seen, cut, memory_order_release);
    }
    if (begun)
        nd_stream_begin(group);
}

static bool cut_asked(const struct nd_lane *lane)
{
    /* More than, not unlike: a cut that others met for first may be asked of this lane a moment later. */
    return atomic_load_explicit(&lane->shared->orders.cut, memory_order_acquire) > lane->seen.cut;
}

/*
 * What lanes that are live meet for, whichever of it they came for: all of it that is wanted is done. A
 * snapshot comes first: it makes a delta of the old stream needless.
 */
static void nothing(struct nd_group *group)
{
    bool cut = false, digest = false;

    for (unsigned l = 0; l < group->lanes; l++) {
        cut |= cut_asked(&group->lane[l]);
        digest |= nd_lane_digest_due(&group->lane[l]);
    }
    if (cut)
        make_cut(group);
    else if (nd_stream_wanted(group))
        nd_stream_cut(group);
    if (digest && !nd_group_owes_digest(group))
        nd_group_take_digest(group);
    nd_lane_begin_live_snapshot(group);
}

bool nd_lane_quiesce(struct nd_lane *lane)
{
    return barrier(lane, nothing);
}

static void look_at_snapshot(struct nd_lane *lane)
{
    struct ft_lane *shared = lane->shared;
    uint64_t snapshot_release = atomic_load_explicit(&shared->orders.snapshot_release, memory_order_acquire);

    if (snapshot_release != lane->seen.snapshot_release) {
        lane->seen.snapshot_release = snapshot_release;
        if (lane->index == 0 && snapshot_release >= lane->seen.cut &&
            !(lane->setup.recorder && lg_recorder_owes(lane->setup.recorder)))
            ft_snapshot_end(lane->region);
    }
    if (cut_asked(lane))
        nd_lane_quiesce(lane);
}

static bool copy_pending(struct nd_lane *lane)
{
    uint64_t granted = atomic_load_explicit(&lane->shared->orders.copy_granted, memory_order_relaxed);
    uint64_t left = granted > lane->snapshot_copied ? granted - lane->snapshot_copied : 0, n;

    if (!(atomic_load_explicit(&lane->region->tracking, memory_order_relaxed) & FT_TRACK_SNAPSHOT) ||
        left == 0)
        return false;
    n = ft_snapshot_copy(lane->region, lane->index, left < COPY_TURN ? left : COPY_TURN);
    lane->snapshot_copied += n;
    return n > 0;
}

static void look_at_announce(struct nd_lane *lane)
{
    uint64_t announce = atomic_load_explicit(&lane->shared->orders.announce, memory_order_acquire);

    if (announce != lane->seen.announce) {
        lane->seen.announce = announce;
        nd_lane_announce(lane);
    }
    /* Again a little later: a switch or a neighbour may have missed it. */
    for (unsigned i = 0; i < 3; i++)
        if (lane->timers.announce_at[i] && lane->now >= lane->timers.announce_at[i]) {
            uint64_t later[3];

            lane->timers.announce_at[i] = 0;
            memcpy(later, lane->timers.announce_at, sizeof(later));
            nd_lane_announce(lane);
            memcpy(lane->timers.announce_at, later, sizeof(later));
        }
}

static void beat(struct nd_lane *lane)
{
    uint8_t frame[ND_BEAT_LEN];

    if (lane->index != 0 || lane->now < lane->timers.beat_at || !lane->config->protect.pair)
        return;
    lane->timers.beat_at = lane->now + lane->config->timing.heartbeat_ms * 1000000ull;
    for (unsigned port = 0; port < lane->io->ports; port++) {
        nd_beat_write(frame, lane->io->own[port], (uint32_t)(lane->setup.incarnation >> 32),
                      atomic_load(lane->setup.view));
        nd_lane_send_own(lane, port, frame, sizeof(frame));
    }
}

/*
 * Standby of a planned handover: draw the frames to our ports, and leave them there until we are primary.
 * Again and again: what the primary had on its way from the virtual MAC makes bridges learn its side anew.
 */
static bool steering(struct nd_lane *lane)
{
    if (!atomic_load_explicit(&lane->shared->orders.steer, memory_order_acquire))
        return false;
    if (lane->now >= lane->timers.steer_at) {
        nd_lane_announce(lane);
        memset(lane->timers.announce_at, 0, sizeof(lane->timers.announce_at));
        lane->timers.steer_at = lane->now + STEER_NS;
        atomic_store_explicit(&lane->shared->report.steered, true, memory_order_release);
    }
    return true;
}

static bool turn(struct nd_lane *lane)
{
    uint64_t order = atomic_load_explicit(&lane->shared->orders.order, memory_order_acquire);
    bool worked = false;

    if (order != lane->seen.order)
        follow(lane, order);
    look_at_gate(lane);
    switch (lane->doing) {
    case FT_LANE_LIVE:
    case FT_LANE_ASIDE:
    case FT_LANE_DRAIN:
        look_at_snapshot(lane);
        if (nd_lane_digest_due(lane))
            nd_lane_quiesce(lane);
        look_at_announce(lane);
        worked = nd_lane_live(lane) | copy_pending(lane) | nd_lane_record(lane);
        break;
    case FT_LANE_REPLAY:
        worked =
            nd_lane_replay(lane, atomic_load_explicit(&lane->shared->orders.closed_to, memory_order_acquire));
        if (!lane->apply.last) /* its inputs are not known: nothing to begin a recording from */
            worked |= nd_lane_record(lane);
        if (!steering(lane))
            nd_lane_listen(lane);
        break;
    default:
        nd_lane_listen(lane);
    }
    nd_lane_answer(lane);
    return worked;
}

/* Outputs of the turn before had left by now. */
static void note_sent(struct nd_lane *lane)
{
    if (!lane->turn.sent)
        return;
    lane->turn.sent = false;
    atomic_store_explicit(&lane->shared->count.last_sent_ns, lane->now, memory_order_relaxed);
}

int nd_lane_run(void *arg)
{
    struct nd_lane *lane = arg;

    prctl(PR_SET_TIMERSLACK, 1000ul);
    /* Before ordinary work, where permitted; a lane with a core to itself does not notice. */
    if (lane->setup.urgent)
        nd_priority_raise();
    if (lane->setup.guardian)
        nd_guardian_hold(lane->setup.guardian, lane->index);
    lane->seen.order = FT_ALL; /* unlike any order, so that the first one is followed */
    while (!atomic_load_explicit(lane->setup.stop, memory_order_relaxed)) {
        lane->now = nd_now();
        note_sent(lane);
        beat(lane);
        nd_lane_wait(lane, turn(lane));
    }
    nd_lane_leave_stop_point(lane);
    uint64_t order = atomic_load_explicit(&lane->shared->orders.order, memory_order_acquire);

    if (lane->doing == FT_LANE_WAIT && ft_order_kind(order) == FT_LANE_REPLAY) {
        begin_replay(lane);
        lane->doing = FT_LANE_REPLAY;
    }
    if (lane->doing == FT_LANE_REPLAY) /* others may be waiting for us */
        finish_replay(lane);
    nd_lane_drop_held(lane);
    return 0;
}
