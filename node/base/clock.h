/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of the node: monotonic, ns. No system call: the kernel maps it into every process. */
#ifndef NODE_BASE_CLOCK_H
#define NODE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t nd_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

#endif
