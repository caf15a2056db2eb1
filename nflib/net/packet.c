/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the reading of frames: where headers are, and what is wrong with them. Run by the lane on every
 * packet; what it finds is read by the chain.
 *
 * A replay has only the captured bytes, so what is found must depend on nothing but the frame's length and
 * its first nf_packet_header_bytes(). Every read below lies within those: at most two tags, 60 bytes of IPv4
 * header, 60 of TCP, and for ICMP 8 + 60 + 20 bytes; IPv6 is in packet_ipv6.c. Checks of lengths go by the
 * wire's length, and reads ask for `have` as well.
 */
#include "nflib/net/packet.h"
#include "ftcore/base/check.h"
#include "nflib/net/bytes.h"
#include "nflib/net/parts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

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
    uint32_t l3 = p->l4 + 8u, end = nf_l4_end(p);
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
    if (p->l4_len < 8 || !nf_has_bytes(p, p->l4, 8)) {
        nf_parse_bad(p, NF_BAD_SHORT);
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

void nf_parse_udp(struct nf_packet *p)
{
    const uint8_t *udp = p->data + p->l4;
    if (p->l4_len < 8 || !nf_has_bytes(p, p->l4, 8)) {
        nf_parse_bad(p, NF_BAD_SHORT);
        return;
    }
    uint16_t length = ntohs(nf_get16(udp + 4));
    if (length < 8 || (length > p->l4_len && !(p->flags & NF_P_FRAGMENT))) {
        nf_parse_bad(p, NF_BAD_LENGTH);
        return;
    }
    p->flags |= NF_P_L4;
    p->payload = (uint16_t)(p->l4 + 8);
    p->sport = nf_get16(udp);
    p->dport = nf_get16(udp + 2);
}

void nf_parse_tcp(struct nf_packet *p)
{
    const uint8_t *tcp = p->data + p->l4;
    if (p->l4_len < 20 || !nf_has_bytes(p, p->l4, 20)) {
        nf_parse_bad(p, NF_BAD_SHORT);
        return;
    }
    uint32_t header = (tcp[12] >> 4) * 4u;
    if (header < 20 || header > p->l4_len) {
        nf_parse_bad(p, NF_BAD_TCP);
        return;
    }
    if (!nf_has_bytes(p, p->l4, header)) {
        nf_parse_bad(p, NF_BAD_SHORT);
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
    if (!nf_has_bytes(p, p->l3, 20))
        return NF_BAD_SHORT;
    *header = (ip[0] & 15u) * 4;
    if (ip[0] >> 4 != 4 || *header < 20)
        return NF_BAD_VERSION;
    uint32_t total = ntohs(nf_get16(ip + 2));
    if (total < *header || total > p->len - p->l3)
        return NF_BAD_LENGTH;
    if (!nf_has_bytes(p, p->l3, *header))
        return NF_BAD_SHORT;
    return summed && nf_checksum(ip, *header) ? NF_BAD_CHECKSUM : NF_BAD_NONE;
}

static void parse_ipv4(struct nf_packet *p, bool summed)
{
    const uint8_t *ip = p->data + p->l3;
    uint32_t header = 0;
    enum nf_bad how = check_ipv4(p, summed, &header);
    if (how) {
        nf_parse_bad(p, how);
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
        nf_parse_tcp(p);
    else if (p->proto == IPPROTO_UDP)
        nf_parse_udp(p);
    else if (p->proto == IPPROTO_ICMP)
        parse_icmp(p);
}

static void parse_arp(struct nf_packet *p)
{
    static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};
    if (!nf_has_bytes(p, p->l3, ARP_LEN))
        nf_parse_bad(p, NF_BAD_SHORT);
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

static void parse_any(struct nf_packet *p, bool summed)
{
    p->proto = p->bad = p->tcp_flags = 0;
    memset(&p->flags, 0, offsetof(struct nf_packet, owner) - offsetof(struct nf_packet, flags));
    if (!nf_has_bytes(p, 0, ETH_LEN)) {
        nf_parse_bad(p, NF_BAD_SHORT);
        return;
    }
    uint32_t at = ETH_LEN;
    uint16_t type = ntohs(nf_get16(p->data + 12));
    for (unsigned tags = 0; tags < TAGS_MAX && (type == 0x8100 || type == 0x88a8); tags++) {
        p->flags |= NF_P_VLAN;
        if (!nf_has_bytes(p, at, 4)) {
            nf_parse_bad(p, NF_BAD_SHORT);
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
        nf_parse_ipv6(p);
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
    return nf_at_most(want > HEADERS_MIN ? want : HEADERS_MIN, p->have);
}

void nf_read_inner_ports(const uint8_t *l4, struct nf_inner *inner)
{
    if (inner->proto == IPPROTO_TCP || inner->proto == IPPROTO_UDP) {
        inner->sport = nf_get16(l4);
        inner->dport = nf_get16(l4 + 2);
    } else if ((inner->proto == IPPROTO_ICMP && nf_icmp_is_echo(l4[0])) ||
               (inner->proto == IPPROTO_ICMPV6 && nf_icmpv6_is_echo(l4[0]))) {
        inner->sport = inner->dport = nf_get16(l4 + 4);
    }
}

/* Called with NF_P_ICMP_ERROR set, so inner_l4 finds what parse found. */
void nf_packet_inner(const struct nf_packet *p, struct nf_inner *inner)
{
    memset(inner, 0, sizeof(*inner));
    if (p->flags & NF_P_ICMP_ERROR && p->flags & NF_P_IPV6_READ) {
        nf_read_inner_ipv6(p, inner);
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
    nf_read_inner_ports(p->data + l4, inner);
}
