/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy show: the rows of an NF, once, or with -E what becomes of them: every second all rows are asked
 * for and held against those before. Nothing waits for this command; a row that comes and goes within a
 * second is not seen.
 */
#include "node/base/clock.h"
#include "node/base/event_format.h"
#include "node/control/pair.h"
#include "node/control/rows.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    struct nd_row_filter filter;
    struct nd_pair pair;
    bool filters; /* some rows are left out */
};

static volatile sig_atomic_t stopped;

static void note_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

/* ---- pages ------------------------------------------------------------------------------------- */

/* Rows that are not wanted leave the page; the others get their ages. */
static void choose_rows(const struct showing *s, json_t *rows, const json_t *answer)
{
    uint64_t now = (uint64_t)json_integer_value(json_object_get(answer, "now_ns"));
    json_t *row;

    for (size_t i = 0; (row = json_array_get(rows, i));) {
        if (!nd_row_matches(row, &s->filter)) {
            json_array_remove(rows, i);
            continue;
        }
        nd_row_age(row, now, !s->options.common.json);
        i++;
    }
}

/* Page after page to `take`, which may take rows out of the answer. 0, or an exit code with its line. */
static int each_page(struct showing *s, void (*take)(void *to, json_t *rows, const json_t *answer), void *to)
{
    json_int_t cursor = 0, asked;
    bool more = true;
    int code = 0;

    while (more && !code && !stopped) {
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
    nd_rows_print(last, rows);
    json_decref(rows);
}

struct printing {
    json_t *table;
    bool totals;
};

static void print_page(void *to, json_t *rows, const json_t *answer)
{
    struct printing *p = to;

    nd_rows_print(&p->table, rows);
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
static void tell_standby(const struct showing *s)
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
        tell_standby(s);
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
        nd_rows_print(&printed, rows);
        json_decref(rows);
        json_decref(printed);
        tell_standby(s);
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
        char *name = nd_row_name(row);

        if (name)
            json_object_set(to, name, (json_t *)(uintptr_t)row);
        free(name);
    }
}

static void print_event(const struct showing *s, const char *event, json_t *row)
{
    char time[ND_WALL_TEXT];

    nd_wall_text(time, nd_wall());
    if (s->options.common.json) {
        json_t *o = json_pack("{s:s,s:s,s:O}", "time", time, "event", event, "row", row);

        nd_print_json(o);
        json_decref(o);
    } else {
        printf("%s %9s ", time, event);
        nd_row_print_line(row);
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
    const struct sigaction action = {.sa_handler = note_signal};
    json_t *before = NULL, *now;
    bool told = false;
    int code = ND_DONE;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    for (; !stopped && !ferror(stdout); nanosleep(&(struct timespec){EVERY_S, 0}, NULL)) {
        if (!find_node(s, &told))
            continue;
        now = json_object();
        code = each_page(s, map_page, now);
        if (code == ND_DATA || code == ND_NO_PERMISSION) { /* it will not become better */
            json_decref(now);
            break;
        }
        if (!code && !stopped && before)
            print_changes(s, before, now);
        if (code || stopped) {
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
        struct nd_end_filter *out;
    } ends[] = {{s->options.source, "-s", &s->filter.source},
                {s->options.destination, "-d", &s->filter.destination}};

    for (unsigned i = 0; i < 2; i++)
        if (ends[i].text && !nd_end_filter_read(ends[i].out, ends[i].text))
            return nd_usage("show", "%s %.60s, expected ADDRESS, NETWORK/N or ADDRESS:PORT", ends[i].option,
                            ends[i].text);
    s->filter.protocol = s->options.protocol;
    s->filters = s->options.source || s->options.destination || s->options.protocol;
    return 0;
}

int nd_cmd_show(int argc, char **argv)
{
    struct showing s = {.pair = {.only = -1}};
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
