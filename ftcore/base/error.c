/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of failures and the abort of broken invariants. */
#include "ftcore/base/error.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *ft_error_name(int error)
{
    static const char *const names[] = {
        [-FT_OK] = "ok",
        [-FT_EINVAL] = "invalid",
        [-FT_ENOMEM] = "no memory",
        [-FT_EFULL] = "full",
        [-FT_ETRUNC] = "truncated",
        [-FT_EMALFORMED] = "malformed",
        [-FT_ECHECKSUM] = "checksum",
        [-FT_EVERSION] = "version",
        [-FT_EORDER] = "out of order",
        [-FT_EBUSY] = "busy",
        [-FT_EPERM] = "no permission",
        [-FT_EIO] = "input/output",
        [-FT_EPEER] = "peer differs",
        [-FT_ENOENT] = "not found",
        [-FT_EDIVERGED] = "diverged",
    };
    unsigned index = error <= 0 ? (unsigned)-error : ~0u;

    return index < sizeof(names) / sizeof(names[0]) ? names[index] : "unknown";
}

int ft_error_of_path(int number)
{
    return number == EACCES || number == EPERM ? FT_EPERM : FT_EIO;
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
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    ft_log_and_abort("%s:%d: broken invariant: %s: %s", file, line, cond, text);
}
