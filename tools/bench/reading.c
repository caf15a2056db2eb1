/* SPDX-License-Identifier: Apache-2.0 */
/* Reading nodes that run; see reading.h. */
#include "tools/bench/reading.h"
#include "node/base/clock.h"

#define SECOND 1e9

uint64_t nd_bench_arrived(const struct nd_bench_nodes *r)
{
    return ND_BENCH_SUM(r, 0, lane, arrived[0]) + ND_BENCH_SUM(r, 0, lane, arrived[1]);
}

uint64_t nd_bench_waits(const struct nd_bench_nodes *r)
{
    return ND_BENCH_SUM(r, 0, words, count.ring_full) + ND_BENCH_SUM(r, 0, words, count.hold_full) +
           ND_BENCH_SUM(r, 0, words, count.lag_full);
}

static bool has_shown(struct nd_bench_nodes *r)
{
    return atomic_load(&r->slot[0]->shown_at) > r->at &&
           (r->alone || atomic_load(&r->slot[1]->shown_at) > r->at);
}

static void add_turns(struct nd_bench_turn_sums *out, const struct ft_turns *t)
{
    for (unsigned i = 0; i < FT_SPENT_KINDS; i++)
        out->ns[i] += atomic_load(&t->ns[i]);
    out->longs += atomic_load(&t->longs);
    uint64_t longest = atomic_load(&t->longest);

    out->longest = longest > out->longest ? longest : out->longest;
}

int nd_bench_read(struct nd_bench_nodes *r, struct nd_bench_reading *x, struct ft_fault *fault)
{
    struct nd_bench_slot *p = r->slot[0];
    int error;

    *x = (struct nd_bench_reading){.released = ND_BENCH_SUM(r, 0, lane, released),
                                   .replayed = ND_BENCH_SUM(r, 1, words, count.replayed_packets)};
    r->at = x->at = nd_now();
    x->arrived = nd_bench_arrived(r);
    x->waits = nd_bench_waits(r);
    x->dropped = ND_BENCH_SUM(r, 0, words, count.dropped);
    x->received = ND_BENCH_SUM(r, 0, words, count.received);
    x->bursts = ND_BENCH_SUM(r, 0, words, count.bursts) - ND_BENCH_SUM(r, 0, words, count.empty_bursts);
    for (unsigned n = 0; n < ND_NODES; n++)
        for (unsigned l = 0; l < r->lanes; l++)
            add_turns(&x->lane_turns[n], &r->slot[n]->words[l].count.turns);
    error = nd_bench_wait(r, has_shown, "figures of the nodes", fault);
    for (unsigned n = 0; n < ND_NODES; n++) {
        x->shown_at[n] = atomic_load(&r->slot[n]->shown_at);
        x->lanes[n] = atomic_load(&r->slot[n]->cpu_lane);
        x->replicator[n] = atomic_load(&r->slot[n]->cpu_replicator);
        add_turns(&x->replicator_turns[n], &r->slot[n]->turns);
    }
    x->link_bytes = atomic_load(&p->link_bytes);
    x->records = atomic_load(&p->records);
    x->credit_waits = atomic_load(&p->credit_waits);
    return error;
}

double nd_bench_rate(const struct nd_bench_reading *a, const struct nd_bench_reading *b, unsigned node,
                     uint64_t grown)
{
    uint64_t ns = b->shown_at[node] - a->shown_at[node];

    return ns ? (double)grown / (double)ns : 0;
}

struct nd_bench_cpu nd_bench_cpu_used(const struct nd_bench_reading *a, const struct nd_bench_reading *b)
{
    return (struct nd_bench_cpu){nd_bench_rate(a, b, 0, b->lanes[0] - a->lanes[0]),
                                 nd_bench_rate(a, b, 0, b->replicator[0] - a->replicator[0]),
                                 nd_bench_rate(a, b, 1, b->lanes[1] - a->lanes[1]),
                                 nd_bench_rate(a, b, 1, b->replicator[1] - a->replicator[1])};
}

static struct nd_bench_spent spent_in(const struct nd_bench_turn_sums *a, const struct nd_bench_turn_sums *b,
                                      uint64_t ns)
{
    double of = ns ? 1 / (double)ns : 0;

    return (struct nd_bench_spent){.useful = (double)(b->ns[FT_SPENT_USEFUL] - a->ns[FT_SPENT_USEFUL]) * of,
                                   .empty = (double)(b->ns[FT_SPENT_EMPTY] - a->ns[FT_SPENT_EMPTY]) * of,
                                   .asleep = (double)(b->ns[FT_SPENT_ASLEEP] - a->ns[FT_SPENT_ASLEEP]) * of,
                                   .longs = (double)(b->longs - a->longs) * of * SECOND,
                                   .longest = (double)b->longest / 1e6};
}

struct nd_bench_turns nd_bench_turns_taken(const struct nd_bench_reading *a, const struct nd_bench_reading *b)
{
    uint64_t ns[ND_NODES] = {b->shown_at[0] - a->shown_at[0], b->shown_at[1] - a->shown_at[1]};

    return (struct nd_bench_turns){
        .lane = spent_in(&a->lane_turns[0], &b->lane_turns[0], b->at - a->at),
        .replicator = spent_in(&a->replicator_turns[0], &b->replicator_turns[0], ns[0]),
        .standby_lane = spent_in(&a->lane_turns[1], &b->lane_turns[1], b->at - a->at),
        .standby_replicator = spent_in(&a->replicator_turns[1], &b->replicator_turns[1], ns[1])};
}
