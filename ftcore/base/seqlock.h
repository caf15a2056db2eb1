/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence lock: one thread writes a value, others copy it whole, and nobody waits but a reader that came
 * in between. The serial number is odd while the value is being written, and counts by two from one value to
 * the next. For what is copied now and then: a copy that was torn is made again after a short sleep, since
 * the writer may wait for the processor that the reader has.
 */
#ifndef FTCORE_BASE_SEQLOCK_H
#define FTCORE_BASE_SEQLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The writer's, around what it writes. */
static inline void ft_seqlock_begin(_Atomic uint64_t *serial)
{
    atomic_fetch_add(serial, 1);
    atomic_thread_fence(memory_order_release);
}

static inline void ft_seqlock_end(_Atomic uint64_t *serial)
{
    atomic_fetch_add(serial, 1);
}

/* Copies the value; *at is its serial number, which is even. False: the copy is torn, and is to be made
 * again, once the writer has had a processor. */
static inline bool ft_seqlock_copy(const _Atomic uint64_t *serial, uint64_t *at, void *out, const void *value,
                                   size_t size)
{
    *at = atomic_load(serial);
    memcpy(out, value, size);
    atomic_thread_fence(memory_order_acquire);
    return *at % 2 == 0 && *at == atomic_load(serial);
}

#endif
