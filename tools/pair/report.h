/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report: one HTML file that needs nothing beside itself. It is the page of tools/pair/report.html, which
 * is part of the program, with the report as JSON in it, which the page's script draws. It is written to a
 * temporary file in its directory, and takes its name when it is whole. Used by a tool's main thread.
 */
#ifndef TOOLS_PAIR_REPORT_H
#define TOOLS_PAIR_REPORT_H

#include "tools/pair/columns.h"

#include <limits.h>

#define ND_REPORT_HEAD "<!-- understudy " /* how each begins: a report may replace a report */

struct nd_report {
    FILE *out;        /* NULL: none is open */
    const char *path; /* borrowed */
    char temporary[PATH_MAX];
};

/* Before anything else is done; `path` NULL: no report is wanted. 0, or an exit code with its line printed:
 * something that is no report is there, or no file can be made. Nothing is at `path` before the report is
 * written. */
int nd_report_open(struct nd_report *report, const char *tool, const char *path);
/* Takes the reference to `what`. 0, also when none is open; or an exit code with its line printed: then there
 * is no new file. */
int nd_report_write(struct nd_report *report, json_t *what);
/* Without the report, if it is open. */
void nd_report_drop(struct nd_report *report);

#define ND_MACHINE_TEXT 256u
/* What a figure was measured with: "AMD EPYC, 2 cores, Linux 6.1". Returns `out`. */
const char *nd_machine_text(char out[ND_MACHINE_TEXT]);
/* Date with time zone, program and machine, as facts of a report. */
void nd_machine_facts(const struct nd_sheet *sheet);

#endif
