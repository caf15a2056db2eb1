/* SPDX-License-Identifier: Apache-2.0 */
/* A shared pool in one lane, against a plain array that knows which numbers are free and when each was given
 * back; and how evenly it draws. */
#include "tests/help/test.h"

#include "nflib/shared/shared.h"
#include "tests/help/program.h"
#include "tests/help/nf.h"

static struct help_nf h;

#define COUNT_MAX 400u

struct model {
    uint32_t count, free, gives;
    uint32_t given[COUNT_MAX]; /* which give it was, from 1; 0: it was never taken */
    bool taken[COUNT_MAX];
};

/* Free ones that were given back after `number` was. */
static uint32_t given_after(const struct model *m, uint32_t number)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->count; i++)
        n += !m->taken[i] && m->given[i] > m->given[number];
    return n;
}

static void take_one(struct nf_shared_pool *pool, struct model *m)
{
    uint32_t number = nf_shared_pool_take(h.nf, pool);

    if (!m->free) {
        assert_int_equal(number, NF_NONE);
        return;
    }
    assert_true(number < m->count && !m->taken[number]);
    assert_true(!m->given[number] || given_after(m, number) >= m->free / 4);
    m->taken[number] = true;
    m->free--;
}

static void pool_step(struct nf_shared_pool *pool, struct model *m, uint32_t number, uint32_t kind)
{
    if (kind == 0 && m->taken[number]) {
        nf_shared_pool_give(h.nf, pool, number);
        m->taken[number] = false;
        m->given[number] = ++m->gives;
        m->free++;
    } else if (kind > 0) {
        take_one(pool, m);
    }
}

static void compare_pool(const struct nf_shared_pool *pool, const struct model *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        assert_int_equal(nf_shared_pool_owner(pool, i), m->taken[i] ? 0 : NF_NONE);
    assert_int_equal(nf_shared_pool_owner(pool, m->count), NF_NONE);
}

static void churn_pool(uint32_t count, uint32_t steps, bool audit, uint64_t seed)
{
    struct nf_shared_pool *pool;
    struct model m = {.count = count, .free = count};
    uint64_t sequence = seed;

    (audit ? help_nf_open : help_nf_open_fast)(&h, nf_shared_pool_lane_bytes(count), seed);
    pool = HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, count));
    assert_non_null(pool);
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t kinds = i / (2 * count + 100) % 2 ? 3 : 2;

        pool_step(pool, &m, help_below(&sequence, count), help_below(&sequence, kinds));
        if (audit)
            help_nf_audit(&h);
        if (i % (audit ? 16 : 4096) == 0 || count < 10)
            compare_pool(pool, &m);
    }
    while (m.free) /* the last one is found as well */
        take_one(pool, &m);
    take_one(pool, &m);
    compare_pool(pool, &m);
}

TEST(pool_agrees_with_the_model)
{
    uint64_t seed = help_model_seed();

    churn_pool(1, HELP_MODEL_STEPS / 8, false, seed);
    churn_pool(2, HELP_MODEL_STEPS / 8, false, seed + 1);
    churn_pool(5, HELP_MODEL_STEPS / 4, false, seed + 2);
    churn_pool(COUNT_MAX, HELP_MODEL_STEPS / 2, false, seed + 3);
    churn_pool(5, 5000, true, seed + 4);
    churn_pool(COUNT_MAX, 10000, true, seed + 5);
}

/* Numbers 0 to 64,511 in 64 parts of 1,008. Taken by twos and given back, so that the pool stays nearly all
 * free; chi-square with 63 degrees of freedom is above 114 once in 10,000 sequences. */
TEST(any_number_is_as_likely_as_another)
{
    enum { COUNT = 64512, PARTS = 64, DRAWS = 64000 };
    uint32_t in_part[PARTS] = {0}, last = 0, next = 0, before = NF_NONE;
    struct nf_shared_pool *pool;
    double chi = 0, want = (double)DRAWS / PARTS;

    help_nf_open_fast(&h, nf_shared_pool_lane_bytes(COUNT), 11);
    pool = HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, COUNT));
    assert_non_null(pool);
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint32_t number = nf_shared_pool_take(h.nf, pool);

        in_part[number / (COUNT / PARTS)]++;
        next += i && number == last + 1;
        if (before != NF_NONE)
            nf_shared_pool_give(h.nf, pool, before);
        before = last = number;
    }
    for (uint32_t i = 0; i < PARTS; i++)
        chi += (in_part[i] - want) * (in_part[i] - want) / want;
    assert_true(chi < 114);
    assert_true(next < 10); /* one is expected */
}

static void give_twice(void *arg)
{
    nf_shared_pool_give(h.nf, HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, 4)), 2);
}

static void give_beyond(void *arg)
{
    nf_shared_pool_give(h.nf, HELP_NF_MAKE(&h, nf_shared_pool_make(h.nf, 4)), 4);
}

TEST(misuse_aborts)
{
    help_nf_open(&h, 1 << 16, 1);
    assert_dies(give_twice, NULL, "gives back number 2, which it has not");
    assert_dies(give_beyond, NULL, "gives back number 4, which it has not");
}

TEST(make_needs_the_bytes_it_says)
{
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
}
