/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the chain's L3 does of IPv6 alone: neighbour discovery, own addresses, routes. State: the
 * neighbour table, in arena (lane, 0), in chains where a link has IPv6. Routers and prefixes are not
 * advertised: hosts are given their routes.
 */
#include "nflib/chain/l3_parts.h"

#include "nflib/net/icmpv6.h"

#include <string.h>

#define HOP_LIMIT_AT 7u

/* ---- making ------------------------------------------------------------------------------------ */

bool nf_l3_has_ipv6(const struct nf_l3_config *config)
{
    for (unsigned i = 0; i < config->ports; i++)
        if (config->port[i].bits6)
            return true;
    return false;
}

static void add_route(struct nf_l3_ipv6 *ipv6, const struct nf_route6 *route)
{
    uint32_t at = ipv6->routes++;

    for (; at > 0 && ipv6->route[at - 1].bits < route->bits; at--)
        ipv6->route[at] = ipv6->route[at - 1];
    ipv6->route[at] = *route;
}

static void add_own(struct nf_l3_ipv6 *ipv6, const uint8_t addr[16], uint8_t port)
{
    struct nf_l3_own6 *own = &ipv6->own[ipv6->owns++];

    memcpy(own->addr, addr, 16);
    own->port = port;
}

static void read_config(struct nf_l3_ipv6 *ipv6, const struct nf_l3_config *config)
{
    for (uint8_t i = 0; i < config->ports; i++) {
        const struct nf_interface *port = &config->port[i];
        struct nf_route6 link = {.bits = port->bits6, .port = i, .on_link = true};

        if (!port->bits6)
            continue;
        memcpy(link.addr, port->addr6, 16);
        add_route(ipv6, &link);
        add_own(ipv6, port->local6, i);
        add_own(ipv6, port->addr6, i);
        for (unsigned e = 0; e < port->extras6; e++)
            add_own(ipv6, port->extra6[e], i);
    }
    for (unsigned i = 0; i < config->routes6; i++)
        add_route(ipv6, &config->route6[i]);
}

int nf_l3_make_ipv6(struct nf_l3 *l3, struct ft_fault *fault)
{
    const struct nf_l3_config *config = l3->config;
    struct nf_neighbours *table = &l3->ipv6.neighbours;

    if (!nf_l3_has_ipv6(config))
        return FT_OK;
    read_config(&l3->ipv6, config);
    if (nf_neighbours_make(table, l3->nf, config, true))
        return ft_fail(fault, FT_EFULL, "l3: the lane's arena is too small");
    for (unsigned i = 0; i < config->routes6; i++)
        nf_neighbours_add_hop(table, config->route6[i].via, config->route6[i].port);
    for (unsigned i = 0; i < config->next_hops6; i++)
        nf_neighbours_add_hop(table, config->next_hop6[i].addr, config->next_hop6[i].port);
    for (unsigned i = 0; i < config->fixed_count; i++)
        if (config->fixed[i].ipv6)
            nf_neighbours_add_fixed(table, config->fixed[i].addr, config->fixed[i].port,
                                    config->fixed[i].mac);
    return FT_OK;
}

/* ---- own addresses ----------------------------------------------------------------------------- */

bool nf_l3_is_own6(const struct nf_l3 *l3, const uint8_t addr[16], uint8_t port)
{
    for (uint32_t i = 0; i < l3->ipv6.owns; i++)
        if ((port == NF_L3_ANY_PORT || l3->ipv6.own[i].port == port) &&
            memcmp(l3->ipv6.own[i].addr, addr, 16) == 0)
            return true;
    return false;
}

const struct nf_route6 *nf_l3_route6(const struct nf_l3 *l3, const uint8_t addr[16])
{
    for (uint32_t i = 0; i < l3->ipv6.routes; i++)
        if (nf_ipv6_in_prefix(addr, l3->ipv6.route[i].addr, l3->ipv6.route[i].bits))
            return &l3->ipv6.route[i];
    return NULL;
}

/* An echo request becomes its reply; anything else to an own address ends. */
static bool answer_echo(struct nf_l3 *l3, struct nf_packet *p)
{
    if (!nf_l3_is_own6(l3, nf_packet_ipv6_addresses(p), NF_L3_ANY_PORT) && nf_icmpv6_turn_round(p)) {
        nf_count(l3->nf, NF_L3_ECHO_ANSWERED, 1);
        return true;
    }
    nf_drop(l3->nf, p, NF_L3_LOCAL);
    return false;
}

/* ---- neighbour discovery ----------------------------------------------------------------------- */

static bool on_link(const struct nf_interface *port, const uint8_t addr[16])
{
    return nf_ipv6_link_local(addr) || nf_ipv6_in_prefix(addr, port->addr6, port->bits6);
}

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

/* Without the flag an advertisement says nothing against what is known (RFC 4861, 7.2.5): so speaks who
 * shares the address with others, or answers for its holder. */
static bool may_say_so(const struct nf_l3 *l3, const struct nf_nd *nd, uint8_t port)
{
    const struct nf_neighbour *known = nf_neighbours_find(&l3->ipv6.neighbours, nd->target, port);

    return nd->flags & NF_ND_OVERRIDE || !known || memcmp(known->mac, nd->mac, 6) == 0;
}

/* Of what is said to everybody only a configured next hop's advertisement of itself is believed. */
static bool is_believed(const struct nf_l3 *l3, const struct nf_nd *nd, uint8_t port)
{
    return (nf_ipv6_many(nd->to) ? nf_neighbours_is_hop(&l3->ipv6.neighbours, nd->target, port)
                                 : nf_l3_is_own6(l3, nd->to, port)) &&
           may_say_so(l3, nd, port);
}

/* Who was asked at his MAC need not say it in his answer (RFC 4861, 7.2.4): it is the frame's sender, and
 * confirms what is known. NULL: not said, or another's. */
static const uint8_t *find_mac(const struct nf_l3 *l3, const struct nf_packet *p, const struct nf_nd *nd)
{
    const struct nf_neighbour *known;

    if (nd->mac || nd->type != NF_ND_ADVERTISEMENT)
        return nd->mac;
    known = nf_neighbours_find(&l3->ipv6.neighbours, nd->target, p->in_port);
    return known && memcmp(known->mac, p->data + 6, 6) == 0 ? known->mac : NULL;
}

static void hear_conflict(struct nf_l3 *l3, const struct nf_packet *p, const struct nf_nd *nd,
                          const uint8_t addr[16], uint64_t now)
{
    const uint8_t *mac = nd->mac ? nd->mac : p->data + 6;

    if (nf_l3_is_own_mac(l3, mac))
        return;
    nf_claim_note(l3->nf, &l3->times->claimed[NF_L3_OWN_CLAIMED], addr, true, mac, p->in_port, now);
    nf_count(l3->nf, NF_L3_ND_CONFLICT, 1);
    for (uint32_t i = 0; i < l3->ipv6.owns; i++)
        if (l3->ipv6.own[i].port == p->in_port && memcmp(l3->ipv6.own[i].addr, addr, 16) == 0)
            nf_l3_defend(l3, true, i, now);
}

/*
 * As with ARP, senders are heard when they speak to us: they answer, or they ask, and their next packet
 * will want an answer.
 */
static void receive_nd(struct nf_l3 *l3, struct nf_packet *p, struct nf_nd *nd, uint64_t now)
{
    const struct nf_interface *port = &l3->config->port[p->in_port];
    bool asks = nd->type == NF_ND_SOLICITATION, ours = nf_l3_is_own6(l3, nd->target, p->in_port);
    const uint8_t *who = asks ? nd->from : nd->target;
    bool probe = asks && nf_ipv6_martian(nd->from); /* who asks whether he may have it claims nothing yet */

    nd->mac = find_mac(l3, p, nd);
    nf_drop(l3->nf, p, NF_L3_ND);
    if (nf_l3_is_own6(l3, who, p->in_port))
        hear_conflict(l3, p, nd, who, now);
    else if (nd->mac && !(nd->mac[0] & 1) && !nf_ipv6_martian(who) &&
             (asks ? ours : is_believed(l3, nd, p->in_port)))
        nf_neighbours_learn(&l3->ipv6.neighbours, who, p->in_port, nd->mac, asks && on_link(port, who), now);
    if (asks && ours && !nf_l3_is_own6(l3, nd->from, NF_L3_ANY_PORT))
        answer_solicitation(l3, p, nd, probe);
}

/* ---- in ---------------------------------------------------------------------------------------- */

/* From or to an address that is no station's. */
static bool is_martian(const uint8_t *from, const uint8_t *to)
{
    return nf_ipv6_martian(from) || nf_ipv6_martian(to) || nf_ipv6_many(from);
}

/* No router forwards it: a link-local address is another host's on every link. */
static bool is_of_link(const uint8_t *from, const uint8_t *to)
{
    return nf_ipv6_link_local(from) || nf_ipv6_link_local(to);
}

/* A malformed packet, or one that the port cut off, which is told as any that is too big. */
static void receive_malformed(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    const uint8_t *from = nf_packet_ipv6_addresses(p);
    struct nf_packet whole;

    if (nf_l3_is_cut_off(p, &whole) && !nf_ipv6_many(from + 16) && !is_martian(from, from + 16) &&
        !is_of_link(from, from + 16) && nf_l3_drop_too_big(l3, &whole, now)) {
        p->drop = whole.drop;
        p->drop_nf = whole.drop_nf;
    } else {
        nf_drop(l3->nf, p, NF_L3_MALFORMED);
    }
}

void nf_l3_in_ipv6(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    const uint8_t *from = nf_packet_ipv6_addresses(p), *to = from + 16;
    struct nf_nd nd;

    if (!(p->flags & NF_P_IPV6_READ))
        receive_malformed(l3, p, now);
    else if (nf_nd_read(p, &nd))
        receive_nd(l3, p, &nd, now);
    else if (p->data[0] & 1 || nf_ipv6_many(to))
        nf_drop(l3->nf, p, NF_L3_BROADCAST);
    else if (nf_is_nd(p)) /* of no use to hosts behind this one */
        nf_drop(l3->nf, p, NF_L3_ND);
    else if (is_martian(from, to))
        nf_drop(l3->nf, p, NF_L3_MARTIAN);
    else if ((p->side == NF_INSIDE || nf_ipv6_link_local(to)) && nf_l3_is_own6(l3, to, p->in_port))
        answer_echo(l3, p);
    else if (is_of_link(from, to))
        nf_drop(l3->nf, p, NF_L3_MARTIAN);
    else if (p->data[p->l3 + HOP_LIMIT_AT] <= 1 && !nf_l3_is_own6(l3, to, NF_L3_ANY_PORT)) {
        nf_l3_send_error6(l3, p, NF_ICMPV6_TIME_EXCEEDED, 0, 0, now);
        nf_drop(l3->nf, p, NF_L3_TTL);
    } else {
        nf_l3_drop_too_big(l3, p, now);
    }
}

/* ---- out --------------------------------------------------------------------------------------- */

/* Made by L3 itself, for a link: it has its addresses, and leaves as it is. */
static bool is_own_nd(const struct nf_packet *p)
{
    return p->flags & NF_P_EMITTED && p->proto == NF_PROTO_ICMPV6 && p->flags & NF_P_L4 &&
           (p->icmp_type == NF_ND_SOLICITATION || p->icmp_type == NF_ND_ADVERTISEMENT) &&
           p->data[p->l3 + HOP_LIMIT_AT] == 255;
}

/* The next hop's entry, used; NULL: not known, and asked for. */
static const struct nf_neighbour *find_hop(struct nf_l3 *l3, const uint8_t addr[16], uint8_t port,
                                           uint64_t now)
{
    struct nf_neighbours *table = &l3->ipv6.neighbours;
    const struct nf_neighbour *entry = nf_neighbours_find(table, addr, port);

    if (entry)
        nf_neighbours_use(table, addr, entry, now);
    else
        nf_neighbours_want(table, addr, port, now);
    return entry;
}

static void forward_packet(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    bool local = p->flags & (NF_P_EMITTED | NF_P_LOCAL);
    const uint8_t *to = nf_packet_ipv6_addresses(p) + 16;
    struct nf_route6 link = {.on_link = true, .port = p->in_port};
    const struct nf_route6 *route = nf_ipv6_link_local(to) ? &link : nf_l3_route6(l3, to);
    const struct nf_neighbour *hop;

    if (!local && p->data[p->l3 + HOP_LIMIT_AT] <= 1) {
        nf_drop(l3->nf, p, NF_L3_TTL);
    } else if (!route) {
        nf_l3_send_error6(l3, p, NF_ICMPV6_UNREACHABLE, 0, 0, now);
        nf_drop(l3->nf, p, NF_L3_NO_ROUTE);
    } else if (nf_ipv6_many(to)) {
        nf_drop(l3->nf, p, NF_L3_BROADCAST);
    } else if (nf_l3_ip_length(p) > l3->config->port[route->port].mtu) {
        nf_drop(l3->nf, p, NF_L3_TOO_BIG);
    } else if (!(hop = find_hop(l3, route->on_link ? to : route->via, route->port, now))) {
        if (nf_neighbours_is_unreachable(&l3->ipv6.neighbours, route->on_link ? to : route->via, route->port,
                                         now))
            nf_l3_tell_unreachable(l3, p, now);
        nf_drop(l3->nf, p, NF_L3_NO_NEIGHBOUR);
    } else {
        memcpy(p->data, hop->mac, 6);
        memcpy(p->data + 6, l3->config->port[route->port].mac, 6);
        p->out_port = route->port;
        if (!local)
            p->data[p->l3 + HOP_LIMIT_AT]--;
    }
}

void nf_l3_out_ipv6(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    if (is_own_nd(p))
        return;
    if (p->flags & NF_P_LOCAL || !nf_l3_is_own6(l3, nf_packet_ipv6_addresses(p) + 16, NF_L3_ANY_PORT) ||
        answer_echo(l3, p))
        forward_packet(l3, p, now);
}
