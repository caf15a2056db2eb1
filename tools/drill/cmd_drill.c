/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy drill: runs a drill so many times, and tells what came of it as a table, as JSON or as a report.
 */
#include "tools/drill/drill.h"
#include "tools/pair/child.h"

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
    int written = d->options.report ? nd_drill_report(d, runs, count, fault.text) : ND_DONE;
    code = nd_drill_print(d, runs, count);
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
    if (d->options.report)
        nd_drill_report(d, NULL, 0, fault.text);
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
    if ((code = nd_report_open(&drill.report, "drill", drill.options.report)) == ND_DONE)
        code = run_drills(&drill);
    nd_report_drop(&drill.report);
    nd_probe_free(drill.prober);
    nd_config_free(drill.config);
    return code;
}
