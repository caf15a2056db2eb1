/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output of what a tool measured: tables, for people and as JSON, and a report. Used by a tool's main
 * thread.
 *
 * A column says where a figure lies in a row's struct, how people see it and under which key it is in JSON;
 * text, JSON and a report's tables are made by walking the same columns. A sheet is where a tool's facts and
 * tables go: to a file as text, or to a report as JSON, so a tool's output is written once for both.
 *
 * A report is one HTML file that needs nothing beside itself: the page of understudy/pair/report.html, which
 * is part of the program, with the report as JSON in it, which the page's script draws. It is written to a
 * temporary file in its directory, and takes its name when it is whole.
 */
#ifndef TOOLS_PAIR_REPORT_H
#define TOOLS_PAIR_REPORT_H

#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>

enum nd_column_kind {
    ND_COLUMN_REAL,  /* double */
    ND_COLUMN_KNOWN, /* double; negative: not known, "-" and null */
    ND_COLUMN_WHOLE, /* uint64_t */
    ND_COLUMN_TEXT,  /* const char * */
};

struct nd_column {
    const char *title; /* NULL: not in the text. One that begins with '|' has a bar before it */
    const char *key;   /* NULL: not in JSON. "cpu.lane" is "lane" of the object "cpu". A table ends where both
                          are NULL */
    enum nd_column_kind kind;
    size_t offset;
    int width; /* without the suffix; negative: to the left */
    int decimals;
    double scale;       /* of the figure in the text */
    const char *suffix; /* behind it in the text */
};

#define ND_COLUMN(title, key, kind, at, width, decimals, scale, suffix)                                      \
    {                                                                                                        \
        title, key, kind, at, width, decimals, scale, suffix                                                 \
    }
#define ND_REAL(t, key, at, width, decimals)  ND_COLUMN(t, key, ND_COLUMN_REAL, at, width, decimals, 1, "")
#define ND_KNOWN(t, key, at, width, decimals) ND_COLUMN(t, key, ND_COLUMN_KNOWN, at, width, decimals, 1, "")
#define ND_SHARE(t, key, at, width, decimals) ND_COLUMN(t, key, ND_COLUMN_REAL, at, width, decimals, 100, "%")
#define ND_WHOLE(t, key, at, width)           ND_COLUMN(t, key, ND_COLUMN_WHOLE, at, width, 0, 1, "")
#define ND_TEXT_COLUMN(t, key, at, width)     ND_COLUMN(t, key, ND_COLUMN_TEXT, at, width, 0, 1, "")

/* The titles, and the figures of a row, for people, without a line end. */
void nd_columns_heads(FILE *out, const struct nd_column columns[]);
void nd_columns_cells(FILE *out, const struct nd_column columns[], const void *row);
/* Puts the row's figures into an object. */
void nd_columns_json(json_t *to, const struct nd_column columns[], const void *row);
/* An object of them. */
json_t *nd_columns_object(const struct nd_column columns[], const void *row);
/* What a report's page knows of the columns that people see: title, key, decimals, scale and suffix. */
json_t *nd_columns_described(const struct nd_column columns[]);

/* The value that `share` (0 … 1) of the values does not exceed, linear between the two nearest; 0 of nothing.
 * Sorts the values. */
double nd_quantile(double values[], unsigned count, double share);

struct nd_sheet {
    FILE *out;      /* text; or */
    json_t *blocks; /* not NULL: an array that blocks of a report are appended to */
    int wide;       /* characters of the first column, in text */
};

/* A line of what stands before the tables: "machine     …". In text, lines after the first are indented. */
void nd_sheet_fact(const struct nd_sheet *sheet, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A table: its titles, with `name` above the first column, NULL: none; its rows. */
void nd_sheet_begin(const struct nd_sheet *sheet, const struct nd_column columns[], const char *name);
void nd_sheet_row(const struct nd_sheet *sheet, const struct nd_column columns[], const char *name,
                  const void *row);
/* A row that has words in place of figures. */
void nd_sheet_words(const struct nd_sheet *sheet, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A paragraph: what titles mean. */
void nd_sheet_note(const struct nd_sheet *sheet, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

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
