/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DSCP of a packet (RFC 2474): six bits of IPv4's type of service and of IPv6's traffic class. The two
 * bits behind them are ECN's (RFC 3168), and stay. Owns nothing.
 */
#ifndef NFLIB_NET_DSCP_H
#define NFLIB_NET_DSCP_H

#include "nflib/net/packet.h"

#define NF_DSCPS 64u

/* Of a packet of NF_P_IPV4 or NF_P_IPV6_READ. */
static inline uint8_t nf_packet_dscp(const struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3;

    return p->flags & NF_P_IPV4 ? ip[1] >> 2 : (uint8_t)((ip[0] << 2 & 0x3c) | ip[1] >> 6);
}
/* Writes it, and IPv4's checksum. */
void nf_packet_set_dscp(struct nf_packet *p, uint8_t dscp);

/* 0 to 63, cs0 to cs7 (RFC 2474), af11 to af43 (RFC 2597), ef (RFC 3246); -1: nothing of those. */
int nf_dscp_parse(const char *text);

#endif
