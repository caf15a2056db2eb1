/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports of twin.h's node: its inputs follow from seed and burst number, as an input keeper's do, and
 * its outputs are counted and gone. Called by lanes between bursts, so the node's answers are made and its
 * rests taken here. Owns the frames, which lane 0 alone has to do with.
 */
#include "ftcore/base/check.h"
#include "nflib/chain/chain.h"
#include "node/base/clock.h"
#include "tests/help/twin.h"

#include <string.h>

#define FRAMES  (128u << 10) /* half of them the hold may have: more than the log ring has room for */
#define REST_NS 100000

static struct {
    struct twin_box *box;
    const struct nd_member *member;
    uint8_t frames[FRAMES][TWIN_INPUT];
    void *free[FRAMES];
    uint32_t frees;
    uint64_t burst_at;
    uint64_t number; /* of the output that left last */
} io;

static void answer(void)
{
    struct nf_chain *chain = io.member->lanes.lane[0].chain;
    const struct nf_lane_state *state = nf_chain_state(chain);
    struct twin_lane_state lane = {state->burst, state->seq, state->time, state->outputs};
    struct twin_report *r = &io.box->by_node;
    uint64_t ask = atomic_load(&io.box->ask);

    if (ask == atomic_load(&r->answered))
        return;
    atomic_store(&r->at, state->burst);
    atomic_store(&r->region_digest, ft_region_digest(io.member->lanes.region));
    atomic_store(&r->state_hash, twin_state_hash(&lane, nf_chain_nf(chain, 1)->state));
    atomic_store(&r->answered, ask);
}

/* Between two records that the lane replays, and by no edit. */
static void flip_bit(const struct ft_lane_shared *shared)
{
    uint64_t *state = nf_chain_nf(io.member->lanes.lane[0].chain, 1)->state;

    if (ft_order_kind(FT_REPORT_GET(shared, done)) == FT_LANE_REPLAY && atomic_exchange(&io.box->flip, false))
        state[TWIN_WORDS] ^= 1u << 13;
}

/* Called by lanes that are not live. Lane 0 alone answers and stalls; nobody hears heartbeats. */
static uint32_t receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    const struct ft_lane_shared *shared = &io.box->by_node.lane[0];

    (void)ctx, (void)frames, (void)max;
    if (lane != 0 || port != 0)
        return 0;
    answer();
    flip_bit(shared);
    while (atomic_load(&io.box->stall) && !atomic_load(&io.member->lanes.stop) &&
           ft_order_kind(FT_ORDER_GET(shared, order)) == FT_LANE_REPLAY) {
        atomic_store(&io.box->by_node.stalled, true);
        flip_bit(shared);
        nanosleep(&(struct timespec){0, REST_NS}, NULL);
    }
    atomic_store(&io.box->by_node.stalled, false);
    return 0;
}

static void *make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    (void)ctx;
    FT_CHECK(lane == 0 && len <= TWIN_INPUT, "a frame of %u bytes in lane %u", len, lane);
    return io.frees ? memcpy(io.free[--io.frees], frame, len) : NULL;
}

static void drop(void *ctx, void *owner)
{
    (void)ctx;
    io.free[io.frees++] = owner;
}

static uint8_t *data(void *owner)
{
    return owner;
}

static bool next_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                       uint64_t *time)
{
    static struct twin_burst b;
    uint64_t now = nd_now();

    if (lane != 0)
        return false;
    answer();
    if (last >= atomic_load(&io.box->target) || now < io.burst_at || io.frees < FT_BURST_MAX)
        return false;
    io.burst_at = now + atomic_load(&io.box->pause_us) * 1000ull;
    if (atomic_load(&io.member->lanes.region->tracking) & FT_TRACK_SNAPSHOT)
        atomic_fetch_add(&io.box->by_node.beside_snapshot, 1);
    twin_make(&b, atomic_load(&io.box->seed), last + 1);
    for (unsigned i = 0; i < b.n; i++) {
        void *frame = make(ctx, lane, b.bytes[i], b.len[i]);

        frames[i] = (struct nd_frame){.data = frame, .len = b.len[i], .owner = frame};
    }
    *n = b.n;
    *time = b.time;
    return true;
}

/* Heartbeats have no number. */
static uint32_t send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)lane, (void)port;
    for (uint32_t i = 0; i < n; i++) {
        drop(ctx, held[i].packet);
        if (!held[i].number)
            continue;
        FT_CHECK(held[i].number > io.number, "output %lu leaves after %lu", held[i].number, io.number);
        io.number = held[i].number;
        atomic_store(&io.box->by_node.out_burst, held[i].burst);
        atomic_fetch_add(&io.box->by_node.outputs, 1);
    }
    return n;
}

const struct nd_io *twin_io(struct twin_box *box, const struct nd_member *member)
{
    static const struct nd_io ports = {.ports = 2,
                                       .devices = 2,
                                       .side = {NF_INSIDE, NF_OUTSIDE},
                                       .buffers = FRAMES,
                                       .receive = receive,
                                       .send = send,
                                       .make = make,
                                       .data = data,
                                       .drop = drop,
                                       .burst = next_burst};

    io.box = box;
    io.member = member;
    for (io.frees = 0; io.frees < FRAMES; io.frees++)
        io.free[io.frees] = io.frames[io.frees];
    return &ports;
}
