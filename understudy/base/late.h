/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that is loaded by whoever first needs it. Each that the program is linked with costs every
 * command a part of its start, with all that hangs on it.
 */
#ifndef UNDERSTUDY_BASE_LATE_H
#define UNDERSTUDY_BASE_LATE_H

#include "ftcore/base/error.h"

struct nd_late_call {
    const char *name;
    void *to; /* of the pointer to the function, which is set */
};

/* Loads `library` (its soname), which stays until the process ends, and sets n pointers. 0, or FT_ENOENT with
 * the reason: it is not installed, or has no function of that name. */
int nd_late_load(const char *library, const struct nd_late_call *calls, unsigned n, struct ft_fault *fault);

#endif
