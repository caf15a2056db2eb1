/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the changing of frames of IPv6: an end's address and port, with every checksum that covers them
 * adjusted (RFC 1624), also in a packet that an ICMPv6 error quotes. As rewrite.c, which does it for IPv4.
 */
#include "nflib/net/bytes.h"
#include "nflib/net/packet.h"

#include <netinet/in.h>
#include <string.h>

#define SOURCE      8u /* in the header */
#define DESTINATION 24u

/* What one's complement sums change by: words that were, complemented, and words that are now. */
static uint32_t change_of(const uint8_t *was, const uint8_t *is, uint32_t n)
{
    uint32_t change = 0;

    for (uint32_t i = 0; i < n; i += 2)
        change += (uint32_t)(uint16_t)~nf_get16(was + i) + nf_get16(is + i);
    return change;
}

static uint16_t add_change(uint16_t sum, uint32_t change)
{
    uint32_t n = (uint16_t)~sum + (change & 0xffff) + (change >> 16);

    n = (n & 0xffff) + (n >> 16);
    return (uint16_t) ~((n >> 16) + n);
}

/* Writes n bytes, an even number, and returns what that changes sums by. */
static uint32_t put_bytes(uint8_t *at, const void *bytes, uint32_t n)
{
    uint32_t change = change_of(at, bytes, n);

    memcpy(at, bytes, n);
    return change;
}

/* Adds to a checksum; of UDP 0 means that there is none, so its other form stands for it. */
static uint32_t put_sum(uint8_t *at, uint8_t proto, uint32_t change)
{
    uint16_t sum = add_change(nf_get16(at), change);

    sum = proto == IPPROTO_UDP && !sum ? 0xffff : sum;
    return put_bytes(at, &sum, sizeof(sum));
}

/* The place of the checksum in a header of L4; 0: the protocol is another one. */
static uint32_t sum_at(uint8_t proto)
{
    return proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : proto == IPPROTO_ICMPV6 ? 2 : 0;
}

static void set_end(struct nf_packet *p, uint32_t addr_at, const uint8_t addr[16], uint16_t port)
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
    set_end(p, SOURCE, addr, port);
}

void nf_packet_set_destination_ipv6(struct nf_packet *p, const uint8_t addr[16], uint16_t port)
{
    set_end(p, DESTINATION, addr, port);
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
