/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes without threads; see bench/alone.h. The log ring is emptied without being read, but for what encodes.
 */
#include "tools/bench/alone.h"
#include "node/control/client.h"
#include "tools/pair/member.h"
#include "nflib/chain/chain.h"

#include <stdlib.h>
#include <string.h>

#define BEHIND    8u /* bursts between the last executed and the last stable one */
#define TURN_NS   1000u
#define LOG_BYTES (4ull << 20)

const struct nd_bench_piece nd_bench_pieces_all[ND_BENCH_PIECES] = {
    {"off", "the chain; outputs leave at once", NULL, .lanes = 1},
    {"hold", "outputs wait for a watermark, 8 bursts behind", "off", .holds = true, .lanes = 1},
    {"seq", "a record of each burst: number, clock, time; a gate has the inputs", "hold", .holds = true,
     .logs = true, .by_seq = true, .lanes = 1},
    {"inputs", "the record has the inputs by value", "seq", .holds = true, .logs = true, .lanes = 1},
    {"encode", "the sender's encoding of records, with its checksum", "inputs", .holds = true, .logs = true,
     .encodes = true, .lanes = 1},
    {"marks", "a warm standby's: edits mark lines for the next checkpoint, which is not made", "inputs",
     .holds = true, .logs = true, .marks = true, .lanes = 1},
    {"two-lanes", "two lanes in turn, a burst each, nothing recorded", NULL, .lanes = 2},
    {"two-hold", "the same, outputs wait", "two-lanes", .holds = true, .lanes = 2},
    {"dependencies", "the same, recorded: inputs, and the order in what lanes share", "two-hold",
     .holds = true, .logs = true, .lanes = 2},
};

struct nd_bench_alone {
    const struct nd_bench_piece *piece;
    struct nd_bench_slot *slot;
    struct nd_bench_io io;
    struct nd_member member; /* without threads and replicator: region and lanes */
    struct nd_lane lane[FT_LANES_MAX];
    struct nd_config config;
    uint8_t *wire; /* NULL: records are not encoded */
    uint64_t dependencies, records;
};

const struct nd_bench_piece *nd_bench_piece(const char *name)
{
    for (unsigned i = 0; i < ND_BENCH_PIECES; i++)
        if (strcmp(nd_bench_pieces_all[i].name, name) == 0)
            return &nd_bench_pieces_all[i];
    return NULL;
}

/* No record is replayed here, so nobody asks for inputs. */
static bool no_input(void *ctx, unsigned lane, uint64_t seq, uint8_t *frame, uint32_t *len, uint8_t *port)
{
    (void)ctx, (void)lane, (void)seq, (void)frame, (void)len, (void)port;
    return false;
}

static void drain_log(struct nd_bench_alone *a, unsigned lane)
{
    struct ft_ring *ring = &a->slot->shared[lane].log;
    const struct ft_record *r;
    uint64_t there;

    while ((r = ft_ring_peek(ring, &there))) {
        a->dependencies += r->dependencies;
        a->records++;
        if (a->wire && ft_record_encode(r, a->wire, FT_RECORD_MAX * 2) < 0)
            abort();
        ft_ring_advance(ring, r->size);
    }
    ft_ring_consume(ring);
}

/* Each lane in its turn; `behind` bursts between the last executed and the last stable one. */
static inline void turn_lanes(struct nd_bench_alone *a, uint64_t behind)
{
    const struct nd_bench_piece *piece = a->piece;

    for (unsigned l = 0; l < piece->lanes; l++) {
        struct ft_lane *shared = &a->slot->shared[l];
        uint64_t closed = atomic_load_explicit(&shared->report.executed, memory_order_relaxed);

        a->lane[l].now += TURN_NS;
        if (piece->holds)
            atomic_store_explicit(&shared->orders.stable, closed > behind ? closed - behind : 0,
                                  memory_order_release);
        if (piece->logs)
            drain_log(a, l);
        nd_lane_live(&a->lane[l]);
    }
}

static uint64_t count_released(const struct nd_bench_alone *a)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < a->piece->lanes; l++)
        n += atomic_load_explicit(&a->slot->lane[l].released, memory_order_relaxed);
    return n;
}

__attribute__((noinline)) uint64_t nd_bench_counted(struct nd_bench_alone *a, uint64_t packets)
{
    uint64_t before = count_released(a);

    while (count_released(a) - before < packets)
        turn_lanes(a, BEHIND);
    return count_released(a) - before;
}

void nd_bench_alone_dependencies(const struct nd_bench_alone *a, uint64_t *dependencies, uint64_t *records)
{
    *dependencies = a->dependencies;
    *records = a->records;
}

static bool has_opened(const struct nd_bench_alone *a)
{
    for (unsigned l = 0; l < a->piece->lanes; l++)
        for (unsigned s = 0; s < ND_LOAD_SIDES; s++)
            if (atomic_load(&a->slot->lane[l].arrived[s]) < a->io.load->lane[l][s].opening)
                return false;
    return true;
}

static int open_lane(struct nd_bench_alone *a, unsigned l, uint64_t seed, struct ft_fault *fault)
{
    struct ft_lane *shared = &a->slot->shared[l];
    struct nd_member *m = &a->member;

    if (ft_lane_init(shared, LOG_BYTES, LOG_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "no memory for rings");
    a->lane[l] = (struct nd_lane){.index = l,
                                  .config = &a->config,
                                  .io = &a->io.io,
                                  .region = m->region,
                                  .shared = shared,
                                  .group = &m->group,
                                  .setup.question = &m->question,
                                  .setup.seed = seed,
                                  .setup.view = &m->view,
                                  .setup.stop = &m->stop,
                                  .doing = FT_LANE_LIVE};
    atomic_store(&shared->orders.lease_until, FT_ALL);
    atomic_store(&shared->orders.stable, a->piece->holds ? 0 : FT_ALL);
    atomic_store(&shared->orders.logging, a->piece->logs);
    return nd_lane_make(&a->lane[l], fault);
}

static int make_lanes(struct nd_bench_alone *a, struct nd_load *load, uint64_t seed, struct ft_fault *fault)
{
    static const struct ft_region_config how = {.name = "understudy bench"};
    const struct nf_chain_config *chain = &a->config.chain;
    int error = nd_bench_io_open(&a->io, a->slot, load, fault);

    nd_group_init(&a->member.group, a->lane, chain->lanes);
    if (a->piece->by_seq) {
        a->io.io.input = no_input;
        a->io.io.frame_max = ND_LOAD_LINE;
    }
    if (!error)
        error = nf_chain_region(&a->member.region, chain, &how, fault);
    for (unsigned l = 0; l < chain->lanes && !error; l++)
        error = open_lane(a, l, seed, fault);
    if (!error && a->piece->logs) /* as a snapshot does: the stream begins, with the log */
        nd_stream_begin(&a->member.group);
    atomic_store(&a->slot->rate, ND_RATE_FULL);
    return error;
}

int nd_bench_alone_open(struct nd_bench_alone **out, const struct nd_config *config, struct nd_load *load,
                        const struct nd_bench_piece *piece, uint64_t seed, struct ft_fault *fault)
{
    static struct nd_bench_alone a;
    struct nd_bench_protection protection = {.name = ""};
    int error = nd_load_deal(load, piece->lanes, fault);

    a = (struct nd_bench_alone){.piece = piece, .slot = nd_bench_slot_new()};
    a.wire = piece->encodes ? malloc(FT_RECORD_MAX * 2) : NULL;
    *out = &a;
    if (!error && (!a.slot || (piece->encodes && !a.wire)))
        error = ft_fail(fault, FT_ENOMEM, "no memory");
    if (error)
        return error;
    (void)nd_bench_protect(&protection.protect, config, piece->logs ? ND_MODE_LOG : ND_MODE_OFF,
                           piece->marks ? ND_STANDBY_WARM : ND_STANDBY_HOT, NULL);
    nd_bench_adapt(&a.config, config, &protection, piece->lanes);
    a.config.protect.checkpoint_ms = UINT32_MAX; /* no checkpoint is due by time */
    a.config.protect.pending_mb = UINT32_MAX;    /* no checkpoint is due because the log has grown */
    error = make_lanes(&a, load, seed, fault);
    while (!error && !has_opened(&a))
        turn_lanes(&a, 0);
    a.dependencies = a.records = 0;
    return error;
}
