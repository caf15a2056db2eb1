/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery of the chain's L3: what neighbours of IPv6 ask and say, as l3.c hears ARP. Routers and
 * prefixes are not advertised: hosts are given their routes. Writes the neighbour table through neighbour.h.
 */
#include "nflib/chain/l3_parts.h"

#include "nflib/net/icmp.h"

#include <string.h>

#define HOP_LIMIT_AT 7u

/* Who asks without an address of his own wants to use this one (RFC 4862, 5.4): everybody hears that it is
 * taken. He does not use it yet, so that is no conflict. */
static void answer_solicitation(struct nf_l3 *l3, const struct nf_packet *p, const struct nf_nd *asked,
                                bool probe)
{
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    const struct nf_interface *port = &l3->config->port[p->in_port];
    uint8_t frame[NF_ND_LEN];
    struct nf_nd answer = {.type = NF_ND_ADVERTISEMENT,
                           .flags = NF_ND_ROUTER | NF_ND_OVERRIDE | (probe ? 0 : NF_ND_SOLICITED),
                           .target = asked->target,
                           .mac = port->mac,
                           .from = asked->target,
                           .to = probe ? all_nodes : asked->from};

    nf_nd_write(&answer, probe ? NULL : p->data + 6, frame);
    if (nf_emit(l3->nf, p->in_port, frame, sizeof(frame)) == FT_OK)
        nf_count(l3->nf, NF_L3_ND_ANSWERED, 1);
}

/* The neighbour as it is known; NULL: it is not. */
static const struct nf_neighbour *find_known(const struct nf_l3 *l3, const uint8_t addr[16], uint8_t port)
{
    struct nf_addr a = nf_addr_of_ipv6(addr);

    return nf_neighbours_find(&l3->family[NF_IP6].neighbours, &a, port);
}

static bool is_own(const struct nf_l3 *l3, const uint8_t addr[16], uint8_t port)
{
    struct nf_addr a = nf_addr_of_ipv6(addr);

    return nf_l3_is_own(l3, &a, true, port);
}

/* Of what is said to everybody only a configured next hop's advertisement of itself is believed. Without the
 * flag an advertisement says nothing against what is known (RFC 4861, 7.2.5): so speaks who shares the
 * address with others, or answers for its holder. */
static bool is_believed(const struct nf_l3 *l3, const struct nf_nd *nd, uint8_t port)
{
    const struct nf_neighbour *known = find_known(l3, nd->target, port);
    struct nf_addr target = nf_addr_of_ipv6(nd->target);

    return (nf_ipv6_many(nd->to) ? nf_neighbours_is_hop(&l3->family[NF_IP6].neighbours, &target, port)
                                 : is_own(l3, nd->to, port)) &&
           (nd->flags & NF_ND_OVERRIDE || !known || memcmp(known->mac, nd->mac, 6) == 0);
}

/* Who was asked at his MAC need not say it in his answer (RFC 4861, 7.2.4): it is the frame's sender, and
 * confirms what is known. NULL: not said, or another's. */
static const uint8_t *find_mac(const struct nf_l3 *l3, const struct nf_packet *p, const struct nf_nd *nd)
{
    const struct nf_neighbour *known;

    if (nd->mac || nd->type != NF_ND_ADVERTISEMENT)
        return nd->mac;
    known = find_known(l3, nd->target, p->in_port);
    return known && memcmp(known->mac, p->data + 6, 6) == 0 ? known->mac : NULL;
}

/*
 * As with ARP, senders are heard when they speak to us: they answer, or they ask, and their next packet
 * will want an answer.
 */
void nf_l3_receive_nd(struct nf_l3 *l3, struct nf_packet *p, struct nf_nd *nd, uint64_t now)
{
    const struct nf_interface *port = &l3->config->port[p->in_port];
    bool asks = nd->type == NF_ND_SOLICITATION, ours = is_own(l3, nd->target, p->in_port);
    struct nf_addr who = nf_addr_of_ipv6(asks ? nd->from : nd->target);
    bool probe = asks && nf_ipv6_martian(nd->from); /* who asks whether he may have it claims nothing yet */

    nd->mac = find_mac(l3, p, nd);
    nf_drop(l3->nf, p, NF_L3_ND);
    if (nf_l3_is_own(l3, &who, true, p->in_port))
        nf_l3_hear_conflict(l3, &who, p->in_port, nd->mac ? nd->mac : p->data + 6, now);
    else if (nd->mac && !(nd->mac[0] & 1) && !nf_ipv6_martian(who.byte) &&
             (asks ? ours : is_believed(l3, nd, p->in_port)))
        nf_neighbours_learn(&l3->family[NF_IP6].neighbours, &who, p->in_port, nd->mac,
                            asks && nf_l3_on_link(port, &who, true), now);
    if (asks && ours && !is_own(l3, nd->from, NF_L3_ANY_PORT))
        answer_solicitation(l3, p, nd, probe);
}

bool nf_l3_is_own_nd(const struct nf_packet *p)
{
    return p->flags & NF_P_EMITTED && p->proto == NF_PROTO_ICMPV6 && p->flags & NF_P_L4 &&
           (p->icmp_type == NF_ND_SOLICITATION || p->icmp_type == NF_ND_ADVERTISEMENT) &&
           p->data[p->l3 + HOP_LIMIT_AT] == 255;
}
