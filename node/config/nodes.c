/* SPDX-License-Identifier: Apache-2.0 */
/* The two nodes of a pair and its drills. Everything here may differ between nodes; the chain may not. */
#include "node/config/parts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const char *const roles[] = {"primary", "standby", NULL};

struct raw_node {
    uint32_t role, mbufs, memory_mb;
    const struct nd_yaml *ports, *eal;
    struct nd_endpoint replication;
    char control[192], state[192];
    bool hugepages, realtime;
};

#define AT(member) offsetof(struct raw_node, member)
static const struct nf_param node_keys[] = {
    {"role", NF_CHOICE, AT(role), 0, 0, NULL, roles, "at the very first start", false},
    {"ports", ND_KIND(ND_MAP), AT(ports), 0, 0, NULL, NULL, "DPDK device by interface", false},
    {"replication", ND_KIND(ND_ENDPOINT), AT(replication), 0, 0, NULL, NULL, "address of the link", false},
    {"control", ND_KIND(ND_TEXT), AT(control), 0, 192, NULL, NULL, "unix socket", false},
    {"state", ND_KIND(ND_TEXT), AT(state), 0, 192, "", NULL, "directory of the view file", false},
    {"eal", ND_KIND(ND_LIST), AT(eal), 0, ND_EAL_MAX, "", NULL, "further EAL arguments", false},
    {"mbufs", NF_U32, AT(mbufs), 1024, 1048576, "16384", NULL, "packet buffers", false},
    {"memory_mb", NF_U32, AT(memory_mb), 64, 1048576, "512", NULL, "of DPDK", false},
    {"hugepages", NF_BOOL, AT(hugepages), 0, 0, "false", NULL, "use them", false},
    {"realtime", NF_BOOL, AT(realtime), 0, 0, "false", NULL, "try a real-time priority", false},
    {0},
};
#undef AT

struct raw_drill {
    bool permit;
    const struct nd_yaml *probe;
};

static const struct nf_param drill_keys[] = {
    {"permit", NF_BOOL, offsetof(struct raw_drill, permit), 0, 0, "false", NULL, "a peer may ask for kills",
     false},
    {"probe", ND_KIND(ND_MAP), offsetof(struct raw_drill, probe), 0, 0, "", NULL, "echo across the chain",
     false},
    {0},
};

struct raw_probe {
    char from[64], to[64];
    uint32_t address, port;
};

#define AT(member) offsetof(struct raw_probe, member)
static const struct nf_param probe_keys[] = {
    {"from", ND_KIND(ND_NAME), AT(from), 0, 64, "", NULL, "namespace of the client", false},
    {"to", ND_KIND(ND_NAME), AT(to), 0, 64, "", NULL, "namespace of the server", false},
    {"address", NF_IPV4, AT(address), 0, 0, NULL, NULL, "of the server", false},
    {"port", NF_U32, AT(port), 1, 65535, NULL, NULL, "of the server", false},
    {0},
};
#undef AT

/* One device per interface; a wire's are called inside and outside. */
static int read_ports(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *ports)
{
    static const char *const wire[] = {"inside", "outside"};
    const struct nf_l3_config *l3 = r->config->chain.l3;
    struct nf_param keys[NF_PORTS_MAX + 1];
    unsigned count = l3 ? l3->ports : 2;
    char what[64];

    memset(keys, 0, sizeof(keys));
    for (unsigned i = 0; i < count; i++)
        keys[i] = (struct nf_param){.name = l3 ? l3->port[i].name : wire[i],
                                    .kind = ND_KIND(ND_TEXT),
                                    .offset = i * sizeof(node->port[0]),
                                    .max = sizeof(node->port[0])};
    snprintf(what, sizeof(what), "node %s ports", node->name);
    return nd_schema_read(r->arena, ports, what, keys, node->port, r->fault);
}

static int read_eal(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *list)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_TEXT), .max = sizeof(node->eal[0])};
    int error = 0;

    for (const struct nd_yaml *e = list ? list->first : NULL; e && !error; e = e->next)
        error = nd_schema_value(r->arena, e, "eal entry", &kind, node->eal[node->eals++], r->fault);
    return error;
}

/* The control socket, relative to the file; the state directory is where it lies unless said. */
static int read_paths(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *at,
                      const struct raw_node *raw)
{
    const char *dir = at->file->dir;
    const char *control = nd_path_join(r->arena, dir, raw->control);
    const char *state = nd_path_join(r->arena, dir, *raw->state ? raw->state : raw->control);
    const char *slash;
    int len;

    if (!control || !state)
        return nd_no_memory(r->fault);
    if (strlen(control) >= sizeof(node->control))
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "control"),
                            "node %s control is a path of %zu bytes, expected less than %zu", node->name,
                            strlen(control), sizeof(node->control));
    snprintf(node->control, sizeof(node->control), "%s", control);
    slash = *raw->state ? NULL : strrchr(state, '/');
    len = *raw->state ? (int)strlen(state) : !slash ? 0 : slash == state ? 1 : (int)(slash - state);
    if ((size_t)len >= sizeof(node->state))
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "state"),
                            "node %s state is a path of %d bytes, expected less than %zu", node->name, len,
                            sizeof(node->state));
    snprintf(node->state, sizeof(node->state), "%.*s", len ? len : 1, len ? state : ".");
    return 0;
}

static int read_node(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nd_node *node = &r->config->node[r->config->nodes];
    struct raw_node raw;
    char what[48];
    int error;

    if (strlen(at->key) >= sizeof(node->name) || !nd_parse_name(at->key))
        return nd_yaml_fail(r->fault, at, "node name \"%.40s\", expected at most 31 letters, digits, - and _",
                            at->key);
    snprintf(node->name, sizeof(node->name), "%s", at->key);
    snprintf(what, sizeof(what), "node %s", at->key);
    memset(&raw, 0, sizeof(raw));
    error = nd_schema_read(r->arena, at, what, node_keys, &raw, r->fault);
    if (error)
        return error;
    node->role = raw.role;
    node->mbufs = raw.mbufs;
    node->memory_mb = raw.memory_mb;
    node->hugepages = raw.hugepages;
    node->realtime = raw.realtime;
    node->tcp_port = raw.replication.port;
    inet_ntop(AF_INET, &raw.replication.addr, node->host, sizeof(node->host));
    error = read_ports(r, node, raw.ports);
    if (!error)
        error = read_eal(r, node, raw.eal);
    if (!error)
        error = read_paths(r, node, at, &raw);
    if (!error)
        r->config->nodes++;
    return error;
}

/* What must differ between the two. */
static int check_pair(struct nd_reading *r)
{
    const struct nd_node *a = &r->config->node[0], *b = &r->config->node[1];
    const struct nd_yaml *second = r->at.nodes->first->next;

    if (a->role == b->role)
        return nd_yaml_fail(r->fault, nd_yaml_get(second, "role"),
                            "nodes %s and %s are both %s, expected one primary and one standby", a->name,
                            b->name, roles[a->role]);
    if (strcmp(a->host, b->host) == 0 && a->tcp_port == b->tcp_port)
        return nd_yaml_fail(r->fault, nd_yaml_get(second, "replication"),
                            "nodes %s and %s have one replication address, expected two", a->name, b->name);
    if (strcmp(a->control, b->control) == 0)
        return nd_yaml_fail(r->fault, nd_yaml_get(second, "control"),
                            "nodes %s and %s have one control socket, expected two", a->name, b->name);
    return 0;
}

static int read_probe(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nd_probe *probe = &r->config->probe;
    struct raw_probe raw;
    int error;

    memset(&raw, 0, sizeof(raw));
    error = nd_schema_read(r->arena, at, "drill probe", probe_keys, &raw, r->fault);
    if (error)
        return error;
    memcpy(probe->from, raw.from, sizeof(probe->from));
    memcpy(probe->to, raw.to, sizeof(probe->to));
    inet_ntop(AF_INET, &raw.address, probe->address, sizeof(probe->address));
    probe->port = (uint16_t)raw.port;
    return 0;
}

static int read_drill(struct nd_reading *r)
{
    struct raw_drill raw = {.permit = false};
    int error = nd_schema_read(r->arena, r->at.drill, "drill", drill_keys, &raw, r->fault);

    if (error)
        return error;
    r->config->drill_permit = raw.permit;
    return raw.probe ? read_probe(r, raw.probe) : 0;
}

int nd_read_nodes(struct nd_reading *r)
{
    int error = 0;

    if (r->at.nodes) {
        if (r->at.nodes->count != ND_NODES)
            return nd_yaml_fail(r->fault, r->at.nodes, "nodes has %u entries, expected %u",
                                r->at.nodes->count, ND_NODES);
        for (const struct nd_yaml *e = r->at.nodes->first; e && !error; e = e->next)
            error = read_node(r, e);
        if (!error)
            error = check_pair(r);
    }
    return error || !r->at.drill ? error : read_drill(r);
}
