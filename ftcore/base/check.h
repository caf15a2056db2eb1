/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants. FT_CHECK stays on in release builds: a node that has broken its own rules must stop,
 * because its standby can go on and it cannot.
 */
#ifndef FTCORE_BASE_CHECK_H
#define FTCORE_BASE_CHECK_H

#define ft_likely(x)   __builtin_expect(!!(x), 1)
#define ft_unlikely(x) __builtin_expect(!!(x), 0)

/* "FILE:LINE: broken invariant: COND: message" goes to the event log, which gets a bounded while to write it;
 * then the process aborts. */
_Noreturn void ft_check_failed(const char *file, int line, const char *cond, const char *fmt, ...)
    __attribute__((format(printf, 4, 5), cold));

#define FT_CHECK(cond, ...)                                                                                  \
    do {                                                                                                     \
        if (ft_unlikely(!(cond)))                                                                            \
            ft_check_failed(__FILE__, __LINE__, #cond, __VA_ARGS__);                                         \
    } while (0)

#endif
