/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy show: the rows of an NF, flat JSON objects (nf_row), once. With -E it prints changes: once a
 * second it fetches all rows and compares them with the last ones. Nothing waits for this command; a row that
 * comes and goes within a second is not seen. Rows are filtered here, and printed as tables for people.
 */
#include "understudy/cli/pair.h"
#include "ftcore/base/clock.h"
#include "understudy/base/event_writer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define END_TEXT 64u /* "[IPv6]:PORT" */

/* An address or network, and perhaps a port. */
struct end_filter {
    int family; /* AF_INET, AF_INET6; 0: any */
    uint8_t address[16];
    unsigned bits; /* of the address that count */
    int port;      /* -1: any */
};

struct row_filter {
    struct end_filter source, destination;
    const char *protocol; /* NULL: any; borrowed */
};

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

/* "10.0.0.7", "10.0.0.0/8", "10.0.0.7:80", "fe80::1", "[fe80::1]:80". False: none of these. */
static bool read_end_filter(struct end_filter *out, const char *text)
{
    const char *slash = strchr(text, '/');
    char copy[END_TEXT];
    int bits, most;

    *out = (struct end_filter){.family = 0};
    snprintf(copy, sizeof(copy), "%.*s", slash ? (int)(slash - text) : (int)sizeof(copy) - 1, text);
    if (!read_end(copy, &out->family, out->address, &out->port))
        return false;
    bits = most = out->family == AF_INET ? 32 : 128;
    if (slash && !read_number(slash + 1, most, &bits))
        return false;
    out->bits = (unsigned)bits;
    return true;
}

static bool end_matches(const char *text, const struct end_filter *filter)
{
    uint8_t address[16], rest = (uint8_t)(0xff00 >> filter->bits % 8);
    unsigned whole = filter->bits / 8;
    int family, port;

    if (!text || !read_end(text, &family, address, &port) || family != filter->family ||
        (filter->port >= 0 && port != filter->port) || memcmp(address, filter->address, whole) != 0)
        return false;
    return !(filter->bits % 8) || ((address[whole] ^ filter->address[whole]) & rest) == 0;
}

static bool any_end_matches(const json_t *row, const char *const *names, const struct end_filter *filter)
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

/* A row that lacks a field which the filter asks for does not match. The ends of a flow have these names:
 * source, from, inside, client; destination, to, remote, service. */
static bool row_matches(const json_t *row, const struct row_filter *filter)
{
    static const char *const sources[] = {"source", "from", "inside", "client", NULL};
    static const char *const destinations[] = {"destination", "to", "remote", "service", NULL};

    return any_end_matches(row, sources, &filter->source) &&
           any_end_matches(row, destinations, &filter->destination) &&
           (!filter->protocol ||
            same_protocol(json_string_value(json_object_get(row, "proto")), filter->protocol));
}

/* ---- the content of a row --------------------------------------------------------------------------- */

/* For each time in it, NAME_ns in chain time, NAME_age_s: seconds until `now`. `only`: in its place. */
static void age_row(json_t *row, uint64_t now, bool only)
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

/* What distinguishes one row from the others: its texts but the state, as one text that the caller frees;
 * NULL: it has none. */
static char *name_row(const json_t *row)
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

/* "proto=tcp from=10.0.0.1:1000 …" on stdout, with a line end. */
static void print_row_line(const json_t *row)
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

/* On stdout, rows that are alike together, table after table in the order of their first rows; they are taken
 * out of `rows`. *table is the last one, owned, in which the next page's rows go on; NULL: there is none yet.
 */
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

#define COUNTERS "counters" /* in place of an NF: those of all */
#define EVERY_S  1

struct show_options {
    struct nd_options common;
    const char *source, *destination, *protocol;
    bool count, events;
};

#define AT(field) offsetof(struct show_options, field)

static const struct nd_option options_of_show[] = {
    ND_OPTION_FILE_ROW(AT(common.file), "configuration"),
    ND_OPTION_NODE_ROW(AT(common.node)),
    ND_OPTION_JSON_ROW(AT(common.json)),
    {"source", 's', ND_OPTION_TEXT, AT(source), .value = "END",
     .help = "rows from there: ADDRESS, NETWORK/N or ADDRESS:PORT"},
    {"destination", 'd', ND_OPTION_TEXT, AT(destination), .value = "END", .help = "rows to there"},
    {"protocol", 'p', ND_OPTION_TEXT, AT(protocol), .value = "PROTO", .help = "tcp, udp, icmp or a number"},
    {"count", 0, ND_OPTION_FLAG, AT(count),
     .help = "only how many rows there are, of all kinds; with -s, -d or -p how many of flows"},
    {"events", 'E', ND_OPTION_FLAG, AT(events),
     .help = "rows that come, change their state and go, until it is ended"},
    {.name = NULL},
};

const struct nd_syntax nd_show_syntax = {"show", options_of_show, "NF|" COUNTERS, 1, 1};

struct showing {
    struct show_options options;
    const char *nf;
    struct row_filter filter;
    struct nd_pair pair;
    bool filters; /* some rows are left out */
};

/* ---- pages ------------------------------------------------------------------------------------- */

/* Rows that are not wanted leave the page; the others get their ages. */
static void choose_rows(const struct showing *s, json_t *rows, const json_t *answer)
{
    uint64_t now = (uint64_t)nd_integer(answer, "now_ns");
    json_t *row;

    for (size_t i = 0; (row = json_array_get(rows, i));) {
        if (!row_matches(row, &s->filter)) {
            json_array_remove(rows, i);
            continue;
        }
        age_row(row, now, !s->options.common.json);
        i++;
    }
}

/* Page after page to `take`, which may take rows out of the answer. 0, or an exit code with its line. */
static int each_page(struct showing *s, void (*take)(void *to, json_t *rows, const json_t *answer), void *to)
{
    json_int_t cursor = 0, asked;
    bool more = true;
    int code = 0;

    while (more && !code && !nd_stopped) {
        json_t *answer, *next;

        asked = cursor;
        code = nd_pair_request(&s->pair, "primary",
                               json_pack("{s:s, s:s, s:I}", "cmd", "show", "nf", s->nf, "cursor", cursor),
                               ND_ACTION_MS, &answer);
        if (code)
            break;
        choose_rows(s, json_object_get(answer, "rows"), answer);
        take(to, json_object_get(answer, "rows"), answer);
        next = json_object_get(answer, "next");
        more = json_is_integer(next);
        cursor = json_integer_value(next);
        json_decref(answer);
        if (more && cursor == asked) {
            fprintf(stderr, "understudy: the node sends the same page again, expected the next\n");
            code = ND_SOFTWARE;
        }
    }
    return code;
}

/* ---- once -------------------------------------------------------------------------------------- */

/* Behind the rows: the NF's timeouts, its tables, one row for each lane, and its counters. */
static void print_totals(json_t **last, const json_t *answer)
{
    json_t *tables = json_object_get(answer, "tables"), *counters = json_object_get(answer, "counters");
    json_t *timeouts = json_object_get(answer, "timeouts");
    json_t *of, *lane, *value, *rows = json_array();
    const char *name;
    size_t l;

    json_object_foreach(timeouts, name, value)
        json_array_append_new(rows, json_pack("{s:s,s:O}", "timeout", name, "seconds", value));
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
    print_rows(last, rows);
    json_decref(rows);
}

struct printing {
    json_t *table;
    bool totals;
};

static void print_page(void *to, json_t *rows, const json_t *answer)
{
    struct printing *p = to;

    print_rows(&p->table, rows);
    if (p->totals && !json_is_integer(json_object_get(answer, "next")))
        print_totals(&p->table, answer);
}

static void count_page(void *to, json_t *rows, const json_t *answer)
{
    (void)answer;
    *(size_t *)to += json_array_size(rows);
}

static void keep_page(void *to, json_t *rows, const json_t *answer)
{
    json_array_extend(json_object_get(to, "rows"), rows);
    if (json_is_integer(json_object_get(answer, "next")))
        return;
    json_object_set(to, "tables", json_object_get(answer, "tables"));
    json_object_set(to, "counters", json_object_get(answer, "counters"));
    json_object_set(to, "timeouts", json_object_get(answer, "timeouts"));
}

/* Of a standby: rows are what it has replayed so far. */
static void warn_standby(const struct showing *s)
{
    int node = s->pair.only;

    if (!s->options.common.node && node >= 0 &&
        strcmp(nd_text(s->pair.status[node], "role", ""), "primary") != 0)
        fprintf(stderr, "understudy: node %s is no primary: this is what it has replayed\n",
                s->pair.config->node[node].name);
}

static int show_once(struct showing *s)
{
    struct printing printing = {.totals = !s->filters};
    size_t count = 0;
    json_t *all;
    int code;

    if (s->options.count) {
        code = each_page(s, count_page, &count);
        if (!code && s->options.common.json)
            printf("{\"count\":%zu}\n", count);
        else if (!code)
            printf("%zu\n", count);
    } else if (s->options.common.json) {
        all = json_pack("{s:s, s:[]}", "nf", s->nf, "rows");
        code = each_page(s, keep_page, all);
        if (!code)
            code = nd_print_json(all);
        json_decref(all);
    } else {
        code = each_page(s, print_page, &printing);
        json_decref(printing.table);
    }
    if (!code)
        warn_standby(s);
    return code;
}

/* Of all NFs, as the status has them. */
static int show_counters(struct showing *s)
{
    json_t *answer, *nfs, *of, *value, *rows, *printed = NULL;
    const char *nf, *name;
    int code =
        nd_pair_request(&s->pair, "primary", json_pack("{s:s}", "cmd", "status"), ND_STATUS_MS, &answer);

    if (code)
        return code;
    nfs = json_object_get(answer, "nfs");
    if (s->options.common.json) {
        code = nd_print_json(nfs);
    } else {
        rows = json_array();
        json_object_foreach(nfs, nf, of) json_object_foreach(of, name, value) json_array_append_new(
            rows, json_pack("{s:s,s:s,s:O}", "nf", nf, "counter", name, "count", value));
        print_rows(&printed, rows);
        json_decref(rows);
        json_decref(printed);
        warn_standby(s);
    }
    json_decref(answer);
    return code;
}

/* ---- events ------------------------------------------------------------------------------------ */

static void map_page(void *to, json_t *rows, const json_t *answer)
{
    const json_t *row;
    size_t i;

    (void)answer;
    json_array_foreach(rows, i, row)
    {
        char *name = name_row(row);

        if (name)
            json_object_set(to, name, (json_t *)(uintptr_t)row);
        free(name);
    }
}

static void print_event(const struct showing *s, const char *event, json_t *row)
{
    char time[ND_WALL_TEXT];

    nd_wall_text(time, ft_wall());
    if (s->options.common.json) {
        json_t *o = json_pack("{s:s,s:s,s:O}", "time", time, "event", event, "row", row);

        nd_print_json(o);
        json_decref(o);
    } else {
        printf("%s %9s ", time, event);
        print_row_line(row);
    }
}

static void print_changes(const struct showing *s, json_t *before, json_t *now)
{
    const char *name;
    json_t *row;

    json_object_foreach(before, name, row)
    {
        if (!json_object_get(now, name))
            print_event(s, "[DESTROY]", row);
    }
    json_object_foreach(now, name, row)
    {
        json_t *was = json_object_get(before, name);

        if (!was)
            print_event(s, "[NEW]", row);
        else if (strcmp(nd_text(was, "state", ""), nd_text(row, "state", "")) != 0)
            print_event(s, "[UPDATE]", row);
    }
    fflush(stdout);
}

/* Waits for a primary (or for the node of -n); what has taken over has the rows of the one before. */
static bool find_node(struct showing *s, bool *told)
{
    int named = s->options.common.node ? s->pair.only : -1;

    s->pair.only = named;
    nd_pair_ask_status(&s->pair);
    if (named < 0)
        s->pair.only = nd_pair_in_role(&s->pair, "primary");
    if (s->pair.only >= 0 && s->pair.status[s->pair.only]) {
        *told = false;
        return true;
    }
    if (!*told)
        fprintf(stderr, "understudy show: waiting for %s that answers\n",
                named < 0 ? "a primary" : "the node");
    *told = true;
    s->pair.only = named;
    return false;
}

static int follow(struct showing *s)
{
    json_t *before = NULL, *now;
    bool told = false;
    int code = ND_DONE;

    nd_catch_signals();
    for (; !nd_stopped && !ferror(stdout); nanosleep(&(struct timespec){EVERY_S, 0}, NULL)) {
        if (!find_node(s, &told))
            continue;
        now = json_object();
        code = each_page(s, map_page, now);
        if (code == ND_DATA || code == ND_NO_PERMISSION) { /* it will not become better */
            json_decref(now);
            break;
        }
        if (!code && !nd_stopped && before)
            print_changes(s, before, now);
        if (code || nd_stopped) {
            json_decref(now); /* of a part of the rows nothing follows */
        } else {
            json_decref(before);
            before = now;
        }
        code = ND_DONE;
    }
    json_decref(before);
    return code;
}

/* ---- the command ------------------------------------------------------------------------------- */

static int read_ends(struct showing *s)
{
    const struct {
        const char *text, *option;
        struct end_filter *out;
    } ends[] = {{s->options.source, "-s", &s->filter.source},
                {s->options.destination, "-d", &s->filter.destination}};

    for (unsigned i = 0; i < 2; i++)
        if (ends[i].text && !read_end_filter(ends[i].out, ends[i].text))
            return nd_usage("show", "%s %.60s, expected ADDRESS, NETWORK/N or ADDRESS:PORT", ends[i].option,
                            ends[i].text);
    s->filter.protocol = s->options.protocol;
    s->filters = s->options.source || s->options.destination || s->options.protocol;
    return 0;
}

int nd_cmd_show(int argc, char **argv)
{
    struct showing s = {.pair = {.only = -1, .elsewhere = true}};
    struct nd_arguments rest;
    bool counters;
    int code = nd_syntax_read(&nd_show_syntax, &s.options, argc, argv, &rest);

    if (!code)
        code = read_ends(&s);
    if (!code && s.options.events && s.options.count)
        code = nd_usage("show", "-E and --count, expected one of them");
    if (code)
        return code;
    s.nf = rest.argv[0];
    counters = strcmp(s.nf, COUNTERS) == 0;
    if (counters && (s.filters || s.options.events || s.options.count))
        return nd_usage("show", COUNTERS " with -s, -d, -p, --count or -E, expected an NF");
    s.pair.options = s.options.common;
    code = nd_pair_begin(&s.pair, argv[0]);
    if (code)
        return code;
    code = counters ? show_counters(&s) : s.options.events ? follow(&s) : show_once(&s);
    nd_pair_close(&s.pair);
    return code;
}
