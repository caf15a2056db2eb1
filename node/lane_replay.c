/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane while its node is standby: runs the recorded bursts through the very same chain. Packets are worked
 * on where the record lies; outputs are kept until the primary says it released them. Replay checks itself:
 * numbers, clocks, determinants consumed exactly, digests; on divergence it stops and says what it expected
 * and got.
 */
#include "node/lane.h"
#include "ftcore/audit.h"
#include "ftcore/plant.h"
#include "nflib/chain.h"

#include <stdio.h>

#define RECORDS_TURN 64u /* between two looks at the orders */

static uint32_t load_inputs(struct nd_lane *lane, struct lg_cursor *cursor)
{
    const struct ft_input *in;
    uint8_t *bytes;
    uint32_t n = 0;

    while ((in = lg_cursor_input(cursor, &bytes)))
        lane->packets[n++] = (struct nf_packet){.data = bytes,
                                                .len = in->wire,
                                                .have = in->taken,
                                                .in_port = in->port,
                                                .side = in->flags & FT_IN_OUTSIDE ? NF_OUTSIDE : NF_INSIDE};
    return n;
}

/* Of an output not captured whole the head is worth keeping only where a gate has the rest. */
static void keep_outputs(struct nd_lane *lane, const struct ft_record *r, uint64_t number, uint32_t n)
{
    const struct nf_emitted *made;
    uint32_t count = nf_chain_emitted(lane->chain, &made);
    struct lg_output out = {.burst = r->burst};

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = &lane->packets[i];

        if (p->drop || p->out_port >= lane->io->ports)
            continue;
        out.number = ++number;
        out.clock = r->clock + i;
        out.len = p->len;
        out.have = p->have == p->len || lane->io->complete ? p->have : 0;
        out.port = p->out_port;
        lg_kept_put(&lane->kept, &out, p->data);
    }
    out.clock = 0;
    for (uint32_t i = 0; i < count; i++) {
        out.number = ++number;
        out.len = out.have = made[i].len;
        out.port = made[i].port;
        lg_kept_put(&lane->kept, &out, made[i].frame);
    }
}

static void diverged(struct nd_lane *lane, const struct ft_record *r, const char *what, uint64_t expected,
                     uint64_t got)
{
    fprintf(stderr, "understudy: replay diverged: lane %u burst %lu clock %lu: %s: expected %lu, got %lu\n",
            r->lane, r->burst, r->clock, what, expected, got);
    FT_COUNT(lane->shared, divergences, 1);
    atomic_store_explicit(&lane->shared->diverged, true, memory_order_release);
}

static bool follows(struct nd_lane *lane, const struct ft_record *r)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    if (r->burst != state->burst + 1)
        diverged(lane, r, "burst", r->burst, state->burst + 1);
    else if (r->clock != state->clock)
        diverged(lane, r, "clock", r->clock, state->clock);
    else if (r->access != state->access)
        diverged(lane, r, "access", r->access, state->access);
    else if (r->time < state->time)
        diverged(lane, r, "time not before", r->time, state->time);
    else
        return true;
    return false;
}

static bool check_digest(struct nd_lane *lane, const struct ft_record *r)
{
    uint64_t got;

    if (!(r->flags & FT_REC_DIGEST))
        return true;
    got = nd_lane_digest(lane);
    atomic_store_explicit(&lane->shared->expected, r->digest, memory_order_relaxed);
    atomic_store_explicit(&lane->shared->got, got, memory_order_relaxed);
    atomic_store_explicit(&lane->shared->digest_burst, r->burst, memory_order_release);
    if (got != r->digest)
        diverged(lane, r, "digest", r->digest, got);
    return got == r->digest;
}

static bool replay_record(struct nd_lane *lane, const struct ft_record *r)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct lg_cursor cursor;
    struct ft_fault fault;
    const void *value;
    uint32_t n, len;
    uint64_t outputs = state->outputs;
    bool whole = true;
    uint32_t commands = 0;

    if (!follows(lane, r))
        return false;
    lg_cursor_begin(&cursor, r);
    nf_chain_follow(lane->chain, (const struct ft_edge *)((const uint8_t *)r + ft_record_edges_at(r)),
                    FT_PLANTED("drop-edge") ? 0 : r->edges);
    n = load_inputs(lane, &cursor);
    while ((value = lg_cursor_value(&cursor, &len)))
        if (nf_values_is(value, len))
            whole &= nf_values_supply(nf_chain_values(lane->chain), value, len) == FT_OK;
        else if (commands++ == 0)
            nf_chain_command(lane->chain, value, len, r->time, &fault); /* refused then, refused now */
    if (!whole || commands > 1) {      /* no lane of ours records two commands in a burst */
        nf_chain_give_up(lane->chain); /* a base may come, and go on with this chain */
        diverged(lane, r, "outside values", 1, commands);
        return false;
    }
    nf_chain_run(lane->chain, r->burst, r->time + (FT_PLANTED("wrong-time") ? 1 : 0), lane->packets, n);
    ft_audit_check(lane->region, lane->index);
    keep_outputs(lane, r, outputs, n);
    lg_kept_released(&lane->kept, r->released);
    FT_COUNT(lane->shared, replayed_packets, n);
    if (!lg_cursor_done(&cursor) || !nf_values_used(nf_chain_values(lane->chain)) ||
        !ft_sections_used(nf_chain_sections(lane->chain), r->access, r->accesses)) {
        diverged(lane, r, "determinants left", 0, 1);
        return false;
    }
    return check_digest(lane, r);
}

bool nd_lane_record(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct lg_position at = {.burst = state->burst,
                             .clock = state->clock,
                             .time = state->time,
                             .access = state->access,
                             .outputs = state->outputs};

    /* After a divergence the state is that of no burst. */
    if (!lane->recorder || atomic_load_explicit(&lane->shared->diverged, memory_order_relaxed))
        return false;
    return lg_recorder_turn(lane->recorder, &at, atomic_load(lane->view), lane->now);
}

bool nd_lane_replay(struct nd_lane *lane, uint64_t upto)
{
    struct ft_ring *ring = &lane->shared->replay;
    const struct ft_record *r;
    uint64_t there;
    unsigned n = 0;

    if (atomic_load_explicit(&lane->shared->diverged, memory_order_relaxed))
        return false;
    for (; n < RECORDS_TURN && (r = ft_ring_peek(ring, &there)) && r->burst <= upto; n++) {
        uint64_t burst = r->burst;
        uint32_t size = r->size;

        if (lane->recorder)
            lg_recorder_record(lane->recorder, r); /* before packets are worked on where they lie */
        if (!(FT_PLANTED("skip-record") && burst % 64 == 33) && !replay_record(lane, r))
            return false;
        ft_ring_advance(ring, size);
        ft_ring_consume(ring);
        atomic_store_explicit(&lane->shared->closed, burst, memory_order_release);
    }
    return n > 0;
}
