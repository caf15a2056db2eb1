/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What entries take on the wire of what they take in memory, as measured of late: a lane chooses the kind of
 * its next segment by it. Told by the replicator, read by the lane. The parts of a checkpoint have a ratio of
 * their own, since they are many lines that go together; how deltas pack is not known from them.
 */
#ifndef FTCORE_PACKING_H
#define FTCORE_PACKING_H

#include <stdatomic.h>
#include <stdint.h>

#define FT_PACKING_UNIT 1024u /* bytes in memory that a ratio is of */

/* Bytes on the wire for a unit; 0: not known. */
struct ft_packing {
    _Atomic uint64_t log, checkpoint, delta;
};

/* Bytes on the wire of `bytes` in memory; `guess`: the ratio as long as it is not known. */
static inline uint64_t ft_packed(uint64_t bytes, const _Atomic uint64_t *ratio, uint64_t guess)
{
    uint64_t by = atomic_load_explicit(ratio, memory_order_relaxed);

    return bytes * (by ? by : guess) / FT_PACKING_UNIT;
}

#endif
