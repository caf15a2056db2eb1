/* SPDX-License-Identifier: Apache-2.0 */
/* What every test program needs: cmocka, which wants these headers before its own. */
#ifndef TESTS_HELP_TEST_H
#define TESTS_HELP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka gives each test a state, and few have use for it. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#endif
