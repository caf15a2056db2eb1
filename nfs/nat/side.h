/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For who reads a capture, which does not say by which port a packet came: the side that it came from, as the
 * configuration of a NAT of the chain tells. NAT_NO_SIDE: it does not tell.
 */
#ifndef NFS_NAT_SIDE_H
#define NFS_NAT_SIDE_H

#include "nflib/net/packet.h"

#define NAT_NO_SIDE 2u

/* By its outside addresses, and, unless something else tells who is inside, by its networks inside. */
uint8_t nat_side_of(const void *config, const struct nf_packet *p, bool by_networks);
uint8_t nat64_side_of(const void *config, const struct nf_packet *p);

#endif
