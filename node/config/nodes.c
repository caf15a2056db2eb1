/* SPDX-License-Identifier: Apache-2.0 */
/* The two nodes of a pair and its drills. Everything here may differ between nodes; the chain may not. */
#include "node/config/parts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const char *const roles[] = {"primary", "standby", NULL};
static const char *const realtimes[] = {"false", "true", "auto", NULL};

struct raw_node {
    struct nd_node node;
    const struct nd_yaml *ports, *eal, *track, *hooks;
    struct nd_endpoint replication, metrics;
    char control[192]; /* as written */
};

#define AT(member) offsetof(struct raw_node, member)
static const struct nf_param node_keys[] = {
    {"role", NF_CHOICE, AT(node.role), 0, 0, NULL, roles, "at the very first start", false},
    {"ports", ND_KIND(ND_MAP), AT(ports), 0, 0, NULL, NULL, "DPDK device by port", false},
    {"replication", ND_KIND(ND_ENDPOINT), AT(replication), 0, 0, NULL, NULL, "address of the link", false},
    {"control", ND_KIND(ND_TEXT), AT(control), 0, 192, NULL, NULL, "unix socket", false},
    {"metrics", ND_KIND(ND_ENDPOINT), AT(metrics), 0, 0, "", NULL, "Prometheus reads there", false},
    {"state", ND_KIND(ND_TEXT), AT(node.state), 0, 192, "", NULL, "directory of the view file", false},
    {"eal", ND_KIND(ND_LIST), AT(eal), 0, ND_EAL_MAX, "", NULL, "further EAL arguments", false},
    {"mbufs", NF_U32, AT(node.mbufs), 1024, 1048576, "16384", NULL, "packet buffers", false},
    {"memory_mb", NF_U32, AT(node.memory_mb), 64, 1048576, "512", NULL, "of DPDK", false},
    {"hugepages", NF_BOOL, AT(node.hugepages), 0, 0, "false", NULL, "use them", false},
    {"realtime", NF_CHOICE, AT(node.realtime), 0, 0, "auto", realtimes, "before other work", false},
    {"user", ND_KIND(ND_TEXT), AT(node.user), 0, 33, "", NULL, "that the node becomes", false},
    {"core", NF_BOOL, AT(node.core), 0, 0, "false", NULL, "a core file when it crashes", false},
    {"track", ND_KIND(ND_LIST), AT(track), 0, ND_TRACKED_MAX, "", NULL, "what it needs to serve", false},
    {"hooks", ND_KIND(ND_LIST), AT(hooks), 0, ND_HOOKS_MAX, "", NULL, "who is told events", false},
    {0},
};
#undef AT

struct raw_drill {
    bool permit;
    const struct nd_yaml *probe;
    struct nd_probe of_probe;
    uint32_t address, port;
};

#define AT(member) offsetof(struct raw_drill, member)
static const struct nf_param drill_keys[] = {
    {"permit", NF_BOOL, AT(permit), 0, 0, "false", NULL, "a peer may ask for kills", false},
    {"probe", ND_KIND(ND_MAP), AT(probe), 0, 0, "", NULL, "echo across the chain", false},
    {0},
};

static const struct nf_param probe_keys[] = {
    {"from", ND_KIND(ND_NAME), AT(of_probe.from), 0, 64, "", NULL, "namespace of the client", false},
    {"to", ND_KIND(ND_NAME), AT(of_probe.to), 0, 64, "", NULL, "namespace of the server", false},
    {"address", NF_IPV4, AT(address), 0, 0, NULL, NULL, "of the server", false},
    {"port", NF_U32, AT(port), 1, 65535, NULL, NULL, "of the server", false},
    {0},
};
#undef AT

/* One device per port, which is that of each interface on it; a wire's are called inside and outside. */
static int read_ports(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *ports)
{
    static const char *const wire[] = {"inside", "outside"};
    const struct nf_l3_config *l3 = r->config->chain.l3;
    char device[NF_PORTS_MAX][sizeof(node->port[0])], what[64];
    unsigned count = l3 ? l3->ports : 2;
    struct nf_param keys[NF_PORTS_MAX + 1];
    int error;

    memset(keys, 0, sizeof(keys));
    memset(device, 0, sizeof(device));
    for (unsigned i = 0; i < count; i++) {
        unsigned number = l3 ? l3->port[i].device : i;

        keys[number] = (struct nf_param){.name = l3 ? l3->port[i].port : wire[i],
                                         .kind = ND_KIND(ND_TEXT),
                                         .offset = number * sizeof(device[0]),
                                         .max = sizeof(device[0])};
    }
    snprintf(what, sizeof(what), "node %s ports", node->name);
    error = nd_schema_read(r->arena, ports, what, keys, device, r->fault);
    for (unsigned i = 0; i < count && !error; i++)
        memcpy(node->port[i], device[l3 ? l3->port[i].device : i], sizeof(device[0]));
    return error;
}

/* The control socket; the state directory is where it lies unless said. */
static int read_paths(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *at,
                      const struct raw_node *raw)
{
    const struct nd_yaml *state = nd_yaml_get(at, "state");
    char what[48];
    int error;

    snprintf(what, sizeof(what), "node %s control", node->name);
    error =
        nd_read_path(r, nd_yaml_get(at, "control"), what, raw->control, node->control, sizeof(node->control));
    if (error)
        return error;
    snprintf(what, sizeof(what), "node %s state", node->name);
    if (state)
        return nd_read_path(r, state, what, raw->node.state, node->state, sizeof(node->state));
    const char *slash = strrchr(node->control, '/');
    size_t len = slash ? (size_t)(slash - node->control) : 0;

    snprintf(node->state, sizeof(node->state), "%.*s", len ? (int)len : 1, slash ? node->control : ".");
    return 0;
}

static int read_node(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param text = {.kind = ND_KIND(ND_TEXT), .max = sizeof(r->config->node->eal[0])};
    struct nd_node *node = &r->config->node[r->config->nodes];
    struct raw_node raw = {.control = ""};
    char what[48];
    int error;

    if (strlen(at->key) >= sizeof(node->name) || !nd_parse_name(at->key))
        return nd_yaml_fail(r->fault, at, "node name \"%.40s\", expected at most 31 letters, digits, - and _",
                            at->key);
    snprintf(what, sizeof(what), "node %s", at->key);
    error = nd_schema_read(r->arena, at, what, node_keys, &raw, r->fault);
    if (error)
        return error;
    *node = raw.node;
    snprintf(node->name, sizeof(node->name), "%s", at->key);
    node->tcp_port = raw.replication.port;
    inet_ntop(AF_INET, &raw.replication.addr, node->host, sizeof(node->host));
    node->metrics_port = raw.metrics.port;
    inet_ntop(AF_INET, &raw.metrics.addr, node->metrics_host, sizeof(node->metrics_host));
    error = read_ports(r, node, raw.ports);
    for (const struct nd_yaml *e = raw.eal ? raw.eal->first : NULL; e && !error; e = e->next)
        error = nd_schema_value(r->arena, e, "eal entry", &text, node->eal[node->eals++], r->fault);
    if (!error)
        error = read_paths(r, node, at, &raw);
    if (!error && raw.track)
        error = nd_read_tracks(r, node, raw.track);
    if (!error && raw.hooks)
        error = nd_read_hooks(r, node, raw.hooks);
    r->config->nodes += !error;
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

static int read_drill(struct nd_reading *r)
{
    struct nd_probe *probe = &r->config->probe;
    struct raw_drill raw = {.permit = false};
    int error = nd_schema_read(r->arena, r->at.drill, "drill", drill_keys, &raw, r->fault);

    r->config->drill_permit = raw.permit;
    if (error || !raw.probe)
        return error;
    error = nd_schema_read(r->arena, raw.probe, "drill probe", probe_keys, &raw, r->fault);
    *probe = raw.of_probe;
    inet_ntop(AF_INET, &raw.address, probe->address, sizeof(probe->address));
    probe->port = (uint16_t)raw.port;
    return error;
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
