/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of times in nanoseconds, exact to 1.6 %: 64 buckets for each power of two. One thread counts,
 * others read at any time.
 */
#ifndef TOOLS_BENCH_TIMES_H
#define TOOLS_BENCH_TIMES_H

#include <stdatomic.h>
#include <stdint.h>

#define ND_TIMES_SUB 64u
#define ND_TIMES_BUCKETS                                                                                     \
    (ND_TIMES_SUB * 36u) /* up to 2^41 ns, half an hour; what is longer counts as that                       \
                          */

struct nd_times {
    _Atomic uint64_t bucket[ND_TIMES_BUCKETS];
    _Atomic uint64_t count, most; /* most: the longest, exact */
};

static inline uint32_t nd_times_bucket(uint64_t ns)
{
    uint32_t shift, index;

    if (ns < ND_TIMES_SUB)
        return (uint32_t)ns;
    shift = 63u - (uint32_t)__builtin_clzll(ns) - 6u;
    index = (shift + 1) * ND_TIMES_SUB + (uint32_t)(ns >> shift) - ND_TIMES_SUB;
    return index < ND_TIMES_BUCKETS ? index : ND_TIMES_BUCKETS - 1;
}

static inline void nd_times_count(struct nd_times *t, uint64_t ns)
{
    _Atomic uint64_t *b = &t->bucket[nd_times_bucket(ns)];

    atomic_store_explicit(b, atomic_load_explicit(b, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&t->count, atomic_load_explicit(&t->count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (ns > atomic_load_explicit(&t->most, memory_order_relaxed))
        atomic_store_explicit(&t->most, ns, memory_order_relaxed);
}

/* Forgets all; by the thread that counts. */
void nd_times_clear(struct nd_times *t);
/* Adds another's counts; `to` is the caller's alone. */
void nd_times_add(struct nd_times *to, const struct nd_times *from);
/* The time in ns that a share of all (0 … 1) does not exceed, the middle of its bucket; 0 of nothing. */
uint64_t nd_times_below(const struct nd_times *t, double share);

#endif
