/* SPDX-License-Identifier: Apache-2.0 */
/* See sheet.h. */
#include "tools/pair/sheet.h"

#include <stdarg.h>
#include <string.h>

#define FACTS 12 /* characters of a fact's key, in text */

/* ---- in a page --------------------------------------------------------------------------------- */

static const char *class_of(const struct nd_column *c)
{
    return c->title[0] == '|' ? " class=\"bar\"" : "";
}

void nd_sheet_page_heads(struct nd_page *page, const struct nd_column columns[])
{
    for (const struct nd_column *c = columns; !nd_column_is_end(c); c++)
        if (c->title) {
            nd_page_put(page, "<th%s>", class_of(c));
            nd_page_text(page, "%s", c->title + (c->title[0] == '|'));
            nd_page_put(page, "</th>");
        }
}

void nd_sheet_page_cells(struct nd_page *page, const struct nd_column columns[], const void *row)
{
    char text[ND_CELL_TEXT];

    for (const struct nd_column *c = columns; !nd_column_is_end(c); c++)
        if (c->title) {
            nd_page_put(page, "<td%s data-key=\"%s\">", class_of(c), c->key);
            nd_page_text(page, "%s", nd_column_text(c, row, text));
            nd_page_put(page, "</td>");
        }
}

static unsigned count_shown(const struct nd_column columns[])
{
    unsigned count = 0;

    for (const struct nd_column *c = columns; !nd_column_is_end(c); c++)
        count += c->title != NULL;
    return count ? count : 1;
}

/* ---- either way -------------------------------------------------------------------------------- */

void nd_sheet_facts_begin(const struct nd_sheet *s)
{
    if (s->page)
        nd_page_put(s->page, "<dl>\n");
}

void nd_sheet_facts_end(const struct nd_sheet *s)
{
    if (s->page)
        nd_page_put(s->page, "</dl>\n");
    else
        fputc('\n', s->out);
}

void nd_sheet_fact(const struct nd_sheet *s, const char *key, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (s->page) {
        nd_page_element(s->page, "dt", "%s", key);
        nd_page_element(s->page, "dd", "%s", text);
        return;
    }
    fprintf(s->out, "%-*s", FACTS, key);
    for (const char *at = text; *at; at++) {
        fputc(*at, s->out);
        if (*at == '\n')
            fprintf(s->out, "%*s", FACTS, "");
    }
    fputc('\n', s->out);
}

void nd_sheet_begin(const struct nd_sheet *s, const struct nd_column columns[], const char *name)
{
    if (s->page)
        nd_page_put(s->page, "<div class=\"wide\"><table>\n");
    if (!name)
        return;
    if (!s->page) {
        nd_columns_titles(s->out, columns, name, s->wide);
        return;
    }
    nd_page_put(s->page, "<tr>");
    nd_page_element(s->page, "th", "%s", name);
    nd_sheet_page_heads(s->page, columns);
    nd_page_put(s->page, "</tr>\n");
}

void nd_sheet_row(const struct nd_sheet *s, const struct nd_column columns[], const char *name,
                  const void *row)
{
    if (!s->page) {
        nd_columns_row(s->out, columns, name, s->wide, row);
        return;
    }
    nd_page_put(s->page, "<tr>");
    nd_page_element(s->page, "td", "%s", name);
    nd_sheet_page_cells(s->page, columns, row);
    nd_page_put(s->page, "</tr>\n");
}

void nd_sheet_words(const struct nd_sheet *s, const struct nd_column columns[], const char *name,
                    const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!s->page) {
        fprintf(s->out, "%-*s %s\n", s->wide, name, text);
        return;
    }
    nd_page_put(s->page, "<tr>");
    nd_page_element(s->page, "td", "%s", name);
    nd_page_put(s->page, "<td class=\"words\" colspan=\"%u\">", count_shown(columns));
    nd_page_text(s->page, "%s", text);
    nd_page_put(s->page, "</td></tr>\n");
}

void nd_sheet_end(const struct nd_sheet *s)
{
    if (s->page)
        nd_page_put(s->page, "</table></div>\n");
}

void nd_sheet_note(const struct nd_sheet *s, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (s->page)
        nd_page_element(s->page, "p", "%s", text);
    else
        fprintf(s->out, "%s\n\n", text);
}
