/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How events of a lane's log of flows (nflib/flow/log.h) come to the thread that exports them: a queue of
 * copies in memory of the process. A live lane puts events of stable bursts into it, in their order. When it
 * is full, events stay in the log, where they are state; nothing is lost here. The exporter takes them out
 * once they have been exported, and so the lane knows how far it has come.
 */
#ifndef LANE_EXPORT_H
#define LANE_EXPORT_H

#include "nflib/flow/log.h"

#include <stdatomic.h>

#define ND_EXPORT_EVENTS 1024u /* of a queue, a power of two */

/* Positions count events ever put into the queue. */
struct nd_export_queue {
    _Alignas(64) _Atomic uint64_t head; /* by the lane: the next event's */
    _Atomic uint64_t floor; /* by the lane: what lies before it is not this node's to export any more */
    _Alignas(64) _Atomic uint64_t tail; /* by the exporter: all before it has been exported, or given up */
    _Atomic int64_t wall;               /* by the exporter: wall clock less monotonic clock, ns */
    struct nf_log_event event[ND_EXPORT_EVENTS];
};

/* Of a lane: where it is. */
struct nd_export {
    struct nd_export_queue *queue; /* NULL: this node exports nothing */
    uint64_t lineage;              /* of the log */
    uint64_t given;                /* position in the log of the next event that is put into the queue */
    uint64_t from, at; /* position in the queue and in the log where this life of the lane began */
};

struct nd_lane;

/* The lane goes live, or has another log: it goes on where, by the state, the export has come to. What lies
 * in the queue is given up. */
void nd_lane_export_begin(struct nd_lane *lane);
/* The lane is not live any more: its successor exports what lies in the queue. */
void nd_lane_export_end(struct nd_lane *lane);
/* Once a turn of a live lane: what is stable goes into the queue, and the chain learns what has been
 * exported.
 */
void nd_lane_export(struct nd_lane *lane);

#endif
