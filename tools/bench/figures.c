/* SPDX-License-Identifier: Apache-2.0 */
/* What the runs of a protection came to, as figures in tables; text and JSON walk the same columns. */
#include "tools/bench/bench.h"

#include <string.h>

#define OF(field)      offsetof(struct nd_bench_figures, field)
#define OF_LOAD(field) offsetof(struct nd_bench_load_figures, field)

const struct nd_column nd_bench_cost_columns[] = {
    ND_REAL("Mpps", "mpps", OF(with.mpps), 8, 3),
    {"overhead", "overhead_pct", ND_COLUMN_REAL, OF(overhead_pct), 8, 1, 1, "%"},
    {"spread", "overhead_spread", ND_COLUMN_REAL, OF(overhead_spread), 6, 1, 1, "%"},
    ND_REAL("ns/pkt", "ns", OF(with.ns), 8, 1),
    ND_REAL("+ns", "overhead_ns", OF(overhead_ns), 7, 1),
    ND_REAL("lane ns", "lane_ns", OF(with.lane_ns), 8, 1),
    ND_REAL("B/pkt", "wire_bytes_per_packet", OF(with.wire_bytes), 8, 1),
    ND_REAL("records/s", "records_per_s", OF(with.records), 9, 0),
    ND_KNOWN("takeover", "takeover_ms", OF(takeover), 8, 2),
    ND_KNOWN("p90", "takeover_p90_ms", OF(takeover_p90), 8, 2),
    ND_KNOWN("worst", "takeover_worst_ms", OF(takeover_worst), 8, 2),
    ND_KNOWN(NULL, "replayed_ms", OF(replayed), 0, 0),
    ND_KNOWN(NULL, "replayed_worst_ms", OF(replayed_worst), 0, 0),
    ND_WHOLE(NULL, "takeovers", OF(takeovers), 0),
    ND_WHOLE(NULL, "takeover_load_pct", OF(takeover_load), 0),
    ND_WHOLE(NULL, "lanes", OF(lanes), 0),
    {.title = NULL},
};

const struct nd_column nd_bench_resource_columns[] = {
    ND_SHARE("lane", "cpu.lane", OF(with.cpu.lane), 6, 0),
    ND_SHARE("replic.", "cpu.replicator", OF(with.cpu.replicator), 7, 0),
    ND_SHARE("sb lane", "cpu.standby_lane", OF(with.cpu.standby_lane), 7, 0),
    ND_SHARE("sb repl.", "cpu.standby_replicator", OF(with.cpu.standby_replicator), 7, 0),
    ND_TEXT_COLUMN("limit", "limit", OF(limit), 7),
    ND_REAL("|region MB", "memory_mb.region", OF(with.region_mb), 9, 1),
    ND_REAL("primary", "memory_mb.primary", OF(with.resident_mb), 8, 1),
    ND_REAL("standby", "memory_mb.standby", OF(with.standby_resident_mb), 8, 1),
    ND_WHOLE("|lag, pkts", "lag_packets", OF(lag), 9),
    ND_WHOLE("then", "lag_late_packets", OF(lag_late), 9),
    ND_WHOLE("waits", "waits", OF(waits), 8),
    ND_WHOLE(NULL, "credit_waits", OF(credit_waits), 0),
    ND_SHARE("dropped", "dropped_share", OF(with.dropped), 7, 2),
    {.title = NULL},
};

/* Useful time; turns longer than a millisecond, a second; the longest turn, ms. */
const struct nd_column nd_bench_turn_columns[] = {
    ND_SHARE("lane", "useful.lane", OF(with.turns.lane.useful), 7, 0),
    ND_SHARE("replic.", "useful.replicator", OF(with.turns.replicator.useful), 7, 0),
    ND_SHARE("sb lane", "useful.standby_lane", OF(with.turns.standby_lane.useful), 7, 0),
    ND_SHARE("sb repl.", "useful.standby_replicator", OF(with.turns.standby_replicator.useful), 8, 0),
    ND_REAL(NULL, "empty.lane", OF(with.turns.lane.empty), 0, 0),
    ND_REAL(NULL, "empty.replicator", OF(with.turns.replicator.empty), 0, 0),
    ND_REAL(NULL, "empty.standby_lane", OF(with.turns.standby_lane.empty), 0, 0),
    ND_REAL(NULL, "empty.standby_replicator", OF(with.turns.standby_replicator.empty), 0, 0),
    ND_REAL(NULL, "asleep.lane", OF(with.turns.lane.asleep), 0, 0),
    ND_REAL(NULL, "asleep.replicator", OF(with.turns.replicator.asleep), 0, 0),
    ND_REAL(NULL, "asleep.standby_lane", OF(with.turns.standby_lane.asleep), 0, 0),
    ND_REAL(NULL, "asleep.standby_replicator", OF(with.turns.standby_replicator.asleep), 0, 0),
    ND_REAL("|lane", "long_turns_per_s.lane", OF(with.turns.lane.longs), 7, 1),
    ND_REAL("replic.", "long_turns_per_s.replicator", OF(with.turns.replicator.longs), 7, 1),
    ND_REAL("sb lane", "long_turns_per_s.standby_lane", OF(with.turns.standby_lane.longs), 7, 1),
    ND_REAL("sb repl.", "long_turns_per_s.standby_replicator", OF(with.turns.standby_replicator.longs), 8, 1),
    ND_REAL("|lane", "longest_turn_ms.lane", OF(with.turns.lane.longest), 7, 1),
    ND_REAL("replic.", "longest_turn_ms.replicator", OF(with.turns.replicator.longest), 7, 1),
    ND_REAL("sb lane", "longest_turn_ms.standby_lane", OF(with.turns.standby_lane.longest), 7, 1),
    ND_REAL("sb repl.", "longest_turn_ms.standby_replicator", OF(with.turns.standby_replicator.longest), 8,
            1),
    {.title = NULL},
};

const struct nd_column nd_bench_latency_columns[] = {
    {"load", "load_pct", ND_COLUMN_WHOLE, OF_LOAD(load), 5, 0, 1, "%"},
    ND_REAL("Mpps", "mpps", OF_LOAD(with.mpps), 8, 3),
    ND_REAL("|off p50", "off_us.p50", OF_LOAD(off.p50), 8, 1),
    ND_REAL("p99", "off_us.p99", OF_LOAD(off.p99), 8, 1),
    ND_REAL("max", "off_us.max", OF_LOAD(off.most), 9, 1),
    ND_REAL("|p50", "us.p50", OF_LOAD(with.p50), 8, 1),
    ND_REAL("p99", "us.p99", OF_LOAD(with.p99), 8, 1),
    ND_REAL("max", "us.max", OF_LOAD(with.most), 9, 1),
    ND_REAL("|added p50", "added_us.p50", OF_LOAD(added_p50), 9, 1),
    ND_REAL("p99", "added_us.p99", OF_LOAD(added_p99), 8, 1),
    ND_REAL("max", "added_us.max", OF_LOAD(added_most), 9, 1),
    {.title = NULL},
};

/* What nodes did at the latency's loads, and how far the standby was behind. */
const struct nd_column nd_bench_work_columns[] = {
    {"load", "load_pct", ND_COLUMN_WHOLE, OF_LOAD(load), 5, 0, 1, "%"},
    ND_REAL("off b/s", "off_bursts_per_s", OF_LOAD(off.bursts), 9, 0),
    ND_REAL("pkts/b", "off_packets_per_burst", OF_LOAD(off.packets), 8, 1),
    ND_SHARE("lane", "off_cpu_lane", OF_LOAD(off.cpu.lane), 5, 0),
    ND_REAL("|bursts/s", "bursts_per_s", OF_LOAD(with.bursts), 9, 0),
    ND_REAL("pkts/b", "packets_per_burst", OF_LOAD(with.packets), 8, 1),
    ND_REAL("records/s", "records_per_s", OF_LOAD(with.records), 9, 0),
    ND_WHOLE("lag pkts", "lag_packets", OF_LOAD(with.lag_packets), 9),
    ND_REAL("MB", "lag_mb", OF_LOAD(with.lag_mb), 8, 2),
    ND_WHOLE("at end", "lag_end_packets", OF_LOAD(with.lag_end_packets), 9),
    ND_REAL("MB", "lag_end_mb", OF_LOAD(with.lag_end_mb), 8, 2),
    ND_SHARE("|lane", "cpu.lane", OF_LOAD(with.cpu.lane), 5, 0),
    ND_SHARE("replic.", "cpu.replicator", OF_LOAD(with.cpu.replicator), 7, 0),
    ND_SHARE("sb lane", "cpu.standby_lane", OF_LOAD(with.cpu.standby_lane), 7, 0),
    ND_SHARE("sb repl.", "cpu.standby_replicator", OF_LOAD(with.cpu.standby_replicator), 7, 0),
    ND_REAL(NULL, "useful.lane", OF_LOAD(with.turns.lane.useful), 0, 0),
    ND_REAL(NULL, "useful.replicator", OF_LOAD(with.turns.replicator.useful), 0, 0),
    ND_REAL(NULL, "useful.standby_lane", OF_LOAD(with.turns.standby_lane.useful), 0, 0),
    ND_REAL(NULL, "useful.standby_replicator", OF_LOAD(with.turns.standby_replicator.useful), 0, 0),
    ND_REAL(NULL, "long_turns_per_s.lane", OF_LOAD(with.turns.lane.longs), 0, 0),
    ND_REAL(NULL, "long_turns_per_s.replicator", OF_LOAD(with.turns.replicator.longs), 0, 0),
    ND_REAL(NULL, "long_turns_per_s.standby_lane", OF_LOAD(with.turns.standby_lane.longs), 0, 0),
    ND_REAL(NULL, "long_turns_per_s.standby_replicator", OF_LOAD(with.turns.standby_replicator.longs), 0, 0),
    {.title = NULL},
};

double nd_bench_median(const struct nd_bench_result runs[], unsigned count, size_t offset)
{
    double values[ND_BENCH_PAIRS];

    for (unsigned i = 0; i < count; i++)
        values[i] = *(const double *)((const char *)&runs[i] + offset);
    return nd_quantile(values, count, 0.5);
}

static void set_overhead(struct nd_bench_figures *f, const struct nd_bench_row *row)
{
    double percent[ND_BENCH_PAIRS], more[ND_BENCH_PAIRS];

    for (unsigned i = 0; i < row->pairs; i++) {
        percent[i] = (1 - row->with[i].mpps / row->off[i].mpps) * 100;
        more[i] = row->with[i].ns - row->off[i].ns;
    }
    f->overhead_pct = nd_quantile(percent, row->pairs, 0.5);
    f->overhead_spread =
        (nd_quantile(percent, row->pairs, 0.75) - nd_quantile(percent, row->pairs, 0.25)) / 2;
    f->overhead_ns = nd_quantile(more, row->pairs, 0.5);
}

/* `share` of the runs that ended with a kill took no longer, ms; negative: there was none. */
static double quantile_of(const double values[], unsigned count, double share)
{
    double ms[ND_BENCH_PAIRS + 1 + ND_BENCH_KILLS];

    memcpy(ms, values, sizeof(ms));
    return count ? nd_quantile(ms, count, share) : -1;
}

/* The longest turn of any run. */
static void keep_longest(struct nd_bench_turns *most, const struct nd_bench_turns *run)
{
    struct nd_bench_spent *const kept[] = {&most->lane, &most->replicator, &most->standby_lane,
                                           &most->standby_replicator};
    const struct nd_bench_spent *const seen[] = {&run->lane, &run->replicator, &run->standby_lane,
                                                 &run->standby_replicator};

    for (unsigned i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        kept[i]->longest = seen[i]->longest > kept[i]->longest ? seen[i]->longest : kept[i]->longest;
}

void nd_bench_figures(struct nd_bench_figures *f, const struct nd_bench_row *row,
                      const struct nd_bench_options *o, unsigned lanes)
{
    const struct nd_bench_cpu *cpu = &f->with.cpu;

    *f = (struct nd_bench_figures){
        .takeover = quantile_of(row->takeover_ms, row->takeovers, 0.5),
        .takeover_p90 = quantile_of(row->takeover_ms, row->takeovers, 0.9),
        .takeover_worst = quantile_of(row->takeover_ms, row->takeovers, 1),
        .replayed = quantile_of(row->replayed_ms, row->takeovers, 0.5),
        .replayed_worst = quantile_of(row->replayed_ms, row->takeovers, 1),
        .takeovers = row->takeovers,
        .takeover_load = o->takeover_load,
        .lanes = lanes,
    };
    set_overhead(f, row);
    for (size_t at = 0; at <= offsetof(struct nd_bench_result, dropped); at += sizeof(double))
        *(double *)((char *)&f->with + at) = nd_bench_median(row->with, row->pairs, at);
    f->with.region_mb = row->with[0].region_mb;
    f->with.resident_mb = row->with[0].resident_mb;
    f->with.standby_resident_mb = row->with[0].standby_resident_mb;
    f->limit = cpu->lane >= cpu->replicator + cpu->standby_lane + cpu->standby_replicator ? "lane" : "second";
    for (unsigned i = 0; i < row->pairs; i++) {
        const struct nd_bench_result *r = &row->with[i];

        f->lag = r->lag[0] > f->lag ? r->lag[0] : f->lag;
        f->lag_late = r->lag[1] > f->lag_late ? r->lag[1] : f->lag_late;
        f->waits += r->waits;
        f->credit_waits += r->credit_waits;
        keep_longest(&f->with.turns, &r->turns);
    }
    f->waits /= row->pairs ? row->pairs : 1;
    f->credit_waits /= row->pairs ? row->pairs : 1;
}

void nd_bench_load_figures(struct nd_bench_load_figures *f, const struct nd_bench_row *row, unsigned load)
{
    const struct nd_bench_latency *off = &row->off_late.latency[load], *with = &row->with_late.latency[load];

    *f = (struct nd_bench_load_figures){.load = nd_bench_loads[load],
                                        .off = *off,
                                        .with = *with,
                                        .added_p50 = with->p50 - off->p50,
                                        .added_p99 = with->p99 - off->p99,
                                        .added_most = with->most - off->most};
}
