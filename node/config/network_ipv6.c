/* SPDX-License-Identifier: Apache-2.0 */
/* What of the chain's interfaces, routes and next hops is of IPv6, checked as network.c does that of IPv4. */
#include "nflib/net/ipv6.h"
#include "node/config/parts.h"

#include <arpa/inet.h>
#include <string.h>

static const struct nf_param route_keys[] = {
    {"to", ND_KIND(ND_NETWORK6), 0, 0, 0, NULL, NULL, "network", false},
    {"via", ND_KIND(ND_HOP6), sizeof(struct nd_prefix6), 0, 0, NULL, NULL, "next hop", false},
    {0},
};

bool nd_is_ipv6(const struct nd_yaml *at)
{
    return at && at->kind == ND_YAML_TEXT && strchr(at->text, ':');
}

static bool is_host(const uint8_t addr[16])
{
    return !nf_ipv6_martian(addr) && !nf_ipv6_many(addr);
}

static bool is_own(const struct nf_interface *port, const uint8_t addr[16])
{
    for (unsigned i = 0; i < port->extras6; i++)
        if (memcmp(port->extra6[i], addr, 16) == 0)
            return true;
    return memcmp(port->addr6, addr, 16) == 0 || memcmp(port->local6, addr, 16) == 0;
}

/* fe80::/64 and the modified EUI-64 of the MAC (RFC 4291, appendix A). */
static void derive_link_local(const uint8_t mac[6], uint8_t out[16])
{
    memset(out, 0, 16);
    out[0] = 0xfe;
    out[1] = 0x80;
    memcpy(out + 8, mac, 3);
    out[8] ^= 2;
    out[11] = 0xff;
    out[12] = 0xfe;
    memcpy(out + 13, mac + 3, 3);
}

int nd_read_interface6(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port,
                       const struct nd_prefix6 *address)
{
    const struct nf_l3_config *l3 = &r->config->l3;

    if (!port->bits6)
        return 0;
    memcpy(port->addr6, address->addr, 16);
    derive_link_local(port->mac, port->local6);
    if (!is_host(port->addr6) || nf_ipv6_link_local(port->addr6))
        return nd_yaml_fail(r->fault, at, "interface %s address6 is %s, expected an address of a host%s",
                            port->name, at->text,
                            nf_ipv6_link_local(port->addr6) ? ", the link-local one is made of the MAC" : "");
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *o = &l3->port[i];
        unsigned bits = o->bits6 < port->bits6 ? o->bits6 : port->bits6;

        if (bits && nf_ipv6_in_prefix(port->addr6, o->addr6, bits))
            return nd_yaml_fail(r->fault, at,
                                "interface %s is in the network of %s, expected another network", port->name,
                                o->name);
    }
    return 0;
}

int nd_read_extra6(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_IPV6)};
    struct nd_prefix6 extra;
    int error = nd_schema_value(r->arena, at, "interface extra entry", &kind, &extra, r->fault);

    if (error)
        return error;
    if (!is_host(extra.addr) || nf_ipv6_link_local(extra.addr))
        return nd_yaml_fail(r->fault, at, "%s is no host's address, expected an address of this chain",
                            at->text);
    if (!port->bits6)
        return nd_yaml_fail(r->fault, at, "interface %s has no address6, expected one in front of %s",
                            port->name, at->text);
    if (is_own(port, extra.addr))
        return 0;
    if (port->extras6 == sizeof(port->extra6) / sizeof(port->extra6[0]))
        return nd_yaml_fail(r->fault, at, "too many own addresses on interface %s, expected at most 8",
                            port->name);
    memcpy(port->extra6[port->extras6++], extra.addr, 16);
    return 0;
}

/* The interface on whose link `hop` is, for a neighbour: not the chain itself. */
static int port_of(struct nd_reading *r, const struct nd_yaml *at, const char *what,
                   const struct nd_hop6 *hop)
{
    const struct nf_l3_config *l3 = &r->config->l3;
    bool local = nf_ipv6_link_local(hop->addr);

    if (local != (hop->interface[0] != 0))
        return nd_yaml_fail(r->fault, at, "%s is %s, expected %s", what, at->text,
                            local ? "%INTERFACE behind a link-local address"
                                  : "no %INTERFACE behind an address that is not link-local");
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *port = &l3->port[i];

        if (!port->bits6 || (local ? strcmp(port->name, hop->interface) != 0
                                   : !nf_ipv6_in_prefix(hop->addr, port->addr6, port->bits6)))
            continue;
        if (is_own(port, hop->addr))
            return nd_yaml_fail(r->fault, at, "%s is %s, expected a neighbour in the network of %s", what,
                                at->text, port->name);
        return (int)i;
    }
    return nd_yaml_fail(r->fault, at, "%s is %s, expected an address in the network of an interface", what,
                        at->text);
}

int nd_read_route6(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nf_l3_config *l3 = &r->config->l3;
    struct {
        struct nd_prefix6 to;
        struct nd_hop6 via;
    } raw = {.via = {.interface = ""}};
    int port = nd_schema_read(r->arena, at, "route", route_keys, &raw, r->fault);

    if (port == 0)
        port = port_of(r, nd_yaml_get(at, "via"), "route via", &raw.via);
    if (port < 0)
        return port;
    for (unsigned i = 0; i < l3->routes6; i++)
        if (l3->route6[i].bits == raw.to.bits && memcmp(l3->route6[i].addr, raw.to.addr, 16) == 0)
            return nd_yaml_fail(r->fault, at, "a second route to one network, expected one");
    struct nf_route6 *route = &l3->route6[l3->routes6++];

    route->bits = raw.to.bits;
    route->port = (uint8_t)port;
    memcpy(route->addr, raw.to.addr, 16);
    memcpy(route->via, raw.via.addr, 16);
    return 0;
}

int nd_read_fixed6(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param keys[] = {
        {"address", ND_KIND(ND_HOP6), 0, 0, 0, NULL, NULL, "of the neighbour", false},
        {"mac", ND_KIND(ND_MAC), sizeof(struct nd_hop6), 0, 0, NULL, NULL, "always", false},
        {0},
    };
    struct {
        struct nd_hop6 address;
        uint8_t mac[6];
    } raw = {.address = {.interface = ""}};
    struct nf_fixed fixed = {.ipv6 = true};
    int port = nd_schema_read(r->arena, at, "neighbour", keys, &raw, r->fault);

    if (port == 0)
        port = port_of(r, nd_yaml_get(at, "address"), "neighbour address", &raw.address);
    memcpy(fixed.addr, raw.address.addr, sizeof(fixed.addr));
    memcpy(fixed.mac, raw.mac, sizeof(fixed.mac));
    return port < 0 ? port : nd_add_fixed(r, at, &fixed, port);
}

int nd_read_next_hop6(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_HOP6)};
    struct nf_l3_config *l3 = &r->config->l3;
    struct nd_hop6 hop = {.interface = ""};
    int port = nd_schema_value(r->arena, at, "next_hops entry", &kind, &hop, r->fault);

    if (port == 0)
        port = port_of(r, at, "next hop", &hop);
    if (port < 0)
        return port;
    memcpy(l3->next_hop6[l3->next_hops6].addr, hop.addr, 16);
    l3->next_hop6[l3->next_hops6++].port = (uint8_t)port;
    return 0;
}
