/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's delta: copies its dirty lines and the outputs it holds into chunks, in place in the lane's log
 * ring. Owned by the lane. When the ring is full the rest waits for the next turn. A delta of an incremental
 * checkpoint (FT_CHUNK_INCREMENTAL in its head) copies pending lines instead (ftcore/region/checkpoint.h),
 * some at a time.
 */
#ifndef LOGGER_DELTA_H
#define LOGGER_DELTA_H

#include "ftcore/record/delta.h"
#include "ftcore/queue/hold.h"
#include "ftcore/queue/lane.h"

#include <stdbool.h>

struct lg_delta {
    struct ft_lane_shared *lane;
    struct ft_region *region;
    const struct ft_hold *hold;
    /* How many bytes from the frame's start a successor needs of a held output; 0: it is not carried. */
    uint32_t (*carry)(void *arg, const struct ft_held *held, const uint8_t **frame);
    void *arg;

    bool active;          /* may be set to false when nobody wants the delta any more */
    struct ft_chunk head; /* what all chunks of the delta have in common */
    unsigned arena;       /* whose lines are copied; region's lanes * nfs: the shared one, lane 0's first */
    uint64_t line;        /* next line to look at */
    bool lines_done;
    uint64_t next, end; /* of the hold's outputs */
    uint64_t bytes;     /* of the chunks made so far, in memory */
};

/* At the cut: `head` holds what chunks have in common; the outputs held from `first` on are the delta's. */
void lg_delta_begin(struct lg_delta *delta, const struct ft_chunk *head, uint64_t first);
/* Makes chunks while the ring has room. True when the last is published. */
bool lg_delta_turn(struct lg_delta *delta);
/* One chunk, with at most `bytes` of lines (but at least one) and no outputs; none when no line is left, but
 * for the first chunk. False: the ring has no room. */
bool lg_delta_some(struct lg_delta *delta, uint32_t bytes);
/* The lines of the shared arena, as far as there is room. True when none of them is left. */
bool lg_delta_shared(struct lg_delta *delta);

/* Bytes of memory that a delta of the lane's arenas would take now, outputs not counted: an upper bound. */
uint64_t lg_delta_lines(const struct ft_region *region, unsigned lane);

#endif
