/* SPDX-License-Identifier: Apache-2.0 */
/* See chain_warnings.h. */
#include "understudy/config/chain_warnings.h"
#include "nflib/chain/chain.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct saying {
    void (*say)(void *ctx, const char *line);
    void *ctx;
};

__attribute__((format(printf, 2, 3))) static void warn(const struct saying *to, const char *format, ...)
{
    char line[300];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    to->say(to->ctx, line);
}

/* Hosts that learn of a router of IPv6 send to it: where no packet can pass, they get no answer. */
static void warn_of_families(const struct nd_config *config, const struct saying *to)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    unsigned p = 0;

    while (l3 && p < l3->ports && !l3->port[p].net[NF_IP6].bits)
        p++;
    if (!l3 || p == l3->ports)
        return;
    for (uint32_t i = 0; i < config->chain.count; i++) {
        const struct nf_choice *choice = &config->chain.nfs[i];

        if (choice->module->drops_ipv6 && choice->module->drops_ipv6(choice->config))
            warn(to,
                 "interface %s has an address of IPv6, and nf %u, %s, drops all of IPv6 as it is configured",
                 l3->port[p].name, i + 1, choice->module->name);
    }
}

/* The NF's setting of that name and kind; NULL: it has none. */
static const void *find_setting(const struct nf_choice *choice, const char *name, enum nf_param_kind kind,
                                const struct nf_param **param)
{
    for (*param = choice->module->params; *param && (*param)->name; (*param)++)
        if ((*param)->kind == kind && strcmp((*param)->name, name) == 0)
            return (const char *)choice->config + (*param)->offset;
    return NULL;
}

/* An NF that passes what it does not translate may mean such hosts to pass. */
static bool passes_the_rest(const struct nf_choice *choice)
{
    const struct nf_param *p;
    const uint32_t *policy = find_setting(choice, "unsupported", NF_CHOICE, &p);

    return policy && strcmp(p->choices[*policy], "pass") == 0;
}

/* Hosts on the inside of which the NF translates none: all that they send is dropped. */
static void warn_of_hosts(const struct nf_choice *choice, unsigned nf, const char *what,
                          const struct nf_net *net, const struct saying *to)
{
    const struct nf_param *p;
    const struct nf_prefixes *inside = find_setting(choice, "inside", NF_PREFIXES, &p);
    uint32_t mask = nf_net_mask_ipv4(net), network = nf_addr_ipv4(&net->addr) & mask;
    char text[INET_ADDRSTRLEN];

    for (uint32_t i = 0; inside && i < inside->count; i++)
        if (((network ^ inside->list[i].addr) & mask & inside->list[i].mask) == 0)
            return;
    if (inside && !passes_the_rest(choice) && inet_ntop(AF_INET, &network, text, sizeof(text)))
        warn(to, "%s: nothing of %s/%u is in `inside` of nf %u, %s, which drops what its hosts send out",
             what, text, nf_net_bits(net), nf, choice->module->name);
}

static void warn_of_inside(const struct nd_config *config, const struct saying *to)
{
    const struct nf_l3_config *l3 = config->chain.l3;

    for (uint32_t n = 0; l3 && n < config->chain.count; n++) {
        for (unsigned p = 0; p < l3->ports; p++)
            if (l3->port[p].side == NF_INSIDE && l3->port[p].net[NF_IP4].bits)
                warn_of_hosts(&config->chain.nfs[n], n + 1, l3->port[p].name, &l3->port[p].net[NF_IP4], to);
        for (unsigned i = 0; i < l3->routes[NF_IP4]; i++)
            if (l3->port[l3->route[NF_IP4][i].port].side == NF_INSIDE)
                warn_of_hosts(&config->chain.nfs[n], n + 1, "route", &l3->route[NF_IP4][i].to, to);
    }
}

/* The chain answers for it on the outside alone: hosts on the inside take it for a neighbour of theirs. */
static void warn_of_outside(const struct nd_config *config, const struct saying *to)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    const struct nf_param *p;
    char text[NF_ADDR_TEXT];

    for (uint32_t n = 0; l3 && n < config->chain.count; n++) {
        const struct nf_choice *choice = &config->chain.nfs[n];
        const struct nf_hosts *outside = find_setting(choice, "outside", NF_HOSTS, &p);

        for (unsigned i = 0; outside && i < l3->ports * outside->count; i++) {
            const struct nf_interface *port = &l3->port[i % l3->ports];
            struct nf_addr addr = nf_addr_of_ipv4(outside->list[i / l3->ports]);

            if (port->side == NF_INSIDE && port->net[NF_IP4].bits && nf_net_has(&port->net[NF_IP4], &addr))
                warn(to, "nf %u, %s: outside %s is in the network of %s, an interface of the inside", n + 1,
                     choice->module->name, nf_addr_text(&addr, text), port->name);
        }
    }
}

/* Packets from outside reach the last NF first: one that maps a service's address to another leaves the
 * service none. */
static void warn_of_service(const struct nd_config *config, const struct saying *to)
{
    const struct nf_param *p;

    for (uint32_t n = 0; n < config->chain.count; n++) {
        const struct nf_choice *choice = &config->chain.nfs[n];
        const char *const *service = find_setting(choice, "vip6", NF_STRING, &p);
        const char *const *outside;
        struct nf_addr addr;
        struct nf_net net;

        for (uint32_t i = n + 1; service && nf_addr_parse(*service, &addr) && i < config->chain.count; i++) {
            outside = find_setting(&config->chain.nfs[i], "outside", NF_STRING, &p);
            if (outside && nf_net_parse(*outside, &net) && nf_net_has(&net, &addr))
                warn(to,
                     "nf %u, %s: nobody outside reaches vip6 %s, which nf %u, %s, maps to the inside; "
                     "expected one that is not of %s",
                     n + 1, choice->module->name, *service, i + 1, config->chain.nfs[i].module->name,
                     *outside);
        }
    }
}

/* What an NF answers passes no other NF. Where another one has translated the question, the answer goes to,
 * or comes from, an address that the client does not know. */
static void warn_of_answers(const struct nd_config *config, const struct saying *to)
{
    const struct nf_param *p, *sides;

    for (uint32_t n = 0; n < config->chain.count; n++) {
        const struct nf_choice *choice = &config->chain.nfs[n];
        const uint32_t *action = find_setting(choice, "action", NF_CHOICE, &p);
        const uint32_t *clients = find_setting(choice, "clients", NF_CHOICE, &sides);

        if (!action || !clients || strcmp(p->choices[*action], "nxdomain") != 0)
            continue;
        for (uint32_t i = 0; i < config->chain.count; i++) {
            const char *side = i < n ? "inside" : "outside";
            uint8_t ends = NF_INSIDE_END | (i < n ? NF_SOURCE : NF_DESTINATION);

            if (i != n && config->chain.nfs[i].module->translates & ends &&
                strcmp(sides->choices[*clients], i < n ? "outside" : "inside") != 0)
                warn(to,
                     "nf %u, %s: clients %s get no answer to what nf %u, %s, translates; expected %s %s it",
                     n + 1, choice->module->name, side, i + 1, config->chain.nfs[i].module->name,
                     choice->module->name, i < n ? "before" : "behind");
        }
    }
}

static void warn_of_flows(const struct nd_config *config, const struct saying *to)
{
    const struct nf_param *p;

    for (uint32_t i = 0; i < config->chain.count; i++) {
        const struct nf_choice *choice = &config->chain.nfs[i];
        const uint32_t *all = find_setting(choice, "max_flows", NF_U32, &p);
        const uint32_t *host = find_setting(choice, "max_flows_per_host", NF_U32, &p);

        if (all && host && *host > *all)
            warn(to, "nf %u, %s: max_flows_per_host %u is above max_flows %u: no host is limited", i + 1,
                 choice->module->name, *host, *all);
    }
}

void nd_chain_warn(const struct nd_config *config, void (*say)(void *ctx, const char *line), void *ctx)
{
    const struct saying to = {.say = say, .ctx = ctx};

    warn_of_families(config, &to);
    warn_of_inside(config, &to);
    warn_of_outside(config, &to);
    warn_of_service(config, &to);
    warn_of_answers(config, &to);
    warn_of_flows(config, &to);
}
