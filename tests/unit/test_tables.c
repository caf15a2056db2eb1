/* SPDX-License-Identifier: Apache-2.0 */
/* What state types and chains tell of their tables: what is counted is what is in them, and the limit is
 * where they are full. */
#include "tests/help/test.h"

#include "nflib/module/env.h"
#include "tests/help/program.h"
#include "tests/help/nf.h"

static struct help_nf h;

#define ARENA (4u << 20)

/* The table that was told of last. */
static const struct nf_table *last_of(const char *name)
{
    const struct nf_tables *tables = nf_chain_tables(h.chain);
    const struct nf_table *table = &tables->list[tables->count - 1];

    assert_true(tables->count > 0);
    assert_string_equal(table->name, name);
    assert_int_equal(table->nf, h.nf->index);
    return table;
}

TEST(a_map_tells_its_entries)
{
    struct nf_map *map;
    const struct nf_table *table;
    uint32_t key = 7;

    help_nf_open(&h, ARENA, 1);
    map = nf_map_make(h.nf, 3, sizeof(key), 8);
    nf_table_add_map(h.nf, "sources", map);
    table = last_of("sources");
    assert_int_equal(table->limit, 3);
    assert_false(table->shared);
    assert_int_equal(nf_table_entries(table), 0);
    for (key = 7; nf_map_add(h.nf, map, &key) != NF_NONE; key++)
        assert_int_equal(nf_table_entries(table), key - 6);
    assert_int_equal(nf_table_entries(table), table->limit);
    nf_map_remove(h.nf, map, 1);
    assert_int_equal(nf_table_entries(table), 2);
}

/* All shards count. */
TEST(a_shared_map_tells_those_of_all_parts)
{
    struct nf_shared_map *map;
    const struct nf_table *table;
    uint32_t capacity = 0;

    help_nf_open(&h, ARENA, 1);
    map = HELP_NF_MAKE(&h, nf_shared_map_make(h.nf, 100, sizeof(uint32_t), 8, 8));
    nf_table_add_shared_map(h.nf, "clients", map);
    table = last_of("clients");
    assert_true(table->shared);
    for (uint32_t shard = 0; shard < 8; shard++)
        capacity += nf_map_capacity(nf_shared_map_part(map, shard));
    assert_int_equal(table->limit, capacity);
    for (uint32_t key = 1; key <= 60; key++) {
        uint32_t shard = nf_shared_map_shard(map, &key);
        struct nf_map *part = nf_shared_map_enter(h.nf, map, shard);

        assert_int_not_equal(nf_map_add(h.nf, part, &key), NF_NONE);
        nf_shared_map_leave(h.nf, map, shard);
        assert_int_equal(nf_table_entries(table), key);
    }
}

TEST(a_pool_tells_what_is_taken)
{
    struct nf_shared_pool *pool;
    const struct nf_table *table;

    help_nf_open(&h, ARENA, 1);
    pool = HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, 5));
    nf_table_add(h.nf, nf_table_of_pool("ports", pool));
    table = last_of("ports");
    assert_int_equal(table->limit, 5);
    for (unsigned n = 1; nf_shared_pool_take(h.nf, pool) != NF_NONE; n++)
        assert_int_equal(nf_table_entries(table), n);
    assert_int_equal(nf_table_entries(table), 5);
    nf_shared_pool_give(h.nf, pool, 2);
    assert_int_equal(nf_table_entries(table), 4);
}

/* A region that is being filled by a peer has anything in it: nothing there is followed. */
TEST(what_lies_in_the_region_is_not_followed)
{
    struct nf_shared_map *map;
    const struct nf_table *table;

    help_nf_open(&h, ARENA, 1);
    map = HELP_NF_MAKE(&h, nf_shared_map_make(h.nf, 100, sizeof(uint32_t), 8, 8));
    nf_table_add_shared_map(h.nf, "clients", map);
    nf_table_add(h.nf, nf_table_of_pool("ports", HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, 5))));
    ft_region_wipe(h.region);
    table = last_of("ports");
    assert_int_equal(nf_table_entries(table - 1), 0);
    assert_true(nf_table_entries(table) <= 5);
}

static void too_many(void *arg)
{
    struct nf_map *map;

    help_nf_open(&h, ARENA, 1);
    map = nf_map_make(h.nf, 3, 4, 8);
    for (unsigned i = 0; i <= NF_TABLES_MAX; i++)
        nf_table_add_map(h.nf, "sources", map);
}

TEST(more_than_there_is_room_for_are_refused)
{
    assert_dies(too_many, NULL, "more than 128 tables");
}
