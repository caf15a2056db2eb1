/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames a node sends for itself on its data ports: heartbeats to the peer, and the claim of the chain's
 * addresses. They are no input and no output of the chain: not logged, not held.
 *
 * A heartbeat: to a multicast address that bridges pass on, from the node's own MAC, ethertype 0x88B5 (IEEE
 * local experimental), then a datagram with a tag (ftcore/record/datagram.h), which the peer alone can tell
 * from a forgery.
 */
#ifndef NODE_LANE_OWN_FRAMES_H
#define NODE_LANE_OWN_FRAMES_H

#include "ftcore/record/datagram.h"

#define ND_HEARTBEAT_HEAD 14u
#define ND_HEARTBEAT_LEN  (ND_HEARTBEAT_HEAD + FT_DATAGRAM_BYTES)
#define ND_HEARTBEAT_TYPE 0x88b5

/* Returns the frame's length. `sent` of a heartbeat is the same on every port. */
uint32_t nd_heartbeat_write(uint8_t frame[ND_HEARTBEAT_LEN], const uint8_t own[6],
                            const struct ft_datagram_key *self, const struct ft_datagram *heartbeat);
/* 0, or an error of ft_datagram_decode. `len`: ND_HEARTBEAT_HEAD at least. */
int nd_heartbeat_read(const uint8_t *frame, uint32_t len, const struct ft_datagram_key *peer,
                      struct ft_datagram *heartbeat);

#endif
