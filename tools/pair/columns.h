/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of what a tool measured. A column says where a figure lies in a row's struct, how people see it and
 * under which key it is in JSON; text, JSON and a report's tables are made by walking the same columns.
 */
#ifndef TOOLS_PAIR_COLUMNS_H
#define TOOLS_PAIR_COLUMNS_H

#include <jansson.h>
#include <stdbool.h>
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

static inline bool nd_column_is_end(const struct nd_column *column)
{
    return !column->title && !column->key;
}

/* One line each, of the titles and of a row. `name`, as wide as `wide`, comes first. */
void nd_columns_titles(FILE *out, const struct nd_column columns[], const char *name, int wide);
void nd_columns_row(FILE *out, const struct nd_column columns[], const char *name, int wide, const void *row);
/* The same without name and line end. */
void nd_columns_heads(FILE *out, const struct nd_column columns[]);
void nd_columns_cells(FILE *out, const struct nd_column columns[], const void *row);
/* Puts the row's figures into an object. */
void nd_columns_json(json_t *to, const struct nd_column columns[], const void *row);
/* An object of them. */
json_t *nd_columns_object(const struct nd_column columns[], const void *row);
/* What a report's page knows of the columns that people see: title, key, decimals, scale and suffix. */
json_t *nd_columns_described(const struct nd_column columns[]);
/* Raises each figure of `to` to that of `row` where that is larger. */
void nd_columns_most(void *to, const struct nd_column columns[], const void *row);

/* The value that `share` (0 … 1) of the values does not exceed, linear between the two nearest; 0 of nothing.
 * Sorts the values. */
double nd_quantile(double values[], unsigned count, double share);

/*
 * Where a tool's facts and tables go: to a file as text, or to a report as JSON (tools/pair/report.html says
 * how it looks). What a tool has to tell is written once for both.
 */
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

#endif
