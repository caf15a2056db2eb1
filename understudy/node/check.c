/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program does without a running node: check reports what is wrong with a file, and with --try opens
 * what a node would open and closes it again; version prints what this program is; key makes the key of a
 * pair.
 */
#define _GNU_SOURCE /* faccessat's AT_EACCESS */
#include "ftcore/record/format.h"
#include "nflib/chain/chain.h"
#include "understudy/arbiter/arbiter.h"
#include "understudy/base/host.h"
#include "understudy/base/interface.h"
#include "understudy/base/process.h"
#include "understudy/config/chain_warnings.h"
#include "understudy/config/choose.h"
#include "understudy/config/module_file.h"
#include "understudy/config/setup.h"
#include "understudy/control/server.h"
#include "understudy/etcd/etcd.h"
#include "understudy/keeper/message.h"
#include "understudy/ports/ports.h"
#include "understudy/track/runner.h"
#include "replicator/key.h"
#include "replicator/view.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <rte_version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES_MAX 16u

struct tries {
    unsigned count;
    struct
    try {
        const char *what; /* "replication" */
        char which[200];  /* "192.0.2.1:4700" */
        struct ft_fault fault;
        int error; /* 0: it could be opened */
    }
    of[TRIES_MAX];
};

/* ---- what a node would open --------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static void note(struct tries *out, const char *what, int error,
                                                       const char *format, ...)
{
    struct try *t = &out->of[out->count++];
    va_list args;

    t->what = what;
    t->error = error;
    va_start(args, format);
    vsnprintf(t->which, sizeof(t->which), format, args);
    va_end(args);
}

/* Where note() will have it. */
static struct ft_fault *next_fault(struct tries *out)
{
    return &out->of[out->count].fault;
}

/* False: the node runs. `opens`: here and below, what is judged is opened, too. */
static bool try_control(const struct nd_node *self, bool opens, struct tries *out)
{
    const char *slash = strrchr(self->control, '/');
    struct nd_server *server = NULL;
    char dir[sizeof(self->control)] = ".";
    bool there;
    int error;

    if (slash)
        snprintf(dir, sizeof(dir), "%.*s", slash == self->control ? 1 : (int)(slash - self->control),
                 self->control);
    error = nd_directory_judge(dir, false, &there, next_fault(out));
    if (!error)
        error = nd_server_judge(self->control, self->operators, next_fault(out));
    if (!error && there && opens)
        error = nd_server_open(&server, self->control, self->operators, next_fault(out));
    nd_server_close(server);
    note(out, "control socket", error, "%s", self->control);
    return error != FT_EBUSY;
}

static int bind_one(int type, const char *host, uint16_t port, bool opens, struct ft_fault *fault)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(opens ? port : 0)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1, why;

    inet_pton(AF_INET, host, &at.sin_addr);
    if (fd >= 0 && (type != SOCK_STREAM || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0) &&
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
        (type != SOCK_STREAM || listen(fd, 1) == 0)) {
        close(fd);
        return 0;
    }
    why = errno;
    if (fd >= 0)
        close(fd);
    if (why == EADDRNOTAVAIL)
        return ft_fail(fault, FT_ENOENT, "%s:%u: expected an address of this host", host, port);
    return ft_fail(fault,
                   why == EADDRINUSE               ? FT_EBUSY
                   : why == EACCES || why == EPERM ? FT_EPERM
                                                   : FT_EIO,
                   "%s:%u: %s: %s", host, port, type == SOCK_STREAM ? "TCP" : "UDP", strerror(why));
}

/* By both protocols that the link uses, or by one. */
static void try_address(const char *what, bool tcp, bool udp, const char *host, uint16_t port, bool opens,
                        struct tries *out)
{
    int error = tcp ? bind_one(SOCK_STREAM, host, port, opens, next_fault(out)) : 0;

    if (!error && udp)
        error = bind_one(SOCK_DGRAM, host, port, opens, next_fault(out));
    note(out, what, error, "%s:%u", host, port);
}

static void try_addresses(const struct nd_config *config, const struct nd_node *self, bool opens,
                          struct tries *out)
{
    if (config->protect.pair && self->tcp_port)
        try_address("replication", true, true, self->host, self->tcp_port, opens, out);
    if (config->protect.pair && self->second_port)
        try_address("replication", true, true, self->second_host, self->second_port, opens, out);
    if (self->inputs_port && !self->inputs_devices && (!opens || nd_config_is_keeper(config, self)))
        try_address("inputs", false, true, self->inputs_host, self->inputs_port, opens, out);
    if (self->metrics_port)
        try_address("metrics", true, false, self->metrics_host, self->metrics_port, opens, out);
}

static bool has_arbiter(const struct nd_config *config)
{
    return config->arbiter.etcd.urls && config->protect.pair;
}

static void try_ports(const struct nd_config *config, const struct nd_node *self, bool opens,
                      struct tries *out)
{
    static struct nd_ports ports; /* its drivers' threads may look at it until the process ends */
    int error = opens ? nd_ports_open(&ports, config, self, next_fault(out))
                      : nd_ports_judge(config, self, next_fault(out));

    if (!error && !opens)
        error = nd_eal_judge(config, self, next_fault(out));
    note(out, "ports", error, "%u", ports.io.devices);
    if (!error && opens)
        nd_ports_close(&ports);
}

/* The file of its last view. */
static int try_view(const struct nd_node *self, struct ft_fault *fault)
{
    char path[sizeof(self->state) + sizeof(self->name) + sizeof("/.view")];
    struct rp_view view;

    snprintf(path, sizeof(path), "%s/%s.view", self->state, self->name);
    return rp_view_load(path, &view, fault);
}

/* A keeper has the key alone. */
static int try_seal(const struct nd_config *config, const struct nd_node *self, struct ft_fault *fault)
{
    struct rp_keys keys;
    int error;

    if (!nd_config_is_keeper(config, self))
        return nd_setup_judge_seal(config, (unsigned)(self - config->node), fault);
    error = nd_config_find_link_files(config, fault);
    if (!error)
        error = rp_keys_read(&keys, config->link.key, fault);
    explicit_bzero(&keys, sizeof(keys));
    return error;
}

/* A node starts without them, and has no arbiter until they are there. */
static const char arbiter_files[] = "arbiter";

/*
 * As `run` opens it, and as the user that it becomes: what seals the link, the directories, the control
 * sockets, the addresses, the arbiter, the ports. Each is tried, whatever the others gave; but where the
 * control socket shows that the node runs, nothing else is. In a process that does no more than this: it has
 * given up its user and most capabilities, and DPDK can be started once. Without `opens` nothing is opened,
 * and what is judged is judged by the functions that `run` calls before it opens.
 */
static void try_node(const struct nd_config *config, const struct nd_node *self, bool opens,
                     struct tries *out)
{
    const struct nd_privilege privilege = nd_ports_privilege(self);
    bool keeper = nd_config_is_keeper(config, self), there;
    struct ft_fault unsaid;
    /* warn_of_all has printed what is wrong whoever asks. */
    bool judges = has_arbiter(config) && !keeper && nd_etcd_judge(&config->arbiter.etcd, &unsaid) == 0;
    char record[sizeof(config->record.dir) + sizeof(self->name)];
    int error;

    out->count = 0;
    if ((error = nd_privilege_drop_inherited(next_fault(out))) ||
        (error = nd_privilege_check_files(next_fault(out))) ||
        (error = nd_privilege_limit(&privilege, next_fault(out)))) {
        note(out, "user", error, "%s", self->user);
        return;
    }
    if (!try_control(self, opens, out))
        return;
    if (config->link.key[0] || config->link.certificate[0]) {
        error = try_seal(config, self, next_fault(out));
        note(out, "link", error, "%s", config->link.key[0] ? config->link.key : config->link.certificate);
    }
    if (!keeper) {
        error = nd_directory_judge(self->state, true, &there, next_fault(out));
        if (!error && there && config->protect.pair)
            error = try_view(self, next_fault(out));
        note(out, "state", error, "%s", self->state);
    }
    if (!keeper && config->record.dir[0]) {
        snprintf(record, sizeof(record), "%s/%s", config->record.dir, self->name);
        note(out, "record", nd_directory_judge(record, false, &there, next_fault(out)), "%s", record);
    }
    try_addresses(config, self, opens, out);
    if (!opens && judges)
        note(out, arbiter_files, nd_etcd_judge(&config->arbiter.etcd, next_fault(out)), "%s",
             config->arbiter.etcd.password_file);
    if (opens && has_arbiter(config) && !keeper) {
        error = nd_arbiter_look(&config->arbiter, next_fault(out));
        /* That it does not answer is no fault of this node's, but of who is not there. */
        note(out, "arbiter", error == FT_EIO ? FT_ENOENT : error, "%s", config->arbiter.etcd.url[0]);
    }
    try_ports(config, self, opens, out);
}

/* ---- check -------------------------------------------------------------------------------------- */

/* NULL: nothing was to be tried. */
static json_t *tried_json(const struct nd_node *node, const struct tries *tries)
{
    json_t *all;

    if (!node)
        return json_null();
    all = json_array();
    for (unsigned i = 0; i < tries->count; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:s?}", "what", tries->of[i].what, "which",
                                             tries->of[i].which, "ok", tries->of[i].error == 0, "error",
                                             tries->of[i].error ? tries->of[i].fault.text : NULL));
    return json_pack("{s:s, s:o}", "node", node->name, "opened", all);
}

/* Their names, of those of a file from one number up to another. */
static json_t *names_of(const struct nd_node *node, unsigned from, unsigned to)
{
    json_t *names = json_array();

    for (unsigned i = from; i < to; i++)
        json_array_append_new(names, json_string(node[i].name));
    return names;
}

static int print_json(const struct nd_config *config, const char *file, const struct ft_fault *fault,
                      json_t *tried)
{
    const struct nd_protect *protect = config ? &config->protect : NULL;
    const struct nd_node *node = config ? config->node : NULL, *keeper = config ? config->keeper : NULL;
    const unsigned count = config ? config->nodes : 0, keepers = config ? config->keepers : 0;
    json_t *nfs = json_array(), *nodes = names_of(node, 0, count), *object;
    int code;

    for (unsigned i = 0; config && i < config->chain.count; i++)
        json_array_append_new(nfs, json_string(config->chain.nfs[i].module->name));
    if (config)
        object = json_pack("{s:s, s:b, s:s*, s:s, s:i, s:s, s:s, s:s?, s:o, s:o}", "file", file, "ok",
                           fault->text[0] == '\0', "error", fault->text[0] ? fault->text : NULL, "chain",
                           config->chain.name, "lanes", (int)config->chain.lanes, "mode", protect->mode,
                           "mode_asked", nd_modes[protect->asked], "mode_decided_by",
                           *protect->decided_by ? protect->decided_by : NULL, "nfs", nfs, "nodes", nodes);
    else
        object = json_pack("{s:s, s:b, s:s, s:n, s:o, s:o}", "file", file, "ok", 0, "error", fault->text,
                           "chain", "nfs", nfs, "nodes", nodes);
    json_object_set_new(object, "spares", names_of(node, ND_PAIR, count));
    json_object_set_new(object, "keepers", names_of(keeper, 0, keepers));
    json_object_set_new(object, "tried", tried);
    code = nd_print_json(object);
    json_decref(object);
    return code;
}

/* ", spares c, d"; nothing where there is none. */
static void print_names(const char *what, const struct nd_node *node, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        printf("%s%s %s", i ? "," : what, i == 0 && count > 1 ? "s" : "", node[i].name);
}

static double routed_mb(const struct nf_routed *routed)
{
    uint64_t bytes = 0;

    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++)
        bytes += routed->table[ipv6] ? nf_lpm_bytes(routed->table[ipv6]) : 0;
    return (double)bytes / 1e6;
}

static void print_text(const struct nd_config *config, const char *file, bool elsewhere)
{
    const struct nd_protect *p = &config->protect;
    const struct nf_routed *routed = config->chain.l3 ? config->chain.l3->routed : NULL;
    char mode[ND_MODE_TEXT];

    printf("%s: ok: chain %s (", file, config->chain.name);
    for (unsigned i = 0; i < config->chain.count; i++)
        printf("%s%s", i ? ", " : "", config->chain.nfs[i].module->name);
    printf(")");
    if (routed)
        printf(", %u routes of IPv4 and %u of IPv6 from a file in up to %.0f MB", routed->count[NF_IP4],
               routed->count[NF_IP6], routed_mb(routed));
    printf(", %u lane%s, %s", config->chain.lanes, config->chain.lanes == 1 ? "" : "s",
           nd_mode_text(mode, p->mode, nd_modes[p->asked], p->decided_by));
    if (config->nodes) {
        printf(", nodes %s, %s", config->node[0].name, config->node[1].name);
        print_names(", spare", &config->node[ND_PAIR], config->nodes - ND_PAIR);
        print_names(", behind keeper", config->keeper, config->keepers);
        if (elsewhere)
            printf("; none is of this server, so no start was judged (-n NAME judges that one's)");
    }
    printf("\n");
}

/* Of something that a pair may mean to have so. */
__attribute__((format(printf, 2, 3))) static void warn(const char *file, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: warning: ", file);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* Warnings are of the node that `only` names; NULL: of all, and what has to be looked at of those whose
 * replication address this machine has. */
static bool is_asked(const struct nd_node *only, const struct nd_node *node)
{
    return !only || node == only;
}
static bool is_looked_at(const struct nd_node *only, const struct nd_node *node)
{
    return only ? node == only : nd_address_here(node->host);
}

/* Another node's interfaces are those of another machine, whatever they are called. */
static void warn_of_interfaces(const struct nd_config *config, const struct nd_node *only, const char *file)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    struct nd_interface_faults faults;

    for (unsigned n = 0; n < config->nodes; n++)
        for (unsigned p = 0; p < config->ports; p++) {
            const struct nd_node *node = &config->node[n];
            char name[IFNAMSIZ], held[IFNAMSIZ];
            struct in_addr host;

            if (!is_looked_at(only, node))
                continue;
            if (nd_interface_of(node->port[p], name) && inet_pton(AF_INET, node->host, &host) == 1 &&
                nd_address_held(AF_INET, &host, held) && strcmp(name, held) == 0)
                warn(file, "node %s: %s: it has the replication address %s, expected an interface of its own",
                     node->name, name, node->host);
            nd_interface_look(node->port[p], l3 ? nf_l3_device_mtu(l3, p) : 0, config->chain.frame_max,
                              &faults);
            for (unsigned i = 0; i < faults.count; i++)
                warn(file, "node %s: %s", node->name, faults.line[i]);
        }
}

/* The kernel would answer ARP or neighbour discovery for it beside the chain, with another MAC. */
static void warn_of_address(const struct nf_addr *addr, const char *file)
{
    bool ipv6 = nf_addr_is_ipv6(addr);
    char name[IFNAMSIZ], text[NF_ADDR_TEXT];

    if (nd_address_held(ipv6 ? AF_INET6 : AF_INET, ipv6 ? &addr->word[0] : &addr->word[3], name))
        warn(file,
             "%s is the chain's address, and this server's kernel has it on %s, run: ip addr flush dev %s to "
             "%s",
             nf_addr_text(addr, text), name, name, text);
}

static void warn_of_addresses(const struct nd_config *config, const char *file)
{
    for (unsigned i = 0; config->chain.l3 && i < config->chain.l3->ports * NF_FAMILIES; i++) {
        const struct nf_interface *port = &config->chain.l3->port[i / NF_FAMILIES];
        bool ipv6 = i % NF_FAMILIES;

        if (port->net[ipv6].bits)
            warn_of_address(&port->net[ipv6].addr, file);
        for (unsigned e = 0; e < port->extras[ipv6]; e++)
            warn_of_address(&port->extra[ipv6][e], file);
    }
}

static void warn_of_chain(void *file, const char *line)
{
    warn(file, "%s", line);
}

/* Half of the buffers stay for the ports (lane/lane.c). */
static void warn_of_hold(const struct nd_config *config, const struct nd_node *only, const char *file)
{
    uint32_t asked = config->protect.hold_asked, whole = ft_hold_fit(asked, UINT32_MAX);

    for (unsigned n = 0; n < config->nodes; n++) {
        const struct nd_node *node = &config->node[n];
        uint32_t fit = ft_hold_fit(asked, node->mbufs / config->chain.lanes / 2);

        if (fit < asked && is_asked(only, node))
            warn(file,
                 "node %s: hold_packets %u: %u mbufs have room for %u in each lane, expected mbufs of %u or "
                 "more",
                 node->name, asked, node->mbufs, fit, 2 * whole * config->chain.lanes);
    }
}

/* Where there is a log of flows, each node that may be primary exports it. */
static void warn_of_export(const struct nd_config *config, const struct nd_node *only, const char *file)
{
    bool logs = false;

    for (unsigned i = 0; i < config->chain.count; i++)
        logs |= strcmp(config->chain.nfs[i].module->name, "flow_log") == 0;
    for (unsigned n = 0; n < config->nodes; n++) {
        const struct nd_node *node = &config->node[n];
        bool exports = node->export.kind != ND_EXPORT_NOWHERE;

        if (!is_asked(only, node))
            continue;
        if (logs && !exports)
            warn(file, "node %s: the chain has flow_log and the node no export: as primary it loses events",
                 node->name);
        if (exports && !logs)
            warn(file, "node %s: it has export, and the chain no flow_log: there is nothing to export",
                 node->name);
    }
}

/* The MTU of the largest frames, without tags. */
static unsigned frames_mtu(const struct nd_config *config)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    unsigned most = 0;

    for (unsigned p = 0; l3 && p < l3->ports; p++) {
        unsigned mtu = nf_l3_device_mtu(l3, l3->port[p].device);

        most = mtu > most ? mtu : most;
    }
    return most ? most : 1500;
}

/* Of the nodes and keepers of this server: a datagram between them has a whole frame, and more. */
static void warn_of_inputs(const struct nd_config *config, const struct nd_node *only, const char *file)
{
    unsigned wanted = frames_mtu(config) + 14 + KP_HEAD_BYTES + 28; /* Ethernet inside; UDP and IP outside */

    for (unsigned i = 0; config->keepers && i < config->nodes + config->keepers; i++) {
        const struct nd_node *at = i < config->nodes ? &config->node[i] : &config->keeper[i - config->nodes];
        struct nd_interface_now now;
        char name[IFNAMSIZ];
        struct in_addr host;

        if (is_asked(only, at) && inet_pton(AF_INET, at->inputs_host, &host) == 1 &&
            nd_address_held(AF_INET, &host, name) && nd_interface_named(name, &now) && now.mtu < wanted)
            warn(file,
                 "%s %s: inputs %s:%u: the MTU of %s is %u, expected %u or more for frames of %u bytes: else "
                 "the kernel sends fragments",
                 nd_config_is_keeper(config, at) ? "keeper" : "node", at->name, at->inputs_host,
                 at->inputs_port, name, now.mtu, wanted, frames_mtu(config));
    }
    if (config->keepers > 1 && !config->chain.l3)
        warn(file, "two keepers without interfaces: nothing is announced when the other one is active");
}

/* A switch has a station's MAC at the port by which it was heard last, and a wire announces none of its
 * own. */
static void warn_of_wire(const struct nd_config *config, const char *file)
{
    if (config->nodes && config->protect.pair && !config->chain.l3)
        warn(file, "without interfaces nothing is announced when the role moves: switches send on to the "
                   "node that had it until they hear each station again");
}

/* Of the nodes of this server: programs that are not there. */
static void warn_of_programs(const struct nd_config *config, const struct nd_node *only, const char *file)
{
    struct ft_fault fault = {""};

    for (unsigned n = 0; n < config->nodes; n++)
        if (is_looked_at(only, &config->node[n]) && nd_runner_judge(&config->node[n], &fault) == FT_ENOENT)
            warn(file, "node %s: %s", config->node[n].name, fault.text);
}

/* Which node, or keeper, is to be tried; or NULL and an exit code in *code. */
static const struct nd_node *choose_node(const struct nd_config *config, const struct nd_options *o,
                                         int *code)
{
    char text[ND_CHOICE_TEXT];
    int keeper = o->node ? nd_config_keeper(config, o->node) : -1;
    int node = keeper >= 0 || !config->nodes ? -1 : nd_choose_node(config, o, "try: ", text);

    if (keeper >= 0)
        return &config->keeper[keeper];

    if (!config->nodes)
        fprintf(stderr, "%s: the file has no nodes\n", o->file);
    else if (node < 0)
        fprintf(stderr, "%s\n", text);
    *code = node < 0 ? ND_USAGE : ND_DONE;
    return node < 0 ? NULL : &config->node[node];
}

/* Many a fault names itself what it is about. */
static bool names_itself(const struct try *t)
{
    return strncmp(t->fault.text, t->what, strlen(t->what)) == 0;
}

/* That of the first that failed. */
static int say_tries(const struct nd_config *config, const struct nd_node *node, const struct tries *tries,
                     const struct nd_options *o)
{
    const char *kind = nd_config_is_keeper(config, node) ? "keeper" : "node";
    int code = ND_DONE;

    for (unsigned i = 0; i < tries->count; i++) {
        const struct try *t = &tries->of[i];
        int error = t->error;

        if (!error)
            continue;
        /* DPDK's part names the node itself. */
        if (strncmp(t->fault.text, "node ", 5) == 0)
            fprintf(stderr, "%s: try: %s\n", o->file, t->fault.text);
        else
            fprintf(stderr, "%s: try: %s %s: %s%s%s\n", o->file, kind, node->name,
                    names_itself(t) ? "" : t->what, names_itself(t) ? "" : ": ", t->fault.text);
        if (!code)
            code = nd_exit_of_start(error);
    }
    if (!code && !o->json) {
        printf("%s: try: %s %s: opened", o->file, kind, node->name);
        for (unsigned i = 0; i < tries->count; i++)
            printf("%s %s %s", i ? "," : "", tries->of[i].what, tries->of[i].which);
        printf("\n");
    }
    return code;
}

/* The system refuses what it takes to judge. */
__attribute__((format(printf, 3, 4))) static int not_judged(const char *file, struct ft_fault *first,
                                                            const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(first->text, sizeof(first->text), format, args);
    va_end(args);
    fprintf(stderr, "%s: %s\n", file, first->text);
    return ND_SOFTWARE;
}

/*
 * Whether the node, or keeper, would start here: in a process of its own, which becomes what the node
 * becomes. A line for each thing that speaks against it; the exit code of the first. What is not permitted is
 * a warning where another user than root asks, for the node may be another one's.
 */
static int judge_start(const struct nd_config *config, const struct nd_node *node, struct tries *tries,
                       const char *file, struct ft_fault *first)
{
    int code = ND_DONE, status = 0;
    bool warned = false;
    pid_t pid;

    tries->count = 0;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        try_node(config, node, false, tries);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        return not_judged(file, first, "node %s: its start could not be judged", node->name);
    for (unsigned i = 0; i < tries->count; i++) {
        const struct try *t = &tries->of[i];
        const char *kind = nd_config_is_keeper(config, node) ? "keeper" : "node", *why = t->fault.text;
        bool passes = t->error == FT_EPERM && geteuid() != 0, named = strncmp(why, "node ", 5) == 0;

        if (t->error && t->what == arbiter_files) {
            warn(file, "node %s has no arbiter: %s", node->name, why);
            continue;
        }
        if (!t->error || (passes && warned))
            continue;
        warned |= passes;
        why += named ? strcspn(why, ":") + 2 : 0; /* DPDK's part names the node itself */
        named |= names_itself(t);
        fprintf(stderr, "%s: %s%s %s does not start%s: %s%s%s\n", file, passes ? "warning: " : "", kind,
                node->name, passes ? " as this user" : "", named ? "" : t->what, named ? "" : ": ", why);
        if (!passes && !code) {
            code = nd_exit_of_start(t->error);
            *first = t->fault;
        }
    }
    return code;
}

/* The nodes and keepers of this server, or the one that `node` names. Of a pair without protection the
 * primary alone starts. The exit code of what is refused first, and its line; *none: there is none of
 * them. */
static int judge_starts(const struct nd_config *config, const struct nd_node *only, const char *file,
                        struct ft_fault *first, bool *none)
{
    struct tries *tries =
        mmap(NULL, sizeof(*tries), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct ft_fault why;
    int code = ND_DONE, one;

    *none = true;
    if (tries == MAP_FAILED)
        return not_judged(file, first, "no memory to judge the start of nodes");
    for (unsigned i = 0; i < config->nodes + config->keepers; i++) {
        const struct nd_node *node =
            i < config->nodes ? &config->node[i] : &config->keeper[i - config->nodes];

        if (only ? node != only : !nd_address_here(i < config->nodes ? node->host : node->inputs_host))
            continue;
        *none = false;
        if (i < config->nodes && !config->protect.pair && node->role != ND_ROLE_PRIMARY)
            continue;
        one = judge_start(config, node, tries, file, code ? &why : first);
        code = code ? code : one;
    }
    munmap(tries, sizeof(*tries));
    return code;
}

static void warn_of_all(const struct nd_config *config, const struct nd_node *only, const char *file)
{
    struct ft_fault fault = {""};

    warn_of_wire(config, file);
    warn_of_inputs(config, only, file);
    warn_of_export(config, only, file);
    warn_of_interfaces(config, only, file);
    warn_of_addresses(config, file);
    nd_chain_warn(config, warn_of_chain, (void *)(uintptr_t)file);
    warn_of_hold(config, only, file);
    warn_of_programs(config, only, file);
    /* A node asks from its own place, and as its own user. */
    if (has_arbiter(config) && nd_arbiter_look(&config->arbiter, &fault))
        warn(file, "from here the arbiter does not answer: %s", fault.text);
}

/* Of all nodes: each node refuses to start with a program of its own that is not believed. */
static int judge_programs(const struct nd_config *config, struct ft_fault *fault)
{
    int error = 0;

    for (unsigned i = 0; i < config->nodes && error != FT_EPERM; i++)
        error = nd_runner_judge(&config->node[i], fault);
    return error == FT_EPERM ? error : 0;
}

/* The interfaces that this process sees. */
static int check_host(bool json)
{
    const char *names[ND_HOST_LINES] = {NULL};
    struct if_nameindex *all = if_nameindex();
    json_t *lines = json_array();
    struct nd_host host;
    unsigned count = 0;
    int code = ND_DONE;

    for (unsigned i = 0; all && all[i].if_name && count < ND_HOST_LINES - 1; i++)
        if (strcmp(all[i].if_name, "lo") != 0)
            names[count++] = all[i].if_name;
    nd_host_look(&host, "", names);
    for (const struct nd_host_line *l = host.line; l < host.line + host.count; l++) {
        const char *verdict = nd_host_verdict_name(l->verdict);

        code = l->verdict == ND_HOST_UNFIT ? ND_NOT_EQUAL : code;
        json_array_append_new(lines, json_pack("{s:s,s:s,s:s,s:s}", "verdict", verdict, "what", l->what, "is",
                                               l->is, "do", l->do_this));
        if (!json)
            printf("%-6s %-18s %s%s%s\n", verdict, l->what, l->is, *l->do_this ? "\n       -> " : "",
                   l->do_this);
    }
    if (json)
        code = nd_print_json(lines) ? ND_SOFTWARE : code;
    json_decref(lines);
    if (all)
        if_freenameindex(all);
    return code;
}

int nd_cmd_check(int argc, char **argv)
{
    struct nd_options options;
    struct nd_config *config;
    struct ft_fault fault = {""};
    static struct tries tries;
    int error = nd_options_read(&options, argc, argv);
    const struct nd_node *node = NULL;
    int code = ND_DONE, starts = ND_DONE;
    bool none = false;

    if (error)
        return error;
    if (options.host && (options.file || options.node || options.tries))
        return nd_usage("check", "--host with -c, -n or --try, expected it without them");
    if (options.host)
        return check_host(options.json);
    error = nd_config_read(&config, options.file, 0, &fault);
    if (!error && (error = judge_programs(config, &fault)) != 0) {
        nd_config_free(config);
        config = NULL;
    }
    if (error)
        fprintf(stderr, "%s\n", fault.text);
    else if (config->nodes && !config->protect.pair)
        warn(options.file, "protect mode is off: nothing is protected, node %s alone can run",
             config->node[config->node[0].role == ND_ROLE_STANDBY].name);
    if (!error && config->timing.detect_ms < 20)
        warn(options.file, "detect_ms below 20 takes ordinary scheduling delays for failures");
    if (!error && (options.tries || options.node))
        node = choose_node(config, &options, &starts);
    if (!error && !starts)
        warn_of_all(config, options.node ? node : NULL, options.file);
    if (!error && config->nodes && !options.tries && !starts)
        starts = judge_starts(config, node, options.file, &fault, &none);
    if (!error && !options.json && !(starts && !options.tries))
        print_text(config, options.file, none);
    fflush(NULL);
    if (node && options.tries) {
        try_node(config, node, true, &tries);
        starts = say_tries(config, node, &tries, &options);
    }
    if (options.json)
        code = print_json(config, options.file, &fault, tried_json(options.tries ? node : NULL, &tries));
    if (starts)
        code = starts;
    nd_config_free(config);
    return error ? nd_exit_of_file(error) : code;
}

/* ---- version ------------------------------------------------------------------------------------ */

#define DPDK "DPDK " /* that rte_version begins with */

static const char *dpdk_version(void)
{
    const char *text = rte_version();

    return strncmp(text, DPDK, strlen(DPDK)) == 0 ? text + strlen(DPDK) : text;
}

static int print_version(void)
{
    json_t *nfs = json_object(), *o;
    int code;

    for (unsigned i = 0; nf_module_at(i); i++)
        json_object_set_new(nfs, nf_module_at(i)->name, json_integer(nf_module_at(i)->version));
    o = json_pack("{s:s,s:{s:i,s:i},s:{s:i,s:i,s:o},s:i,s:s}", "version", UNDERSTUDY_VERSION, "formats",
                  "oldest", FT_FORMAT_OLDEST, "newest", FT_FORMAT_NEWEST, "build", "library",
                  NF_LIBRARY_VERSION, "burst", NF_BURST_MAX, "nfs", nfs, "nf_api", NF_API, "dpdk",
                  dpdk_version());
    code = nd_print_json(o);
    json_decref(o);
    return code;
}

int nd_cmd_version(int argc, char **argv)
{
    struct nd_options options;
    int error = nd_options_read(&options, argc, argv);

    if (error)
        return error;
    nd_modules_load_installed("version");
    if (options.json)
        return print_version();
    printf("understudy %s\nformats: %u to %u\nbuild: library %u, bursts of %u", UNDERSTUDY_VERSION,
           FT_FORMAT_OLDEST, FT_FORMAT_NEWEST, NF_LIBRARY_VERSION, NF_BURST_MAX);
    for (unsigned i = 0; nf_module_at(i); i++)
        printf(", %s %u", nf_module_at(i)->name, nf_module_at(i)->version);
    printf("\nmodules: NF_API %d\nDPDK: %s\n", NF_API, dpdk_version());
    return ND_DONE;
}

/* ---- key ---------------------------------------------------------------------------------------- */

int nd_cmd_key(int argc, char **argv)
{
    struct nd_options options;
    struct ft_fault fault = {""};
    int error = nd_options_read(&options, argc, argv);

    if (error)
        return error;
    error = rp_key_make(options.argv[0], &fault);
    if (!error)
        return ND_DONE;
    fprintf(stderr, "understudy: %s%s\n", fault.text,
            error == FT_EBUSY
                ? ", expected a name that is free: no key is overwritten (see A new key, operating.md)"
                : "");
    return error == FT_EPERM ? ND_NO_PERMISSION : error == FT_EIO ? ND_SOFTWARE : ND_DATA;
}
