/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy check: reads a configuration, says what it found, starts nothing; with --try it opens what a
 * node would open, and closes it again (try.h).
 */
#include "cli/pair.h"
#include "node/arbiter/etcd.h"
#include "node/base/interface.h"
#include "node/try.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/stat.h>

/* NULL: nothing was to be tried. */
static json_t *tried_json(const struct nd_config *config, int node, const struct nd_tries *tries)
{
    json_t *all;

    if (node < 0)
        return json_null();
    all = json_array();
    for (unsigned i = 0; i < tries->count; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:s?}", "what", tries->of[i].what, "which",
                                             tries->of[i].which, "ok", tries->of[i].error == 0, "error",
                                             tries->of[i].error ? tries->of[i].fault.text : NULL));
    return json_pack("{s:s, s:o}", "node", config->node[node].name, "opened", all);
}

static int print_json(const struct nd_config *config, const char *file, const struct ft_fault *fault,
                      json_t *tried)
{
    const struct nd_protect *protect = config ? &config->protect : NULL;
    json_t *nfs = json_array(), *nodes = json_array(), *object;
    int code;

    for (unsigned i = 0; config && i < config->chain.count; i++)
        json_array_append_new(nfs, json_string(config->chain.nfs[i].module->name));
    for (unsigned i = 0; config && i < config->nodes; i++)
        json_array_append_new(nodes, json_string(config->node[i].name));
    if (config)
        object = json_pack("{s:s, s:b, s:s, s:i, s:s, s:s, s:s?, s:o, s:o}", "file", file, "ok", 1, "chain",
                           config->chain.name, "lanes", (int)config->chain.lanes, "mode", protect->mode,
                           "mode_asked", nd_modes[protect->asked], "mode_decided_by",
                           *protect->decided_by ? protect->decided_by : NULL, "nfs", nfs, "nodes", nodes);
    else
        object = json_pack("{s:s, s:b, s:s, s:n, s:o, s:o}", "file", file, "ok", 0, "error", fault->text,
                           "chain", "nfs", nfs, "nodes", nodes);
    json_object_set_new(object, "tried", tried);
    code = nd_print_json(object);
    json_decref(object);
    return code;
}

static void print_text(const struct nd_config *config, const char *file)
{
    const struct nd_protect *p = &config->protect;
    char mode[ND_MODE_TEXT];

    printf("%s: ok: chain %s (", file, config->chain.name);
    for (unsigned i = 0; i < config->chain.count; i++)
        printf("%s%s", i ? ", " : "", config->chain.nfs[i].module->name);
    printf("), %u lane%s, %s", config->chain.lanes, config->chain.lanes == 1 ? "" : "s",
           nd_mode_text(mode, p->mode, nd_modes[p->asked], p->decided_by));
    if (config->nodes)
        printf(", nodes %s, %s", config->node[0].name, config->node[1].name);
    printf("\n");
}

/* Of both nodes' ports, those whose interfaces this machine has; and, of the node whose replication address
 * it has, those that it should have. */
static void warn_of_interfaces(const struct nd_config *config, const char *file)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    struct nd_interface_faults faults;
    struct nd_interface_now now;

    for (unsigned n = 0; n < config->nodes; n++)
        for (unsigned p = 0; p < NF_PORTS_MAX && config->node[n].port[p][0]; p++) {
            const struct nd_node *node = &config->node[n];

            if (l3 && !nf_l3_is_first(l3, p))
                continue;
            nd_interface_look(node->port[p], l3 ? nf_l3_device_mtu(l3, l3->port[p].device) : 0,
                              config->chain.frame_max, &faults);
            for (unsigned i = 0; i < faults.count; i++)
                fprintf(stderr, "%s: warning: node %s: %s\n", file, node->name, faults.line[i]);
            if (nd_address_here(node->host) && nd_interface_ask(node->port[p], false, &now) && !now.mtu)
                fprintf(stderr, "%s: warning: node %s: this server has no such interface: %s\n", file,
                        node->name, node->port[p]);
        }
}

/* The kernel would answer ARP or neighbour discovery for it beside the chain, with another MAC. */
static void warn_of_address(int family, const void *addr, const char *file)
{
    char name[IFNAMSIZ], text[INET6_ADDRSTRLEN];

    if (nd_address_held(family, addr, name) && inet_ntop(family, addr, text, sizeof(text)))
        fprintf(stderr,
                "%s: warning: %s is the chain's address, and this server's kernel has it on %s, run: ip "
                "addr flush dev %s to %s\n",
                file, text, name, name, text);
}

static void warn_of_addresses(const struct nd_config *config, const char *file)
{
    for (unsigned p = 0; config->chain.l3 && p < config->l3.ports; p++) {
        const struct nf_interface *port = &config->l3.port[p];

        if (port->addr)
            warn_of_address(AF_INET, &port->addr, file);
        for (unsigned e = 0; e < port->extras; e++)
            warn_of_address(AF_INET, &port->extra[e], file);
        if (port->bits6)
            warn_of_address(AF_INET6, port->addr6, file);
        for (unsigned e = 0; e < port->extras6; e++)
            warn_of_address(AF_INET6, port->extra6[e], file);
    }
}

/* Hosts that are told of a router of IPv6 send to it: what no packet can pass is a silence to them. */
static void warn_of_families(const struct nd_config *config, const char *file)
{
    const struct nf_interface *port = config->l3.port;
    unsigned p = 0;

    while (p < config->l3.ports && !port[p].bits6)
        p++;
    if (!config->chain.l3 || p == config->l3.ports)
        return;
    for (uint32_t i = 0; i < config->chain.count; i++) {
        const struct nf_choice *choice = &config->chain.nfs[i];

        if (choice->module->drops_ipv6 && choice->module->drops_ipv6(choice->config))
            fprintf(
                stderr,
                "%s: warning: interface %s has an address of IPv6, and nf %u, %s, drops all of IPv6 as it "
                "is configured\n",
                file, port[p].name, i + 1, choice->module->name);
    }
}

/* A switch has a station's MAC at the port by which it was heard last, and a wire has none of its own to
 * tell. */
static void warn_of_wire(const struct nd_config *config, const char *file)
{
    if (config->nodes && config->protect.pair && !config->chain.l3)
        fprintf(stderr,
                "%s: warning: without interfaces nothing is announced when the role moves: switches send on "
                "to the node that had it until they hear each station again\n",
                file);
}

/* A start refuses it. Who owns the file is left to that, since it is not known here as whom the node runs. */
static void warn_of_key(const char *path, const char *file)
{
    struct stat s;

    if (path[0] && lstat(path, &s) == 0 && S_ISREG(s.st_mode) && s.st_mode & 077)
        fprintf(stderr, "%s: warning: %s: mode %04o: nobody else may read a key, run: chmod 600 %s\n", file,
                path, s.st_mode & 07777, path);
}

/* Where a node is to run on this server, which refuses to start without them. Who checks the file may be
 * somebody who may not read a key. */
static void warn_of_link_files(const struct nd_config *config, const char *file)
{
    struct ft_fault fault = {""};
    bool here = false;

    for (unsigned n = 0; n < config->nodes; n++)
        here |= nd_address_here(config->node[n].host);
    if (here && nd_config_find_link_files(config, &fault) == FT_EINVAL)
        fprintf(stderr, "%s: warning: no node starts here: %s\n", file, fault.text);
}

/* Asked once, and nothing is changed there. A node asks from its own place, and as its own user. */
static void warn_of_arbiter(const struct nd_config *config, const char *file)
{
    struct ft_decision kept;
    struct ft_fault fault = {""};
    struct nd_etcd *etcd;
    int error;

    if (!config->arbiter.urls || !config->protect.pair)
        return;
    error = nd_etcd_open(&etcd, &config->arbiter, NULL, NULL, &fault);
    if (!error)
        error = nd_etcd_decide(etcd, NULL, "", &kept, &fault);
    if (error)
        fprintf(stderr, "%s: warning: from here the arbiter does not answer: %s\n", file, fault.text);
    nd_etcd_close(etcd);
}

/* Which node is to be tried, with its index; or an exit code in *code. */
static int choose_node(const struct nd_config *config, const struct nd_options *o, int *code)
{
    int node = !config->nodes ? -1 : o->node ? nd_config_node(config, o->node) : nd_pair_local(config);

    if (node >= 0)
        return node;
    *code = ND_USAGE;
    if (!config->nodes)
        fprintf(stderr, "%s: try: the file has no nodes\n", o->file);
    else if (o->node)
        fprintf(stderr, "%s: try: no node '%s', expected %s or %s\n", o->file, o->node, config->node[0].name,
                config->node[1].name);
    else
        fprintf(stderr,
                "%s: try: which node? Not just one of %s (%s) and %s (%s) has an address of this host, "
                "expected -n NAME\n",
                o->file, config->node[0].name, config->node[0].host, config->node[1].name,
                config->node[1].host);
    return -1;
}

/* What `run` would end with: the first that failed. */
static int say_tries(const struct nd_config *config, int node, const struct nd_tries *tries,
                     const struct nd_options *o)
{
    int code = ND_DONE;

    for (unsigned i = 0; i < tries->count; i++) {
        const struct nd_try *t = &tries->of[i];
        int error = t->error;

        if (!error)
            continue;
        /* DPDK's part names the node itself. */
        if (strncmp(t->fault.text, "node ", 5) == 0)
            fprintf(stderr, "%s: try: %s\n", o->file, t->fault.text);
        else
            fprintf(stderr, "%s: try: node %s: %s: %s\n", o->file, config->node[node].name, t->what,
                    t->fault.text);
        if (!code)
            code = error == FT_EPERM                                            ? ND_NO_PERMISSION
                   : error == FT_EBUSY || error == FT_ENOENT || error == FT_EIO ? ND_NO_ANSWER
                                                                                : ND_DATA;
    }
    if (!code && !o->json) {
        printf("%s: try: node %s: opened", o->file, config->node[node].name);
        for (unsigned i = 0; i < tries->count; i++)
            printf("%s %s %s", i ? "," : "", tries->of[i].what, tries->of[i].which);
        printf("\n");
    }
    return code;
}

static void warn_of_all(const struct nd_config *config, const char *file)
{
    warn_of_wire(config, file);
    warn_of_interfaces(config, file);
    warn_of_addresses(config, file);
    warn_of_families(config, file);
    warn_of_link_files(config, file);
    warn_of_key(config->link.key, file);
    warn_of_key(config->link.private_key, file);
    warn_of_arbiter(config, file);
}

int nd_cmd_check(int argc, char **argv)
{
    struct nd_options options;
    struct nd_config *config;
    struct ft_fault fault = {""};
    static struct nd_tries tries;
    int error = nd_options_read(&options, argc, argv);
    int code = ND_DONE, tried = ND_DONE, node = -1;

    if (error)
        return error;
    error = nd_config_read(&config, options.file, 0, &fault);
    if (error)
        fprintf(stderr, "%s\n", fault.text);
    else if (config->nodes && !config->protect.pair)
        fprintf(stderr, "%s: warning: protect mode is off: nothing is protected, node %s alone can run\n",
                options.file, config->node[config->node[0].role == ND_ROLE_STANDBY].name);
    if (!error && config->timing.detect_ms < 20)
        fprintf(stderr, "%s: warning: detect_ms below 20 takes ordinary scheduling delays for failures\n",
                options.file);
    if (!error)
        warn_of_all(config, options.file);
    if (!error && !options.json)
        print_text(config, options.file);
    if (!error && options.tries) {
        node = choose_node(config, &options, &tried);
        fflush(NULL);
        if (node >= 0) {
            nd_try_node(config, (unsigned)node, &tries);
            tried = say_tries(config, node, &tries, &options);
        }
    }
    if (options.json)
        code = print_json(config, options.file, &fault, tried_json(config, node, &tries));
    if (tried)
        code = tried;
    nd_config_free(config);
    return error ? nd_exit_of_file(error) : code;
}
