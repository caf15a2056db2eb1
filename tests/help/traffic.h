/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of whole chains with addresses: random frames of a site with few hosts and ports, so that flows
 * meet again and small tables run full, and random commands. The site: 10.0.0.0/24 inside, backends 10.0.0.11
 * to .13; its NAT has 203.0.113.1, ports from 2000 on, its service is 203.0.113.10, port 80.
 */
#ifndef TESTS_HELP_TRAFFIC_H
#define TESTS_HELP_TRAFFIC_H

#include "nflib/chain/chain.h"
#include "nftest/frames.h"

#define HELP_NAT     NFT_IP(203, 0, 113, 1)
#define HELP_SERVICE NFT_IP(203, 0, 113, 10)

/* The frame's length; its MAC addresses are nobody's. */
uint32_t help_traffic_frame(uint64_t *draws, uint8_t side, uint8_t out[NFT_FRAME_MAX]);
/* A reply of 60 bytes, of some neighbour on that port. */
void help_traffic_arp(uint64_t *draws, const struct nf_interface *port, uint8_t out[NFT_FRAME_MAX]);
/* Gives the chain one, which an NF may refuse. */
void help_traffic_command(uint64_t *draws, struct nf_chain *chain, uint64_t now);

#endif
