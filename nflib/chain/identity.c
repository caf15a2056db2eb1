/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the text of what makes two nodes' chains the same: NFs with their
 * settings, lanes, addresses and routes. Written once at start; compared line by line in the hello. Files
 * count by their content, not by their path.
 */
#include "nflib/chain/chain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define FILE_BLOCK 4096u /* of a file, hashed at once: part of what two nodes compare */

struct text {
    char *out;
    uint32_t cap, len;
};

static void __attribute__((format(printf, 2, 3))) say(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->out + t->len, t->cap - t->len, fmt, args);
    va_end(args);
    if (n > 0)
        t->len = (uint32_t)n < t->cap - t->len ? t->len + (uint32_t)n : t->cap - 1;
}

static void say_addr(struct text *t, const struct nf_addr *addr)
{
    char text[NF_ADDR_TEXT];

    say(t, "%s", nf_addr_text(addr, text));
}

static void say_net(struct text *t, const struct nf_net *net)
{
    say_addr(t, &net->addr);
    say(t, "/%u", nf_net_bits(net));
}

static void say_ipv4(struct text *t, uint32_t addr)
{
    struct nf_addr a = nf_addr_of_ipv4(addr);

    say_addr(t, &a);
}

static void say_prefix(struct text *t, uint32_t addr, uint32_t mask)
{
    say_ipv4(t, addr);
    say(t, "/%d", __builtin_popcount(mask));
}

static void say_file(struct text *t, const struct nf_file *file)
{
    XXH64_hash_t hash = 0;
    uint32_t n;
    if (!file->bytes) {
        say(t, "none");
        return;
    }
    for (uint32_t at = 0; at < file->len; at += n) {
        n = file->len - at < FILE_BLOCK ? file->len - at : FILE_BLOCK;
        hash = XXH3_64bits_withSeed(file->bytes + at, n, hash);
    }
    say(t, "%016" PRIx64, (uint64_t)hash);
}

static void say_prefixes(struct text *t, const struct nf_prefixes *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        say(t, "%s", i ? "," : "");
        say_prefix(t, set->list[i].addr, set->list[i].mask);
    }
}

static void say_hosts(struct text *t, const struct nf_hosts *hosts)
{
    for (uint32_t i = 0; i < hosts->count; i++) {
        say(t, "%s", i ? "," : "");
        say_ipv4(t, hosts->list[i]);
    }
}

static void say_networks(struct text *t, const struct nf_networks *set)
{
    say_prefixes(t, &set->ipv4);
    for (uint32_t i = 0; i < set->count; i++) {
        say(t, "%s", i || set->ipv4.count ? "," : "");
        say_net(t, &(struct nf_net){nf_addr_of_ipv6(set->ipv6[i].addr), (uint8_t)set->ipv6[i].bits, true});
    }
}

static void say_param(struct text *t, const struct nf_param *param, const void *config)
{
    const void *at = (const char *)config + param->offset;
    say(t, " %s=", param->name);
    switch (param->kind) {
    case NF_U32:
    case NF_SECONDS:
        say(t, "%u", *(const uint32_t *)at);
        break;
    case NF_U64:
        say(t, "%" PRIu64, *(const uint64_t *)at);
        break;
    case NF_BOOL:
        say(t, "%s", *(const bool *)at ? "true" : "false");
        break;
    case NF_CHOICE:
        say(t, "%s", param->choices[*(const uint32_t *)at]);
        break;
    case NF_IPV4:
        say_ipv4(t, *(const uint32_t *)at);
        break;
    case NF_PREFIXES:
        say_prefixes(t, at);
        break;
    case NF_NETWORKS:
        say_networks(t, at);
        break;
    case NF_HOSTS:
        say_hosts(t, at);
        break;
    case NF_RANGE:
        say(t, "%u-%u", ((const struct nf_range *)at)->first, ((const struct nf_range *)at)->last);
        break;
    case NF_STRING:
        say(t, "%s", *(const char *const *)at ? *(const char *const *)at : "");
        break;
    case NF_FILE:
        say_file(t, at);
        break;
    }
}

void nf_chain_setting(const struct nf_param *param, const void *config, char *out, uint32_t cap)
{
    struct text t = {.out = out, .cap = cap};
    size_t name = strlen(param->name) + 2;

    say_param(&t, param, config);
    memmove(out, out + name, t.len - name + 1); /* its value alone */
}

static bool has_preset(const struct nf_param *param, const void *config)
{
    char value[256];

    nf_chain_setting(param, config, value, sizeof(value));
    return param->preset && strcmp(value, param->preset) == 0;
}

static bool same_prefixes(const struct nf_prefixes *a, const struct nf_prefixes *b)
{
    return a->count == b->count && memcmp(a->list, b->list, a->count * sizeof(a->list[0])) == 0;
}

bool nf_chain_same_setting(const struct nf_param *param, const void *from, const void *to)
{
    const void *a = (const char *)from + param->offset, *b = (const char *)to + param->offset;
    const struct nf_networks *one = a, *other = b;
    const struct nf_file *before = a, *after = b;
    const char *text[2];
    switch (param->kind) {
    case NF_U32:
    case NF_SECONDS:
    case NF_CHOICE:
    case NF_IPV4:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    case NF_U64:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    case NF_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case NF_RANGE:
        return memcmp(a, b, sizeof(struct nf_range)) == 0;
    case NF_PREFIXES:
        return same_prefixes(a, b);
    case NF_NETWORKS:
        return same_prefixes(&one->ipv4, &other->ipv4) && one->count == other->count &&
               memcmp(one->ipv6, other->ipv6, one->count * sizeof(one->ipv6[0])) == 0;
    case NF_HOSTS:
        return memcmp(a, b, sizeof(struct nf_hosts)) == 0;
    case NF_STRING:
        memcpy(&text[0], a, sizeof(text[0]));
        memcpy(&text[1], b, sizeof(text[1]));
        return strcmp(text[0] ? text[0] : "", text[1] ? text[1] : "") == 0;
    case NF_FILE:
        return before->len == after->len && !before->bytes == !after->bytes &&
               (!before->bytes || memcmp(before->bytes, after->bytes, before->len) == 0);
    }
    return false;
}

static void say_mac(struct text *t, const uint8_t m[6])
{
    say(t, "%02x:%02x:%02x:%02x:%02x:%02x ", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void say_extras(struct text *t, const struct nf_interface *port, bool ipv6)
{
    for (unsigned e = 0; e < port->extras[ipv6]; e++) {
        say(t, " ");
        say_addr(t, &port->extra[ipv6][e]);
    }
    say(t, "\n");
}

static void say_routes(struct text *t, const struct nf_l3_config *l3, bool ipv6)
{
    for (unsigned i = 0; i < l3->routes[ipv6]; i++) {
        const struct nf_route *route = &l3->route[ipv6][i];

        say(t, "route %u: ", i);
        say_net(t, &route->to);
        say(t, " via ");
        say_addr(t, &route->via);
        say(t, " port %u\n", route->port);
    }
}

/* Release 0.2 held a packet against the least MTU of all other ports, which is another one then. */
static bool has_mtu_by_route(const struct nf_l3_config *l3)
{
    bool differ = false;

    for (unsigned i = 1; i < l3->ports; i++)
        differ |= l3->port[i].mtu != l3->port[0].mtu;
    return l3->ports > 2 && differ;
}

static void say_l3(struct text *t, const struct nf_l3_config *l3)
{
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *port = &l3->port[i];

        say(t, "port %u: %s %s ", i, port->name, port->side == NF_OUTSIDE ? "outside" : "inside");
        say_mac(t, port->mac);
        if (port->net[NF_IP4].bits)
            say_net(t, &port->net[NF_IP4]);
        else
            say(t, "0.0.0.0/0");
        say(t, " mtu %u", port->mtu);
        if (strcmp(port->port, port->name) != 0 && port->port[0])
            say(t, " on %s", port->port);
        if (port->vlan.outer)
            say(t, " vlan %u %u tpid %04x", port->vlan.outer, port->vlan.inner, port->vlan.tpid);
        if (port->pcp_of_dscp)
            say(t, " pcp dscp");
        say_extras(t, port, false);
    }
    if (has_mtu_by_route(l3))
        say(t, "mtu of the route\n");
    say_routes(t, l3, false);
    for (unsigned i = 0; i < l3->ports; i++)
        if (l3->port[i].net[NF_IP6].bits) { /* its link-local address is made of the MAC */
            say(t, "port %u: ", i);
            say_net(t, &l3->port[i].net[NF_IP6]);
            say_extras(t, &l3->port[i], true);
        }
    say_routes(t, l3, true);
    if (l3->routed)
        say(t, "routes of a file: %u, ipv6 %u, %016" PRIx64 "\n", l3->routed->count[NF_IP4],
            l3->routed->count[NF_IP6], l3->routed->hash);
    for (unsigned i = 0; i < l3->fixed_count; i++) {
        say(t, "neighbour %u: ", i);
        say_addr(t, &l3->fixed[i].addr);
        say(t, " ");
        say_mac(t, l3->fixed[i].mac);
        say(t, "port %u\n", l3->fixed[i].port);
    }
}

/* ---- for people ---------------------------------------------------------------------------------- */

struct telling {
    void (*tell)(void *arg, const char *what, const char *how);
    void *arg;
};

/* `word` and the address, with `bits` as a network, if it is one. */
static void tell(const struct telling *t, const char *word, const struct nf_addr *addr,
                 const struct nf_net *net, const char *how)
{
    char what[96];
    struct text text = {.out = what, .cap = sizeof(what)};

    say(&text, "%s ", word);
    if (net)
        say_net(&text, net);
    else
        say_addr(&text, addr);
    t->tell(t->arg, what, how);
}

static void tell_interface(const struct telling *t, const struct nf_interface *port)
{
    char what[48], how[200];
    struct text text = {.out = how, .cap = sizeof(how)};

    snprintf(what, sizeof(what), "interface %s", port->name);
    say(&text, "%s, port %s", port->side == NF_OUTSIDE ? "outside" : "inside", port->port);
    if (port->vlan.outer)
        say(&text, ", VLAN %u", port->vlan.outer);
    if (port->vlan.inner)
        say(&text, ".%u", port->vlan.inner);
    if (port->vlan.outer)
        say(&text, " (%04x)%s", port->vlan.tpid, port->pcp_of_dscp ? ", pcp dscp" : "");
    say(&text, ", mtu %u, mac ", port->mtu);
    say_mac(&text, port->mac);
    how[text.len - 1] = '\0'; /* the blank behind it */
    t->tell(t->arg, what, how);
    snprintf(how, sizeof(how), "of %s", port->name);
    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++) {
        if (port->net[ipv6].bits)
            tell(t, "address", NULL, &port->net[ipv6], how);
        for (unsigned e = 0; e < port->extras[ipv6]; e++)
            tell(t, "address", &port->extra[ipv6][e], NULL, how);
    }
}

/* A neighbour's address is of its link. */
static void tell_hop(const struct telling *t, const char *word, const struct nf_l3_config *l3,
                     const struct nf_addr *addr, unsigned port, const uint8_t *mac)
{
    char how[80];
    struct text text = {.out = how, .cap = sizeof(how)};

    say(&text, "on %s%s", l3->port[port].name, mac ? " at " : "");
    if (mac)
        say_mac(&text, mac);
    if (mac)
        how[text.len - 1] = '\0';
    tell(t, word, addr, NULL, how);
}

void nf_chain_tell_l3(const struct nf_l3_config *l3,
                      void (*callback)(void *arg, const char *what, const char *how), void *arg)
{
    const struct telling t = {callback, arg};
    char via[NF_ADDR_TEXT], how[NF_ADDR_TEXT + 48];

    for (unsigned i = 0; i < l3->ports; i++)
        tell_interface(&t, &l3->port[i]);
    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++) {
        for (unsigned i = 0; i < l3->routes[ipv6]; i++) {
            const struct nf_route *r = &l3->route[ipv6][i];

            snprintf(how, sizeof(how), "via %s on %s", nf_addr_text(&r->via, via), l3->port[r->port].name);
            tell(&t, "route", NULL, &r->to, how);
        }
        for (unsigned i = 0; i < l3->next_hops[ipv6]; i++)
            tell_hop(&t, "next hop", l3, &l3->next_hop[ipv6][i].addr, l3->next_hop[ipv6][i].port, NULL);
    }
    if (l3->routed) {
        snprintf(how, sizeof(how), "%u, ipv6 %u, hash %016" PRIx64, l3->routed->count[NF_IP4],
                 l3->routed->count[NF_IP6], l3->routed->hash);
        t.tell(t.arg, "routes of a file", how);
    }
    for (unsigned i = 0; i < l3->fixed_count; i++)
        tell_hop(&t, "neighbour", l3, &l3->fixed[i].addr, l3->fixed[i].port, l3->fixed[i].mac);
}

uint32_t nf_chain_identity(const struct nf_chain_config *config, char *out, uint32_t cap)
{
    struct text t = {.out = out, .cap = cap};
    if (cap == 0)
        return 0;
    out[0] = 0;
    say(&t, "lanes %u\nburst %u\nlibrary version=%u\n", config->lanes, NF_BURST_MAX, NF_LIBRARY_VERSION);
    for (unsigned i = 0; i < config->count; i++) {
        const struct nf_choice *choice = &config->nfs[i];
        say(&t, "nf %u: %s version=%u", i + 1, choice->module->name, choice->module->version);
        for (const struct nf_param *p = choice->module->params; p && p->name; p++)
            if (!(p->marks & NF_PARAM_ADDED) || !has_preset(p, choice->config))
                say_param(&t, p, choice->config);
        say(&t, " arena=%" PRIu64, choice->module->arena ? choice->module->arena(choice->config) : 0);
        if (choice->on_crash != NF_CRASH_STOP)
            say(&t, " on_crash=%s", choice->on_crash == NF_CRASH_RESET ? "reset" : "bypass");
        if (choice->module->heap)
            say(&t, " heap=%" PRIu64, choice->module->heap(choice->config));
        if (choice->module->session_size)
            say(&t, " session=%u", choice->module->session_size);
        if (choice->module->shared)
            say(&t, " shared=%" PRIu64, choice->module->shared(choice->config, config->lanes));
        say(&t, "\n");
    }
    if (config->frame_max > NF_FRAME_ROOM)
        say(&t, "frame_max %u\n", config->frame_max);
    if (config->l3)
        say_l3(&t, config->l3);
    return t.len;
}
