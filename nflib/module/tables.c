/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of a lane, as they were told; see tables.h. */
#include "nflib/module/tables.h"
#include "nflib/module/env.h"

void nf_table_add(const struct nf *nf, struct nf_table table)
{
    struct nf_tables *tables = &nf->env->tables;

    FT_CHECK(table.limit, "table %s has no limit", table.name);
    FT_CHECK(tables->count < NF_TABLES_MAX, "more than %u tables in a lane", NF_TABLES_MAX);
    table.nf = nf->index;
    tables->list[tables->count++] = table;
}

uint64_t nf_table_entries(const struct nf_table *table)
{
    const uint8_t *at = (const uint8_t *)table->count;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < table->parts; i++)
        sum += __atomic_load_n((const uint32_t *)(const void *)(at + i * table->stride), __ATOMIC_RELAXED);
    if (!table->free)
        return sum;
    return sum < table->limit ? table->limit - sum : 0;
}
