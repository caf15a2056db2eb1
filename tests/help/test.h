/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test program needs: cmocka, which wants some headers before its own, those of the C library that
 * nearly all use, and the list of its tests. A test is listed where it stands: `TEST(name) {…}`, and they run
 * in the order of the file. A program that has no main() gets one that runs them.
 */
#ifndef TESTS_HELP_TEST_H
#define TESTS_HELP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ftcore/base/error.h"

/* cmocka gives each test a state, and few have use for it. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define TEST(name) TEST_WITH(name, NULL, NULL)
#define TEST_WITH(name, setup, teardown)                                                                     \
    static void name(void **state);                                                                          \
    TEST_LIST(name##_is_listed, #name, name, setup, teardown, NULL)                                          \
    static void name(void **state)

/* One function may be several tests, by what state each has. */
#define TEST_LIST(listed, name, function, setup, teardown, state)                                            \
    __attribute__((constructor)) static void listed(void)                                                    \
    {                                                                                                        \
        help_test(__LINE__, &(struct CMUnitTest){name, function, setup, teardown, state});                   \
    }

/* What stands before the first test and behind the last one. */
#define TESTS_SHARE(setup, teardown)                                                                         \
    __attribute__((constructor)) static void tests_share(void)                                               \
    {                                                                                                        \
        help_tests_share(setup, teardown);                                                                   \
    }

/* `end` is called with the object when the running test is over, also where that fails; the object that came
 * last is ended first. Of a program's setup: when its tests are over. Gives the object. */
#define HELP_OWNED(object, end) ((__typeof__(object))help_owned((object), (void (*)(void *))(end)))
void *help_owned(void *object, void (*end)(void *));
void help_end(void *object); /* now */
/* The same for a descriptor, which is closed. */
int help_fd(int fd);
void help_close(int fd);

/* What the running test is told of a failure; its text is empty when the test begins. */
extern struct ft_fault help_fault;
/* Fails the test with that text where there was an error. */
void help_done(int error);
/* A text as printf makes it, as long as the test runs. */
char *help_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

void help_test(unsigned line, const struct CMUnitTest *test);
void help_tests_share(int (*setup)(void **state), int (*teardown)(void **state));

/* For a main() that has more to do: runs them all, and gives how many failed. */
int help_tests_run(void);
/* The same, and all of them again behind the test `between`. */
int help_tests_run_twice(const char *name, void (*between)(void **state));

#endif
