/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of a packet in the other family (RFC 7915), with checksums that follow the changes (RFC 1624),
 * so that the payload need not be there. What comes behind the header of L4 stays where it is; what is in
 * front of it is written anew, and the frame's beginning moves. No state.
 */
#include "nfs/nat/nat64_table.h"


#define IPV4          20u
#define IPV6          40u
#define FRAGMENT      8u /* bytes of the extension header */
#define FRAGMENT_NEXT 44u
#define ROUTING       43u
#define DO_NOT        0x4000u /* fragment */
#define MORE          0x2000u
#define OFFSET        0x1fffu
#define LOOSE_ROUTE   131u /* options of IPv4 */
#define STRICT_ROUTE  137u

/* ---- sums, of words as they lie in memory ------------------------------------------------------- */

uint32_t nat64_sum(const void *bytes, uint32_t n)
{
    const uint8_t *at = bytes;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < n; i += 2)
        sum += nf_get16(at + i);
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint16_t nat64_adjust(uint16_t checksum, uint32_t was, uint32_t is)
{
    return (uint16_t)~fold((uint32_t)(uint16_t)~checksum + (uint16_t)~fold(was) + fold(is));
}

uint32_t nat64_pseudo(const struct nf_addresses *addresses, uint32_t n)
{
    return nat64_sum(addresses, sizeof(*addresses)) + htons((uint16_t)n) + htons(NF_PROTO_ICMPV6);
}

/* Zero says of UDP that there is none, and of an echo that is all zeros it would be wrong. */
static uint16_t not_zero(uint16_t sum)
{
    return sum ? sum : 0xffff;
}

static uint8_t echo_in_other_family(uint8_t type)
{
    return type == NF_ICMP_ECHO_REQUEST     ? NF_ICMPV6_ECHO_REQUEST
           : type == NF_ICMP_ECHO_REPLY     ? NF_ICMPV6_ECHO_REPLY
           : type == NF_ICMPV6_ECHO_REQUEST ? NF_ICMP_ECHO_REQUEST
                                            : NF_ICMP_ECHO_REPLY;
}

void nat64_put_l4(uint8_t *l4, uint32_t n, uint8_t proto, uint32_t port_at, uint16_t port,
                  const struct nat64_change *change)
{
    uint32_t sum_at = proto == NF_PROTO_TCP ? 16 : proto == NF_PROTO_UDP ? 6 : 2;
    uint32_t was = change->was, is = change->is;
    bool echo = sum_at == 2;
    uint16_t sum;

    was += nat64_sum(l4 + (echo ? 4 : port_at), 2) + (echo ? nf_get16(l4) : 0u);
    nf_put16(l4 + (echo ? 4 : port_at), port);
    if (echo)
        l4[0] = echo_in_other_family(l4[0]);
    is += port + (echo ? nf_get16(l4) : 0u);
    if (n < sum_at + 2 || (proto == NF_PROTO_UDP && !nf_get16(l4 + sum_at)))
        return;
    sum = nat64_adjust(nf_get16(l4 + sum_at), was, is);
    nf_put16(l4 + sum_at, proto == NF_PROTO_TCP ? sum : not_zero(sum));
}

/* ---- headers ------------------------------------------------------------------------------------ */

void nat64_write_ipv4(uint8_t *ip, const struct nat64_header *h, uint32_t saddr, uint32_t daddr)
{
    ip[0] = 0x45;
    ip[1] = h->class;
    nf_put16(ip + 2, htons((uint16_t)(IPV4 + h->n)));
    nf_put16(ip + 4, htons(h->id));
    nf_put16(ip + 6, htons(h->frag));
    ip[8] = h->limit;
    ip[9] = h->proto;
    nf_put16(ip + 10, 0);
    nf_put32(ip + 12, saddr);
    nf_put32(ip + 16, daddr);
    nf_put16(ip + 10, nf_checksum(ip, IPV4));
}

void nat64_write_ipv6(uint8_t *ip, const struct nat64_header *h, const struct nf_addresses *addresses)
{
    nf_put32(ip, htonl(6u << 28 | (uint32_t)h->class << 20));
    nf_put16(ip + 4, htons((uint16_t)h->n));
    ip[6] = h->proto;
    ip[7] = h->limit;
    memcpy(ip + 8, addresses, sizeof(*addresses));
}

uint8_t *nat64_move_head(struct nf_packet *p, uint32_t end, bool ipv6)
{
    int32_t moved = (int32_t)end - (ipv6 ? (int32_t)IPV6 : (int32_t)IPV4) - p->l3;

    memmove(p->data + moved, p->data, p->l3);
    p->data += moved;
    p->len -= (uint32_t)moved;
    p->have -= (uint32_t)moved;
    nf_put16(p->data + p->l3 - 2, htons(ipv6 ? 0x86dd : 0x0800));
    return p->data + p->l3;
}

void nat64_parse(struct nf_packet *p)
{
    uint8_t flow = p->flow;

    nf_packet_parse(p);
    p->parsed = 0;
    p->flow = flow & (uint8_t)~NF_FLOW_SETTLED; /* which is said of IPv4 alone, as it came in */
}

/* ---- to IPv4 ------------------------------------------------------------------------------------- */

void nat64_read_fragment(const uint8_t *ip, uint32_t l4, struct nat64_header *h)
{
    const uint8_t *at = ip + IPV6;
    uint16_t field;

    for (uint8_t next = ip[6]; at < ip + l4; next = at[0], at += (at[1] + 1u) * 8)
        if (next == FRAGMENT_NEXT) {
            field = ntohs(nf_get16(at + 2));
            h->frag = (uint16_t)(field >> 3 | (field & 1 ? MORE : 0));
            h->id = ntohs(nf_get16(at + 6));
            return;
        }
    h->frag = nat64_may_fragment(IPV4 + h->n) ? 0 : DO_NOT;
}

static bool ipv4_is_routed(const struct nf_packet *p)
{
    const uint8_t *end = p->data + p->l4;

    if (!(p->flags & NF_P_OPTIONS))
        return false;
    for (const uint8_t *at = p->data + p->l3 + IPV4; at < end && *at;) {
        uint32_t bytes = *at == 1 ? 1 : end - at > 2 ? at[1] : 0u;

        if (!bytes || (bytes == 1 && *at != 1) || bytes > (uint32_t)(end - at))
            return true; /* what cannot be read may be one */
        if ((*at == LOOSE_ROUTE || *at == STRICT_ROUTE) && at[2] <= bytes)
            return true;
        at += bytes;
    }
    return false;
}

bool nat64_is_source_routed(const struct nf_packet *p)
{
    return p->flags & NF_P_IPV4 ? ipv4_is_routed(p)
                                : p->proto == ROUTING; /* with hops to go it is not read */
}

static void read_ipv6(const struct nf_packet *p, struct nat64_header *h)
{
    const uint8_t *ip = p->data + p->l3;

    h->class = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
    h->limit = ip[7];
    h->proto = p->proto == NF_PROTO_ICMPV6 ? NF_PROTO_ICMP : p->proto;
    h->n = p->l4_len;
    nat64_read_fragment(ip, p->l4 - p->l3, h);
}

void nat64_to_ipv4(struct nf_packet *p, const struct nat64_ends4 *ends, uint16_t id)
{
    struct nat64_header h = {.id = id};
    struct nat64_change change = {.is = 0};
    struct nf_addresses was;

    read_ipv6(p, &h);
    memcpy(&was, nf_packet_ipv6_addresses(p), sizeof(was));
    if (p->proto == NF_PROTO_ICMPV6) {
        change.was = nat64_pseudo(&was, p->l4_len);
    } else {
        change.was = nat64_sum(&was, sizeof(was));
        change.is = nat64_sum(&ends->saddr, 4) + nat64_sum(&ends->daddr, 4);
    }
    if (p->flags & NF_P_L4)
        nat64_put_l4(p->data + p->l4, p->l4_len, p->proto, 0, ends->port, &change);
    nat64_write_ipv4(nat64_move_head(p, p->l4, false), &h, ends->saddr, ends->daddr);
    nat64_parse(p);
}

/* ---- to IPv6 ------------------------------------------------------------------------------------- */

bool nat64_to_ipv6(struct nf_packet *p, const struct nat64_ends6 *ends)
{
    const uint8_t *ip = p->data + p->l3;
    uint16_t frag = ntohs(nf_get16(ip + 6)) & (MORE | OFFSET), id = nf_get16(ip + 4);
    uint32_t extension = frag ? FRAGMENT : 0;
    struct nat64_header h = {.class = ip[1],
                             .limit = ip[8],
                             .proto = p->proto == NF_PROTO_ICMP ? NF_PROTO_ICMPV6 : p->proto,
                             .n = p->l4_len + extension};
    struct nat64_change change = {.is = nat64_sum(&ends->addresses, sizeof(ends->addresses))};
    uint8_t *at, proto = h.proto;

    if (p->len + IPV6 + extension - (p->l4 - p->l3) > NF_FRAME_MAX)
        return false;
    if (proto == NF_PROTO_ICMPV6)
        change.is = nat64_pseudo(&ends->addresses, p->l4_len);
    else
        change.was = nat64_sum(ip + 12, 8);
    if (p->flags & NF_P_L4)
        nat64_put_l4(p->data + p->l4, p->l4_len, p->proto, 2, ends->port, &change);
    at = nat64_move_head(p, p->l4 - extension, true);
    h.proto = frag ? FRAGMENT_NEXT : proto;
    nat64_write_ipv6(at, &h, &ends->addresses);
    if (frag) {
        at[IPV6] = proto;
        at[IPV6 + 1] = 0;
        nf_put16(at + IPV6 + 2, htons((uint16_t)((frag & OFFSET) << 3 | (frag & MORE ? 1 : 0))));
        nf_put16(at + IPV6 + 4, 0);
        nf_put16(at + IPV6 + 6, id);
    }
    nat64_parse(p);
    return true;
}
