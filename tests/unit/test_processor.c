/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of processors, as the kernel writes them. */
#include "understudy/base/process.c"
#include "tests/help/test.h"

static bool set[PROCESSORS_MAX];

static bool parse(const char *list)
{
    memset(set, 0, sizeof(set));
    return parse_list(list, set);
}

static unsigned count(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PROCESSORS_MAX; i++)
        n += set[i];
    return n;
}

TEST(lists_of_the_kernel)
{
    assert_true(parse("\n"));
    assert_int_equal(count(), 0);
    assert_true(parse(""));
    assert_int_equal(count(), 0);
    assert_true(parse("3\n"));
    assert_true(count() == 1 && set[3]);
    assert_true(parse("2-5,7,1000-1023\n"));
    assert_int_equal(count(), 29);
    assert_true(set[2] && set[5] && set[7] && set[1000] && set[1023] && !set[6] && !set[1]);
}

TEST(processors_beyond_the_set_are_left_out)
{
    assert_true(parse("1020-5000\n"));
    assert_int_equal(count(), 4);
    assert_true(parse("99999999999999999999\n"));
    assert_int_equal(count(), 0);
}

TEST(what_is_no_list)
{
    static const char *const wrong[] = {"x", "1-", "-1", "5-2", "1 2", ",", "1,,2", "1-2-3", " 1"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(parse(wrong[i]));
}
