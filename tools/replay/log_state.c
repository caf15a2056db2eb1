/* SPDX-License-Identifier: Apache-2.0 */
/* What the NFs of replay --log show at a moment: the rows of one for people, those of all for a comparison of
 * two moments. */
#include "nflib/chain/chain.h"
#include "tools/replay/log.h"
#include "tools/replay/shown.h"

#include <stdlib.h>
#include <string.h>

/* Of all lanes. */
static int add_rows(const struct nd_log *log, const char *name, json_t *rows, struct ft_fault *fault)
{
    int error = 0;

    for (unsigned l = 0; !error && l < log->lanes; l++)
        error = nd_shown_add(rows, log->node.lane[l].chain, name, l, log->lanes, fault);
    return error;
}

json_t *nd_log_counters(const struct nd_log *log, const struct nf *nf)
{
    json_t *all = json_object();

    for (unsigned c = 0; nf->module->counters && nf->module->counters[c]; c++) {
        uint64_t sum = 0;

        for (unsigned l = 0; l < log->lanes; l++)
            sum += nf_chain_any(log->node.lane[l].chain, nf->index)->counters[c];
        json_object_set_new(all, nf->module->counters[c], json_integer((json_int_t)sum));
    }
    return all;
}

int nd_log_state(const struct nd_log *log, json_t **out, struct ft_fault *fault)
{
    int error = 0;

    *out = json_object();
    for (unsigned i = 0; !error && i <= log->config->chain.count; i++) {
        const struct nf *nf = nf_chain_any(log->node.lane[0].chain, i);
        json_t *rows;

        if (!nf || !nf->module)
            continue;
        rows = json_array();
        error = add_rows(log, nf->module->name, rows, fault);
        json_object_set_new(*out, nf->module->name,
                            json_pack("{s:o,s:o}", "rows", rows, "counters", nd_log_counters(log, nf)));
    }
    return error;
}

int nd_log_look(struct nd_log *log, struct ft_fault *fault)
{
    int error;

    log->rows = json_array();
    error = log->options->show ? add_rows(log, log->options->show, log->rows, fault) : 0;
    return !error && log->before ? nd_log_state(log, &log->after, fault) : error;
}

json_t *nd_log_print_rows(const struct nd_log *log, FILE *out)
{
    if (log->options->show)
        nd_shown_print(log->rows, log->options->show, out);
    return json_incref(log->rows);
}

/* ---- two moments ------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The rows as sorted lines; *n of them. NULL: no memory. */
static char **sort_rows(json_t *rows, size_t *n)
{
    char **list = calloc(json_array_size(rows) + 1, sizeof(*list));
    json_t *row;
    size_t i;

    *n = 0;
    if (!list)
        return NULL;
    json_array_foreach(rows, i, row) if ((list[*n] = json_dumps(row, JSON_SORT_KEYS | JSON_COMPACT)))(*n)++;
    qsort(list, *n, sizeof(*list), compare_texts);
    return list;
}

static void take_row(json_t *into, FILE *out, const char *mark, const char *text)
{
    json_t *row = json_loads(text, 0, NULL);

    nd_shown_print_one(row, mark, out);
    json_array_append_new(into, row);
}

/* Rows of one moment alone, of the other alone. */
static void compare_rows(json_t *before, json_t *after, json_t *gone, json_t *come, FILE *out)
{
    size_t b, a, i = 0, j = 0;
    char **old = sort_rows(before, &b), **new = sort_rows(after, &a);

    while (old && new && (i < b || j < a)) {
        int order = i == b ? 1 : j == a ? -1 : strcmp(old[i], new[j]);

        if (order < 0)
            take_row(gone, out, "  - ", old[i]);
        else if (order > 0)
            take_row(come, out, "  + ", new[j]);
        i += order <= 0;
        j += order >= 0;
    }
    for (i = 0; old && i < b; i++)
        free(old[i]);
    for (j = 0; new &&j < a; j++)
        free(new[j]);
    free(old);
    free(new);
}

static json_t *compare_counters(json_t *before, json_t *after, FILE *out)
{
    json_t *changed = json_object(), *value;
    const char *name;

    json_object_foreach(after, name, value)
    {
        json_int_t more = json_integer_value(value) - json_integer_value(json_object_get(before, name));

        if (!more)
            continue;
        fprintf(out, "  %s %+lld\n", name, (long long)more);
        json_object_set_new(changed, name, json_integer(more));
    }
    return changed;
}

json_t *nd_log_print_diff(const struct nd_log *log, FILE *out)
{
    json_t *all = json_object(), *nf;
    const char *name;

    if (!log->after)
        return all;
    fprintf(out, "between %s and %s: rows that went (-), rows that came (+), counters\n", log->from->text,
            log->to->text);
    json_object_foreach(log->after, name, nf)
    {
        json_t *old = json_object_get(log->before, name), *gone = json_array(), *come = json_array();

        fprintf(out, "%s\n", name);
        compare_rows(json_object_get(old, "rows"), json_object_get(nf, "rows"), gone, come, out);
        json_object_set_new(all, name,
                            json_pack("{s:o,s:o,s:o}", "gone", gone, "come", come, "counters",
                                      compare_counters(json_object_get(old, "counters"),
                                                       json_object_get(nf, "counters"), out)));
    }
    return all;
}
