/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's tables, for people. */
#define _GNU_SOURCE /* sets of cores */
#include "tools/bench/bench.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

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

/* What the nodes asked for, and what the system let their replicators have. */
static const char *priorities(const struct nd_bench_row rows[], unsigned count,
                              const struct nd_bench_options *o)
{
    if (!o->realtime)
        return "no priorities, as `run` by default; --realtime asks for them";
    for (unsigned i = 0; i < count; i++)
        if (rows[i].pairs && !rows[i].off[0].realtime)
            return "priorities were asked for, which the system refused";
    return "replicators real-time, the others nice -10";
}

static void print_head(FILE *out, const struct nd_bench_row rows[], unsigned count,
                       const struct nd_config *config, const struct nd_load *load,
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
            "the standby's\n            replicator and lanes; idle lanes sleep as in the product\n",
            of_lanes, rest);
    else
        fprintf(out, "cores       one for all: nothing is pinned\n");
    fprintf(out, "threads     %s\n", priorities(rows, count, o));
    fprintf(out,
            "measured    %u pairs with off, %g s each; times of the pair: detect %u ms, a death told by the "
            "guardian;\n            primaries are killed at %u %% of saturation\n\n",
            o->pairs, o->seconds, nd_bench_timing().detect_ms, o->takeover_load);
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
                ND_BENCH_MEDIAN(row, mpps), percent, spread, ND_BENCH_MEDIAN(row, ns), ns,
                ND_BENCH_MEDIAN(row, lane_ns), ND_BENCH_MEDIAN(row, wire_bytes),
                ND_BENCH_MEDIAN(row, records));
        print_ms(out, nd_bench_takeover(row, 0.5));
        print_ms(out, nd_bench_takeover(row, 0.9));
        print_ms(out, nd_bench_takeover(row, 1));
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

/* What nodes did at the latency's loads, and how far the standby was behind. */
static void print_work(FILE *out, const struct nd_bench_row rows[], unsigned count)
{
    fprintf(out, "%-14s %6s %9s %8s %6s | %9s %8s %9s %9s %8s %9s %8s | %6s %8s %8s %8s\n", "at each load",
            "load", "off b/s", "pkts/b", "lane", "bursts/s", "pkts/b", "records/s", "lag pkts", "MB",
            "at end", "MB", "lane", "replic.", "sb lane", "sb repl.");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_bench_row *row = &rows[i];

        for (unsigned l = 0; l < ND_BENCH_LOADS && row->late; l++) {
            const struct nd_bench_latency *a = &row->off_late.latency[l], *b = &row->with_late.latency[l];

            fprintf(out,
                    "%-14s %5u%% %9.0f %8.1f %5.0f%% | %9.0f %8.1f %9.0f %9lu %8.2f %9lu %8.2f | %5.0f%% "
                    "%7.0f%% %7.0f%% %7.0f%%\n",
                    row->protection.name, nd_bench_loads[l], a->bursts, a->packets, a->cpu.lane * 100,
                    b->bursts, b->packets, b->records, b->lag_packets, b->lag_mb, b->lag_end_packets,
                    b->lag_end_mb, b->cpu.lane * 100, b->cpu.replicator * 100, b->cpu.standby_lane * 100,
                    b->cpu.standby_replicator * 100);
        }
    }
    fprintf(out, "bursts that had packets, and how many each; lag: sent to the standby and not known to be "
                 "replayed, the most during\nthe load and as it ended, packets and MB in memory; processor "
                 "time of each thread, of a core\n\n");
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
        fprintf(
            out, "%-14s %6.0f%% %7.0f%% %7.0f%% %7.0f%% %7s | %9.1f %8.1f %8.1f | %9lu %9lu %8lu %7.2f%%\n",
            row->protection.name, ND_BENCH_MEDIAN(row, cpu.lane) * 100,
            ND_BENCH_MEDIAN(row, cpu.replicator) * 100, ND_BENCH_MEDIAN(row, cpu.standby_lane) * 100,
            ND_BENCH_MEDIAN(row, cpu.standby_replicator) * 100, nd_bench_limit(row), row->with[0].region_mb,
            row->with[0].resident_mb, row->with[0].standby_resident_mb, nd_bench_most_lag(row, 0),
            nd_bench_most_lag(row, 1), nd_bench_mean(row, offsetof(struct nd_bench_result, waits)),
            ND_BENCH_MEDIAN(row, dropped) * 100);
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
    print_head(out, rows, count, config, load, o);
    print_costs(out, rows, count);
    if (!o->no_latency) {
        print_latency(out, rows, count);
        print_work(out, rows, count);
    }
    print_resources(out, rows, count);
    for (unsigned i = 0; i < count; i++)
        if (rows[i].lag.count)
            nd_bench_print_lag(out, rows[i].protection.name, &rows[i].lag);
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "%-14s %s\n", rows[i].protection.name, rows[i].protection.settings);
}
