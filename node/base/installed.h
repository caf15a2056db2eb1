/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was installed with the program, found from where the program itself lies: of PREFIX/bin/understudy it
 * is what lies under PREFIX, of one that was built and not installed what was built beside it. So the place
 * is not built in, and a tree may be moved. Nothing is kept.
 */
#ifndef NODE_BASE_INSTALLED_H
#define NODE_BASE_INSTALLED_H

#include <stdbool.h>
#include <stddef.h>

#define ND_MODULES "lib/understudy"          /* modules that a file names without a directory */
#define ND_CHAINS  "share/understudy/chains" /* chain files */

/* The path of the file NAME of that directory, into out[cap]; false: there is none. */
bool nd_installed(const char *directory, const char *name, char *out, size_t cap);

#endif
