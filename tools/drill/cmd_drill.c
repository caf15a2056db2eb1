/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy drill: runs a drill so many nd_drill_times, and tells what came of it as a table or as JSON.
 */
#include "tools/drill/drill.h"
#include "tools/pair/child.h"
#include "tools/pair/columns.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct nd_drill_options, field)

static const struct nd_option rows[] = {
    ND_OPTION_FILE_ROW(AT(file), "configuration"),
    {"repeat", 0, ND_OPTION_U32, AT(repeat), 1, 100000, "1", .value = "N", .help = "run the drill N times"},
    {"flows", 0, ND_OPTION_U32, AT(flows), 0, ND_PROBE_FLOWS_MAX, "8", .value = "N",
     .help = "TCP flows of the prober"},
    {"no-probe", 0, ND_OPTION_FLAG, AT(no_probe), .help = "leave out the prober that the file configures"},
    {"verbose", 'v', ND_OPTION_FLAG, AT(verbose), .help = "tell each step on stderr"},
    {"report", 0, ND_OPTION_TEXT, AT(report), .value = "FILE",
     .help = "write a page with a timeline of each run to this file, HTML"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};

const struct nd_syntax nd_drill_syntax = {"drill", rows, "KIND", 1, 1};

/* ── figures ── */

#define OF(field) offsetof(struct nd_drill_run, field)

const struct nd_column nd_drill_times[] = {
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

const struct nd_column nd_drill_counts[] = {
    ND_KNOWN("held", "held", OF(held), 7, 0),
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
    ND_KNOWN(NULL, "back_ms", OF(back_ms), 0, 0),
    {.title = NULL},
};

struct nd_drill_run nd_drill_medians(const struct nd_drill_run *runs, unsigned count)
{
    double *known = malloc((count + 1) * sizeof *known);
    struct nd_drill_run middle = {.at_ns = 0};
    for (const struct nd_column *c = nd_drill_times; c->title; c++) {
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

const char *const nd_drill_verdicts[] = {[ND_DIGESTS_NOT_COMPARED] = "not compared",
                                         [ND_DIGESTS_EQUAL] = "equal",
                                         [ND_DIGESTS_DIFFERENT] = "DIFFERENT"};

const char nd_drill_legend[] =
    "all times in ms; detect: hurt to suspected; replay: of the log; first: suspected to first release;\n"
    "outage, flow, worst: longest silence around it of the probe, the median and the worst TCP flow;\n"
    "resync: of the probe from then on; again: hurt to PROTECTED";

const char *nd_drill_remark(const struct nd_drill_run *r, char out[ND_DRILL_REMARK])
{
    int n = 0;
    out[0] = 0;
    if (r->was_fenced)
        n = snprintf(out, ND_DRILL_REMARK, "; fenced, released %s",
                     r->released_after    ? "AFTER IT"
                     : r->burst_in_flight ? "nothing after it but one burst in flight"
                                          : "nothing after it");
    if (r->false_takeovers)
        snprintf(out + n, ND_DRILL_REMARK - (size_t)n, "; %lu false takeovers", r->false_takeovers);
    return out;
}

static void print_table(const struct nd_drill *d, const struct nd_drill_run *runs, unsigned count)
{
    printf("%-4s %-12s", "run", "victim");
    nd_columns_heads(stdout, nd_drill_times);
    nd_columns_heads(stdout, nd_drill_counts);
    printf("  digests\n");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_drill_run *r = &runs[i];
        char remark[ND_DRILL_REMARK];
        printf("%-4u %-12s", i + 1, r->victim);
        nd_columns_cells(stdout, nd_drill_times, r);
        nd_columns_cells(stdout, nd_drill_counts, r);
        printf("  %s%s%s%s\n", nd_drill_verdicts[r->digests], nd_drill_remark(r, remark),
               r->failure[0] ? "; FAILED: " : "", r->failure);
    }
    if (count > 1) {
        struct nd_drill_run middle = nd_drill_medians(runs, count);
        nd_columns_row(stdout, nd_drill_times, "median", 17, &middle);
    }
    printf("%s\n", nd_drill_legend);
    if (d->prober)
        printf("longest silence without a failure: %.1f ms in %.1f s\n", d->baseline_ms, d->baseline_s);
}

/* ── for programs ── */

static json_t *known_or_null(double v)
{
    return v < 0 ? json_null() : json_real(v);
}

/* Null: they were not compared. */
static json_t *digests_equal(const struct nd_drill_run *r)
{
    return r->digests == ND_DIGESTS_NOT_COMPARED ? json_null() : json_boolean(r->digests == ND_DIGESTS_EQUAL);
}

/* Null: not told. */
static json_t *digests(const struct nd_drill *d, const struct nd_drill_run *r)
{
    if (!r->digest[0][0] || !r->digest[1][0])
        return json_null();
    return json_pack("{s:s, s:s}", d->config->node[0].name, r->digest[0], d->config->node[1].name,
                     r->digest[1]);
}

static json_t *run_object(const struct nd_drill *d, const struct nd_drill_run *r)
{
    json_t *fenced = json_pack("{s:b,s:b,s:o,s:I}", "released_after", r->released_after, "burst_in_flight",
                               r->burst_in_flight, "before_ms", known_or_null(r->fenced_before_ms), "dropped",
                               (json_int_t)r->fenced_dropped);
    json_t *o =
        json_pack("{s:s, s:s, s:o, s:o, s:s?, s:O?, s:s, s:s?}", "victim", r->victim, "survivor", r->survivor,
                  "digests_equal", digests_equal(r), "digests", digests(d, r), "not_compared",
                  r->not_compared[0] ? r->not_compared : NULL, "fenced", r->was_fenced ? fenced : NULL,
                  "reason", r->reason, "failure", r->failure[0] ? r->failure : NULL);
    json_decref(fenced);
    nd_columns_json(o, nd_drill_times, r);
    nd_columns_json(o, nd_drill_counts, r);
    return o;
}

static int print_json(const struct nd_drill *d, const struct nd_drill_run *runs, unsigned count)
{
    struct nd_drill_run middle = nd_drill_medians(runs, count);
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, run_object(d, &runs[i]));
    json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:f}", "kind", nd_drill_kinds[d->kind], "runs", list,
                          "median", nd_columns_object(nd_drill_times, &middle), "baseline_gap_ms",
                          known_or_null(d->prober ? d->baseline_ms : -1), "baseline_s", d->baseline_s);
    int code = nd_print_json(o);
    json_decref(o);
    return code;
}

/* ── the command ── */

static int repeat_drill(struct nd_drill *d)
{
    uint32_t times_wanted = d->options.repeat;
    struct nd_drill_run *runs = calloc(times_wanted, sizeof *runs);
    struct ft_fault fault = {""};
    unsigned count = 0, bad = 0;
    int error = runs ? FT_OK : ft_fail(&fault, FT_ENOMEM, "no memory"), code = ND_DONE;
    while (error == FT_OK && count < times_wanted && !nd_interrupted()) {
        error = nd_drill_once(d, &runs[count], &fault);
        if (error != FT_OK)
            break;
        if (runs[count++].failure[0] != 0) {
            fprintf(stderr, "understudy: %s, run %u: %s\n", nd_drill_kinds[d->kind], count,
                    runs[count - 1].failure);
            bad++;
        }
    }
    if (error < 0)
        fprintf(stderr, "understudy: %s\n", fault.text);
    int written = nd_drill_report_write(d, runs, count, fault.text);
    if (d->options.json)
        code = print_json(d, runs, count);
    else if (count > 0)
        print_table(d, runs, count);
    free(runs);
    if (error == FT_ENOENT || error == FT_EPERM)
        return nd_exit_of(error);
    code = code != ND_DONE ? code : written;
    return code != ND_DONE ? code : error < 0 || bad > 0 || count < times_wanted ? ND_NOT_EQUAL : ND_DONE;
}

static int run_drills(struct nd_drill *d)
{
    struct ft_fault fault = {""};
    int error;
    nd_catch_ends(); /* a node that was hurt is brought back first */
    signal(SIGPIPE, SIG_IGN);
    if ((error = nd_drill_open(d, &fault)) == FT_OK)
        return repeat_drill(d);
    fprintf(stderr, "understudy: %s\n", fault.text);
    nd_drill_report_write(d, NULL, 0, fault.text);
    return error == FT_ENOENT || error == FT_EPERM ? nd_exit_of(error) : ND_NOT_EQUAL;
}

int nd_cmd_drill(int argc, char **argv)
{
    struct nd_drill drill = {.wait_ms = 30000};
    struct nd_arguments rest;
    struct ft_fault fault = {""};
    int code;
    if ((code = nd_syntax_read(&nd_drill_syntax, &drill.options, argc, argv, &rest)) != 0)
        return code;
    while (drill.kind < ND_DRILL_KINDS && strcmp(rest.argv[0], nd_drill_kinds[drill.kind]) != 0)
        drill.kind++;
    if (drill.kind == ND_DRILL_KINDS)
        return nd_usage("drill",
                        "unknown kind \"%.40s\": kill, server-loss, hang, standby-kill or planned expected",
                        rest.argv[0]);
    int error = nd_config_read(&drill.config, drill.options.file, ND_CONFIG_NODES | ND_CONFIG_QUIET, &fault);
    if (error < 0) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    if ((code = nd_drill_report_open(&drill)) == ND_DONE)
        code = run_drills(&drill);
    nd_page_drop(&drill.page);
    nd_probe_free(drill.prober);
    nd_config_free(drill.config);
    return code;
}
