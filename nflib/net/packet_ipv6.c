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

/*
 * From `at` on to the header behind the last extension header that is whole; its place, with `proto`. A
 * fragment header is the last one that is read, so it lies right in front of that place (RFC 7112 has all of
 * them in the first fragment).
 */
static uint32_t skip_extensions(struct nf_packet *p, uint32_t at, uint32_t end, uint16_t *fragment)
{
    uint32_t limit = at + EXTENSIONS_MAX, size;

    while (nf_ipv6_is_extension(p->proto) && at + 8 <= end && nf_has_bytes(p, at, 8)) {
        const uint8_t *header = p->data + at;
        bool last = p->proto == IPPROTO_FRAGMENT;

        size = last ? 8u : (header[1] + 1u) * 8;
        if (at + size > end || at + size > limit)
            break;
        if (last)
            *fragment = ntohs(nf_get16(header + 2));
        p->proto = header[0];
        at += size;
        if (last)
            break;
    }
    return at;
}

#define ERRORS_END 128u /* types below are errors */

/* An error quotes a packet, of which the header and eight bytes behind it are read; with an extension header
 * it is not known whose it is. */
static bool quotes_packet(const struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l4 + 8;

    return p->icmp_type < ERRORS_END && p->l4 + 8u + HEADER + 8 <= nf_l4_end(p) && ip[0] >> 4 == 6 &&
           (ip[6] == IPPROTO_TCP || ip[6] == IPPROTO_UDP || ip[6] == IPPROTO_ICMPV6);
}

void nf_read_inner_ipv6(const struct nf_packet *p, struct nf_inner *inner)
{
    const uint8_t *ip = p->data + p->l4 + 8;

    inner->l3 = (uint16_t)(p->l4 + 8);
    inner->l4 = (uint16_t)(inner->l3 + HEADER);
    inner->proto = ip[6];
    inner->addresses = ip + 8;
    nf_read_inner_ports(ip + HEADER, inner);
}

static void parse_icmpv6(struct nf_packet *p)
{
    const uint8_t *icmp = p->data + p->l4;

    if (p->l4_len < 8 || !nf_has_bytes(p, p->l4, 8))
        return;
    p->flags |= NF_P_L4;
    p->payload = (uint16_t)(p->l4 + 8);
    p->icmp_type = icmp[0];
    p->icmp_code = icmp[1];
    if (nf_icmpv6_is_echo(icmp[0]))
        p->sport = p->dport = nf_get16(icmp + 4);
    else if (quotes_packet(p))
        p->flags |= NF_P_ICMP_ERROR;
}

void nf_parse_ipv6(struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3;
    uint32_t length, end;
    uint16_t fragment = 0;

    if (!nf_has_bytes(p, p->l3, HEADER) || ip[0] >> 4 != 6)
        return;
    length = ntohs(nf_get16(ip + 4));
    if (length > p->len - p->l3 - HEADER)
        return;
    end = p->l3 + HEADER + length;
    p->proto = ip[6];
    p->l4 = p->payload = (uint16_t)skip_extensions(p, p->l3 + HEADER, end, &fragment);
    p->l4_len = (uint16_t)(end - p->l4);
    p->flags |= NF_P_IPV6_READ;
    p->flags |= (fragment & 0xfff9 ? NF_P_FRAGMENT : 0) | (fragment & 0xfff8 ? NF_P_LATER : 0);
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
