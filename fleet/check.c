/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair files of a fleet, each read as its node will read it, and held against each other. Owns what they
 * use while they are held. See check.h.
 */
#include "fleet/check.h"
#include "node/config/config.h"

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
    char *missing; /* as of fl_check */
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

/* Notes what one pair file of the shard uses. Interfaces are the same in each, so the first one's are noted.
 */
static int note_shard(struct check *c, uint32_t shard, const struct nd_config *config, bool first)
{
    int error = 0;

    for (unsigned i = 0; first && config->chain.l3 && i < config->chain.l3->ports && !error; i++)
        error = note_interface(c, shard, &config->chain.l3->port[i]);
    for (unsigned i = 0; i < config->nodes && !error; i++)
        error = note_metrics(c, shard, fl_node_server(c->file, shard, config->node[i].name),
                             config->node[i].metrics_host, config->node[i].metrics_port);
    return error;
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
    if (!c->missing[0] && config->link.key[0] && access(config->link.key, F_OK) != 0)
        snprintf(c->missing, FL_PATH_MAX, "%s", config->link.key);
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

int fl_check(const struct fl_file *file, char missing[FL_PATH_MAX], struct ft_fault *fault)
{
    struct check c = {.file = file, .fault = fault, .missing = missing};
    int error = 0;

    missing[0] = '\0';

    for (uint32_t i = 0; i < file->shards && !error; i++)
        error = read_shard(&c, i);
    for (uint32_t i = 0; i < file->servers && !error; i++)
        error = note_metrics(&c, FL_NONE, i, file->server[i].metrics_host, file->server[i].metrics_port);
    if (!error)
        error = find_shared(&c);
    free(c.used);
    return error;
}
