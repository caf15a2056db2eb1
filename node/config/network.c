/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's interfaces, routes and next hops of both families, and the ports and VLAN tags by which its
 * frames are known, checked against each other. Without interfaces the chain is a wire.
 */
#include "node/config/parts.h"
#include "nflib/net/ipv6.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* ---- ports and VLANs ------------------------------------------------------------------------- */

enum nd_tpid { ND_TPID_8021Q, ND_TPID_8021AD };

static const struct nf_param vid_kind = {.kind = NF_U32, .min = 1, .max = NF_VLAN_MOST};

static int read_vid(struct nd_reading *r, const struct nd_yaml *at, uint16_t *vid)
{
    uint32_t value = 0;
    int error = nd_schema_value(r->arena, at, "interface vlan", &vid_kind, &value, r->fault);

    *vid = (uint16_t)value;
    return error;
}

/* A number, or two in a list, the outer tag's first. */
static int read_tags(struct nd_reading *r, const struct nd_yaml *vlan, struct nf_vlan *tags)
{
    int error;

    if (vlan->kind != ND_YAML_LIST)
        return read_vid(r, vlan, &tags->outer);
    if (vlan->count != 2)
        return nd_yaml_fail(r->fault, vlan,
                            "interface vlan is a list of %u, expected a number, or the outer tag's and the "
                            "inner one's",
                            vlan->count);
    error = read_vid(r, vlan->first, &tags->outer);
    return error ? error : read_vid(r, vlan->first->next, &tags->inner);
}

/* Ports are numbered as the file's interfaces name them first. */
static uint8_t device_of(struct nf_l3_config *l3, const struct nf_interface *port)
{
    for (unsigned i = 0; i < l3->ports; i++)
        if (strcmp(l3->port[i].port, port->port) == 0)
            return l3->port[i].device;
    return (uint8_t)l3->devices++;
}

/* The port and the tags of an interface whose names are read, beside the interfaces that are
 * there; `vlan` as it stands in the file, NULL: absent; `tpid` counts where the interface has that key. */
static int read_vlan(struct nd_reading *r, const struct nd_yaml *at, const struct nd_yaml *vlan,
                     uint32_t tpid, struct nf_interface *port)
{
    struct nf_l3_config *l3 = &r->config->l3;
    const struct nd_yaml *type = nd_yaml_get(at, "tpid");
    int error = vlan ? read_tags(r, vlan, &port->vlan) : 0;

    if (error)
        return error;
    if (type && !vlan)
        return nd_yaml_fail(r->fault, type, "interface %s has a tpid and no vlan, expected both", port->name);
    if (port->pcp_of_dscp && !vlan)
        return nd_yaml_fail(r->fault, at, "interface %s has a pcp and no vlan, expected both", port->name);
    port->vlan.tpid =
        (type ? tpid == ND_TPID_8021AD : port->vlan.inner != 0) ? NF_TPID_8021AD : NF_TPID_8021Q;
    if (!port->port[0])
        memcpy(port->port, port->name, sizeof(port->port));
    port->device = device_of(l3, port);
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *o = &l3->port[i];

        /* One of the same name is refused for that (network.c). */
        if (strcmp(o->name, port->name) != 0 && o->device == port->device &&
            o->vlan.outer == port->vlan.outer && o->vlan.inner == port->vlan.inner)
            return nd_yaml_fail(r->fault, vlan ? vlan : at,
                                "interface %s has port %s and %s of %s, expected another %s", port->name,
                                port->port, vlan ? "the vlan" : "no vlan, as that", o->name,
                                vlan ? "vlan" : "port, or a vlan");
    }
    return 0;
}

/* ---- IPv6 ------------------------------------------------------------------------------------ */

static int add_fixed(struct nd_reading *r, const struct nd_yaml *at, struct nf_fixed *fixed, int port)
{
    struct nf_l3_config *l3 = &r->config->l3;

    fixed->port = (uint8_t)port;
    for (unsigned i = 0; i < l3->ports; i++)
        if (memcmp(l3->port[i].mac, fixed->mac, 6) == 0)
            return nd_yaml_fail(r->fault, nd_yaml_get(at, "mac"),
                                "neighbour mac is that of interface %s, expected the neighbour's own",
                                l3->port[i].name);
    for (unsigned i = 0; i < l3->fixed_count; i++)
        if (l3->fixed[i].ipv6 == fixed->ipv6 && l3->fixed[i].port == fixed->port &&
            memcmp(l3->fixed[i].addr, fixed->addr, 16) == 0)
            return nd_yaml_fail(r->fault, at, "neighbour %s again, expected each once",
                                nd_yaml_get(at, "address")->text);
    l3->fixed[l3->fixed_count++] = *fixed;
    return 0;
}

static const struct nf_param route6_keys[] = {
    {"to", ND_KIND(ND_NETWORK6), 0, 0, 0, NULL, NULL, "network", false},
    {"via", ND_KIND(ND_HOP6), sizeof(struct nd_prefix6), 0, 0, NULL, NULL, "next hop", false},
    {0},
};

/* A text with a colon; NULL: no. */
static bool is_ipv6(const struct nd_yaml *at)
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

static int read_interface6(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port,
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

static int read_extra6(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port)
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
static int port_of6(struct nd_reading *r, const struct nd_yaml *at, const char *what,
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
            return nd_yaml_fail(r->fault, at,
                                "%s is %s, the chain's own, expected a neighbour in the network of %s", what,
                                at->text, port->name);
        return (int)i;
    }
    return nd_yaml_fail(r->fault, at, "%s is %s, expected an address in the network of an interface", what,
                        at->text);
}

static int read_route6(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nf_l3_config *l3 = &r->config->l3;
    struct {
        struct nd_prefix6 to;
        struct nd_hop6 via;
    } raw = {.via = {.interface = ""}};
    int port = nd_schema_read(r->arena, at, "route", route6_keys, &raw, r->fault);

    if (port == 0)
        port = port_of6(r, nd_yaml_get(at, "via"), "route via", &raw.via);
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

static int read_fixed6(struct nd_reading *r, const struct nd_yaml *at)
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
        port = port_of6(r, nd_yaml_get(at, "address"), "neighbour address", &raw.address);
    memcpy(fixed.addr, raw.address.addr, sizeof(fixed.addr));
    memcpy(fixed.mac, raw.mac, sizeof(fixed.mac));
    return port < 0 ? port : add_fixed(r, at, &fixed, port);
}

static int read_next_hop6(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_HOP6)};
    struct nf_l3_config *l3 = &r->config->l3;
    struct nd_hop6 hop = {.interface = ""};
    int port = nd_schema_value(r->arena, at, "next_hops entry", &kind, &hop, r->fault);

    if (port == 0)
        port = port_of6(r, at, "next hop", &hop);
    if (port < 0)
        return port;
    memcpy(l3->next_hop6[l3->next_hops6].addr, hop.addr, 16);
    l3->next_hop6[l3->next_hops6++].port = (uint8_t)port;
    return 0;
}

/* ---- interfaces, routes, next hops
 * ------------------------------------------------------------------------------- */

#define MTU_LEAST      576
#define MTU_LEAST_IPV6 1280 /* RFC 8200 */
#define ETHERNET       14u
#define MTU_MOST       (FT_FRAME_MAX - ETHERNET)

static const char *const sides[] = {"inside", "outside", NULL};
static const char *const pcps[] = {"zero", "dscp", NULL};
static const char *const tpids[] = {"802.1q", "802.1ad", NULL}; /* by enum nd_tpid */

struct raw_interface {
    struct nf_interface port;
    uint32_t side, mtu, tpid, pcp;
    struct nf_prefix address;
    struct nd_prefix6 address6;
    const struct nd_yaml *extra, *vlan;
};

#define AT(member) offsetof(struct raw_interface, member)
static const struct nf_param interface_keys[] = {
    {"name", ND_KIND(ND_NAME), AT(port.name), 0, 32, NULL, NULL, "its own", false},
    {"port", ND_KIND(ND_NAME), AT(port.port), 0, 32, "", NULL, "of the nodes, if called otherwise", false},
    {"vlan", ND_KIND(ND_ANY), AT(vlan), 0, 0, "", NULL, "of its frames on the port", false},
    {"tpid", NF_CHOICE, AT(tpid), 0, 0, "", tpids, "of the outer tag", false},
    {"pcp", NF_CHOICE, AT(pcp), 0, 0, "zero", pcps, "priority of the outer tag", false},
    {"side", NF_CHOICE, AT(side), 0, 0, NULL, sides, "of the chain", false},
    {"address", ND_KIND(ND_INTERFACE), AT(address), 0, 0, "", NULL, "of both nodes, in turn", false},
    {"address6", ND_KIND(ND_INTERFACE6), AT(address6), 0, 0, "", NULL, "the same of IPv6", false},
    {"extra", ND_KIND(ND_LIST), AT(extra), 0, 8, "", NULL, "further own addresses", false},
    {"mtu", NF_U32, AT(mtu), MTU_LEAST, MTU_MOST, "1500", NULL, "larger packets do not leave here", false},
    {"mac", ND_KIND(ND_MAC), AT(port.mac), 0, 0, "", NULL, "virtual, of both nodes", false},
    {0},
};
#undef AT

static const struct nf_param route_keys[] = {
    {"to", ND_KIND(ND_NETWORK), 0, 0, 0, NULL, NULL, "network", false},
    {"via", NF_IPV4, sizeof(struct nf_prefix), 0, 0, NULL, NULL, "next hop", false},
    {0},
};

static const struct nf_param address_kind = {.kind = NF_IPV4};

/* In a buffer of the C library's: one address a message. */
static const char *show_addr(uint32_t addr)
{
    return inet_ntoa((struct in_addr){addr});
}

/* Neither this host, nor loopback, nor multicast or above. */
static bool host_address(uint32_t addr)
{
    uint32_t first = ntohl(addr) >> 24;

    return first && first != 127 && first < 224;
}

/* A network's own or its broadcast address, in networks that have them. */
static bool network_or_broadcast(uint32_t addr, uint32_t mask)
{
    uint32_t host = ntohl(addr & ~mask), all = ntohl(~mask);

    return all > 1 && (host == 0 || host == all);
}

static bool own_address(const struct nf_interface *port, uint32_t addr)
{
    for (unsigned i = 0; i < port->extras; i++)
        if (port->extra[i] == addr)
            return true;
    return port->addr == addr;
}

/* Locally administered, of both nodes, the same after each start: a hash of the chain's name, the index. */
static void derive_mac(const char *chain, unsigned index, uint8_t mac[6])
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *chain; chain++)
        hash = (hash ^ (uint8_t)*chain) * 16777619u;
    mac[0] = 0x02;
    for (int i = 0; i < 4; i++)
        mac[1 + i] = (uint8_t)(hash >> (24 - 8 * i));
    mac[5] = (uint8_t)(index + 1);
}

/* That of the first interface on its port, as a kernel's sub-interfaces have that of their link. */
static void choose_mac(const struct nd_config *config, struct nf_interface *port)
{
    const struct nf_l3_config *l3 = &config->l3;

    for (unsigned i = 0; i < l3->ports; i++)
        if (l3->port[i].device == port->device) {
            memcpy(port->mac, l3->port[i].mac, sizeof(port->mac));
            return;
        }
    derive_mac(config->chain.name, l3->ports, port->mac);
}

static int add_extra(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port, uint32_t addr)
{
    if (!host_address(addr))
        return nd_yaml_fail(r->fault, at, "%s is no host's address, expected an address of this chain",
                            show_addr(addr));
    if (own_address(port, addr))
        return 0;
    if (port->extras == sizeof(port->extra) / sizeof(port->extra[0]))
        return nd_yaml_fail(r->fault, at, "too many own addresses on interface %s, expected at most 8",
                            port->name);
    port->extra[port->extras++] = addr;
    return 0;
}

static int check_interface(struct nd_reading *r, const struct nd_yaml *at, const struct nf_interface *port)
{
    const struct nf_l3_config *l3 = &r->config->l3;

    if (!port->addr && !port->bits6)
        return nd_yaml_fail(r->fault, at, "interface %s has no address, expected address, address6 or both",
                            port->name);
    if (port->bits6 && port->mtu < MTU_LEAST_IPV6)
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "mtu"),
                            "interface %s mtu is %u, expected %u or more on a link with IPv6", port->name,
                            port->mtu, MTU_LEAST_IPV6);
    if (port->mtu + ETHERNET + nf_vlan_bytes(&port->vlan) > r->config->chain.frame_max)
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "mtu"),
                            "interface %s mtu is %u, expected %u or less with frame_max %u", port->name,
                            port->mtu, r->config->chain.frame_max - ETHERNET - nf_vlan_bytes(&port->vlan),
                            r->config->chain.frame_max);
    if (port->addr && (!host_address(port->addr) || network_or_broadcast(port->addr, port->mask)))
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "address"),
                            "interface %s address is %s, expected an address of a host", port->name,
                            show_addr(port->addr));
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *o = &l3->port[i];

        if (strcmp(o->name, port->name) == 0)
            return nd_yaml_fail(r->fault, nd_yaml_get(at, "name"),
                                "interface %s again, expected another name", port->name);
        if (o->addr && port->addr && ((o->addr ^ port->addr) & o->mask & port->mask) == 0)
            return nd_yaml_fail(r->fault, nd_yaml_get(at, "address"),
                                "interface %s is in the network of %s, expected another network", port->name,
                                o->name);
        if (memcmp(o->mac, port->mac, 6) == 0 && o->device != port->device)
            return nd_yaml_fail(r->fault, at, "interface %s has the mac of %s, expected another mac",
                                port->name, o->name);
    }
    return 0;
}

static int read_interface(struct nd_reading *r, const struct nd_yaml *at)
{
    static const uint8_t none[6];
    struct nf_l3_config *l3 = &r->config->l3;
    struct nf_interface *port = &l3->port[l3->ports];
    struct raw_interface raw = {.side = 0};
    int error = nd_schema_read(r->arena, at, "interface", interface_keys, &raw, r->fault);

    if (error)
        return error;
    *port = raw.port;
    port->side = (uint8_t)raw.side;
    port->mtu = (uint16_t)raw.mtu;
    port->addr = raw.address.addr;
    port->mask = raw.address.mask;
    port->bits6 = raw.address6.bits;
    port->pcp_of_dscp = raw.pcp;
    error = read_vlan(r, at, raw.vlan, raw.tpid, port);
    if (error)
        return error;
    if (memcmp(port->mac, none, 6) == 0)
        choose_mac(r->config, port);
    error = check_interface(r, at, port);
    if (!error)
        error = read_interface6(r, nd_yaml_get(at, "address6"), port, &raw.address6);
    for (const struct nd_yaml *e = raw.extra ? raw.extra->first : NULL; e && !error; e = e->next) {
        uint32_t addr;

        if (is_ipv6(e)) {
            error = read_extra6(r, e, port);
            continue;
        }
        error = nd_schema_value(r->arena, e, "interface extra entry", &address_kind, &addr, r->fault);
        if (!error)
            error = add_extra(r, e, port, addr);
    }
    if (!error)
        l3->ports++;
    return error;
}

/* Both sides must be there: a chain lies between them. */
static int check_sides(struct nd_reading *r)
{
    unsigned count[2] = {0, 0};

    for (unsigned i = 0; i < r->config->l3.ports; i++)
        count[r->config->l3.port[i].side]++;
    if (count[NF_INSIDE] && count[NF_OUTSIDE])
        return 0;
    return nd_yaml_fail(r->fault, r->at.interfaces, "no interface on the %s, expected at least one each side",
                        count[NF_INSIDE] ? "outside" : "inside");
}

static struct nf_hosts own_of(const struct nd_reading *r, unsigned nf)
{
    const struct nf_param *p = r->own[nf];
    const char *at = p ? (const char *)r->config->chain.nfs[nf].config + p->offset : NULL;
    struct nf_hosts hosts = {.count = 0};

    if (at && p->kind == NF_HOSTS)
        memcpy(&hosts, at, sizeof(hosts));
    else if (at && *(const uint32_t *)at)
        hosts = (struct nf_hosts){.count = 1, .list = {*(const uint32_t *)at}};
    return hosts;
}

/* Addresses that NFs speak for (a NAT's outside address) are answered for where they are asked: outside. */
static int add_nf_addresses(struct nd_reading *r)
{
    struct nf_l3_config *l3 = &r->config->l3;
    int error = 0;

    for (unsigned i = 0; i < r->config->chain.count && !error; i++) {
        const struct nf_hosts hosts = own_of(r, i);

        for (unsigned k = 0; k < l3->ports * hosts.count && !error; k++)
            if (l3->port[k / hosts.count].side == NF_OUTSIDE)
                error = add_extra(r, r->nf_at[i], &l3->port[k / hosts.count], hosts.list[k % hosts.count]);
    }
    return error;
}

/* The interface whose network `hop` is in, for a neighbour: not the chain itself. */
static int port_of(struct nd_reading *r, const struct nd_yaml *at, const char *what, uint32_t hop)
{
    const struct nf_l3_config *l3 = &r->config->l3;

    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *port = &l3->port[i];

        if (!port->addr || ((hop ^ port->addr) & port->mask) != 0)
            continue;
        if (own_address(port, hop) || network_or_broadcast(hop, port->mask))
            return nd_yaml_fail(r->fault, at, "%s is %s, %s, expected a neighbour in the network of %s", what,
                                show_addr(hop), own_address(port, hop) ? "the chain's own" : "no host's",
                                port->name);
        return (int)i;
    }
    return nd_yaml_fail(r->fault, at, "%s is %s, expected an address in the network of an interface", what,
                        show_addr(hop));
}

static int read_route(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nf_l3_config *l3 = &r->config->l3;
    struct {
        struct nf_prefix to;
        uint32_t via;
    } raw = {.via = 0};
    if (is_ipv6(nd_yaml_get(at, "to")))
        return read_route6(r, at);
    int port = nd_schema_read(r->arena, at, "route", route_keys, &raw, r->fault);

    if (port == 0)
        port = port_of(r, nd_yaml_get(at, "via"), "route via", raw.via);
    if (port < 0)
        return port;
    for (unsigned i = 0; i < l3->routes; i++)
        if (l3->route[i].addr == raw.to.addr && l3->route[i].mask == raw.to.mask)
            return nd_yaml_fail(r->fault, at, "a second route to one network, expected one");
    l3->route[l3->routes++] =
        (struct nf_route){.addr = raw.to.addr, .mask = raw.to.mask, .via = raw.via, .port = (uint8_t)port};
    return 0;
}

static int read_next_hop(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nf_l3_config *l3 = &r->config->l3;
    uint32_t hop;
    if (is_ipv6(at))
        return read_next_hop6(r, at);
    int error = nd_schema_value(r->arena, at, "next_hops entry", &address_kind, &hop, r->fault);

    if (!error)
        error = port_of(r, at, "next hop", hop);
    if (error < 0)
        return error;
    l3->next_hop[l3->next_hops++] = hop;
    return 0;
}

static const struct nf_param fixed_keys[] = {
    {"address", NF_IPV4, offsetof(struct nf_fixed, addr), 0, 0, NULL, NULL, "of the neighbour", false},
    {"mac", ND_KIND(ND_MAC), offsetof(struct nf_fixed, mac), 0, 0, NULL, NULL, "always", false},
    {0},
};

/* `fixed` without a port, as it was read: it is checked against the others, and added with that. */
static int read_fixed(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nf_fixed fixed = {.ipv6 = false};
    uint32_t addr;

    if (is_ipv6(nd_yaml_get(at, "address")))
        return read_fixed6(r, at);
    int port = nd_schema_read(r->arena, at, "neighbour", fixed_keys, &fixed, r->fault);

    memcpy(&addr, fixed.addr, sizeof(addr));
    if (port == 0)
        port = port_of(r, nd_yaml_get(at, "address"), "neighbour address", addr);
    return port < 0 ? port : add_fixed(r, at, &fixed, port);
}

int nd_read_network(struct nd_reading *r)
{
    const struct nd_yaml *orphan = r->at.routes      ? r->at.routes
                                   : r->at.next_hops ? r->at.next_hops
                                                     : r->at.neighbours;
    int error = 0;

    if (!r->at.interfaces)
        return orphan
                   ? nd_yaml_fail(r->fault, orphan, "%s without interfaces, expected interfaces", orphan->key)
                   : 0;
    for (const struct nd_yaml *e = r->at.interfaces->first; e && !error; e = e->next)
        error = read_interface(r, e);
    if (!error && !(error = check_sides(r)))
        error = add_nf_addresses(r);
    for (const struct nd_yaml *e = r->at.routes ? r->at.routes->first : NULL; e && !error; e = e->next)
        error = read_route(r, e);
    for (const struct nd_yaml *e = r->at.next_hops ? r->at.next_hops->first : NULL; e && !error; e = e->next)
        error = read_next_hop(r, e);
    for (const struct nd_yaml *e = r->at.neighbours ? r->at.neighbours->first : NULL; e && !error;
         e = e->next)
        error = read_fixed(r, e);
    if (!error)
        r->config->chain.l3 = &r->config->l3;
    return error;
}
