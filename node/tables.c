/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that can be full: what NFs and chain have told of them (nflib/module/tables.h), for operators. The
 * counts lie in the region, where lanes change them; the list is the main thread's, which alone reads them.
 */
#include "ftcore/base/event_log.h"
#include "nflib/session/session.h"
#include "node/running.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEARLY 80u /* percent at which the log tells of a table */
#define ROOM   70u /* below which it tells that there is room again */

static void note_table(struct nd_running *r, const struct nf_table *table, unsigned lane)
{
    struct nd_table *t = &r->tables[r->table_count++];
    const struct nf_module *module = nf_chain_any(r->lanes[lane].chain, table->nf)->module;
    char host[INET_ADDRSTRLEN];

    *t = (struct nd_table){.table = *table, .lane = (uint16_t)lane};
    if (table->nf)
        snprintf(t->name, sizeof(t->name), "%s.%s", module->name, table->name);
    else
        snprintf(t->name, sizeof(t->name), "%s", table->name);
    if (table->host) {
        size_t len = strlen(t->name);

        snprintf(t->name + len, sizeof(t->name) - len, "/%s",
                 inet_ntop(AF_INET, &table->host, host, sizeof(host)));
    }
}

/* Every lane tells of the same tables, in the same order. */
int nd_tables_find(struct nd_running *r, struct ft_fault *fault)
{
    unsigned lanes = r->config->chain.lanes;
    const struct nf_tables *tables = nf_chain_tables(r->lanes[0].chain);

    free(r->tables);
    r->table_count = 0;
    r->tables = calloc((size_t)tables->count * lanes + 1, sizeof(*r->tables));
    if (!r->tables)
        return ft_fail(fault, FT_ENOMEM, "no memory for a list of tables");
    for (uint32_t i = 0; i < tables->count; i++)
        for (unsigned l = 0; l < (tables->list[i].shared ? 1 : lanes); l++)
            note_table(r, &nf_chain_tables(r->lanes[l].chain)->list[i], l);
    return 0;
}

/*
 * A lane that was told to wait, and has not followed what it was told next, has no state to count in: what
 * lies in the region is being filled by the peer, or wiped and made anew, with no place free in any pool.
 */
static bool is_state_there(const struct nd_running *r)
{
    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        if (ft_order_kind(FT_REPORT_GET(&r->words[l], done)) == FT_LANE_WAIT)
            return false;
    return true;
}

/* ---- the log ----------------------------------------------------------------------------------- */

static void tell(const struct nd_running *r, const struct nd_table *t, enum ft_level level, uint64_t entries,
                 const char *what)
{
    char lane[24] = "";

    if (!t->table.shared && r->config->chain.lanes > 1)
        snprintf(lane, sizeof(lane), ", lane %u", t->lane);
    ft_log_fields(level, FT_SAYS_TABLE,
                  (const struct ft_log_field[]){{.name = "table", .text = t->name},
                                                {.name = "entries", .number = entries},
                                                {.name = "limit", .number = t->table.limit},
                                                {.name = NULL}},
                  "table %s%s: %s: %lu of %u", t->name, lane, what, entries, t->table.limit);
}

static void look_at_table(const struct nd_running *r, struct nd_table *t)
{
    uint64_t entries = nf_table_entries(&t->table), percent = entries * 100 / t->table.limit;

    if (percent >= 100 && t->told < 100) {
        tell(r, t, FT_LEVEL_WARNING, entries, "full");
        t->told = 100;
    } else if (percent >= NEARLY && t->told < NEARLY) {
        tell(r, t, FT_LEVEL_WARNING, entries, "80 % full");
        t->told = NEARLY;
    } else if (percent < ROOM && t->told) {
        tell(r, t, FT_LEVEL_NOTICE, entries, "has room again");
        t->told = 0;
    }
}

void nd_tables_turn(struct nd_running *r, const struct rp_status *s)
{
    if (!ft_core_primary(&s->core) || !is_state_there(r))
        return;
    for (unsigned i = 0; i < r->table_count; i++)
        look_at_table(r, &r->tables[i]);
}

/* ---- status ------------------------------------------------------------------------------------ */

/* Where there is no state yet, nothing is in any table. */
static json_t *fill_of(const struct nd_table *t, bool there)
{
    return json_pack("{s:I,s:I}", "entries", there ? (json_int_t)nf_table_entries(&t->table) : 0, "limit",
                     (json_int_t)t->table.limit);
}

static void add_to(json_t *sum, const char *name, const json_t *part)
{
    json_int_t value = json_integer_value(json_object_get(part, name));

    json_object_set_new(sum, name, json_integer(json_integer_value(json_object_get(sum, name)) + value));
}

json_t *nd_tables_status(const struct nd_running *r, const char *nf)
{
    bool there = is_state_there(r);
    json_t *all = json_object();

    for (unsigned i = 0; i < r->table_count && !nd_is_changing(r); i++) {
        const struct nd_table *t = &r->tables[i];
        const struct nf_module *module = r->counted[t->table.nf];
        json_t *sum = json_object_get(all, t->name), *part = fill_of(t, there);

        if (nf && !(module && strcmp(module->name, nf) == 0)) {
            json_decref(part);
            continue;
        }
        if (!sum) {
            sum = json_object();
            json_object_set_new(all, t->name, sum);
        }
        add_to(sum, "entries", part);
        add_to(sum, "limit", part);
        if (t->table.shared)
            json_decref(part);
        else if (json_object_get(sum, "lanes"))
            json_array_append_new(json_object_get(sum, "lanes"), part);
        else
            json_object_set_new(sum, "lanes", json_pack("[o]", part));
    }
    return all;
}

json_t *nd_timeouts_status(const struct nd_running *r, const char *nf)
{
    bool there = !nd_is_changing(r) && is_state_there(r);
    const struct nf *of = there ? nf_chain_find(r->lanes[0].chain, nf) : NULL;
    json_t *all = json_object();

    for (unsigned class = 0; of && class < NF_TIMEOUT_COUNT; class ++) {
        uint32_t seconds = nf_sessions_timeout(of, class);

        if (seconds)
            json_object_set_new(all, nf_timeout_names[class], json_integer(seconds));
    }
    return all;
}
