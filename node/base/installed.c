/* SPDX-License-Identifier: Apache-2.0 */
/* Files beside the program; see installed.h. */
#include "node/base/installed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool nd_installed(const char *directory, const char *name, char *out, size_t cap)
{
    char program[1024];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
    char *slash;

    for (unsigned up = 0; up < 2; up++) { /* its name, and bin */
        if (len <= 0)
            return false;
        program[len] = '\0';
        slash = strrchr(program, '/');
        len = slash ? slash - program : -1;
    }
    if (len < 0)
        return false;
    program[len] = '\0';
    len = snprintf(out, cap, "%s/%s/%s", program, directory, name);
    return len > 0 && (size_t)len < cap && access(out, R_OK) == 0;
}
