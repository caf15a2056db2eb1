/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of packets in the other family, and addresses of IPv4 in those of IPv6 (RFC 6052, 7915). nat64.c
 * decides what becomes of each packet.
 */
#ifndef NFS_NAT64_HEADERS_H
#define NFS_NAT64_HEADERS_H

#include "nflib/nf.h"

#include <string.h>

#define NAT64_PREFIX 12u /* bytes of the prefix; the other four are an address of IPv4 (RFC 6052, 2.2) */

/* The address of IPv4 in one of the prefix, and back. */
static inline uint32_t nat64_embedded(const uint8_t addr[16])
{
    uint32_t v;

    memcpy(&v, addr + NAT64_PREFIX, sizeof(v));
    return v;
}
static inline void nat64_embed(const uint8_t prefix[NAT64_PREFIX], uint32_t addr, uint8_t out[16])
{
    memcpy(out, prefix, NAT64_PREFIX);
    memcpy(out + NAT64_PREFIX, &addr, sizeof(addr));
}

/* The ends of a packet as it is to be: addresses, and the port, or identifier, that changes. */
struct nat64_ends4 {
    uint32_t saddr, daddr;
    uint16_t port; /* of the source; of a quoted packet of the destination */
};
struct nat64_ends6 {
    struct nf_addresses addresses;
    uint16_t port; /* of the destination; of a quoted packet of the source */
};

/* The packet is of the other family, with all checksums; it is a flow's, or a later fragment. `id`: where the
 * packet may be fragmented on its way and has none yet. False: it would be longer than a frame may be. */
void nat64_to_ipv4(struct nf_packet *p, const struct nat64_ends4 *ends, uint16_t id);
bool nat64_to_ipv6(struct nf_packet *p, const struct nat64_ends6 *ends);
/* A packet of IPv4 of so many bytes, with its header, that is no fragment: whether it may be fragmented on
 * its way (RFC 7915, 5.1), and so needs an identification. */
static inline bool nat64_may_fragment(uint32_t bytes)
{
    return bytes <= 1260;
}
/* It has a source route (IPv4) or a routing header (IPv6) with hops left. */
bool nat64_is_source_routed(const struct nf_packet *p);

bool nat64_error_has_form(const struct nf_packet *p); /* an ICMP error, in the other family */
/* An ICMP error that has a form there is of the other family, with the packet `in` that it quotes. `outside`:
 * the address of IPv4 of the flow's end inside, `client`: those of its first packet; `port`: what changes in
 * the quoted packet. `id`: of the packet that the error is. */
void nat64_error_to_ipv4(struct nf_packet *p, const struct nf_inner *in, uint32_t outside, uint16_t port,
                         uint16_t id);
void nat64_error_to_ipv6(struct nf_packet *p, const struct nf_inner *in, const uint8_t prefix[NAT64_PREFIX],
                         const struct nf_addresses *client, uint16_t port);

#endif
