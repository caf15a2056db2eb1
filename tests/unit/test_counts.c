/* SPDX-License-Identifier: Apache-2.0 */
/* set, countermap and counter: against arrays indexed by the key's number. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/help_nf.h"

#define KEYS 300u

static void key_of(uint32_t k, uint8_t key[13])
{
    memset(key, 7, 13);
    memcpy(key + 5, &k, sizeof(k));
}

static uint64_t churn_set(uint32_t capacity, uint64_t seed)
{
    struct help_nf h;
    struct nf_set *set;
    bool there[KEYS] = {false};
    uint32_t count = 0;
    uint64_t sequence = seed, digest;

    help_nf_open(&h, nf_set_bytes(capacity, 13), seed);
    set = nf_set_make(h.nf, capacity, 13);
    assert_non_null(set);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t k = help_nf_below(&sequence, KEYS);
        uint8_t key[13];

        key_of(k, key);
        assert_int_equal(nf_set_has(set, key), there[k]);
        if (help_nf_below(&sequence, 8) < 3 + i / 2000 % 3) {
            int expected = there[k] ? FT_EBUSY : count == capacity ? FT_EFULL : 0;

            assert_int_equal(nf_set_add(h.nf, set, key), expected);
            count += expected == 0;
            there[k] |= expected == 0;
        } else {
            assert_int_equal(nf_set_remove(h.nf, set, key), there[k] ? 0 : FT_ENOENT);
            count -= there[k];
            there[k] = false;
        }
        assert_int_equal(nf_set_count(set), count);
        help_nf_audit(&h);
        for (uint32_t j = 0; i % 64 == 0 && j < KEYS; j++) {
            key_of(j, key);
            assert_int_equal(nf_set_has(set, key), there[j]);
        }
    }
    digest = ft_region_digest(h.region);
    help_nf_close(&h);
    return digest;
}

static void set_agrees_with_the_model(void **unused)
{
    (void)unused;
    churn_set(1, 1);
    churn_set(120, 2);
    churn_set(KEYS, 3);
}

static void compare_counts(const struct nf_countermap *map, const struct nf_counts truth[],
                           const uint32_t slot[])
{
    for (uint32_t k = 0; k < KEYS; k++) {
        uint8_t key[13];

        key_of(k, key);
        assert_int_equal(nf_map_find(nf_countermap_map((struct nf_countermap *)(uintptr_t)map), key),
                         slot[k]);
        if (slot[k] != NF_NONE)
            assert_memory_equal(nf_countermap_get(map, slot[k]), &truth[k], sizeof(truth[k]));
    }
}

/* Adds one packet to key k, in the map and in the truth. */
static void count_one(const struct help_nf *h, struct nf_countermap *map, struct nf_counts truth[],
                      uint32_t slot[], uint32_t k, uint64_t bytes, uint64_t now)
{
    bool room = nf_map_count(nf_countermap_map(map)) < nf_map_capacity(nf_countermap_map(map));
    uint8_t key[13];
    uint32_t got;

    key_of(k, key);
    got = nf_countermap_add(h->nf, map, key, bytes, now);
    if (slot[k] == NF_NONE && room) {
        truth[k] = (struct nf_counts){.first = now};
        slot[k] = got;
        assert_true(got != NF_NONE);
    }
    assert_int_equal(got, slot[k]);
    truth[k].packets++;
    truth[k].bytes += bytes;
    truth[k].last = now;
}

static uint64_t churn_countermap(uint32_t capacity, uint64_t seed)
{
    struct help_nf h;
    struct nf_countermap *map;
    struct nf_counts truth[KEYS];
    uint32_t slot[KEYS];
    uint64_t sequence = seed, digest;

    memset(slot, 0xff, sizeof(slot));
    help_nf_open(&h, nf_countermap_bytes(capacity, 13), seed);
    map = nf_countermap_make(h.nf, capacity, 13);
    assert_non_null(map);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t k = help_nf_below(&sequence, KEYS);

        if (slot[k] != NF_NONE && help_nf_below(&sequence, 4) == 0) {
            nf_map_remove(h.nf, nf_countermap_map(map), slot[k]);
            slot[k] = NF_NONE;
        } else {
            count_one(&h, map, truth, slot, k, help_nf_draw(&sequence) >> 20, 1000000 + i);
        }
        help_nf_audit(&h);
        if (i % 64 == 0)
            compare_counts(map, truth, slot);
    }
    compare_counts(map, truth, slot);
    digest = ft_region_digest(h.region);
    help_nf_close(&h);
    return digest;
}

static void countermap_agrees_with_the_model(void **unused)
{
    (void)unused;
    churn_countermap(1, 1);
    churn_countermap(100, 2);
    churn_countermap(KEYS, 3);
}

static void counter_counts_in_a_line_of_its_own(void **unused)
{
    struct help_nf h;
    struct nf_counter *a, *b;
    uint64_t sequence = 1, sum = 0;

    (void)unused;
    help_nf_open(&h, 2 * nf_counter_bytes(), 1);
    uint64_t used = h.nf->arena->used;
    a = nf_counter_make(h.nf);
    assert_int_equal(h.nf->arena->used - used, nf_counter_bytes());
    b = nf_counter_make(h.nf);
    assert_true((uintptr_t)a / 64 != (uintptr_t)b / 64);
    assert_int_equal(nf_counter_get(a), 0);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t n = help_nf_draw(&sequence); /* wraps around: 64 bits are counted modulo 2^64 */

        nf_counter_add(h.nf, a, n);
        sum += n;
        assert_true(nf_counter_get(a) == sum);
        help_nf_audit(&h);
    }
    assert_int_equal(nf_counter_get(b), 0);
    help_nf_close(&h);
}

static void the_same_seed_gives_the_same_content(void **unused)
{
    (void)unused;
    assert_true(churn_set(100, 7) == churn_set(100, 7));
    assert_true(churn_countermap(100, 7) == churn_countermap(100, 7));
}

static void make_needs_the_bytes_it_says(void **unused)
{
    struct help_nf h;
    uint64_t used;

    (void)unused;
    help_nf_open(&h, 1 << 20, 1);
    assert_null(nf_set_make(h.nf, 1000000, 13));
    assert_null(nf_countermap_make(h.nf, 1000000, 13));
    used = h.nf->arena->used;
    assert_non_null(nf_set_make(h.nf, 1000, 5));
    assert_int_equal(h.nf->arena->used - used, nf_set_bytes(1000, 5));
    used = h.nf->arena->used;
    assert_non_null(nf_countermap_make(h.nf, 1000, 5));
    assert_int_equal(h.nf->arena->used - used, nf_countermap_bytes(1000, 5));
    help_nf_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_agrees_with_the_model),
        cmocka_unit_test(countermap_agrees_with_the_model),
        cmocka_unit_test(counter_counts_in_a_line_of_its_own),
        cmocka_unit_test(the_same_seed_gives_the_same_content),
        cmocka_unit_test(make_needs_the_bytes_it_says),
    };

    return cmocka_run_group_tests_name("counts", tests, NULL, NULL);
}
