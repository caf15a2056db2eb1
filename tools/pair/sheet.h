/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a tool's tables go: to a file as text, or into a page. What a tool has to tell is written once, by
 * walking its columns, for both.
 */
#ifndef TOOLS_PAIR_SHEET_H
#define TOOLS_PAIR_SHEET_H

#include "tools/pair/columns.h"
#include "tools/pair/page.h"

struct nd_sheet {
    FILE *out;            /* text; or */
    struct nd_page *page; /* not NULL: HTML */
    int wide;             /* characters of the first column, in text */
};

/* A line of what stands before the tables: "machine     …". In text, lines after the first are indented. */
void nd_sheet_fact(const struct nd_sheet *sheet, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Around all facts. */
void nd_sheet_facts_begin(const struct nd_sheet *sheet);
void nd_sheet_facts_end(const struct nd_sheet *sheet);

/* A table: its titles, with `name` above the first column, NULL: none; its rows; its end. */
void nd_sheet_begin(const struct nd_sheet *sheet, const struct nd_column columns[], const char *name);
void nd_sheet_row(const struct nd_sheet *sheet, const struct nd_column columns[], const char *name,
                  const void *row);
/* A row that has words in place of figures. */
void nd_sheet_words(const struct nd_sheet *sheet, const struct nd_column columns[], const char *name,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void nd_sheet_end(const struct nd_sheet *sheet);
/* A paragraph: what titles mean. */
void nd_sheet_note(const struct nd_sheet *sheet, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Cells of a row that has others beside them. */
void nd_sheet_page_heads(struct nd_page *page, const struct nd_column columns[]);
void nd_sheet_page_cells(struct nd_page *page, const struct nd_column columns[], const void *row);

#endif
