/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured while nodes run, by the bench's own process, which sleeps and reads what they count:
 * saturation, a standby alone, the lag at saturation, latency at a rate.
 */
#include "node/base/clock.h"
#include "tools/bench/bench.h"

#include <math.h>

/* What threads say of their turns, all together. */
struct nd_bench_turn_sums {
    uint64_t ns[FT_SPENT_KINDS], longs, longest;
};

/* What nodes show is a few milliseconds old, more when their core is busy: it bears its own time. */
struct nd_bench_reading {
    uint64_t at, released, replayed, arrived, waits, dropped, received, bursts;
    uint64_t shown_at[ND_NODES], lanes[ND_NODES], replicator[ND_NODES]; /* ns, processor time of threads */
    uint64_t link_bytes, records, credit_waits;
    struct nd_bench_turn_sums lane_turns[ND_NODES], replicator_turns[ND_NODES]; /* lanes': of `at` */
};

/* ==== reading nodes that run ======================================================================== */

#define SECOND 1e9

/* Packets, at both ports. */
static uint64_t arrived_at(const struct nd_bench_nodes *r)
{
    return ND_BENCH_SUM(r, 0, lane, arrived[0]) + ND_BENCH_SUM(r, 0, lane, arrived[1]);
}

/* Turns in which a lane did not receive: its hold or log ring was full, or its standby as far behind as it
 * may be. */
static uint64_t waits_of(const struct nd_bench_nodes *r)
{
    return ND_BENCH_SUM(r, 0, shared, count.ring_full) + ND_BENCH_SUM(r, 0, shared, count.hold_full) +
           ND_BENCH_SUM(r, 0, shared, count.lag_full);
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

/* Waits until what the nodes show is of after the call. FT_EIO: a node ended. */
static int read_nodes(struct nd_bench_nodes *r, struct nd_bench_reading *x, struct ft_fault *fault)
{
    struct nd_bench_slot *p = r->slot[0];
    int error;

    *x = (struct nd_bench_reading){.released = ND_BENCH_SUM(r, 0, lane, released),
                                   .replayed = ND_BENCH_SUM(r, 1, shared, count.replayed_packets)};
    r->at = x->at = nd_now();
    x->arrived = arrived_at(r);
    x->waits = waits_of(r);
    x->dropped = ND_BENCH_SUM(r, 0, shared, count.dropped);
    x->received = ND_BENCH_SUM(r, 0, shared, count.received);
    x->bursts = ND_BENCH_SUM(r, 0, shared, count.bursts) - ND_BENCH_SUM(r, 0, shared, count.empty_bursts);
    for (unsigned n = 0; n < ND_NODES; n++)
        for (unsigned l = 0; l < r->lanes; l++)
            add_turns(&x->lane_turns[n], &r->slot[n]->shared[l].count.turns);
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

/* Of something that a node shows, for each ns. */
static double rate_of(const struct nd_bench_reading *a, const struct nd_bench_reading *b, unsigned node,
                      uint64_t grown)
{
    uint64_t ns = b->shown_at[node] - a->shown_at[node];

    return ns ? (double)grown / (double)ns : 0;
}

static struct nd_bench_cpu cpu_used(const struct nd_bench_reading *a, const struct nd_bench_reading *b)
{
    return (struct nd_bench_cpu){
        rate_of(a, b, 0, b->lanes[0] - a->lanes[0]), rate_of(a, b, 0, b->replicator[0] - a->replicator[0]),
        rate_of(a, b, 1, b->lanes[1] - a->lanes[1]), rate_of(a, b, 1, b->replicator[1] - a->replicator[1])};
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

static struct nd_bench_turns turns_taken(const struct nd_bench_reading *a, const struct nd_bench_reading *b)
{
    uint64_t ns[ND_NODES] = {b->shown_at[0] - a->shown_at[0], b->shown_at[1] - a->shown_at[1]};

    return (struct nd_bench_turns){
        .lane = spent_in(&a->lane_turns[0], &b->lane_turns[0], b->at - a->at),
        .replicator = spent_in(&a->replicator_turns[0], &b->replicator_turns[0], ns[0]),
        .standby_lane = spent_in(&a->lane_turns[1], &b->lane_turns[1], b->at - a->at),
        .standby_replicator = spent_in(&a->replicator_turns[1], &b->replicator_turns[1], ns[1])};
}

/* ==== measurements ================================================================================== */

#define SAMPLES 20u   /* samples of the lag in a measurement at saturation */
#define LOOK_S  0.005 /* seconds between two samples of the lag at a load */
#define SECOND  1e9

const unsigned nd_bench_loads[ND_BENCH_LOADS] = {25, 50, 75, 90};

/* ---- opening ----------------------------------------------------------------------------------- */

static bool has_opened(struct nd_bench_nodes *r)
{
    return nd_bench_has_opened(r->slot[0], r->plan->load);
}

int nd_bench_open(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    atomic_store(&r->slot[0]->rate, ND_RATE_FULL);
    return nd_bench_wait(r, has_opened, "opening the flows", fault);
}

/* ---- saturation -------------------------------------------------------------------------------- */

static void set_saturation(struct nd_bench_result *out, const struct nd_bench_reading *a,
                           const struct nd_bench_reading *b)
{
    double ns = (double)(b->at - a->at), packets = (double)(b->released - a->released),
           came = (double)(b->arrived - a->arrived);

    packets = packets > 0 ? packets : 1;
    out->mpps = packets / ns * 1e3;
    out->ns = ns / packets;
    out->cpu = cpu_used(a, b);
    out->turns = turns_taken(a, b);
    out->lane_ns = out->cpu.lane * out->ns;
    out->wire_bytes = rate_of(a, b, 0, b->link_bytes - a->link_bytes) * out->ns;
    out->records = rate_of(a, b, 0, b->records - a->records) * SECOND;
    out->waits = b->waits - a->waits;
    out->credit_waits = b->credit_waits - a->credit_waits;
    out->dropped = came > 0 ? (double)(b->dropped - a->dropped) / came : 0;
}

/* Enough has left; or so much been dropped that nothing will. */
static bool has_measured(struct nd_bench_nodes *r)
{
    uint64_t released = ND_BENCH_SUM(r, 0, lane, released);

    return released - r->from >= ND_BENCH_LEAST ||
           (released == 0 && ND_BENCH_SUM(r, 0, shared, count.dropped) >= ND_BENCH_LEAST * 100ull);
}

int nd_bench_saturate(struct nd_bench_nodes *r, struct nd_bench_result *out, struct ft_fault *fault)
{
    struct nd_bench_reading a, b;
    int error;

    nd_bench_sleep(ND_BENCH_REST);
    error = read_nodes(r, &a, fault);
    r->from = a.released;
    for (unsigned i = 0; i < SAMPLES && !error; i++) {
        uint64_t lag;

        nd_bench_sleep(r->plan->options->seconds / SAMPLES);
        lag = atomic_load(&r->slot[0]->lag);
        out->lag[i * 2 / SAMPLES] = lag > out->lag[i * 2 / SAMPLES] ? lag : out->lag[i * 2 / SAMPLES];
        error = nd_bench_check(r, fault);
    }
    if (!error)
        error = nd_bench_wait(r, has_measured, "packets at saturation", fault);
    if (!error && ND_BENCH_SUM(r, 0, lane, released) == 0)
        error = ft_fail(fault, FT_EMALFORMED,
                        "none of %lu packets passed the chain, expected traffic that it lets pass",
                        arrived_at(r));
    if (!error)
        error = read_nodes(r, &b, fault);
    if (!error)
        set_saturation(out, &a, &b);
    return error;
}

/* ---- a standby alone -------------------------------------------------------------------------- */

static bool is_ready(const struct nd_bench_nodes *r)
{
    return atomic_load(&r->slot[1]->status.state) == FT_READY;
}

static bool has_replayed(struct nd_bench_nodes *r)
{
    return ND_BENCH_SUM(r, 1, shared, count.replayed_packets) >= r->from || !is_ready(r);
}

static int replay_to(struct nd_bench_nodes *r, uint64_t packets, struct ft_fault *fault)
{
    int error;

    r->from = packets;
    error = nd_bench_wait(r, has_replayed, "the standby's replay", fault);
    return error || is_ready(r) ? error
                                : ft_fail(fault, FT_EDIVERGED, "the standby gave up the stream: %.200s",
                                          r->slot[1]->status.why);
}

int nd_bench_replay(struct nd_bench_nodes *r, struct nd_bench_result *out, uint64_t packets,
                    struct ft_fault *fault)
{
    struct nd_bench_reading a, b;
    int error;

    atomic_store(&r->slot[0]->rate, ND_RATE_FULL);
    error = replay_to(r, packets / 10, fault);
    if (!error)
        error = read_nodes(r, &a, fault);
    if (!error)
        error = replay_to(r, packets - packets / 10, fault);
    if (!error)
        error = read_nodes(r, &b, fault);
    if (!error)
        error = replay_to(r, packets, fault);
    if (error)
        return error;
    out->ns = (double)(b.at - a.at) / (double)(b.replayed > a.replayed ? b.replayed - a.replayed : 1);
    out->mpps = 1e3 / out->ns;
    out->cpu = cpu_used(&a, &b);
    out->turns = turns_taken(&a, &b);
    out->standby_resident_mb = (double)atomic_load(&r->slot[1]->resident_bytes) / 1e6;
    return 0;
}

/* ---- the lag ----------------------------------------------------------------------------------- */

static uint64_t excess_over(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What is under way between the nodes, this moment. Each word is read by itself. */
static void sample_lag(struct nd_bench_nodes *r, struct nd_bench_sample *s)
{
    struct nd_bench_slot *p = r->slot[0], *q = r->slot[1];

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t replayed = atomic_load(&q->shared[l].report.executed),
                 stable = atomic_load(&p->shared[l].orders.stable);

        s->unacknowledged += excess_over(atomic_load(&p->shared[l].report.recorded), stable);
        s->unreplayed += excess_over(stable, replayed);
        s->unsent_bytes +=
            excess_over(atomic_load(&p->shared[l].log.head), atomic_load(&p->shared[l].log.tail));
    }
    s->unreplayed_bytes = ND_BENCH_SUM(r, 0, shared, orders.unreplayed);
    s->waits = waits_of(r);
    s->held = ND_BENCH_SUM(r, 0, shared, count.held);
    s->packets = atomic_load(&p->lag);
    s->credit_waits = atomic_load(&p->credit_waits);
    s->resident_mb = (double)atomic_load(&p->resident_bytes) / 1e6;
    s->standby_resident_mb = (double)atomic_load(&q->resident_bytes) / 1e6;
}

int nd_bench_watch(struct nd_bench_nodes *r, struct nd_bench_lag *out, struct ft_fault *fault)
{
    uint64_t began = nd_now(), at = began, released = ND_BENCH_SUM(r, 0, lane, released);
    struct nd_bench_sample before = {0};
    int error = 0;

    sample_lag(r, &before);
    for (out->count = 0; out->count < out->seconds && !error; out->count++) {
        struct nd_bench_sample *s = &out->sample[out->count], now = {0};
        uint64_t next = began + (out->count + 1) * (uint64_t)SECOND, left, then;

        nd_bench_sleep((double)excess_over(next, nd_now()) / SECOND);
        error = nd_bench_check(r, fault);
        sample_lag(r, &now);
        left = ND_BENCH_SUM(r, 0, lane, released);
        then = nd_now();
        *s = now;
        s->second = (double)(then - began) / SECOND;
        s->mpps = (double)(left - released) / (double)(then - at) * 1e3;
        s->waits -= before.waits;
        s->credit_waits -= before.credit_waits;
        released = left;
        at = then;
        before = now;
    }
    return error;
}

/* ---- latency ----------------------------------------------------------------------------------- */

static bool has_timed(struct nd_bench_nodes *r)
{
    const struct nd_bench_slot *slot = r->slot[0];
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        if (atomic_load(&slot->lane[l].phase_seen) == atomic_load(&slot->phase))
            n += atomic_load(&slot->lane[l].times.count);
    return n >= ND_BENCH_LEAST;
}

/* What is sent and not known to be replayed now is the last of the load so far, and perhaps the most. */
static void sample_backlog(const struct nd_bench_nodes *r, struct nd_bench_latency *out)
{
    uint64_t bytes = r->alone ? 0 : ND_BENCH_SUM(r, 0, shared, orders.unreplayed);

    out->lag_end_packets = atomic_load(&r->slot[0]->lag);
    out->lag_end_mb = (double)bytes / 1e6;
    if (out->lag_end_packets > out->lag_packets)
        out->lag_packets = out->lag_end_packets;
    if (out->lag_end_mb > out->lag_mb)
        out->lag_mb = out->lag_end_mb;
}

static int sample_load(struct nd_bench_nodes *r, struct nd_bench_latency *out, struct ft_fault *fault)
{
    unsigned looks = (unsigned)(r->plan->options->seconds / LOOK_S) + 1;
    int error = 0;

    for (unsigned i = 0; i < looks && !error; i++) {
        nd_bench_sleep(r->plan->options->seconds / looks);
        sample_backlog(r, out);
        error = nd_bench_check(r, fault);
    }
    return error ? error : nd_bench_wait(r, has_timed, "the latency's packets", fault);
}

static uint64_t middle_of_bucket(uint32_t bucket)
{
    uint32_t shift = bucket / ND_TIMES_SUB;

    if (shift == 0)
        return bucket;
    shift--;
    return ((uint64_t)(bucket % ND_TIMES_SUB + ND_TIMES_SUB) << shift) + ((1ull << shift) >> 1);
}

/* The time in us that `share` of the `all` counted ones do not exceed; 0 of nothing. */
static double time_below(const uint64_t bucket[], uint64_t all, double share)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; i < ND_TIMES_BUCKETS && all; i++) {
        seen += bucket[i];
        if ((double)seen >= share * (double)all)
            return (double)middle_of_bucket(i) / 1e3;
    }
    return 0;
}

static void set_times(const struct nd_bench_nodes *r, struct nd_bench_latency *out)
{
    uint64_t bucket[ND_TIMES_BUCKETS] = {0}, all = 0;
    struct nd_bench_slot *slot = r->slot[0];

    for (unsigned l = 0; l < r->lanes; l++) {
        const struct nd_times *t = &slot->lane[l].times;

        if (atomic_load(&slot->lane[l].phase_seen) != atomic_load(&slot->phase))
            continue;
        for (uint32_t i = 0; i < ND_TIMES_BUCKETS; i++) {
            uint64_t n = atomic_load_explicit(&t->bucket[i], memory_order_relaxed);

            bucket[i] += n;
            all += n;
        }
        out->most = fmax(out->most, (double)atomic_load(&t->most) / 1e3);
    }
    out->p50 = time_below(bucket, all, 0.5);
    out->p99 = time_below(bucket, all, 0.99);
}

/* Begins when the standby has caught up with all that came before, so that no load bears what another left.
 */
int nd_bench_latency(struct nd_bench_nodes *r, struct nd_bench_latency *out, double mpps,
                     struct ft_fault *fault)
{
    struct nd_bench_reading a, b;
    int error = nd_bench_quieten(r, fault);
    double bursts;

    *out = (struct nd_bench_latency){.mpps = mpps};
    atomic_store(&r->slot[0]->rate, (uint64_t)(mpps * 1e6) + 1);
    nd_bench_sleep(ND_BENCH_REST);
    if (!error)
        error = read_nodes(r, &a, fault);
    atomic_fetch_add(&r->slot[0]->phase, 1);
    if (!error)
        error = sample_load(r, out, fault);
    if (!error)
        error = read_nodes(r, &b, fault);
    if (error)
        return error;
    sample_backlog(r, out);
    set_times(r, out);
    bursts = (double)(b.bursts - a.bursts);
    out->bursts = bursts / (double)(b.at - a.at) * SECOND;
    out->packets = bursts > 0 ? (double)(b.received - a.received) / bursts : 0;
    out->records = rate_of(&a, &b, 0, b.records - a.records) * SECOND;
    out->cpu = cpu_used(&a, &b);
    out->turns = turns_taken(&a, &b);
    return 0;
}

/* ==== of several runs ================================================================================ */

double nd_bench_median(const struct nd_bench_result runs[], unsigned count, size_t offset)
{
    double values[ND_BENCH_PAIRS];

    for (unsigned i = 0; i < count; i++)
        values[i] = *(const double *)((const char *)&runs[i] + offset);
    return nd_quantile(values, count, 0.5);
}
