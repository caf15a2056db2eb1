/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's tables for people, and the same figures as JSON. */
#define _GNU_SOURCE /* sets of cores */
#include "node/control/pair.h"
#include "tools/bench/bench.h"

#include <string.h>

static void print_traffic(const struct nd_sheet *s, const struct nd_bench *b)
{
    const struct nd_bench_options *o = &b->options;
    const struct nd_load *load = &b->load;
    const char *sides = load->side[NF_OUTSIDE].count == 0
                            ? " only: answers would have to know what the chain made of it"
                        : load->service ? "; from outside clients of the load balancer's service"
                        : load->answers ? ", and the answers from outside"
                                        : " and outside, as captured";
    char skew[32] = "", frames[64] = "IMIX (64, 576, 1500 bytes as 7:4:1)", begun[48] = "";

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
    nd_sheet_fact(s, "measured",
                  "%u pairs with off, %g s each; times of the pair: detect %u ms, a death told by the "
                  "guardian;\nprimaries are killed at %u %% of saturation",
                  b->options.pairs, b->options.seconds, nd_bench_timing().detect_ms,
                  b->options.takeover_load);
    if (s->out)
        fputc('\n', s->out);
}

/* A line for each row that ran, or why it did not. */
static void print_costs(const struct nd_sheet *s, const struct nd_bench *b,
                        const struct nd_bench_figures figures[])
{
    nd_sheet_begin(s, nd_bench_cost_columns, "protection");
    for (unsigned i = 0; i < b->count; i++)
        if (b->rows[i].refused[0])
            nd_sheet_words(s, b->rows[i].protection.name, "not run: %s", b->rows[i].refused);
        else
            nd_sheet_row(s, nd_bench_cost_columns, b->rows[i].protection.name, &figures[i]);
    nd_sheet_note(
        s,
        "overhead, +ns: median of the pairs' ratios and differences; spread: half of the range between their "
        "quartiles; lane ns:\nprocessor time of the lane for a packet, spinning included; B/pkt: on the "
        "link, heartbeats and all; takeover: ms from the kill to the successor's first released packet");
}

static void print_loads(const struct nd_sheet *s, const struct nd_bench *b, const char *name,
                        const struct nd_column columns[], const char *legend)
{
    struct nd_bench_load_figures f;

    nd_sheet_begin(s, columns, name);
    for (unsigned i = 0; i < b->count; i++)
        for (unsigned l = 0; l < ND_BENCH_LOADS && b->rows[i].late; l++) {
            nd_bench_load_figures(&f, &b->rows[i], l);
            nd_sheet_row(s, columns, b->rows[i].protection.name, &f);
        }
    nd_sheet_note(s, "%s", legend);
}

/* A line for each row that ran. */
static void print_rows(const struct nd_sheet *s, const struct nd_bench *b,
                       const struct nd_bench_figures figures[], const char *name,
                       const struct nd_column columns[], const char *legend)
{
    nd_sheet_begin(s, columns, name);
    for (unsigned i = 0; i < b->count; i++)
        if (!b->rows[i].refused[0])
            nd_sheet_row(s, columns, b->rows[i].protection.name, &figures[i]);
    nd_sheet_note(s, "%s", legend);
}

/* ---- the lag, second by second ------------------------------------------------------------------ */

#define OF(field) offsetof(struct nd_bench_sample, field)

static const struct nd_column lag_columns[] = {
    ND_REAL(NULL, "second", OF(second), 0, 0),
    ND_REAL("Mpps", "mpps", OF(mpps), 8, 3),
    ND_WHOLE("not ackd", "unacknowledged_bursts", OF(unacknowledged), 9),
    ND_WHOLE("not repl.", "unreplayed_bursts", OF(unreplayed), 9),
    ND_WHOLE("packets", "packets", OF(packets), 9),
    {"unsent MB", "unsent_bytes", ND_COLUMN_WHOLE, OF(unsent_bytes), 9, 2, 1e-6, ""},
    {"unrepl MB", "unreplayed_bytes", ND_COLUMN_WHOLE, OF(unreplayed_bytes), 9, 2, 1e-6, ""},
    ND_WHOLE("held", "held", OF(held), 8),
    ND_WHOLE("waits", "waits", OF(waits), 8),
    ND_WHOLE("credit", "credit_waits", OF(credit_waits), 8),
    ND_REAL("prim. MB", "primary_mb", OF(resident_mb), 8, 1),
    ND_REAL("stby MB", "standby_mb", OF(standby_resident_mb), 8, 1),
    {.title = NULL},
};

/* The largest of each figure. */
static struct nd_bench_sample most_of(const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most = {0};

    for (unsigned i = 0; i < lag->count; i++)
        nd_columns_most(&most, lag_columns, &lag->sample[i]);
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

/* How each protection was set. */
static void print_settings(const struct nd_sheet *s, const struct nd_bench *b)
{
    static const struct nd_column none[] = {{.title = NULL}};

    nd_sheet_begin(s, none, NULL);
    for (unsigned i = 0; i < b->count; i++)
        nd_sheet_words(s, b->rows[i].protection.name, "%s", b->rows[i].protection.settings);
}

static void print_tables(const struct nd_sheet *s, const struct nd_bench *b,
                         const struct nd_bench_figures figures[])
{
    print_costs(s, b, figures);
    if (!b->options.no_latency) {
        print_loads(s, b, "latency, us", nd_bench_latency_columns,
                    "from the scheduled arrival to the release; load: of what the protection reached at "
                    "saturation, the same for off");
        print_loads(s, b, "at each load", nd_bench_work_columns,
                    "bursts that had packets, and how many each; lag: sent to the standby and not known to "
                    "be replayed, the most during\nthe load and as it ended, packets and MB in memory; "
                    "processor time of each thread, of a core");
    }
    print_rows(
        s, b, figures, "of a core", nd_bench_resource_columns,
        "at saturation; limit: the core with more to do; MB: of state, and resident, ports included; "
        "lag: most packets sent\nand not yet replayed, in the first half of the time and in the second; "
        "waits: turns in which the lane did not receive,\nits hold or log ring being full");
    print_rows(s, b, figures, "turns", nd_bench_turn_columns,
               "at saturation, of each thread: time in turns that did something; turns longer than 1 ms, a "
               "second; the longest turn since the thread began, ms");
}

void nd_bench_print(const struct nd_sheet *s, const struct nd_bench *b)
{
    struct nd_bench_figures figures[ND_BENCH_KINDS];

    print_head(s, b);
    for (unsigned i = 0; i < b->count; i++)
        nd_bench_figures(&figures[i], &b->rows[i], &b->options, b->load.lanes.count);
    print_tables(s, b, figures);
    if (b->options.two_servers)
        nd_sheet_note(
            s,
            "with two servers all of that but Mpps, ns/pkt and the standby's MB is of the primary's own run: "
            "sb repl. is the peer that\nacknowledges, sb lane nobody, and no primary is killed");
    for (unsigned i = 0; i < b->count; i++)
        if (b->options.two_servers && !b->rows[i].refused[0] && !nd_bench_is_off(&b->rows[i].protection))
            nd_bench_servers_print(s, &b->rows[i]);
    for (unsigned i = 0; i < b->count; i++)
        if (b->rows[i].lag.count)
            print_lag(s, b->rows[i].protection.name, &b->rows[i].lag);
    print_settings(s, b);
}

/* ---- as JSON ----------------------------------------------------------------------------------- */

static json_t *latencies_object(const struct nd_bench_row *row)
{
    json_t *list = json_array();
    struct nd_bench_load_figures f;

    for (unsigned l = 0; l < ND_BENCH_LOADS && row->late; l++) {
        json_t *one;

        nd_bench_load_figures(&f, row, l);
        one = nd_columns_object(nd_bench_latency_columns, &f);
        nd_columns_json(one, nd_bench_work_columns, &f);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *run_object(const struct nd_bench_row *row, const struct nd_bench *b)
{
    const struct nd_bench_options *o = &b->options;
    const struct nd_protect *p = &row->protection.protect;
    struct nd_bench_figures figures;
    json_t *latency,
        *pairs = json_array(),
        *run = json_pack("{s:s, s:s}", "protection", row->protection.name, "chain", b->config->chain.name);

    if (row->refused[0]) {
        json_object_set_new(run, "refused", json_string(row->refused));
        json_decref(pairs);
        return run;
    }
    nd_bench_figures(&figures, row, o, b->load.lanes.count);
    nd_columns_json(run, nd_bench_cost_columns, &figures);
    nd_columns_json(run, nd_bench_resource_columns, &figures);
    nd_columns_json(run, nd_bench_turn_columns, &figures);
    latency = latencies_object(row);
    for (unsigned i = 0; i < row->pairs; i++)
        json_array_append_new(pairs, json_pack("[f, f]", row->off[i].mpps, row->with[i].mpps));
    /* The latency added at half of saturation. */
    json_object_set(run, "added_latency_us",
                    row->late ? json_object_get(json_array_get(latency, 1), "added_us") : json_null());
    json_object_set_new(run, "latency", latency);
    json_object_set_new(run, "frame",
                        o->capture      ? json_string("capture")
                        : o->wish.frame ? json_integer((json_int_t)o->wish.frame)
                                        : json_string("imix"));
    json_object_set_new(run, "flows", json_integer((json_int_t)(o->capture ? 0 : o->wish.flows)));
    json_object_set_new(run, "standby", json_string(!p->pair ? "none" : p->stores ? "warm" : "hot"));
    json_object_set_new(run, "realtime", json_boolean(row->pairs && row->with[0].realtime));
    json_object_set_new(run, "lag", row->lag.count ? lag_object(&row->lag) : json_null());
    json_object_set_new(run, "two_servers",
                        o->two_servers && !nd_bench_is_off(&row->protection) ? nd_bench_servers_object(row)
                                                                             : json_null());
    json_object_set_new(run, "pairs_mpps", pairs);
    json_object_set_new(run, "settings", json_string(row->protection.settings));
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

int nd_bench_print_json(const struct nd_bench *b)
{
    return nd_bench_print_list(NULL, "runs", runs_array(b));
}

int nd_bench_report(struct nd_bench *b)
{
    const struct nd_sheet sheet = {.blocks = json_array()};
    char title[64];

    snprintf(title, sizeof(title), "Bench of the chain %s", b->config->chain.name);
    nd_bench_print(&sheet, b);
    return nd_report_write(&b->report, json_pack("{s:s, s:s, s:o, s:o}", "kind", "bench", "title", title,
                                                 "runs", runs_array(b), "blocks", sheet.blocks));
}
