/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of an NF, filtered and printed; see rows.h. */
#include "node/control/rows.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define END_TEXT 64u /* "[IPv6]:PORT" */

/* ---- filters ----------------------------------------------------------------------------------- */

static bool read_number(const char *text, int max, int *out)
{
    char *end;
    long n = strtol(text, &end, 10);

    *out = (int)n;
    return *text >= '0' && *text <= '9' && !*end && n <= max;
}

/* "A.B.C.D", "A.B.C.D:PORT", "IPv6", "[IPv6]:PORT"; *port -1: none. */
static bool read_end(const char *text, int *family, uint8_t address[16], int *port)
{
    char copy[END_TEXT], *host = copy, *colon;

    *port = -1;
    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    colon = strrchr(copy, ':');
    if (copy[0] == '[' && colon && colon > copy && colon[-1] == ']') {
        colon[-1] = '\0';
        host++;
    } else if (strchr(copy, ':') != colon) { /* several colons and no brackets: an address of IPv6 */
        colon = NULL;
    }
    if (colon) {
        *colon = '\0';
        if (!read_number(colon + 1, 65535, port))
            return false;
    }
    *family = strchr(host, ':') ? AF_INET6 : AF_INET;
    return inet_pton(*family, host, address) == 1;
}

bool nd_end_filter_read(struct nd_end_filter *out, const char *text)
{
    const char *slash = strchr(text, '/');
    char copy[END_TEXT];
    int bits, most;

    *out = (struct nd_end_filter){.family = 0};
    snprintf(copy, sizeof(copy), "%.*s", slash ? (int)(slash - text) : (int)sizeof(copy) - 1, text);
    if (!read_end(copy, &out->family, out->address, &out->port))
        return false;
    bits = most = out->family == AF_INET ? 32 : 128;
    if (slash && !read_number(slash + 1, most, &bits))
        return false;
    out->bits = (unsigned)bits;
    return true;
}

static bool end_matches(const char *text, const struct nd_end_filter *filter)
{
    uint8_t address[16], rest = (uint8_t)(0xff00 >> filter->bits % 8);
    unsigned whole = filter->bits / 8;
    int family, port;

    if (!text || !read_end(text, &family, address, &port) || family != filter->family ||
        (filter->port >= 0 && port != filter->port) || memcmp(address, filter->address, whole) != 0)
        return false;
    return !(filter->bits % 8) || ((address[whole] ^ filter->address[whole]) & rest) == 0;
}

static bool any_end_matches(const json_t *row, const char *const *names, const struct nd_end_filter *filter)
{
    for (; *names; names++)
        if (end_matches(json_string_value(json_object_get(row, *names)), filter))
            return true;
    return filter->family == 0;
}

/* By name or number, which the row has either of. */
static bool same_protocol(const char *text, const char *wanted)
{
    static const struct {
        const char *name, *number;
    } known[] = {{"tcp", "6"}, {"udp", "17"}, {"icmp", "1"}, {"icmpv6", "58"}};

    if (!text)
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(wanted, known[i].number) == 0)
            wanted = known[i].name;
    return strcasecmp(text, wanted) == 0;
}

bool nd_row_matches(const json_t *row, const struct nd_row_filter *filter)
{
    static const char *const sources[] = {"source", "from", "inside", "client", NULL};
    static const char *const destinations[] = {"destination", "to", "remote", "service", NULL};

    return any_end_matches(row, sources, &filter->source) &&
           any_end_matches(row, destinations, &filter->destination) &&
           (!filter->protocol ||
            same_protocol(json_string_value(json_object_get(row, "proto")), filter->protocol));
}

/* ---- what a row says --------------------------------------------------------------------------- */

void nd_row_age(json_t *row, uint64_t now, bool only)
{
    json_t *aged = json_object(), *value;
    char age[64];
    const char *name;

    json_object_foreach(row, name, value)
    {
        size_t len = strlen(name);
        bool is_time = len > 3 && strcmp(name + len - 3, "_ns") == 0 && json_is_integer(value);
        uint64_t at = (uint64_t)json_integer_value(value);

        if (!is_time || !only)
            json_object_set(aged, name, value);
        snprintf(age, sizeof(age), "%.*s_age_s", (int)len - 3, name);
        if (is_time)
            json_object_set_new(aged, age, json_real(now > at ? (double)(now - at) / 1e9 : 0));
    }
    json_object_clear(row);
    json_object_update(row, aged);
    json_decref(aged);
}

char *nd_row_name(const json_t *row)
{
    json_t *texts = json_object(), *value;
    const char *name;
    char *out;

    json_object_foreach((json_t *)(uintptr_t)row, name, value)
    {
        if (json_is_string(value) && strcmp(name, "state") != 0)
            json_object_set(texts, name, value);
    }
    out = json_object_size(texts) ? json_dumps(texts, JSON_COMPACT) : NULL;
    json_decref(texts);
    return out;
}

static const char *cell_text(const json_t *row, const char *name, char *buf, size_t cap)
{
    const json_t *value = json_object_get(row, name);

    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_integer(value))
        snprintf(buf, cap, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(buf, cap, "%.1f", json_real_value(value));
    else
        snprintf(buf, cap, "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "-");
    return buf;
}

void nd_row_print_line(const json_t *row)
{
    const char *name, *between = "";
    json_t *value;
    char buf[64];

    json_object_foreach((json_t *)(uintptr_t)row, name, value)
    {
        printf("%s%s=%s", between, name, cell_text(row, name, buf, sizeof(buf)));
        between = " ";
    }
    printf("\n");
}

/* ---- tables ------------------------------------------------------------------------------------ */

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

void nd_rows_print(json_t **table, json_t *rows)
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
