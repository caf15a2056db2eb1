/* SPDX-License-Identifier: Apache-2.0 */
/* A request of the control sockets that is answered in steps: what the next step has to know. */
#ifndef NODE_WORK_H
#define NODE_WORK_H

#include "node/control/server.h"
#include "ftcore/region/region.h"

struct nd_work {
    const struct nd_exchange *of;  /* NULL: none, and all is zero */
    bool begun;                    /* the first step has been taken */
    bool under_way;                /* drain, failback: the handover has begun */
    bool wants_lanes;              /* show, set, clear: a lane is asked, or will be */
    bool asked, late;              /* the question is with a lane; the lane has taken it, and takes long */
    unsigned lane;                 /* set, clear: those below it have answered */
    unsigned changed;              /* set, clear: how many of those have changed */
    uint64_t since, until;         /* ns: when the last thing was asked for, and how long it is waited for */
    uint64_t resyncs;              /* verify: how many there had been */
    uint64_t digest[FT_LANES_MAX]; /* verify: the number of each lane's digest */
};

/* For a step: the exchange has this answer (a new reference). True. */
static inline bool nd_answered(struct nd_exchange *exchange, json_t *answer)
{
    exchange->answer = answer;
    return true;
}

#endif
