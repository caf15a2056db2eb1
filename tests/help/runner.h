/* SPDX-License-Identifier: Apache-2.0 */
/* A runner under test, with scripts and hooks in a directory of the test's own, which is made before each
 * test and removed after it. */
#ifndef TESTS_HELP_RUNNER_H
#define TESTS_HELP_RUNNER_H

#include "ftcore/base/event_log.h"
#include "node/base/clock.h"
#include "node/track/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WAIT_S 20

extern char runner_dir[64];
extern struct nd_node runner_node; /* filled in, then runner_start */
extern struct nd_runner *runner;

int runner_begin(void **state);
int runner_end(void **state);
void runner_start(void);

char *runner_path(char out[ND_PATH_MAX], const char *name); /* in the directory */
/* A shell script there. */
void runner_script(const char *name, const char *text);
void runner_sleep_ms(unsigned ms);
/* An event FT_SAYS_STATE with this number. */
void runner_offer(unsigned number);
struct nd_hook_counts runner_counts(unsigned hook);

/* Within WAIT_S. */
#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        uint64_t until_ = nd_now() + WAIT_S * 1000000000ull;                                                 \
        bool met_;                                                                                           \
        while (!(met_ = (condition)) && nd_now() < until_)                                                   \
            runner_sleep_ms(5);                                                                              \
        assert_true(met_);                                                                                   \
    } while (0)

#define RUNNER_TEST(name) cmocka_unit_test_setup_teardown(name, runner_begin, runner_end)

#endif
