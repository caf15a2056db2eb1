/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns both ends of the chain: what is taken in and what leaves, by the configured addresses and routes; what
 * is of IPv6 alone is in l3_ipv6.c. State in arena (lane, 0): counters, the neighbour table, when each
 * interface may send its next ICMP error, whether neighbours fail, and who claimed own addresses. The route
 * table here is the configuration's, sorted; it is no state.
 */
#include "nflib/chain/l3_parts.h"

#include "nflib/net/icmp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---- the module ---- */

static const char *const counter_names[] = {NF_L3_COUNTER_LIST(NF_COUNTER_NAME) NULL};

static void run_timers(struct nf *nf, uint64_t now)
{
    struct nf_l3 *l3 = nf->state;
    nf_neighbours_timers(&l3->neighbours, now);
    if (l3->ipv6.neighbours.map)
        nf_neighbours_timers(&l3->ipv6.neighbours, now);
    nf_l3_defence_timers(l3, now);
}

static int check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nf_l3 *l3 = nf->state;
    int error = nf_l3_defence_check(l3, c);

    error = error ? error : nf_neighbours_check(&l3->neighbours, c);
    return error || !l3->ipv6.neighbours.map ? error : nf_neighbours_check(&l3->ipv6.neighbours, c);
}

static const struct nf_module l3_module = {
    .name = "l3",
    .summary = "addresses, routes and neighbours of the chain",
    .counters = counter_names,
    .timers = run_timers,
    .show = nf_l3_show,
    .check_state = check_state,
};

/* ---- making ---- */

uint64_t nf_l3_bytes(const struct nf_l3_config *config)
{
    return sizeof(struct nf_l3_times) + NF_L3_COUNTERS * sizeof(uint64_t) + nf_neighbours_bytes(false) +
           (nf_l3_has_ipv6(config) ? nf_neighbours_bytes(true) : 0) + 4096;
}

static void add_route(struct nf_l3 *l3, struct nf_route route)
{
    uint32_t at = l3->routes++;
    route.addr &= route.mask;
    for (; at > 0 && ntohl(l3->route[at - 1].mask) < ntohl(route.mask); at--)
        l3->route[at] = l3->route[at - 1];
    l3->route[at] = route;
}

static void read_config(struct nf_l3 *l3, const struct nf_l3_config *config)
{
    for (uint8_t i = 0; i < config->ports; i++) {
        const struct nf_interface *port = &config->port[i];
        if (port->addr) {
            l3->own[l3->owns++] = (struct nf_l3_own){port->addr, i};
            add_route(l3, (struct nf_route){.addr = port->addr, .mask = port->mask, .port = i});
        }
        for (unsigned e = 0; e < port->extras; e++)
            l3->own[l3->owns++] = (struct nf_l3_own){port->extra[e], i};
    }
    for (unsigned i = 0; i < config->routes; i++)
        add_route(l3, config->route[i]);
    l3->least_mtu[NF_INSIDE] = l3->least_mtu[NF_OUTSIDE] = UINT16_MAX;
    for (unsigned i = 0; i < config->ports; i++) {
        uint16_t *least = &l3->least_mtu[config->port[i].side];
        if (config->port[i].mtu < *least)
            *least = config->port[i].mtu;
    }
}

const struct nf_route *nf_l3_route(const struct nf_l3 *l3, uint32_t addr)
{
    for (uint32_t i = 0; i < l3->routes; i++)
        if (((addr ^ l3->route[i].addr) & l3->route[i].mask) == 0)
            return &l3->route[i];
    return NULL;
}

static int add_hops(struct nf_l3 *l3, struct ft_fault *fault)
{
    for (uint32_t i = 0; i < l3->routes; i++)
        if (l3->route[i].via)
            nf_neighbours_add_hop(&l3->neighbours, &l3->route[i].via, l3->route[i].port);
    for (unsigned i = 0; i < l3->config->next_hops; i++) {
        const struct nf_route *route = nf_l3_route(l3, l3->config->next_hop[i]);
        if (!route)
            return ft_fail(fault, FT_EINVAL, "l3: next hop %u is on no link of the chain", i + 1);
        nf_neighbours_add_hop(&l3->neighbours, &l3->config->next_hop[i], route->port);
    }
    for (unsigned i = 0; i < l3->config->fixed_count; i++)
        if (!l3->config->fixed[i].ipv6)
            nf_neighbours_add_fixed(&l3->neighbours, l3->config->fixed[i].addr, l3->config->fixed[i].port,
                                    l3->config->fixed[i].mac);
    return FT_OK;
}

static int check_config(const struct nf_l3_config *config, struct ft_fault *fault)
{
    if (config->ports < 1 || config->ports > NF_PORTS_MAX || config->routes > NF_ROUTES_MAX ||
        config->routes6 > NF_ROUTES_MAX || config->next_hops > NF_NEXT_HOPS_MAX ||
        config->next_hops6 > NF_NEXT_HOPS_MAX || config->fixed_count > NF_FIXED_MAX)
        return ft_fail(fault, FT_EINVAL, "l3: too many ports, routes or next hops, or no port");
    for (unsigned i = 0; i < config->ports; i++)
        if (config->port[i].extras > 8 || config->port[i].extras6 > 8)
            return ft_fail(fault, FT_EINVAL, "l3: port %u: more than 8 further addresses", i);
    for (unsigned i = 0; i < config->routes; i++)
        if (config->route[i].port >= config->ports)
            return ft_fail(fault, FT_EINVAL, "l3: route %u: no port %u", i + 1, config->route[i].port);
    for (unsigned i = 0; i < config->fixed_count; i++)
        if (config->fixed[i].port >= config->ports)
            return ft_fail(fault, FT_EINVAL, "l3: neighbour %u: no port %u", i + 1, config->fixed[i].port);
    return FT_OK;
}

int nf_l3_make(struct nf_l3 **out, struct nf *nf, const struct nf_l3_config *config, struct ft_fault *fault)
{
    *out = NULL;
    int error = check_config(config, fault);
    if (error)
        return error;
    struct nf_l3 *l3 = calloc(1, sizeof(*l3));
    if (!l3)
        return ft_fail(fault, FT_ENOMEM, "l3: no memory");
    nf->module = &l3_module;
    nf->config = config;
    nf->state = l3;
    nf->counters = ft_arena_alloc(nf->arena, NF_L3_COUNTERS * sizeof(uint64_t));
    l3->nf = nf;
    l3->config = config;
    l3->times = ft_arena_alloc(nf->arena, sizeof(*l3->times));
    l3->neighbours.failing = l3->ipv6.neighbours.failing = &l3->times->failing;
    l3->neighbours.claimed = l3->ipv6.neighbours.claimed = &l3->times->claimed[NF_L3_NEIGHBOUR_CLAIMED];
    read_config(l3, config);
    if (!nf->counters || !l3->times || nf_neighbours_make(&l3->neighbours, nf, config, false))
        error = ft_fail(fault, FT_EFULL, "l3: the lane's arena is too small");
    else
        error = add_hops(l3, fault);
    if (!error)
        error = nf_l3_make_ipv6(l3, fault);
    if (error) {
        free(l3);
        return error;
    }
    nf->env->complain = nf_l3_send_error;
    nf->env->l3 = l3;
    nf_wake(nf, 0); /* ask for the next hops in the first burst */
    *out = l3;
    return FT_OK;
}

/* ---- own addresses ---- */

bool nf_l3_is_own(const struct nf_l3 *l3, uint32_t addr, uint8_t port)
{
    for (uint32_t i = 0; i < l3->owns; i++)
        if (l3->own[i].addr == addr && (port == NF_L3_ANY_PORT || l3->own[i].port == port))
            return true;
    return false;
}

bool nf_l3_is_own_mac(const struct nf_l3 *l3, const uint8_t mac[6])
{
    for (unsigned i = 0; i < l3->config->ports; i++)
        if (memcmp(l3->config->port[i].mac, mac, 6) == 0)
            return true;
    return false;
}

/* An echo request becomes its reply; anything else to an own address ends. */
static bool answer_echo(struct nf_l3 *l3, struct nf_packet *p)
{
    if (!nf_l3_is_own(l3, p->saddr, NF_L3_ANY_PORT) && nf_icmp_turn_round(p)) {
        nf_count(l3->nf, NF_L3_ECHO_ANSWERED, 1);
        return true;
    }
    nf_drop(l3->nf, p, NF_L3_LOCAL);
    return false;
}

/* ---- in ---- */

static bool on_link(const struct nf_interface *port, uint32_t addr)
{
    return port->addr && ((addr ^ port->addr) & port->mask) == 0;
}

/* Where the address is another link's, nobody here sends to it. */
static void hear_conflict(struct nf_l3 *l3, uint32_t addr, uint8_t port, const uint8_t mac[6], uint64_t now)
{
    nf_claim_note(l3->nf, &l3->times->claimed[NF_L3_OWN_CLAIMED], &addr, false, mac, port, now);
    nf_count(l3->nf, NF_L3_ARP_CONFLICT, 1); /* whoever sees it finds the claim */
    for (uint32_t i = 0; i < l3->owns; i++)
        if (l3->own[i].addr == addr && l3->own[i].port == port)
            nf_l3_defend(l3, false, i, now);
}

/*
 * Senders are heard when they speak to us: they answer, or they ask, and their next packet will want an
 * answer. Of what is said to everybody only a configured next hop's announcement of itself is: a gateway
 * that failed over. Against what is known nobody is believed at once (neighbour.h).
 */
static void receive_arp(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    const uint8_t *arp = p->data + p->l3, *mac = arp + 8;
    const struct nf_interface *port = &l3->config->port[p->in_port];
    uint32_t sender, target;
    memcpy(&sender, arp + 14, 4);
    memcpy(&target, arp + 24, 4);
    nf_drop(l3->nf, p, NF_L3_ARP);
    if (nf_l3_is_own(l3, sender, NF_L3_ANY_PORT)) {
        if (!nf_l3_is_own_mac(l3, mac))
            hear_conflict(l3, sender, p->in_port, mac, now);
        return;
    }
    bool for_us = nf_l3_is_own(l3, target, p->in_port);
    bool announced = sender == target && nf_neighbours_is_hop(&l3->neighbours, &sender, p->in_port);
    if ((for_us || announced) && sender && !nf_addr_martian(sender) && !nf_addr_many(sender) && !(mac[0] & 1))
        nf_neighbours_learn(&l3->neighbours, &sender, p->in_port, mac, on_link(port, sender), now);
    if (!for_us || arp[6] != 0 || arp[7] != 1)
        return;
    uint8_t frame[NF_ARP_LEN];
    nf_arp_frame(frame, 2, mac, port->mac, target, mac, sender);
    if (nf_emit(l3->nf, p->in_port, frame, sizeof(frame)) == FT_OK)
        nf_count(l3->nf, NF_L3_ARP_ANSWERED, 1);
}

/* Why a frame cannot be routed as IPv4, NF_L3_COUNTERS if it can. */
static enum nf_l3_counter find_refusal(const struct nf_l3 *l3, const struct nf_packet *p)
{
    if (p->have < 14)
        return NF_L3_MALFORMED;
    if (p->flags & NF_P_VLAN)
        return NF_L3_VLAN;
    bool many = p->data[0] & 1;
    if (p->in_port >= l3->config->ports ||
        (!many && memcmp(p->data, l3->config->port[p->in_port].mac, 6) != 0))
        return NF_L3_OTHER_MAC;
    if (p->flags & NF_P_ARP)
        return NF_L3_ARP;
    if (!(p->flags & NF_P_IPV4))
        return p->flags & NF_P_BAD ? NF_L3_MALFORMED : NF_L3_PROTOCOL;
    if (many || nf_addr_many(p->daddr))
        return NF_L3_BROADCAST;
    if (nf_addr_martian(p->saddr) || nf_addr_martian(p->daddr) || nf_addr_many(p->saddr))
        return NF_L3_MARTIAN;
    return NF_L3_COUNTERS;
}

/* A malformed packet, or one that the port cut off, which is told as any that is too big. */
static void receive_malformed(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    struct nf_packet whole;
    if (nf_l3_is_cut_off(p, &whole) && find_refusal(l3, &whole) == NF_L3_COUNTERS &&
        nf_l3_drop_too_big(l3, &whole, now)) {
        p->drop = whole.drop;
        p->drop_nf = whole.drop_nf;
    } else {
        nf_drop(l3->nf, p, NF_L3_MALFORMED);
    }
}

static void receive_packet(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    enum nf_l3_counter why = find_refusal(l3, p);
    if (why == NF_L3_ARP) {
        receive_arp(l3, p, now);
    } else if (why == NF_L3_PROTOCOL && p->flags & NF_P_IPV6 && l3->config->port[p->in_port].bits6) {
        nf_l3_in_ipv6(l3, p, now);
    } else if (why == NF_L3_MALFORMED) {
        receive_malformed(l3, p, now);
    } else if (why != NF_L3_COUNTERS) {
        nf_drop(l3->nf, p, why);
    } else if (p->side == NF_INSIDE && nf_l3_is_own(l3, p->daddr, p->in_port)) {
        answer_echo(l3, p);
    } else if (p->data[p->l3 + 8] <= 1 && !nf_l3_is_own(l3, p->daddr, NF_L3_ANY_PORT)) {
        nf_l3_send_error(l3, p, NF_ICMP_TIME_EXCEEDED, 0, 0, now);
        nf_drop(l3->nf, p, NF_L3_TTL);
    } else {
        nf_l3_drop_too_big(l3, p, now);
    }
}

void nf_l3_in(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    nf_l3_keep(l3, packets, n, now);
    for (uint32_t i = 0; i < n; i++)
        receive_packet(l3, packets[i], now);
}

/* ---- out ---- */

/* The last next hop found: packets in a row mostly share it. */
struct hop {
    uint32_t addr;
    uint8_t port;
    const struct nf_neighbour *entry; /* NULL: none */
};

uint8_t nf_l3_side(const struct nf_l3 *l3, const struct nf_packet *p)
{
    const struct nf_route6 *route6;
    const struct nf_route *route;

    if (p->flags & NF_P_IPV6_READ) {
        route6 = nf_l3_route6(l3, nf_packet_ipv6_addresses(p) + 16);
        return route6 ? l3->config->port[route6->port].side : !p->side;
    }
    route = nf_l3_route(l3, p->daddr);
    return route ? l3->config->port[route->port].side : !p->side;
}

/* A network's own or broadcast address: a destination on the link that is no station. */
static bool link_broadcast(const struct nf_l3 *l3, const struct nf_route *route, uint32_t addr)
{
    const struct nf_interface *port = &l3->config->port[route->port];
    return !route->via && on_link(port, addr) && ntohl(port->mask) < 0xfffffffeu &&
           ((addr & ~port->mask) == 0 || (addr | port->mask) == 0xffffffffu);
}

static bool find_hop(struct nf_l3 *l3, struct hop *hop, const struct nf_route *route, uint32_t daddr,
                     uint64_t now)
{
    uint32_t addr = route->via ? route->via : daddr;
    if (!hop->entry || hop->addr != addr || hop->port != route->port) {
        hop->addr = addr;
        hop->port = route->port;
        hop->entry = nf_neighbours_find(&l3->neighbours, &addr, route->port);
    }
    if (hop->entry)
        nf_neighbours_use(&l3->neighbours, &addr, hop->entry, now);
    else
        nf_neighbours_want(&l3->neighbours, &addr, route->port, now);
    return hop->entry;
}

static void forward_packet(struct nf_l3 *l3, struct nf_packet *p, struct hop *hop, uint64_t now)
{
    bool local = p->flags & (NF_P_EMITTED | NF_P_LOCAL);
    const struct nf_route *route = nf_l3_route(l3, p->daddr);
    if (!local && p->data[p->l3 + 8] <= 1) { /* translated on its way in: its sender would not know it */
        nf_drop(l3->nf, p, NF_L3_TTL);
    } else if (!route) {
        nf_l3_send_error(l3, p, NF_ICMP_UNREACHABLE, 0, 0, now);
        nf_drop(l3->nf, p, NF_L3_NO_ROUTE);
    } else if (nf_addr_many(p->daddr) || link_broadcast(l3, route, p->daddr)) {
        nf_drop(l3->nf, p, NF_L3_BROADCAST);
    } else if (nf_l3_ip_length(p) > l3->config->port[route->port].mtu) { /* for the same reason not told */
        nf_drop(l3->nf, p, NF_L3_TOO_BIG);
    } else if (!find_hop(l3, hop, route, p->daddr, now)) {
        if (nf_neighbours_is_unreachable(&l3->neighbours, &hop->addr, hop->port, now))
            nf_l3_tell_unreachable(l3, p, now);
        nf_drop(l3->nf, p, NF_L3_NO_NEIGHBOUR);
    } else {
        memcpy(p->data, hop->entry->mac, 6);
        memcpy(p->data + 6, l3->config->port[route->port].mac, 6);
        p->out_port = route->port;
        if (!local)
            nf_packet_dec_ttl(p);
    }
}

void nf_l3_out(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct hop hop = {.entry = NULL};
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        if (p->flags & NF_P_EMITTED && p->flags & NF_P_ARP)
            continue;
        if (p->flags & NF_P_IPV6_READ && l3->ipv6.neighbours.map)
            nf_l3_out_ipv6(l3, p, now);
        else if (!(p->flags & NF_P_IPV4))
            nf_drop(l3->nf, p, NF_L3_PROTOCOL);
        else if (!nf_l3_is_own(l3, p->daddr, NF_L3_ANY_PORT) || answer_echo(l3, p))
            forward_packet(l3, p, &hop, now);
    }
}
