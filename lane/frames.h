/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames a node sends for itself on its data ports: heartbeats to the peer, questions to gateways that it
 * tracks, and the claim of the chain's addresses. They are no input and no output of the chain: not logged,
 * not held.
 *
 * A heartbeat: to a multicast address that bridges pass on, from the node's own MAC, ethertype 0x88B5 (IEEE
 * local experimental), then a datagram with a tag (ftcore/record/datagram.h), which only the peer can verify.
 */
#ifndef LANE_FRAMES_H
#define LANE_FRAMES_H

#include "ftcore/record/datagram.h"

#include <stdatomic.h>

#define ND_HEARTBEAT_HEAD 14u
#define ND_HEARTBEAT_LEN  (ND_HEARTBEAT_HEAD + FT_DATAGRAM_BYTES)
#define ND_HEARTBEAT_TYPE 0x88b5
#define ND_ARP_TYPE       0x0806
#define ND_ARP_LEN        42u
#define ND_GATEWAYS_MAX   8u

/* Returns the frame's length. `sent` of a heartbeat is the same on every port. `to`: NULL: all in the
 * network. */
uint32_t nd_heartbeat_write(uint8_t frame[ND_HEARTBEAT_LEN], const uint8_t to[6], const uint8_t own[6],
                            const struct ft_datagram_key *self, const struct ft_datagram *heartbeat);
/* 0, or an error of ft_datagram_decode. `len`: ND_HEARTBEAT_HEAD at least. */
int nd_heartbeat_read(const uint8_t *frame, uint32_t len, const struct ft_datagram_key *peer,
                      struct ft_datagram *heartbeat);

/*
 * Gateways that a node tracks: hosts in the networks of the chain's interfaces, asked by ARP on the data port
 * itself, by the primary and the standby alike. The question is an ARP probe (RFC 5227) from the node's own
 * MAC: its sender address is 0.0.0.0, so it changes nobody's table, and the answer comes to the own MAC, to
 * 0.0.0.0. It is no input and no output of the chain. Nothing proves an answer: whoever reaches the port can
 * pretend that a gateway is there, and nobody that it is not.
 *
 * Lane 0 asks, any lane hears, the main thread judges (understudy/watch/standing.c).
 */
struct nd_gateways {
    unsigned count;
    struct nd_gateway {
        uint32_t address; /* network order */
        uint32_t port;
        uint64_t every_ns;
        _Atomic uint64_t asked;    /* lane 0: when it last was, ns; 0: not yet */
        _Atomic uint64_t answered; /* a lane: when an answer last came, ns; 0: none yet */
    } of[ND_GATEWAYS_MAX];
};

/* The question. */
void nd_gateway_write(uint8_t frame[ND_ARP_LEN], const uint8_t own[6], uint32_t address);
/* True: the frame, of ARP's type, is an answer to such a question from `own`; who answers in *address. */
bool nd_gateway_read(const uint8_t *frame, uint32_t len, const uint8_t own[6], uint32_t *address);

#endif
