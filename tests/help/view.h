/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the view file: a directory of their own and a path in it, made before each test and removed
 * after it with all that is there. */
#ifndef TESTS_HELP_VIEW_H
#define TESTS_HELP_VIEW_H

extern char view_directory[64], view_path[128];

int view_setup(void **state);
int view_teardown(void **state);

#endif
