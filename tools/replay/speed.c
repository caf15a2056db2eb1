/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast replay is beside live work (replay --speed): the CPU time that a lane takes for a packet, live
 * with a log segment, and in replay of the records that it made. One real lane on one thread, in a process of
 * its own, over the bursts of the tape; ports are memory, and what a replicator would do is not in it:
 * neither the sending of records nor their decoding. Frames are put in place before they are timed, as a port
 * does.
 */
#include "tools/replay/replay.h"
#include "tools/pair/tape.h"
#include "tools/pair/child.h"
#include "node/base/clock.h"
#include "tools/pair/columns.h"
#include "tools/pair/member.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK   64u /* bursts between two readings of the CPU's clock */
#define BUFFERS 4096u
#define RING    (8u << 20)

/* What nd_speed_measure fills in before the fork, and the measuring process's own. */
static struct {
    const struct nd_tape *tape;
    struct nd_config config;
    struct ft_lane_shared shared;
    struct nd_lanes lanes; /* one */
    struct nd_io io;

    uint8_t *pool; /* BUFFERS frames */
    uint32_t frame_max;
    void *free[BUFFERS];
    uint32_t frees;
    void *ready[CHUNK * NF_BURST_MAX]; /* inputs of the chunk, in place */
    uint64_t first_input, upto; /* of the tape: first input of the chunk; bursts given out up to here */

    uint8_t *log; /* records, one behind the other */
    uint64_t log_bytes, log_room;
} s;

/* ---- ports ------------------------------------------------------------------------------------- */

static void io_drop(void *ctx, void *owner)
{
    (void)ctx;
    s.free[s.frees++] = owner;
}

static bool io_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                     uint64_t *time)
{
    const struct nd_tape_burst *b = &s.tape->bursts[last];

    (void)ctx, (void)lane;
    if (last >= s.upto)
        return false;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct nd_tape_input *in = &s.tape->inputs[b->first + i];
        void *frame = s.ready[b->first + i - s.first_input];

        frames[i] =
            (struct nd_frame){.data = frame, .len = in->wire, .port = in->side == NF_OUTSIDE, .owner = frame};
    }
    *n = b->n;
    *time = b->time;
    return true;
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)lane, (void)port;
    for (uint32_t i = 0; i < n; i++)
        io_drop(ctx, held[i].packet);
    return n;
}

static void *io_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    (void)ctx, (void)lane;
    if (s.frees == 0 || len > s.frame_max)
        return NULL;
    return memcpy(s.free[--s.frees], frame, len);
}

static uint8_t *io_data(void *owner)
{
    return owner;
}

/* ---- the lane ---------------------------------------------------------------------------------- */

/* A standby's memory for outputs is touched for the first time once in its life: not a matter of its speed.
 */
static void touch_replayed(struct nd_lane *lane)
{
    struct lg_output output = {.len = 0};

    while (lane->replayed.forgotten == 0)
        lg_replayed_put(&lane->replayed, &output, NULL);
    lg_replayed_clear(&lane->replayed);
}

/* From the beginning, the first time or again, in this role. */
static int start_lane(enum ft_order doing, struct ft_fault *fault)
{
    int error;

    if (s.lanes.lane[0].chain)
        nd_lane_free(&s.lanes.lane[0]);
    ft_region_wipe(s.lanes.region);
    ft_ring_reset(&s.shared.log);
    ft_ring_reset(&s.shared.replay);
    s.lanes.doing = doing;
    error = nd_lanes_make(&s.lanes, fault);
    s.lanes.group.stream.kind = ND_STREAM_RECORDS;
    if (!error)
        touch_replayed(&s.lanes.lane[0]);
    return error;
}

static int open_all(struct ft_fault *fault)
{
    s.config.protect.asked = ND_MODE_LOG;
    s.config.protect.standby = ND_STANDBY_HOT;
    (void)nd_config_decide(&s.config.protect, &s.config.chain, NULL);
    s.config.protect.audit = false;
    s.frame_max =
        ((s.tape->longest > NF_EMIT_LEN ? s.tape->longest : NF_EMIT_LEN) + NF_HEADROOM + 63u) & ~63u;
    s.pool = malloc((size_t)BUFFERS * s.frame_max);
    if (!s.pool || ft_lane_init(&s.shared, RING, RING) != 0)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u frames", BUFFERS);
    for (s.frees = 0; s.frees < BUFFERS; s.frees++)
        s.free[s.frees] = s.pool + (size_t)s.frees * s.frame_max;
    s.io = (struct nd_io){.ports = 2,
                          .side = {NF_INSIDE, NF_OUTSIDE},
                          .buffers = BUFFERS / 4,
                          .send = io_send,
                          .make = io_make,
                          .data = io_data,
                          .drop = io_drop,
                          .burst = io_burst};
    atomic_store(&s.shared.orders.stable,
                 FT_ALL); /* the standby is as quick as can be: what is held leaves next */
    atomic_store(&s.shared.orders.lease_until, FT_ALL);
    atomic_store(&s.shared.orders.logging, true);
    s.lanes.config = &s.config;
    s.lanes.io = &s.io;
    s.lanes.shared = &s.shared;
    return nd_lanes_open(&s.lanes, "understudy speed", false, fault);
}

/* ---- live -------------------------------------------------------------------------------------- */

static void put_in_place(uint64_t from)
{
    uint64_t end = s.upto < s.tape->burst_count ? s.tape->bursts[s.upto].first : s.tape->count;

    s.first_input = s.tape->bursts[from].first;
    for (uint64_t i = s.first_input; i < end; i++) {
        s.ready[i - s.first_input] = s.free[--s.frees];
        nd_tape_frame(s.tape, i, s.ready[i - s.first_input]);
    }
}

static bool keep_records(void)
{
    const struct ft_record *r;
    uint64_t there;

    while ((r = ft_ring_peek(&s.shared.log, &there))) {
        if (!nd_grow((void **)&s.log, &s.log_room, s.log_bytes + r->size, 1, RING))
            return false;
        memcpy(s.log + s.log_bytes, r, r->size);
        s.log_bytes += r->size;
        ft_ring_advance(&s.shared.log, r->size);
        ft_ring_consume(&s.shared.log);
    }
    return true;
}

/* CPU time of all bursts, ns. 0: no memory, or no room where there must be some. */
static uint64_t run_live(void)
{
    uint64_t sum = 0, from, before;

    s.log_bytes = 0;
    for (from = 0; from < s.tape->burst_count; from = s.upto) {
        s.upto = from + CHUNK < s.tape->burst_count ? from + CHUNK : s.tape->burst_count;
        put_in_place(from);
        before = nd_cpu_time(CLOCK_THREAD_CPUTIME_ID);
        while (nf_chain_state(s.lanes.lane[0].chain)->burst < s.upto) {
            s.lanes.lane[0].now = nd_now();
            if (!nd_lane_live(&s.lanes.lane[0]) && s.lanes.lane[0].turn.no_room)
                return 0;
        }
        sum += nd_cpu_time(CLOCK_THREAD_CPUTIME_ID) - before;
        if (!keep_records())
            return 0;
    }
    return sum;
}

/* ---- replay ------------------------------------------------------------------------------------ */

/* CPU time, ns. 0: it diverged. */
static uint64_t run_replay(void)
{
    uint64_t sum = 0, at = 0, before, burst = 0;

    while (at < s.log_bytes) {
        for (unsigned n = 0; n < CHUNK && at < s.log_bytes; n++) {
            const struct ft_record *r = (const void *)(s.log + at);
            void *room = ft_ring_reserve(&s.shared.replay, r->size);

            if (!room)
                break;
            memcpy(room, r, r->size);
            ft_ring_publish(&s.shared.replay, r->size);
            burst = r->burst;
            at += r->size;
        }
        before = nd_cpu_time(CLOCK_THREAD_CPUTIME_ID);
        while (nf_chain_state(s.lanes.lane[0].chain)->burst < burst) {
            s.lanes.lane[0].now = nd_now();
            if (!nd_lane_replay(&s.lanes.lane[0], burst))
                return 0;
        }
        sum += nd_cpu_time(CLOCK_THREAD_CPUTIME_ID) - before;
    }
    return sum;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static int measure_repeats(void *unused, void *result, struct ft_fault *fault)
{
    double live[ND_SPEED_REPEATS], replay[ND_SPEED_REPEATS], ratio[ND_SPEED_REPEATS];
    double packets = (double)(s.tape->count ? s.tape->count : 1);
    int error = open_all(fault);

    (void)unused;
    for (unsigned i = 0; i < ND_SPEED_REPEATS && !error; i++) {
        uint64_t took, digest;

        if ((error = start_lane(FT_LANE_LIVE, fault)))
            break;
        took = run_live();
        live[i] = (double)took / packets;
        digest = ft_region_digest(s.lanes.region);
        if (took && !(error = start_lane(FT_LANE_REPLAY, fault)))
            took = run_replay();
        replay[i] = (double)took / packets;
        ratio[i] = replay[i] > 0 ? live[i] / replay[i] : 0;
        if (!error && (!took || digest != ft_region_digest(s.lanes.region)))
            error = ft_fail(fault, FT_EDIVERGED, "replay came to burst %lu of %lu%s",
                            nf_chain_state(s.lanes.lane[0].chain)->burst, s.tape->burst_count,
                            took ? ", and another state" : "");
    }
    if (error)
        return error;
    *(struct nd_speed *)result = (struct nd_speed){.measured = true,
                                                   .live_ns = nd_quantile(live, ND_SPEED_REPEATS, 0.5),
                                                   .replay_ns = nd_quantile(replay, ND_SPEED_REPEATS, 0.5),
                                                   .ratio = nd_quantile(ratio, ND_SPEED_REPEATS, 0.5),
                                                   .least = ratio[0],
                                                   .most = ratio[ND_SPEED_REPEATS - 1]};
    return 0;
}

int nd_speed_measure(struct nd_speed *out, const struct nd_tape *tape, const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault)
{
    s.tape = tape;
    s.config = *config;
    s.lanes.setup.seed = seed;
    return nd_child_run(measure_repeats, NULL, out, sizeof(*out), "speed",
                        fault); /* the region has one address */
}
