/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper in front of the nodes: where it is, its ports, and what it cannot stand in front of. */
#include "understudy/config/parts.h"
#include "ftcore/record/members.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

struct raw_keeper {
    struct nd_node place;
    uint32_t packets;
};

#define AT(member) offsetof(struct raw_keeper, member)
static const struct nf_param keeper_keys[] = {
    {"inputs", ND_KIND(ND_HOST_PORT), AT(place.inputs_host), 0, ND_HOST_MAX, NULL, NULL,
     "its address to the nodes", false},
    {"inputs_devices", ND_KIND(ND_LIST), ND_UNKEPT, 0, ND_INPUTS_DEVICES, "", NULL, "that carry them", false},
    {"ports", ND_KIND(ND_MAP), ND_UNKEPT, 0, 0, NULL, NULL, "DPDK device by port", false},
    {"control", ND_KIND(ND_PLACE), AT(place.control), 0, 103, NULL, NULL, "path of a unix socket", false},
    {"metrics", ND_KIND(ND_HOST_PORT), AT(place.metrics_host), 0, ND_HOST_MAX, "", NULL,
     "where Prometheus reads it", false},
    {"packets", NF_U32, AT(packets), 1024, 1048576, "16384", NULL, "that it keeps at most", false},
    {"eal", ND_KIND(ND_LIST), ND_UNKEPT, 0, ND_EAL_MAX, "", NULL, "further EAL arguments", false},
    {"mbufs", NF_U32, AT(place.mbufs), 1024, 1048576, "8192", NULL, "packet buffers", false},
    {"memory_mb", NF_U32, AT(place.memory_mb), 64, 1048576, "256", NULL, "of DPDK", false},
    {"hugepages", NF_BOOL, AT(place.hugepages), 0, 0, "false", NULL, "use them", false},
    {"user", ND_KIND(ND_TEXT), AT(place.user), 0, 33, "", NULL, "that the process becomes", false},
    {"core", NF_BOOL, AT(place.core), 0, 0, "false", NULL, "a core file when it crashes", false},
    {0},
};
#undef AT

/* One lane's log is what a keeper's bursts are numbered and confirmed by. */
static int check_protection(struct nd_reading *r, const struct nd_yaml *at)
{
    const struct nd_protect *p = &r->config->protect;

    if (r->config->chain.lanes != 1)
        return nd_yaml_fail(r->fault, at, "keepers with %u lanes, expected chain lanes: 1",
                            r->config->chain.lanes);
    if (!p->records || p->stores)
        return nd_yaml_fail(r->fault, at, "keepers with protect mode %s, standby %s, expected log and hot",
                            p->mode, nd_standbys[p->standby]);
    if (p->tail != ND_TAIL_EMIT)
        return nd_yaml_fail(r->fault, at,
                            "keepers with protect tail: suppress, expected emit: the keeper "
                            "drops what has left");
    if (!r->config->link.key[0])
        return nd_yaml_fail(r->fault, at,
                            "keepers without link key, expected link: { key: FILE }: what the "
                            "keeper says is known by it");
    return 0;
}

uint64_t nd_interfaces_digest(const struct nf_l3_config *l3)
{
    struct {
        char port[sizeof(l3->port->port)];
        uint16_t outer, inner, tpid;
        uint8_t pcp, side, mac[6];
    } all[NF_PORTS_MAX] = {0};

    for (unsigned i = 0; l3 && i < l3->ports; i++) {
        const struct nf_interface *in = &l3->port[i];

        memcpy(all[i].port, in->port, strlen(in->port));
        all[i].outer = in->vlan.outer;
        all[i].inner = in->vlan.inner;
        all[i].tpid = in->vlan.tpid;
        all[i].pcp = in->pcp_of_dscp;
        all[i].side = in->side;
        memcpy(all[i].mac, in->mac, sizeof(all[i].mac));
    }
    return XXH3_64bits(all, (l3 ? l3->ports : 0) * sizeof(all[0]));
}

int nd_config_keeper(const struct nd_config *config, const char *name)
{
    for (unsigned k = 0; k < config->keepers; k++)
        if (strcmp(config->keeper[k].name, name) == 0)
            return (int)k;
    return -1;
}

static int read_place(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param text = {.kind = ND_KIND(ND_TEXT), .max = sizeof(r->config->node->eal[0])};
    uint32_t number = r->config->keepers, *packets = &r->config->keeper_packets[number];
    struct nd_node *keeper = &r->config->keeper[number];
    const struct nd_yaml *eal = nd_yaml_get(at, "eal");
    struct raw_keeper raw = {.packets = 0};
    char what[48];
    int error;

    if (!ft_is_name(at->key, sizeof(keeper->name)) || nd_config_node(r->config, at->key) >= 0)
        return nd_yaml_fail(
            r->fault, at,
            "keeper name \"%.40s\", expected at most 31 letters, digits, - and _, and no node's", at->key);
    snprintf(what, sizeof(what), "keeper %s", at->key);
    error = nd_schema_read(r->arena, at, what, keeper_keys, &raw, r->fault);
    if (error)
        return error;
    *keeper = raw.place;
    snprintf(keeper->name, sizeof(keeper->name), "%s", at->key);
    for (*packets = 1024; *packets < raw.packets;)
        *packets *= 2;
    r->config->keepers++;
    for (const struct nd_yaml *e = eal ? eal->first : NULL; e && !error; e = e->next)
        error = nd_schema_value(r->arena, e, "eal entry", &text, keeper->eal[keeper->eals++], r->fault);
    if (!error)
        error = nd_read_inputs_devices(r, nd_yaml_get(at, "inputs_devices"), keeper);
    return error ? error : nd_read_ports(r, "keeper", keeper, nd_yaml_get(at, "ports"));
}

/* One that a datagram can be from: not 0.0.0.0, and none of a group. */
static bool is_host(const char *address)
{
    struct in_addr in;

    return inet_pton(AF_INET, address, &in) == 1 && in.s_addr != 0 && ntohl(in.s_addr) < 0xe0000000u;
}

static bool is_way(const char *host, uint16_t port, const struct nd_node *place)
{
    return port != 0 && port == place->inputs_port && strcmp(host, place->inputs_host) == 0;
}

/* Each process has its own address for messages of keepers and nodes, which no node's link has. */
static int check_inputs(struct nd_reading *r, const struct nd_yaml *at)
{
    const struct nd_config *c = r->config;

    for (unsigned i = 0; i < c->nodes + c->keepers; i++) {
        const struct nd_node *a = i < c->nodes ? &c->node[i] : &c->keeper[i - c->nodes];

        if (!is_host(a->inputs_host))
            return nd_yaml_fail(r->fault, at, "%s has inputs %s, expected the address of an interface",
                                a->name, a->inputs_host);
        for (unsigned k = 0; k < c->nodes; k++)
            if (is_way(c->node[k].host, c->node[k].tcp_port, a) ||
                is_way(c->node[k].second_host, c->node[k].second_port, a))
                return nd_yaml_fail(
                    r->fault, at, "%s has inputs %s:%u, the replication address of %s, expected another port",
                    a->name, a->inputs_host, a->inputs_port, c->node[k].name);
        for (unsigned k = i + 1; k < c->nodes + c->keepers; k++) {
            const struct nd_node *b = k < c->nodes ? &c->node[k] : &c->keeper[k - c->nodes];

            if (a->inputs_port == b->inputs_port && strcmp(a->inputs_host, b->inputs_host) == 0)
                return nd_yaml_fail(r->fault, at,
                                    "%s and %s have one address for inputs, %s:%u, expected two", a->name,
                                    b->name, a->inputs_host, a->inputs_port);
        }
    }
    return 0;
}

/* What a node would ask on ports that it does not have. */
static int check_tracks(struct nd_reading *r, const struct nd_yaml *at)
{
    const struct nd_config *c = r->config;

    for (unsigned i = 0; i < c->nodes; i++)
        for (unsigned k = 0; k < c->node[i].tracks; k++)
            if (c->node[i].track[k].kind == ND_TRACK_GATEWAY)
                return nd_yaml_fail(
                    r->fault, at, "node %s tracks a gateway, expected none: it has no ports behind a keeper",
                    c->node[i].name);
    return 0;
}

int nd_read_keeper(struct nd_reading *r)
{
    const struct nd_yaml *at = r->at.keepers;
    int error;

    if (!at)
        return 0;
    if (!r->at.nodes)
        return nd_yaml_fail(r->fault, at, "keepers without nodes, expected a pair file");
    if (at->count < 1 || at->count > ND_KEEPERS)
        return nd_yaml_fail(r->fault, at, "keepers has %u entries, expected 1 or 2", at->count);
    error = read_place(r, at->first);
    if (!error && at->first->next)
        error = read_place(r, at->first->next);
    if (!error)
        error = check_protection(r, at->first);
    if (!error)
        error = check_tracks(r, at->first);
    return error ? error : check_inputs(r, at->first);
}
