/* SPDX-License-Identifier: Apache-2.0 */
/* What work takes, as a mean, against what a reader of effort.h would compute by hand. */
#include "ftcore/effort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PIECE 4096u

static void add(struct ft_effort *e, unsigned pieces, uint64_t each)
{
    for (unsigned i = 0; i < pieces; i++)
        ft_effort_add(e, PIECE, each, true);
}

static void test_little_says_nothing(void **state)
{
    struct ft_effort e = {0};

    (void)state;
    add(&e, 3, 8192);
    assert_int_equal(ft_effort_cost(&e), 0);
    add(&e, 1, 8192); /* 16 KiB */
    assert_int_equal(ft_effort_cost(&e), 2048);
}

/* A lane that was off its core for 5 ms in one piece of a hundred has not become slow. */
static void test_a_pause_is_no_work(void **state)
{
    struct ft_effort e = {0};

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        add(&e, 99, 8192);
        add(&e, 1, 5000000);
    }
    assert_in_range(ft_effort_cost(&e), 2048, 2048 + 2048 / 50);
}

/* What is slower for good is so after a few windows, what is quicker at once. */
static void test_a_change_is_learnt(void **state)
{
    struct ft_effort e = {0};

    (void)state;
    add(&e, 1000, 8192);
    add(&e, 4000, 81920);
    assert_in_range(ft_effort_cost(&e), 19000, 20480);
    add(&e, 2000, 8192);
    assert_in_range(ft_effort_cost(&e), 2048, 2200);
}

/* Waiting for work says nothing, once there is a mean; work that was quick in spite of it corrects one that
 * is too high. */
static void test_not_full(void **state)
{
    struct ft_effort e = {0};

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        ft_effort_add(&e, PIECE, 819200, false);
    assert_int_equal(ft_effort_cost(&e), 204800);
    for (unsigned i = 0; i < 100; i++)
        ft_effort_add(&e, PIECE, 8192000, false);
    assert_int_equal(ft_effort_cost(&e), 204800);
    for (unsigned i = 0; i < 4000; i++)
        ft_effort_add(&e, PIECE, 8192, false);
    assert_in_range(ft_effort_cost(&e), 2048, 2100);
}

static void test_never_zero(void **state)
{
    struct ft_effort e = {0};

    (void)state;
    add(&e, 10, 0);
    assert_int_equal(ft_effort_cost(&e), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_says_nothing), cmocka_unit_test(test_a_pause_is_no_work),
        cmocka_unit_test(test_a_change_is_learnt),  cmocka_unit_test(test_not_full),
        cmocka_unit_test(test_never_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
