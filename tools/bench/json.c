/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's figures, for programs. */
#include "tools/bench/bench.h"
#include "node/control/pair.h"

static json_t *three(double p50, double p99, double most)
{
    return json_pack("{s:f, s:f, s:f}", "p50", p50, "p99", p99, "max", most);
}

static json_t *threads(const struct nd_bench_cpu *cpu)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "lane", cpu->lane, "replicator", cpu->replicator, "standby_lane",
                     cpu->standby_lane, "standby_replicator", cpu->standby_replicator);
}

/* What the nodes did at a load, `off` first. */
static void add_work(json_t *to, const struct nd_bench_latency *off, const struct nd_bench_latency *with)
{
    json_object_update_new(
        to, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:I, s:f, s:o}", "off_bursts_per_s",
                      off->bursts, "off_packets_per_burst", off->packets, "off_cpu_lane", off->cpu.lane,
                      "bursts_per_s", with->bursts, "packets_per_burst", with->packets, "records_per_s",
                      with->records, "lag_packets", (json_int_t)with->lag_packets, "lag_mb", with->lag_mb,
                      "lag_end_packets", (json_int_t)with->lag_end_packets, "lag_end_mb", with->lag_end_mb,
                      "cpu", threads(&with->cpu)));
}

static json_t *latencies(const struct nd_bench_row *row)
{
    json_t *list = json_array();

    for (unsigned l = 0; l < ND_BENCH_LOADS && row->late; l++) {
        const struct nd_bench_latency *a = &row->off_late.latency[l], *b = &row->with_late.latency[l];

        json_t *one =
            json_pack("{s:i, s:f, s:o, s:o, s:o}", "load_pct", (int)nd_bench_loads[l], "mpps", b->mpps,
                      "off_us", three(a->p50, a->p99, a->most), "us", three(b->p50, b->p99, b->most),
                      "added_us", three(b->p50 - a->p50, b->p99 - a->p99, b->most - a->most));

        add_work(one, a, b);
        json_array_append_new(list, one);
    }
    return list;
}

/* At half of saturation. */
static json_t *added(const struct nd_bench_row *row)
{
    const struct nd_bench_latency *a = &row->off_late.latency[1], *b = &row->with_late.latency[1];

    return row->late ? three(b->p50 - a->p50, b->p99 - a->p99, b->most - a->most) : json_null();
}

static json_t *known(double v)
{
    return v < 0 ? json_null() : json_real(v);
}

static json_t *cpu_of(const struct nd_bench_row *row)
{
    const struct nd_bench_cpu median = {.lane = ND_BENCH_MEDIAN(row, cpu.lane),
                                        .replicator = ND_BENCH_MEDIAN(row, cpu.replicator),
                                        .standby_lane = ND_BENCH_MEDIAN(row, cpu.standby_lane),
                                        .standby_replicator = ND_BENCH_MEDIAN(row, cpu.standby_replicator)};

    return threads(&median);
}

static json_t *memory_of(const struct nd_bench_row *row)
{
    return json_pack("{s:f, s:f, s:f}", "region", row->with[0].region_mb, "primary", row->with[0].resident_mb,
                     "standby", row->with[0].standby_resident_mb);
}

static json_t *pairs_of(const struct nd_bench_row *row)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < row->pairs; i++)
        json_array_append_new(list, json_pack("[f, f]", row->off[i].mpps, row->with[i].mpps));
    return list;
}

static json_t *run_object(const struct nd_bench_row *row, const struct nd_config *config,
                          const struct nd_bench_options *o, unsigned lanes)
{
    double percent, ns, spread;
    json_t *run;

    if (row->refused[0])
        return json_pack("{s:s, s:s, s:s}", "protection", row->protection.name, "chain", config->chain.name,
                         "refused", row->refused);
    nd_bench_overhead(row, &percent, &ns, &spread);
    run = json_pack("{s:s, s:s, s:o, s:I, s:f, s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "protection",
                    row->protection.name, "chain", config->chain.name, "frame",
                    o->capture      ? json_string("capture")
                    : o->wish.frame ? json_integer((json_int_t)o->wish.frame)
                                    : json_string("imix"),
                    "flows", (json_int_t)(o->capture ? 0 : o->wish.flows), "mpps", ND_BENCH_MEDIAN(row, mpps),
                    "standby",
                    !row->protection.protect.pair    ? "none"
                    : row->protection.protect.stores ? "warm"
                                                     : "hot",
                    "overhead_pct", percent, "overhead_ns", ns, "overhead_spread", spread, "ns",
                    ND_BENCH_MEDIAN(row, ns), "wire_bytes_per_packet", ND_BENCH_MEDIAN(row, wire_bytes),
                    "records_per_s", ND_BENCH_MEDIAN(row, records));
    json_object_set_new(run, "added_latency_us", added(row));
    json_object_set_new(run, "latency", latencies(row));
    json_object_set_new(run, "takeover_ms", known(nd_bench_takeover(row, 0.5)));
    json_object_set_new(run, "takeover_p90_ms", known(nd_bench_takeover(row, 0.9)));
    json_object_set_new(run, "takeover_worst_ms", known(nd_bench_takeover(row, 1)));
    json_object_set_new(run, "replayed_ms", known(nd_bench_replayed(row, 0.5)));
    json_object_set_new(run, "replayed_worst_ms", known(nd_bench_replayed(row, 1)));
    json_object_set_new(run, "takeovers", json_integer((json_int_t)row->takeovers));
    json_object_set_new(run, "takeover_load_pct", json_integer((json_int_t)o->takeover_load));
    json_object_set_new(run, "realtime", json_boolean(row->pairs && row->with[0].realtime));
    json_object_set_new(run, "cpu", cpu_of(row));
    json_object_set_new(run, "memory_mb", memory_of(row));
    json_object_set_new(run, "lane_ns", json_real(ND_BENCH_MEDIAN(row, lane_ns)));
    json_object_set_new(run, "limit", json_string(nd_bench_limit(row)));
    json_object_set_new(run, "lag_packets", json_integer((json_int_t)nd_bench_most_lag(row, 0)));
    json_object_set_new(run, "lag_late_packets", json_integer((json_int_t)nd_bench_most_lag(row, 1)));
    json_object_set_new(
        run, "waits", json_integer((json_int_t)nd_bench_mean(row, offsetof(struct nd_bench_result, waits))));
    json_object_set_new(
        run, "credit_waits",
        json_integer((json_int_t)nd_bench_mean(row, offsetof(struct nd_bench_result, credit_waits))));
    json_object_set_new(run, "lag", row->lag.count ? nd_bench_lag_object(&row->lag) : json_null());
    json_object_set_new(run, "lanes", json_integer((json_int_t)lanes));
    json_object_set_new(run, "dropped_share", json_real(ND_BENCH_MEDIAN(row, dropped)));
    json_object_set_new(run, "pairs_mpps", pairs_of(row));
    json_object_set_new(run, "settings", json_string(row->protection.settings));
    return run;
}

int nd_bench_print_json(const struct nd_bench_row rows[], unsigned count, const struct nd_config *config,
                        const struct nd_bench_options *o, unsigned lanes)
{
    json_t *runs = json_array(), *all;
    char text[256];
    int code;

    nd_bench_machine(text, sizeof(text));
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(runs, run_object(&rows[i], config, o, lanes));
    all = json_pack("{s:s, s:o}", "machine", text, "runs", runs);
    code = all ? nd_print_json(all) : ND_SOFTWARE;
    json_decref(all);
    return code;
}
