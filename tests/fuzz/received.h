/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the receiver must have taken in, as the target fuzz_receiver.c understands it: items of several
 * lanes, the closed set computed the simple way, and whether a record or a chunk fits.
 */
#ifndef TESTS_FUZZ_RECEIVED_H
#define TESTS_FUZZ_RECEIVED_H

#include "ftcore/record/delta.h"
#include "ftcore/record/record.h"
#include "replicator/parts.h"

#define RECEIVED_LANES  4u
#define RECEIVED_ITEMS  256u
#define RECEIVED_STRIDE 16u /* lines from one lane's arena to the next */
#define RECEIVED_USED   8u  /* lines of an arena that are handed out */
#define RECEIVED_LINES  ((RECEIVED_LANES + 1) * RECEIVED_STRIDE)

/* What was taken in so far, as the test understands it: a burst, or a lane's whole delta. */
struct received_held {
    uint64_t burst, access;  /* where the lane is after it */
    uint64_t cut, cut_burst; /* its last delta, and where that ends: up to there deltas tell everything */
    unsigned dependencies;
    struct ft_dependency dependency[4];
};

/* The receiver under test, whose lanes are received_lanes. */
extern struct rp_replicator *received_rp;
extern struct ft_lane_shared *received_lanes;
extern struct received_held received_held[RECEIVED_LANES][RECEIVED_ITEMS];
extern unsigned received_count[RECEIVED_LANES];

/* The snapshot that the streams go on from. */
extern struct ft_message received_begin;

/* The delta that a lane is in the midst of. */
struct received_delta {
    bool open;
    struct ft_chunk head;
    uint64_t line, output, burst; /* what the next chunk may begin with */
};

extern struct received_delta received_delta[RECEIVED_LANES];
extern unsigned received_entry_count[RECEIVED_LANES];

/* Where a lane is after its first `n` items. */
struct received_held received_end(unsigned lane, unsigned n);
uint64_t received_access(unsigned lane, unsigned n);

/* Compares what lanes may replay with the closed set. */
void received_compare(void);

/* Every entry of the rings, in order, whole, as its decoder left it. */
void received_compare_rings(void);

/* Whether the product must take it. */
bool received_record_fits(const struct ft_record *r, const struct ft_dependency dependencies[]);

/* The receiver has taken it. */
void received_note_record(const struct ft_record *r, const struct ft_dependency dependencies[]);

/* Whether the product must take it. `runs`: where its lines end, 0 where there are none. */
bool received_chunk_fits(const struct ft_chunk *p, const uint64_t runs[2], const struct ft_chunk_output *o);

/* The receiver has taken it. */
void received_note_chunk(const struct ft_chunk *p, const uint64_t runs[2], const struct ft_chunk_output *o);

#endif
