/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of a packet in the other family (RFC 7915), with checksums that follow the changes (RFC 1624),
 * so that the payload need not be there. What comes behind the header of L4 stays where it is; what is in
 * front of it is written anew, and the frame's beginning moves. ICMP errors, with the packet that they quote,
 * as well. No state.
 */
#include "nfs/nat/nat64_headers.h"

#include <arpa/inet.h>

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
#define ICMP          8u
#define NONE          0xffu /* has no other form */
#define LONGEST6      1280u /* an error of ICMPv6 (RFC 4443, 2.4) */
#define LONGEST4      576u  /* one of ICMP (RFC 1812, 4.3.2.3) */

/* Headers of a packet of n bytes behind it; `frag`: flags and offset. */
struct nat64_header {
    uint8_t class, limit, proto; /* proto: as in the header that is written */
    uint16_t id, frag;
    uint32_t n;
};
/* The words of a pseudo header that were and are. */
struct nat64_change {
    uint32_t was, is;
};

/* ---- sums, of words as they lie in memory ------------------------------------------------------- */

/* The sum of n bytes, an even number. */
static uint32_t nat64_sum(const void *bytes, uint32_t n)
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

/* The checksum after a part of what it covers has another sum. */
static uint16_t nat64_adjust(uint16_t checksum, uint32_t was, uint32_t is)
{
    return (uint16_t)~fold((uint32_t)(uint16_t)~checksum + (uint16_t)~fold(was) + fold(is));
}

/* Of the words of the pseudo header that ICMPv6 has (RFC 8200, 8.1), and ICMP has not. */
static uint32_t nat64_pseudo(const struct nf_addresses *addresses, uint32_t n)
{
    return nat64_sum(addresses, sizeof(*addresses)) + htons((uint16_t)n) + htons(NF_PROTO_ICMPV6);
}

/* Zero means for UDP that there is no checksum, and for an echo that is all zeros it would be wrong. */
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

/* Ports and checksum at l4, or type, identifier and checksum of an echo, of n bytes there, with `change` as
 * the words of the pseudo header that were and are. `port_at`: 0 or 2. */
static void nat64_put_l4(uint8_t *l4, uint32_t n, uint8_t proto, uint32_t port_at, uint16_t port,
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

static void nat64_write_ipv4(uint8_t *ip, const struct nat64_header *h, uint32_t saddr, uint32_t daddr)
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

static void nat64_write_ipv6(uint8_t *ip, const struct nat64_header *h, const struct nf_addresses *addresses)
{
    nf_put32(ip, htonl(6u << 28 | (uint32_t)h->class << 20));
    nf_put16(ip + 4, htons((uint16_t)h->n));
    ip[6] = h->proto;
    ip[7] = h->limit;
    memcpy(ip + 8, addresses, sizeof(*addresses));
}

/* Moves the head of the frame, which is l3 bytes long, so that a header of IPv6, or of IPv4, has room behind
 * it and ends at `end` in the frame; where it begins. */
static uint8_t *nat64_move_head(struct nf_packet *p, uint32_t end, bool ipv6)
{
    int32_t moved = (int32_t)end - (ipv6 ? (int32_t)IPV6 : (int32_t)IPV4) - p->l3;

    memmove(p->data + moved, p->data, p->l3);
    p->data += moved;
    p->len -= (uint32_t)moved;
    p->have -= (uint32_t)moved;
    nf_put16(p->data + p->l3 - 2, htons(ipv6 ? 0x86dd : 0x0800));
    return p->data + p->l3;
}

static void nat64_parse(struct nf_packet *p)
{
    uint8_t flow = p->flow;

    nf_packet_parse(p);
    p->parsed = 0;
    p->flow = flow & (uint8_t)~NF_FLOW_SETTLED; /* which holds for IPv4 alone, as it came in */
}

/* ---- to IPv4 ------------------------------------------------------------------------------------- */

/* `frag` and `id` of a header, from the fragment header of a packet of IPv6, whose upper layer's header is
 * `l4` bytes behind `ip`; of one without, by its `n`. */
static void nat64_read_fragment(const uint8_t *ip, uint32_t l4, struct nat64_header *h)
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

void nat64_to_ipv4(struct nf_packet *p, const struct nat64_ends4 *ends, uint16_t id)
{
    const uint8_t *ip = p->data + p->l3;
    struct nat64_header h = {.class = (uint8_t)(ip[0] << 4 | ip[1] >> 4),
                             .limit = ip[7],
                             .proto = p->proto == NF_PROTO_ICMPV6 ? NF_PROTO_ICMP : p->proto,
                             .id = id,
                             .n = p->l4_len};
    struct nat64_change change = {.is = 0};
    struct nf_addresses was;

    nat64_read_fragment(ip, p->l4 - p->l3, &h);
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

/* ---- ICMP errors in the other family ------------------------------------------------------------------- */

/* RFC 7915, 4.2 to 4.5 and 5.2 to 5.5, with the packet that they quote, which is a flow's as it left. */

/* What an error is in the other family. */
struct form {
    uint8_t type, code;
    uint32_t rest; /* the second word of the message, host order */
};

/* ---- their types --------------------------------------------------------------------------------------- */

/* Of ICMP: of "unreachable", by code; ICMPv6's "parameter problem" is the caller's. */
static const uint8_t unreachable6[16] = {0, 0, NONE, 4, NONE, 0, 0, 0, 0, 1, 1, 0, 0, 1, NONE, 1};
static const uint8_t unreachable4[5] = {1, 10, 1, 1, 3};
/* Places in a header of IPv4, and in one of IPv6. */
static const uint8_t pointer6[20] = {0,    1,    4, 4, NONE, NONE, NONE, NONE, 7,  6,
                                     NONE, NONE, 8, 8, 8,    8,    24,   24,   24, 24};

static uint8_t pointer4(uint32_t at)
{
    static const uint8_t first[8] = {0, 1, NONE, NONE, 2, 2, 9, 8};

    return at < 8 ? first[at] : at < 24 ? 12 : at < 40 ? 16 : NONE;
}

/* False: it has none. */
static bool form_ipv6(const uint8_t *icmp, struct form *f)
{
    uint32_t mtu = ntohs(nf_get16(icmp + 6)) + (IPV6 - IPV4);

    *f = (struct form){.type = 1};
    switch (icmp[0]) {
    case 3:
        if (icmp[1] == 2) /* protocol: the header's field that names it */
            *f = (struct form){.type = 4, .code = 1, .rest = 6};
        else if (icmp[1] == 4)
            *f = (struct form){.type = 2, .rest = mtu > NF_MTU_LEAST_IPV6 ? mtu : NF_MTU_LEAST_IPV6};
        else
            f->code = icmp[1] < 16 ? unreachable6[icmp[1]] : NONE;
        return f->code != NONE;
    case 11:
        *f = (struct form){.type = 3, .code = icmp[1]};
        return icmp[1] < 2;
    case 12:
        *f = (struct form){.type = 4, .rest = icmp[4] < 20 ? pointer6[icmp[4]] : NONE};
        return (icmp[1] == 0 || icmp[1] == 2) && f->rest != NONE;
    default:
        return false;
    }
}

static bool form_ipv4(const uint8_t *icmp, struct form *f)
{
    uint32_t word = ntohl(nf_get32(icmp + 4));

    *f = (struct form){.type = 3};
    switch (icmp[0]) {
    case 1:
        f->code = icmp[1] < 5 ? unreachable4[icmp[1]] : NONE;
        return f->code != NONE;
    case 2:
        *f = (struct form){.type = 3, .code = 4, .rest = word > 0xffff ? 0xffff : word};
        f->rest -= f->rest < IPV6 - IPV4 ? f->rest : IPV6 - IPV4;
        return true;
    case 3:
        *f = (struct form){.type = 11, .code = icmp[1]};
        return icmp[1] < 2;
    case 4:
        if (icmp[1] == 1)
            f->code = 2;
        else
            *f = (struct form){.type = 12, .rest = (uint32_t)pointer4(word) << 24};
        return icmp[1] == 1 || (icmp[1] == 0 && pointer4(word) != NONE);
    default:
        return false;
    }
}

bool nat64_error_has_form(const struct nf_packet *p)
{
    struct form form;

    return p->flags & NF_P_IPV4 ? form_ipv6(p->data + p->l4, &form) : form_ipv4(p->data + p->l4, &form);
}

/* ---- the message --------------------------------------------------------------------------------- */

/* Bytes of the quoted L4 header that may change. */
static uint32_t changed_bytes(const struct nf_packet *p, const struct nf_inner *in)
{
    uint32_t end = (uint32_t)p->l4 + p->l4_len;

    return in->proto == NF_PROTO_TCP && in->l4 + 18u <= end && in->l4 + 18u <= p->have ? 18 : 8;
}

/* What lies in front of the quoted header of L4 and in it, but for the checksum of the error. */
static uint32_t sum_of(const uint8_t *icmp, const uint8_t *l4, uint32_t n)
{
    return nf_get16(icmp) + nat64_sum(icmp + 4, (uint32_t)(l4 - icmp) - 4) + nat64_sum(l4, n);
}

/* Does an extension follow what the error quotes (RFC 4884)? Then the error has the length of the quote. */
static bool is_extended(const struct nf_packet *p)
{
    const uint8_t *icmp = p->data + p->l4;

    return p->flags & NF_P_IPV4 ? icmp[5] != 0 : (icmp[0] == 1 || icmp[0] == 3) && icmp[4] != 0;
}

/* An error that would be longer than `longest` in the other family, with `headers` in front of the quoted
 * header of L4, is cut behind the `n` bytes of that header which are changed: what is behind them is not
 * known in replay, and the sum of what is left has to be. An error with an extension is cut as well, since
 * the length of its quote could not be given any more. Returns how many bytes are quoted from that header
 * on. */
static uint32_t cut_quoted(struct nf_packet *p, const struct nf_inner *in, uint32_t headers, uint32_t longest,
                           uint32_t n)
{
    uint32_t rest = (uint32_t)p->l4 + p->l4_len - in->l4;

    if (headers + rest <= longest && !is_extended(p))
        return rest;
    p->len = in->l4 + n;
    p->have = p->have < p->len ? p->have : p->len;
    return n;
}

/* The checksum: of all bytes, which are there where some were cut off, or as it was for the others. */
static void put_sum(uint8_t *icmp, const uint8_t *l4, uint32_t n, bool cut, uint32_t was, uint32_t pseudo)
{
    uint32_t is = sum_of(icmp, l4, n) + pseudo;

    nf_put16(icmp + 2, cut ? nat64_adjust(0xffff, 0, is) : nat64_adjust(nf_get16(icmp + 2), was, is));
}

static void put_form(uint8_t *icmp, const struct form *f)
{
    icmp[0] = f->type;
    icmp[1] = f->code;
    nf_put32(icmp + 4, htonl(f->rest));
}

/* The message in front of the quoted header of L4: `quoted` bytes of a header, eight of ICMP. */
void nat64_error_to_ipv6(struct nf_packet *p, const struct nf_inner *in, const uint8_t prefix[NAT64_PREFIX],
                         const struct nf_addresses *client, uint16_t port)
{
    const uint8_t *ip = p->data + p->l3, *quoted = p->data + in->l3;
    uint32_t n = changed_bytes(p, in), whole = (uint32_t)p->l4 + p->l4_len - in->l4;
    uint32_t rest = cut_quoted(p, in, IPV6 + ICMP + IPV6, LONGEST6, n);
    uint8_t *icmp = p->data + p->l4, *l4 = p->data + in->l4;
    uint32_t was = sum_of(icmp, l4, n);
    uint16_t sum = nf_get16(icmp + 2), total = ntohs(nf_get16(quoted + 2));
    struct nat64_header outer = {
        .class = ip[1], .limit = ip[8], .proto = NF_PROTO_ICMPV6, .n = ICMP + IPV6 + rest};
    struct nat64_header inner = {.class = quoted[1], .limit = quoted[8], .proto = in->proto};
    struct nf_addresses ends, quoted_ends = *client;
    struct nat64_change change = {.is = 0};
    struct form form;

    form_ipv6(icmp, &form);
    inner.n = total > in->l4 - in->l3 ? total - ((uint32_t)in->l4 - in->l3) : 0u;
    memcpy(ends.destination, client->source, 16);
    nat64_embed(prefix, p->saddr, ends.source);
    nat64_embed(prefix, in->daddr, quoted_ends.destination);
    if (in->proto == NF_PROTO_ICMP) {
        inner.proto = NF_PROTO_ICMPV6;
        change.is = nat64_pseudo(&quoted_ends, inner.n);
    } else {
        change.was = nat64_sum(quoted + 12, 8);
        change.is = nat64_sum(&quoted_ends, sizeof(quoted_ends));
    }
    nat64_put_l4(l4, n, in->proto, 0, port, &change);
    icmp = nat64_move_head(p, in->l4 - IPV6 - ICMP, true) + IPV6;
    nat64_write_ipv6(icmp - IPV6, &outer, &ends);
    put_form(icmp, &form);
    nat64_write_ipv6(icmp + ICMP, &inner, &quoted_ends);
    nf_put16(icmp + 2, sum);
    put_sum(icmp, l4, n, rest != whole, was, nat64_pseudo(&ends, outer.n));
    nat64_parse(p);
}

void nat64_error_to_ipv4(struct nf_packet *p, const struct nf_inner *in, uint32_t outside, uint16_t port,
                         uint16_t id)
{
    const uint8_t *ip = p->data + p->l3, *quoted = p->data + in->l3;
    uint32_t n = changed_bytes(p, in), whole = (uint32_t)p->l4 + p->l4_len - in->l4;
    uint32_t rest = cut_quoted(p, in, IPV4 + ICMP + IPV4, LONGEST4, n);
    uint8_t *icmp = p->data + p->l4, *l4 = p->data + in->l4;
    uint32_t was = sum_of(icmp, l4, n) + nat64_pseudo((const struct nf_addresses *)(ip + 8), p->l4_len);
    uint32_t length = ntohs(nf_get16(quoted + 4)), extensions = (uint32_t)in->l4 - in->l3 - IPV6;
    uint32_t to = nat64_embedded(ip + 24), from[2] = {nat64_embedded(quoted + 8), outside};
    uint16_t sum = nf_get16(icmp + 2);
    struct nat64_header outer = {.class = (uint8_t)(ip[0] << 4 | ip[1] >> 4),
                                 .limit = ip[7],
                                 .proto = NF_PROTO_ICMP,
                                 .id = id, /* LONGEST4 bytes at most may be fragmented on their way */
                                 .n = ICMP + IPV4 + rest};
    struct nat64_header inner = {
        .class = (uint8_t)(quoted[0] << 4 | quoted[1] >> 4), .limit = quoted[7], .proto = in->proto};
    struct nat64_change change = {.is = 0};
    struct form form;

    form_ipv4(icmp, &form);
    inner.n = length > extensions ? length - extensions : 0;
    nat64_read_fragment(quoted, (uint32_t)in->l4 - in->l3, &inner);
    if (in->proto == NF_PROTO_ICMPV6) {
        inner.proto = NF_PROTO_ICMP;
        change.was = nat64_pseudo((const struct nf_addresses *)(quoted + 8), inner.n);
    } else {
        change.was = nat64_sum(quoted + 8, 32);
        change.is = nat64_sum(from, sizeof(from));
    }
    nat64_put_l4(l4, n, in->proto, 2, port, &change);
    icmp = nat64_move_head(p, in->l4 - IPV4 - ICMP, false) + IPV4;
    nat64_write_ipv4(icmp - IPV4, &outer, from[1], to);
    put_form(icmp, &form);
    nat64_write_ipv4(icmp + ICMP, &inner, from[0], from[1]);
    nf_put16(icmp + 2, sum);
    put_sum(icmp, l4, n, rest != whole, was, 0);
    nat64_parse(p);
}
