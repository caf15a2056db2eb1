/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lanes of a node share among themselves: published access numbers, and a place to meet. Written by
 * lanes; the last to come to a barrier does the work for all while the others stand.
 */
#ifndef NODE_LANE_GROUP_H
#define NODE_LANE_GROUP_H

#include "ftcore/queue/lane.h"
#include "ftcore/order/section.h"

#include <stdbool.h>

struct nd_barrier {
    /* How many have come, in the low byte; above it how often all have met. One word, so that whoever leaves
     * a barrier cannot leave the next one in its place. */
    _Alignas(64) _Atomic uint64_t word;
};

/*
 * The stream of segments that live lanes make together (design §4; node/lane/cut.c). Written while all lanes
 * stand in a barrier, but for the atomic words.
 */
struct nd_stream {
    bool on;         /* a snapshot was cut; whether it is still logged each lane knows (ft_lane.logging) */
    bool deltas;     /* it consists of deltas; else of records, and checkpoints between them */
    uint64_t number; /* of the last delta since the snapshot */
    uint64_t held;   /* barriers held, of those … */
    _Atomic uint64_t wanted;        /* … that were wanted: any lane may, then all come */
    _Atomic unsigned copying;       /* lanes whose share of the last delta is not whole */
    _Atomic uint64_t shared_copied; /* number of the delta that has its lines of the shared arena */
    bool incremental;               /* the last delta is a checkpoint that is copied beside bursts … */
    _Atomic unsigned unfinished;    /* … lanes with lines left to copy … */
    _Atomic bool hurry;             /* … and the next one is due, or somebody waits for this one */
};

struct nd_group {
    unsigned lanes;
    struct nd_lane *lane; /* [lanes] */
    struct ft_published published[FT_LANES_MAX];
    struct nd_barrier between;  /* live: between bursts. Also before lanes go live */
    struct nd_barrier snapshot; /* standby: at the snapshot of a delta */
    struct nd_barrier after; /* … and after it, for its digest. Another place: lanes may leave this one and
                                come to the next snapshot while others have yet to come here */
    struct nd_stream stream;
    bool patient; /* who stands before a digest stands until all do: there is no hurry in a recording */
    _Atomic uint64_t applied; /* standby: delta whose lines of the shared arena are in place */

    /* lane/quiesce.c */
    _Alignas(64) _Atomic uint64_t aborted; /* the last order whose replay was aborted */
    _Atomic uint64_t stopped;              /* lanes that stop in replay, and times they all did */
    _Atomic bool snapshot_due;     /* live: a recording needs all to stand between bursts (lane/record.c) */
    uint64_t digest_taken, digest; /* live: serial of the digest taken last, and it; written at a barrier */
};

/* Of a barrier of all: its waits (ftcore/order/waits.h) are over, before anybody is let go. */
void nd_group_waits_over(struct nd_group *group);

void nd_group_init(struct nd_group *group, struct nd_lane *lanes, unsigned count);

/*
 * Waits until all lanes have come, then `work` runs once, then all go on. They come between bursts; a
 * sleeping lane comes when it wakes. False: the lane left again, because its order is no longer `order`, or
 * replay under it was aborted, or *stop was set, and it has not been part of it.
 */
bool nd_group_barrier(struct nd_group *group, void (*work)(struct nd_group *group),
                      const _Atomic uint64_t *now_ordered, uint64_t order, const _Atomic bool *stop);
/* The same at another place: who meets in different places does not count for each other. */
bool nd_group_barrier_at(struct nd_group *group, struct nd_barrier *place,
                         void (*work)(struct nd_group *group), const _Atomic uint64_t *now_ordered,
                         uint64_t order, const _Atomic bool *stop);

#endif
