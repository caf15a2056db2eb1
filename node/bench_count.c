/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane without threads, for an instruction counter (scripts/instructions): receive, capture, chain, hold,
 * release, in this thread. Time moves by a microsecond a turn, and the loop itself moves the stable
 * watermark: a burst is stable a few bursts later. The log ring is emptied without being read: what is
 * counted is the lane's own work; with --encode the sender's encoding of records as well. Nothing varies from
 * run to run.
 */
#include "node/bench.h"
#include "node/lane.h"
#include "node/client.h"
#include "node/member.h"
#include "nflib/chain.h"

#include <stdio.h>
#include <stdlib.h>

#define BEHIND    8u /* bursts from closed to stable */
#define TURN_NS   1000u
#define LOG_BYTES (4ull << 20)

struct counting {
    struct nd_bench_slot *slot;
    struct nd_bench_io io;
    struct nd_member member; /* without threads and replicator: region and lane */
    struct nd_lane lane;
    struct nd_config config;
    uint8_t *wire; /* NULL: records are not encoded */
};

static void drain_log(struct counting *c)
{
    struct ft_ring *ring = &c->slot->shared[0].log;
    const struct ft_record *r;
    uint64_t there;

    while ((r = ft_ring_peek(ring, &there))) {
        if (c->wire && ft_record_encode(r, c->wire, FT_RECORD_MAX * 2) < 0)
            abort();
        ft_ring_advance(ring, r->size);
    }
    ft_ring_consume(ring);
}

/* What the instruction counter looks at: a name of its own, never inlined. */
__attribute__((noinline)) void nd_bench_counted(void *arg, uint64_t packets);

void nd_bench_counted(void *arg, uint64_t packets)
{
    struct counting *c = arg;
    struct ft_lane *shared = &c->slot->shared[0];
    bool logging = c->config.protect.mode != ND_MODE_OFF;
    uint64_t end = atomic_load_explicit(&c->slot->released, memory_order_relaxed) + packets;

    while (atomic_load_explicit(&c->slot->released, memory_order_relaxed) < end) {
        uint64_t closed = atomic_load_explicit(&shared->closed, memory_order_relaxed);

        c->lane.now += TURN_NS;
        if (logging) {
            atomic_store_explicit(&shared->stable, closed > BEHIND ? closed - BEHIND : 0,
                                  memory_order_release);
            drain_log(c);
        }
        nd_lane_live(&c->lane);
    }
}

static int put_together(struct counting *c, const struct nd_load *load, uint64_t seed, struct ft_fault *fault)
{
    bool logging = c->config.protect.mode != ND_MODE_OFF;
    static const struct ft_region_config how = {.name = "understudy bench"};
    struct nd_member *m = &c->member;
    struct ft_lane *shared = &c->slot->shared[0];
    int error;

    nd_group_init(&m->group, &c->lane, 1);
    error = nd_bench_io_open(&c->io, c->slot, load, fault);
    if (!error)
        error = nf_chain_region(&m->region, &c->config.chain, &how, fault);
    if (error)
        return error;
    if (ft_lane_init(shared, LOG_BYTES, LOG_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "no memory for rings");
    c->lane = (struct nd_lane){.config = &c->config,
                               .io = &c->io.io,
                               .region = m->region,
                               .shared = shared,
                               .group = &m->group,
                               .question = &m->question,
                               .seed = seed,
                               .view = &m->view,
                               .stop = &m->stop,
                               .doing = FT_LANE_LIVE};
    error = nd_lane_make(&c->lane, fault);
    atomic_store(&shared->lease_until, FT_ALL);
    atomic_store(&shared->stable, logging ? 0 : FT_ALL);
    atomic_store(&shared->logging, logging);
    if (logging) /* as a base does: the stream begins, with the log */
        nd_stream_begin(&m->group);
    atomic_store(&c->slot->rate, ND_RATE_FULL);
    return error;
}

int nd_bench_count(const struct nd_config *config, const struct nd_load *load,
                   const struct nd_bench_options *o)
{
    static struct counting c;
    struct nd_bench_protection protection;
    struct ft_fault fault = {""};
    int error = nd_bench_protection(&protection, o->compare, config, &fault);

    if (!error && protection.mode != ND_MODE_OFF && protection.mode != ND_MODE_LOG)
        error = ft_fail(&fault, FT_EINVAL, "--count of %.40s, expected off or log", o->compare);
    c.slot = nd_bench_slot_new();
    c.wire = o->encode ? malloc(FT_RECORD_MAX * 2) : NULL;
    if (!error && (!c.slot || (o->encode && !c.wire)))
        error = ft_fail(&fault, FT_ENOMEM, "no memory");
    if (!error) {
        nd_bench_adapt(&c.config, config, &protection);
        error = put_together(&c, load, o->wish.seed, &fault);
    }
    if (error) {
        fprintf(stderr, "understudy bench: %s\n", fault.text);
        return error == FT_EINVAL ? ND_USAGE : ND_SOFTWARE;
    }
    /* Every flow is there before the counting begins. */
    while (atomic_load(&c.slot->arrived[0]) < load->side[0].opening ||
           atomic_load(&c.slot->arrived[1]) < load->side[1].opening) {
        uint64_t closed = atomic_load(&c.slot->shared[0].closed);

        c.lane.now += TURN_NS;
        if (protection.mode != ND_MODE_OFF)
            atomic_store(&c.slot->shared[0].stable, closed);
        nd_lane_live(&c.lane);
        drain_log(&c);
    }
    uint64_t before = atomic_load(&c.slot->released);

    nd_bench_counted(&c, o->count);
    printf("%lu\n", atomic_load(&c.slot->released) - before);
    return ND_DONE;
}
