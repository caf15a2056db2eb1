/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was installed with the program, found from where the program itself lies. For PREFIX/bin/understudy
 * that is what lies under PREFIX; for a program that was built and not installed, what was built beside it.
 * So the place is not compiled in, and a tree may be moved. Nothing is kept.
 */
#ifndef NODE_BASE_INSTALLED_H
#define NODE_BASE_INSTALLED_H

#include <stdbool.h>
#include <stddef.h>

#define ND_MODULES "lib/understudy"          /* modules that a file names without a directory */
#define ND_CHAINS  "share/understudy/chains" /* chain files */

/* The path of the file `name` of `directory` (ND_MODULES or ND_CHAINS), into out[cap], bytes; false: there is
 * none. */
bool nd_installed(const char *directory, const char *name, char *out, size_t cap);

#endif
