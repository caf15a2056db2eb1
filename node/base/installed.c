/* SPDX-License-Identifier: Apache-2.0 */
/* Files beside the program; see installed.h. */
#include "node/base/installed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool nd_installed(const char *directory, const char *name, char *out, size_t cap)
{
    char program[1024], *slash;
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

    program[len > 0 ? len : 0] = '\0';
    for (unsigned up = 0; up < 2 && (slash = strrchr(program, '/')); up++) {
        int n;

        *slash = '\0';
        n = snprintf(out, cap, "%s/%s/%s", program, directory, name);
        if (n > 0 && (size_t)n < cap && access(out, R_OK) == 0)
            return true;
    }
    return false;
}
