/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of times. Written by one thread, with plain relaxed stores, and read by anybody, each word by
 * itself. Bucket i has the times of at most ft_histogram_bound(i) ns that are longer than the bound before;
 * what is longer than the last one is in `count` and `sum_ns` alone.
 */
#ifndef FTCORE_BASE_HISTOGRAM_H
#define FTCORE_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define FT_HISTOGRAM_BUCKETS 16u

struct ft_histogram {
    _Atomic uint64_t count, sum_ns, bucket[FT_HISTOGRAM_BUCKETS];
};

/* In ns; i below FT_HISTOGRAM_BUCKETS. */
static inline uint64_t ft_histogram_bound(unsigned i)
{
    static const uint64_t bounds[FT_HISTOGRAM_BUCKETS] = {
        5000,    10000,   25000,    50000,    100000,   250000,    500000,    1000000,
        2500000, 5000000, 10000000, 25000000, 50000000, 100000000, 250000000, 1000000000};

    return bounds[i];
}

static inline void ft_histogram_count(_Atomic uint64_t *at, uint64_t n)
{
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void ft_histogram_add(struct ft_histogram *h, uint64_t ns)
{
    unsigned i = 0;

    while (i < FT_HISTOGRAM_BUCKETS && ns > ft_histogram_bound(i))
        i++;
    if (i < FT_HISTOGRAM_BUCKETS)
        ft_histogram_count(&h->bucket[i], 1);
    ft_histogram_count(&h->sum_ns, ns);
    ft_histogram_count(&h->count, 1);
}

#endif
