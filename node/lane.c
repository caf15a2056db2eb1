/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's life: follows its orders from one burst boundary to the next. What it does in each is in
 * lane_live.c and lane_replay.c. Everything here runs on the lane's own thread.
 */
#include "node/lane.h"
#include "ftcore/audit.h"
#include "ftcore/plant.h"
#include "nflib/chain.h"
#include "node/beat.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define KEPT_BYTES (4u << 20)
#define COPY_TURN  256u /* owed lines copied between two bursts: 16 KiB, some microseconds */

static uint64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); /* no system call: the kernel maps the clock into every process */
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int make_chain(struct nd_lane *lane, struct ft_fault *fault)
{
    int error;

    ft_audit_suspend(lane->region);
    error = nf_chain_make(&lane->chain, &lane->config->chain, lane->region, lane->index, lane->seed, fault);
    ft_audit_resume(lane->region);
    return error;
}

int nd_lane_make(struct nd_lane *lane, struct ft_fault *fault)
{
    uint32_t hold = lane->config->protect.hold_packets;

    /* Half the buffers stay for the ports, or a full hold would starve reception for good. */
    if (hold > lane->io->buffers / 2)
        hold = lane->io->buffers / 2;
    lane->whole_capture =
        lane->config->protect.capture == ND_CAPTURE_FULL || nf_chain_reads_payload(&lane->config->chain);
    lane->capture.lane = lane->shared;
    if (ft_hold_init(&lane->hold, hold) != 0 ||
        lg_kept_init(&lane->kept, lane->kept_bytes ? lane->kept_bytes : KEPT_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory for %u held packets", lane->index, hold);
    return make_chain(lane, fault);
}

void nd_lane_free(struct nd_lane *lane)
{
    nf_chain_free(lane->chain);
    ft_hold_free(&lane->hold);
    lg_kept_free(&lane->kept);
}

/* ---- orders ------------------------------------------------------------------------------------ */

static void report(struct nd_lane *lane)
{
    atomic_store_explicit(&lane->shared->closed, nf_chain_state(lane->chain)->burst, memory_order_release);
}

static void reached(struct nd_lane *lane)
{
    atomic_store_explicit(&lane->shared->done, lane->order, memory_order_release);
}

/* Nobody has any state: make the chain's anew, whatever a base may have left in the region. */
static void make_fresh(struct nd_lane *lane)
{
    struct ft_fault fault;

    ft_audit_suspend(lane->region);
    nf_chain_free(lane->chain);
    ft_region_wipe(lane->region);
    ft_audit_resume(lane->region);
    FT_CHECK(make_chain(lane, &fault) == 0, "the chain could be made before: %s", fault.text);
    lane->time_offset = 0;
}

/* Takeover: what is left of the closed set is replayed; chain time goes on from where it stood (hazard 1). */
static void take_over(struct nd_lane *lane)
{
    uint64_t upto = atomic_load_explicit(&lane->shared->closed_to, memory_order_acquire), there;

    while (nf_chain_state(lane->chain)->burst < upto && nd_lane_replay(lane, upto))
        ;
    FT_CHECK(nf_chain_state(lane->chain)->burst == upto, "replay ends at burst %lu of %lu",
             nf_chain_state(lane->chain)->burst, upto);
    while (
        ft_ring_peek(&lane->shared->replay, &there)) /* outside the closed set: nothing of it was released */
        ft_ring_advance(&lane->shared->replay, there);
    ft_ring_consume(&lane->shared->replay);
    if (FT_PLANTED("reuse-clock")) {
        const uint64_t *clock = &nf_chain_state(lane->chain)->clock;

        *(uint64_t *)ft_edit(lane->region, clock, sizeof(*clock)) -= 1;
    }
    lane->now = monotonic();
    lane->time_offset = nf_chain_state(lane->chain)->time - lane->now;
    atomic_store_explicit(&lane->shared->count.replay_done_ns, lane->now, memory_order_relaxed);
}

static void go_live(struct nd_lane *lane, enum ft_order before)
{
    atomic_store_explicit(&lane->shared->count.first_release_ns, 0, memory_order_relaxed);
    if (lane->doing == FT_LANE_FRESH)
        make_fresh(lane);
    else if (before == FT_LANE_REPLAY)
        take_over(lane);
    report(lane);
    lane->doing = FT_LANE_LIVE;
    if (before == FT_LANE_REPLAY || before == FT_LANE_WAIT) {
        nd_lane_announce(lane);
        nd_lane_emit_tail(lane);
    }
    lane->now = monotonic();
    atomic_store_explicit(&lane->shared->count.live_ns, lane->now, memory_order_relaxed);
}

static void follow(struct nd_lane *lane, uint64_t order)
{
    enum ft_order before = lane->doing;

    lane->order = order;
    lane->doing = ft_order_kind(order);
    lane->draining = lane->doing == FT_LANE_DRAIN;
    switch (lane->doing) {
    case FT_LANE_WAIT:
    case FT_LANE_FENCED:
        nd_lane_drop_held(lane);
        break;
    case FT_LANE_REPLAY:
        lg_kept_clear(&lane->kept);
        report(lane);
        break;
    case FT_LANE_LIVE:
        /*
         * REPLAY came and went while we slept: with nothing to replay yet the standby is READY without us,
         * and what it has acknowledged since is ours to replay now.
         */
        if (before == FT_LANE_WAIT) {
            lg_kept_clear(&lane->kept);
            before = FT_LANE_REPLAY;
        }
        go_live(lane, before);
        break;
    case FT_LANE_FRESH:
        go_live(lane, before);
        break;
    case FT_LANE_DRAIN: /* reached when the ports have been empty for a while */
        lane->quiet_since = lane->now;
        return;
    }
    reached(lane);
}

/* ---- between bursts ---------------------------------------------------------------------------- */

/* The gate changed between SOLO and guarded: what left under the old one is at most what is closed now. */
static void look_at_gate(struct nd_lane *lane)
{
    uint64_t gate = atomic_load_explicit(&lane->shared->gate, memory_order_acquire);

    if (gate == lane->gate)
        return;
    lane->gate = gate;
    atomic_store_explicit(&lane->shared->hold_from, nf_chain_state(lane->chain)->burst, memory_order_relaxed);
    atomic_store_explicit(&lane->shared->gate_seen, gate, memory_order_release);
}

static void look_at_base(struct nd_lane *lane)
{
    struct ft_lane *shared = lane->shared;
    uint64_t cut = atomic_load_explicit(&shared->cut, memory_order_acquire);
    uint64_t uncut = atomic_load_explicit(&shared->uncut, memory_order_acquire);

    if (uncut != lane->uncut) {
        lane->uncut = uncut;
        ft_owe_end(lane->region);
    }
    if (cut == lane->cut)
        return;
    lane->cut = cut;
    if (uncut >= cut) /* taken back before we saw it */
        return;
    ft_owe_end(lane->region);
    if (ft_owe_begin(lane->region) != 0)
        return; /* no memory for the copies; the resync's deadline will tell */
    atomic_store_explicit(&shared->logging, true, memory_order_relaxed);
    atomic_store_explicit(&shared->cut_burst, nf_chain_state(lane->chain)->burst, memory_order_relaxed);
    atomic_store_explicit(&shared->cut_seen, cut, memory_order_release);
}

static bool copy_owed(struct nd_lane *lane)
{
    uint32_t budget = atomic_load_explicit(&lane->shared->copy_budget, memory_order_relaxed);
    uint64_t n;

    if (!(atomic_load_explicit(&lane->region->tracking, memory_order_relaxed) & FT_TRACK_OWED) || budget == 0)
        return false;
    n = ft_owe_copy(lane->region, lane->index, budget < COPY_TURN ? budget : COPY_TURN);
    /* The replicator may refill in between; then a few lines come early. */
    atomic_fetch_sub_explicit(&lane->shared->copy_budget, n < budget ? (uint32_t)n : budget,
                              memory_order_relaxed);
    return n > 0;
}

static void look_at_announce(struct nd_lane *lane)
{
    uint64_t announce = atomic_load_explicit(&lane->shared->announce, memory_order_acquire);

    if (announce != lane->announce) {
        lane->announce = announce;
        nd_lane_announce(lane);
    }
    /* Again a little later: a switch or a neighbour may have missed it. */
    for (unsigned i = 0; i < 3; i++)
        if (lane->announce_at[i] && lane->now >= lane->announce_at[i]) {
            uint64_t later[3];

            lane->announce_at[i] = 0;
            memcpy(later, lane->announce_at, sizeof(later));
            nd_lane_announce(lane);
            memcpy(lane->announce_at, later, sizeof(later));
        }
}

static void beat(struct nd_lane *lane)
{
    uint8_t frame[ND_BEAT_LEN];

    if (lane->index != 0 || lane->now < lane->beat_at)
        return;
    lane->beat_at = lane->now + lane->config->timing.heartbeat_ms * 1000000ull;
    for (unsigned port = 0; port < lane->io->ports; port++) {
        nd_beat_write(frame, lane->io->own[port], lane->incarnation, atomic_load(lane->view));
        nd_lane_send_own(lane, port, frame, sizeof(frame));
    }
}

/* Standby of a planned handover: draw the frames to our ports, and leave them there until we are primary. */
static bool steering(struct nd_lane *lane)
{
    if (!atomic_load_explicit(&lane->shared->steer, memory_order_acquire))
        return false;
    if (!atomic_load_explicit(&lane->shared->steered, memory_order_relaxed)) {
        nd_lane_announce(lane);
        memset(lane->announce_at, 0, sizeof(lane->announce_at));
        atomic_store_explicit(&lane->shared->steered, true, memory_order_release);
    }
    return true;
}

static bool turn(struct nd_lane *lane)
{
    uint64_t order = atomic_load_explicit(&lane->shared->order, memory_order_acquire);
    bool worked = false;

    if (order != lane->order)
        follow(lane, order);
    look_at_gate(lane);
    switch (lane->doing) {
    case FT_LANE_LIVE:
    case FT_LANE_DRAIN:
        look_at_base(lane);
        look_at_announce(lane);
        worked = nd_lane_live(lane) | copy_owed(lane);
        break;
    case FT_LANE_REPLAY:
        worked = nd_lane_replay(lane, atomic_load_explicit(&lane->shared->closed_to, memory_order_acquire));
        if (!steering(lane))
            nd_lane_listen(lane);
        break;
    default:
        nd_lane_listen(lane);
    }
    nd_lane_answer(lane);
    return worked;
}

int nd_lane_run(void *arg)
{
    struct nd_lane *lane = arg;

    prctl(PR_SET_TIMERSLACK, 1000ul);
    if (lane->guardian)
        nd_guardian_hold(lane->guardian, lane->index);
    lane->order = FT_ALL; /* unlike any order, so that the first one is followed */
    while (!atomic_load_explicit(lane->stop, memory_order_relaxed)) {
        lane->now = monotonic();
        beat(lane);
        nd_lane_wait(lane, turn(lane));
    }
    nd_lane_drop_held(lane);
    return 0;
}
