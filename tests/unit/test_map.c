/* SPDX-License-Identifier: Apache-2.0 */
/* map against a model of it, its entries, and what aborts. */
#include "tests/help/nf.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

static struct help_nf h;

/* `steps` random operations, phases of filling up and of emptying in turn. */
static void map_model_churn(uint32_t capacity, uint32_t key_size, uint32_t value_size, uint32_t keys,
                            uint32_t steps, uint64_t seed)
{
    struct nf_map *map;
    uint64_t sequence = seed;

    help_nf_open(&h, nf_map_bytes(capacity, key_size, value_size), seed);
    content_of(&h);
    map = nf_map_make(h.nf, capacity, key_size, value_size);
    assert_non_null(map);
    assert_int_equal(nf_map_capacity(map), capacity);
    map_model_begin(capacity, key_size, value_size, keys, &sequence);
    for (uint32_t i = 0; i < steps; i++) {
        map_model_step(&h, map, i / (4 * keys) % 3 == 2 ? 0 : i / (4 * keys) % 3 ? 50 : 98, &sequence);
        help_model_audit(&h, i);
        if (i % (keys / 4 + 1) == 0)
            map_model_compare(map);
        if (i % 4096 == 0)
            content_passes();
    }
    help_nf_audit(&h);
    map_model_compare(map);
    content_passes();
}

TEST(map_agrees_with_the_model)
{
    uint64_t seed = help_model_seed();

    map_model_churn(1000, 13, 40, 2500, HELP_MODEL_STEPS / 2, seed);
    map_model_churn(100, 37, 100, 150, HELP_MODEL_STEPS / 4, seed + 1); /* entries of more than a line */
    map_model_churn(100, 4, 0, 250, HELP_MODEL_STEPS / 8, seed + 2);    /* a set */
    map_model_churn(100, 4, 8, 250, HELP_MODEL_STEPS / 8, seed + 3);    /* a map of counters */
}

TEST(every_size_of_key_and_value_agrees_with_the_model)
{
    static const uint32_t keys[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 24, 32, 37, 40, 64};
    static const uint32_t values[] = {0, 1, 2, 4, 8, 12, 24, 48, 100, 128};

    for (uint32_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        for (uint32_t j = i % 2; j < sizeof(values) / sizeof(values[0]); j += 2)
            map_model_churn(20, keys[i], values[j], 40, 600, 100 * i + j);
}

/* Values are aligned for what is in them, and entries of up to a line lie in one. */
TEST(entries_lie_well)
{
    for (uint32_t key = 1; key <= 40; key++)
        for (uint32_t value = 0; value <= 64; value++) {
            struct nf_map *map;
            uint32_t align = value % 8 == 0 ? 8 : value % 4 == 0 ? 4 : value % 2 == 0 ? 2 : 1;

            if ((key * 7 + value) % 11) /* a sample: each makes a region */
                continue;
            help_nf_open(&h, nf_map_bytes(9, key, value), 1);
            map = nf_map_make(h.nf, 9, key, value);
            for (uint32_t s = 0; s < 9; s++) {
                uintptr_t from = (uintptr_t)nf_map_key(map, s), to = (uintptr_t)nf_map_value(map, s) + value;

                assert_true(to - value >= from + key);
                if (value)
                    assert_int_equal((to - value) % align, 0);
                if (to - from <= 64)
                    assert_int_equal(from / 64, (to - 1) / 64);
            }
        }
}

TEST(make_needs_the_bytes_it_says)
{
    help_nf_open(&h, 1 << 20, 1);
    assert_null(nf_map_make(h.nf, 1000000, 8, 8));
    uint64_t used = h.nf->arena->used;
    assert_non_null(nf_map_make(h.nf, 1000, 13, 24));
    assert_int_equal(h.nf->arena->used - used, nf_map_bytes(1000, 13, 24));
}

static void add_twice(void *arg)
{
    struct nf_map *map = nf_map_make(h.nf, 10, 4, 4);

    nf_map_add(h.nf, map, "abcd");
    nf_map_add(h.nf, map, "abcd");
}

static void remove_free(void *arg)
{
    struct nf_map *map = nf_map_make(h.nf, 10, 4, 4);

    nf_map_remove(h.nf, map, nf_map_add(h.nf, map, "abcd"));
    nf_map_remove(h.nf, map, 0);
}

TEST(misuse_aborts)
{
    help_nf_open(&h, 1 << 16, 1);
    assert_dies(add_twice, NULL, "the key is in the map already");
    assert_dies(remove_free, NULL, "slot 0 of 10 is not used");
}

/* map when keys collide: tags, neighbourhoods of buckets, passed buckets, and the seeded hash. */

/* Keys drawn so that their hashes agree in the bits of `mask`: one tag, or one neighbourhood of buckets. */
static void collide(uint64_t mask, uint32_t capacity, uint32_t keys)
{
    struct nf_map *map;
    uint64_t sequence = 5;

    help_nf_open(&h, nf_map_bytes(capacity, 8, 8), 9);
    map = nf_map_make(h.nf, capacity, 8, 8);
    map_model_begin(capacity, 8, 8, keys, &sequence);
    for (uint64_t k = 0, key = 0; k < keys; key++)
        if (!(nf_map_hash(map, &key) & mask))
            memcpy(map_model.key[k++], &key, 8);
    for (uint32_t i = 0; i < 20000; i++) {
        map_model_step(&h, map, 90, &sequence);
        if (i % 100 == 0) {
            help_nf_audit(&h);
            map_model_compare(map);
        }
    }
}

TEST(colliding_keys_agree_with_the_model)
{
    collide(0xffffull << 48, 12, 20);  /* one tag in two buckets: all can have been passed at once */
    collide(0xffull << 24, 600, 800);  /* the first of 256 parts of a table: long overflows */
    collide(0xffffull << 48, 60, 100); /* one tag in ten buckets */
}

/* Keys of one tag, so that only comparing them tells them apart, which differ in four bytes at `at` alone. */
static void differ_at(uint32_t key_size, uint32_t at)
{
    struct nf_map *map;
    uint64_t sequence = 6;
    uint8_t key[MODEL_KEY_MAX];

    help_nf_open(&h, nf_map_bytes(6, key_size, 4), 9);
    map = nf_map_make(h.nf, 6, key_size, 4);
    map_model_begin(6, key_size, 4, 8, &sequence);
    memset(key, 0x5a, sizeof(key));
    for (uint32_t k = 0, i = 0; k < map_model.keys; i++) {
        memcpy(key + at, &i, sizeof(i));
        if (nf_map_hash(map, key) >> 48 == 77)
            memcpy(map_model.key[k++], key, key_size);
    }
    for (uint32_t i = 0; i < 200; i++)
        map_model_step(&h, map, 50, &sequence);
    map_model_compare(map);
}

TEST(every_byte_of_a_key_counts)
{
    static const uint32_t sizes[] = {4, 5, 8, 12, 13, 16, 17, 24, 37, 40};

    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (uint32_t at = 0; at <= sizes[i] - 4; at++)
            differ_at(sizes[i], at);
}

/* Adds `n` keys nobody had yet, whose home is the given one of two buckets. */
static void add_at_home(struct nf_map *map, uint64_t home, uint32_t n, uint64_t *next)
{
    while (n > 0) {
        uint64_t key = (*next)++;

        if ((nf_map_hash(map, &key) >> 31 & 1) != home)
            continue;
        assert_true(nf_map_add(h.nf, map, &key) != NF_NONE);
        n--;
    }
}

/*
 * Two buckets, each of them passed by an entry that lies in the other: no bucket says that a search ends
 * here, so it ends when it has seen all. (One that never does is ended by the alarm.)
 */
TEST(a_search_ends_though_all_were_passed)
{
    struct nf_map *map;
    uint64_t next = 0;

    help_nf_open(&h, nf_map_bytes(12, 8, 8), 1);
    map = nf_map_make(h.nf, 12, 8, 8);
    add_at_home(map, 0, 9, &next);
    for (uint32_t slot = 0; slot < 8; slot++)
        nf_map_remove(h.nf, map, slot);
    add_at_home(map, 1, 8, &next);
    alarm(20);
    for (uint64_t missing = next; missing < next + 100; missing++)
        assert_int_equal(nf_map_find(map, &missing), NF_NONE);
    alarm(0);
    for (uint32_t slot = nf_map_next(map, 0); slot != NF_NONE; slot = nf_map_next(map, slot + 1))
        assert_int_equal(nf_map_find(map, nf_map_key(map, slot)), slot);
}

/* The hash is keyed: another seed, another hash, or one could flood a bucket. */
TEST(the_hash_is_seeded)
{
    uint64_t hash[2], key = 42;

    for (uint32_t i = 0; i < 2; i++) {
        help_nf_open(&h, 2 * nf_map_bytes(10, 8, 0), i);
        struct nf_map *map = nf_map_make(h.nf, 10, 8, 0), *other = nf_map_make(h.nf, 10, 8, 0);
        hash[i] = nf_map_hash(map, &key);
        assert_true(hash[i] != nf_map_hash(other, &key));
    }
    assert_true(hash[0] != hash[1]);
}
