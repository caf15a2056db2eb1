/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of failures and the abort of broken invariants. */
#include "ftcore/base/error.h"
#include "ftcore/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *ft_error_name(int error)
{
    static const char *const names[] = {
        "ok",           "invalid",   "no memory",    "full", "truncated",     "malformed",
        "checksum",     "version",   "out of order", "busy", "no permission", "input/output",
        "peer differs", "not found", "diverged",
    };
    unsigned index = error <= 0 ? (unsigned)-error : ~0u;

    return index < sizeof(names) / sizeof(names[0]) ? names[index] : "unknown";
}

int ft_fail(struct ft_fault *fault, int error, const char *fmt, ...)
{
    if (fault) {
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
        va_end(ap);
    }
    return error;
}

void ft_check_failed(const char *file, int line, const char *cond, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "understudy: %s:%d: broken invariant: %s: ", file, line, cond);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}
