/* SPDX-License-Identifier: Apache-2.0 */
/* understudy show, set, clear: the state of an NF in the running chain. */
#include "node/control/pair.h"

#include <string.h>

static const char *cell_text(const json_t *row, const char *name, char *buf, size_t cap)
{
    const json_t *value = json_object_get(row, name);

    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_integer(value))
        snprintf(buf, cap, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(buf, cap, "%.3f", json_real_value(value));
    else
        snprintf(buf, cap, "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "-");
    return buf;
}

/* Two objects have the same names: rows of one table; or a row and its table. */
static bool is_alike(const json_t *a, json_t *b)
{
    const char *name;
    json_t *value;

    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach(b, name, value)
    {
        if (!json_object_get(a, name))
            return false;
    }
    return true;
}

/* A line of the table: a row, or the columns' names. A table has the columns' widths by name. */
static void print_row(json_t *table, const json_t *row)
{
    const char *name;
    json_t *width;
    char buf[64];

    json_object_foreach(table, name, width)
    {
        bool last = !json_object_iter_next(table, json_object_key_to_iter(name));

        printf("%-*s%s", last ? 0 : (int)json_integer_value(width) + 2,
               row ? cell_text(row, name, buf, sizeof(buf)) : name, last ? "\n" : "");
    }
}

/* A new table, with the columns of `row`, wide enough for all rows of the page that are alike. */
static json_t *begin_table(json_t *row, const json_t *rows)
{
    json_t *table = json_object(), *value, *other;
    const char *name;
    char buf[64];
    size_t r;

    json_object_foreach(row, name, value)
    {
        size_t width = strlen(name);

        json_array_foreach(rows, r, other)
        {
            size_t len = is_alike(other, row) ? strlen(cell_text(other, name, buf, sizeof(buf))) : 0;

            width = len > width ? len : width;
        }
        json_object_set_new(table, name, json_integer((json_int_t)width));
    }
    print_row(table, NULL);
    return table;
}

/* Rows that are alike together, table after table in the order of their first rows; *table is the last one,
 * owned, in which the next page's rows go on. NULL: there is none yet. */
static void print_rows(json_t **table, json_t *rows)
{
    json_t *row;

    while ((row = json_array_get(rows, 0))) {
        if (!*table || !is_alike(row, *table)) {
            if (*table)
                printf("\n");
            json_decref(*table);
            *table = begin_table(row, rows);
        }
        for (size_t r = 0; (row = json_array_get(rows, r));) {
            if (is_alike(row, *table)) {
                print_row(*table, row);
                json_array_remove(rows, r);
            } else {
                r++;
            }
        }
    }
}

/* Behind the rows: the NF's tables, one row for each lane, and its counters. */
static void print_totals(json_t **table, const json_t *answer)
{
    json_t *tables = json_object_get(answer, "tables"), *counters = json_object_get(answer, "counters");
    json_t *of, *lane, *value, *rows = json_array();
    const char *name;
    size_t l;

    json_object_foreach(tables, name, of)
    {
        json_array_foreach(json_object_get(of, "lanes"), l, lane) json_array_append_new(
            rows, json_pack("{s:s,s:I,s:O,s:O}", "table", name, "lane", (json_int_t)l, "entries",
                            json_object_get(lane, "entries"), "limit", json_object_get(lane, "limit")));
        if (!json_object_get(of, "lanes"))
            json_array_append_new(rows, json_pack("{s:s,s:s,s:O,s:O}", "table", name, "lane", "all",
                                                  "entries", json_object_get(of, "entries"), "limit",
                                                  json_object_get(of, "limit")));
    }
    json_object_foreach(counters, name, value)
        json_array_append_new(rows, json_pack("{s:s,s:O}", "counter", name, "count", value));
    print_rows(table, rows);
    json_decref(rows);
}

/* Page after page, each for people at once or, for JSON, into `all`. */
static int show_pages(struct nd_pair *pair, const char *nf, json_t *all)
{
    json_t *table = NULL;
    json_int_t cursor = 0, asked;
    bool more = true;
    int code = 0;

    while (more && !code) {
        json_t *answer, *rows, *next;

        asked = cursor;
        code = nd_pair_request(pair, "primary",
                               json_pack("{s:s, s:s, s:I}", "cmd", "show", "nf", nf, "cursor", cursor),
                               ND_ACTION_MS, &answer);
        if (code)
            break;
        rows = json_object_get(answer, "rows");
        next = json_object_get(answer, "next");
        if (all)
            json_array_extend(json_object_get(all, "rows"), rows);
        else
            print_rows(&table, rows);
        more = json_is_integer(next);
        cursor = json_integer_value(next);
        if (!more && all) {
            json_object_set(all, "tables", json_object_get(answer, "tables"));
            json_object_set(all, "counters", json_object_get(answer, "counters"));
        } else if (!more) {
            print_totals(&table, answer);
        }
        json_decref(answer);
        if (more && cursor == asked) {
            fprintf(stderr, "understudy: the node sends the same page again, expected the next\n");
            code = ND_SOFTWARE;
        }
    }
    json_decref(table);
    return code;
}

int nd_cmd_show(int argc, char **argv)
{
    struct nd_pair pair;
    json_t *all = NULL;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    if (pair.options.json)
        all = json_pack("{s:s, s:[]}", "nf", pair.options.argv[0], "rows");
    code = show_pages(&pair, pair.options.argv[0], all);
    if (!code && all)
        code = nd_print_json(all);
    json_decref(all);
    nd_pair_close(&pair);
    return code;
}

static int send_change(struct nd_pair *pair, json_t *request)
{
    json_t *answer;
    int code;

    if (!request)
        return nd_usage(NULL, "an argument that is not UTF-8, expected text");
    code = nd_pair_request(pair, "primary", request, ND_ACTION_MS, &answer);
    if (!code && pair->options.json)
        code = nd_print_json(answer);
    else if (!code)
        printf("%s: done\n", nd_text(answer, "change", "change"));
    json_decref(answer);
    return code;
}

int nd_cmd_set(int argc, char **argv)
{
    struct nd_pair pair;
    const char *what, *equals;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    what = pair.options.argv[1];
    equals = strchr(what, '=');
    if (!equals || equals == what)
        code = nd_usage("set", "%.40s, expected KEY=VALUE", what);
    else
        code = send_change(&pair, json_pack("{s:s, s:s, s:s%, s:s}", "cmd", "set", "nf", pair.options.argv[0],
                                            "key", what, (size_t)(equals - what), "value", equals + 1));
    nd_pair_close(&pair);
    return code;
}

int nd_cmd_clear(int argc, char **argv)
{
    struct nd_pair pair;
    const char *key;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    key = pair.options.argc > 1 ? pair.options.argv[1] : NULL;
    code = send_change(&pair,
                       json_pack("{s:s, s:s, s:s?}", "cmd", "clear", "nf", pair.options.argv[0], "key", key));
    nd_pair_close(&pair);
    return code;
}
