/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy drill: runs a drill so many times, and tells what came of it as a table or as JSON.
 */
#include "node/control/commands.h"
#include "tools/drill/drill.h"
#include "node/control/options.h"
#include "tools/drill/probe.h"
#include "tools/pair/child.h"
#include "tools/pair/quantile.h"

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

static void print_progress(const char *line, void *ctx)
{
    uint64_t begin = *(const uint64_t *)ctx;
    fprintf(stderr, "%8.3f s  %s\n", (double)(nd_probe_now() - begin) / 1e9, line);
}

/* ── figures ── */

/* Of the known values of one field; -1 when none is known. */
static double median(const struct nd_drill_run *runs, unsigned count, size_t offset)
{
    double *known = malloc((count + 1) * sizeof *known), m = -1;
    unsigned n = 0;
    for (unsigned i = 0; known != NULL && i < count; i++) {
        double v = *(const double *)((const char *)&runs[i] + offset);
        if (v >= 0)
            known[n++] = v;
    }
    if (n > 0)
        m = nd_quantile(known, n, 0.5);
    free(known);
    return m;
}

static const struct column {
    const char *key, *title;
    size_t offset;
} columns[] = {
    {"detect_ms", "detect", offsetof(struct nd_drill_run, detect_ms)},
    {"replay_ms", "replay", offsetof(struct nd_drill_run, replay_ms)},
    {"first_packet_ms", "first", offsetof(struct nd_drill_run, first_packet_ms)},
    {"outage_ms", "outage", offsetof(struct nd_drill_run, outage_ms)},
    {"flow_silence_ms", "flow", offsetof(struct nd_drill_run, flow_silence_ms)},
    {"flow_worst_ms", "worst", offsetof(struct nd_drill_run, flow_worst_ms)},
    {"resync_silence_ms", "resync", offsetof(struct nd_drill_run, resync_silence_ms)},
    {"protected_ms", "again", offsetof(struct nd_drill_run, protected_ms)},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

/* ── for people ── */

static void print_ms(double v)
{
    if (v < 0)
        printf(" %8s", "-");
    else
        printf(" %8.1f", v);
}

static void print_table(const struct nd_drill_run *runs, unsigned count, double baseline, double seconds)
{
    printf("%-4s %-12s", "run", "victim");
    for (unsigned c = 0; c < COLUMNS; c++)
        printf(" %8s", columns[c].title);
    printf(" %7s %7s %7s %7s  %s\n", "held", "lost", "dup", "tail", "digests");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_drill_run *r = &runs[i];
        printf("%-4u %-12s", i + 1, r->victim);
        for (unsigned c = 0; c < COLUMNS; c++)
            print_ms(*(const double *)((const char *)r + columns[c].offset));
        printf(" %7llu %7llu %7llu %7llu  %s", (unsigned long long)r->held, (unsigned long long)r->lost,
               (unsigned long long)r->duplicated, (unsigned long long)r->tail_emitted,
               r->digests_equal ? "equal" : "DIFFERENT");
        if (r->was_fenced)
            printf("; fenced, released %s", r->released_after    ? "AFTER IT"
                                            : r->burst_in_flight ? "nothing after it but one burst in flight"
                                                                 : "nothing after it");
        if (r->false_takeovers)
            printf("; %llu false takeovers", (unsigned long long)r->false_takeovers);
        printf("%s%s\n", r->failure[0] ? "; FAILED: " : "", r->failure);
    }
    if (count > 1) {
        printf("%-17s", "median");
        for (unsigned c = 0; c < COLUMNS; c++)
            print_ms(median(runs, count, columns[c].offset));
        printf("\n");
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

static json_t *whole(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *run_object(const struct nd_drill_run *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "victim", json_string(r->victim));
    json_object_set_new(o, "survivor", json_string(r->survivor));
    json_object_set_new(o, "at_ns", whole(r->at_ns));
    for (unsigned c = 0; c < COLUMNS; c++)
        json_object_set_new(o, columns[c].key, known(*(const double *)((const char *)r + columns[c].offset)));
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {
        {"held", r->held},
        {"sent", r->sent},
        {"lost", r->lost},
        {"duplicated", r->duplicated},
        {"reordered", r->reordered},
        {"contradicted", r->contradicted},
        {"flows_broken", r->flows_broken},
        {"view_before", r->view_before},
        {"view_after", r->view_after},
        {"false_takeovers", r->false_takeovers},
        {"tail_emitted", r->tail_emitted},
        {"tail_suppressed", r->tail_suppressed},
    };
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
        json_object_set_new(o, counts[i].key, whole(counts[i].value));
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
    json_t *o = json_object(), *list = json_array(), *middle = json_object();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, run_object(&runs[i]));
    for (unsigned c = 0; c < COLUMNS; c++)
        json_object_set_new(middle, columns[c].key, known(median(runs, count, columns[c].offset)));
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
    uint64_t begin = nd_probe_now();
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
                                 .say = options.verbose ? print_progress : NULL,
                                 .ctx = &begin};
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
