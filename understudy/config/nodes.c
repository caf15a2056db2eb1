/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes, which the chain may not differ by: who they are and where they are reached, what they track, who
 * receives their events, and drills.
 */
#include "understudy/config/parts.h"
#include "ftcore/base/event_log.h"
#include "ftcore/record/members.h"
#include "understudy/base/interface.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* ---- track and hooks ------------------------------------------------------------------------- */

const char *const nd_track_kinds[] = {"interface", "gateway", "route", "script", "bgp", "bfd", NULL};
const char *const nd_hook_kinds[] = {"command", "fifo", "socket", NULL};
const char *const nd_export_kinds[] = {"tcp", "udp", "file", NULL};

_Static_assert(FT_EVENT_NAMES_END < 64, "an event is a bit");

/* What it is, is one of the first six, which read_track reads once more. */
#define AT(member) offsetof(struct nd_track, member)
static const struct nf_param track_keys[] = {
    {"interface", ND_KIND(ND_TEXT), AT(what), 0, IFNAMSIZ, "", NULL, "has carrier", false},
    {"gateway", NF_IPV4, AT(gateway), 0, 0, "", NULL, "answers ARP on a data port", false},
    {"route", ND_KIND(ND_NETWORK), AT(route), 0, 0, "", NULL, "is in the kernel's table", false},
    {"script", ND_KIND(ND_TEXT), AT(what), 0, ND_PATH_MAX, "", NULL, "ends with 0 in time", false},
    {"bgp", ND_KIND(ND_ADDRESS), ND_UNKEPT, 0, 0, "", NULL, "is a peer of FRR's bgpd, Established", false},
    {"bfd", ND_KIND(ND_ADDRESS), ND_UNKEPT, 0, 0, "", NULL, "is a peer of FRR's bfdd, up", false},
    {"weight", NF_U32, AT(weight), 1, 100, "10", NULL, "in the demotion counter", false},
    {"rise", NF_U32, AT(rise), 1, 100, "3", NULL, "good results until it is well", false},
    {"fall", NF_U32, AT(fall), 1, 100, "3", NULL, "bad results until it fails", false},
    {"every_ms", NF_U32, AT(every_ms), 100, 60000, "1000", NULL, "between two looks", false},
    {0},
};
#undef AT

/* The same: read_hook makes a place of the path. */
#define AT(member) offsetof(struct nd_hook, member)
static const struct nf_param hook_keys[] = {
    {"command", ND_KIND(ND_TEXT), AT(path), 0, ND_PATH_MAX, "", NULL, "run", false},
    {"fifo", ND_KIND(ND_TEXT), AT(path), 0, ND_PATH_MAX, "", NULL, "written to", false},
    {"socket", ND_KIND(ND_TEXT), AT(path), 0, ND_PATH_MAX, "", NULL, "sent to", false},
    {"events", ND_KIND(ND_LIST), ND_UNKEPT, 0, FT_EVENT_NAMES_END, "", NULL, "all unless named", false},
    {0},
};
#undef AT

ND_PORT_BEHIND(struct nd_export_to, host, port);
#define AT(member) offsetof(struct nd_export_to, member)
static const struct nf_param export_keys[] = {
    {"tcp", ND_KIND(ND_HOST_PORT), AT(host), 0, ND_HOST_MAX, "", NULL, "a collector of IPFIX", false},
    {"udp", ND_KIND(ND_HOST_PORT), AT(host), 0, ND_HOST_MAX, "", NULL, "the same", false},
    {"file", ND_KIND(ND_PLACE), AT(path), 0, ND_PATH_MAX, "", NULL, "of JSON lines", false},
    {0},
};
#undef AT

/* The one key of `kinds` that the entry has, which is its kind; NULL with the line: none, or two. */
static const struct nd_yaml *find_kind(struct nd_reading *r, const struct nd_yaml *at, const char *what,
                                       const char *const *kinds, const char *expected, uint32_t *kind)
{
    const struct nd_yaml *found = NULL;
    unsigned count = 0;

    for (uint32_t k = 0; kinds[k]; k++) {
        const struct nd_yaml *key = nd_yaml_get(at, kinds[k]);

        if (!key)
            continue;
        found = key;
        *kind = k;
        count++;
    }
    if (count == 1)
        return found;
    nd_yaml_fail(r->fault, at, "%s has %u of %s, expected one", what, count, expected);
    return NULL;
}

/* ---- tracked things ------------------------------------------------------------------------------ */

int nd_gateway_interface(const struct nf_l3_config *l3, uint32_t gateway)
{
    struct nf_addr addr = nf_addr_of_ipv4(gateway);

    for (unsigned i = 0; l3 && i < l3->ports; i++) {
        const struct nf_net *net = &l3->port[i].net[NF_IP4];

        if (net->bits && !nf_addr_same(&net->addr, &addr) && nf_net_has(net, &addr))
            return (int)i;
    }
    return -1;
}

/* A gateway is asked from a data port. */
static int find_port(struct nd_reading *r, const struct nd_yaml *at, const char *what, struct nd_track *track)
{
    int interface = nd_gateway_interface(r->config->chain.l3, track->gateway);

    track->port = (uint32_t)interface;
    if (interface >= 0)
        return 0;
    return nd_yaml_fail(r->fault, at,
                        "%s gateway is %s, expected an address in the network of one of the interfaces", what,
                        at->text);
}

static int read_track(struct nd_reading *r, const struct nd_yaml *at, const char *what, struct nd_track *out)
{
    static const struct nf_param script = {.kind = ND_KIND(ND_PLACE), .max = ND_PATH_MAX};
    int error = nd_schema_read(r->arena, at, what, track_keys, out, r->fault);
    const struct nd_yaml *key;
    struct nf_addr addr;

    if (error)
        return error;
    key =
        find_kind(r, at, what, nd_track_kinds, "interface, gateway, route, script, bgp and bfd", &out->kind);
    if (!key)
        return FT_EMALFORMED;
    if (out->kind == ND_TRACK_SCRIPT)
        return nd_schema_value(r->arena, key, what, &script, out->what, r->fault);
    if (out->kind == ND_TRACK_BGP || out->kind == ND_TRACK_BFD) { /* as FRR writes it */
        FT_CHECK(nf_addr_parse(key->text, &addr), "%s: an address that was one", what);
        nf_addr_text(&addr, out->what);
        return 0;
    }
    snprintf(out->what, sizeof(out->what), "%s", key->text);
    return out->kind == ND_TRACK_GATEWAY ? find_port(r, key, what, out) : 0;
}

/* ---- hooks --------------------------------------------------------------------------------------- */

static int read_event(struct nd_reading *r, const struct nd_yaml *at, const char *what, uint64_t *events)
{
    const char *names[FT_EVENT_NAMES_END + 1] = {NULL}, *near;

    for (unsigned i = 0; i < FT_EVENT_NAMES_END; i++) {
        names[i] = ft_event_name((enum ft_event_name)i);
        if (at->kind == ND_YAML_TEXT && strcmp(at->text, names[i]) == 0) {
            *events |= 1ull << i;
            return 0;
        }
    }
    near = at->kind == ND_YAML_TEXT ? nd_schema_nearest(at->text, names) : NULL;
    return nd_yaml_fail(r->fault, at, "%s events has \"%.40s\", expected %s%s", what,
                        at->kind == ND_YAML_TEXT ? at->text : "", near ? near : "names of events of the log",
                        near ? "?" : "");
}

static int read_hook(struct nd_reading *r, const struct nd_yaml *at, const char *what, struct nd_hook *out)
{
    struct nf_param place = {.kind = ND_KIND(ND_PLACE), .max = sizeof(out->path)};
    int error = nd_schema_read(r->arena, at, what, hook_keys, out, r->fault);
    const struct nd_yaml *key, *events = nd_yaml_get(at, "events");

    if (error)
        return error;
    key = find_kind(r, at, what, nd_hook_kinds, "command, fifo and socket", &out->kind);
    if (!key)
        return FT_EMALFORMED;
    if (out->kind == ND_HOOK_SOCKET)
        place.max = sizeof(((struct sockaddr_un *)NULL)->sun_path);
    error = nd_schema_value(r->arena, key, what, &place, out->path, r->fault);
    out->events = events ? 0 : UINT64_MAX;
    for (const struct nd_yaml *e = events ? events->first : NULL; e && !error; e = e->next)
        error = read_event(r, e, what, &out->events);
    return error;
}

/* ---- export -------------------------------------------------------------------------------------- */

static int read_export(struct nd_reading *r, const struct nd_yaml *at, const char *node,
                       struct nd_export_to *out)
{
    char what[64];
    int error;

    if (!at)
        return 0;
    snprintf(what, sizeof(what), "node %s export", node);
    error = nd_schema_read(r->arena, at, what, export_keys, out, r->fault);
    if (error)
        return error;
    if (!find_kind(r, at, what, nd_export_kinds, "tcp, udp and file", &out->kind))
        return FT_EMALFORMED;
    out->kind++;
    return 0;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static const char *const roles[] = {"primary", "standby", "spare", NULL};
static const char *const realtimes[] = {"false", "true", "auto", NULL};

ND_PORT_BEHIND(struct nd_node, host, tcp_port);
ND_PORT_BEHIND(struct nd_node, second_host, second_port);
ND_PORT_BEHIND(struct nd_node, inputs_host, inputs_port);
ND_PORT_BEHIND(struct nd_node, metrics_host, metrics_port);
#define AT(member) offsetof(struct nd_node, member)
static const struct nf_param node_keys[] = {
    {"role", NF_CHOICE, AT(role), 0, 0, NULL, roles, "at the very first start", false},
    {"ports", ND_KIND(ND_MAP), ND_UNKEPT, 0, 0, "", NULL, "DPDK device by port", false},
    {"inputs", ND_KIND(ND_HOST_PORT), AT(inputs_host), 0, ND_HOST_MAX, "", NULL,
     "in place of ports: to the keeper", false},
    {"inputs_devices", ND_KIND(ND_LIST), ND_UNKEPT, 0, ND_INPUTS_DEVICES, "", NULL, "that carry them", false},
    {"replication", ND_KIND(ND_ANY), ND_UNKEPT, 0, 0, NULL, NULL, "address of the link, or two", false},
    {"link_port", ND_KIND(ND_TEXT), AT(link_port), 0, 256, "", NULL, "DPDK device: lane to lane", false},
    {"control", ND_KIND(ND_PLACE), AT(control), 0, 103, NULL, NULL, "path of a unix socket", false},
    {"metrics", ND_KIND(ND_HOST_PORT), AT(metrics_host), 0, ND_HOST_MAX, "", NULL, "Prometheus reads there",
     false},
    {"state", ND_KIND(ND_PLACE), AT(state), 0, 192, "", NULL, "directory of the view file", false},
    {"eal", ND_KIND(ND_LIST), ND_UNKEPT, 0, ND_EAL_MAX, "", NULL, "further EAL arguments", false},
    {"mbufs", NF_U32, AT(mbufs), 1024, 1048576, "16384", NULL, "packet buffers", false},
    {"memory_mb", NF_U32, AT(memory_mb), 64, 1048576, "512", NULL, "of DPDK", false},
    {"hugepages", NF_BOOL, AT(hugepages), 0, 0, "false", NULL, "use them", false},
    {"realtime", NF_CHOICE, AT(realtime), 0, 0, "auto", realtimes, "before other work", false},
    {"user", ND_KIND(ND_TEXT), AT(user), 0, 33, "", NULL, "that the node becomes", false},
    {"operators", ND_KIND(ND_TEXT), AT(operators), 0, 33, "", NULL, "a group that operates", false},
    {"core", NF_BOOL, AT(core), 0, 0, "false", NULL, "a core file when it crashes", false},
    {"track", ND_KIND(ND_LIST), ND_UNKEPT, 0, ND_TRACKED_MAX, "", NULL, "what it needs to serve", false},
    {"hooks", ND_KIND(ND_LIST), ND_UNKEPT, 0, ND_HOOKS_MAX, "", NULL, "who is told events", false},
    {"export", ND_KIND(ND_MAP), ND_UNKEPT, 0, 0, "", NULL, "where its log of flows goes", false},
    {0},
};
#undef AT

static const struct nf_param drill_keys[] = {
    {"permit", NF_BOOL, offsetof(struct nd_config, drill_permit), 0, 0, "false", NULL,
     "a peer may ask for kills", false},
    {"probe", ND_KIND(ND_MAP), ND_UNKEPT, 0, 0, "", NULL, "echo across the chain", false},
    {0},
};

#define AT(member) offsetof(struct nd_probe, member)
static const struct nf_param probe_keys[] = {
    {"from", ND_KIND(ND_NAME), AT(from), 0, 64, "", NULL, "namespace of the client", false},
    {"to", ND_KIND(ND_NAME), AT(to), 0, 64, "", NULL, "namespace of the server", false},
    {"address", ND_KIND(ND_HOST), AT(address), 0, sizeof(((struct nd_probe *)0)->address), NULL, NULL,
     "of the server", false},
    {"port", ND_KIND(ND_PORT), AT(port), 1, 65535, NULL, NULL, "of the server", false},
    {0},
};
#undef AT

/* By two ports a frame would come in twice, and leave where it came from. */
static bool is_same_device(const char *one, const char *other)
{
    char name[2][IFNAMSIZ];
    size_t length = strcspn(one, ",");

    if (strcspn(other, ",") == length && strncmp(one, other, length) == 0)
        return true;
    return nd_interface_of(one, name[0]) && nd_interface_of(other, name[1]) && strcmp(name[0], name[1]) == 0;
}

/* Of devices by the number of their port, whose keys these are. */
static int check_devices(struct nd_reading *r, const struct nd_yaml *ports, const char *what,
                         const struct nf_param *keys, char device[][sizeof(r->config->node->port[0])])
{
    for (unsigned i = 1; keys[i].name; i++)
        for (unsigned j = 0; j < i; j++)
            if (is_same_device(device[i], device[j]))
                return nd_yaml_fail(r->fault, nd_yaml_get(ports, keys[i].name),
                                    "%s %s is %.100s, as %s, expected a device or interface of its own", what,
                                    keys[i].name, device[i], keys[j].name);
    return 0;
}

/* Those of the first node that no interface names: each node has them. */
static void name_spare_ports(struct nd_config *config, const struct nd_yaml *ports)
{
    for (const struct nd_yaml *e = ports->first; e; e = e->next) {
        unsigned i = nd_port_by_name(config, e->key);

        if (i == config->ports && i < NF_PORTS_MAX && ft_is_name(e->key, sizeof(config->port_name[i])))
            snprintf(config->port_name[config->ports++], sizeof(config->port_name[i]), "%s", e->key);
    }
}

/* One device per port, which is that of each interface on it; a wire's are called inside and outside. */
int nd_read_ports(struct nd_reading *r, const char *kind, struct nd_node *node, const struct nd_yaml *ports)
{
    struct nf_param keys[NF_PORTS_MAX + 1];
    char what[64];
    int error;

    if (r->spare_ports && node == r->config->node)
        name_spare_ports(r->config, ports);
    memset(keys, 0, sizeof(keys));
    for (unsigned i = 0; i < r->config->ports; i++)
        keys[i] = (struct nf_param){.name = r->config->port_name[i],
                                    .kind = ND_KIND(ND_TEXT),
                                    .offset = i * sizeof(node->port[0]),
                                    .max = sizeof(node->port[0]),
                                    .help = "a PCI address, or as net_af_packet0,iface=eth0"};
    snprintf(what, sizeof(what), "%s %s ports", kind, node->name);
    error = nd_schema_read(r->arena, ports, what, keys, node->port, r->fault);
    return error ? error : check_devices(r, ports, what, keys, node->port);
}

/* Of inputs: they lie where the keeper, or the node behind it, has no port. */
int nd_read_inputs_devices(struct nd_reading *r, const struct nd_yaml *list, struct nd_node *node)
{
    static const struct nf_param text = {.kind = ND_KIND(ND_TEXT), .max = sizeof(node->inputs_device[0])};
    int error = 0;

    for (const struct nd_yaml *e = list ? list->first : NULL; e && !error; e = e->next) {
        error = nd_schema_value(r->arena, e, "inputs_devices entry", &text,
                                node->inputs_device[node->inputs_devices++], r->fault);
        if (!error && (strncmp(e->text, "net_af_xdp", 10) == 0 || strncmp(e->text, "net_memif", 9) == 0))
            error = nd_yaml_fail(r->fault, e,
                                 "inputs_devices \"%.40s\", expected another driver, such as net_af_packet0, "
                                 "or a PCI address",
                                 e->text);
    }
    return error;
}

/* The address of the link, or a list of two. */
static int read_replication(struct nd_reading *r, const struct nd_yaml *at, struct nd_node *node)
{
    static const struct nf_param way = {.kind = ND_KIND(ND_HOST_PORT), .max = ND_HOST_MAX};
    bool two = at->kind == ND_YAML_LIST;
    char what[64];
    int error = 0;

    snprintf(what, sizeof(what), "node %s replication", node->name);
    if (two && at->count != 2)
        return nd_yaml_fail(r->fault, at, "%s has %u addresses, expected A.B.C.D:PORT or a list of two", what,
                            at->count);
    for (const struct nd_yaml *e = two ? at->first : at; e && !error; e = two ? e->next : NULL)
        error = nd_schema_value(r->arena, e, what, &way,
                                two && e != at->first ? node->second_host : node->host, r->fault);
    return error;
}

/* What a node is and where it is reached, into the next of the nodes. */
static int read_self(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nd_node *node = &r->config->node[r->config->nodes];
    char what[48];
    int error;

    if (!ft_is_name(at->key, sizeof(node->name)))
        return nd_yaml_fail(r->fault, at, "node name \"%.40s\", expected at most 31 letters, digits, - and _",
                            at->key);
    snprintf(what, sizeof(what), "node %s", at->key);
    memset(node, 0, sizeof(*node));
    error = nd_schema_read(r->arena, at, what, node_keys, node, r->fault);
    if (error)
        return error;
    snprintf(node->name, sizeof(node->name), "%s", at->key);
    if ((error = read_replication(r, nd_yaml_get(at, "replication"), node)))
        return error;
    /* Where the control socket lies. */
    if (!node->state[0]) {
        const char *slash = strrchr(node->control, '/');
        size_t len = slash ? (size_t)(slash - node->control) : 0;

        snprintf(node->state, sizeof(node->state), "%.*s", len ? (int)len : 1, slash ? node->control : ".");
    }
    return 0;
}

/* The first entry of a list in `map`; NULL: there is none. */
static const struct nd_yaml *first_of(const struct nd_yaml *map, const char *key)
{
    const struct nd_yaml *list = nd_yaml_get(map, key);

    return list ? list->first : NULL;
}

static int read_node(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param text = {.kind = ND_KIND(ND_TEXT), .max = sizeof(r->config->node->eal[0])};
    struct nd_node *node = &r->config->node[r->config->nodes];
    const struct nd_yaml *ports = nd_yaml_get(at, "ports"), *devices = nd_yaml_get(at, "inputs_devices");
    int error = read_self(r, at);
    char what[64];

    if (!error && !ports != (r->at.keepers != NULL))
        error = nd_yaml_fail(r->fault, ports ? ports : at,
                             ports ? "node %s has ports, expected inputs: A.B.C.D:PORT, since the keeper has "
                                     "the ports"
                                   : "node %s: no ports, expected ports: { … }",
                             node->name);
    if (!error && ports)
        error = nd_read_ports(r, "node", node, ports);
    for (unsigned i = 0; ports && node->link_port[0] && i < r->config->ports && !error; i++)
        if (is_same_device(node->link_port, node->port[i]))
            error = nd_yaml_fail(r->fault, nd_yaml_get(at, "link_port"),
                                 "node %s link_port is %.100s, as port %s, expected a device or interface of "
                                 "its own",
                                 node->name, node->link_port, r->config->port_name[i]);
    for (unsigned i = 0; r->at.keepers && i < r->config->ports; i++)
        snprintf(node->port[i], sizeof(node->port[i]), "keeper");
    if (!error && (node->inputs_port != 0) != (r->at.keepers != NULL))
        error =
            nd_yaml_fail(r->fault, at,
                         node->inputs_port ? "node %s has inputs, expected keepers: { … } in this file"
                                           : "node %s: no inputs, expected inputs: A.B.C.D:PORT, where it "
                                             "meets the keeper",
                         node->name);
    for (const struct nd_yaml *e = first_of(at, "eal"); e && !error; e = e->next)
        error = nd_schema_value(r->arena, e, "eal entry", &text, node->eal[node->eals++], r->fault);
    if (!error)
        error = nd_read_inputs_devices(r, devices, node);
    if (!error && node->inputs_devices && !node->inputs_port)
        error = nd_yaml_fail(r->fault, devices, "node %s has inputs_devices, expected inputs and keepers",
                             node->name);
    snprintf(what, sizeof(what), "node %s track", node->name);
    for (const struct nd_yaml *e = first_of(at, "track"); e && !error; e = e->next)
        error = read_track(r, e, what, &node->track[node->tracks++]);
    snprintf(what, sizeof(what), "node %s hooks", node->name);
    for (const struct nd_yaml *e = first_of(at, "hooks"); e && !error; e = e->next)
        error = read_hook(r, e, what, &node->hook[node->hooks++]);
    if (!error)
        error = read_export(r, nd_yaml_get(at, "export"), node->name, &node->export);
    r->config->nodes += !error;
    return error;
}

/* In the file's order otherwise. */
static void put_spares_last(struct nd_config *c)
{
    static struct nd_node spare[ND_NODES];
    unsigned spares = 0, left = 0;

    for (unsigned i = 0; i < c->nodes; i++) {
        if (c->node[i].role == ND_ROLE_SPARE)
            spare[spares++] = c->node[i];
        else
            c->node[left++] = c->node[i];
    }
    memcpy(&c->node[left], spare, spares * sizeof(spare[0]));
}

int nd_read_sockets(struct nd_reading *r)
{
    const struct nd_yaml *nodes = nd_yaml_get(r->root, "nodes");
    int error = 0;

    if (!nodes || nodes->kind != ND_YAML_MAP || (nodes->count < ND_PAIR || nodes->count > ND_NODES))
        return FT_EINVAL;
    r->config->nodes = 0;
    for (const struct nd_yaml *at = nodes->first; at && !error; at = at->next) {
        error = read_self(r, at);
        r->config->nodes += !error;
    }
    if (!error)
        put_spares_last(r->config);
    return error;
}

/* One of the link's. */
static int check_replication(struct nd_reading *r, const struct nd_node *node, const struct nd_yaml *at,
                             const char *address)
{
    uint32_t host = ntohl(inet_addr(address)) >> 24;

    return host && host < 224
               ? 0
               : nd_yaml_fail(r->fault, nd_yaml_get(at, "replication"),
                              "node %s replication is %s, expected the node's address, to which its peer "
                              "connects",
                              node->name, address);
}

/* Two ways are two addresses of each node, and only what is sealed may go on by another way. */
static int check_ways(struct nd_reading *r, const struct nd_node *node, const struct nd_yaml *at)
{
    const struct nd_yaml *replication = nd_yaml_get(at, "replication");
    const struct nd_node *first = r->config->node;

    if (!node->second_port != !first->second_port)
        return nd_yaml_fail(r->fault, replication,
                            "node %s has %u replication addresses and node %s %u, expected as many of each",
                            node->name, 1 + (node->second_port != 0), first->name,
                            1 + (first->second_port != 0));
    if (!node->second_port)
        return 0;
    if (r->config->link.insecure)
        return nd_yaml_fail(r->fault, replication,
                            "node %s has two replication addresses and the link is insecure, expected a key "
                            "or tls",
                            node->name);
    if (strcmp(node->host, node->second_host) == 0)
        return nd_yaml_fail(r->fault, replication,
                            "node %s has %s twice, expected two addresses, of two interfaces", node->name,
                            node->host);
    return check_replication(r, node, at, node->second_host);
}

/* What a peer can connect to, and what must differ on one node. */
static int check_addresses(struct nd_reading *r, const struct nd_node *node, const struct nd_yaml *at)
{
    int error = check_replication(r, node, at, node->host);

    if (error || (error = check_ways(r, node, at)))
        return error;
    if ((node->metrics_port == node->tcp_port && strcmp(node->metrics_host, node->host) == 0) ||
        (node->second_port && node->metrics_port == node->second_port &&
         strcmp(node->metrics_host, node->second_host) == 0))
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "metrics"),
                            "node %s metrics is its replication address, expected another port", node->name);
    return 0;
}

/* What must differ between two nodes. With more than two, addresses alone distinguish them. */
static int check_two(struct nd_reading *r, const struct nd_yaml *at, const struct nd_node *a,
                     const struct nd_node *b)
{
    bool one_host = strcmp(a->host, b->host) == 0;
    bool shares =
        a->second_port && (strcmp(a->host, b->second_host) == 0 || strcmp(a->second_host, b->host) == 0 ||
                           strcmp(a->second_host, b->second_host) == 0);

    if (shares || (one_host && (a->tcp_port == b->tcp_port || r->at.nodes->count > ND_PAIR)))
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "replication"),
                            "nodes %s and %s have one replication address, expected two", a->name, b->name);
    if (strcmp(a->control, b->control) == 0)
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "control"),
                            "nodes %s and %s have one control socket, expected two", a->name, b->name);
    return 0;
}

/* One of them is the first primary, one the first standby, and all others are spares: of a pair that has an
 * arbiter or is strict. */
static int check_roles(struct nd_reading *r)
{
    const struct nd_config *c = r->config;
    const struct nd_yaml *at = r->at.nodes->first;
    const char *first[ND_ROLE_SPARE] = {NULL};

    for (unsigned i = 0; i < c->nodes; i++, at = at->next) {
        uint32_t role = c->node[i].role;

        if (role < ND_ROLE_SPARE && first[role])
            return nd_yaml_fail(r->fault, nd_yaml_get(at, "role"),
                                "nodes %s and %s are both %s, expected one primary and one standby",
                                first[role], c->node[i].name, roles[role]);
        if (role < ND_ROLE_SPARE)
            first[role] = c->node[i].name;
        else if (!r->at.arbiter && !c->protect.strict)
            return nd_yaml_fail(
                r->fault, nd_yaml_get(at, "role"),
                "node %s is a spare, expected an arbiter or protect.strict: true, without which "
                "nobody may take a node's place",
                c->node[i].name);
    }
    if (!first[ND_ROLE_PRIMARY] || !first[ND_ROLE_STANDBY])
        return nd_yaml_fail(r->fault, r->at.nodes, "no node is the %s, expected one primary and one standby",
                            first[ND_ROLE_PRIMARY] ? "standby" : "primary");
    return 0;
}

static int check_nodes(struct nd_reading *r)
{
    const struct nd_node *node = r->config->node;
    const struct nd_yaml *at = r->at.nodes->first->next;
    int error = check_roles(r);

    for (unsigned i = 1; i < r->config->nodes; i++, at = at->next)
        for (unsigned k = 0; k < i && !error; k++)
            error = check_two(r, at, &node[k], &node[i]);
    return error;
}

static int read_drill(struct nd_reading *r)
{
    const struct nd_yaml *probe = nd_yaml_get(r->at.drill, "probe");
    int error = nd_schema_read(r->arena, r->at.drill, "drill", drill_keys, r->config, r->fault);

    if (error || !probe)
        return error;
    return nd_schema_read(r->arena, probe, "drill probe", probe_keys, &r->config->probe, r->fault);
}

int nd_read_nodes(struct nd_reading *r)
{
    int error = 0;

    if (r->at.nodes) {
        if (r->at.nodes->count < ND_PAIR || r->at.nodes->count > ND_NODES)
            return nd_yaml_fail(r->fault, r->at.nodes, "nodes has %u entries, expected %u to %u",
                                r->at.nodes->count, ND_PAIR, ND_NODES);
        for (const struct nd_yaml *e = r->at.nodes->first; e && !error; e = e->next)
            if ((error = read_node(r, e)) == 0)
                error = check_addresses(r, &r->config->node[r->config->nodes - 1], e);
        if (!error)
            error = check_nodes(r);
        if (!error)
            put_spares_last(r->config);
    }
    return error || !r->at.drill ? error : read_drill(r);
}
