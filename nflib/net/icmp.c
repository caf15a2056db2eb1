/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the ICMP messages that the chain's L3 sends, and the rule of which packets NFs may answer at all. An
 * error quotes the IPv4 header and eight bytes: what is captured of every packet, so that a replay makes the
 * same bytes.
 */
#include "nflib/net/icmp.h"
#include "nflib/net/bytes.h"
#include "nflib/net/icmpv6.h"

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
