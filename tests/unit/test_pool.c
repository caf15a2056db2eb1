/* SPDX-License-Identifier: Apache-2.0 */
/* A shared pool in one lane, against a plain array that holds the order in which numbers rest. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "nflib/shared/shared.h"
#include "tests/unit/help_death.h"
#include "tests/unit/help_nf.h"

#define COUNT_MAX 400u

/* Numbers in order, oldest first. */
struct order {
    uint32_t n;
    uint32_t list[COUNT_MAX];
};

static uint32_t place_of(const struct order *order, uint32_t number)
{
    uint32_t i = 0;

    while (i < order->n && order->list[i] != number)
        i++;
    return i;
}

static bool has(const struct order *order, uint32_t number)
{
    return place_of(order, number) < order->n;
}

static void out(struct order *order, uint32_t number)
{
    uint32_t i = place_of(order, number);

    if (i < order->n)
        memmove(order->list + i, order->list + i + 1, (--order->n - i) * sizeof(uint32_t));
}

static void in(struct order *order, uint32_t number)
{
    out(order, number);
    order->list[order->n++] = number;
}

static void pool_step(const struct help_nf *h, struct nf_shared_pool *pool, struct order *resting,
                      uint32_t number, uint32_t kind)
{
    if (kind == 0 && !has(resting, number)) {
        nf_shared_pool_give(h->nf, pool, number);
        in(resting, number);
    } else if (kind > 0) {
        assert_int_equal(nf_shared_pool_take(h->nf, pool), resting->n ? resting->list[0] : NF_NONE);
        if (resting->n)
            out(resting, resting->list[0]);
    }
}

static void compare_pool(const struct nf_shared_pool *pool, const struct order *resting, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(nf_shared_pool_owner(pool, i), has(resting, i) ? NF_NONE : 0);
    assert_int_equal(nf_shared_pool_owner(pool, count), NF_NONE);
}

static uint64_t churn_pool(uint32_t count, uint32_t steps, bool audit, uint64_t seed)
{
    struct help_nf h;
    struct nf_shared_pool *pool;
    struct order resting = {0};
    uint64_t sequence = seed, digest;

    (audit ? help_nf_open : help_nf_open_fast)(&h, nf_shared_pool_lane_bytes(count), seed);
    pool = HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, count));
    assert_non_null(pool);
    for (uint32_t i = 0; i < count; i++) /* at first in order */
        in(&resting, i);
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t kinds = i / (2 * count + 100) % 2 ? 3 : 2;

        pool_step(&h, pool, &resting, help_nf_below(&sequence, count), help_nf_below(&sequence, kinds));
        if (audit)
            help_nf_audit(&h);
        if (i % (audit ? 16 : 4096) == 0 || count < 10)
            compare_pool(pool, &resting, count);
    }
    while (resting.n) /* the order of all that is left */
        pool_step(&h, pool, &resting, 0, 2);
    pool_step(&h, pool, &resting, 0, 2);
    compare_pool(pool, &resting, count);
    digest = ft_region_digest(h.region);
    help_nf_close(&h);
    return digest;
}

static void pool_agrees_with_the_model(void **unused)
{
    uint64_t seed = help_model_seed();

    (void)unused;
    churn_pool(1, HELP_MODEL_STEPS / 8, false, seed);
    churn_pool(2, HELP_MODEL_STEPS / 8, false, seed + 1);
    churn_pool(5, HELP_MODEL_STEPS / 4, false, seed + 2);
    churn_pool(COUNT_MAX, HELP_MODEL_STEPS / 2, false, seed + 3);
    churn_pool(5, 5000, true, seed + 4);
    churn_pool(COUNT_MAX, 10000, true, seed + 5);
}

static void the_same_seed_gives_the_same_content(void **unused)
{
    (void)unused;
    assert_true(churn_pool(50, 3000, false, 7) == churn_pool(50, 3000, false, 7));
}

static void give_twice(void *arg)
{
    struct help_nf *h = arg;

    nf_shared_pool_give(h->nf, HELP_NF_MAKE(h, nf_shared_pool_make(h->nf, 4)), 2);
}

static void give_beyond(void *arg)
{
    struct help_nf *h = arg;

    nf_shared_pool_give(h->nf, HELP_NF_MAKE(h, nf_shared_pool_make(h->nf, 4)), 4);
}

static void misuse_aborts(void **unused)
{
    struct help_nf h;

    (void)unused;
    help_nf_open(&h, 1 << 16, 1);
    assert_dies(give_twice, &h, "gives back number 2, which it has not");
    assert_dies(give_beyond, &h, "gives back number 4, which it has not");
    help_nf_close(&h);
}

static void make_needs_the_bytes_it_says(void **unused)
{
    struct help_nf h;

    (void)unused;
    help_nf_open(&h, 1 << 20, 1);
    for (uint32_t count = 1; count < 100000; count = 3 * count + 1) {
        const struct ft_arena *shared = ft_region_shared(h.region);
        uint64_t used = h.nf->arena->used, both = shared->used;

        if (count == 1) /* the directory of shared objects is made with the first of them */
            both += nf_shared_directory_bytes();
        assert_non_null(HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, count)));
        assert_true(h.nf->arena->used - used <= nf_shared_pool_lane_bytes(count));
        assert_true(shared->used <= both + nf_shared_pool_bytes(count));
    }
    assert_null(HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, 100000000)));
    help_nf_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_agrees_with_the_model),
        cmocka_unit_test(the_same_seed_gives_the_same_content),
        cmocka_unit_test(misuse_aborts),
        cmocka_unit_test(make_needs_the_bytes_it_says),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
