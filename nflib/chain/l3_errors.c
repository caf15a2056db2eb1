/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns each interface's allowance for ICMP errors, in the lane's arena, and says when the chain's L3 sends
 * one: packets that are too big are told here, the others where they are dropped (l3.c). Keeps a burst's
 * packets as they came in for that.
 */
#include "nflib/chain/l3_parts.h"

#include "nflib/net/packet.h"
#include "nflib/net/icmp.h"

#include <arpa/inet.h>
#include <string.h>

#define ADDRESS_UNREACHABLE 3u /* of ICMPv6 */

#define ERROR_EVERY  (10 * NF_MS)  /* 100 ICMP errors a second */
#define ERRORS_AHEAD (500 * NF_MS) /* at most 50 ICMP errors at once */

static bool may_send(struct nf_l3 *l3, uint8_t port, uint64_t now)
{
    const uint64_t *until = &l3->times->errors_paid[port];
    uint64_t paid = (*until > now ? *until : now) + ERROR_EVERY;
    if (paid > now + ERRORS_AHEAD) {
        nf_count(l3->nf, NF_L3_ICMP_LIMITED, 1);
        return false;
    }
    *NF_EDIT(l3->nf, until) = paid;
    return true;
}

void nf_l3_send_error(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu,
                      uint64_t now)
{
    bool ipv6 = p->flags & NF_P_IPV6;
    const struct nf_net *net = &l3->config->port[p->in_port].net[ipv6];
    struct nf_addr to = nf_packet_from(p, ipv6);
    uint8_t frame[NF_ICMPV6_ERROR_MAX > NF_ICMP_ERROR_MAX ? NF_ICMPV6_ERROR_MAX : NF_ICMP_ERROR_MAX];
    uint32_t len;

    if (!net->bits || nf_l3_is_own(l3, &to, ipv6, NF_L3_ANY_PORT) ||
        !(ipv6 ? nf_icmpv6_may_complain(p) : nf_icmp_may_complain(p)) || !may_send(l3, p->in_port, now))
        return;
    len = ipv6 ? nf_icmpv6_error(p, type, code, mtu, net->addr.byte, frame)
               : nf_icmp_error(p, type, code, mtu, nf_addr_ipv4(&net->addr), frame);
    if (nf_emit(l3->nf, p->in_port, frame, len) == FT_OK)
        nf_count(l3->nf, NF_L3_ICMP_SENT, 1);
}

void nf_l3_keep(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    l3->packets = packets[0];
    l3->kepts = now < l3->times->failing ? n : 0;
    for (uint32_t i = 0; i < l3->kepts; i++) {
        struct nf_l3_kept *kept = &l3->kept[i];
        uint32_t have = packets[i]->have < NF_L3_KEPT ? packets[i]->have : NF_L3_KEPT;
        kept->packet = *packets[i];
        kept->packet.data = kept->bytes;
        kept->packet.have = have;
        memcpy(kept->bytes, packets[i]->data, have);
    }
}

void nf_l3_tell_unreachable(struct nf_l3 *l3, const struct nf_packet *p, uint64_t now)
{
    bool ours = l3->kepts && p >= l3->packets && p < l3->packets + l3->kepts;
    const struct nf_packet *was = ours ? &l3->kept[p - l3->packets].packet : p;
    if (was->flags & NF_P_IPV6)
        nf_l3_send_error(l3, was, NF_ICMPV6_UNREACHABLE, ADDRESS_UNREACHABLE, 0, now);
    else
        nf_l3_send_error(l3, was, NF_ICMP_UNREACHABLE, NF_ICMP_HOST_UNREACHABLE, 0, now);
}

/* The port that the packet's route leads to; NF_L3_ANY_PORT: none, or an own address, or back where it came
 * in. */
static uint8_t port_beyond(const struct nf_l3 *l3, const struct nf_packet *p)
{
    bool ipv6 = p->flags & NF_P_IPV6;
    struct nf_addr to = nf_packet_to(p, ipv6);
    const struct nf_l3_route *route = nf_l3_route(l3, &to, ipv6);
    uint8_t port = route && !nf_l3_is_own(l3, &to, ipv6, NF_L3_ANY_PORT) ? route->port : NF_L3_ANY_PORT;

    return port == p->in_port ? NF_L3_ANY_PORT : port;
}

void nf_l3_expect_growth(struct nf_l3 *l3)
{
    l3->growth = 40 - 20; /* the headers of IPv6 and of IPv4 */
}

bool nf_l3_drop_too_big(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    uint32_t length = nf_l3_ip_length(p);
    uint16_t mtu = l3->least_mtu[!p->side];
    uint8_t port;
    if (length + l3->growth <= mtu && length <= l3->least_mtu[p->side])
        return false;
    port = port_beyond(l3, p);
    if (port != NF_L3_ANY_PORT)
        mtu = l3->config->port[port].mtu;
    else if (p->side == NF_OUTSIDE && p->flags & NF_P_IPV4)
        mtu -= l3->growth;
    if (length <= mtu)
        return false;
    if (p->flags & NF_P_IPV6)
        nf_l3_send_error(l3, p, NF_ICMPV6_TOO_BIG, 0, mtu, now);
    else if (ntohs(nf_get16(p->data + p->l3 + 6)) & 0x4000)
        nf_l3_send_error(l3, p, NF_ICMP_UNREACHABLE, NF_ICMP_TOO_BIG, mtu, now);
    nf_drop(l3->nf, p, NF_L3_TOO_BIG);
    return true;
}

/* Bytes of the IP packet by its header; 0: it has none that can be read. */
static uint32_t length_said(const struct nf_packet *p)
{
    if (p->bad == NF_BAD_LENGTH)
        return ntohs(nf_get16(p->data + p->l3 + 2));
    if ((p->flags & (NF_P_IPV6 | NF_P_IPV6_READ)) != NF_P_IPV6 || p->l3 + 40u > p->have)
        return 0;
    return 40u + ntohs(nf_get16(p->data + p->l3 + 4));
}

bool nf_l3_is_cut_off(const struct nf_packet *p, struct nf_packet *whole)
{
    uint32_t length = length_said(p);
    if (!length)
        return false;
    *whole = *p;
    whole->len = p->l3 + length;
    if (whole->len <= p->len)
        return false;
    nf_packet_parse(whole);
    return whole->flags & (NF_P_IPV4 | NF_P_IPV6_READ);
}
