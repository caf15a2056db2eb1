/* SPDX-License-Identifier: Apache-2.0 */
/* understudy show, set, clear: the state of an NF in the running chain. */
#include "node/control/pair.h"

#include <string.h>

#define COLUMNS_MAX 32
#define TAKES       (ND_OPT_FILE | ND_OPT_NODE | ND_OPT_JSON)

/* The columns of the table printed last: rows that have just these go on in it, others begin a new one. */
struct table {
    int width[COLUMNS_MAX]; /* of the first columns; further ones are not shown */
    json_t *like;           /* a row with these columns; owned, NULL: no table yet */
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

static bool fits(const struct table *table, const json_t *row)
{
    const char *key;
    json_t *value;

    if (!table->like || json_object_size(row) != json_object_size(table->like))
        return false;
    json_object_foreach(table->like, key, value)
    {
        if (!json_object_get(row, key))
            return false;
    }
    return true;
}

/* A line of the table: a row, or the columns' names. */
static void print_row(const struct table *table, const json_t *row)
{
    int i = 0, count = (int)json_object_size(table->like);
    const char *name;
    json_t *value;
    char buf[64];

    count = count < COLUMNS_MAX ? count : COLUMNS_MAX;
    json_object_foreach(table->like, name, value)
    {
        if (i < count)
            printf("%-*s%s", i + 1 < count ? table->width[i] + 2 : 0,
                   row ? cell(row, name, buf, sizeof(buf)) : name, i + 1 < count ? "" : "\n");
        i++;
    }
}

/* A new table, with the columns of `row`, wide enough for all rows of the page that fit it. */
static void begin_table(struct table *table, json_t *row, const json_t *rows)
{
    const char *name;
    json_t *value, *other;
    char buf[64];
    size_t r;
    int i = 0;

    if (table->like)
        printf("\n");
    json_decref(table->like);
    table->like = json_incref(row);
    json_object_foreach(row, name, value)
    {
        if (i == COLUMNS_MAX)
            break;
        table->width[i] = (int)strlen(name);
        json_array_foreach(rows, r, other)
        {
            int len = fits(table, other) ? (int)strlen(cell(other, name, buf, sizeof(buf))) : 0;

            table->width[i] = len > table->width[i] ? len : table->width[i];
        }
        i++;
    }
    print_row(table, NULL);
}

/* Rows with the same columns together, table after table in the order of their first rows. */
static void print_rows(struct table *table, json_t *rows)
{
    while (json_array_size(rows)) {
        json_t *row;

        if (!fits(table, json_array_get(rows, 0)))
            begin_table(table, json_array_get(rows, 0), rows);
        for (size_t r = 0; (row = json_array_get(rows, r));) {
            if (fits(table, row)) {
                print_row(table, row);
                json_array_remove(rows, r);
            } else {
                r++;
            }
        }
    }
}

/* Page after page, each for people at once or, for JSON, into `all`. */
static int show_pages(struct nd_pair *pair, const char *nf, json_t *all)
{
    struct table table = {.like = NULL};
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
            json_array_extend(all, rows);
        else
            print_rows(&table, rows);
        more = json_is_integer(next);
        cursor = json_integer_value(next);
        json_decref(answer);
        if (more && cursor == asked) {
            fprintf(stderr, "understudy: the node sends the same page again, expected the next\n");
            code = ND_SOFTWARE;
        }
    }
    json_decref(table.like);
    return code;
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
        printf("%s: done\n", nd_text(answer, "change", "change"));
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
