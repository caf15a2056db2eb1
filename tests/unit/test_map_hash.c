/* SPDX-License-Identifier: Apache-2.0 */
/* map when keys collide: tags, neighbourhoods of buckets, passed buckets, and the seeded hash. */
#include "tests/help/map.h"
#include "tests/help/nf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>
#include <unistd.h>

/* Keys drawn so that their hashes agree in the bits of `mask`: one tag, or one neighbourhood of buckets. */
static void collide(uint64_t mask, uint32_t capacity, uint32_t keys)
{
    struct help_nf h;
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
    help_nf_close(&h);
}

static void colliding_keys_agree_with_the_model(void **unused)
{
    (void)unused;
    collide(0xffffull << 48, 12, 20);  /* one tag in two buckets: all can have been passed at once */
    collide(0xffull << 24, 600, 800);  /* the first of 256 parts of a table: long overflows */
    collide(0xffffull << 48, 60, 100); /* one tag in ten buckets */
}

/* Keys of one tag, so that only comparing them tells them apart, which differ in four bytes at `at` alone. */
static void differ_at(uint32_t key_size, uint32_t at)
{
    struct help_nf h;
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
    help_nf_close(&h);
}

static void every_byte_of_a_key_counts(void **unused)
{
    static const uint32_t sizes[] = {4, 5, 8, 12, 13, 16, 17, 24, 37, 40};

    (void)unused;
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (uint32_t at = 0; at <= sizes[i] - 4; at++)
            differ_at(sizes[i], at);
}

/* Adds `n` keys nobody had yet, whose home is the given one of two buckets. */
static void add_at_home(const struct help_nf *h, struct nf_map *map, uint64_t home, uint32_t n,
                        uint64_t *next)
{
    while (n > 0) {
        uint64_t key = (*next)++;

        if ((nf_map_hash(map, &key) >> 31 & 1) != home)
            continue;
        assert_true(nf_map_add(h->nf, map, &key) != NF_NONE);
        n--;
    }
}

/*
 * Two buckets, each of them passed by an entry that lies in the other: no bucket says that a search ends
 * here, so it ends when it has seen all. (One that never does is ended by the alarm.)
 */
static void a_search_ends_though_all_were_passed(void **unused)
{
    struct help_nf h;
    struct nf_map *map;
    uint64_t next = 0;

    (void)unused;
    help_nf_open(&h, nf_map_bytes(12, 8, 8), 1);
    map = nf_map_make(h.nf, 12, 8, 8);
    add_at_home(&h, map, 0, 9, &next);
    for (uint32_t slot = 0; slot < 8; slot++)
        nf_map_remove(h.nf, map, slot);
    add_at_home(&h, map, 1, 8, &next);
    alarm(20);
    for (uint64_t missing = next; missing < next + 100; missing++)
        assert_int_equal(nf_map_find(map, &missing), NF_NONE);
    alarm(0);
    for (uint32_t slot = nf_map_next(map, 0); slot != NF_NONE; slot = nf_map_next(map, slot + 1))
        assert_int_equal(nf_map_find(map, nf_map_key(map, slot)), slot);
    help_nf_close(&h);
}

/* CPU time, ns, of looking for many keys that are not in the map. */
static uint64_t time_of_misses(const struct nf_map *map)
{
    struct timespec from, to;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (uint64_t key = 1ull << 40; key < (1ull << 40) + 20000; key++)
        assert_int_equal(nf_map_find(map, &key), NF_NONE);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
}

/* A map that was full and is empty again, and so a thousand times with other keys, looks no further than a
 * new one. If buckets stayed passed, each lookup would go through all of them. */
static void lookups_do_not_grow_slow_with_time(void **unused)
{
    struct help_nf h;
    struct nf_map *map;
    uint64_t fresh, key = 0;

    (void)unused;
    help_nf_open(&h, nf_map_bytes(600, 8, 8), 1);
    map = nf_map_make(h.nf, 600, 8, 8);
    fresh = time_of_misses(map);
    for (uint32_t round = 0; round < 1000; round++) {
        for (uint32_t i = 0; i < 600; i++, key++)
            assert_int_not_equal(nf_map_add(h.nf, map, &key), NF_NONE);
        for (uint32_t slot = 0; slot < 600; slot++)
            nf_map_remove(h.nf, map, slot);
    }
    assert_true(time_of_misses(map) < 8 * fresh);
    help_nf_close(&h);
}

/* The hash is keyed: another seed, another hash, or one could flood a bucket. */
static void the_hash_is_seeded(void **unused)
{
    uint64_t hash[2], key = 42;

    (void)unused;
    for (uint32_t i = 0; i < 2; i++) {
        struct help_nf h;

        help_nf_open(&h, 2 * nf_map_bytes(10, 8, 0), i);
        struct nf_map *map = nf_map_make(h.nf, 10, 8, 0), *other = nf_map_make(h.nf, 10, 8, 0);
        hash[i] = nf_map_hash(map, &key);
        assert_true(hash[i] != nf_map_hash(other, &key));
        help_nf_close(&h);
    }
    assert_true(hash[0] != hash[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colliding_keys_agree_with_the_model),
        cmocka_unit_test(every_byte_of_a_key_counts),
        cmocka_unit_test(a_search_ends_though_all_were_passed),
        cmocka_unit_test(lookups_do_not_grow_slow_with_time),
        cmocka_unit_test(the_hash_is_seeded),
    };

    return cmocka_run_group_tests_name("map_hash", tests, NULL, NULL);
}
