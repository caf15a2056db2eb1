/* SPDX-License-Identifier: Apache-2.0 */
/* What the runs of a protection came to: figures, which tables for people, JSON and the report walk by the
 * same columns. */
#define _GNU_SOURCE
#include "understudy/config/options.h"
#include "understudy/bench/bench.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Medians over the pairs, where nothing else is stated. */
struct figures {
    double overhead_pct, overhead_ns; /* of the pairs' ratios and differences */
    double overhead_spread;           /* half of the range between the ratios' quartiles, in percent */
    struct nd_bench_result with;      /* the fields that the columns name */
    double takeover, takeover_p90, takeover_worst, replayed,
        replayed_worst;                       /* ms; negative: there was none */
    const char *limit;                        /* "lane" or "second": which core had more to do */
    uint64_t lag, lag_late;                   /* packets, the most of all pairs, in each half of the time */
    uint64_t waits, credit_waits;             /* means */
    uint64_t takeovers, takeover_load, lanes; /* as in the row, the options and the load */
};

/* At a load. */
struct load_figures {
    uint64_t load; /* percent of saturation */
    struct nd_bench_latency off, with;
    double added_p50, added_p99, added_most; /* us */
    double floors;                           /* added_p50, in spinning round trips; negative: not known */
};

#define OF(field)      offsetof(struct figures, field)
#define OF_LOAD(field) offsetof(struct load_figures, field)

/* A column for each thread; the titles of the first and the last, which are of so many characters. */
#define FOR_THREADS(kind, bar, key, of, field, first, last, decimals)                                        \
    kind(bar "lane", key ".lane", of(with.thread[0].field), first, decimals),                                \
        kind("replic.", key ".replicator", of(with.thread[1].field), 7, decimals),                           \
        kind("sb lane", key ".standby_lane", of(with.thread[2].field), 7, decimals),                         \
        kind("sb repl.", key ".standby_replicator", of(with.thread[3].field), last, decimals)
/* In JSON alone. */
#define FOR_THREADS_HIDDEN(key, of, field)                                                                   \
    ND_REAL(NULL, key ".lane", of(with.thread[0].field), 0, 0),                                              \
        ND_REAL(NULL, key ".replicator", of(with.thread[1].field), 0, 0),                                    \
        ND_REAL(NULL, key ".standby_lane", of(with.thread[2].field), 0, 0),                                  \
        ND_REAL(NULL, key ".standby_replicator", of(with.thread[3].field), 0, 0)

static const struct nd_column cost_columns[] = {
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

static const struct nd_column resource_columns[] = {
    FOR_THREADS(ND_SHARE, "", "cpu", OF, cpu, 6, 7, 0),
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
static const struct nd_column turn_columns[] = {
    FOR_THREADS(ND_SHARE, "", "useful", OF, useful, 7, 8, 0),
    FOR_THREADS_HIDDEN("empty", OF, empty),
    FOR_THREADS_HIDDEN("asleep", OF, asleep),
    FOR_THREADS(ND_REAL, "|", "long_turns_per_s", OF, longs, 7, 8, 1),
    FOR_THREADS(ND_REAL, "|", "longest_turn_ms", OF, longest, 7, 8, 1),
    {.title = NULL},
};

static const struct nd_column latency_columns[] = {
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
    ND_KNOWN("floors", "added_floors", OF_LOAD(floors), 7, 1),
    {.title = NULL},
};

/* What nodes did at the latency's loads, and how far the standby was behind. */
static const struct nd_column work_columns[] = {
    {"load", "load_pct", ND_COLUMN_WHOLE, OF_LOAD(load), 5, 0, 1, "%"},
    ND_REAL("off b/s", "off_bursts_per_s", OF_LOAD(off.bursts), 9, 0),
    ND_REAL("pkts/b", "off_packets_per_burst", OF_LOAD(off.packets), 8, 1),
    ND_SHARE("lane", "off_cpu_lane", OF_LOAD(off.thread[0].cpu), 5, 0),
    ND_REAL("|bursts/s", "bursts_per_s", OF_LOAD(with.bursts), 9, 0),
    ND_REAL("pkts/b", "packets_per_burst", OF_LOAD(with.packets), 8, 1),
    ND_REAL("records/s", "records_per_s", OF_LOAD(with.records), 9, 0),
    ND_WHOLE("lag pkts", "lag_packets", OF_LOAD(with.lag_packets), 9),
    ND_REAL("MB", "lag_mb", OF_LOAD(with.lag_mb), 8, 2),
    ND_WHOLE("at end", "lag_end_packets", OF_LOAD(with.lag_end_packets), 9),
    ND_REAL("MB", "lag_end_mb", OF_LOAD(with.lag_end_mb), 8, 2),
    FOR_THREADS(ND_SHARE, "|", "cpu", OF_LOAD, cpu, 5, 7, 0),
    FOR_THREADS_HIDDEN("useful", OF_LOAD, useful),
    FOR_THREADS_HIDDEN("long_turns_per_s", OF_LOAD, longs),
    {.title = NULL},
};

double nd_bench_median(const struct nd_bench_result runs[], unsigned count, size_t offset)
{
    double values[ND_BENCH_PAIRS];

    for (unsigned i = 0; i < count; i++)
        values[i] = *(const double *)((const char *)&runs[i] + offset);
    return nd_quantile(values, count, 0.5);
}

static void set_overhead(struct figures *f, const struct nd_bench_row *row)
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

static void set_figures(struct figures *f, const struct nd_bench_row *row, const struct nd_bench_options *o,
                        unsigned lanes)
{
    const struct nd_bench_thread *t = f->with.thread;

    *f = (struct figures){
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
    f->limit = t[0].cpu >= t[1].cpu + t[2].cpu + t[3].cpu ? "lane" : "second";
    for (unsigned i = 0; i < row->pairs; i++) {
        const struct nd_bench_result *r = &row->with[i];

        f->lag = r->lag[0] > f->lag ? r->lag[0] : f->lag;
        f->lag_late = r->lag[1] > f->lag_late ? r->lag[1] : f->lag_late;
        f->waits += r->waits;
        f->credit_waits += r->credit_waits;
        for (unsigned k = 0; k < ND_BENCH_THREADS; k++) /* of any run */
            f->with.thread[k].longest = fmax(f->with.thread[k].longest, r->thread[k].longest);
    }
    f->waits /= row->pairs ? row->pairs : 1;
    f->credit_waits /= row->pairs ? row->pairs : 1;
}

static void set_load_figures(struct load_figures *f, const struct nd_bench *b, const struct nd_bench_row *row,
                             unsigned load)
{
    const struct nd_bench_latency *off = &row->off_late.latency[load], *with = &row->with_late.latency[load];

    *f = (struct load_figures){.load = nd_bench_loads[load],
                               .off = *off,
                               .with = *with,
                               .added_p50 = with->p50 - off->p50,
                               .added_p99 = with->p99 - off->p99,
                               .added_most = with->most - off->most,
                               .floors = -1};
    if (b->floor.spinning_us > 0)
        f->floors = f->added_p50 > 0 ? f->added_p50 / b->floor.spinning_us : 0;
}

/* ==== for people and for programs =================================================================== */

static void print_traffic(const struct nd_sheet *s, const struct nd_bench *b)
{
    const struct nd_bench_options *o = &b->options;
    const struct nd_load *load = &b->load;
    const char *sides = load->side[NF_OUTSIDE].count == 0
                            ? " only: answers would have to know what the chain made of it"
                        : load->service ? "; from outside clients of the load balancer's service"
                        : load->answers ? ", and the answers from outside"
                                        : " and outside, as captured";
    char skew[32] = "", frames[64] = "IMIX (64, 576, 1500 bytes as 7:4:1)", begun[64] = "";

    if (o->capture) {
        nd_sheet_fact(s, "traffic", "%s, again and again\nfrom inside%s", o->capture, sides);
        return;
    }
    if (o->wish.zipf > 0)
        snprintf(skew, sizeof(skew), "skew %.2f, ", o->wish.zipf);
    if (o->wish.frame)
        snprintf(frames, sizeof(frames), "frames of %u bytes", o->wish.frame);
    if (o->wish.new_flows)
        snprintf(begun, sizeof(begun), ", %lu new flows a second", o->wish.new_flows);
    if (o->wish.new_share)
        snprintf(begun, sizeof(begun), ", %u %% of the packets of new flows (%s)", o->wish.new_share,
                 o->wish.new_kind < 0 ? "syn, udp" : nd_new_kinds[o->wish.new_kind]);
    nd_sheet_fact(s, "traffic", "%lu flows, %s, %s%s%s\nfrom inside%s", o->wish.flows,
                  o->wish.zipf > 0 ? "Zipf" : "all alike", skew, frames, begun, sides);
}

/* What the nodes asked for, and what the system let their replicators have. */
static const char *describe_priorities(const struct nd_bench *b)
{
    if (!b->options.realtime)
        return "no priorities, as `run` on isolated CPUs; --realtime asks for them";
    for (unsigned i = 0; i < b->count; i++)
        if (b->rows[i].pairs && !b->rows[i].off[0].realtime)
            return "priorities were asked for, which the system refused";
    return "replicators real-time, the others nice -10";
}

static void print_cores(const struct nd_sheet *s, unsigned wanted)
{
    cpu_set_t lanes;
    int rest;
    unsigned of_lanes = nd_bench_cores(wanted, &lanes, &rest);

    nd_sheet_fact(s, "lanes", "%u%s", wanted,
                  of_lanes && of_lanes < wanted
                      ? ", which share what cores they have: in turn, not beside each other"
                      : "");
    if (of_lanes)
        nd_sheet_fact(
            s, "cores",
            "%u for the primary's lanes; %d: its replicator, the link over TCP on the loopback, the "
            "standby's\nreplicator and lanes; idle lanes sleep as in the product",
            of_lanes, rest);
    else
        nd_sheet_fact(s, "cores", "one for all: nothing is pinned");
}

static void print_head(const struct nd_sheet *s, const struct nd_bench *b)
{
    char text[ND_MACHINE_TEXT];

    if (s->blocks)
        nd_machine_facts(s);
    else
        nd_sheet_fact(s, "machine", "%s", nd_machine_text(text));
    nd_sheet_fact(s, "chain", "%s (%s)", b->config->chain.name, b->config->file);
    print_traffic(s, b);
    print_cores(s, b->load.lanes.count);
    nd_sheet_fact(s, "threads", "%s", describe_priorities(b));
    if (b->floor.spinning_us > 0)
        nd_sheet_fact(
            s, "floor",
            "of this machine: TCP on the loopback, there and back, %.1f us spinning, %.1f blocking; a "
            "cache\nline from core to core %.0f ns",
            b->floor.spinning_us, b->floor.blocking_us, b->floor.line_ns);
    nd_sheet_fact(s, "measured",
                  "%u pairs with off, %g s each; times of the pair: detect %u ms, a death told by the "
                  "guardian;\nprimaries are killed at %u %% of saturation",
                  b->options.pairs, b->options.seconds, nd_bench_timing.detect_ms, b->options.takeover_load);
    if (s->out)
        fputc('\n', s->out);
}

static void print_loads(const struct nd_sheet *s, const struct nd_bench *b, const char *name,
                        const struct nd_column columns[], const char *legend)
{
    struct load_figures f;

    nd_sheet_begin(s, columns, name);
    for (unsigned i = 0; i < b->count; i++)
        for (unsigned l = 0; l < ND_BENCH_LOADS && b->rows[i].late; l++) {
            set_load_figures(&f, b, &b->rows[i], l);
            nd_sheet_row(s, columns, b->rows[i].protection.name, &f);
        }
    nd_sheet_note(s, "%s", legend);
}

/* A line for each row that ran; `refused`: and why the others did not. */
static void print_rows(const struct nd_sheet *s, const struct nd_bench *b, const struct figures figures[],
                       const char *name, const struct nd_column columns[], bool refused, const char *legend)
{
    nd_sheet_begin(s, columns, name);
    for (unsigned i = 0; i < b->count; i++)
        if (!b->rows[i].refused[0])
            nd_sheet_row(s, columns, b->rows[i].protection.name, &figures[i]);
        else if (refused)
            nd_sheet_words(s, b->rows[i].protection.name, "not run: %s", b->rows[i].refused);
    nd_sheet_note(s, "%s", legend);
}

/* ---- the lag, second by second ------------------------------------------------------------------ */

#define OF_SAMPLE(field) offsetof(struct nd_bench_sample, field)

static const struct nd_column lag_columns[] = {
    ND_REAL(NULL, "second", OF_SAMPLE(second), 0, 0),
    ND_REAL("Mpps", "mpps", OF_SAMPLE(mpps), 8, 3),
    ND_WHOLE("not ackd", "unacknowledged_bursts", OF_SAMPLE(unacknowledged), 9),
    ND_WHOLE("not repl.", "unreplayed_bursts", OF_SAMPLE(unreplayed), 9),
    ND_WHOLE("packets", "packets", OF_SAMPLE(packets), 9),
    {"unsent MB", "unsent_bytes", ND_COLUMN_WHOLE, OF_SAMPLE(unsent_bytes), 9, 2, 1e-6, ""},
    {"unrepl MB", "unreplayed_bytes", ND_COLUMN_WHOLE, OF_SAMPLE(unreplayed_bytes), 9, 2, 1e-6, ""},
    ND_WHOLE("held", "held", OF_SAMPLE(held), 8),
    ND_WHOLE("waits", "waits", OF_SAMPLE(waits), 8),
    ND_WHOLE("credit", "credit_waits", OF_SAMPLE(credit_waits), 8),
    ND_REAL("prim. MB", "primary_mb", OF_SAMPLE(resident_mb), 8, 1),
    ND_REAL("stby MB", "standby_mb", OF_SAMPLE(standby_resident_mb), 8, 1),
    {.title = NULL},
};

/* The largest of each figure. */
static struct nd_bench_sample most_of(const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most = {0};

    for (unsigned i = 0; i < lag->count; i++)
        for (const struct nd_column *c = lag_columns; c->key; c++) {
            char *to = (char *)&most + c->offset;
            const char *is = (const char *)&lag->sample[i] + c->offset;

            if (c->kind == ND_COLUMN_WHOLE ? *(const uint64_t *)is > *(uint64_t *)to
                                           : *(const double *)is > *(double *)to)
                memcpy(to, is, sizeof(uint64_t));
        }
    return most;
}

static void print_lag(const struct nd_sheet *s, const char *name, const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most = most_of(lag);

    nd_sheet_begin(s, lag_columns, name);
    nd_sheet_row(s, lag_columns, "most", &most);
    nd_sheet_row(s, lag_columns, "last", &lag->sample[lag->count - 1]);
    nd_sheet_note(
        s,
        "at saturation, once a second for %u s; bursts not acknowledged, acknowledged and not "
        "replayed; packets recorded and\nnot known to be replayed; MB of records not sent, sent and "
        "not known to be replayed; waits, credit: in a second, turns\nin which a lane did not "
        "receive, times the sender waited for the standby",
        lag->count);
}

static json_t *lag_object(const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most = most_of(lag);
    json_t *samples = json_array();

    for (unsigned i = 0; i < lag->count; i++)
        json_array_append_new(samples, nd_columns_object(lag_columns, &lag->sample[i]));
    return json_pack("{s:I, s:o, s:o, s:o}", "seconds", (json_int_t)lag->count, "most",
                     nd_columns_object(lag_columns, &most), "last",
                     nd_columns_object(lag_columns, &lag->sample[lag->count ? lag->count - 1 : 0]), "samples",
                     samples);
}

/* ---- two servers --------------------------------------------------------------------------------- */

/* Of one server, medians. The stand-in for the other one shares the second core with its replicator. */
struct server {
    double mpps;
    struct {
        double cpu, useful, ns; /* ns: of processor time, a packet */
    } lane, replicator, other;
    const char *limit;
};

#define OF_SERVER(field) offsetof(struct server, field)

static const struct nd_column server_columns[] = {
    ND_REAL("Mpps", "mpps", OF_SERVER(mpps), 8, 3),
    ND_SHARE("|lane", "cpu.lane", OF_SERVER(lane.cpu), 6, 0),
    ND_SHARE("replic.", "cpu.replicator", OF_SERVER(replicator.cpu), 7, 0),
    ND_SHARE("other", "cpu.other", OF_SERVER(other.cpu), 6, 0),
    ND_REAL("|lane ns", "ns.lane", OF_SERVER(lane.ns), 8, 1),
    ND_REAL("replic.", "ns.replicator", OF_SERVER(replicator.ns), 7, 1),
    ND_REAL("other", "ns.other", OF_SERVER(other.ns), 6, 1),
    ND_SHARE("|lane useful", "useful.lane", OF_SERVER(lane.useful), 11, 0),
    ND_SHARE("replic.", "useful.replicator", OF_SERVER(replicator.useful), 7, 0),
    ND_TEXT_COLUMN("limit", "limit", OF_SERVER(limit), 7),
    {.title = NULL},
};

static double median_of(const struct nd_bench_row *row, const struct nd_bench_result runs[],
                        const double *first)
{
    return nd_bench_median(runs, row->pairs, (size_t)((const char *)first - (const char *)runs));
}

/* Of the server whose threads are `own` and the next; it shares the second core with the other's last. */
static struct server server_of(const struct nd_bench_row *row, const struct nd_bench_result runs[],
                               unsigned own)
{
    const struct nd_bench_thread *t = runs[0].thread;
    struct server s = {
        .mpps = median_of(row, runs, &runs[0].mpps),
        .lane = {median_of(row, runs, &t[own].cpu), median_of(row, runs, &t[own].useful), 0},
        .replicator = {median_of(row, runs, &t[own + 1].cpu), median_of(row, runs, &t[own + 1].useful), 0},
        .other.cpu = median_of(row, runs, &t[(own + 3) % ND_BENCH_THREADS].cpu)};
    double ns = s.mpps > 0 ? 1e3 / s.mpps : 0;

    s.lane.ns = s.lane.cpu * ns;
    s.replicator.ns = s.replicator.cpu * ns;
    s.other.ns = s.other.cpu * ns;
    /* The lane's processor time has spinning in it, too. */
    s.limit = s.lane.useful >= s.replicator.cpu + s.other.cpu ? "lane" : "second";
    return s;
}

static void print_servers(const struct nd_sheet *s, const struct nd_bench_row *row)
{
    struct server primary = server_of(row, row->primary, ND_BENCH_LANE),
                  standby = server_of(row, row->standby, ND_BENCH_SB_LANE);

    nd_sheet_begin(s, server_columns, "two servers");
    nd_sheet_row(s, server_columns, "primary", &primary);
    nd_sheet_row(s, server_columns, "standby", &standby);
    nd_sheet_note(
        s,
        "%s: each server with both cores, one after the other; the limit of the pair is the %s. other: what "
        "stands in for\nthe other server, on the second core: a peer that reads heads and acknowledges, a "
        "feeder that plays the stream of the\nprimary's run (%lu packets, %.0f MB); ns: processor time "
        "of a packet",
        row->protection.name, primary.mpps < standby.mpps ? "primary" : "standby", row->stream.packets,
        (double)row->stream.bytes / 1e6);
}

static json_t *servers_object(const struct nd_bench_row *row)
{
    struct server primary = server_of(row, row->primary, ND_BENCH_LANE),
                  standby = server_of(row, row->standby, ND_BENCH_SB_LANE);

    return json_pack("{s:s, s:o, s:o, s:{s:I, s:I, s:I, s:I}}", "limit",
                     primary.mpps < standby.mpps ? "primary" : "standby", "primary",
                     nd_columns_object(server_columns, &primary), "standby",
                     nd_columns_object(server_columns, &standby), "stream", "packets",
                     (json_int_t)row->stream.packets, "records", (json_int_t)row->stream.records, "bytes",
                     (json_int_t)row->stream.bytes, "replayed_packets", (json_int_t)row->stream.replayed);
}

/* How each protection was set. */
static void print_settings(const struct nd_sheet *s, const struct nd_bench *b)
{
    static const struct nd_column none[] = {{.title = NULL}};

    nd_sheet_begin(s, none, NULL);
    for (unsigned i = 0; i < b->count; i++)
        nd_sheet_words(s, b->rows[i].protection.name, "%s", b->rows[i].protection.settings);
}

static void print_tables(const struct nd_sheet *s, const struct nd_bench *b, const struct figures figures[])
{
    print_rows(
        s, b, figures, "protection", cost_columns, true,
        "overhead, +ns: median of the pairs' ratios and differences; spread: half of the range between their "
        "quartiles; lane ns:\nprocessor time of the lane for a packet, spinning included; B/pkt: on the "
        "link, heartbeats and all; takeover: ms from the kill to the successor's first released packet");
    if (!b->options.no_latency) {
        print_loads(s, b, "latency, us", latency_columns,
                    "from the scheduled arrival to the release; load: of what the protection reached at "
                    "saturation, the same for off; floors: added p50, in round trips of the machine's "
                    "loopback, spinning");
        print_loads(s, b, "at each load", work_columns,
                    "bursts that had packets, and how many each; lag: sent to the standby and not known to "
                    "be replayed, the most during\nthe load and as it ended, packets and MB in memory; "
                    "processor time of each thread, of a core");
    }
    print_rows(
        s, b, figures, "of a core", resource_columns, false,
        "at saturation; limit: the core with more to do; MB: of state, and resident, ports included; "
        "lag: most packets sent\nand not yet replayed, in the first half of the time and in the second; "
        "waits: turns in which the lane did not receive,\nits hold or log ring being full");
    print_rows(s, b, figures, "turns", turn_columns, false,
               "at saturation, of each thread: time in turns that did something; turns longer than 1 ms, a "
               "second; the longest turn since the thread began, ms");
}

static void write_sheet(const struct nd_sheet *s, const struct nd_bench *b)
{
    struct figures figures[ND_BENCH_KINDS];

    print_head(s, b);
    for (unsigned i = 0; i < b->count; i++)
        set_figures(&figures[i], &b->rows[i], &b->options, b->load.lanes.count);
    print_tables(s, b, figures);
    if (b->options.two_servers)
        nd_sheet_note(
            s,
            "with two servers all of that but Mpps, ns/pkt and the standby's MB is of the primary's own run: "
            "sb repl. is the peer that\nacknowledges, sb lane nobody, and no primary is killed");
    for (unsigned i = 0; i < b->count; i++)
        if (b->options.two_servers && !b->rows[i].refused[0] && !nd_bench_is_off(&b->rows[i].protection))
            print_servers(s, &b->rows[i]);
    for (unsigned i = 0; i < b->count; i++)
        if (b->rows[i].lag.count)
            print_lag(s, b->rows[i].protection.name, &b->rows[i].lag);
    print_settings(s, b);
}

/* ---- as JSON ----------------------------------------------------------------------------------- */

static json_t *latencies_object(const struct nd_bench *b, const struct nd_bench_row *row)
{
    json_t *list = json_array();
    struct load_figures f;

    for (unsigned l = 0; l < ND_BENCH_LOADS && row->late; l++) {
        json_t *one;

        set_load_figures(&f, b, row, l);
        one = nd_columns_object(latency_columns, &f);
        nd_columns_json(one, work_columns, &f);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *run_object(const struct nd_bench_row *row, const struct nd_bench *b)
{
    const struct nd_bench_options *o = &b->options;
    const struct nd_protect *p = &row->protection.protect;
    const struct nd_bench_floor *floor = &b->floor;
    bool in_turn = o->two_servers && !nd_bench_is_off(&row->protection);
    struct figures figures;
    json_t *latency, *pairs, *frame,
        *run = json_pack("{s:s, s:s}", "protection", row->protection.name, "chain", b->config->chain.name);

    if (row->refused[0]) {
        json_object_set_new(run, "refused", json_string(row->refused));
        return run;
    }
    set_figures(&figures, row, o, b->load.lanes.count);
    nd_columns_json(run, cost_columns, &figures);
    nd_columns_json(run, resource_columns, &figures);
    nd_columns_json(run, turn_columns, &figures);
    latency = latencies_object(b, row);
    pairs = json_array();
    for (unsigned i = 0; i < row->pairs; i++)
        json_array_append_new(pairs, json_pack("[f, f]", row->off[i].mpps, row->with[i].mpps));
    frame = o->capture      ? json_string("capture")
            : o->wish.frame ? json_integer((json_int_t)o->wish.frame)
                            : json_string("imix");
    /* The latency added is that at half of saturation. */
    json_object_update_new(
        run, json_pack("{s:O?, s:o, s:o, s:I, s:s, s:b, s:o, s:o, s:o, s:o, s:s}", "added_latency_us",
                       json_object_get(json_array_get(latency, 1), "added_us"), "latency", latency, "frame",
                       frame, "flows", (json_int_t)(o->capture ? 0 : o->wish.flows), "standby",
                       !p->pair    ? "none"
                       : p->stores ? "warm"
                                   : "hot",
                       "realtime", row->pairs && row->with[0].realtime, "floor",
                       floor->spinning_us > 0
                           ? json_pack("{s:f, s:f, s:f}", "spinning_us", floor->spinning_us, "blocking_us",
                                       floor->blocking_us, "line_ns", floor->line_ns)
                           : json_null(),
                       "lag", row->lag.count ? lag_object(&row->lag) : json_null(), "two_servers",
                       in_turn ? servers_object(row) : json_null(), "pairs_mpps", pairs, "settings",
                       row->protection.settings));
    return run;
}

int nd_bench_print_list(json_t *all, const char *key, json_t *list)
{
    char machine[ND_MACHINE_TEXT];
    int code;

    all = all ? all : json_object();
    json_object_set_new(all, "machine", json_string(nd_machine_text(machine)));
    json_object_set_new(all, key, list);
    code = all ? nd_print_json(all) : ND_SOFTWARE;
    json_decref(all);
    return code;
}

static json_t *runs_array(const struct nd_bench *b)
{
    json_t *runs = json_array();

    for (unsigned i = 0; i < b->count; i++)
        json_array_append_new(runs, run_object(&b->rows[i], b));
    return runs;
}

static int write_report(struct nd_bench *b)
{
    const struct nd_sheet sheet = {.blocks = json_array()};
    char title[64];

    snprintf(title, sizeof(title), "Bench of the chain %s", b->config->chain.name);
    write_sheet(&sheet, b);
    return nd_report_write(&b->report, json_pack("{s:s, s:s, s:o, s:o}", "kind", "bench", "title", title,
                                                 "runs", runs_array(b), "blocks", sheet.blocks));
}

/* ---- where it goes ------------------------------------------------------------------------------- */

static void print_all(FILE *out, const struct nd_bench *b)
{
    write_sheet(&(struct nd_sheet){.out = out, .wide = 14}, b);
}

static int refuse_file(const struct nd_bench *b, int error)
{
    if (error)
        fprintf(stderr, "%s: %s, expected a file to write\n", b->options.save, strerror(error));
    return error ? ND_DATA : 0;
}

int nd_bench_check_save(const struct nd_bench *b)
{
    static const char *const heads[] = {"machine"};

    if (b->options.save && !nd_options_replaceable(b->options.save, heads, 1, strlen(heads[0])))
        return nd_usage("bench", "--save %.40s, expected a table to replace, or a name that is free",
                        b->options.save);
    FILE *f = b->options.save ? fopen(b->options.save, "ae") : NULL;
    int error = !b->options.save || f ? 0 : errno;

    if (f)
        fclose(f);
    return refuse_file(b, error);
}

static int save_tables(const struct nd_bench *b)
{
    FILE *f = fopen(b->options.save, "we");
    int error = f ? 0 : errno;

    if (f) {
        print_all(f, b);
        error = ferror(f) ? EIO : 0;
        if (fclose(f) != 0)
            error = errno;
    }
    return refuse_file(b, error);
}

int nd_bench_report(struct nd_bench *b)
{
    int code = b->options.save ? save_tables(b) : 0, written = b->options.report ? write_report(b) : 0;

    print_all(b->options.json ? stderr : stdout, b);
    code = code ? code : written;
    if (b->options.json && !code)
        code = nd_bench_print_list(NULL, "runs", runs_array(b));
    return code;
}
