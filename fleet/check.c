/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair files of a fleet, each read as its node will read it, and held against each other. Owns what they
 * use while they are held. See check.h.
 */
#include "fleet/check.h"
#include "understudy/base/interface.h"
#include "understudy/config/config.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What no other shard may use. */
struct used {
    const char *what;
    char value[FL_NAME_MAX + NF_ADDR_TEXT + 16];
    uint32_t shard;
};

struct check {
    const struct fl_file *file;
    struct used *used;
    size_t count, cap;
    struct ft_fault *fault;
    FILE *notes;
    unsigned said; /* bits: kinds of files of which one was missing */
};

static int note(struct check *c, uint32_t shard, const char *what, const char *value)
{
    if (c->count == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 256;
        struct used *more = realloc(c->used, cap * sizeof(*more));

        if (!more)
            return nd_no_memory(c->fault);
        c->used = more;
        c->cap = cap;
    }
    c->used[c->count] = (struct used){.what = what, .shard = shard};
    snprintf(c->used[c->count++].value, sizeof(c->used->value), "%s", value);
    return 0;
}

static int note_address(struct check *c, uint32_t shard, const struct nf_addr *addr)
{
    char text[NF_ADDR_TEXT];

    return note(c, shard, "address", nf_addr_text(addr, text));
}

/* Not the link-local address: it is made of the MAC, so it differs where that does. */
static int note_interface(struct check *c, uint32_t shard, const struct nf_interface *port)
{
    const uint8_t *m = port->mac;
    char mac[18];
    int error;

    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    error = note(c, shard, "MAC", mac);
    for (unsigned family = 0; family < NF_FAMILIES && !error; family++) {
        if (port->net[family].bits)
            error = note_address(c, shard, &port->net[family].addr);
        for (unsigned i = 0; i < port->extras[family] && !error; i++)
            error = note_address(c, shard, &port->extra[family][i]);
    }
    return error;
}

/* The address of metrics of a node, or, with `shard` FL_NONE, of the agent. It may stand again on another
 * server, so it is noted with its server. */
static int note_metrics(struct check *c, uint32_t shard, uint32_t server, const char *host, uint16_t port)
{
    char text[sizeof(c->used->value)];

    if (!port)
        return 0;
    snprintf(text, sizeof(text), "%.15s:%u on server %s", host, port, c->file->server[server].name);
    return note(c, shard, "metrics address", text);
}

static const char interface[] = "interface"; /* which two shards may have, and are seldom meant to */

/* The ports of a node, but those whose frames are distinguished by VLAN. */
static int note_ports(struct check *c, uint32_t shard, uint32_t server, const struct nd_config *config,
                      const struct nd_node *node)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    char text[sizeof(c->used->value)], name[IFNAMSIZ];
    int error = 0;

    for (unsigned i = 0; i < NF_PORTS_MAX && node->port[i][0] && !error; i++) {
        bool kernel = nd_interface_of(node->port[i], name);

        if ((l3 && nf_l3_is_trunk(l3, i)) || (!kernel && strncmp(node->port[i], "net_", 4) == 0))
            continue;
        snprintf(text, sizeof(text), "%.*s on server %s",
                 kernel ? IFNAMSIZ : (int)strcspn(node->port[i], ","), kernel ? name : node->port[i],
                 c->file->server[server].name);
        error = note(c, shard, interface, text);
    }
    return error;
}

/* Notes what one pair file of the shard uses. Interfaces are the same in each, so the first one's are noted.
 */
static int note_shard(struct check *c, uint32_t shard, const struct nd_config *config, bool first)
{
    int error = 0;

    for (unsigned i = 0; first && config->chain.l3 && i < config->chain.l3->ports && !error; i++)
        error = note_interface(c, shard, &config->chain.l3->port[i]);
    for (unsigned i = 0; i < config->nodes && !error; i++) {
        const struct nd_node *node = &config->node[i];
        uint32_t server = fl_node_server(c->file, shard, node->name);

        error = note_metrics(c, shard, server, node->metrics_host, node->metrics_port);
        if (!error)
            error = note_ports(c, shard, server, config, node);
    }
    return error;
}

/* A file that servers need, unless its name depends on who speaks. On a server here.c judges what is in it.
 */
static void look_for(struct check *c, unsigned kind, const char *what, const char *path, const char *more)
{
    if (!path[0] || c->file->self != FL_NONE || strstr(path, "$(") || c->said & 1u << kind ||
        access(path, F_OK) == 0)
        return;
    c->said |= 1u << kind;
    fprintf(c->notes, "understudy: %s %s is not here: each server needs it%s\n", what, path, more);
}

#define OF_ETCD 4u /* kinds of files in a section about etcd */

/* `kind`: of the first. The arbiter's authorities are nodes' too. */
static void look_for_files(struct check *c, unsigned kind, const char *of, const struct nd_etcd_config *etcd)
{
    static const char *const keys[OF_ETCD] = {"cert", "cert_key", "password_file", "ca"};
    const char *const paths[OF_ETCD] = {etcd->cert, etcd->cert_key, etcd->password_file, etcd->ca};
    char what[48];

    for (unsigned i = 0; i < (kind == 1 ? OF_ETCD : OF_ETCD - 1); i++) {
        snprintf(what, sizeof(what), "%s.%s", of, keys[i]);
        look_for(c, kind + i, what, paths[i], "");
    }
}

/* The pair file of nodes on servers [from, from + count), as the agent of the first one would write it. */
static int read_pair(struct check *c, uint32_t shard, uint32_t from, unsigned count)
{
    const struct fl_file *f = c->file;
    uint32_t servers[ND_NODES];
    char path[FL_PATH_MAX], name[FL_NAME_MAX], *text;
    struct nd_config *config;
    struct ft_fault inner = {""};
    int error;

    for (unsigned i = 0; i < count; i++)
        servers[i] = from + i;
    error = fl_file_render(f, shard, servers, count, &text, c->fault);
    if (error)
        return error;
    snprintf(path, sizeof(path), "%s/%s.yaml", f->state, fl_node_name(name, f, shard, from));
    error = nd_config_read_text(&config, path, text, ND_CONFIG_NODES | (shard || from ? ND_CONFIG_QUIET : 0),
                                &inner);
    free(text);
    if (error)
        return ft_fail(c->fault, error, "%s: the pair file of shard %s: %.200s", f->path,
                       f->shard[shard].name, inner.text);
    look_for(c, 0, "the link's key", config->link.key, " (understudy key makes one)");
    if (f->shard_etcd)
        look_for_files(c, 1 + OF_ETCD, "shard_etcd", &config->arbiter.etcd);
    error = note_shard(c, shard, config, from == 0);
    nd_config_free(config);
    return error;
}

/* Two pairs of a shard differ in their nodes' sections alone, and no two servers have one host or one name.
 * So with each server's node all pairs are read that can be planned. */
static int read_shard(struct check *c, uint32_t shard)
{
    int error = 0;

    for (uint32_t from = 0; from < c->file->servers && !error; from += ND_NODES) {
        uint32_t left = c->file->servers - from;

        if (left == 1)
            error = read_pair(c, shard, from - 1, 2);
        else
            error = read_pair(c, shard, from, left < ND_NODES ? left : ND_NODES);
    }
    return error;
}

static int by_value(const void *a, const void *b)
{
    const struct used *first = a, *second = b;
    int order = strcmp(first->what, second->what);

    if (!order)
        order = strcmp(first->value, second->value);
    return order ? order : first->shard < second->shard ? -1 : first->shard > second->shard;
}

static int find_shared(const struct check *c)
{
    if (c->count)
        qsort(c->used, c->count, sizeof(*c->used), by_value);
    for (size_t i = 1; i < c->count; i++) {
        const struct used *a = &c->used[i - 1], *b = &c->used[i];

        if (a->shard == b->shard || strcmp(a->what, b->what) != 0 || strcmp(a->value, b->value) != 0)
            continue;
        if (a->what == interface) {
            fprintf(c->notes,
                    "understudy: shards %s and %s have one interface, %s: each gets the other's frames\n",
                    c->file->shard[a->shard].name, c->file->shard[b->shard].name, a->value);
            while (i + 1 < c->count && c->used[i + 1].what == interface)
                i++;
            continue;
        }
        if (b->shard == FL_NONE)
            return nd_yaml_fail(c->fault, c->file->shard[a->shard].at,
                                "shard %s and an agent have one %s, %s, expected two",
                                c->file->shard[a->shard].name, b->what, b->value);
        return nd_yaml_fail(c->fault, c->file->shard[b->shard].at,
                            "shards %s and %s have one %s, %s, expected two", c->file->shard[a->shard].name,
                            c->file->shard[b->shard].name, b->what, b->value);
    }
    return 0;
}

int fl_check(const struct fl_file *file, FILE *notes, struct ft_fault *fault)
{
    struct check c = {.file = file, .fault = fault, .notes = notes};
    int error = 0;

    look_for_files(&c, 1, "arbiter", &file->etcd);
    for (uint32_t i = 0; i < file->shards && !error; i++)
        error = read_shard(&c, i);
    for (uint32_t i = 0; i < file->servers && !error; i++)
        error = note_metrics(&c, FL_NONE, i, file->server[i].metrics_host, file->server[i].metrics_port);
    if (!error)
        error = find_shared(&c);
    free(c.used);
    return error;
}
