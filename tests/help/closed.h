/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the closed set: a model of it that tries all vectors of prefixes and knows nothing of how it
 * is computed, and seeded histories of lanes. One at a time.
 */
#ifndef TESTS_HELP_CLOSED_H
#define TESTS_HELP_CLOSED_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_LANES        4
#define MODEL_BURSTS       6 /* items in a lane's history at most */
#define MODEL_DEPENDENCIES 4

struct model_dependency {
    unsigned lane;
    uint64_t access;
};

struct model_burst {
    uint64_t access; /* number of its first */
    uint32_t accesses;
    unsigned dependencies;
    struct model_dependency dependency[MODEL_DEPENDENCIES];
    uint64_t cut;    /* 0: a burst, else a delta of that cut */
    uint64_t bursts; /* how many bursts a delta stands for that are not held themselves; of a burst 1 */
};

struct model {
    unsigned lanes;
    uint64_t first[MODEL_LANES]; /* burst and access number before the history */
    uint64_t access[MODEL_LANES];
    struct model_burst burst[MODEL_LANES][MODEL_BURSTS];
    unsigned count[MODEL_LANES], held[MODEL_LANES];
};

/* The history as it was drawn, and how many items of each lane are held. */
extern struct model history;

/* All vectors up to what is held, counted through like digits; the largest closed one holds all the others.
 */
void model_greatest(unsigned best[]);

/* Any dependencies whatever, most of them to accesses near what the other lane's history has. */
void model_draw_arbitrary(void);

/*
 * A run: lanes take turns at entering shared objects, and end their bursts when they like. So bursts depend
 * on each other in cycles, as they do when two lanes hand an object to and fro.
 */
void model_draw_run(void);

/*
 * A stream of segments of one kind: log segments, whose bursts a delta may follow (a checkpoint), or delta
 * segments, a delta that stands for bursts of its own, or for none.
 */
void model_draw_segments(void);

/* The last delta among the first `n` items: how many items up to it, 0 when there is none. */
unsigned model_delta_before(unsigned lane, unsigned n);

#endif
