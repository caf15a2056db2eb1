/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks, ns: the monotonic one, and the wall clock. No system call: the kernel maps them into every
 * process. For code above ftcore: the core and NFs receive the time from their caller (scripts/lint).
 */
#ifndef FTCORE_BASE_CLOCK_H
#define FTCORE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t ft_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* The wall clock, ns since 1970, for people. It may be set. */
static inline uint64_t ft_wall(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

#endif
