/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves a lane: a burst's outputs, held until they are stable, then released while the lease runs;
 * after a takeover the tail, by the same way; the node's own frames. Clock: for the lease before outputs
 * leave, and for status when they had left.
 */
#include "node/lane/lane.h"
#include "node/base/clock.h"
#include "ftcore/base/plant.h"
#include "nflib/chain/chain.h"

#include <string.h>

#define TX_BURST 32u
#define HEADERS  192u /* bytes of a frame that capture takes at most where no NF reads payload */

static void *make_packet(struct nd_lane *lane, const void *frame, uint32_t len)
{
    void *packet = lane->io->make(lane->io->ctx, lane->index, frame, len);

    if (!packet)
        FT_COUNT(lane->words, no_buffer, 1);
    return packet;
}

/* The packet in the buffer that it came in, or where the chain has moved it, in another one. NULL: there is
 * none. */
static void *take_output(struct nd_lane *lane, const struct nf_packet *p)
{
    void *moved;

    if (p->data == lane->io->data(p->owner))
        return p->owner;
    moved = make_packet(lane, p->data, p->len);
    lane->io->drop(lane->io->ctx, p->owner);
    return moved;
}

/* Inputs that pass. Returns how many, and their bytes. */
static uint32_t hold_passed(struct nd_lane *lane, uint64_t burst, uint64_t seq, uint64_t number,
                            uint64_t *bytes)
{
    const struct ft_hold hold = lane->hold; /* as it was before */
    const struct nf_packet *packets = lane->burst.packets;
    struct ft_held *at = ft_hold_slot(&hold, hold.in);
    uint32_t ports = lane->io->ports, n = lane->burst.n;
    uint64_t sum = 0, first = number;
    bool moves = nf_chain_moves_frames(lane->chain);
    uint32_t lost = 0;

    for (const struct nf_packet *p = packets; p < packets + n; p++, seq++) {
        void *packet = p->owner;

        if (ft_unlikely(p->drop || p->out_port >= ports)) {
            lane->io->drop(lane->io->ctx, p->owner);
            continue;
        }
        number++;
        if (ft_unlikely(moves) && !(packet = take_output(lane, p))) {
            lost++;
            continue;
        }
        *at = (struct ft_held){.burst = burst,
                               .number = number,
                               .seq = seq,
                               .packet = packet,
                               .len = p->len,
                               .port = p->out_port};
        at = ft_hold_next(&hold, at);
        sum += p->len;
    }
    ft_hold_added(&lane->hold, (uint32_t)(number - first) - lost);
    *bytes = sum;
    return (uint32_t)(number - first);
}

/* Bytes of a held output that a delta carries: what a log's capture would have had of it, so that a
 * successor can emit it again (docs/guarantees.md, G4); where an input keeper has the rest, the headers that
 * NFs may have changed. Of those that NFs made, all. */
uint32_t nd_lane_carry(void *arg, const struct ft_held *held, const uint8_t **frame)
{
    struct nd_lane *lane = arg;
    struct nf_packet p = {.data = lane->io->data(held->packet), .len = held->len, .have = held->len};
    uint32_t headers;

    *frame = p.data;
    if (lane->config->protect.tail == ND_TAIL_SUPPRESS)
        return 0;
    if (held->seq == 0 || lane->whole_capture)
        return held->len;
    nf_packet_parse(&p);
    headers = nf_packet_header_bytes(&p);
    return headers == p.len || lane->io->complete ? headers : 0;
}

/* The same of so many outputs with so many bytes, at the most, without a look at any. */
static uint64_t carried_most(const struct nd_lane *lane, uint32_t outputs, uint64_t bytes)
{
    uint64_t headers = (uint64_t)outputs * HEADERS;

    if (lane->config->protect.tail == ND_TAIL_SUPPRESS)
        return 0;
    return outputs * (sizeof(struct ft_chunk_output) + 8) +
           (lane->whole_capture || bytes < headers ? bytes : headers);
}

void nd_lane_hold(struct nd_lane *lane, const struct nd_burst_needs *needs, uint64_t burst, uint64_t seq,
                  uint64_t number)
{
    const struct nf_emitted *made;
    uint32_t count = nf_chain_emitted(lane->chain, &made), passed;
    uint64_t bytes = 0;

    ft_hold_expect(&lane->hold, burst, lane->burst.n + count);
    passed = hold_passed(lane, burst, seq, number, &bytes);
    number += passed;
    for (uint32_t i = 0; i < count; i++) {
        struct ft_held held = {.burst = burst, .number = ++number, .len = made[i].len, .port = made[i].port};

        if (made[i].port < lane->io->ports && (held.packet = make_packet(lane, made[i].frame, made[i].len)))
            ft_hold_add(&lane->hold, &held);
        bytes += made[i].len;
    }
    if (needs->marks)
        lane->cut.carry_bytes += carried_most(lane, passed + count, bytes);
    FT_COUNT(lane->words, dropped, lane->burst.n - passed);
    FT_COUNT(lane->words, emitted, count);
}

static void drop_packets(struct nd_lane *lane)
{
    for (uint32_t i = 0; i < lane->burst.n; i++)
        lane->io->drop(lane->io->ctx, lane->burst.packets[i].owner);
}

void nd_lane_drop_burst(struct nd_lane *lane)
{
    drop_packets(lane);
    FT_COUNT(lane->words, dropped, lane->burst.n);
}

static void note_release(struct nd_lane *lane, uint64_t at)
{
    struct ft_lane *words = lane->words;

    if (atomic_load_explicit(&words->count.first_release_ns, memory_order_relaxed) == 0)
        FT_NOTE(words, first_release_ns, nd_now());
    lane->turn.sent = true; /* the next turn's clock will say until when at the latest */
    FT_NOTE(words, last_release_ns, at);
}

/*
 * During a handover, bridges must not learn the virtual MAC on this side again: what leaves bears the own
 * one. What the port does not take now bears what it had, for the handover may be aborted before it leaves.
 */
static uint32_t transmit_own_mac(struct nd_lane *lane, const struct ft_held *held, uint32_t n)
{
    unsigned port = held[0].port;
    uint8_t source[TX_BURST][6];
    uint32_t sent;

    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = (uint8_t *)lane->io->data(held[i].packet) + 6;

        memcpy(source[i], at, 6);
        memcpy(at, lane->io->own[port], 6);
    }
    sent = lane->io->send(lane->io->ctx, lane->index, port, held, n);
    for (uint32_t i = sent; i < n; i++)
        memcpy((uint8_t *)lane->io->data(held[i].packet) + 6, source[i], 6);
    return sent;
}

/* Last burst whose outputs may leave. State in Redis: what is answered there. */
static uint64_t release_to(const struct nd_lane *lane)
{
    if (FT_PLANTED("early-release"))
        return FT_ALL;
    if (ft_unlikely(lane->setup.redis != NULL))
        return nd_redis_confirmed(lane->setup.redis);
    return FT_ORDER_GET(lane->words, stable);
}

bool nd_lane_release(struct nd_lane *lane)
{
    struct ft_lane *words = lane->words;
    const struct ft_held *held;
    bool any = false;
    uint32_t n, sent;

    while ((n = ft_hold_ready(&lane->hold, release_to(lane), TX_BURST, &held))) {
        uint64_t lease = FT_ORDER_GET(words, lease_until);
        uint64_t at = lease == FT_ALL ? lane->now : nd_now();

        if (at >= lease) {
            FT_COUNT(words, lease_held, 1);
            break;
        }
        sent = ft_unlikely(nd_lane_own_mac(lane))
                   ? transmit_own_mac(lane, held, n)
                   : lane->io->send(lane->io->ctx, lane->index, held[0].port, held, n);
        if (sent == 0) {
            FT_COUNT(words, tx_refused, 1);
            break;
        }
        ft_hold_drop(&lane->hold, sent);
        note_release(lane, at);
        any = true;
    }
    if (any)
        FT_REPORT_SET(words, released, nf_chain_state(lane->chain)->outputs - ft_hold_count(&lane->hold));
    FT_NOTE(words, held, ft_hold_count(&lane->hold));
    return any;
}

void nd_lane_drop_held(struct nd_lane *lane)
{
    const struct ft_held *held;
    struct nd_frame waiting;
    uint32_t n;

    while ((n = ft_hold_ready(&lane->hold, FT_ALL, TX_BURST, &held))) {
        for (uint32_t i = 0; i < n; i++)
            lane->io->drop(lane->io->ctx, held[i].packet);
        ft_hold_drop(&lane->hold, n);
        FT_COUNT(lane->words, fenced_dropped, n);
    }
    drop_packets(lane); /* of a burst that is not run yet */
    lane->burst.n = 0;
    while (nd_waiting_take(&lane->waiting, &waiting) || nd_fragments_over(&lane->fragments, FT_ALL, &waiting))
        lane->io->drop(lane->io->ctx, waiting.owner);
    FT_NOTE(lane->words, held, 0);
}

void nd_lane_send_own(struct nd_lane *lane, unsigned port, const void *frame, uint32_t len)
{
    struct ft_held own = {.packet = make_packet(lane, frame, len), .port = (uint16_t)port};

    if (own.packet && lane->io->send(lane->io->ctx, lane->index, port, &own, 1) == 0)
        lane->io->drop(lane->io->ctx, own.packet);
}

void nd_lane_announce(struct nd_lane *lane, bool again)
{
    static const uint64_t later[3] = {10000000, 100000000, 1000000000};
    uint8_t frame[NF_ANNOUNCEMENT_MAX], port;
    uint32_t len;

    if (!lane->config->chain.l3 || lane->index != 0)
        return;
    for (unsigned i = 0; (len = nf_l3_announce(lane->config->chain.l3, i, frame, &port)) != 0; i++)
        nd_lane_send_own(lane, port, frame, len);
    for (unsigned i = 0; again && i < 3; i++)
        lane->timers.announce_at[i] = lane->now + later[i];
}

/* A packet with all of a replayed output's bytes, the input keeper's among them. NULL: they are not to be
 * had. */
static void *make_whole_packet(struct nd_lane *lane, const struct lg_output *output)
{
    const struct nd_io *io = lane->io;
    uint8_t frame[FT_FRAME_MAX];

    if (output->have == output->len)
        return make_packet(lane, output + 1, output->len);
    if (!io->complete || output->len > sizeof(frame))
        return NULL;
    memcpy(frame, output + 1, output->have);
    if (!io->complete(io->ctx, lane->index, output->seq, frame, output->have, output->len))
        return NULL;
    return make_packet(lane, frame, output->len);
}

/*
 * What was stable and perhaps not released (docs/guarantees.md, G4). It passes the gate as all else does, and
 * the first of it leaves before the last is made: that may be milliseconds later.
 */
void nd_lane_emit_tail(struct nd_lane *lane)
{
    const struct lg_output *output;

    FT_COUNT(lane->words, tail_suppressed, lane->replayed.forgotten);
    lane->replayed.forgotten = 0;
    while ((output = lg_replayed_take(&lane->replayed))) {
        struct ft_held held = {.burst = output->burst,
                               .number = output->number,
                               .seq = output->seq,
                               .len = output->len,
                               .port = output->port};

        if (lane->config->protect.tail == ND_TAIL_EMIT && ft_hold_room(&lane->hold))
            held.packet = make_whole_packet(lane, output);
        if (!held.packet) {
            FT_COUNT(lane->words, tail_suppressed, 1);
            continue;
        }
        ft_hold_put(&lane->hold, &held);
        FT_COUNT(lane->words, tail_emitted, 1);
        if (ft_hold_count(&lane->hold) >= TX_BURST)
            nd_lane_release(lane);
    }
    nd_lane_release(lane);
}
