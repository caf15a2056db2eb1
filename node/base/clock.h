/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks of the node, ns: the monotonic one, and the wall clock. No system call: the kernel maps it into
 * every process. */
#ifndef NODE_BASE_CLOCK_H
#define NODE_BASE_CLOCK_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

static inline uint64_t nd_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* The wall clock, ns since 1970, for people. It may be set. */
static inline uint64_t nd_wall(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* A time of the wall clock as UTC: the second as strftime has `format`, a point, the first `digits` of the
 * rest, a Z. Into out[0..cap), which it returns. */
static inline const char *nd_wall_format(char *out, size_t cap, const char *format, int digits, uint64_t wall)
{
    time_t seconds = (time_t)(wall / 1000000000u);
    char second[20], rest[10];
    struct tm t;

    strftime(second, sizeof(second), format, gmtime_r(&seconds, &t));
    snprintf(rest, sizeof(rest), "%09u", (unsigned)(wall % 1000000000u));
    snprintf(out, cap, "%s.%.*sZ", second, digits, rest);
    return out;
}

#endif
