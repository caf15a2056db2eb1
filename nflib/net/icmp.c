/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the ICMP and ICMPv6 messages that the chain's L3 reads and sends, and the rule of which packets NFs
 * may answer at all. An error quotes the IP header and eight bytes: what is captured of every packet, so that
 * a replay makes the same bytes.
 */
#include "nflib/net/icmp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define OWN_TTL 64u

bool nf_icmp_may_complain(const struct nf_packet *p)
{
    if (!(p->flags & NF_P_IPV4) || p->flags & (NF_P_LATER | NF_P_EMITTED | NF_P_LOCAL))
        return false;
    if (nf_addr_martian(p->saddr) || nf_addr_many(p->saddr))
        return false;
    if (p->proto != IPPROTO_ICMP)
        return true;
    return p->flags & NF_P_L4 && (nf_icmp_is_echo(p->icmp_type) ||
                                  (p->icmp_type >= 13 && p->icmp_type <= 18)); /* queries and their answers */
}

uint32_t nf_icmp_error(const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu, uint32_t saddr,
                       uint8_t out[NF_ICMP_ERROR_MAX])
{
    uint32_t header = (uint32_t)p->l4 - p->l3, quoted = header + (p->l4_len < 8 ? p->l4_len : 8u);
    if (p->l3 + quoted > p->have)
        quoted = p->have - p->l3;
    uint8_t *ip = out + 14, *icmp = ip + 20;
    memset(out, 0, 14 + 20 + 8);
    out[12] = 0x08;
    memcpy(icmp + 8, p->data + p->l3, quoted);
    icmp[0] = type;
    icmp[1] = code;
    nf_put16(icmp + 6, htons(mtu));
    nf_put16(icmp + 2, nf_checksum(icmp, 8 + quoted));
    ip[0] = 0x45;
    ip[1] = 0xc0; /* internetwork control */
    nf_put16(ip + 2, htons((uint16_t)(20 + 8 + quoted)));
    ip[6] = 0x40; /* never fragmented, so it needs no identification */
    ip[8] = OWN_TTL;
    ip[9] = IPPROTO_ICMP;
    nf_put32(ip + 12, saddr);
    nf_put32(ip + 16, p->saddr);
    nf_put16(ip + 10, nf_checksum(ip, 20));
    return 14 + 20 + 8 + quoted;
}

/* Changes a byte of a word that a checksum covers; offsets from `at`. */
static void change_byte(uint8_t *at, uint32_t word_at, uint32_t sum_at, uint32_t byte_at, uint8_t value)
{
    uint16_t from = nf_get16(at + word_at);
    at[byte_at] = value;
    nf_put16(at + sum_at, nf_checksum_adjust16(nf_get16(at + sum_at), from, nf_get16(at + word_at)));
}

bool nf_icmp_turn_round(struct nf_packet *p)
{
    if (!(p->flags & NF_P_L4) || p->proto != IPPROTO_ICMP || p->icmp_type != 8 || p->icmp_code != 0 ||
        p->flags & (NF_P_FRAGMENT | NF_P_OPTIONS | NF_P_EMITTED))
        return false;
    uint32_t from = p->saddr, to = p->daddr;
    nf_packet_set_saddr(p, to);
    nf_packet_set_daddr(p, from);
    change_byte(p->data + p->l3, 8, 10, 8, OWN_TTL);
    change_byte(p->data + p->l4, 0, 2, 0, 0);
    p->icmp_type = 0;
    p->flags |= NF_P_LOCAL;
    return true;
}

/* ---- ICMPv6 ------------------------------------------------------------------------------------ */

#define HEADER      40u
#define LINK_LIMIT  255u /* of a message that no router has forwarded */
#define ND_HEAD     24u
#define ND_READ_MAX 128u /* bytes of a message that are captured */
#define OF_SOURCE   1u   /* options: the link-layer address of a solicitation's sender */
#define OF_TARGET   2u
#define ERRORS_END  128u /* types below are errors */

static void write_header(uint8_t *ip, uint32_t length, uint8_t limit, const uint8_t from[16],
                         const uint8_t to[16])
{
    nf_put32(ip, htonl(6u << 28));
    nf_put16(ip + 4, htons((uint16_t)length));
    ip[6] = IPPROTO_ICMPV6;
    ip[7] = limit;
    memcpy(ip + 8, from, 16);
    memcpy(ip + 24, to, 16);
}

/* ---- neighbours --------------------------------------------------------------------------------- */

void nf_nd_solicited_node(const uint8_t addr[16], uint8_t out[16])
{
    static const uint8_t prefix[13] = {0xff, 2, [11] = 1, [12] = 0xff};

    memcpy(out, prefix, sizeof(prefix));
    memcpy(out + 13, addr + 13, 3);
}

/* False: an option that breaks its format. */
static bool read_options(const uint8_t *at, const uint8_t *end, struct nf_nd *nd)
{
    uint8_t wanted = nd->type == NF_ND_SOLICITATION ? OF_SOURCE : OF_TARGET;

    while (at < end) {
        if (end - at < 8 || at[1] == 0 || at[1] * 8 > end - at)
            return false;
        if (at[0] == wanted && at[1] == 1)
            nd->mac = at + 2;
        at += at[1] * 8;
    }
    return true;
}

static bool is_whole(const struct nf_packet *p)
{
    return p->l4 == p->l3 + HEADER && p->l4_len >= ND_HEAD && p->l4_len <= ND_READ_MAX &&
           (uint32_t)p->l4 + p->l4_len <= p->have;
}

bool nf_nd_read(const struct nf_packet *p, struct nf_nd *nd)
{
    static const uint8_t unspecified[16];
    const uint8_t *ip = p->data + p->l3, *message = p->data + p->l4;
    bool from_host = !nf_ipv6_martian(ip + 8) && !nf_ipv6_many(ip + 8);
    uint8_t node[16];

    if (!nf_is_nd(p) || (p->icmp_type != NF_ND_SOLICITATION && p->icmp_type != NF_ND_ADVERTISEMENT) ||
        !is_whole(p) || p->icmp_code != 0 || ip[7] != LINK_LIMIT ||
        nf_ipv6_checksum(ip + 8, IPPROTO_ICMPV6, message, p->l4_len))
        return false;
    *nd = (struct nf_nd){.type = p->icmp_type, .target = message + 8, .from = ip + 8, .to = ip + 24};
    if (nf_ipv6_many(nd->target) || !read_options(message + ND_HEAD, message + p->l4_len, nd))
        return false;
    if (nd->type == NF_ND_ADVERTISEMENT) {
        nd->flags = message[4];
        return from_host && !(nf_ipv6_many(nd->to) && nd->flags & NF_ND_SOLICITED);
    }
    nf_nd_solicited_node(nd->target, node);
    return from_host || (memcmp(nd->from, unspecified, 16) == 0 && !nd->mac && memcmp(nd->to, node, 16) == 0);
}

void nf_nd_write(const struct nf_nd *nd, const uint8_t *to_mac, uint8_t out[NF_ND_LEN])
{
    uint8_t *ip = out + 14, *message = ip + HEADER;

    memset(out, 0, NF_ND_LEN);
    if (to_mac) {
        memcpy(out, to_mac, 6);
    } else {
        out[0] = out[1] = 0x33;
        memcpy(out + 2, nd->to + 12, 4);
    }
    memcpy(out + 6, nd->mac, 6);
    out[12] = 0x86;
    out[13] = 0xdd;
    write_header(ip, ND_HEAD + 8, LINK_LIMIT, nd->from, nd->to);
    message[0] = nd->type;
    message[4] = nd->flags;
    memcpy(message + 8, nd->target, 16);
    message[ND_HEAD] = nd->type == NF_ND_SOLICITATION ? OF_SOURCE : OF_TARGET;
    message[ND_HEAD + 1] = 1;
    memcpy(message + ND_HEAD + 2, nd->mac, 6);
    nf_put16(message + 2, nf_ipv6_checksum(ip + 8, IPPROTO_ICMPV6, message, ND_HEAD + 8));
}

/* ---- errors and echoes -------------------------------------------------------------------------- */

bool nf_icmpv6_may_complain(const struct nf_packet *p)
{
    const uint8_t *from = nf_packet_ipv6_addresses(p);

    if (!(p->flags & NF_P_IPV6_READ) || p->flags & (NF_P_EMITTED | NF_P_LOCAL) || p->data[0] & 1 ||
        nf_ipv6_martian(from) || nf_ipv6_many(from))
        return false;
    if (p->proto != IPPROTO_ICMPV6 || p->flags & NF_P_LATER)
        return true;
    return p->flags & NF_P_L4 && p->icmp_type >= ERRORS_END && p->icmp_type != NF_ND_REDIRECT;
}

uint32_t nf_icmpv6_error(const struct nf_packet *p, uint8_t type, uint8_t code, uint32_t mtu,
                         const uint8_t saddr[16], uint8_t out[NF_ICMPV6_ERROR_MAX])
{
    uint32_t header = (uint32_t)p->l4 - p->l3, quoted = header + (p->l4_len < 8 ? p->l4_len : 8u);
    uint8_t *ip = out + 14, *icmp = ip + HEADER;

    if (p->l3 + quoted > p->have)
        quoted = p->have - p->l3;
    memset(out, 0, 14 + HEADER + 8);
    out[12] = 0x86;
    out[13] = 0xdd;
    write_header(ip, 8 + quoted, OWN_TTL, saddr, nf_packet_ipv6_addresses(p));
    icmp[0] = type;
    icmp[1] = code;
    nf_put32(icmp + 4, htonl(mtu));
    memcpy(icmp + 8, p->data + p->l3, quoted);
    nf_put16(icmp + 2, nf_ipv6_checksum(ip + 8, IPPROTO_ICMPV6, icmp, 8 + quoted));
    return 14 + HEADER + 8 + quoted;
}

bool nf_icmpv6_turn_round(struct nf_packet *p)
{
    uint8_t *ip = p->data + p->l3, *icmp = p->data + p->l4, from[16];
    uint16_t before;

    if (!nf_packet_has_ends_ipv6(p) || p->proto != IPPROTO_ICMPV6 || p->icmp_type != NF_ICMPV6_ECHO_REQUEST ||
        p->icmp_code != 0 || p->l4 != p->l3 + HEADER || p->flags & NF_P_EMITTED)
        return false;
    memcpy(from, ip + 8, 16);
    memcpy(ip + 8, ip + 24, 16); /* their sum is the same in either order */
    memcpy(ip + 24, from, 16);
    ip[7] = OWN_TTL;
    before = nf_get16(icmp);
    p->icmp_type = icmp[0] = NF_ICMPV6_ECHO_REPLY;
    nf_put16(icmp + 2, nf_checksum_adjust16(nf_get16(icmp + 2), before, nf_get16(icmp)));
    p->flags |= NF_P_LOCAL;
    return true;
}

/* ---- what may be answered at all, by NFs, from the packet's destination to its source ---- */

#define MANY 1u /* of the first byte of a MAC address: a group's */

bool nf_packet_may_answer(const struct nf_packet *p)
{
    const uint8_t *ends = nf_packet_ipv6_addresses(p);

    if (!(p->flags & (NF_P_IPV4 | NF_P_IPV6_READ)) || (p->data[0] | p->data[6]) & MANY)
        return false;
    if (p->flags & NF_P_IPV6_READ)
        return nf_icmpv6_may_complain(p) && !nf_ipv6_many(ends + 16) && !nf_ipv6_martian(ends + 16) &&
               memcmp(ends, ends + 16, 16) != 0;
    return nf_icmp_may_complain(p) && !nf_addr_many(p->daddr) && !nf_addr_martian(p->daddr) &&
           p->saddr != p->daddr;
}
