/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For readers of a capture, which does not record by which port a packet came: the side that the packet came
 * from, by the configuration of a NAT of the chain. NAT_NO_SIDE: that does not decide it.
 */
#ifndef NFS_NAT_SIDE_H
#define NFS_NAT_SIDE_H

#include "nflib/net/packet.h"

#define NAT_NO_SIDE 2u

/* By its outside addresses, and, unless something else decides who is inside, by its networks inside. */
uint8_t nat_side_of(const void *config, const struct nf_packet *p, bool by_networks);
uint8_t nat64_side_of(const void *config, const struct nf_packet *p);

#endif
