/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's interfaces, routes and next hops of both families, and the ports and VLAN tags by which its
 * frames are known, checked against each other. Without interfaces the chain is a wire.
 */
#include "node/config/parts.h"

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

/* ---- interfaces ------------------------------------------------------------------------------ */

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
    {"address", ND_KIND(ND_INTERFACE), AT(port.net[NF_IP4]), 0, 0, "", NULL, "of both nodes, in turn", false},
    {"address6", ND_KIND(ND_INTERFACE6), AT(port.net[NF_IP6]), 0, 0, "", NULL, "the same of IPv6", false},
    {"extra", ND_KIND(ND_LIST), AT(extra), 0, 8, "", NULL, "further own addresses", false},
    {"mtu", NF_U32, AT(mtu), MTU_LEAST, MTU_MOST, "1500", NULL, "larger packets do not leave here", false},
    {"mac", ND_KIND(ND_MAC), AT(port.mac), 0, 0, "", NULL, "virtual, of both nodes", false},
    {0},
};
#undef AT

static bool is_own(const struct nf_interface *port, const struct nf_addr *addr)
{
    bool ipv6 = nf_addr_is_ipv6(addr);

    for (unsigned i = 0; i < port->extras[ipv6]; i++)
        if (nf_addr_same(&port->extra[ipv6][i], addr))
            return true;
    return nf_addr_same(&port->net[ipv6].addr, addr) || (ipv6 && nf_addr_same(&port->local, addr));
}

/* A host's, and not of one link alone: the link-local address is made of the MAC. */
static bool may_be_own(const struct nf_addr *addr)
{
    return nf_addr_is_host(addr) && !nf_ipv6_link_local(addr->byte);
}

/* fe80::/64 and the modified EUI-64 of the MAC (RFC 4291, appendix A). */
static struct nf_addr derive_link_local(const uint8_t mac[6])
{
    return (struct nf_addr){
        .byte = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}};
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

static int add_extra(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port,
                     const struct nf_addr *addr)
{
    bool ipv6 = nf_addr_is_ipv6(addr);
    char text[NF_ADDR_TEXT];

    nf_addr_text(addr, text);
    if (!may_be_own(addr))
        return nd_yaml_fail(r->fault, at, "%s is no host's address, expected an address of this chain", text);
    if (ipv6 && !port->net[ipv6].bits)
        return nd_yaml_fail(r->fault, at, "interface %s has no address6, expected one in front of %s",
                            port->name, text);
    if (is_own(port, addr))
        return 0;
    if (port->extras[ipv6] == NF_EXTRAS_MAX)
        return nd_yaml_fail(r->fault, at, "too many own addresses on interface %s, expected at most %u",
                            port->name, NF_EXTRAS_MAX);
    port->extra[ipv6][port->extras[ipv6]++] = *addr;
    return 0;
}

/* The interface's address of a family, and its network, beside those of the others. */
static int check_net(struct nd_reading *r, const struct nd_yaml *at, const struct nf_interface *port,
                     bool ipv6)
{
    const struct nf_l3_config *l3 = &r->config->l3;
    const struct nf_net *net = &port->net[ipv6];
    const char *key = ipv6 ? "address6" : "address";
    char text[NF_ADDR_TEXT];

    if (!net->bits)
        return 0;
    at = nd_yaml_get(at, key);
    if (!may_be_own(&net->addr) || nf_net_is_edge(net, &net->addr))
        return nd_yaml_fail(r->fault, at, "interface %s %s is %s, expected an address of a host%s",
                            port->name, key, ipv6 ? at->text : nf_addr_text(&net->addr, text),
                            nf_ipv6_link_local(net->addr.byte) ? ", the link-local one is made of the MAC"
                                                               : "");
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_net *other = &l3->port[i].net[ipv6];

        if (other->bits && nf_net_has(other->bits < net->bits ? other : net,
                                      other->bits < net->bits ? &net->addr : &other->addr))
            return nd_yaml_fail(r->fault, at,
                                "interface %s is in the network of %s, expected another network", port->name,
                                l3->port[i].name);
    }
    return 0;
}

static int check_interface(struct nd_reading *r, const struct nd_yaml *at, const struct nf_interface *port)
{
    const struct nf_l3_config *l3 = &r->config->l3;
    int error;

    if (!port->net[NF_IP4].bits && !port->net[NF_IP6].bits)
        return nd_yaml_fail(r->fault, at, "interface %s has no address, expected address, address6 or both",
                            port->name);
    if (port->net[NF_IP6].bits && port->mtu < MTU_LEAST_IPV6)
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "mtu"),
                            "interface %s mtu is %u, expected %u or more on a link with IPv6", port->name,
                            port->mtu, MTU_LEAST_IPV6);
    if (port->mtu + ETHERNET + nf_vlan_bytes(&port->vlan) > r->config->chain.frame_max)
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "mtu"),
                            "interface %s mtu is %u, expected %u or less with frame_max %u", port->name,
                            port->mtu, r->config->chain.frame_max - ETHERNET - nf_vlan_bytes(&port->vlan),
                            r->config->chain.frame_max);
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *o = &l3->port[i];

        if (strcmp(o->name, port->name) == 0)
            return nd_yaml_fail(r->fault, nd_yaml_get(at, "name"),
                                "interface %s again, expected another name", port->name);
        if (memcmp(o->mac, port->mac, 6) == 0 && o->device != port->device)
            return nd_yaml_fail(r->fault, at, "interface %s has the mac of %s, expected another mac",
                                port->name, o->name);
    }
    error = check_net(r, at, port, false);
    return error ? error : check_net(r, at, port, true);
}

static int read_interface(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param extra_kind = {.kind = ND_KIND(ND_ADDRESS)};
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
    port->pcp_of_dscp = raw.pcp;
    error = read_vlan(r, at, raw.vlan, raw.tpid, port);
    if (error)
        return error;
    if (memcmp(port->mac, none, 6) == 0)
        choose_mac(r->config, port);
    if (port->net[NF_IP6].bits)
        port->local = derive_link_local(port->mac);
    error = check_interface(r, at, port);
    for (const struct nd_yaml *e = raw.extra ? raw.extra->first : NULL; e && !error; e = e->next) {
        struct nf_addr addr;

        error = nd_schema_value(r->arena, e, "interface extra entry", &extra_kind, &addr, r->fault);
        if (!error)
            error = add_extra(r, e, port, &addr);
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
            if (l3->port[k / hosts.count].side == NF_OUTSIDE) {
                struct nf_addr addr = nf_addr_of_ipv4(hosts.list[k % hosts.count]);

                error = add_extra(r, r->nf_at[i], &l3->port[k / hosts.count], &addr);
            }
    }
    return error;
}

/* ---- routes, next hops, neighbours ------------------------------------------------------------- */

/* The interface on whose link `hop` is, for a neighbour: not the chain itself. */
static int port_of(struct nd_reading *r, const struct nd_yaml *at, const char *what, const struct nd_hop *hop)
{
    const struct nf_l3_config *l3 = &r->config->l3;
    bool ipv6 = nf_addr_is_ipv6(&hop->addr), local = nf_ipv6_link_local(hop->addr.byte);

    if (local != (hop->interface[0] != 0))
        return nd_yaml_fail(r->fault, at, "%s is %s, expected %s", what, at->text,
                            local ? "%INTERFACE behind a link-local address"
                                  : "no %INTERFACE behind an address that is not link-local");
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *port = &l3->port[i];
        const struct nf_net *net = &port->net[ipv6];

        if (!net->bits || (local ? strcmp(port->name, hop->interface) != 0 : !nf_net_has(net, &hop->addr)))
            continue;
        if (is_own(port, &hop->addr) || nf_net_is_edge(net, &hop->addr))
            return nd_yaml_fail(r->fault, at, "%s is %s, %s, expected a neighbour in the network of %s", what,
                                at->text, is_own(port, &hop->addr) ? "the chain's own" : "no host's",
                                port->name);
        return (int)i;
    }
    return nd_yaml_fail(r->fault, at, "%s is %s, expected an address in the network of an interface", what,
                        at->text);
}

static int read_route(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param keys[] = {
        {"to", ND_KIND(ND_NETWORK46), 0, 0, 0, NULL, NULL, "network", false},
        {"via", ND_KIND(ND_HOP), sizeof(struct nf_net), 0, 0, NULL, NULL, "next hop", false},
        {0},
    };
    struct nf_l3_config *l3 = &r->config->l3;
    const struct nd_yaml *via = nd_yaml_get(at, "via");
    struct {
        struct nf_net to;
        struct nd_hop via;
    } raw = {.via = {.interface = ""}};
    int port = nd_schema_read(r->arena, at, "route", keys, &raw, r->fault);
    bool ipv6 = raw.to.ipv6;

    if (port == 0 && nf_addr_is_ipv6(&raw.via.addr) != ipv6)
        return nd_yaml_fail(r->fault, via, "route via is %s, expected an address of %s, as `to`", via->text,
                            ipv6 ? "IPv6" : "IPv4");
    if (port == 0)
        port = port_of(r, via, "route via", &raw.via);
    if (port < 0)
        return port;
    for (unsigned i = 0; i < l3->routes[ipv6]; i++)
        if (l3->route[ipv6][i].to.bits == raw.to.bits &&
            nf_addr_same(&l3->route[ipv6][i].to.addr, &raw.to.addr))
            return nd_yaml_fail(r->fault, at, "a second route to one network, expected one");
    l3->route[ipv6][l3->routes[ipv6]++] =
        (struct nf_route){.to = raw.to, .via = raw.via.addr, .port = (uint8_t)port};
    return 0;
}

static int read_next_hop(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_HOP)};
    struct nf_l3_config *l3 = &r->config->l3;
    struct nd_hop hop = {.interface = ""};
    int port = nd_schema_value(r->arena, at, "next_hops entry", &kind, &hop, r->fault);
    bool ipv6 = nf_addr_is_ipv6(&hop.addr);

    if (port == 0)
        port = port_of(r, at, "next hop", &hop);
    if (port < 0)
        return port;
    l3->next_hop[ipv6][l3->next_hops[ipv6]++] = (struct nf_hop){hop.addr, (uint8_t)port};
    return 0;
}

static int read_fixed(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param keys[] = {
        {"address", ND_KIND(ND_HOP), 0, 0, 0, NULL, NULL, "of the neighbour", false},
        {"mac", ND_KIND(ND_MAC), sizeof(struct nd_hop), 0, 0, NULL, NULL, "always", false},
        {0},
    };
    struct nf_l3_config *l3 = &r->config->l3;
    struct {
        struct nd_hop address;
        uint8_t mac[6];
    } raw = {.address = {.interface = ""}};
    int port = nd_schema_read(r->arena, at, "neighbour", keys, &raw, r->fault);

    if (port == 0)
        port = port_of(r, nd_yaml_get(at, "address"), "neighbour address", &raw.address);
    if (port < 0)
        return port;
    for (unsigned i = 0; i < l3->ports; i++)
        if (memcmp(l3->port[i].mac, raw.mac, 6) == 0)
            return nd_yaml_fail(r->fault, nd_yaml_get(at, "mac"),
                                "neighbour mac is that of interface %s, expected the neighbour's own",
                                l3->port[i].name);
    for (unsigned i = 0; i < l3->fixed_count; i++)
        if (l3->fixed[i].port == port && nf_addr_same(&l3->fixed[i].addr, &raw.address.addr))
            return nd_yaml_fail(r->fault, at, "neighbour %s again, expected each once",
                                nd_yaml_get(at, "address")->text);
    struct nf_fixed *fixed = &l3->fixed[l3->fixed_count++];

    *fixed = (struct nf_fixed){.addr = raw.address.addr, .port = (uint8_t)port};
    memcpy(fixed->mac, raw.mac, sizeof(fixed->mac));
    return 0;
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
