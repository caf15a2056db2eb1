/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the changing of frames: addresses, ports and TTL, with every checksum that covers them adjusted (RFC
 * 1624), so that the payload need not be there. Called by NFs and the chain's L3 on parsed packets; keeps the
 * parsed fields in step.
 */
#include "nflib/net/packet.h"
#include "ftcore/base/check.h"
#include "nflib/net/bytes.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

/* ---- IPv4 ------------------------------------------------------------------------------------ */

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
    uint8_t *outer = p->data + p->l4 + 2;
    nf_put16(outer, nf_checksum_adjust16(nf_get16(outer), nf_get16(at), v));
    nf_put16(at, v);
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

/* ---- IPv6 ------------------------------------------------------------------------------------ */

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
