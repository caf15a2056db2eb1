/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the reading of frames: where headers are, and what is wrong with them; and the changing of addresses,
 * ports, TTL and DSCP, with every checksum that covers them adjusted (RFC 1624), so that the payload need not
 * be there. The lane reads every packet; what is found, the chain reads. NFs and the chain's L3 change parsed
 * packets, and the parsed fields keep in step.
 *
 * A replay has only the captured bytes, so what is found must depend on nothing but the frame's length and
 * its first nf_packet_header_bytes(). Every read below lies within those: at most two tags, 60 bytes of IPv4
 * header, 60 of TCP, and for ICMP 8 + 60 + 20 bytes. Checks of lengths go by the wire's length, and reads ask
 * for `have` as well.
 */
#include "nflib/net/packet.h"
#include "ftcore/base/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

/* ---- checksums over whole messages ------------------------------------------------------------------- */

/* One's complement sums do not depend on byte order, so words are taken as they lie in memory. */
uint16_t nf_checksum(const void *data, uint32_t n)
{
    const uint8_t *at = data;
    uint64_t sum = 0;
    for (; n >= 4; at += 4, n -= 4)
        sum += nf_get32(at);
    if (n & 2)
        sum += nf_get16(at);
    if (n & 1)
        sum += at[n - 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint16_t nf_ipv4_checksum(const uint8_t addresses[8], uint8_t proto, const void *message, uint32_t n)
{
    uint32_t sum = (uint16_t)~nf_checksum(addresses, 8) + (uint16_t)~nf_checksum(message, n);

    sum += htons((uint16_t)n) + htons(proto);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

uint16_t nf_ipv6_checksum(const uint8_t addresses[32], uint8_t proto, const void *message, uint32_t n)
{
    uint32_t sum = (uint16_t)~nf_checksum(addresses, 32) + (uint16_t)~nf_checksum(message, n);

    sum += htons((uint16_t)(n >> 16)) + htons((uint16_t)n) + htons(proto);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static inline uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline void parse_bad(struct nf_packet *p, enum nf_bad how)
{
    p->flags |= NF_P_BAD;
    p->bad = (uint8_t)how;
}

static inline bool has_bytes(const struct nf_packet *p, uint32_t offset, uint32_t n)
{
    return offset + n <= p->have;
}

/* Offset behind the bytes that are both in the IP packet and here. */
static inline uint32_t l4_end(const struct nf_packet *p)
{
    return at_most(p->have, (uint32_t)p->l4 + p->l4_len);
}

#define ETH_LEN     14u
#define TAGS_MAX    2u
#define USUAL_L4    (ETH_LEN + 20u)
#define USUAL_MIN   (USUAL_L4 + 20u) /* bytes of a frame that parse_usual reads */
#define ARP_LEN     28u
#define HEADERS_MIN 64u
#define HEADERS_BAD (ETH_LEN + 4 * TAGS_MAX + 60 + 60) /* the furthest that any check looks */
#define ICMP_TAKEN  128u

/* ---- L4 ------------------------------------------------------------------------------------------- */

static bool is_icmp_error(uint8_t type)
{
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* 0: the error does not carry a packet whose ports can be read. */
static uint32_t inner_l4(const struct nf_packet *p)
{
    uint32_t l3 = p->l4 + 8u, end = l4_end(p);
    if (l3 + 20 > end)
        return 0;
    const uint8_t *ip = p->data + l3;
    uint32_t header = (ip[0] & 15u) * 4;
    if (ip[0] >> 4 != 4 || header < 20 || l3 + header + 8 > end || ntohs(nf_get16(ip + 6)) & 0x1fff)
        return 0;
    return l3 + header;
}

static void parse_icmp(struct nf_packet *p)
{
    const uint8_t *icmp = p->data + p->l4;
    if (p->l4_len < 8 || !has_bytes(p, p->l4, 8)) {
        parse_bad(p, NF_BAD_SHORT);
        return;
    }
    p->flags |= NF_P_L4;
    p->payload = (uint16_t)(p->l4 + 8);
    p->icmp_type = icmp[0];
    p->icmp_code = icmp[1];
    if (nf_icmp_is_echo(icmp[0]))
        p->sport = p->dport = nf_get16(icmp + 4);
    else if (is_icmp_error(icmp[0]) && inner_l4(p))
        p->flags |= NF_P_ICMP_ERROR;
}

static void parse_udp(struct nf_packet *p)
{
    const uint8_t *udp = p->data + p->l4;
    if (p->l4_len < 8 || !has_bytes(p, p->l4, 8)) {
        parse_bad(p, NF_BAD_SHORT);
        return;
    }
    uint16_t length = ntohs(nf_get16(udp + 4));
    if (length < 8 || (length > p->l4_len && !(p->flags & NF_P_FRAGMENT))) {
        parse_bad(p, NF_BAD_LENGTH);
        return;
    }
    p->flags |= NF_P_L4;
    p->payload = (uint16_t)(p->l4 + 8);
    p->sport = nf_get16(udp);
    p->dport = nf_get16(udp + 2);
}

/* Behind l4 and l4_len: NF_P_L4 and its fields, or NF_P_BAD. */
static void parse_tcp(struct nf_packet *p)
{
    const uint8_t *tcp = p->data + p->l4;
    if (p->l4_len < 20 || !has_bytes(p, p->l4, 20)) {
        parse_bad(p, NF_BAD_SHORT);
        return;
    }
    uint32_t header = (tcp[12] >> 4) * 4u;
    if (header < 20 || header > p->l4_len) {
        parse_bad(p, NF_BAD_TCP);
        return;
    }
    if (!has_bytes(p, p->l4, header)) {
        parse_bad(p, NF_BAD_SHORT);
        return;
    }
    p->flags |= NF_P_L4;
    p->payload = (uint16_t)(p->l4 + header);
    p->sport = nf_get16(tcp);
    p->dport = nf_get16(tcp + 2);
    p->tcp_flags = tcp[13];
}

/* ---- L3 ------------------------------------------------------------------------------------------- */

/* How the header at l3 breaks its format, NF_BAD_NONE if it does not; its length in *header. */
static enum nf_bad check_ipv4(const struct nf_packet *p, bool summed, uint32_t *header)
{
    const uint8_t *ip = p->data + p->l3;
    if (!has_bytes(p, p->l3, 20))
        return NF_BAD_SHORT;
    *header = (ip[0] & 15u) * 4;
    if (ip[0] >> 4 != 4 || *header < 20)
        return NF_BAD_VERSION;
    uint32_t total = ntohs(nf_get16(ip + 2));
    if (total < *header || total > p->len - p->l3)
        return NF_BAD_LENGTH;
    if (!has_bytes(p, p->l3, *header))
        return NF_BAD_SHORT;
    return summed && nf_checksum(ip, *header) ? NF_BAD_CHECKSUM : NF_BAD_NONE;
}

static void parse_ipv4(struct nf_packet *p, bool summed)
{
    const uint8_t *ip = p->data + p->l3;
    uint32_t header = 0;
    enum nf_bad how = check_ipv4(p, summed, &header);
    if (how) {
        parse_bad(p, how);
        return;
    }
    uint16_t fragment = ntohs(nf_get16(ip + 6));
    p->flags |= NF_P_IPV4;
    if (header > 20)
        p->flags |= NF_P_OPTIONS;
    if (fragment & 0x3fff)
        p->flags |= NF_P_FRAGMENT;
    p->proto = ip[9];
    p->frag_id = ntohs(nf_get16(ip + 4));
    p->saddr = nf_get32(ip + 12);
    p->daddr = nf_get32(ip + 16);
    p->l4 = p->payload = (uint16_t)(p->l3 + header);
    p->l4_len = (uint16_t)(ntohs(nf_get16(ip + 2)) - header);
    if (fragment & 0x1fff)
        p->flags |= NF_P_LATER;
    else if (p->proto == IPPROTO_TCP)
        parse_tcp(p);
    else if (p->proto == IPPROTO_UDP)
        parse_udp(p);
    else if (p->proto == IPPROTO_ICMP)
        parse_icmp(p);
}

static void parse_arp(struct nf_packet *p)
{
    static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};
    if (!has_bytes(p, p->l3, ARP_LEN))
        parse_bad(p, NF_BAD_SHORT);
    else if (memcmp(p->data + p->l3, ethernet_ipv4, sizeof(ethernet_ipv4)) == 0)
        p->flags |= NF_P_ARP;
}

/*
 * Of an IPv4 header without options that is not all zeros, as nf_checksum(ip, 20) == 0. A sum of words of 64
 * bits, with each carry added at the low end, is the sum of its words of 16 bits modulo 0xffff.
 */
static bool sum_is_right(const uint8_t *ip)
{
    uint64_t sum, last = nf_get32(ip + 16);
    bool carry = __builtin_add_overflow(nf_get64(ip), nf_get64(ip + 8), &sum);

    carry = __builtin_add_overflow(sum, last + carry, &sum);
    return (sum + carry) % 0xffff == 0;
}

/* These lie in a packet as they lie in a frame, so they are copied at once. */
#define ENDS_BYTES 12u
_Static_assert(offsetof(struct nf_packet, dport) + sizeof(uint16_t) ==
                   offsetof(struct nf_packet, saddr) + ENDS_BYTES,
               "saddr, daddr, sport, dport without gaps");
_Static_assert(offsetof(struct nf_packet, frag_id) == offsetof(struct nf_packet, l4_len) + sizeof(uint16_t) &&
                   __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "l4_len is the low half of a word with frag_id");

/*
 * What nearly every packet is: untagged IPv4 without options, no fragment, TCP or UDP, nothing wrong. Then it
 * fills the same as nf_packet_parse_any does, with a tenth of the instructions. False: perhaps it is not.
 */
static inline __attribute__((always_inline)) bool parse_usual(struct nf_packet *p)
{
    const uint8_t *ip = p->data + ETH_LEN, *l4 = p->data + USUAL_L4;
    uint32_t l4_len, lengths, header = 8;
    uint16_t tcp = 0; /* data offset, flags */

    if (p->have < USUAL_MIN || (nf_get32(p->data + 12) & htonl(0xffffff00)) != htonl(0x08004500) ||
        nf_get16(ip + 6) & htons(0x3fff))
        return false;
    lengths = ntohl(nf_get32(ip + 2)); /* total length, identification */
    l4_len = (lengths >> 16) - 20;
    if (l4_len > p->len - USUAL_L4 || !sum_is_right(ip))
        return false;
    if (ft_likely(ip[9] == IPPROTO_TCP)) {
        tcp = nf_get16(l4 + 12);
        header = (tcp & 0xf0u) >> 2;
        if (header < 20 || header > l4_len || USUAL_L4 + header > p->have)
            return false;
    } else if (ip[9] == IPPROTO_UDP) {
        uint32_t length = ntohs(nf_get16(l4 + 4));

        if (length < 8 || length > l4_len)
            return false;
    } else {
        return false;
    }
    p->proto = ip[9];
    p->bad = 0;
    p->tcp_flags = (uint8_t)(tcp >> 8);
    p->flags = NF_P_IPV4 | NF_P_L4;
    p->l3 = ETH_LEN;
    p->l4 = USUAL_L4;
    p->payload = (uint16_t)(USUAL_L4 + header);
    lengths = (lengths << 16 | lengths >> 16) - 20;
    memcpy((uint8_t *)p + offsetof(struct nf_packet, l4_len), &lengths, sizeof(lengths));
    memcpy((uint8_t *)p + offsetof(struct nf_packet, saddr), ip + 12, ENDS_BYTES);
    p->icmp_type = p->icmp_code = p->flow = 0;
    p->parsed = 1;
    return true;
}

static __attribute__((noinline)) void parse_unusual(struct nf_packet *p)
{
    nf_packet_parse_any(p);
    p->parsed = 1;
}

void nf_packet_parse(struct nf_packet *p)
{
    if (ft_unlikely(!parse_usual(p)))
        parse_unusual(p);
}

/* Of a packet that is quoted in an error: the header of its L4, by its protocol. */
static void read_inner_ports(const uint8_t *l4, struct nf_inner *inner)
{
    if (inner->proto == IPPROTO_TCP || inner->proto == IPPROTO_UDP) {
        inner->sport = nf_get16(l4);
        inner->dport = nf_get16(l4 + 2);
    } else if ((inner->proto == IPPROTO_ICMP && nf_icmp_is_echo(l4[0])) ||
               (inner->proto == IPPROTO_ICMPV6 && nf_icmpv6_is_echo(l4[0]))) {
        inner->sport = inner->dport = nf_get16(l4 + 4);
    }
}

/* ---- IPv6 ------------------------------------------------------------------------------------ */

#define HEADER         40u
#define EXTENSIONS_MAX 128u /* bytes of extension headers that are read */
#define QUOTED_MAX                                                                                           \
    56u /* of those in a packet that an error quotes: what is captured of ICMPv6 ends behind                 \
           the checksum of what follows them */

/* Extension headers from `at` on, of which those below `limit` can be read. */
struct extensions {
    uint32_t at, end, limit;
    uint16_t fragment; /* offset and flags, 0: of none */
    uint8_t proto;     /* of what lies at `at` */
};

/* One whose packet has hops to go, for which its destination is the next one of: what a checksum is of stands
 * in the header (RFC 8200, 8.1). */
static bool has_hops_left(const uint8_t *header, uint8_t proto)
{
    return proto == IPPROTO_ROUTING && header[3] != 0;
}

/*
 * Passes all headers that are whole. A fragment header is the last one that is read, so it lies right in
 * front of the place behind (RFC 7112 has all of them in the first fragment).
 */
static void skip_extensions(const struct nf_packet *p, struct extensions *e)
{
    bool last = false;

    while (!last && nf_ipv6_is_extension(e->proto) && e->at + 8 <= e->end && has_bytes(p, e->at, 8)) {
        const uint8_t *header = p->data + e->at;
        uint32_t size;

        last = e->proto == IPPROTO_FRAGMENT;
        size = last ? 8u : (header[1] + 1u) * 8;
        if (e->at + size > e->end || e->at + size > e->limit || has_hops_left(header, e->proto))
            break;
        if (last)
            e->fragment = ntohs(nf_get16(header + 2));
        e->proto = header[0];
        e->at += size;
    }
}

#define ERRORS_END 128u /* types below are errors */

/* The place of the header behind the quoted packet's, of which eight bytes are there; with its protocol. 0:
 * it is not known whose packet it is. */
static uint32_t quoted_l4(const struct nf_packet *p, uint8_t *proto)
{
    const uint8_t *ip = p->data + p->l4 + 8;
    struct extensions e = {.at = p->l4 + 8u + HEADER, .end = l4_end(p)};

    if (e.at + 8 > e.end || ip[0] >> 4 != 6)
        return 0;
    e.limit = e.at + QUOTED_MAX;
    e.proto = ip[6];
    skip_extensions(p, &e);
    *proto = e.proto;
    return e.at + 8 <= e.end && !(e.fragment & 0xfff8) && !nf_ipv6_is_extension(e.proto) ? e.at : 0;
}

/* With NF_P_ICMP_ERROR of ICMPv6. */
static void read_inner_ipv6(const struct nf_packet *p, struct nf_inner *inner)
{
    inner->l3 = (uint16_t)(p->l4 + 8);
    inner->l4 = (uint16_t)quoted_l4(p, &inner->proto);
    inner->addresses = p->data + inner->l3 + 8;
    read_inner_ports(p->data + inner->l4, inner);
}

static void parse_icmpv6(struct nf_packet *p)
{
    const uint8_t *icmp = p->data + p->l4;
    uint8_t quoted;

    if (p->l4_len < 8 || !has_bytes(p, p->l4, 8))
        return;
    p->flags |= NF_P_L4;
    p->payload = (uint16_t)(p->l4 + 8);
    p->icmp_type = icmp[0];
    p->icmp_code = icmp[1];
    if (nf_icmpv6_is_echo(icmp[0]))
        p->sport = p->dport = nf_get16(icmp + 4);
    else if (icmp[0] < ERRORS_END && quoted_l4(p, &quoted))
        p->flags |= NF_P_ICMP_ERROR;
}

bool nf_packet_is_unread_error(const struct nf_packet *p, uint8_t *proto)
{
    const uint8_t *quoted = p->data + p->l4 + 8;

    *proto = 0;
    if ((p->flags & (NF_P_L4 | NF_P_ICMP_ERROR)) != NF_P_L4)
        return false;
    if (p->flags & NF_P_IPV4) {
        if (p->proto != IPPROTO_ICMP || !is_icmp_error(p->icmp_type))
            return false;
        if (p->l4 + 8u + 20 <= l4_end(p) && quoted[0] >> 4 == 4)
            *proto = quoted[9];
        return true;
    }
    if (p->proto != IPPROTO_ICMPV6 || p->icmp_type >= ERRORS_END)
        return false;
    quoted_l4(p, proto);
    if (nf_ipv6_is_extension(*proto))
        *proto = 0;
    return true;
}

/* Behind l3, of a frame whose ethertype is IPv6. */
static void parse_ipv6(struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3;
    struct extensions e = {.at = p->l3 + HEADER};
    uint32_t length;

    if (!has_bytes(p, p->l3, HEADER) || ip[0] >> 4 != 6)
        return;
    length = ntohs(nf_get16(ip + 4));
    if (length > p->len - p->l3 - HEADER)
        return;
    e.end = e.at + length;
    e.limit = e.at + EXTENSIONS_MAX;
    e.proto = ip[6];
    skip_extensions(p, &e);
    p->proto = e.proto;
    p->l4 = p->payload = (uint16_t)e.at;
    p->l4_len = (uint16_t)(e.end - e.at);
    p->flags |= NF_P_IPV6_READ;
    p->flags |= (e.fragment & 0xfff9 ? NF_P_FRAGMENT : 0) | (e.fragment & 0xfff8 ? NF_P_LATER : 0);
    if (p->flags & NF_P_LATER)
        return;
    if (p->proto == IPPROTO_TCP)
        parse_tcp(p);
    else if (p->proto == IPPROTO_UDP)
        parse_udp(p);
    else if (p->proto == IPPROTO_ICMPV6)
        parse_icmpv6(p);
    p->flags &= (uint16_t)~NF_P_BAD; /* it has no header of L4 that can be read, and is routed all the same */
    p->bad = NF_BAD_NONE;
}

/* ---- frames ----------------------------------------------------------------------------------- */

static void parse_any(struct nf_packet *p, bool summed)
{
    p->proto = p->bad = p->tcp_flags = 0;
    memset(&p->flags, 0, offsetof(struct nf_packet, owner) - offsetof(struct nf_packet, flags));
    if (!has_bytes(p, 0, ETH_LEN)) {
        parse_bad(p, NF_BAD_SHORT);
        return;
    }
    uint32_t at = ETH_LEN;
    uint16_t type = ntohs(nf_get16(p->data + 12));
    for (unsigned tags = 0; tags < TAGS_MAX && (type == 0x8100 || type == 0x88a8); tags++) {
        p->flags |= NF_P_VLAN;
        if (!has_bytes(p, at, 4)) {
            parse_bad(p, NF_BAD_SHORT);
            return;
        }
        type = ntohs(nf_get16(p->data + at + 2));
        at += 4;
    }
    p->l3 = (uint16_t)at;
    if (type == 0x0800)
        parse_ipv4(p, summed);
    else if (type == 0x0806)
        parse_arp(p);
    else if (type == 0x86dd) {
        p->flags |= NF_P_IPV6;
        parse_ipv6(p);
    }
}

void nf_packet_parse_any(struct nf_packet *p)
{
    parse_any(p, true);
}

void nf_packet_parse_unsummed(struct nf_packet *p)
{
    nf_packet_parse(p);
    if (p->flags & NF_P_BAD && p->bad == NF_BAD_CHECKSUM)
        parse_any(p, false);
}

uint32_t nf_packet_header_bytes_any(const struct nf_packet *p)
{
    uint32_t want = HEADERS_MIN;
    if (p->flags & NF_P_BAD) /* one with a wrong sum is read on, perhaps */
        want = p->bad == NF_BAD_CHECKSUM ? p->l3 + 60u + ICMP_TAKEN : HEADERS_BAD;
    else if (p->flags & NF_P_ARP)
        want = p->have;
    else if (p->flags & NF_P_L4 && (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6))
        want = p->l4 + ICMP_TAKEN;
    else if (p->flags &
             (NF_P_IPV4 |
              NF_P_IPV6_READ)) /* eight bytes that an ICMP error quotes, where no header is known */
        want = p->flags & NF_P_L4 ? p->payload : p->l4 + 8u;
    return at_most(want > HEADERS_MIN ? want : HEADERS_MIN, p->have);
}

/* Called with NF_P_ICMP_ERROR set, so inner_l4 finds what parse found. */
void nf_packet_inner(const struct nf_packet *p, struct nf_inner *inner)
{
    memset(inner, 0, sizeof(*inner));
    if (p->flags & NF_P_ICMP_ERROR && p->flags & NF_P_IPV6_READ) {
        read_inner_ipv6(p, inner);
        return;
    }
    uint32_t l4 = p->flags & NF_P_ICMP_ERROR ? inner_l4(p) : 0;
    if (!l4)
        return;
    const uint8_t *ip = p->data + p->l4 + 8;
    inner->l3 = (uint16_t)(p->l4 + 8);
    inner->l4 = (uint16_t)l4;
    inner->proto = ip[9];
    inner->saddr = nf_get32(ip + 12);
    inner->daddr = nf_get32(ip + 16);
    read_inner_ports(p->data + l4, inner);
}

uint32_t nf_packet_l4_len(const struct nf_packet *p)
{
    uint32_t len;

    if (p->proto != NF_PROTO_UDP)
        return p->l4_len;
    len = ntohs(nf_get16(p->data + p->l4 + 4));
    if (!len && p->flags & NF_P_IPV6)
        return p->l4_len; /* as many receivers take it, from RFC 2675 */
    return len >= 8 && len <= p->l4_len ? len : 0;
}

bool nf_packet_checksum_right(const struct nf_packet *p)
{
    const uint8_t *l4 = p->data + p->l4;
    uint32_t len = nf_packet_l4_len(p);

    if (p->have < (uint32_t)p->l4 + p->l4_len)
        return true;
    if (!len)
        return false;
    if (p->flags & NF_P_IPV6)
        return nf_ipv6_checksum(nf_packet_ipv6_addresses(p), p->proto, l4, len) == 0;
    if (p->proto == NF_PROTO_UDP && nf_get16(l4 + 6) == 0)
        return true; /* none was made */
    return nf_ipv4_checksum(p->data + p->l3 + 12, p->proto, l4, len) == 0;
}

/* ---- rewriting IPv4 ------------------------------------------------------------------------------------ */

/*
 * A sum of zero in its other form. In UDP's field zero means that none was made. An ICMP message may be all
 * zeros (an echo reply), and then this form alone is right; of every other message receivers take either.
 */
static uint16_t not_zero(uint16_t sum)
{
    return sum ? sum : 0xffff;
}

/* Of TCP and UDP, after what the checksum covers has changed. */
static uint16_t l4_sum_value(uint8_t proto, uint16_t sum)
{
    return proto == IPPROTO_UDP ? not_zero(sum) : sum;
}

/* A sum of 16-bit words as one of them. */
static inline uint32_t fold_sum(uint32_t n)
{
    return (n + (n << 16 | n >> 16)) >> 16; /* the halves are added, and what that carries */
}

/* The checksum after a change: the sum of what was, complemented, and of what is now. */
static inline uint16_t add_to_sum(uint16_t sum, uint32_t change)
{
    return (uint16_t)~fold_sum((uint16_t)~sum + change);
}

/* The field that covers ports and (with a pseudo header) addresses; NULL when there is none to adjust. */
static uint8_t *l4_sum(const struct nf_packet *p)
{
    if (!(p->flags & NF_P_L4))
        return NULL;
    if (p->proto == IPPROTO_TCP)
        return p->data + p->l4 + 16;
    if (p->proto == IPPROTO_UDP && nf_get16(p->data + p->l4 + 6))
        return p->data + p->l4 + 6;
    return NULL;
}

static void set_addr(struct nf_packet *p, uint32_t at, uint32_t addr)
{
    uint8_t *ip = p->data + p->l3, *sum = l4_sum(p);
    uint32_t old = nf_get32(ip + at);
    nf_put32(ip + at, addr);
    nf_put16(ip + 10, nf_checksum_adjust32(nf_get16(ip + 10), old, addr));
    if (sum)
        nf_put16(sum, l4_sum_value(p->proto, nf_checksum_adjust32(nf_get16(sum), old, addr)));
}

void nf_packet_set_saddr(struct nf_packet *p, uint32_t addr)
{
    if (!(p->flags & NF_P_IPV4))
        return;
    set_addr(p, 12, addr);
    p->saddr = addr;
}

void nf_packet_set_daddr(struct nf_packet *p, uint32_t addr)
{
    if (!(p->flags & NF_P_IPV4))
        return;
    set_addr(p, 16, addr);
    p->daddr = addr;
}

static void set_echo_id(struct nf_packet *p, uint16_t id)
{
    uint8_t *icmp = p->data + p->l4;
    nf_put16(icmp + 2, not_zero(nf_checksum_adjust16(nf_get16(icmp + 2), nf_get16(icmp + 4), id)));
    nf_put16(icmp + 4, id);
    p->sport = p->dport = id;
}

static void set_port(struct nf_packet *p, uint32_t at, uint16_t port)
{
    uint8_t *l4 = p->data + p->l4, *sum = l4_sum(p);
    if (sum)
        nf_put16(sum, l4_sum_value(p->proto, nf_checksum_adjust16(nf_get16(sum), nf_get16(l4 + at), port)));
    nf_put16(l4 + at, port);
}

/* The port at `at` of the L4 header, noted in *noted; of an ICMP echo the identifier, which is both. */
static void rewrite_port(struct nf_packet *p, uint32_t at, uint16_t port, uint16_t *noted)
{
    if (!(p->flags & NF_P_L4))
        return;
    if (p->proto == IPPROTO_ICMP) {
        if (nf_icmp_is_echo(p->icmp_type))
            set_echo_id(p, port);
        return;
    }
    if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
        return;
    set_port(p, at, port);
    *noted = port;
}

void nf_packet_set_sport(struct nf_packet *p, uint16_t port)
{
    rewrite_port(p, 0, port, &p->sport);
}

void nf_packet_set_dport(struct nf_packet *p, uint16_t port)
{
    rewrite_port(p, 2, port, &p->dport);
}

/* Address and port of one end, at `addr_at` and `port_at` of their headers, of a packet of TCP or UDP: as one
 * change to each checksum. False: it is another packet. */
static inline __attribute__((always_inline)) bool set_end(struct nf_packet *p, uint32_t addr_at,
                                                          uint32_t port_at, uint32_t addr, uint16_t port)
{
    uint8_t *ip = p->data + p->l3, *l4 = p->data + p->l4;
    uint8_t *sum = l4 + (p->proto == IPPROTO_TCP ? 16 : 6);
    uint64_t change;
    uint32_t folded, ports;

    if ((p->flags & (NF_P_IPV4 | NF_P_L4)) != (NF_P_IPV4 | NF_P_L4) ||
        (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
        return false;
    change = (uint64_t)(uint32_t)~nf_get32(ip + addr_at) + addr;
    folded = fold_sum((uint32_t)(change >> 32) + (uint32_t)change);
    ports = (uint32_t)(uint16_t)~nf_get16(l4 + port_at) + port;
    nf_put32(ip + addr_at, addr);
    nf_put16(l4 + port_at, port);
    nf_put16(ip + 10, add_to_sum(nf_get16(ip + 10), folded));
    if (p->proto == IPPROTO_TCP)
        nf_put16(sum, add_to_sum(nf_get16(sum), folded + ports));
    else if (nf_get16(sum))
        nf_put16(sum, not_zero(add_to_sum(nf_get16(sum), folded + ports)));
    return true;
}

void nf_packet_set_source(struct nf_packet *p, uint32_t addr, uint16_t port)
{
    if (ft_unlikely(!set_end(p, 12, 0, addr, port))) {
        nf_packet_set_saddr(p, addr);
        nf_packet_set_sport(p, port);
        return;
    }
    p->saddr = addr;
    p->sport = port;
}

void nf_packet_set_destination(struct nf_packet *p, uint32_t addr, uint16_t port)
{
    if (ft_unlikely(!set_end(p, 16, 2, addr, port))) {
        nf_packet_set_daddr(p, addr);
        nf_packet_set_dport(p, port);
        return;
    }
    p->daddr = addr;
    p->dport = port;
}

void nf_packet_dec_ttl(struct nf_packet *p)
{
    uint8_t *ip = p->data + p->l3;
    if (!(p->flags & NF_P_IPV4) || ip[8] == 0)
        return;
    uint16_t old = nf_get16(ip + 8);
    ip[8]--;
    nf_put16(ip + 10, nf_checksum_adjust16(nf_get16(ip + 10), old, nf_get16(ip + 8)));
}

/* ---- the packet inside an ICMP error ----------------------------------------------------------------- */

/* Writes a word of the inner packet and adjusts the outer ICMP checksum, which covers every one of them. */
static void put_inner16(struct nf_packet *p, uint8_t *at, uint16_t v)
{
    nf_put16_summed(at, v, p->data + p->l4 + 2);
}

static void put_inner32(struct nf_packet *p, uint8_t *at, uint32_t v)
{
    uint8_t *outer = p->data + p->l4 + 2;
    nf_put16(outer, nf_checksum_adjust32(nf_get16(outer), nf_get32(at), v));
    nf_put32(at, v);
}

/* The inner L4 checksum field, NULL when it is not among the quoted bytes, or is none. */
static uint8_t *inner_sum(const struct nf_packet *p, const struct nf_inner *inner)
{
    uint8_t *l4 = p->data + inner->l4;
    uint32_t end = (uint32_t)p->l4 + p->l4_len;
    if (inner->proto == IPPROTO_UDP)
        return nf_get16(l4 + 6) ? l4 + 6 : NULL;
    if (inner->proto == IPPROTO_TCP)
        return inner->l4 + 18u <= end && inner->l4 + 18u <= p->have ? l4 + 16 : NULL;
    return NULL;
}

/* `addr_at`, `port_at`: offsets of the side's fields in the inner IPv4 and L4 headers. */
static void set_inner(struct nf_packet *p, uint32_t addr_at, uint32_t port_at, uint32_t addr, uint16_t port)
{
    struct nf_inner inner;
    if ((p->flags & (NF_P_ICMP_ERROR | NF_P_IPV4)) != (NF_P_ICMP_ERROR | NF_P_IPV4))
        return;
    nf_packet_inner(p, &inner);
    uint8_t *ip = p->data + inner.l3, *l4 = p->data + inner.l4, *sum = inner_sum(p, &inner);
    uint32_t old_addr = nf_get32(ip + addr_at);
    put_inner32(p, ip + addr_at, addr);
    put_inner16(p, ip + 10, nf_checksum_adjust32(nf_get16(ip + 10), old_addr, addr));
    if (inner.proto == IPPROTO_TCP || inner.proto == IPPROTO_UDP) {
        if (sum) {
            uint16_t now = nf_checksum_adjust32(nf_get16(sum), old_addr, addr);
            now = nf_checksum_adjust16(now, nf_get16(l4 + port_at), port);
            put_inner16(p, sum, l4_sum_value(inner.proto, now));
        }
        put_inner16(p, l4 + port_at, port);
    } else if (inner.proto == IPPROTO_ICMP && nf_icmp_is_echo(l4[0])) {
        put_inner16(p, l4 + 2, not_zero(nf_checksum_adjust16(nf_get16(l4 + 2), nf_get16(l4 + 4), port)));
        put_inner16(p, l4 + 4, port);
    }
}

void nf_packet_set_inner_src(struct nf_packet *p, uint32_t addr, uint16_t port)
{
    set_inner(p, 12, 0, addr, port);
}

void nf_packet_set_inner_dst(struct nf_packet *p, uint32_t addr, uint16_t port)
{
    set_inner(p, 16, 2, addr, port);
}

/* ---- rewriting IPv6 ------------------------------------------------------------------------------------ */

#define SOURCE      8u /* in the header */
#define DESTINATION 24u

/* Writes n bytes, an even number, and returns what that changes one's complement sums by: words that were,
 * complemented, and words that are now. */
static uint32_t put_bytes(uint8_t *at, const void *bytes, uint32_t n)
{
    const uint8_t *is = bytes;
    uint32_t change = 0;

    for (uint32_t i = 0; i < n; i += 2)
        change += (uint32_t)(uint16_t)~nf_get16(at + i) + nf_get16(is + i);
    memcpy(at, bytes, n);
    return change;
}

/* Adds to a checksum; of UDP 0 means that there is none, so its other form stands for it. */
static uint32_t put_sum(uint8_t *at, uint8_t proto, uint32_t change)
{
    uint32_t n = (uint16_t)~nf_get16(at) + (change & 0xffff) + (change >> 16);
    uint16_t sum;

    n = (n & 0xffff) + (n >> 16);
    sum = (uint16_t) ~((n >> 16) + n);
    sum = proto == IPPROTO_UDP && !sum ? 0xffff : sum;
    return put_bytes(at, &sum, sizeof(sum));
}

/* The place of the checksum in a header of L4; 0: the protocol is another one. */
static uint32_t sum_at(uint8_t proto)
{
    return proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : proto == IPPROTO_ICMPV6 ? 2 : 0;
}

static void set_end6(struct nf_packet *p, uint32_t addr_at, const uint8_t addr[16], uint16_t port)
{
    uint8_t *l4 = p->data + p->l4;
    bool source = addr_at == SOURCE;
    uint32_t change;

    if (!(p->flags & NF_P_IPV6_READ))
        return;
    change = put_bytes(p->data + p->l3 + addr_at, addr, 16);
    if (!(p->flags & NF_P_L4))
        return;
    if (nf_proto_is_ported(p->proto)) {
        change += put_bytes(l4 + (source ? 0 : 2), &port, sizeof(port));
        *(source ? &p->sport : &p->dport) = port;
    }
    if (sum_at(p->proto) && (p->proto != IPPROTO_UDP || nf_get16(l4 + 6)))
        put_sum(l4 + sum_at(p->proto), p->proto, change);
}

void nf_packet_set_source_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port)
{
    set_end6(p, SOURCE, addr, port);
}

void nf_packet_set_destination_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port)
{
    set_end6(p, DESTINATION, addr, port);
}

/* The error's own checksum covers all that is quoted, and also the quoted checksum, which may be cut off. */
static void set_inner_end(struct nf_packet *p, uint32_t addr_at, const uint8_t addr[16], uint16_t port)
{
    struct nf_inner inner;
    uint32_t change, outer, at, end = (uint32_t)p->l4 + p->l4_len;
    uint8_t *l4;

    if ((p->flags & (NF_P_ICMP_ERROR | NF_P_IPV6_READ)) != (NF_P_ICMP_ERROR | NF_P_IPV6_READ))
        return;
    nf_packet_inner(p, &inner);
    l4 = p->data + inner.l4;
    change = outer = put_bytes(p->data + inner.l3 + addr_at, addr, 16);
    if (nf_proto_is_ported(inner.proto)) {
        uint32_t ports = put_bytes(l4 + (addr_at == SOURCE ? 0 : 2), &port, sizeof(port));

        change += ports;
        outer += ports;
    }
    at = inner.l4 + sum_at(inner.proto);
    if (at > inner.l4 && at + 2 <= end && at + 2 <= p->have &&
        (inner.proto != IPPROTO_UDP || nf_get16(l4 + 6)))
        outer += put_sum(p->data + at, inner.proto, change);
    put_sum(p->data + p->l4 + 2, IPPROTO_ICMPV6, outer);
}

void nf_packet_set_inner_src_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port)
{
    set_inner_end(p, SOURCE, addr, port);
}

void nf_packet_set_inner_dst_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port)
{
    set_inner_end(p, DESTINATION, addr, port);
}

/* ---- rewriting the DSCP ---------------------------------------------------------------------- */

void nf_packet_set_dscp(struct nf_packet *p, uint8_t dscp)
{
    uint8_t *ip = p->data + p->l3;
    uint16_t was = nf_get16(ip);

    if (p->flags & NF_P_IPV4) {
        ip[1] = (uint8_t)((ip[1] & 3) | dscp << 2);
        nf_put16(ip + 10, nf_checksum_adjust16(nf_get16(ip + 10), was, nf_get16(ip)));
    } else {
        ip[0] = (uint8_t)((ip[0] & 0xf0) | dscp >> 2);
        ip[1] = (uint8_t)((ip[1] & 0x3f) | dscp << 6);
    }
}
