/* SPDX-License-Identifier: Apache-2.0 */
/* A page of metrics, made of an answer and of the table of its fields. See page.h. */
#include "understudy/metrics/page.h"
#include "ftcore/base/histogram.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define G          "gauge"
#define C          "counter"
#define NAMES      ND_NAMES
#define STATES     NAMES("JOINING", "SYNCING", "READY", "PROTECTED", "DEGRADED", "SOLO", "FENCED")
#define TURN_AGE   "understudy_thread_turn_age_seconds", G, "Age of the thread's last turn"
#define SPENT      "understudy_thread_seconds_total", C, "How the thread spent its time since it began"
#define LONG_TURNS "understudy_thread_long_turns_total", C, "Turns longer than 1 ms"
#define WAITS      "understudy_lane_waits_total", C, "Times that the lane or an output waited, by what for"
#define WAITED                                                                                               \
    "understudy_standby_wait_seconds_total", C, "For how long the lane waited for its standby, by what for"
#define RESYNCS  "understudy_resyncs_total", C, "Resyncs that ended, by how"
#define COMPARED "understudy_verified_slices_total", C, "Slices of the state compared, by outcome"

#define FIELD(path, value, ...) AGAIN(path, __VA_ARGS__)
#define AGAIN(at, ...)          {.path = (at), __VA_ARGS__},
#define WORDS(paths, text)
static const struct nd_metric fields[] = {
#include "understudy/metrics/fields.def"
};
const struct nd_page nd_node_page = {fields, sizeof(fields) / sizeof(fields[0])};

#undef G
#undef C

/* A label's value, with what the format wants escaped. */
static void write_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else
            fprintf(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
    fputc('"', out);
}

/* Behind the labels. What status has in ms the page has in seconds. */
static void write_value(FILE *out, const struct nd_metric *f, const json_t *value)
{
    size_t len = strlen(f->path);
    bool ms = len > 3 && strcmp(f->path + len - 2, "ms") == 0 && strchr("._", f->path[len - 3]);

    if (json_is_integer(value) && !ms)
        fprintf(out, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    else
        fprintf(out, " %.15g\n", json_is_true(value) ? 1 : json_number_value(value) * (ms ? 1e-3 : 1));
}

/* `element`: of a list of lanes, ports or ways, that the value is in; NULL: it is in none. A counter without
 * a value is 0, anything else is left out. */
static void write_one(FILE *out, const struct nd_metric *f, const json_t *value, const json_t *element)
{
    const char *port = json_string_value(json_object_get(element, "port")),
               *way = json_string_value(json_object_get(element, "way"));

    if (strcmp(f->type, "counter") != 0 && !json_is_number(value) && !json_is_boolean(value)) {
        if (f->absent)
            fprintf(out, "%s %s\n", f->name, f->absent);
        return;
    }
    fprintf(out, element || f->label ? "%s{" : "%s", f->name);
    if (port || way)
        write_label(out, port ? "port" : "way", port ? port : way);
    else if (element)
        fprintf(out, "lane=\"%" JSON_INTEGER_FORMAT "\"",
                json_integer_value(json_object_get(element, "lane")));
    if (f->label)
        fprintf(out, element ? ",%s" : "%s", f->label);
    if (element || f->label)
        fputc('}', out);
    write_value(out, f, value);
}

static void write_choice(FILE *out, const struct nd_metric *f, const char *chosen)
{
    for (const char *const *name = f->names; *name; name++) {
        fprintf(out, "%s{", f->name);
        write_label(out, f->label, *name);
        fprintf(out, "} %d\n", chosen && strcmp(*name, chosen) == 0);
    }
}

/* `outer`: the key of this map in a map of maps; NULL: there is none. */
static void write_map(FILE *out, const struct nd_metric *f, const json_t *map, const char *outer)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        if (json_is_object(value)) {
            write_map(out, f, value, key);
            continue;
        }
        fprintf(out, "%s{", f->name);
        if (outer) {
            write_label(out, f->names[0], outer);
            fputc(',', out);
        }
        write_label(out, f->names[outer != NULL], key);
        fputc('}', out);
        write_value(out, f, value);
    }
}

/* Of a table of all lanes, or of each lane's part. */
static void write_tables(FILE *out, const struct nd_metric *f, const json_t *tables)
{
    const char *name;
    json_t *table;

    json_object_foreach((json_t *)(uintptr_t)tables, name, table)
    {
        const json_t *lanes = json_object_get(table, "lanes");

        for (size_t l = 0; l < (lanes ? json_array_size(lanes) : 1); l++) {
            fprintf(out, "%s{", f->name);
            write_label(out, "table", name);
            if (lanes)
                fprintf(out, ",lane=\"%zu\"", l);
            fputc('}', out);
            write_value(out, f, json_object_get(lanes ? json_array_get(lanes, l) : table, f->label));
        }
    }
}

static void write_info(FILE *out, const struct nd_metric *f, const json_t *status)
{
    for (const char *const *name = f->names; *name; name++) {
        const char *text = json_string_value(json_object_get(status, *name));

        fputs(name == f->names ? f->name : "", out);
        fputc(name == f->names ? '{' : ',', out);
        write_label(out, *name, text ? text : "");
    }
    fputs("} 1\n", out);
}

/* Status has how many fell in each bucket; the format has how many were no longer. `element`: as in
 * write_one; its label stands before the others. */
static void write_buckets(FILE *out, const struct nd_metric *f, const json_t *histogram,
                          const json_t *element)
{
    const json_t *buckets = json_object_get(histogram, "buckets");
    json_int_t below = 0, count = json_integer_value(json_object_get(histogram, "count"));
    size_t n = json_array_size(buckets), first = n < FT_HISTOGRAM_BUCKETS ? FT_HISTOGRAM_BUCKETS - n : 0;
    char lane[32] = "", alone[40] = "";

    if (element) {
        snprintf(lane, sizeof(lane), "lane=\"%u\",",
                 (unsigned)json_integer_value(json_object_get(element, "lane")));
        snprintf(alone, sizeof(alone), "{%.*s}", (int)strlen(lane) - 1, lane);
    }
    for (size_t i = 0; i < n && first + i < FT_HISTOGRAM_BUCKETS; i++) {
        below += json_integer_value(json_array_get(buckets, i));
        fprintf(out, "%s_bucket{%sle=\"%g\"} %" JSON_INTEGER_FORMAT "\n", f->name, lane,
                (double)ft_histogram_bound((unsigned)(first + i)) / 1e9, below);
    }
    count = count > below ? count : below; /* lanes go on adding while one field is read behind the other */
    fprintf(out, "%s_bucket{%sle=\"+Inf\"} %" JSON_INTEGER_FORMAT "\n", f->name, lane, count);
    fprintf(out, "%s_sum%s %.15g\n", f->name, alone, json_number_value(json_object_get(histogram, "sum_s")));
    fprintf(out, "%s_count%s %" JSON_INTEGER_FORMAT "\n", f->name, alone, count);
}

/* Of the field that `path` leads to from `at`. */
static void write_field(FILE *out, const struct nd_metric *f, const json_t *at, const char *path,
                        const json_t *element)
{
    size_t len = strcspn(path, "."), i;
    const json_t *value = json_object_getn(at, path, len), *one;

    if (path[len]) {
        if (!json_is_array(value))
            write_field(out, f, value, path + len + 1, element);
        json_array_foreach(value, i, one) write_field(out, f, one, path + len + 1, one);
        return;
    }
    switch (f->samples) {
    case ND_ONE:
        write_one(out, f, value, element);
        break;
    case ND_CHOICE:
        write_choice(out, f, json_string_value(value));
        break;
    case ND_MAP:
        write_map(out, f, value, NULL);
        break;
    case ND_INFO:
        write_info(out, f, at);
        break;
    case ND_BUCKETS:
        write_buckets(out, f, value, element);
        break;
    case ND_TABLES:
        write_tables(out, f, value);
        break;
    }
}

static const struct nd_metric *next_of(const struct nd_metric *f, const struct nd_metric *end,
                                       const char *metric)
{
    while (f < end && !(f->name && strcmp(f->name, metric) == 0))
        f++;
    return f;
}

char *nd_page_make(const struct nd_page *of, const json_t *status, size_t *size)
{
    const struct nd_metric *end = of->row + of->rows;
    char *page = NULL;
    FILE *out = open_memstream(&page, size);

    if (!out)
        return NULL;
    for (const struct nd_metric *f = of->row; f < end; f++) {
        if (!f->name || next_of(of->row, end, f->name) != f)
            continue;
        fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
        for (const struct nd_metric *same = f; same < end; same = next_of(same + 1, end, f->name))
            write_field(out, same, status, same->path, NULL);
    }
    if (fclose(out) == 0)
        return page;
    free(page);
    return NULL;
}
