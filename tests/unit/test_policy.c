/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between log and delta, against what a reader of policy.h would compute by hand. */
#include "ftcore/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BUDGET 2000000u

static struct ft_policy begin(bool log, bool delta, bool warm)
{
    struct ft_policy p = {0};
    struct ft_policy_config config = {.log = log, .delta = delta, .warm = warm, .budget_ns = BUDGET};

    ft_policy_begin(&p, &config);
    return p;
}

static struct ft_stretch took(uint64_t bursts, uint64_t log, uint64_t delta)
{
    return (struct ft_stretch){.bursts = bursts, .log = log, .delta = delta, .sampled = delta != 0};
}

static void test_fixed(void **state)
{
    struct ft_policy log = begin(true, false, false), delta = begin(false, true, false);
    struct ft_stretch cheap = took(1000, 100000, 1000), dear = took(1000, 1000, 100000);

    (void)state;
    cheap.replay_ns = dear.replay_ns = 1000 * BUDGET;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(ft_policy_next(&log, &cheap), FT_SEGMENT_LOG);
        assert_int_equal(ft_policy_next(&delta, &dear), FT_SEGMENT_DELTA);
    }
    assert_int_equal(log.changes + delta.changes, 0);
}

/* auto begins with the log, and stays there until a delta is known to be a twentieth smaller. */
static void test_smaller(void **state)
{
    struct ft_policy p = begin(true, true, false);

    (void)state;
    assert_int_equal(p.segment, FT_SEGMENT_LOG);
    assert_int_equal(ft_policy_next(&p, &(struct ft_stretch){0}), FT_SEGMENT_LOG);
    struct ft_stretch unknown = took(1000, 72000, 0), near = took(1000, 72000, 69000),
                      less = took(1000, 72000, 20000);

    assert_int_equal(ft_policy_next(&p, &unknown), FT_SEGMENT_LOG);
    assert_int_equal(ft_policy_next(&p, &near), FT_SEGMENT_LOG);
    for (unsigned i = 0; i < 4; i++)
        ft_policy_next(&p, &less);
    assert_int_equal(p.segment, FT_SEGMENT_DELTA);
    assert_int_equal(p.changes, 1);
    /* And back when the log is no larger, without a margin. */
    struct ft_stretch more = took(1000, 72000, 144000);

    for (unsigned i = 0; i < 4; i++)
        ft_policy_next(&p, &more);
    assert_int_equal(p.segment, FT_SEGMENT_LOG);
    assert_int_equal(p.changes, 2);
}

static void test_few_bursts_teach_nothing(void **state)
{
    struct ft_policy p = begin(true, true, false);
    struct ft_stretch ten = took(10, 100000, 1);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ft_policy_next(&p, &ten), FT_SEGMENT_LOG);
    /* Together they are enough. */
    assert_int_equal(ft_policy_next(&p, &ten), FT_SEGMENT_DELTA);
}

/* A sample of 10 bursts stands for the 490 after it: 1000 bytes become 50000, and 30000 are less. */
static void test_a_sample_stands_for_more(void **state)
{
    struct ft_policy p = begin(true, true, false);
    struct ft_stretch sample = took(10, 600, 1000), rest = took(490, 29400, 0);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(ft_policy_next(&p, &sample), FT_SEGMENT_LOG);
        assert_int_equal(ft_policy_next(&p, &rest), FT_SEGMENT_LOG);
    }
    /* Idle in between: bursts of their own, that samples stand for alone. */
    sample = took(1, 60, 20);
    for (unsigned i = 0; i < 4000 && p.segment == FT_SEGMENT_LOG; i++)
        ft_policy_next(&p, &sample);
    assert_int_equal(p.segment, FT_SEGMENT_DELTA);
}

/* The log of a warm standby is the log and its checkpoints, and that is not forgotten while deltas are sent.
 */
static void test_checkpoints_count(void **state)
{
    struct ft_policy hot = begin(true, true, false), cold = begin(true, true, true);
    struct ft_stretch s = took(1000, 10000, 20000);

    (void)state;
    assert_int_equal(ft_policy_next(&hot, &s), FT_SEGMENT_LOG);
    assert_int_equal(ft_policy_next(&cold, &s), FT_SEGMENT_LOG);
    s.checkpoint = 50000;
    assert_int_equal(ft_policy_next(&cold, &s), FT_SEGMENT_DELTA);
    s.checkpoint = 0;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(ft_policy_next(&cold, &s), FT_SEGMENT_DELTA);
    s.delta = 90000;
    for (unsigned i = 0; i < 10; i++)
        ft_policy_next(&cold, &s);
    assert_int_equal(cold.segment, FT_SEGMENT_LOG);
}

/* What takes how long is not known: a standby that lags gets deltas, until it is well below the budget again.
 */
static void test_budget(void **state)
{
    struct ft_policy p = begin(true, true, false);
    struct ft_stretch s = took(1000, 10000, 90000);

    (void)state;
    s.replay_ns = BUDGET / 4;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_LOG);
    s.replay_ns = BUDGET / 4 + 1;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_DELTA);
    s.replay_ns = BUDGET / 8 + 1;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_DELTA);
    s.replay_ns = BUDGET / 8;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_LOG);
    assert_int_equal(p.presses, 1);
}

/* Uniform flows: a delta of five times the bytes, each of which takes a third. 10000 * 3 < 50000 * 1, so a
 * standby that lags gets the log all the same. */
static void test_dearer_deltas_relieve_nobody(void **state)
{
    struct ft_policy p = begin(true, true, false);
    struct ft_packing packing = {.log = 512, .delta = 245}; /* on the wire 5000 and 11962 */
    struct ft_stretch s = took(1000, 10000, 50000);

    (void)state;
    p.config.packing = &packing;
    s.log_cost = 3000;
    s.delta_cost = 1000;
    ft_policy_next(&p, &s);
    assert_false(ft_policy_presses(&p, 100 * BUDGET));
    s.replay_ns = 100 * BUDGET;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_LOG);
    /* Replay has become dear: 10000 * 6 against 50000, more than a twentieth. */
    s.log_cost = 6000;
    s.replay_ns = 0;
    ft_policy_next(&p, &s);
    assert_false(ft_policy_presses(&p, BUDGET / 4));
    assert_true(ft_policy_presses(&p, BUDGET / 4 + 1));
    s.replay_ns = BUDGET;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_DELTA);
}

/* The other way round: deltas are smaller, the log is quicker. */
static void test_a_quicker_log_relieves(void **state)
{
    struct ft_policy p = begin(true, true, false);
    struct ft_packing packing = {.log = 819, .delta = 512}; /* on the wire 71982 and 20000 */
    struct ft_stretch s = took(1000, 90000, 40000);

    (void)state;
    p.config.packing = &packing;
    s.log_cost = 1000;
    s.delta_cost = 3000;
    ft_policy_next(&p, &s);
    assert_int_equal(p.segment, FT_SEGMENT_DELTA);
    s.replay_ns = BUDGET;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_LOG);
    s.replay_ns = 0;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_DELTA);
}

static void test_a_base_begins_anew(void **state)
{
    struct ft_policy p = begin(true, true, false);
    struct ft_stretch less = took(1000, 72000, 20000);
    struct ft_policy_config config = p.config;

    (void)state;
    ft_policy_next(&p, &less);
    assert_int_equal(p.segment, FT_SEGMENT_DELTA);
    ft_policy_begin(&p, &config);
    assert_int_equal(p.segment, FT_SEGMENT_LOG);
    assert_int_equal(p.log + p.delta + p.bursts, 0);
    assert_int_equal(p.changes, 1);
}

/* Deltas are tried, beside checkpoints; what they take counts for all that was
 * guessed before. A hot standby gets them when half of them is less. */
static void test_how_deltas_pack_is_tried(void **state)
{
    struct ft_policy p = begin(true, true, true), hot = begin(true, true, false);
    struct ft_packing packing = {.log = 1024, .checkpoint = 256};
    struct ft_stretch s = took(100, 7200, 40000);

    (void)state;
    p.config.packing = hot.config.packing = &packing;
    assert_int_equal(ft_policy_next(&hot, &s), FT_SEGMENT_LOG); /* 7200 against 20000 */
    s.checkpoint = 0;
    s.checkpoint = 20000;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_DELTA); /* 12200 against 2500 */
    s.checkpoint = 0;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_DELTA);
    assert_int_equal(ft_policy_next(&p, &s),
                     FT_SEGMENT_LOG); /* three are on their way: 40000 until they tell */
    s.checkpoint = 20000;
    packing.delta = 128;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_DELTA); /* 12200 against 5000 */
    packing.delta = 768;
    s.checkpoint = 0;
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_LOG); /* 12200 against 30000, of all there were */
    assert_int_equal(ft_policy_next(&p, &s), FT_SEGMENT_LOG);
}

/* A sample that ends before its checkpoint is whole, and the rest of the stretch: as one. */
static void test_learning_decides_nothing(void **state)
{
    struct ft_policy p = begin(true, true, false);
    struct ft_stretch less = took(1000, 72000, 20000), rest = took(1000, 72000, 0);

    (void)state;
    ft_policy_learn(&p, &less);
    assert_int_equal(p.segment, FT_SEGMENT_LOG);
    assert_int_equal(ft_policy_next(&p, &rest), FT_SEGMENT_DELTA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_deltas_pack_is_tried),
        cmocka_unit_test(test_learning_decides_nothing),
        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_smaller),
        cmocka_unit_test(test_few_bursts_teach_nothing),
        cmocka_unit_test(test_a_sample_stands_for_more),
        cmocka_unit_test(test_checkpoints_count),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_dearer_deltas_relieve_nobody),
        cmocka_unit_test(test_a_quicker_log_relieves),
        cmocka_unit_test(test_a_base_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
