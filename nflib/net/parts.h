/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read frames share: packet.c, and packet_ipv6.c for what is of IPv6 alone. */
#ifndef NFLIB_NET_PARTS_H
#define NFLIB_NET_PARTS_H

#include "nflib/net/packet.h"

static inline uint32_t nf_at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline void nf_parse_bad(struct nf_packet *p, enum nf_bad how)
{
    p->flags |= NF_P_BAD;
    p->bad = (uint8_t)how;
}

static inline bool nf_has_bytes(const struct nf_packet *p, uint32_t offset, uint32_t n)
{
    return offset + n <= p->have;
}

/* Behind l4 and l4_len: NF_P_L4 and its fields, or NF_P_BAD. */
void nf_parse_tcp(struct nf_packet *p);
void nf_parse_udp(struct nf_packet *p);
/* Offset behind the bytes that are both in the IP packet and here. */
static inline uint32_t nf_l4_end(const struct nf_packet *p)
{
    return nf_at_most(p->have, (uint32_t)p->l4 + p->l4_len);
}

/* Of a packet that is quoted in an error: the header of its L4, by its protocol. */
void nf_read_inner_ports(const uint8_t *l4, struct nf_inner *inner);
/* With NF_P_ICMP_ERROR of ICMPv6. */
void nf_read_inner_ipv6(const struct nf_packet *p, struct nf_inner *inner);
/* Behind l3, of a frame whose ethertype says IPv6. */
void nf_parse_ipv6(struct nf_packet *p);

#endif
