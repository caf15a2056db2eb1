/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet as NFs see it: a frame of which `have` bytes can be read and written, and where its headers are.
 * The lane fills data, len, have, in_port and side; nf_packet_parse fills the rest and is safe on any bytes.
 * In replay only the captured bytes are there (have < len): an NF that does not declare
 * NF_READS_PAYLOAD never notices.
 */
#ifndef NFLIB_NET_PACKET_H
#define NFLIB_NET_PACKET_H

#include "nflib/net/addr.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- words of a frame or a key ------------------------------------------------------------------------- */

/* Wherever they lie: no alignment is assumed, no byte order changed. */

static inline uint16_t nf_get16(const uint8_t *at)
{
    uint16_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline uint32_t nf_get32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline uint64_t nf_get64(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline void nf_put16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, sizeof(v));
}

static inline void nf_put32(uint8_t *at, uint32_t v)
{
    memcpy(at, &v, sizeof(v));
}

/* ---- the Internet checksum (RFC 1071) ------------------------------------------------------------------ */

/* Folded and complemented, in network order as it stands in a header. Of a message that has the right one in
 * its field it is 0. */

uint16_t nf_checksum(const void *data, uint32_t n);
/* Of TCP's or UDP's message of n bytes, 65535 at most, with the pseudo header of IPv4: source and destination
 * as in the packet's header. */
uint16_t nf_ipv4_checksum(const uint8_t addresses[8], uint8_t proto, const void *message, uint32_t n);
/* The same with that of IPv6 (RFC 8200, 8.1), for ICMPv6 too. */
uint16_t nf_ipv6_checksum(const uint8_t addresses[32], uint8_t proto, const void *message, uint32_t n);

/* The checksum after a word of 32 or 16 bits has changed (RFC 1624, eqn. 3); all in network order. */
static inline uint16_t nf_checksum_adjust32(uint16_t sum, uint32_t from, uint32_t to)
{
    uint64_t n = (uint64_t)(uint16_t)~sum + (uint32_t)~from + to;
    n = (n >> 32) + (uint32_t)n;
    n = (n >> 16) + (n & 0xffff);
    n = (n >> 16) + (n & 0xffff);
    return (uint16_t) ~((n >> 16) + n);
}
static inline uint16_t nf_checksum_adjust16(uint16_t sum, uint16_t from, uint16_t to)
{
    uint32_t n = (uint32_t)(uint16_t)~sum + (uint16_t)~from + to;
    n = (n >> 16) + (n & 0xffff);
    return (uint16_t) ~((n >> 16) + n);
}
/* Puts a word, and the checksum at `sum` that covers it. */
static inline void nf_put16_summed(uint8_t *at, uint16_t value, uint8_t *sum)
{
    nf_put16(sum, nf_checksum_adjust16(nf_get16(sum), nf_get16(at), value));
    nf_put16(at, value);
}

/* ---- packets ----------------------------------------------------------------------------------------- */

/* IPv4 protocols with ports or identifiers, and the types of ICMP echo. */
#define NF_PROTO_ICMP          1u
#define NF_PROTO_TCP           6u
#define NF_PROTO_UDP           17u
#define NF_PROTO_ICMPV6        58u
#define NF_ICMP_ECHO_REPLY     0u
#define NF_ICMP_ECHO_REQUEST   8u
#define NF_ICMPV6_ECHO_REQUEST 128u
#define NF_ICMPV6_ECHO_REPLY   129u

struct nf_session;

/* Bytes in front of a frame that an NF which changes its family may use (NF_FAMILY, nflib/module/module.h),
 * and bytes that a frame has at most (FT_FRAME_MAX), also then. */
#define NF_HEADROOM  64u
#define NF_FRAME_MAX 9216u

enum nf_side { NF_INSIDE = 0, NF_OUTSIDE = 1 };

/* What the frame is; set by parse. */
enum nf_packet_flags {
    NF_P_IPV4 = 1 << 0, /* a well-formed IPv4 header: version, IHL >= 5, total length fits, header checksum
                         * right (or nf_packet_parse_unsummed) */
    NF_P_IPV6 = 1 << 1, /* ethertype is IPv6; see NF_P_IPV6_READ */
    NF_P_ARP = 1 << 2,  /* Ethernet/IPv4 ARP, whole */
    NF_P_VLAN = 1 << 3, /* one or two VLAN tags (802.1Q, 802.1ad, QinQ) before the ethertype */
    NF_P_FRAGMENT = 1 << 4, /* more-fragments or an offset */
    NF_P_LATER = 1 << 5,    /* a fragment that does not carry the L4 header (offset > 0) */
    NF_P_OPTIONS = 1 << 6,  /* IPv4 options present */
    NF_P_L4 = 1 << 7,       /* TCP (20 bytes, data offset sane), UDP (8) or ICMP (8) header readable at l4 */
    NF_P_ICMP_ERROR =
        1
        << 8, /* ICMP or ICMPv6 error with a readable inner IP header and 8 bytes of inner L4; see nf_inner */
    NF_P_BAD = 1 << 9,      /* claims a format and breaks it; `bad` says how */
    NF_P_EMITTED = 1 << 10, /* made by an NF (nf_emit), no input */
    NF_P_LOCAL = 1 << 11,   /* for the chain's L3, which answers it or drops it: passes no NF */
    /* With NF_P_IPV6: its IPv6 header is well-formed. l3, l4, l4_len, proto, ports, NF_P_FRAGMENT, NF_P_LATER
     * and NF_P_L4 mean what they mean of IPv4. l4 is behind the extension headers (hop-by-hop, routing,
     * destination options, fragment; 128 bytes of them at most). One that breaks its format, is behind a
     * fragment's, or is a routing header with hops to go, is not read: proto is its number. NF_P_BAD is never
     * set for IPv6. NF_P_L4 is set for every ICMPv6 message. */
    NF_P_IPV6_READ = 1 << 12,
};

enum nf_bad {
    NF_BAD_NONE,
    NF_BAD_SHORT,    /* ends inside a header */
    NF_BAD_VERSION,  /* IP version or header length */
    NF_BAD_LENGTH,   /* lengths contradict each other */
    NF_BAD_CHECKSUM, /* IPv4 header checksum */
    NF_BAD_TCP,      /* data offset */
    NF_BAD_COUNT
};

#define NF_SET_ASIDE     UINT8_MAX /* in place of a reason: no NF gets the packet */
#define NF_DROP_SESSIONS UINT8_MAX /* in place of an NF: what sessions drop, for a reason of theirs */

struct nf_packet {
    uint8_t *data;    /* the frame, from the Ethernet header; moved where an NF changes its family */
    uint32_t len;     /* bytes of the frame on the wire */
    uint32_t have;    /* bytes there from data, <= len */
    uint8_t in_port;  /* index of the chain's interface */
    uint8_t out_port; /* set by the chain's L3 or an NF; default the other port */
    uint8_t side;     /* enum nf_side of the port it came in on */
    uint8_t drop;     /* set with nf_drop: reason counter of the NF + 1; 0 passes; or NF_SET_ASIDE */
    uint8_t drop_nf;  /* index of the NF that dropped it, or NF_DROP_SESSIONS */
    uint8_t proto;    /* of IPv4, or of IPv6 with NF_P_IPV6_READ; 0: neither */
    uint8_t bad;      /* enum nf_bad */
    uint8_t tcp_flags;
    uint16_t flags;        /* enum nf_packet_flags */
    uint16_t l3;           /* offset of the IP or ARP header */
    uint16_t l4;           /* offset of the L4 header (with NF_P_L4) */
    uint16_t payload;      /* offset behind the L4 header */
    uint16_t l4_len;       /* bytes from l4 to the end of the IP packet, by the length in its header */
    uint16_t frag_id;      /* host order */
    uint32_t saddr, daddr; /* of IPv4, network order; the rewriting calls keep them up to date */
    uint16_t sport, dport; /* network order; ICMP echo: identifier in both; else 0 */
    uint8_t icmp_type, icmp_code;
    uint8_t parsed; /* what parse fills is of the bytes that are there; who changes them by hand clears it */
    uint8_t flow;   /* enum nf_flow_bits (nflib/session/session.h) */
    void *owner;    /* the lane's: mbuf or replay slot */
    const struct nf_session *session; /* of the packet's flow, NULL: none; the chain's, see there */
};

/* With NF_P_IPV6_READ: source and destination, 16 bytes each. */
static inline const uint8_t *nf_packet_ipv6_addresses(const struct nf_packet *p)
{
    return p->data + p->l3 + 8;
}
/* The same of a packet of either family: of IPv6 with NF_P_IPV6_READ, else of IPv4. */
static inline struct nf_addr nf_packet_from(const struct nf_packet *p, bool ipv6)
{
    return ipv6 ? nf_addr_of_ipv6(nf_packet_ipv6_addresses(p)) : nf_addr_of_ipv4(p->saddr);
}
static inline struct nf_addr nf_packet_to(const struct nf_packet *p, bool ipv6)
{
    return ipv6 ? nf_addr_of_ipv6(nf_packet_ipv6_addresses(p) + 16) : nf_addr_of_ipv4(p->daddr);
}
/* The two MAC addresses in front of an answer to the packet: those of its frame, the other way round. */
static inline void nf_packet_macs_back(const struct nf_packet *p, uint8_t out[12])
{
    __builtin_memcpy(out, p->data + 6, 6);
    __builtin_memcpy(out + 6, p->data, 6);
}
/* May the packet be answered: neither end, nor MAC address, is a group's, no station's, or the other end's;
 * nor is it an ICMP error, or made here. icmp.c. */
bool nf_packet_may_answer(const struct nf_packet *p);
static inline bool nf_icmp_is_echo(uint8_t icmp_type)
{
    return icmp_type == NF_ICMP_ECHO_REQUEST || icmp_type == NF_ICMP_ECHO_REPLY;
}
static inline bool nf_icmpv6_is_echo(uint8_t icmp_type)
{
    return icmp_type == NF_ICMPV6_ECHO_REPLY || icmp_type == NF_ICMPV6_ECHO_REQUEST;
}
/* ICMP of either family. */
static inline bool nf_proto_is_of_icmp(uint8_t proto)
{
    return proto == NF_PROTO_ICMP || proto == NF_PROTO_ICMPV6;
}
/* Ports proper, not an identifier. */
static inline bool nf_proto_is_ported(uint8_t proto)
{
    return proto == NF_PROTO_TCP || proto == NF_PROTO_UDP;
}
/* IPv4 of a protocol that has ports, or an identifier as ICMP echo: NF_P_L4 says whether they can be read. */
static inline bool nf_proto_has_ports(uint8_t proto)
{
    return proto == NF_PROTO_TCP || proto == NF_PROTO_UDP || proto == NF_PROTO_ICMP;
}
/* The same of IPv6. */
static inline bool nf_proto_has_ports_ipv6(uint8_t proto)
{
    return proto == NF_PROTO_TCP || proto == NF_PROTO_UDP || proto == NF_PROTO_ICMPV6;
}
/* A packet of a flow with two ends: TCP, UDP or ICMP echo, its ports or identifier read. */
static inline bool nf_packet_has_ends(const struct nf_packet *p)
{
    return (p->flags & (NF_P_IPV4 | NF_P_LATER | NF_P_ICMP_ERROR | NF_P_L4)) == (NF_P_IPV4 | NF_P_L4) &&
           (p->proto != NF_PROTO_ICMP || nf_icmp_is_echo(p->icmp_type));
}
/* The same of IPv6. */
static inline bool nf_packet_has_ends_ipv6(const struct nf_packet *p)
{
    return (p->flags & (NF_P_IPV6_READ | NF_P_LATER | NF_P_L4)) == (NF_P_IPV6_READ | NF_P_L4) &&
           (p->proto != NF_PROTO_ICMPV6 || nf_icmpv6_is_echo(p->icmp_type));
}

/* The packet inside an ICMP error. */
struct nf_inner {
    uint32_t saddr, daddr;    /* of IPv4, network order */
    const uint8_t *addresses; /* of IPv6, source and destination in the frame; NULL: it is IPv4 */
    uint16_t sport, dport;    /* network order; ICMP echo: identifier in both */
    uint8_t proto;
    uint16_t l3, l4; /* offsets in the frame */
};

/* Fills everything from flags on, from data/len/have. Never reads beyond `have`. */
void nf_packet_parse(struct nf_packet *p);
/* The same without the short way for what packets usually are: for tests, which hold one against the other.
 */
void nf_packet_parse_any(struct nf_packet *p);

/* The same, and an IPv4 header whose checksum is wrong, and nothing else, is read as if it were right: as in
 * a capture of a host that leaves it to its NIC. */
void nf_packet_parse_unsummed(struct nf_packet *p);

/* Valid with NF_P_ICMP_ERROR. */
void nf_packet_inner(const struct nf_packet *p, struct nf_inner *inner);

/* An ICMP error that does not identify the flow of the packet it quotes: the quote is cut short, a later
 * fragment, or behind headers that are not read. *proto: of what is quoted, 0 where not even that is
 * there. */
bool nf_packet_is_unread_error(const struct nf_packet *p, uint8_t *proto);

uint32_t nf_packet_header_bytes_any(const struct nf_packet *p); /* the same, of any packet */
/*
 * How many bytes of the frame a chain of header-only NFs can look at: all headers up to and including L4's
 * (whole TCP header with options), the whole frame for ARP, ICMP up to 128 bytes, and at least 64 or the
 * frame for everything else.
 */
static inline uint32_t nf_packet_header_bytes(const struct nf_packet *p)
{
    /* What nearly every packet is: TCP without many options, or UDP; not ICMP. */
    if (p->flags == (NF_P_IPV4 | NF_P_L4) && p->proto != 1 && p->payload <= 64 && p->have >= 64)
        return 64;
    return nf_packet_header_bytes_any(p);
}

/* With NF_P_L4 of TCP, host order. */
static inline uint32_t nf_packet_seq(const struct nf_packet *p)
{
    return be32toh(nf_get32(p->data + p->l4 + 4));
}
static inline uint32_t nf_packet_ack(const struct nf_packet *p)
{
    return be32toh(nf_get32(p->data + p->l4 + 8));
}
/* Of a packet with NF_P_L4: bytes of TCP, header and payload; or of a datagram of UDP, by its own length,
 * behind which IP may carry more. 0: UDP's length cannot be. */
uint32_t nf_packet_l4_len(const struct nf_packet *p);
/* The payload of a packet with NF_P_L4 of TCP or UDP, as far as it is there. */
static inline const uint8_t *nf_packet_payload(const struct nf_packet *p, uint32_t *len)
{
    uint32_t end = (uint32_t)p->l4 + nf_packet_l4_len(p);

    end = end < p->have ? end : p->have;
    *len = p->payload < end ? end - p->payload : 0;
    return p->data + p->payload;
}
/* The checksum of TCP or UDP is right, and UDP's length can be, or the packet is not all there. One that is
 * not is dropped by its receiver. */
bool nf_packet_checksum_right(const struct nf_packet *p);

/* Rewriting, all with incremental checksums (RFC 1624), the frame and the parsed fields together. Network
 * order. */
void nf_packet_set_saddr(struct nf_packet *p, uint32_t addr);
void nf_packet_set_daddr(struct nf_packet *p, uint32_t addr);
void nf_packet_set_sport(struct nf_packet *p, uint16_t port); /* TCP, UDP; ICMP echo: the identifier */
void nf_packet_set_dport(struct nf_packet *p, uint16_t port); /* the same */
/* Both of one end, with one change to each checksum. */
void nf_packet_set_source(struct nf_packet *p, uint32_t addr, uint16_t port);
void nf_packet_set_destination(struct nf_packet *p, uint32_t addr, uint16_t port);
void nf_packet_dec_ttl(struct nf_packet *p);
/* Inner packet of an ICMP error, of IPv4: address and port on its source (or destination) side, all checksums
 * that cover it. */
void nf_packet_set_inner_src(struct nf_packet *p, uint32_t addr, uint16_t port);
void nf_packet_set_inner_dst(struct nf_packet *p, uint32_t addr, uint16_t port);

/* The same of IPv6, addresses as in a packet: an end's address, and its port where TCP's or UDP's header is
 * there. */
void nf_packet_set_source_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port);
void nf_packet_set_destination_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port);
void nf_packet_set_inner_src_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port);
void nf_packet_set_inner_dst_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port);

/* The DSCP (RFC 2474) of a packet of NF_P_IPV4 or NF_P_IPV6_READ: six bits of IPv4's type of service and of
 * IPv6's traffic class. The two bits behind them are ECN's (RFC 3168), and stay. */
#define NF_DSCPS 64u
static inline uint8_t nf_packet_dscp(const struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3;

    return p->flags & NF_P_IPV4 ? ip[1] >> 2 : (uint8_t)((ip[0] << 2 & 0x3c) | ip[1] >> 6);
}
void nf_packet_set_dscp(struct nf_packet *p, uint8_t dscp);

#endif
