/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a program's tests, filled before main(), and what the running one owns. */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "tests/help/test.h"

#include <errno.h>
#include <limits.h>

#define TESTS_MAX 256

struct ft_fault help_fault;

static struct {
    struct CMUnitTest list[TESTS_MAX];
    unsigned line[TESTS_MAX];
    size_t n;
    int (*setup)(void **state);
    int (*teardown)(void **state);
} tests;

static struct {
    struct {
        void *object;
        void (*end)(void *);
    } * list;
    size_t n, of_setup; /* the first ones are not the test's */
    size_t test;        /* the number of the next one */
} owned;

void *help_owned(void *object, void (*end)(void *))
{
    owned.list = realloc(owned.list, (owned.n + 1) * sizeof(owned.list[0]));
    if (!owned.list)
        abort();
    owned.list[owned.n].object = object;
    owned.list[owned.n++].end = end;
    return object;
}

static void end_down_to(size_t n)
{
    while (owned.n > n) {
        owned.n--;
        owned.list[owned.n].end(owned.list[owned.n].object);
    }
}

void help_end(void *object)
{
    size_t at = owned.n;

    while (at && owned.list[at - 1].object != object)
        at--;
    if (!at)
        abort();
    owned.list[at - 1].end(object);
    owned.n--;
    memmove(&owned.list[at - 1], &owned.list[at], (owned.n + 1 - at) * sizeof(owned.list[0]));
}

static void close_fd(void *fd)
{
    close((int)(intptr_t)fd);
}

int help_fd(int fd)
{
    help_owned((void *)(intptr_t)fd, close_fd);
    return fd;
}

void help_close(int fd)
{
    help_end((void *)(intptr_t)fd);
}

void help_done(int error)
{
    if (error)
        fail_msg("%s", help_fault.text);
}

char *help_print(const char *format, ...)
{
    va_list values;
    char *text;

    va_start(values, format);
    if (vasprintf(&text, format, values) < 0)
        abort();
    va_end(values);
    return HELP_OWNED(text, free);
}

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

static int before_each(void **state)
{
    int (*setup)(void **state) = tests.list[owned.test++].setup_func;

    owned.of_setup = owned.n;
    help_fault.text[0] = '\0';
    return setup ? setup(state) : 0;
}

static int behind_each(void **state)
{
    int (*teardown)(void **state) = tests.list[owned.test - 1].teardown_func;
    int error = teardown ? teardown(state) : 0;

    end_down_to(owned.of_setup);
    return error;
}

int help_tests_run(void)
{
    static struct CMUnitTest list[TESTS_MAX];
    int failed;

    for (size_t i = 0; i < tests.n; i++) {
        list[i] = tests.list[i];
        list[i].setup_func = before_each;
        list[i].teardown_func = behind_each;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    failed =
        _cmocka_run_group_tests(program_invocation_short_name, list, tests.n, tests.setup, tests.teardown);
    end_down_to(0);
    free(owned.list);
    return failed;
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
