/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for view files; see view.h. */
#define _GNU_SOURCE /* nftw */
#include "tests/help/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

char view_directory[64], view_path[128];

int view_setup(void **state)
{
    (void)state;
    snprintf(view_directory, sizeof(view_directory), "/tmp/view.XXXXXX");
    assert_non_null(mkdtemp(view_directory));
    snprintf(view_path, sizeof(view_path), "%s/a.view", view_directory);
    return 0;
}

static int forget(const char *name, const struct stat *s, int kind, struct FTW *where)
{
    (void)s, (void)kind, (void)where;
    return remove(name);
}

int view_teardown(void **state)
{
    (void)state;
    return nftw(view_directory, forget, 8, FTW_DEPTH | FTW_PHYS);
}
