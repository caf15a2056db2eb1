/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a program's tests, filled before main(). */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "tests/help/test.h"

#include <errno.h>
#include <limits.h>

#define TESTS_MAX 256

static struct {
    struct CMUnitTest list[TESTS_MAX];
    unsigned line[TESTS_MAX];
    size_t n;
    int (*setup)(void **state);
    int (*teardown)(void **state);
} tests;

/* By lines: in which order constructors run is the compiler's affair. Those of one line stay as they came. */
void help_test(unsigned line, const struct CMUnitTest *test)
{
    size_t at = tests.n;

    if (tests.n++ == TESTS_MAX)
        abort();
    for (; at && tests.line[at - 1] > line; at--) {
        tests.list[at] = tests.list[at - 1];
        tests.line[at] = tests.line[at - 1];
    }
    tests.list[at] = *test;
    tests.line[at] = line;
}

void help_tests_share(int (*setup)(void **state), int (*teardown)(void **state))
{
    tests.setup = setup;
    tests.teardown = teardown;
}

int help_tests_run(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return _cmocka_run_group_tests(program_invocation_short_name, tests.list, tests.n, tests.setup,
                                   tests.teardown);
}

int help_tests_run_twice(const char *name, void (*between)(void **state))
{
    size_t n = tests.n;

    help_test(UINT_MAX, &(struct CMUnitTest){name, between, NULL, NULL, NULL});
    for (size_t i = 0; i < n; i++)
        help_test(UINT_MAX, &tests.list[i]);
    return help_tests_run();
}

/* A program's own goes before it. */
__attribute__((weak)) int main(void)
{
    return help_tests_run();
}
