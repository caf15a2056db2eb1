/* SPDX-License-Identifier: Apache-2.0 */
/* Shared state types in one lane, with audit on: what their models (test_shared_lanes.c, test_pool.c) do not
 * ask for. */
#include "nflib/shared/shared.h"
#include "nflib/module/env.h"
#include "tests/help/program.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

#define SECOND 1000000000ull

static struct help_nf h;

/* A burst's end as the chain makes it: audit, sections begin anew. */
static void burst(void)
{
    static uint64_t now;
    struct nf_packet none;

    nf_chain_run(h.chain, nf_chain_state(h.chain)->burst + 1, ++now, &none, 0);
    help_nf_audit(&h);
}

static void open_nf(void)
{
    help_nf_open(&h, 1 << 20, 7);
}

#define KEYS 200u

struct value {
    uint64_t a, b;
};

/* One look and one count: against an array. */
TEST(map_counts_by_key)
{
    uint64_t model[KEYS] = {0}, sequence = 17, got;
    uint32_t there = 0, full = 0;

    open_nf();
    struct nf_shared_map *map = HELP_NF_MAKE(&h, nf_shared_map_make(h.nf, 100, 4, sizeof(struct value), 1));

    for (unsigned i = 0; i < 5000; i++) {
        uint32_t key = help_below(&sequence, KEYS);
        uint64_t n = 1 + help_below(&sequence, 9);

        got = 4711;
        assert_int_equal(nf_shared_map_get(h.nf, map, &key, &got, sizeof(got)), model[key] != 0);
        assert_int_equal(got, model[key] ? model[key] : 4711);
        if (!model[key] && there == 100) {
            assert_int_equal(nf_shared_map_add(h.nf, map, &key, n), 0);
            full++;
        } else {
            there += !model[key];
            model[key] += n;
            assert_int_equal(nf_shared_map_add(h.nf, map, &key, n), model[key]);
        }
        if (i % 100 == 99)
            burst();
    }
    assert_true(there == 100 && full > 100);
    burst();
}

/* Entries that end by time: each is asked until when it stays, and goes then, in the shard where it is. */
#define ENTRIES 1200u
static struct nf_shared_map *timed;
static struct nf_wheel *wheel;
static uint64_t asked;

static uint64_t stays_until(const struct nf *nf, const void *value, uint64_t now)
{
    asked++;
    return ((const struct value *)value)->a;
}

static void timed_due(struct nf *nf, uint64_t now)
{
    nf_shared_map_due(nf, timed, wheel, now, stays_until);
}

static void add_timed(uint32_t key, uint64_t until)
{
    uint32_t shard = nf_shared_map_shard(timed, &key), slot, back;
    struct nf_map *part = nf_shared_map_enter(h.nf, timed, shard);
    uint32_t number;

    slot = nf_map_add(h.nf, part, &key);
    NF_EDIT(h.nf, (const struct value *)nf_map_value(part, slot))->a = until;
    number = nf_shared_map_number(timed, shard, slot);
    assert_true(number < nf_shared_map_numbers(timed));
    assert_int_equal(nf_shared_map_shard_of(timed, number, &back), shard);
    assert_int_equal(back, slot);
    nf_wheel_set(h.nf, wheel, number, SECOND); /* all are asked then, and set anew for those that stay */
    nf_shared_map_leave(h.nf, timed, shard);
}

static void run_until(uint64_t now)
{
    struct nf_packet none;

    for (unsigned i = 0; i < 20; i++) /* what is more than one burst has room for comes in the next ones */
        nf_chain_run(h.chain, nf_chain_state(h.chain)->burst + 1, now, &none, 0);
    help_nf_audit(&h);
}

static uint32_t left_of_timed(void)
{
    uint64_t value;
    uint32_t left = 0;

    for (uint32_t key = 0; key < ENTRIES; key++)
        left += nf_shared_map_get(h.nf, timed, &key, &value, sizeof(value));
    return left;
}

TEST(a_wheel_over_a_shared_map)
{
    open_nf();
    timed = HELP_NF_MAKE(&h, nf_shared_map_make(h.nf, 2 * ENTRIES, 4, sizeof(struct value), 16));
    wheel = HELP_NF_MAKE(&h, nf_shared_map_wheel_make(h.nf, timed, SECOND / 10));
    assert_true(nf_shared_map_wheel_bytes(2 * ENTRIES, 16) >= nf_wheel_bytes(nf_shared_map_numbers(timed)));
    help_nf_timers = timed_due;
    asked = 0;
    /* A third ends at once, a third 5 s later, and of the rest an operator has removed what had a timer. */
    for (uint32_t key = 0; key < ENTRIES; key++) {
        add_timed(key, key % 3 ? 6 * SECOND : SECOND / 2);
        if (key % 100 == 99)
            burst();
    }
    for (uint32_t key = 2; key < ENTRIES; key += 3) {
        uint32_t shard = nf_shared_map_shard(timed, &key);
        struct nf_map *part = nf_shared_map_enter(h.nf, timed, shard);

        nf_map_remove(h.nf, part, nf_map_find(part, &key));
        nf_shared_map_leave(h.nf, timed, shard);
    }
    burst();
    assert_int_equal(left_of_timed(), ENTRIES / 3 * 2);
    run_until(2 * SECOND);
    assert_int_equal(asked, ENTRIES / 3 * 2);
    assert_int_equal(left_of_timed(), ENTRIES / 3);
    run_until(5 * SECOND);
    assert_int_equal(left_of_timed(), ENTRIES / 3);
    run_until(7 * SECOND);
    assert_int_equal(left_of_timed(), 0);
    assert_int_equal(asked, ENTRIES);
    help_nf_timers = NULL;
}

/* Rates and times as large as they come do not overflow. */
TEST(bucket_arithmetic_is_wide)
{
    const struct nf_rate rate = {.rate = 400000000000ull, .burst = 1ull << 40};
    struct nf_bucket b;

    nf_bucket_full(&b, &rate, 0);
    assert_int_equal(nf_bucket_fill(&b, &rate, 0), 1ull << 40);
    b.level = 0;
    assert_int_equal(nf_bucket_fill(&b, &rate, SECOND), 400000000000ull);
    assert_int_equal(nf_bucket_fill(&b, &rate, UINT64_MAX), 1ull << 40);
}

TEST(merged_alone_is_a_count)
{
    const void *block;

    open_nf();
    struct nf_merged *merged = HELP_NF_MAKE(&h, nf_merged_make(h.nf));

    nf_merged_add(h.nf, merged, 3);
    assert_int_equal(nf_merged_read(h.nf, merged), 3);
    burst();
    nf_merged_add(h.nf, merged, 4);
    assert_int_equal(nf_merged_read(h.nf, merged), 7);
    assert_int_equal(nf_merged_peek(h.nf, merged), 7);
    /* Nothing that could have gone otherwise: nothing to record. */
    assert_int_equal(nf_determinants_noted(nf_chain_determinants(h.chain), &block), 0);
    burst();
}

TEST(values_come_back_as_noted)
{
    struct nf_determinants *v;
    const void *block;
    uint8_t copy[64];
    uint64_t a = 11;
    uint16_t b = 22;

    open_nf();
    v = nf_chain_determinants(h.chain);
    nf_determinants_begin(v, false);
    nf_determinant(h.nf, &a, sizeof(a));
    nf_determinant(h.nf, &b, sizeof(b));
    uint32_t len = nf_determinants_noted(v, &block);
    assert_int_equal(len, 1 + 2 + 8 + 2 + 2);
    memcpy(copy, block, len);
    assert_true(nf_determinants_is(copy, len));
    assert_false(nf_determinants_is("set nat udp=5", 13));

    nf_determinants_begin(v, true);
    assert_int_equal(nf_determinants_supply(v, copy, len), 0);
    assert_int_equal(nf_determinants_supply(v, copy, len), FT_EMALFORMED);
    a = b = 0;
    nf_determinant(h.nf, &a, sizeof(a));
    assert_false(nf_determinants_used(v)); /* one is left */
    nf_determinant(h.nf, &b, sizeof(b));
    assert_int_equal(a, 11);
    assert_int_equal(b, 22);
    assert_true(nf_determinants_used(v));
    nf_determinant(h.nf, &b, sizeof(b));
    assert_false(nf_determinants_used(v)); /* one too many */

    nf_determinants_begin(v, true);
    assert_true(nf_determinants_used(v));
    for (uint32_t cut = 0; cut < len; cut++) {
        nf_determinants_begin(v, true);
        bool whole = cut == 1 || cut == 1 + 2 + 8;
        assert_int_equal(nf_determinants_supply(v, copy, cut), whole ? 0 : FT_EMALFORMED);
    }
}

TEST(sections_left_are_counted)
{
    open_nf();
    struct nf_shared_word *word = HELP_NF_MAKE(&h, nf_shared_word_make(h.nf));
    struct nf one_of_two = *h.nf;

    burst();
    one_of_two.lanes = 2;
    assert_int_equal(nf_shared_left(&one_of_two), FT_DEPENDENCIES_MAX);
    for (unsigned i = 0; i < 24; i++)
        nf_shared_word_add(h.nf, word, 1);
    assert_int_equal(nf_shared_left(&one_of_two), FT_DEPENDENCIES_MAX - 24);
    assert_int_equal(nf_shared_left(h.nf), FT_DEPENDENCIES_MAX);
}
