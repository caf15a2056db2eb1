/* SPDX-License-Identifier: Apache-2.0 */
/* What the bench's process reads of nodes that run, at one moment, and what passed between two
 * such readings. */
#ifndef TOOLS_BENCH_READING_H
#define TOOLS_BENCH_READING_H

#include "tools/bench/bench.h"

/* What threads say of their turns, all together. */
struct nd_bench_turn_sums {
    uint64_t ns[FT_SPENT_KINDS], longs, longest;
};

/* What nodes show is a few milliseconds old, more when their core is busy: it bears its own time. */
struct nd_bench_reading {
    uint64_t at, released, replayed, arrived, waits, dropped, received, bursts;
    uint64_t shown_at[ND_NODES], lanes[ND_NODES], replicator[ND_NODES]; /* ns, processor time of threads */
    uint64_t link_bytes, records, credit_waits;
    struct nd_bench_turn_sums lane_turns[ND_NODES], replicator_turns[ND_NODES]; /* lanes': of `at` */
};

/* Waits until what the nodes show is of after the call. FT_EIO: a node ended. */
int nd_bench_read(struct nd_bench_nodes *r, struct nd_bench_reading *x, struct ft_fault *fault);

/* Of something that a node shows, for each ns. */
double nd_bench_rate(const struct nd_bench_reading *a, const struct nd_bench_reading *b, unsigned node,
                     uint64_t grown);
struct nd_bench_cpu nd_bench_cpu_used(const struct nd_bench_reading *a, const struct nd_bench_reading *b);
struct nd_bench_turns nd_bench_turns_taken(const struct nd_bench_reading *a,
                                           const struct nd_bench_reading *b);

uint64_t nd_bench_arrived(const struct nd_bench_nodes *r); /* packets, at both ports */
/* Turns in which a lane did not receive: its hold or log ring was full, or its standby as far behind as it
 * may be. */
uint64_t nd_bench_waits(const struct nd_bench_nodes *r);

#endif
