/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where frames wait that a lane has taken from its ports and has no room to work on. Owned by the lane.
 *
 * A lane whose hold is full leaves frames in its ports' queues, and hears no heartbeat behind them. That is
 * no matter while it may release. A primary whose lease has run out may have been replaced, and a heartbeat
 * on a data port may be all that tells it so before it would go SOLO. So while it has no room and may not
 * release, it goes on receiving: heartbeats and claims are taken, the rest waits here, in order, and is
 * worked on before anything else once there is room.
 *
 * When this is full, too, what comes is dropped and counted (`waiting_full`). A port's queue would do the
 * same when it is full; so as long as this one is not the smaller, nothing is lost that would not be lost
 * there.
 */
#ifndef NODE_LANE_WAITING_H
#define NODE_LANE_WAITING_H

#include "node/lane/io.h"

#include <stdbool.h>

struct nd_waiting {
    struct nd_frame *frames; /* [room], a circle from `first` on */
    uint8_t *ports;          /* [room] they came in by */
    uint32_t room, first, count;
};

/* Room for a quarter of the packet buffers: the hold may have half. FT_ENOMEM: nothing is left to free. */
int nd_waiting_make(struct nd_waiting *waiting, uint32_t buffers);
void nd_waiting_free(struct nd_waiting *waiting);

/* The newest one. False: no room. */
bool nd_waiting_put(struct nd_waiting *waiting, const struct nd_frame *frame, unsigned port);
/* The oldest one. False: none waits. */
bool nd_waiting_take(struct nd_waiting *waiting, struct nd_frame *frame, unsigned *port);

#endif
