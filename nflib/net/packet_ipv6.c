/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the reading of IPv6: its header, extension headers in front of the upper layer's (RFC 8200, 4), and
 * ICMPv6. As in packet.c, what is found depends on nothing but the frame's length and its first
 * nf_packet_header_bytes(): what cannot be read ends the headers there, with its number in `proto`.
 */
#include "nflib/net/bytes.h"
#include "nflib/net/ipv6.h"
#include "nflib/net/parts.h"

#include <arpa/inet.h>
#include <netinet/in.h>

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

    while (!last && nf_ipv6_is_extension(e->proto) && e->at + 8 <= e->end && nf_has_bytes(p, e->at, 8)) {
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
    struct extensions e = {.at = p->l4 + 8u + HEADER, .end = nf_l4_end(p)};

    if (e.at + 8 > e.end || ip[0] >> 4 != 6)
        return 0;
    e.limit = e.at + QUOTED_MAX;
    e.proto = ip[6];
    skip_extensions(p, &e);
    *proto = e.proto;
    return e.at + 8 <= e.end && !(e.fragment & 0xfff8) && nf_proto_has_ports_ipv6(e.proto) ? e.at : 0;
}

void nf_read_inner_ipv6(const struct nf_packet *p, struct nf_inner *inner)
{
    inner->l3 = (uint16_t)(p->l4 + 8);
    inner->l4 = (uint16_t)quoted_l4(p, &inner->proto);
    inner->addresses = p->data + inner->l3 + 8;
    nf_read_inner_ports(p->data + inner->l4, inner);
}

static void parse_icmpv6(struct nf_packet *p)
{
    const uint8_t *icmp = p->data + p->l4;
    uint8_t quoted;

    if (p->l4_len < 8 || !nf_has_bytes(p, p->l4, 8))
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

void nf_parse_ipv6(struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3;
    struct extensions e = {.at = p->l3 + HEADER};
    uint32_t length;

    if (!nf_has_bytes(p, p->l3, HEADER) || ip[0] >> 4 != 6)
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
        nf_parse_tcp(p);
    else if (p->proto == IPPROTO_UDP)
        nf_parse_udp(p);
    else if (p->proto == IPPROTO_ICMPV6)
        parse_icmpv6(p);
    p->flags &= (uint16_t)~NF_P_BAD; /* it has no header of L4 that can be read, and is routed all the same */
    p->bad = NF_BAD_NONE;
}
