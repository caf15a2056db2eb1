/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram of times; see bench/times.h. */
#include "tools/bench/times.h"

void nd_times_clear(struct nd_times *t)
{
    for (uint32_t i = 0; i < ND_TIMES_BUCKETS; i++)
        atomic_store_explicit(&t->bucket[i], 0, memory_order_relaxed);
    atomic_store_explicit(&t->count, 0, memory_order_relaxed);
    atomic_store_explicit(&t->most, 0, memory_order_relaxed);
}

static uint64_t middle_of_bucket(uint32_t bucket)
{
    uint32_t shift = bucket / ND_TIMES_SUB;

    if (shift == 0)
        return bucket;
    shift--;
    return ((uint64_t)(bucket % ND_TIMES_SUB + ND_TIMES_SUB) << shift) + ((1ull << shift) >> 1);
}

uint64_t nd_times_below(const struct nd_times *t, double share)
{
    uint64_t all = 0, seen = 0;

    for (uint32_t i = 0; i < ND_TIMES_BUCKETS; i++)
        all += atomic_load_explicit(&t->bucket[i], memory_order_relaxed);
    for (uint32_t i = 0; i < ND_TIMES_BUCKETS && all; i++) {
        seen += atomic_load_explicit(&t->bucket[i], memory_order_relaxed);
        if ((double)seen >= share * (double)all)
            return middle_of_bucket(i);
    }
    return 0;
}

void nd_times_add(struct nd_times *to, const struct nd_times *from)
{
    uint64_t most = atomic_load_explicit(&from->most, memory_order_relaxed);

    for (uint32_t i = 0; i < ND_TIMES_BUCKETS; i++)
        atomic_fetch_add_explicit(&to->bucket[i],
                                  atomic_load_explicit(&from->bucket[i], memory_order_relaxed),
                                  memory_order_relaxed);
    atomic_fetch_add_explicit(&to->count, atomic_load_explicit(&from->count, memory_order_relaxed),
                              memory_order_relaxed);
    if (most > atomic_load_explicit(&to->most, memory_order_relaxed))
        atomic_store_explicit(&to->most, most, memory_order_relaxed);
}
