/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain: its name, the NFs and their settings, modules from outside the tree; its interfaces, routes and
 * next hops of both families, and the ports and VLAN tags by which its frames are known, checked against each
 * other. Without interfaces it is a wire. `chain: {file: other.yaml}` takes chain (and protect, redis and
 * interfaces with all that belongs to them, when this file has none) from another file, whose lines its
 * messages then name.
 */
#include "understudy/base/process.h"
#include "understudy/config/module_file.h"
#include "understudy/config/parts.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#define MODULES_MAX 8

struct raw_chain {
    char name[32];
    uint32_t lanes, frame_max, shared_mb;
    const struct nd_yaml *state, *modules, *nfs;
};

#define AT(member) offsetof(struct raw_chain, member)
static const struct nf_param chain_keys[] = {
    {"name", ND_KIND(ND_NAME), AT(name), 0, 32, NULL, NULL, "of the chain", false},
    {"lanes", NF_U32, AT(lanes), 1, FT_LANES_MAX, "1", NULL, "worker threads", false},
    {"frame_max", NF_U32, AT(frame_max), NF_FRAME_ROOM, FT_FRAME_MAX, "2048", NULL, "of ports", false},
    {"shared_mb", NF_U32, AT(shared_mb), 1, 16384, "", NULL, "shared arena", false},
    {"state", ND_KIND(ND_ANY), AT(state), 0, 0, "", NULL, "where state is kept", false},
    {"modules", ND_KIND(ND_LIST), AT(modules), 0, MODULES_MAX, "", NULL, "shared objects with NFs", false},
    {"nfs", ND_KIND(ND_LIST), AT(nfs), 0, FT_NFS_MAX - 1, NULL, NULL, "the NFs, from the inside out", false},
    {0},
};
#undef AT

static const struct nf_param reference[] = {
    {"file", ND_KIND(ND_PATH), 0, 0, 0, NULL, NULL, "a chain file", false},
    {0},
};

static const struct nf_param no_settings[] = {{0}};

/* A setting of every NF, in the words of enum nf_on_crash. */
static const char *const on_crash[] = {"stop", "bypass", "reset", NULL};

/* What a chain file has that a pair file refers to. */
#define AT(member) offsetof(struct nd_sections, member)
static const struct nf_param travelling[] = {
    {"chain", ND_KIND(ND_MAP), AT(chain), 0, 0, NULL, NULL, NULL, false},
    {"protect", ND_KIND(ND_MAP), AT(protect), 0, 0, "", NULL, NULL, false},
    {"redis", ND_KIND(ND_MAP), AT(redis), 0, 0, "", NULL, NULL, false},
    {"interfaces", ND_KIND(ND_LIST), AT(interfaces), 0, NF_PORTS_MAX, "", NULL, NULL, false},
    {"routes", ND_KIND(ND_LIST), AT(routes), 0, NF_ROUTES_MAX, "", NULL, NULL, false},
    {"routes_file", ND_KIND(ND_ANY), AT(routes_file), 0, 0, "", NULL, NULL, false},
    {"neighbours", ND_KIND(ND_LIST), AT(neighbours), 0, NF_FIXED_MAX, "", NULL, NULL, false},
    {"next_hops", ND_KIND(ND_LIST), AT(next_hops), 0, NF_NEXT_HOPS_MAX, "", NULL, NULL, false},
    {0},
};
#undef AT

static const struct nd_yaml *first_of_network(const struct nd_sections *at)
{
    return at->interfaces    ? at->interfaces
           : at->routes      ? at->routes
           : at->routes_file ? at->routes_file
           : at->next_hops   ? at->next_hops
                             : at->neighbours;
}

/* Interfaces and all that belongs to them stand in one of the two files. */
static int take_network(struct nd_reading *r, const struct nd_sections *theirs)
{
    const struct nd_yaml *here = first_of_network(&r->at), *there = first_of_network(theirs);

    if (here && there)
        return nd_yaml_fail(r->fault, here,
                            "%s here, and %s in the chain file, expected interfaces, routes, next_hops and "
                            "neighbours in one of the two",
                            here->key, there->key);
    if (!there)
        return 0;
    r->at.interfaces = theirs->interfaces;
    r->at.routes = theirs->routes;
    r->at.routes_file = theirs->routes_file;
    r->at.next_hops = theirs->next_hops;
    r->at.neighbours = theirs->neighbours;
    r->spare_ports = true;
    return 0;
}

/* Follows `file:` to the other file's sections. */
static int follow_reference(struct nd_reading *r)
{
    struct nd_sections theirs = {.chain = NULL};
    const struct nd_yaml *other, *again;
    const char *path;
    int error = nd_schema_read(r->arena, r->at.chain, "chain", reference, &path, r->fault);

    if (!error)
        error =
            nd_yaml_read(&other, &r->config->text, r->arena, path, r->trust, r->root->file->over, r->fault);
    if (error)
        return error;
    if (snprintf(r->config->chain_file, sizeof(r->config->chain_file), "%s", path) >=
        (int)sizeof(r->config->chain_file))
        return nd_yaml_fail(r->fault, r->at.chain, "chain file is a path of 256 bytes or more");
    error = nd_schema_read(r->arena, other, NULL, travelling, &theirs, r->fault);
    if (error)
        return error;
    again = nd_yaml_get(theirs.chain, "file");
    if (again)
        return nd_yaml_fail(r->fault, again, "a second reference to a chain file, expected the chain itself");
    r->at.chain = theirs.chain;
    if (!r->at.protect)
        r->at.protect = theirs.protect;
    if (!r->at.redis)
        r->at.redis = theirs.redis;
    return take_network(r, &theirs);
}

static int load_file(struct nd_reading *r, const struct nd_yaml *at, const char *path)
{
    struct ft_fault breach;
    int error = nd_module_load(path, &breach);

    r->disbelieved = error == FT_EPERM;
    if (error || nd_module_file_check(path, r->quiet, &breach))
        return nd_yaml_fail(r->fault, at, "%s", breach.text);
    return 0;
}

static int load_module(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_PATH)};
    const char *path;
    char installed[1024];
    int error = nd_schema_value(r->arena, at, "chain modules entry", &kind, &path, r->fault);

    if (error && at->kind == ND_YAML_TEXT && *at->text && !strchr(at->text, '/') &&
        nd_installed(ND_MODULES, at->text, installed, sizeof(installed))) { /* not beside the file */
        path = installed;
        *r->fault = (struct ft_fault){""};
        error = 0;
    }
    if (error)
        return error;
    if (!strchr(path, '/')) /* else the loader would search its own directories */
        path = nd_arena_format(r->arena, "./%s", path);
    return path ? load_file(r, at, path) : nd_no_memory(r->fault);
}

static int refuse_nf(struct nd_reading *r, const struct nd_yaml *at, const char *name)
{
    const char *names[129] = {NULL}, *near;
    char place[1024], pattern[1032];
    glob_t files = {0};
    unsigned n = 0;

    while (n < 64 && nf_module_at(n))
        names[n] = nf_module_at(n)->name, n++;
    snprintf(pattern, sizeof(pattern), "%s*.so",
             nd_installed(ND_MODULES, "", place, sizeof(place)) ? place : "");
    if (*pattern == '/' && glob(pattern, 0, NULL, &files) == 0)
        for (size_t i = 0; i < files.gl_pathc && n < 128; i++) {
            char *file = strrchr(files.gl_pathv[i], '/') + 1;

            file[strlen(file) - 3] = '\0';
            names[n++] = file;
        }
    near = nd_schema_nearest(name, names);
    if (near)
        nd_yaml_fail(r->fault, at, "no NF called \"%.40s\", expected %s?", name, near);
    else
        nd_yaml_fail(
            r->fault, at,
            "no NF called \"%.40s\", expected the name of an NF of this program, or of one in " ND_MODULES
            "/NAME.so, where modules are installed",
            name);
    globfree(&files);
    return FT_EMALFORMED;
}

/* The NF of that name: the program's, of a module that was named, or of NAME.so where modules are installed.
 */
static int find_nf(struct nd_reading *r, const struct nd_yaml *at, const char *name,
                   const struct nf_module **found)
{
    char file[48], path[1024];
    int error = 0;

    *found = nf_module_find(name);
    if (*found)
        return 0;
    if (!strchr(name, '/') && snprintf(file, sizeof(file), "%s.so", name) < (int)sizeof(file) &&
        nd_installed(ND_MODULES, file, path, sizeof(path))) {
        error = load_file(r, at, path);
        *found = nf_module_find(name);
    }
    return *found || error ? error : refuse_nf(r, at, name);
}

/* The NF's own checks. A message about a file that a setting names has its own position, and stays so. */
static int check_nf(struct nd_reading *r, const struct nd_yaml *at, const struct nf_module *module,
                    void *config)
{
    struct ft_fault why = {""};
    int error = module->check ? module->check(config, &why) : 0;

    if (!error)
        return 0;
    for (char *c = strchr(why.text, '\n'); c; c = strchr(c, '\n'))
        *c = ' ';
    for (const struct nf_param *p = module->params; p && p->name; p++) {
        const char *path =
            p->kind == NF_FILE ? ((const struct nf_file *)((char *)config + p->offset))->path : "";
        size_t len = strlen(path);

        if (len && strncmp(why.text, path, len) == 0 && why.text[len] == ':')
            return ft_fail(r->fault, FT_EMALFORMED, "%s", why.text);
    }
    return nd_yaml_fail(r->fault, at, "%s: %s", module->name, *why.text ? why.text : ft_error_name(error));
}

/* The NF's own settings and then those of every NF, which lie behind its config at `behind`; NULL: no memory.
 */
static const struct nf_param *all_settings(struct nd_arena *arena, const struct nf_module *module,
                                           size_t behind)
{
    const struct nf_param *own = module->params ? module->params : no_settings;
    struct nf_param *all;
    unsigned n = 0;

    while (own[n].name)
        n++;
    all = nd_arena_alloc(arena, (n + 2) * sizeof(*all));
    if (!all)
        return NULL;
    memcpy(all, own, n * sizeof(*all));
    all[n] = (struct nf_param){.name = "on_crash",
                               .kind = NF_CHOICE,
                               .offset = behind,
                               .preset = "stop",
                               .choices = on_crash,
                               .help = "what the successor does when the NF died of its state"};
    all[n + 1] = (struct nf_param){0};
    return all;
}

/* `- NAME: {settings}`, `- NAME:` or `- NAME`. */
static int read_nf(struct nd_reading *r, const struct nd_yaml *entry)
{
    struct nf_chain_config *chain = &r->config->chain;
    struct nd_yaml none = {.kind = ND_YAML_MAP, .line = entry->line, .file = entry->file};
    const struct nd_yaml *settings = entry->kind == ND_YAML_MAP && entry->count == 1 ? entry->first : NULL;
    const struct nf_module *module;
    const char *name = settings ? settings->key : entry->text;
    const struct nf_param *params;
    const uint32_t *crash;
    size_t behind;
    void *config;
    int error;

    if (!settings && (entry->kind != ND_YAML_TEXT || !*entry->text))
        return nd_yaml_fail(r->fault, entry, "%s, expected \"- NAME: {settings}\"",
                            entry->kind == ND_YAML_MAP && entry->count > 1
                                ? "several keys where an NF is (on_crash is one of its settings)"
                                : "not an NF");
    if (!settings || (settings->kind == ND_YAML_TEXT && !*settings->text))
        settings = &none;
    error = find_nf(r, entry, name, &module);
    if (error)
        return error;
    for (unsigned i = 0; i < chain->count; i++)
        if (chain->nfs[i].module == module)
            return nd_yaml_fail(r->fault, entry, "NF %s again, expected each once (first on line %u)", name,
                                r->nf_at[i]->line);
    behind = (module->config_size + sizeof(*crash) - 1) / sizeof(*crash) * sizeof(*crash);
    config = nd_arena_alloc(r->arena, behind + sizeof(*crash));
    params = all_settings(r->arena, module, behind);
    if (!config || !params)
        return nd_no_memory(r->fault);
    crash = (const void *)((const uint8_t *)config + behind);
    error = nd_schema_read(r->arena, settings, name, params, config, r->fault);
    if (!error && *crash == NF_CRASH_BYPASS && module->translates)
        error = nd_yaml_fail(
            r->fault, entry,
            "%s: on_crash: bypass of an NF that translates flows, which would leave untranslated; "
            "expected stop or reset",
            name);
    if (!error && *crash == NF_CRASH_RESET && (module->heap || (module->shared && chain->lanes > 1)))
        error = nd_yaml_fail(
            r->fault, entry, "%s: on_crash: reset of an NF %s; expected stop or bypass", name,
            module->heap ? "with a heap" : "whose lanes share state, in a chain of several lanes");
    if (!error)
        error = check_nf(r, entry, module, config);
    if (error)
        return error; /* a failed check keeps nothing: release is not for it */
    r->nf_at[chain->count] = entry;
    for (const struct nf_param *p = module->params; p && p->name; p++)
        if (p->marks & NF_PARAM_OWN && (p->kind == NF_IPV4 || p->kind == NF_HOSTS))
            r->own[chain->count] = p;
    chain->nfs[chain->count++] = (struct nf_choice){.module = module, .config = config, .on_crash = *crash};
    return 0;
}

/* Its state begins anew in one burst of each lane. Of an NF that translates all sessions end in it, of which
 * the others hear, and those whose lanes share state enter a section for each: more than the burst's record
 * has room for. */
static int check_reset(const struct nd_reading *r)
{
    const struct nf_chain_config *chain = &r->config->chain;
    const struct nf_module *shares = NULL;

    for (unsigned i = 0; i < chain->count; i++)
        if (chain->nfs[i].module->shared)
            shares = chain->nfs[i].module;
    for (unsigned i = 0; i < chain->count && shares && chain->lanes > 1; i++)
        if (chain->nfs[i].on_crash == NF_CRASH_RESET && chain->nfs[i].module->translates)
            return nd_yaml_fail(
                r->fault, r->nf_at[i],
                "%s: on_crash: reset of an NF that translates flows, beside %s whose lanes share state, "
                "in a chain of several lanes; expected stop",
                chain->nfs[i].module->name, shares->name);
    return 0;
}

/* ---- ports outside that two NFs take ------------------------------------------------------------- */

/* NF `i` takes `a`, and one before it `b`. */
static int compare_ports(const struct nd_reading *r, unsigned i, const struct nf_ports *a, const char *other,
                         const struct nf_ports *b)
{
    const char *name = r->config->chain.nfs[i].module->name;
    unsigned lanes = r->config->chain.lanes, first = a->first > b->first ? a->first : b->first;
    unsigned last = a->last < b->last ? a->last : b->last, protos = a->protos & b->protos;
    struct nf_addr addr = nf_addr_of_ipv4(a->addr);
    char text[NF_ADDR_TEXT];

    if (a->addr != b->addr)
        return 0;
    nf_addr_text(&addr, text);
    if (a->given && b->given)
        return nd_yaml_fail(
            r->fault, r->nf_at[i],
            "%s: %s is an outside address of %s, and each drops what is the other's; expected "
            "another address",
            name, text, other);
    if (a->given && b->begins)
        return nd_yaml_fail(
            r->fault, r->nf_at[i],
            "%s: %s is an outside address of it, and it drops what is for %s, which stands before "
            "it; expected %s behind it in the list, or another address",
            name, text, other, other);
    if (!protos || first > last)
        return 0;
    if (a->begins && b->begins)
        return nd_yaml_fail(r->fault, r->nf_at[i],
                            "%s: %s of %s port %u is taken by %s, expected another port or another address",
                            name, protos & NF_PORTS_TCP ? "TCP" : "UDP", text, first, other);
    if (lanes > 1 && (a->given || b->given))
        return nd_yaml_fail(r->fault, r->nf_at[i],
                            "%s and %s: %s of %s port %u is one that the NAT gives out, by which packets are "
                            "dealt to lanes; expected a port of its own, or 1 lane, not %u",
                            name, other, protos & NF_PORTS_TCP ? "TCP" : "UDP", text, first, lanes);
    return 0;
}

/* Who begins a flow there could be asking for either. */
static int check_ports(const struct nd_reading *r)
{
    const struct nf_choice *nfs = r->config->chain.nfs;
    struct nf_ports a, b;
    int error = 0;

    for (unsigned i = 0; i < r->config->chain.count; i++)
        for (unsigned j = 0; j < i && nfs[i].module->ports; j++)
            for (unsigned k = 0; nfs[j].module->ports && nfs[i].module->ports(nfs[i].config, k, &a); k++)
                for (unsigned l = 0; !error && nfs[j].module->ports(nfs[j].config, l, &b); l++)
                    error = compare_ports(r, i, &a, nfs[j].module->name, &b);
    return error;
}

int nd_read_chain(struct nd_reading *r)
{
    struct nf_chain_config *chain = &r->config->chain;
    struct raw_chain raw = {.lanes = 0};
    struct ft_fault why = {""};
    enum nf_scope scope;
    int error = 0;

    if (nd_yaml_get(r->at.chain, "file"))
        error = follow_reference(r);
    if (!error)
        error = nd_schema_read(r->arena, r->at.chain, "chain", chain_keys, &raw, r->fault);
    if (error)
        return error;
    chain->name = nd_arena_text(r->arena, raw.name, strlen(raw.name));
    if (!chain->name)
        return nd_no_memory(r->fault);
    chain->lanes = (uint16_t)raw.lanes;
    chain->frame_max = raw.frame_max;
    chain->shared_size = (uint64_t)raw.shared_mb << 20;
    if (raw.state && (raw.state->kind != ND_YAML_TEXT || strcmp(raw.state->text, "local") != 0))
        return nd_yaml_fail(r->fault, raw.state,
                            "chain state is %.40s, expected local: no node keeps it in Redis",
                            raw.state->kind == ND_YAML_TEXT ? raw.state->text : "no text");
    if (!raw.nfs->count)
        return nd_yaml_fail(r->fault, raw.nfs, "chain nfs is an empty list, expected at least one NF");
    for (const struct nd_yaml *e = raw.modules ? raw.modules->first : NULL; e && !error; e = e->next)
        error = load_module(r, e);
    for (const struct nd_yaml *e = raw.nfs->first; e && !error; e = e->next)
        error = read_nf(r, e);
    if (!error)
        error = check_reset(r);
    if (!error)
        error = check_ports(r);
    if (!error && nf_chain_scope(chain, chain->lanes, &scope, &why))
        error = nd_yaml_fail(r->fault, raw.nfs, "chain nfs: %s", why.text);
    return error;
}

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

unsigned nd_port_by_name(const struct nd_config *config, const char *name)
{
    unsigned i = 0;

    while (i < config->ports && strcmp(config->port_name[i], name) != 0)
        i++;
    return i;
}

/* The nodes' port of that name, which has room: they are numbered as interfaces name them first. */
static uint8_t find_port(struct nd_config *config, const char name[32])
{
    unsigned i = nd_port_by_name(config, name);

    if (i == config->ports)
        memcpy(config->port_name[config->ports++], name, sizeof(config->port_name[0]));
    return (uint8_t)i;
}

/* The port and the tags of an interface whose names are read, beside the interfaces that are
 * there; `vlan` as it stands in the file, NULL: absent; `tpid` counts where the interface has that key. */
static int read_vlan(struct nd_reading *r, const struct nd_yaml *at, const struct nd_yaml *vlan,
                     uint32_t tpid, struct nf_interface *port)
{
    struct nf_l3_config *l3 = r->l3;
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
    port->device = find_port(r->config, port->port);
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *o = &l3->port[i];

        /* One of the same name is refused for that (check_interface). */
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

#define MTU_LEAST 576
#define ETHERNET  14u
#define MTU_MOST  (FT_FRAME_MAX - ETHERNET)

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
static void choose_mac(const char *chain, const struct nf_l3_config *l3, struct nf_interface *port)
{
    for (unsigned i = 0; i < l3->ports; i++)
        if (l3->port[i].device == port->device) {
            memcpy(port->mac, l3->port[i].mac, sizeof(port->mac));
            return;
        }
    derive_mac(chain, l3->ports, port->mac);
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
    const struct nf_l3_config *l3 = r->l3;
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
    const struct nf_l3_config *l3 = r->l3;
    int error;

    if (!port->net[NF_IP4].bits && !port->net[NF_IP6].bits)
        return nd_yaml_fail(r->fault, at, "interface %s has no address, expected address, address6 or both",
                            port->name);
    if (port->net[NF_IP6].bits && port->mtu < NF_MTU_LEAST_IPV6)
        return nd_yaml_fail(r->fault, nd_yaml_get(at, "mtu"),
                            "interface %s mtu is %u, expected %u or more on a link with IPv6", port->name,
                            port->mtu, NF_MTU_LEAST_IPV6);
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
    struct nf_l3_config *l3 = r->l3;
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
        choose_mac(r->config->chain.name, l3, port);
    if (port->net[NF_IP6].bits)
        port->local =
            (struct nf_addr){/* fe80::/64 and the modified EUI-64 of the MAC (RFC 4291, appendix A) */
                             .byte = {0xfe, 0x80, [8] = port->mac[0] ^ 2, port->mac[1], port->mac[2], 0xff,
                                      0xfe, port->mac[3], port->mac[4], port->mac[5]}};
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

    for (unsigned i = 0; i < r->l3->ports; i++)
        count[r->l3->port[i].side]++;
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
    struct nf_l3_config *l3 = r->l3;
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

int nd_port_of(struct nd_reading *r, const struct nd_yaml *at, const char *what, const struct nd_hop *hop)
{
    const struct nf_l3_config *l3 = r->l3;
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
    struct nf_l3_config *l3 = r->l3;
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
        port = nd_port_of(r, via, "route via", &raw.via);
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
    struct nf_l3_config *l3 = r->l3;
    struct nd_hop hop = {.interface = ""};
    int port = nd_schema_value(r->arena, at, "next_hops entry", &kind, &hop, r->fault);
    bool ipv6 = nf_addr_is_ipv6(&hop.addr);

    if (port == 0)
        port = nd_port_of(r, at, "next hop", &hop);
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
    struct nf_l3_config *l3 = r->l3;
    struct {
        struct nd_hop address;
        uint8_t mac[6];
    } raw = {.address = {.interface = ""}};
    int port = nd_schema_read(r->arena, at, "neighbour", keys, &raw, r->fault);

    if (port == 0)
        port = nd_port_of(r, nd_yaml_get(at, "address"), "neighbour address", &raw.address);
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
    const struct nd_yaml *orphan = r->at.interfaces ? NULL : first_of_network(&r->at);
    int error = 0;

    if (orphan)
        return nd_yaml_fail(r->fault, orphan, "%s without interfaces, expected interfaces", orphan->key);
    if (!r->at.interfaces) {
        for (; r->config->ports < 2; r->config->ports++)
            snprintf(r->config->port_name[r->config->ports], sizeof(r->config->port_name[0]), "%s",
                     nd_interface_name(r->config, r->config->ports));
        return 0;
    }
    r->l3 = nd_arena_alloc(r->arena, sizeof(*r->l3));
    if (!r->l3)
        return nd_no_memory(r->fault);
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
    r->config->chain.l3 = r->l3; /* also half read: what it owns is freed with the configuration */
    return error;
}
