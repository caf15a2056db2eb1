/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP and ICMPv6 messages of the chain's own: errors about a packet (RFC 1122, RFC 4443), echo replies made
 * from the request in place, and those by which neighbours are found (RFC 4861).
 */
#ifndef NFLIB_NET_ICMP_H
#define NFLIB_NET_ICMP_H

#include "nflib/net/packet.h"

#define NF_ICMP_UNREACHABLE      3u
#define NF_ICMP_HOST_UNREACHABLE 1u  /* codes of it */
#define NF_ICMP_PROHIBITED       13u /* for administrative reasons */
#define NF_ICMP_TOO_BIG          4u  /* code of unreachable: fragmentation needed, and not permitted */
#define NF_ICMP_TIME_EXCEEDED    11u

#define NF_ICMP_ERROR_MAX (14u + 20 + 8 + 60 + 8)

/* An allowance of 100 errors a second, of at most 50 at once (RFC 1812, 4.3.2.8; RFC 4443, 2.4). `paid`: the
 * chain time until which the errors before have used it; returns that time with one more error, or 0 if that
 * may not be sent. */
static inline uint64_t nf_icmp_pay(uint64_t paid, uint64_t now)
{
    const uint64_t ms = 1000000, every = 10 * ms, ahead = 500 * ms;

    paid = (paid > now ? paid : now) + every;
    return paid > now + ahead ? 0 : paid;
}

/* May an error about this packet be sent at all (RFC 1122, 3.2.2): not about errors, later fragments, or a
 * source that is no station. */
bool nf_icmp_may_complain(const struct nf_packet *p);
/* An error about `p` from `saddr` to its source, MAC addresses left zero. `mtu`: the next hop's with
 * NF_ICMP_TOO_BIG, else 0. Returns the frame's length. */
uint32_t nf_icmp_error(const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu, uint32_t saddr,
                       uint8_t out[NF_ICMP_ERROR_MAX]);
/* Makes an echo request its own reply; the payload need not be there. False: it is none. */
bool nf_icmp_turn_round(struct nf_packet *p);

/* ---- ICMPv6 ------------------------------------------------------------------------------------------- */

#define NF_ICMPV6_UNREACHABLE     1u
#define NF_ICMPV6_TOO_BIG         2u
#define NF_ICMPV6_TIME_EXCEEDED   3u
#define NF_ND_ROUTER_SOLICITATION 133u
#define NF_ND_SOLICITATION        135u
#define NF_ND_ADVERTISEMENT       136u
#define NF_ND_REDIRECT            137u

#define NF_ICMPV6_QUOTED_MAX (40u + 128 + 8)
#define NF_ICMPV6_ERROR_MAX  (14u + 40 + 8 + NF_ICMPV6_QUOTED_MAX)
#define NF_ND_LEN            (14u + 40 + 24 + 8)

/* Of an advertisement. */
enum nf_nd_flags { NF_ND_ROUTER = 0x80, NF_ND_SOLICITED = 0x40, NF_ND_OVERRIDE = 0x20 };

/* What a neighbour advertises or asks. Addresses have 16 bytes and MAC addresses 6, all borrowed. */
struct nf_nd {
    uint8_t type;          /* NF_ND_SOLICITATION, NF_ND_ADVERTISEMENT */
    uint8_t flags;         /* enum nf_nd_flags */
    const uint8_t *target; /* the address that it is about */
    const uint8_t *mac;    /* of a solicitation's sender, of an advertisement's target; read, NULL: none */
    const uint8_t *from, *to;
};

/* A message between hosts and routers of one link about addresses there, of whatever kind (RFC 4861, 4). */
static inline bool nf_is_nd(const struct nf_packet *p)
{
    return (p->flags & (NF_P_IPV6_READ | NF_P_L4)) == (NF_P_IPV6_READ | NF_P_L4) &&
           p->proto == NF_PROTO_ICMPV6 && p->icmp_type >= NF_ND_ROUTER_SOLICITATION &&
           p->icmp_type <= NF_ND_REDIRECT;
}
/* True: a solicitation or an advertisement that is to be believed as far as its own bytes go (RFC 4861, 7.1):
 * its hop limit is that of this link, its source a host's or, of a host that has none yet, unspecified, its
 * checksum right, its options whole. One with extension headers is not (RFC 6980). */
bool nf_nd_read(const struct nf_packet *p, struct nf_nd *nd);
/* The frame from nd->mac to `to_mac`; NULL: to the multicast MAC of nd->to. */
void nf_nd_write(const struct nf_nd *nd, const uint8_t *to_mac, uint8_t out[NF_ND_LEN]);
/* Where the holder of an address listens for solicitations: ff02::1:ff00:0/104 and its last 24 bits. */
void nf_nd_solicited_node(const uint8_t addr[16], uint8_t out[16]);

/* May an error about this packet be sent at all (RFC 4443, 2.4): not about errors and redirects, nor to a
 * source that is no station. */
bool nf_icmpv6_may_complain(const struct nf_packet *p);
/* An error about `p` from `saddr` to its source, MAC addresses left zero. It quotes the headers and eight
 * bytes: what is captured of every packet. `mtu`: with NF_ICMPV6_TOO_BIG, else 0. Returns the frame's length.
 */
uint32_t nf_icmpv6_error(const struct nf_packet *p, uint8_t type, uint8_t code, uint32_t mtu,
                         const uint8_t saddr[16], uint8_t out[NF_ICMPV6_ERROR_MAX]);
/* Makes an echo request its own reply; the payload need not be there. False: it is none, or has extension
 * headers. */
bool nf_icmpv6_turn_round(struct nf_packet *p);

#endif
