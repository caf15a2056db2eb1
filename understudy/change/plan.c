/* SPDX-License-Identifier: Apache-2.0 */
/* See plan.h. */
#include "understudy/change/plan.h"
#include "nflib/session/table.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTING_MAX 200        /* bytes of a value, which is cut there */
#define LINES_TOLD  20u        /* of a file, of each kind */
#define FILE_TOLD   (1u << 20) /* bytes: of a larger file its size is shown */

/* What moving the state took on machines that had nothing else to do (docs/reference.md, apply). */
#define MB_LEAST_MS 0.5
#define MB_MOST_MS  1.0
#define FLOW_MS     0.002

struct line {
    const char *text;
    size_t len;
    unsigned number;
};

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int compare_numbers(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* Sorted by their text; allocated. NULL: there is no memory. */
static struct line *lines_of(const struct nf_file *file, size_t *count)
{
    const char *at = file->bytes, *end = at + file->len, *next;
    struct line *lines;
    size_t n = 1;

    for (const char *c = at; c < end; c++)
        n += *c == '\n';
    lines = calloc(n, sizeof(*lines));
    *count = 0;
    for (; lines && at < end; at = next + 1) {
        next = memchr(at, '\n', (size_t)(end - at));
        next = next ? next : end;
        lines[*count] = (struct line){at, (size_t)(next - at), (unsigned)*count + 1};
        ++*count;
    }
    if (lines)
        qsort(lines, *count, sizeof(*lines), compare_lines);
    return lines;
}

/* Those of `a` that are not in `b`, in the order of the file, "12: deny in"; *more: how many are left out. */
static json_t *lines_without(const struct line *a, size_t n, const struct line *b, size_t m, size_t *more)
{
    struct line *only = calloc(n + 1, sizeof(*only));
    json_t *told = json_array();
    size_t count = 0, j = 0;

    for (size_t i = 0; only && i < n; i++) {
        while (j < m && compare_lines(&b[j], &a[i]) < 0)
            j++;
        if (j < m && compare_lines(&b[j], &a[i]) == 0)
            j++; /* each is there as often */
        else
            only[count++] = a[i];
    }
    if (only)
        qsort(only, count, sizeof(*only), compare_numbers);
    for (size_t i = 0; i < count && i < LINES_TOLD; i++) {
        char text[SETTING_MAX];

        snprintf(text, sizeof(text), "%u: %.*s", only[i].number,
                 (int)(only[i].len < SETTING_MAX ? only[i].len : SETTING_MAX), only[i].text);
        for (char *c = text; *c; c++) /* JSON takes whole characters alone, and a line may be of any bytes */
            if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
                *c = *c == '\t' ? ' ' : '?';
        json_array_append_new(told, json_string(text));
    }
    *more = count > LINES_TOLD ? count - LINES_TOLD : 0;
    free(only);
    return told;
}

static bool is_text(const struct nf_file *file)
{
    return file->bytes && file->len <= FILE_TOLD && !memchr(file->bytes, '\0', file->len);
}

/* What is another line than before; of what is no text the sizes alone. */
static json_t *file_setting(const char *name, const struct nf_file *before, const struct nf_file *after)
{
    json_t *row = json_pack("{s:s,s:n,s:n,s:I,s:I}", "name", name, "before", "after", "bytes_before",
                            (json_int_t)before->len, "bytes_after", (json_int_t)after->len);
    size_t n = 0, m = 0, more_gone = 0, more_come = 0;
    struct line *was = is_text(before) && is_text(after) ? lines_of(before, &n) : NULL,
                *is = was ? lines_of(after, &m) : NULL;

    if (is) {
        json_object_set_new(row, "goes", lines_without(was, n, is, m, &more_gone));
        json_object_set_new(row, "comes", lines_without(is, m, was, n, &more_come));
        json_object_set_new(row, "more", json_integer((json_int_t)(more_gone + more_come)));
    }
    free(was);
    free(is);
    return row;
}

static json_t *setting(const struct nf_param *p, const void *before, const void *after)
{
    char from[SETTING_MAX], to[SETTING_MAX];

    if (p->kind == NF_FILE)
        return file_setting(p->name, (const void *)((const char *)before + p->offset),
                            (const void *)((const char *)after + p->offset));
    nf_chain_setting(p, before, from, sizeof(from));
    nf_chain_setting(p, after, to, sizeof(to));
    return json_pack("{s:s,s:s,s:s}", "name", p->name, "before", from, "after", to);
}

static const char *on_crash(const struct nf_choice *nf)
{
    return nf->on_crash == NF_CRASH_RESET ? "reset" : nf->on_crash == NF_CRASH_BYPASS ? "bypass" : "stop";
}

/* What is another than before in an NF that stays. */
static json_t *settings(const struct nf_choice *was, const struct nf_choice *is)
{
    json_t *all = json_array();

    for (const struct nf_param *p = is->module->params; p && p->name; p++)
        if (!nf_chain_same_setting(p, was->config, is->config))
            json_array_append_new(all, setting(p, was->config, is->config));
    if (was->on_crash != is->on_crash)
        json_array_append_new(all, json_pack("{s:s,s:s,s:s}", "name", "on_crash", "before", on_crash(was),
                                             "after", on_crash(is)));
    return all;
}

static json_t *row(const struct nf_choice *nf, const char *does, const char *state, json_t *changed)
{
    return json_pack("{s:s,s:s,s:s,s:o}", "nf", nf->module->name, "does", does, "state", state, "settings",
                     changed);
}

/* Flows of all lanes: sessions, which all NFs find, or where there are none the fullest table. */
static uint64_t count_flows(const struct nd_counts *counts)
{
    uint64_t sessions = 0, most = 0;

    for (unsigned t = 0; t < counts->table_count; t++) {
        uint64_t entries = nf_table_entries(&counts->tables[t].table);

        if (strcmp(counts->tables[t].name, "sessions") == 0)
            sessions += entries;
        most = entries > most ? entries : most;
    }
    return sessions ? sessions : most;
}

/* ---- interfaces and routes ------------------------------------------------------------------------ */

static void add_item(void *items, const char *what, const char *how)
{
    json_object_set_new(items, what, json_string(how));
}

static json_t *items_of(const struct nf_l3_config *l3)
{
    json_t *items = json_object();

    if (l3)
        nf_chain_tell_l3(l3, add_item, items);
    return items;
}

/* A row for each that is another one than before. */
static json_t *interfaces(const struct nf_l3_config *from, const struct nf_l3_config *to)
{
    json_t *before = items_of(from), *after = items_of(to), *rows = json_array(), *was, *is;
    const char *what;

    json_object_foreach(after, what, is)
    {
        was = json_object_get(before, what);
        if (!was || !json_equal(was, is))
            json_array_append_new(rows, json_pack("{s:s,s:s,s:O?,s:O}", "what", what, "does",
                                                  was ? "changes" : "begins", "before", was, "after", is));
    }
    json_object_foreach(before, what, was)
    {
        if (!json_object_get(after, what))
            json_array_append_new(
                rows, json_pack("{s:s,s:s,s:O,s:n}", "what", what, "does", "goes", "before", was, "after"));
    }
    json_decref(before);
    json_decref(after);
    return rows;
}

json_t *nd_plan_json(const struct nf_chain_change *plan, const struct nd_counts *counts, uint64_t region)
{
    double mb = (double)region / (1 << 20), flows = FLOW_MS * (double)count_flows(counts);
    json_t *nfs = json_array();
    bool stays[FT_NFS_MAX] = {false};

    for (unsigned i = 0; i < plan->to->count; i++) {
        const struct nf_choice *is = &plan->to->nfs[i];
        unsigned was = plan->was[i + 1];
        json_t *changed = was ? settings(&plan->from->nfs[was - 1], is) : json_array();

        stays[was] = true;
        json_array_append_new(nfs, row(is,
                                       !was                       ? "begins"
                                       : json_array_size(changed) ? "changes"
                                                                  : "stays",
                                       was ? "kept" : "empty", changed));
    }
    for (unsigned i = 0; i < plan->from->count; i++)
        if (!stays[i + 1])
            json_array_append_new(nfs, row(&plan->from->nfs[i], "goes", "dropped", json_array()));
    return json_pack("{s:o,s:o,s:[f,f]}", "nfs", nfs, "interfaces", interfaces(plan->from->l3, plan->to->l3),
                     "waits_ms", mb * MB_LEAST_MS + flows, mb * MB_MOST_MS + flows);
}
