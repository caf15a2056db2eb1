/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of routes, read into tables that lanes look up: `routes_file`. Owns them until the configuration
 * does. A line is a route, as `ip route` writes it:
 *
 *     NETWORK via ADDRESS
 *
 * NETWORK: A.B.C.D/N, the same of IPv6, or default; ADDRESS: a neighbour, as in `routes`. `#` begins a
 * comment. The networks of the chain's interfaces and its `routes` go before the file's of the same length.
 */
#include "understudy/config/parts.h"
#include "nflib/net/lpm.h"
#include "nflib/state/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX   (128u << 20)
#define ROUTES_MAX (4u << 20)

/* A network on its way into a table. */
struct entry {
    struct nf_addr addr;
    uint32_t value, line; /* line 0: not of the file */
    uint8_t bits;         /* as of nf_net */
};

struct list {
    struct entry *at;
    uint32_t count, room;
};

struct file {
    struct nd_reading *r;
    const struct nd_yaml *yaml; /* where the file is named */
    struct nf_routed *routed;
    struct list list[NF_FAMILIES];
    char via[NF_FAMILIES][NF_ROUTES_MAX][80]; /* hops as they are written */
};

static bool add(struct list *list, const struct nf_net *net, uint32_t value, uint32_t line)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 1024;
        struct entry *more = realloc(list->at, room * sizeof(*more));

        if (!more)
            return false;
        list->at = more;
        list->room = room;
    }
    list->at[list->count++] =
        (struct entry){.addr = net->addr, .bits = net->bits, .value = value, .line = line};
    return true;
}

static int refuse(const struct file *f, uint32_t line, const char *what, const char *expected)
{
    return ft_fail(f->r->fault, FT_EMALFORMED, "%s:%u: %.60s, expected %s", f->routed->path, line, what,
                   expected);
}

/* The number of the hop that is written so. */
static int find_hop(struct file *f, const char *text, bool ipv6, uint32_t line, uint32_t *number)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_HOP)};
    struct nf_routed *routed = f->routed;
    struct nd_yaml at = *f->yaml;
    struct nd_hop hop = {.interface = ""};
    char what[40];
    int port;

    for (*number = 0; *number < routed->hops[ipv6]; ++*number)
        if (strcmp(f->via[ipv6][*number], text) == 0)
            return 0;
    if (routed->hops[ipv6] == NF_ROUTES_MAX || strlen(text) >= sizeof(f->via[0][0]))
        return refuse(f, line, text, "at most 64 neighbours that routes lead to");
    at.text = text;
    snprintf(what, sizeof(what), "routes_file line %u: via", line);
    port = nd_schema_value(f->r->arena, &at, what, &kind, &hop, f->r->fault);
    if (port == 0)
        port = nd_port_of(f->r, &at, what, &hop);
    if (port < 0)
        return port;
    strcpy(f->via[ipv6][*number], text);
    routed->hop[ipv6][routed->hops[ipv6]++] = (struct nf_hop){hop.addr, (uint8_t)port};
    return 0;
}

static int read_line(struct file *f, char *text, uint32_t line)
{
    char *rest, *to = strtok_r(text, " \t\r", &rest), *via = to ? strtok_r(NULL, " \t\r", &rest) : NULL;
    char *hop = via ? strtok_r(NULL, " \t\r", &rest) : NULL;
    struct nf_net net;
    uint32_t number = 0;
    int error;

    if (!to)
        return 0;
    if (!hop || strcmp(via, "via") != 0 || strtok_r(NULL, " \t\r", &rest))
        return refuse(f, line, to, "NETWORK via ADDRESS");
    if (strcmp(to, "default") == 0)
        to = strchr(hop, ':') ? "::/0" : "0.0.0.0/0";
    if (!nf_net_parse(to, &net) || nf_net_has_host_bits(&net))
        return refuse(f, line, to, "A.B.C.D/N without host bits, the same of IPv6, or default");
    if (net.ipv6 != (strchr(hop, ':') != NULL))
        return refuse(f, line, hop, net.ipv6 ? "an address of IPv6" : "an address of IPv4");
    error = find_hop(f, hop, net.ipv6, line, &number);
    if (error)
        return error;
    if (f->list[net.ipv6].count >= ROUTES_MAX)
        return refuse(f, line, "one route too many", "at most 4194304 of a family");
    return add(&f->list[net.ipv6], &net, NF_ROUTED_HOP + number, line) ? 0 : nd_no_memory(f->r->fault);
}

static int read_lines(struct file *f, const struct nf_file *content)
{
    const char *at = content->bytes, *end = content->bytes + content->len;
    int error = 0;

    for (uint32_t line = 1; at < end && !error; line++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((next ? next : end) - at);
        char text[256];

        if (len >= sizeof(text) || memchr(at, 0, len))
            return refuse(f, line, "a line that is too long, or has a byte 0", "NETWORK via ADDRESS");
        memcpy(text, at, len);
        text[len] = 0;
        text[strcspn(text, "#")] = 0;
        error = read_line(f, text, line);
        at += len + 1;
    }
    return error;
}

/* From the largest network to the smallest; of the same one the file's first and an interface's last, so that
 * they come over it. */
static int by_size(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = (x->bits > y->bits) - (x->bits < y->bits);

    if (!order)
        order = memcmp(x->addr.byte, y->addr.byte, sizeof(x->addr.byte));
    if (!order)
        order = !x->line - !y->line;
    if (!order)
        order = (x->line > y->line) - (x->line < y->line);
    return order ? order : (x->value < y->value) - (x->value > y->value);
}

/* What is there besides the file. */
static bool add_others(struct file *f, bool ipv6)
{
    const struct nf_l3_config *l3 = f->r->l3;
    bool room = true;

    for (unsigned i = 0; i < l3->routes[ipv6]; i++)
        room = room && add(&f->list[ipv6], &l3->route[ipv6][i].to, NF_ROUTED_ROUTE + i, 0);
    for (unsigned i = 0; i < l3->ports; i++)
        if (l3->port[i].net[ipv6].bits)
            room = room && add(&f->list[ipv6], &l3->port[i].net[ipv6], NF_ROUTED_LINK + i, 0);
    return room;
}

static int make_table(struct file *f, bool ipv6)
{
    struct nf_routed *routed = f->routed;
    struct list *list = &f->list[ipv6];
    int error;

    routed->count[ipv6] = list->count;
    if (!list->count)
        return 0;
    if (!add_others(f, ipv6))
        return nd_no_memory(f->r->fault);
    qsort(list->at, list->count, sizeof(*list->at), by_size);
    error = nf_lpm_make(&routed->table[ipv6], f->r->fault);
    for (uint32_t i = 0; i < list->count && !error; i++) {
        const struct entry *e = &list->at[i], *before = i ? e - 1 : NULL;
        unsigned skip = ipv6 ? 0 : NF_IPV4_BITS;

        if (e->line && before && before->line && before->bits == e->bits &&
            nf_addr_same(&before->addr, &e->addr))
            return refuse(f, e->line, "a second route to one network", "one");
        if (e->line) {
            const struct nf_hop *hop = &routed->hop[ipv6][e->value - NF_ROUTED_HOP];
            struct nf_addr said[2] = {e->addr, hop->addr};

            routed->hash = nf_key_hash(said, sizeof(said), routed->hash + e->bits + hop->port * 256u);
        }
        error = nf_lpm_add(routed->table[ipv6], e->addr.byte + skip / 8, e->bits - skip, e->value, NULL);
        if (error)
            return nd_yaml_fail(f->r->fault, f->yaml,
                                "routes_file %.80s: too many small networks that are apart from each other",
                                routed->path);
    }
    return error;
}

int nd_read_routes_file(struct nd_reading *r)
{
    const struct nd_yaml *at = r->at.routes_file;
    struct nd_yaml_file on_disk;
    struct nd_arena *arena;
    struct file *f;
    struct nf_file content = {.path = NULL};
    const char *why = NULL;
    int error = 0;

    if (!at)
        return 0;
    on_disk = *at->file; /* it is too large to be of a set that a peer sends */
    arena = nd_arena_new();
    f = calloc(1, sizeof(*f));
    if (at->kind != ND_YAML_TEXT || !*at->text)
        error = nd_yaml_fail(r->fault, at, "routes_file: expected a readable file");
    on_disk.over = NULL;
    r->l3->routed = f ? calloc(1, sizeof(*r->l3->routed)) : NULL;
    if (!error && (!arena || !r->l3->routed))
        error = nd_no_memory(r->fault);
    if (!error) {
        f->r = r;
        f->yaml = at;
        f->routed = r->l3->routed;
        f->routed->path = nd_path_join(r->arena, at->file->dir, at->text);
        error = f->routed->path
                    ? nd_content_read(&content, arena, f->routed->path, &on_disk, FILE_MAX, &why, r->fault)
                    : nd_no_memory(r->fault);
    }
    if (error && why)
        error =
            nd_yaml_fail(r->fault, at, "routes_file is %.80s (%s), expected a readable file", at->text, why);
    if (!error)
        error = read_lines(f, &content);
    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES && !error; ipv6++)
        error = make_table(f, ipv6);
    for (unsigned ipv6 = 0; f && ipv6 < NF_FAMILIES; ipv6++)
        free(f->list[ipv6].at);
    free(f);
    nd_arena_free(arena);
    return error;
}

void nd_routed_free(struct nf_routed *routed)
{
    for (unsigned ipv6 = 0; routed && ipv6 < NF_FAMILIES; ipv6++)
        nf_lpm_free(routed->table[ipv6]);
    free(routed);
}
