/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that can be full: what each is called, where its count of entries lies in the region, and its limit.
 * Who makes a table tells of it, once, and goes on counting as it does. Noted while the chain is made, in
 * memory of the process; the node reads the counts while lanes run, for operators (node/tables.c).
 */
#ifndef NFLIB_MODULE_TABLES_H
#define NFLIB_MODULE_TABLES_H

#include "nflib/module/module.h"

#define NF_TABLES_MAX 128u /* of a lane */

struct nf_table {
    const char *name;      /* of the NF's tables, "clients"; outlives the chain */
    const uint32_t *count; /* in the region; nothing is followed that lies there */
    uint32_t parts;        /* the table is that many, with counts `stride` bytes apart */
    uint32_t limit;        /* entries of all parts */
    uint64_t stride;
    bool free;   /* what is counted are places that are free */
    bool shared; /* by all lanes, each of which tells of it */
    uint16_t nf; /* filled in */
    uint32_t
        host; /* network order: one of several tables of the name, that of this address; 0: the only one */
};

/* In `make`. More than NF_TABLES_MAX are a broken invariant. */
void nf_table_add(const struct nf *nf, struct nf_table table);
/* The same, for state types. */
struct nf_map;
struct nf_shared_map;
struct nf_shared_pool;
struct nf_table nf_table_of_map(const char *name, const struct nf_map *map);
static inline void nf_table_add_map(const struct nf *nf, const char *name, const struct nf_map *map)
{
    nf_table_add(nf, nf_table_of_map(name, map));
}
void nf_table_add_shared_map(const struct nf *nf, const char *name, const struct nf_shared_map *map);
struct nf_lists;
void nf_table_add_lists(const struct nf *nf, const char *name, const struct nf_lists *lists);
/* What lies in the caches of lanes counts as taken. */
struct nf_table nf_table_of_pool(const char *name, const struct nf_shared_pool *pool);

/* Entries now; a lane may be adding some. */
uint64_t nf_table_entries(const struct nf_table *table);

/* Of a lane. */
struct nf_tables {
    uint32_t count;
    struct nf_table list[NF_TABLES_MAX];
};

#endif
