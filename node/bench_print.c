/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's tables, for people and for programs. */
#define _GNU_SOURCE /* sets of cores */
#include "node/bench.h"
#include "node/pair.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MEDIAN(row, field) nd_bench_median((row)->with, (row)->pairs, offsetof(struct nd_bench_result, field))

void nd_bench_machine(char *out, size_t cap)
{
    char line[256], model[128] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "re");
    struct utsname name = {.release = ""};

    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(model, sizeof(model), "%.100s", strchr(line, ':') + 2);
            model[strcspn(model, "\n")] = '\0';
            break;
        }
    if (f)
        fclose(f);
    uname(&name);
    snprintf(out, cap, "%s, %ld cores, Linux %.60s", model, sysconf(_SC_NPROCESSORS_ONLN), name.release);
}

/* A share of the runs that ended with a kill took no longer; negative: there was none. */
static double at_share(const double values[], unsigned count, double share)
{
    double ms[ND_BENCH_PAIRS + 1 + ND_BENCH_KILLS];

    memcpy(ms, values, sizeof(ms));
    return count ? nd_bench_quantile(ms, count, share) : -1;
}

static double takeover_at(const struct nd_bench_row *row, double share)
{
    return at_share(row->takeover_ms, row->takeovers, share);
}

/* Most packets that the standby was behind in a half of the time, over all pairs. */
static uint64_t most_lag(const struct nd_bench_row *row, unsigned half)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < row->pairs; i++)
        most = row->with[i].lag[half] > most ? row->with[i].lag[half] : most;
    return most;
}

static uint64_t mean(const struct nd_bench_row *row, size_t offset)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < row->pairs; i++)
        sum += *(const uint64_t *)((const char *)&row->with[i] + offset);
    return row->pairs ? sum / row->pairs : 0;
}

static uint64_t mean_waits(const struct nd_bench_row *row)
{
    return mean(row, offsetof(struct nd_bench_result, waits));
}

/* Which core had more to do. */
static const char *limit_of(const struct nd_bench_row *row)
{
    double rest =
        MEDIAN(row, cpu_replicator) + MEDIAN(row, cpu_standby_lane) + MEDIAN(row, cpu_standby_replicator);

    return MEDIAN(row, cpu_lane) >= rest ? "lane" : "second";
}

/* ---- for people -------------------------------------------------------------------------------- */

static void print_traffic(FILE *out, const struct nd_bench_options *o, const struct nd_load *load)
{
    if (o->capture)
        fprintf(out, "traffic     %s, again and again\n", o->capture);
    else {
        fprintf(out, "traffic     %lu flows, %s, ", o->wish.flows, o->wish.zipf > 0 ? "Zipf" : "all alike");
        if (o->wish.zipf > 0)
            fprintf(out, "skew %.2f, ", o->wish.zipf);
        if (o->wish.frame)
            fprintf(out, "frames of %u bytes", o->wish.frame);
        else
            fprintf(out, "IMIX (64, 576, 1500 bytes as 7:4:1)");
        if (o->wish.new_flows)
            fprintf(out, ", %lu new flows a second", o->wish.new_flows);
        fprintf(out, "\n");
    }
    fprintf(out, "            from inside%s\n",
            load->side[NF_OUTSIDE].count == 0 ? " only: answers would have to know what the chain made of it"
            : load->service                   ? "; from outside clients of the load balancer's service"
            : load->answers                   ? ", and the answers from outside"
                                              : " and outside, as captured");
}

static void print_head(FILE *out, const struct nd_config *config, const struct nd_load *load,
                       const struct nd_bench_options *o)
{
    char text[256];
    cpu_set_t lanes;
    int rest;
    unsigned of_lanes = nd_bench_cores(load->lanes, &lanes, &rest);

    nd_bench_machine(text, sizeof(text));
    fprintf(out, "machine     %s\n", text);
    fprintf(out, "chain       %s (%s)\n", config->chain.name, config->file);
    print_traffic(out, o, load);
    fprintf(out, "lanes       %u%s\n", load->lanes,
            of_lanes && of_lanes < load->lanes
                ? ", which share what cores they have: in turn, not beside each other"
                : "");
    if (of_lanes)
        fprintf(
            out,
            "cores       %u for the primary's lanes; %d: its replicator, the link over TCP on the loopback, "
            "the standby's\n            replicator and lanes; no real-time priorities, idle lanes sleep as "
            "in "
            "the product\n",
            of_lanes, rest);
    else
        fprintf(out, "cores       one for all: nothing is pinned\n");
    fprintf(out,
            "measured    %u pairs with off, %g s each; times of the pair: detect %u ms, a death told by the "
            "guardian\n\n",
            o->pairs, o->seconds, nd_bench_timing().detect_ms);
}

static void print_ms(FILE *out, double v)
{
    if (v < 0)
        fprintf(out, " %8s", "-");
    else
        fprintf(out, " %8.2f", v);
}

static void print_costs(FILE *out, const struct nd_bench_row rows[], unsigned count)
{
    fprintf(out, "%-14s %8s %9s %7s %8s %7s %8s %8s %9s %8s %8s %8s\n", "protection", "Mpps", "overhead",
            "spread", "ns/pkt", "+ns", "lane ns", "B/pkt", "records/s", "takeover", "p90", "worst");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_bench_row *row = &rows[i];
        double percent, ns, spread;

        if (row->refused[0]) {
            fprintf(out, "%-14s not run: %s\n", row->protection.name, row->refused);
            continue;
        }
        nd_bench_overhead(row, &percent, &ns, &spread);
        fprintf(out, "%-14s %8.3f %8.1f%% %6.1f%% %8.1f %7.1f %8.1f %8.1f %9.0f", row->protection.name,
                MEDIAN(row, mpps), percent, spread, MEDIAN(row, ns), ns, MEDIAN(row, lane_ns),
                MEDIAN(row, wire_bytes), MEDIAN(row, records));
        print_ms(out, takeover_at(row, 0.5));
        print_ms(out, takeover_at(row, 0.9));
        print_ms(out, takeover_at(row, 1));
        fprintf(out, "\n");
    }
    fprintf(out,
            "overhead, +ns: median of the pairs' ratios and differences; spread: half of the range between "
            "their quartiles; lane ns:\nprocessor time of the lane for a packet, spinning included; B/pkt: "
            "on the link, heartbeats and all; takeover: ms from the kill to the "
            "successor's first released packet\n\n");
}

static void print_latency(FILE *out, const struct nd_bench_row rows[], unsigned count)
{
    fprintf(out, "%-14s %6s %8s | %8s %8s %9s | %8s %8s %9s | %8s %8s %9s\n", "latency, us", "load", "Mpps",
            "off p50", "p99", "max", "p50", "p99", "max", "added p50", "p99", "max");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_bench_row *row = &rows[i];

        for (unsigned l = 0; l < ND_BENCH_LOADS && row->late; l++) {
            const struct nd_bench_latency *a = &row->off_late.latency[l], *b = &row->with_late.latency[l];

            fprintf(out, "%-14s %5u%% %8.3f | %8.1f %8.1f %9.1f | %8.1f %8.1f %9.1f | %9.1f %8.1f %9.1f\n",
                    row->protection.name, nd_bench_loads[l], b->mpps, a->p50, a->p99, a->most, b->p50, b->p99,
                    b->most, b->p50 - a->p50, b->p99 - a->p99, b->most - a->most);
        }
    }
    fprintf(out, "from the scheduled arrival to the release; load: of what the protection reached at "
                 "saturation, the same for off\n\n");
}

static void print_resources(FILE *out, const struct nd_bench_row rows[], unsigned count)
{
    fprintf(out, "%-14s %7s %8s %8s %8s %7s | %9s %8s %8s | %9s %9s %8s %8s\n", "of a core", "lane",
            "replic.", "sb lane", "sb repl.", "limit", "region MB", "primary", "standby", "lag, pkts", "then",
            "waits", "dropped");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_bench_row *row = &rows[i];

        if (row->refused[0])
            continue;
        fprintf(out,
                "%-14s %6.0f%% %7.0f%% %7.0f%% %7.0f%% %7s | %9.1f %8.1f %8.1f | %9lu %9lu %8lu %7.2f%%\n",
                row->protection.name, MEDIAN(row, cpu_lane) * 100, MEDIAN(row, cpu_replicator) * 100,
                MEDIAN(row, cpu_standby_lane) * 100, MEDIAN(row, cpu_standby_replicator) * 100, limit_of(row),
                row->with[0].region_mb, row->with[0].resident_mb, row->with[0].standby_resident_mb,
                most_lag(row, 0), most_lag(row, 1), mean_waits(row), MEDIAN(row, dropped) * 100);
    }
    fprintf(out, "at saturation; limit: the core with more to do; MB: of state, and resident, ports "
                 "included; lag: most "
                 "packets sent\nand not yet replayed, in the first half of the time and in the second; "
                 "waits: turns in which "
                 "the lane did not receive,\nits hold or log ring being full\n\n");
}

void nd_bench_print(FILE *out, const struct nd_bench_row rows[], unsigned count,
                    const struct nd_config *config, const struct nd_load *load,
                    const struct nd_bench_options *o)
{
    print_head(out, config, load, o);
    print_costs(out, rows, count);
    if (!o->no_latency)
        print_latency(out, rows, count);
    print_resources(out, rows, count);
    for (unsigned i = 0; i < count; i++)
        if (rows[i].lag.count)
            nd_bench_print_lag(out, rows[i].protection.name, &rows[i].lag);
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "%-14s %s\n", rows[i].protection.name, rows[i].protection.settings);
}

/* ---- for programs ------------------------------------------------------------------------------ */

static json_t *three(double p50, double p99, double most)
{
    return json_pack("{s:f, s:f, s:f}", "p50", p50, "p99", p99, "max", most);
}

static json_t *latencies(const struct nd_bench_row *row)
{
    json_t *list = json_array();

    for (unsigned l = 0; l < ND_BENCH_LOADS && row->late; l++) {
        const struct nd_bench_latency *a = &row->off_late.latency[l], *b = &row->with_late.latency[l];

        json_array_append_new(list, json_pack("{s:i, s:f, s:o, s:o, s:o}", "load_pct", (int)nd_bench_loads[l],
                                              "mpps", b->mpps, "off_us", three(a->p50, a->p99, a->most), "us",
                                              three(b->p50, b->p99, b->most), "added_us",
                                              three(b->p50 - a->p50, b->p99 - a->p99, b->most - a->most)));
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
    return json_pack("{s:f, s:f, s:f, s:f}", "lane", MEDIAN(row, cpu_lane), "replicator",
                     MEDIAN(row, cpu_replicator), "standby_lane", MEDIAN(row, cpu_standby_lane),
                     "standby_replicator", MEDIAN(row, cpu_standby_replicator));
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
    run = json_pack(
        "{s:s, s:s, s:o, s:I, s:f, s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "protection", row->protection.name,
        "chain", config->chain.name, "frame",
        o->capture      ? json_string("capture")
        : o->wish.frame ? json_integer((json_int_t)o->wish.frame)
                        : json_string("imix"),
        "flows", (json_int_t)(o->capture ? 0 : o->wish.flows), "mpps", MEDIAN(row, mpps), "standby",
        row->protection.mode == ND_MODE_OFF          ? "none"
        : row->protection.standby == ND_STANDBY_WARM ? "warm"
                                                     : "hot",
        "overhead_pct", percent, "overhead_ns", ns, "overhead_spread", spread, "ns", MEDIAN(row, ns),
        "wire_bytes_per_packet", MEDIAN(row, wire_bytes), "records_per_s", MEDIAN(row, records));
    json_object_set_new(run, "added_latency_us", added(row));
    json_object_set_new(run, "latency", latencies(row));
    json_object_set_new(run, "takeover_ms", known(takeover_at(row, 0.5)));
    json_object_set_new(run, "takeover_p90_ms", known(takeover_at(row, 0.9)));
    json_object_set_new(run, "takeover_worst_ms", known(takeover_at(row, 1)));
    json_object_set_new(run, "replayed_ms", known(at_share(row->replayed_ms, row->takeovers, 0.5)));
    json_object_set_new(run, "replayed_worst_ms", known(at_share(row->replayed_ms, row->takeovers, 1)));
    json_object_set_new(run, "takeovers", json_integer((json_int_t)row->takeovers));
    json_object_set_new(run, "cpu", cpu_of(row));
    json_object_set_new(run, "memory_mb", memory_of(row));
    json_object_set_new(run, "lane_ns", json_real(MEDIAN(row, lane_ns)));
    json_object_set_new(run, "limit", json_string(limit_of(row)));
    json_object_set_new(run, "lag_packets", json_integer((json_int_t)most_lag(row, 0)));
    json_object_set_new(run, "lag_late_packets", json_integer((json_int_t)most_lag(row, 1)));
    json_object_set_new(run, "waits", json_integer((json_int_t)mean_waits(row)));
    json_object_set_new(run, "credit_waits",
                        json_integer((json_int_t)mean(row, offsetof(struct nd_bench_result, credit_waits))));
    json_object_set_new(run, "lag", row->lag.count ? nd_bench_lag_object(&row->lag) : json_null());
    json_object_set_new(run, "lanes", json_integer((json_int_t)lanes));
    json_object_set_new(run, "dropped_share", json_real(MEDIAN(row, dropped)));
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
