/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames a node sends for itself on its data ports: heartbeats to the peer, and the claim of the chain's
 * addresses. They are no input and no output of the chain: not logged, not held.
 *
 * A heartbeat: to a multicast address that bridges pass on, from the node's own MAC, ethertype 0x88B5 (IEEE
 * local experimental), then "USBT", the upper half of the incarnation, and the view, big endian. Only half:
 * who can listen on a data port must not learn the number that makes a death notice believed.
 */
#ifndef NODE_LANE_BEAT_H
#define NODE_LANE_BEAT_H

#include <stdbool.h>
#include <stdint.h>

#define ND_BEAT_LEN  60u
#define ND_BEAT_TYPE 0x88b5

void nd_beat_write(uint8_t frame[ND_BEAT_LEN], const uint8_t own[6], uint32_t half, uint64_t view);
/* True for a heartbeat; whose it is, then. */
bool nd_beat_read(const uint8_t *frame, uint32_t len, uint32_t *half, uint64_t *view);

#endif
