/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two servers on one machine, one after the other, each with both cores: their runs, and the figures of each.
 * What the pair carries is the lesser of what they reach. What stands in for the other server is in half.c.
 */
#include "tools/bench/bench.h"
#include "tools/pair/child.h"

#include <stdio.h>

/* ---- runs -------------------------------------------------------------------------------------- */

static int run_standby(struct nd_bench_result *out, const struct nd_bench_plan *plan, uint64_t *replayed,
                       struct ft_fault *fault)
{
    struct nd_bench_nodes r = {.plan = plan, .lanes = 1};
    const struct nd_bench_tape *t = plan->tape;
    int error = nd_bench_begin(&r, fault);

    *out = (struct nd_bench_result){.takeover_ms = -1};
    if (!error)
        error = nd_bench_replay(&r, out, t->packets, fault);
    if (!error) {
        *replayed = ND_BENCH_SUM(&r, 1, shared, count.replayed_packets);
        if (*replayed != t->packets)
            error = ft_fail(fault, FT_EDIVERGED, "the standby replayed %lu packets, expected %lu", *replayed,
                            t->packets);
    }
    nd_bench_end(&r);
    return error;
}

/* One for all runs: a run begins with an empty one. */
static struct nd_bench_tape *empty_tape(struct ft_fault *fault)
{
    static struct nd_bench_tape *tape;

    tape = tape ? tape : nd_shared_memory(sizeof(*tape));
    if (!tape)
        ft_fail(fault, FT_ENOMEM, "no memory for %zu MB of a stream", sizeof(*tape) >> 20);
    else
        atomic_store(&tape->closed, false);
    return tape;
}

int nd_bench_servers_run(struct nd_bench_row *row, unsigned i, const struct nd_bench_plan *plan,
                         struct ft_fault *fault)
{
    struct nd_bench_plan alone = *plan;
    struct nd_bench_result *with = &row->with[i];
    struct nd_bench_tape *t = empty_tape(fault);
    int error = t ? 0 : FT_ENOMEM;

    alone.tape = t;
    alone.kill = false;
    alone.server = ND_BENCH_PRIMARY;
    if (!error)
        error = nd_bench_run(&row->primary[i], &alone, fault);
    alone.server = ND_BENCH_STANDBY;
    if (!error)
        error = run_standby(&row->standby[i], &alone, &row->stream.replayed, fault);
    if (error)
        return error;
    row->stream.packets = t->packets;
    row->stream.records = t->records;
    row->stream.bytes = t->log_bytes;
    *with = row->primary[i];
    with->standby_resident_mb = row->standby[i].standby_resident_mb;
    if (row->standby[i].mpps < with->mpps) {
        with->mpps = row->standby[i].mpps;
        with->ns = row->standby[i].ns;
    }
    return 0;
}

/* ---- figures ----------------------------------------------------------------------------------- */

/* Of one server, medians. The stand-in for the other one shares the second core with its replicator. */
struct server {
    double mpps;
    struct {
        double cpu, useful, ns; /* ns: of processor time, a packet */
    } lane, replicator, other;
    const char *limit;
};

#define OF(field) offsetof(struct server, field)

static const struct nd_column server_columns[] = {
    ND_REAL("Mpps", "mpps", OF(mpps), 8, 3),
    ND_SHARE("|lane", "cpu.lane", OF(lane.cpu), 6, 0),
    ND_SHARE("replic.", "cpu.replicator", OF(replicator.cpu), 7, 0),
    ND_SHARE("other", "cpu.other", OF(other.cpu), 6, 0),
    ND_REAL("|lane ns", "ns.lane", OF(lane.ns), 8, 1),
    ND_REAL("replic.", "ns.replicator", OF(replicator.ns), 7, 1),
    ND_REAL("other", "ns.other", OF(other.ns), 6, 1),
    ND_SHARE("|lane useful", "useful.lane", OF(lane.useful), 11, 0),
    ND_SHARE("replic.", "useful.replicator", OF(replicator.useful), 7, 0),
    ND_TEXT_COLUMN("limit", "limit", OF(limit), 7),
    {.title = NULL},
};

#define MEDIAN(runs, field) nd_bench_median(runs, row->pairs, offsetof(struct nd_bench_result, field))

static void complete(struct server *s)
{
    double ns = s->mpps > 0 ? 1e3 / s->mpps : 0;

    s->lane.ns = s->lane.cpu * ns;
    s->replicator.ns = s->replicator.cpu * ns;
    s->other.ns = s->other.cpu * ns;
    /* The lane's processor time has spinning in it, too. */
    s->limit = s->lane.useful >= s->replicator.cpu + s->other.cpu ? "lane" : "second";
}

static struct server primary_of(const struct nd_bench_row *row)
{
    struct server s = {.mpps = MEDIAN(row->primary, mpps),
                       .lane = {MEDIAN(row->primary, cpu.lane), MEDIAN(row->primary, turns.lane.useful), 0},
                       .replicator = {MEDIAN(row->primary, cpu.replicator),
                                      MEDIAN(row->primary, turns.replicator.useful), 0},
                       .other.cpu = MEDIAN(row->primary, cpu.standby_replicator)};

    complete(&s);
    return s;
}

static struct server standby_of(const struct nd_bench_row *row)
{
    struct server s = {
        .mpps = MEDIAN(row->standby, mpps),
        .lane = {MEDIAN(row->standby, cpu.standby_lane), MEDIAN(row->standby, turns.standby_lane.useful), 0},
        .replicator = {MEDIAN(row->standby, cpu.standby_replicator),
                       MEDIAN(row->standby, turns.standby_replicator.useful), 0},
        .other.cpu = MEDIAN(row->standby, cpu.replicator)};

    complete(&s);
    return s;
}

void nd_bench_servers_print(const struct nd_sheet *s, const struct nd_bench_row *row)
{
    struct server primary = primary_of(row), standby = standby_of(row);

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

json_t *nd_bench_servers_object(const struct nd_bench_row *row)
{
    struct server primary = primary_of(row), standby = standby_of(row);

    return json_pack("{s:s, s:o, s:o, s:{s:I, s:I, s:I, s:I}}", "limit",
                     primary.mpps < standby.mpps ? "primary" : "standby", "primary",
                     nd_columns_object(server_columns, &primary), "standby",
                     nd_columns_object(server_columns, &standby), "stream", "packets",
                     (json_int_t)row->stream.packets, "records", (json_int_t)row->stream.records, "bytes",
                     (json_int_t)row->stream.bytes, "replayed_packets", (json_int_t)row->stream.replayed);
}
