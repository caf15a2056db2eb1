/* SPDX-License-Identifier: Apache-2.0 */
/* understudy show, set, clear: the state of an NF in the running chain. */
#include "node/commands.h"
#include "node/pair.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 32
#define TAKES       (ND_OPT_FILE | ND_OPT_NODE | ND_OPT_JSON)

struct column {
    char name[32];
    int width;
};

/* Columns of the first page; later rows are printed in them. */
struct table {
    struct column column[COLUMNS_MAX];
    int count;
};

static const char *cell(const json_t *row, const char *name, char *buf, size_t cap)
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

static void add_columns(struct table *table, json_t *row)
{
    const char *key;
    json_t *value;

    json_object_foreach(row, key, value)
    {
        int i = 0;

        while (i < table->count &&
               strncmp(table->column[i].name, key, sizeof(table->column[i].name) - 1) != 0)
            i++;
        if (i < table->count || i == COLUMNS_MAX)
            continue;
        snprintf(table->column[i].name, sizeof(table->column[i].name), "%s", key);
        table->column[i].width = (int)strlen(table->column[i].name);
        table->count++;
    }
}

static void measure(struct table *table, const json_t *rows)
{
    char buf[64];

    for (size_t r = 0; r < json_array_size(rows); r++)
        add_columns(table, json_array_get(rows, r));
    for (size_t r = 0; r < json_array_size(rows); r++)
        for (int i = 0; i < table->count; i++) {
            int len = (int)strlen(cell(json_array_get(rows, r), table->column[i].name, buf, sizeof(buf)));

            if (len > table->column[i].width)
                table->column[i].width = len;
        }
    for (int i = 0; i < table->count; i++)
        printf("%-*s%s", i + 1 < table->count ? table->column[i].width + 2 : 0, table->column[i].name,
               i + 1 < table->count ? "" : "\n");
}

static void print_rows(struct table *table, const json_t *rows)
{
    char buf[64];

    if (!table->count)
        measure(table, rows);
    for (size_t r = 0; r < json_array_size(rows); r++)
        for (int i = 0; i < table->count; i++)
            printf("%-*s%s", i + 1 < table->count ? table->column[i].width + 2 : 0,
                   cell(json_array_get(rows, r), table->column[i].name, buf, sizeof(buf)),
                   i + 1 < table->count ? "" : "\n");
}

/* Page after page, each for people at once or, for JSON, into `all`. */
static int show_pages(struct nd_pair *pair, const char *nf, json_t *all)
{
    struct table table = {.count = 0};
    json_int_t cursor = 0;

    for (;;) {
        json_t *answer, *rows, *next;
        bool last, stuck;
        int code = nd_pair_request(pair, "primary",
                                   json_pack("{s:s, s:s, s:I}", "cmd", "show", "nf", nf, "cursor", cursor),
                                   ND_ACTION_MS, &answer);

        if (code)
            return code;
        rows = json_object_get(answer, "rows");
        next = json_object_get(answer, "next");
        if (all)
            json_array_extend(all, rows);
        else
            print_rows(&table, rows);
        last = !json_is_integer(next);
        stuck = !last && json_integer_value(next) == cursor;
        cursor = json_integer_value(next);
        json_decref(answer);
        if (stuck) {
            fprintf(stderr, "understudy: the node sends the same page again, expected the next\n");
            return ND_SOFTWARE;
        }
        if (last)
            return ND_DONE;
    }
}

int nd_cmd_show(int argc, char **argv)
{
    struct nd_pair pair;
    json_t *all = NULL;
    int code = nd_pair_open(&pair, argc, argv, TAKES, 1, 1, "NF");

    if (code)
        return code;
    if (pair.options.json)
        all = json_array();
    code = show_pages(&pair, pair.options.argv[0], all);
    if (!code && all) {
        json_t *object = json_pack("{s:s, s:O}", "nf", pair.options.argv[0], "rows", all);

        code = nd_print_json(object);
        json_decref(object);
    }
    json_decref(all);
    nd_pair_close(&pair);
    return code;
}

static int change(struct nd_pair *pair, json_t *request)
{
    json_t *answer;
    int code;

    if (!request)
        return nd_usage(NULL, "an argument that is not UTF-8, expected text");
    code = nd_pair_request(pair, "primary", request, ND_ACTION_MS, &answer);
    if (!code && pair->options.json)
        code = nd_print_json(answer);
    else if (!code)
        printf("done\n");
    json_decref(answer);
    return code;
}

int nd_cmd_set(int argc, char **argv)
{
    struct nd_pair pair;
    const char *what, *equals;
    int code = nd_pair_open(&pair, argc, argv, TAKES, 2, 2, "NF KEY=VALUE");

    if (code)
        return code;
    what = pair.options.argv[1];
    equals = strchr(what, '=');
    if (!equals || equals == what)
        code = nd_usage("set", "%.40s, expected KEY=VALUE", what);
    else
        code = change(&pair, json_pack("{s:s, s:s, s:s%, s:s}", "cmd", "set", "nf", pair.options.argv[0],
                                       "key", what, (size_t)(equals - what), "value", equals + 1));
    nd_pair_close(&pair);
    return code;
}

int nd_cmd_clear(int argc, char **argv)
{
    struct nd_pair pair;
    const char *key;
    int code = nd_pair_open(&pair, argc, argv, TAKES, 1, 2, "NF [KEY]");

    if (code)
        return code;
    key = pair.options.argc > 1 ? pair.options.argv[1] : NULL;
    code =
        change(&pair, json_pack("{s:s, s:s, s:s?}", "cmd", "clear", "nf", pair.options.argv[0], "key", key));
    nd_pair_close(&pair);
    return code;
}
