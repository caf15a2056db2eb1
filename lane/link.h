/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's own way to the peer's lane: a port of the link, by which it sends the records that it makes and
 * learns what is stored, in its own turn (ftcore/queue/lanelink.h). The replicator decides when the port
 * counts, with which key, and from where on in the log it carries the stream; else the link's connection
 * does.
 */
#ifndef LANE_LINK_H
#define LANE_LINK_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* A queue of the port, a lane's: DPDK's in a node (understudy/ports/wire.c), memory in the bench. Nothing
 * waits. */
struct nd_link_port {
    void *ctx;
    uint32_t longest; /* bytes of a frame, FT_LINK_LEAST to FT_LINK_MOST */
    uint8_t mac[6];   /* where frames come from */
    /* Room for the next frame that is sent, `longest` bytes; NULL: none now. */
    uint8_t *(*place)(void *ctx);
    /* Sends the frame of so many bytes that was written there. */
    void (*send)(void *ctx, uint32_t bytes);
    /* The next frame that came, until the next call; NULL: none has. */
    const uint8_t *(*receive)(void *ctx, uint32_t *bytes);
};

struct nd_lane;
struct nd_link;

/* FT_ENOMEM, FT_EINVAL: the port's frames are too short. */
int nd_link_make(struct nd_link **out, const struct nd_link_port *wire, struct ft_fault *fault);
void nd_link_free(struct nd_link *link);

/* All take NULL at lane->link: such a lane has no port. */

/* Live, after the burst: sends what is due, hears what came. True if there was work. */
bool nd_link_turn(struct nd_lane *lane);
/* Standby, between two records: stores what came, and acknowledges it. True if something came. */
bool nd_link_look(struct nd_lane *lane);
/* Another order is followed: what was stored or heard belongs to a state that is given up. */
void nd_link_forget(struct nd_lane *lane);

/* Live: the peer has reported by the port that it stored bursts up to here; 0: nothing. */
uint64_t nd_link_stable(const struct nd_lane *lane);
/* Standby: bursts of this lane up to here are in the closed set of what came by ports; 0: none. */
uint64_t nd_link_closed(const struct nd_lane *lane);
/* That set moves no more, whatever other lanes store: this one is to replay what is in it, and no more. */
void nd_link_shut(struct nd_lane *lane);
/* Standby: outputs released, by the last record that came. */
uint64_t nd_link_released(const struct nd_lane *lane);
#define ND_LINK_GATHER_NS 2000u
/* Live: the port carries the stream. No burst waits longer than ND_LINK_GATHER_NS for more packets then. */
bool nd_link_carries(const struct nd_lane *lane);
/* With it: for how long the standby's oldest record waits to be replayed, ns. */
uint64_t nd_link_lag(const struct nd_lane *lane);
/* Something moved by the port a moment ago: the lane is to look again soon. */
bool nd_link_is_busy(const struct nd_lane *lane);
/* Or not so long ago that the port would not carry the stream any more. */
bool nd_link_was_busy(const struct nd_lane *lane);

#endif
