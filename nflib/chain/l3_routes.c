/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the chain has of addresses and routes, by its configuration: own addresses, and where each destination
 * leads, as a sorted list or, where a file has routes, as what the values of its table mean. Made with the
 * chain, and then read by its lane alone. Finds the routes of a whole burst by the table.
 */
#include "nflib/chain/l3_parts.h"

#include <string.h>

/* `via` is NULL on a link. */
static void add_route(struct nf_l3_family *f, const struct nf_net *to, const struct nf_addr *via,
                      uint8_t port)
{
    struct nf_l3_route route = {
        .via = via ? *via : to->addr, .bits = to->bits, .port = port, .on_link = !via};
    uint32_t at = f->routes++;

    for (unsigned i = 0; i < 16; i++) {
        unsigned bits = to->bits > 8 * i ? to->bits - 8 * i : 0;

        route.mask.byte[i] = (uint8_t)(bits < 8 ? 0xff00 >> bits : 0xff);
        route.addr.byte[i] = to->addr.byte[i] & route.mask.byte[i];
    }
    for (; at > 0 && f->route[at - 1].bits < route.bits; at--)
        f->route[at] = f->route[at - 1];
    f->route[at] = route;
}

/* What the values of the table mean. */
static void read_table(struct nf_l3_family *f, const struct nf_l3_config *config, bool ipv6)
{
    const struct nf_routed *routed = config->routed;

    f->table = routed ? routed->table[ipv6] : NULL;
    for (uint8_t i = 0; f->table && i < config->ports; i++)
        f->by[NF_ROUTED_LINK + i] = (struct nf_l3_route){.port = i, .on_link = true};
    for (unsigned i = 0; f->table && i < config->routes[ipv6]; i++)
        f->by[NF_ROUTED_ROUTE + i] =
            (struct nf_l3_route){.via = config->route[ipv6][i].via, .port = config->route[ipv6][i].port};
    for (unsigned i = 0; f->table && i < routed->hops[ipv6]; i++)
        f->by[NF_ROUTED_HOP + i] =
            (struct nf_l3_route){.via = routed->hop[ipv6][i].addr, .port = routed->hop[ipv6][i].port};
}

void nf_l3_read_family(struct nf_l3_family *f, const struct nf_l3_config *config, bool ipv6)
{
    for (uint8_t i = 0; i < config->ports; i++) {
        const struct nf_interface *port = &config->port[i];

        if (port->net[ipv6].bits) {
            if (ipv6)
                f->own[f->owns++] = (struct nf_l3_own){port->local, i};
            f->own[f->owns++] = (struct nf_l3_own){port->net[ipv6].addr, i};
            add_route(f, &port->net[ipv6], NULL, i);
        }
        for (unsigned e = 0; e < port->extras[ipv6]; e++)
            f->own[f->owns++] = (struct nf_l3_own){port->extra[ipv6][e], i};
    }
    for (const struct nf_route *r = config->route[ipv6]; r < config->route[ipv6] + config->routes[ipv6]; r++)
        add_route(f, &r->to, &r->via, r->port);
    read_table(f, config, ipv6);
}

/* Where the packets' routes are by a table, if they are of the family. */
static void find_routes(const struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, bool ipv6,
                        const struct nf_l3_route *found[])
{
    const struct nf_l3_family *f = &l3->family[ipv6];
    const uint8_t *addr[NF_LPM_ALL_MAX];
    uint32_t value[NF_LPM_ALL_MAX], of[NF_LPM_ALL_MAX], count = 0;

    for (uint32_t i = 0; i < n; i++)
        if (packets[i]->flags & (ipv6 ? NF_P_IPV6_READ : NF_P_IPV4)) {
            addr[count] =
                ipv6 ? nf_packet_ipv6_addresses(packets[i]) + 16 : (const uint8_t *)&packets[i]->daddr;
            of[count++] = i;
        }
    if (!count)
        return;
    nf_lpm_find_all(f->table, addr, count, value);
    for (uint32_t k = 0; k < count; k++)
        found[of[k]] = value[k] ? &f->by[value[k]] : NULL;
}

void nf_l3_find_ahead(const struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n,
                      const struct nf_l3_route *found[])
{
    n = n < NF_LPM_ALL_MAX ? n : NF_LPM_ALL_MAX;
    memset(found, 0, n * sizeof(*found));
    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++)
        if (l3->family[ipv6].table)
            find_routes(l3, packets, n, ipv6, found);
}
