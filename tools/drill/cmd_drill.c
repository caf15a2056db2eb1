/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy drill: runs a drill so many times, and tells what came of it as a table or as JSON.
 */
#include "tools/drill/drill.h"
#include "node/control/options.h"
#include "tools/pair/child.h"
#include "tools/pair/columns.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 30000 /* for the pair to be PROTECTED */

struct options {
    const char *file;
    bool json, no_probe, verbose;
    uint32_t repeat, flows;
};

#define AT(field) offsetof(struct options, field)

static const struct nd_option rows[] = {
    ND_OPTION_FILE_ROW(AT(file), "configuration"),
    {"repeat", 0, ND_OPTION_U32, AT(repeat), 1, 100000, "1", .value = "N", .help = "run the drill N times"},
    {"flows", 0, ND_OPTION_U32, AT(flows), 0, ND_PROBE_FLOWS_MAX, "8", .value = "N",
     .help = "TCP flows of the prober"},
    {"no-probe", 0, ND_OPTION_FLAG, AT(no_probe), .help = "leave out the prober that the file configures"},
    {"verbose", 'v', ND_OPTION_FLAG, AT(verbose), .help = "tell each step on stderr"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};

const struct nd_syntax nd_drill_syntax = {"drill", rows, "KIND", 1, 1};

/* ── figures ── */

#define OF(field) offsetof(struct nd_drill_run, field)

static const struct nd_column times[] = {
    ND_KNOWN("detect", "detect_ms", OF(detect_ms), 8, 1),
    ND_KNOWN("replay", "replay_ms", OF(replay_ms), 8, 1),
    ND_KNOWN("first", "first_packet_ms", OF(first_packet_ms), 8, 1),
    ND_KNOWN("outage", "outage_ms", OF(outage_ms), 8, 1),
    ND_KNOWN("flow", "flow_silence_ms", OF(flow_silence_ms), 8, 1),
    ND_KNOWN("worst", "flow_worst_ms", OF(flow_worst_ms), 8, 1),
    ND_KNOWN("resync", "resync_silence_ms", OF(resync_silence_ms), 8, 1),
    ND_KNOWN("again", "protected_ms", OF(protected_ms), 8, 1),
    {.title = NULL},
};

static const struct nd_column counts[] = {
    ND_WHOLE("held", "held", OF(held), 7),
    ND_WHOLE("lost", "lost", OF(seen.lost), 7),
    ND_WHOLE("dup", "duplicated", OF(seen.duplicated), 7),
    ND_WHOLE("tail", "tail_emitted", OF(tail_emitted), 7),
    ND_WHOLE(NULL, "tail_suppressed", OF(tail_suppressed), 0),
    ND_WHOLE(NULL, "at_ns", OF(at_ns), 0),
    ND_WHOLE(NULL, "sent", OF(seen.sent), 0),
    ND_WHOLE(NULL, "reordered", OF(seen.reordered), 0),
    ND_WHOLE(NULL, "contradicted", OF(seen.contradicted), 0),
    ND_WHOLE(NULL, "flows_broken", OF(seen.flows_broken), 0),
    ND_WHOLE(NULL, "view_before", OF(view_before), 0),
    ND_WHOLE(NULL, "view_after", OF(view_after), 0),
    ND_WHOLE(NULL, "false_takeovers", OF(false_takeovers), 0),
    {.title = NULL},
};

/* The median of each time over the runs that know it; -1 when none does. */
static struct nd_drill_run medians(const struct nd_drill_run *runs, unsigned count)
{
    double *known = malloc((count + 1) * sizeof *known);
    struct nd_drill_run middle = {.at_ns = 0};
    for (const struct nd_column *c = times; c->title; c++) {
        unsigned n = 0;
        for (unsigned i = 0; known != NULL && i < count; i++) {
            double v = *(const double *)((const char *)&runs[i] + c->offset);
            if (v >= 0)
                known[n++] = v;
        }
        *(double *)((char *)&middle + c->offset) = n > 0 ? nd_quantile(known, n, 0.5) : -1;
    }
    free(known);
    return middle;
}

/* ── for people ── */

static void print_table(const struct nd_drill_run *runs, unsigned count, double baseline, double seconds)
{
    printf("%-4s %-12s", "run", "victim");
    nd_columns_heads(stdout, times);
    nd_columns_heads(stdout, counts);
    printf("  digests\n");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_drill_run *r = &runs[i];
        printf("%-4u %-12s", i + 1, r->victim);
        nd_columns_cells(stdout, times, r);
        nd_columns_cells(stdout, counts, r);
        printf("  %s", r->digests_equal ? "equal" : "DIFFERENT");
        if (r->was_fenced)
            printf("; fenced, released %s", r->released_after    ? "AFTER IT"
                                            : r->burst_in_flight ? "nothing after it but one burst in flight"
                                                                 : "nothing after it");
        if (r->false_takeovers)
            printf("; %lu false takeovers", r->false_takeovers);
        printf("%s%s\n", r->failure[0] ? "; FAILED: " : "", r->failure);
    }
    if (count > 1) {
        struct nd_drill_run middle = medians(runs, count);
        nd_columns_row(stdout, times, "median", 17, &middle);
    }
    printf(
        "all times in ms; detect: hurt to suspected; replay: of the log; first: suspected to first release;\n"
        "outage, flow, worst: longest silence around it of the probe, the median and the worst TCP flow;\n"
        "resync: of the probe from then on; again: hurt to PROTECTED\n");
    if (baseline >= 0)
        printf("longest silence without a failure: %.1f ms in %.1f s\n", baseline, seconds);
}

/* ── for programs ── */

static json_t *known(double v)
{
    return v < 0 ? json_null() : json_real(v);
}

static json_t *run_object(const struct nd_drill_run *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "victim", json_string(r->victim));
    json_object_set_new(o, "survivor", json_string(r->survivor));
    nd_columns_json(o, times, r);
    nd_columns_json(o, counts, r);
    json_object_set_new(o, "digests_equal", json_boolean(r->digests_equal));
    json_object_set_new(o, "fenced",
                        r->was_fenced
                            ? json_pack("{s:b,s:b,s:o,s:I}", "released_after", r->released_after,
                                        "burst_in_flight", r->burst_in_flight, "before_ms",
                                        known(r->fenced_before_ms), "dropped", (json_int_t)r->fenced_dropped)
                            : json_null());
    json_object_set_new(o, "reason", json_string(r->reason));
    json_object_set_new(o, "failure", r->failure[0] ? json_string(r->failure) : json_null());
    return o;
}

static int print_json(enum nd_drill_kind kind, const struct nd_drill_run *runs, unsigned count,
                      double baseline, double seconds)
{
    struct nd_drill_run medians_of_all = medians(runs, count);
    json_t *o = json_object(), *list = json_array(), *middle = json_object();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, run_object(&runs[i]));
    nd_columns_json(middle, times, &medians_of_all);
    json_object_set_new(o, "kind", json_string(nd_drill_name(kind)));
    json_object_set_new(o, "runs", list);
    json_object_set_new(o, "median", middle);
    json_object_set_new(o, "baseline_gap_ms", known(baseline));
    json_object_set_new(o, "baseline_s", json_real(seconds));
    int bad = json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
    printf("\n");
    json_decref(o);
    return bad ? ND_SOFTWARE : ND_DONE;
}

/* ── the command ── */

static int repeat(struct nd_drill *drill, const struct options *options, enum nd_drill_kind kind)
{
    struct nd_drill_run *runs = calloc(options->repeat, sizeof *runs);
    struct ft_fault fault = {""};
    unsigned count = 0, bad = 0;
    int error = FT_OK;
    if (runs == NULL) {
        fprintf(stderr, "understudy: no memory\n");
        return ND_SOFTWARE;
    }
    while (error == FT_OK && count < options->repeat && !nd_interrupted()) {
        error = nd_drill_once(drill, &runs[count], &fault);
        if (error == FT_OK)
            bad += runs[count++].failure[0] != 0;
    }
    if (error < 0)
        fprintf(stderr, "understudy: %s\n", fault.text);
    double seconds = 0, baseline = nd_drill_baseline(drill, &seconds);
    int code = ND_DONE;
    if (options->json)
        code = print_json(kind, runs, count, baseline, seconds);
    else if (count > 0)
        print_table(runs, count, baseline, seconds);
    free(runs);
    if (error == FT_ENOENT || error == FT_EPERM)
        return nd_exit_of(error);
    return code != ND_DONE ? code : error < 0 || bad > 0 || count < options->repeat ? ND_NOT_EQUAL : ND_DONE;
}

int nd_cmd_drill(int argc, char **argv)
{
    struct options options = {.file = NULL};
    struct nd_arguments rest;
    struct nd_config *config;
    struct nd_drill *drill;
    struct ft_fault fault = {""};
    if (nd_syntax_read(&nd_drill_syntax, &options, argc, argv, &rest) != 0)
        return ND_USAGE;
    int kind = nd_drill_kind(rest.argv[0]);
    if (kind < 0)
        return nd_usage("drill",
                        "unknown kind \"%.40s\": kill, server-loss, hang, standby-kill or planned expected",
                        rest.argv[0]);
    int error = nd_config_read(&config, options.file, true, &fault);
    if (error < 0) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    nd_catch_ends(); /* a node that was hurt is brought back first */
    signal(SIGPIPE, SIG_IGN);
    struct nd_drill_options o = {.config = config,
                                 .kind = (enum nd_drill_kind)kind,
                                 .probe = !options.no_probe,
                                 .flows = options.flows,
                                 .wait_ms = WAIT_MS,
                                 .verbose = options.verbose};
    int code;
    if ((error = nd_drill_open(&drill, &o, &fault)) < 0) {
        fprintf(stderr, "understudy: %s\n", fault.text);
        code = error == FT_ENOENT || error == FT_EPERM ? nd_exit_of(error) : ND_NOT_EQUAL;
    } else {
        code = repeat(drill, &options, (enum nd_drill_kind)kind);
        nd_drill_close(drill);
    }
    nd_config_free(config);
    return code;
}
