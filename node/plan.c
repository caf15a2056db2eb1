/* SPDX-License-Identifier: Apache-2.0 */
/* See plan.h. */
#include "node/plan.h"
#include "nflib/session/table.h"

#include <stdbool.h>
#include <string.h>

#define SETTING_MAX 200 /* bytes of a value, which is cut there */

/* What moving the state took on machines that had nothing else to do (docs/reference.md, apply). */
#define MB_LEAST_MS 0.5
#define MB_MOST_MS  1.0
#define FLOW_MS     0.002

static json_t *setting(const struct nf_param *p, const void *before, const void *after)
{
    char from[SETTING_MAX], to[SETTING_MAX];

    if (p->kind == NF_FILE) /* by its content, which is no text to be shown */
        return json_pack("{s:s,s:n,s:n}", "name", p->name, "before", "after");
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
