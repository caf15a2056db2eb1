/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of the chain made ready: whether files that were read make a chain that this node can become while
 * it runs, and what a lane needs to carry it out. The main thread's, but for the exchange of configurations,
 * which is the lane's that carries it out.
 */
#include "understudy/change/parts.h"
#include "nflib/session/table.h"
#include "understudy/base/interface.h"
#include "understudy/config/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void nd_change_free(struct nd_change *c)
{
    if (!c)
        return;
    for (unsigned l = 0; l < FT_LANES_MAX; l++)
        nf_chain_free(c->was[l]);
    ft_region_close(c->old);
    nd_config_free(c->next);
    free(c);
}

/* What else stands in the file and would have to be another: it is read at a start. */
static int check_protection(const struct nd_config *own, const struct nd_config *next, struct ft_fault *fault)
{
    const struct nd_protect *a = &own->protect, *b = &next->protect;

    if (a->deltas != b->deltas || a->records != b->records || a->stores != b->stores)
        return ft_fail(fault, FT_EINVAL, "protect mode: %s, then %s: cannot be changed while the pair runs",
                       a->mode, b->mode);
    if (own->chain.shared_size != next->chain.shared_size && next->chain.shared_size)
        return ft_fail(fault, FT_EINVAL, "shared_mb: cannot be changed while the pair runs");
    return 0;
}

/* Before anything begins: flows that are there now. Lanes look again when they change. */
static int check_fill(const struct nd_changing *g, const struct nd_config *next, struct ft_fault *fault)
{
    struct nf_sessions_wants wants;
    char name[64];

    nf_chain_sessions_wants(&next->chain, &wants);
    for (unsigned i = 1; i <= next->chain.count; i++)
        for (unsigned t = 0; t < g->counts->table_count; t++) {
            uint64_t entries = nf_table_entries(&g->counts->tables[t].table);

            snprintf(name, sizeof(name), "%s.flows", next->chain.nfs[i - 1].module->name);
            if (strcmp(name, g->counts->tables[t].name) == 0 && entries > wants.flows[i].max_flows)
                return ft_fail(fault, FT_EFULL,
                               "nf %u: %s max_flows: %u, and there are %lu flows: clear them, or wait", i,
                               next->chain.nfs[i - 1].module->name, wants.flows[i].max_flows, entries);
        }
    return 0;
}

/* On ports that are open here, by their numbers: those of the file count when a node begins. */
static int place_interface(const struct nd_config *own, struct nf_interface *interface,
                           struct ft_fault *fault)
{
    unsigned d = nd_port_by_name(own, interface->port);

    interface->device = (uint8_t)d;
    return d < own->ports ? 0
                          : ft_fail(fault, FT_EINVAL,
                                    "interface %s: the node had no port %s when it began, restart it first",
                                    interface->name, interface->port);
}

/* A NIC is set to the largest frames when it is opened; an interface of the kernel's is its
 * administrator's. */
static int check_mtu(const struct nd_changing *g, const struct nf_l3_config *l3, struct ft_fault *fault)
{
    char name[IFNAMSIZ];

    for (unsigned d = 0; d < g->config->ports && !g->ports->fed; d++)
        if (!nd_interface_of(g->config->node[g->self].port[d], name) &&
            nf_l3_device_mtu(l3, d) > g->ports->deal.device[d].mtu)
            return ft_fail(
                fault, FT_EINVAL,
                "interfaces of port %s: MTU %u, and it was opened for %u: cannot be raised while the "
                "node runs",
                g->config->port_name[d], nf_l3_device_mtu(l3, d), g->ports->deal.device[d].mtu);
    return 0;
}

/* A keeper has read the pair file when it began, and knows frames by it. */
static int check_keeper(const struct nf_l3_config *from, const struct nf_l3_config *to,
                        struct ft_fault *fault)
{
    return nd_interfaces_digest(from) == nd_interfaces_digest(to)
               ? 0
               : ft_fail(fault, FT_EINVAL,
                         "interfaces: another number, order, port, vlan, pcp, side or mac: cannot be changed "
                         "while a keeper runs");
}

static int place_interfaces(const struct nd_changing *g, struct nd_config *next, struct ft_fault *fault)
{
    const struct nd_node *self = &g->config->node[g->self];
    struct nf_l3_config *l3 = next->chain.l3;
    int error = 0;

    if (!l3 || !g->config->chain.l3) /* a wire: nf_chain_same_lanes */
        return 0;
    for (unsigned i = 0; i < l3->ports && !error; i++)
        error = place_interface(g->config, &l3->port[i], fault);
    if (!error)
        error = check_mtu(g, l3, fault);
    if (!error && g->ports->fed)
        error = check_keeper(g->config->chain.l3, l3, fault);
    for (unsigned i = 0; i < self->tracks && !error; i++)
        if (self->track[i].kind == ND_TRACK_GATEWAY && nd_gateway_interface(l3, self->track[i].gateway) < 0)
            error = ft_fail(fault, FT_EINVAL,
                            "node %s tracks gateway %s, expected it in the network of one of the interfaces",
                            self->name, self->track[i].what);
    return error;
}

/* The node's configuration has the new chain, and the memory that it lies in; what is freed with `next` is
 * the old one. Lanes are the same in both. */
static void exchange(struct nd_change *c)
{
    struct nd_changing *g = c->arg;
    struct nf_chain_config chain = c->own->chain;
    struct nf_file text = c->own->text;
    void *arena = c->own->arena;
    uint16_t lanes = chain.lanes;
    uint8_t port[NF_PORTS_MAX];

    c->own->chain = c->next->chain;
    c->next->chain = chain;
    c->own->arena = c->next->arena;
    c->next->arena = arena;
    c->own->text = c->next->text;
    c->next->text = text;
    c->own->chain.lanes = lanes;
    c->plan.to = &c->own->chain;
    c->plan.from = &c->next->chain;
    if (chain.l3) {
        nf_l3_match(chain.l3, c->own->chain.l3, port);
        nd_ports_renumber(g->ports, c->own, &c->own->node[g->self], port);
        nd_standing_place(g->standing);
    }
    nd_crash_name_chain(g->crash->page, &c->own->chain); /* also of an NF that is only being made */
}

int nd_change_make(struct nd_changing *g, struct nd_config *next, bool state, struct nd_change **out,
                   struct ft_fault *fault)
{
    struct nd_change *c = aligned_alloc(64, (sizeof(*c) + 63) / 64 * 64);
    struct rp_config named = {.core = {.lanes = 0}};
    int error;

    *out = NULL;
    if (!c) {
        nd_config_free(next);
        return ft_fail(fault, FT_ENOMEM, "no memory for a change");
    }
    memset(c, 0, sizeof(*c));
    c->next = next;
    c->own = g->config;
    c->exchange = exchange;
    c->arg = g;
    c->how = (struct ft_region_config){.name = "understudy region",
                                       .huge = g->config->node[g->self].hugepages,
                                       .shared_size = g->config->chain.shared_size};
    error = check_protection(g->config, c->next, fault);
    if (!error)
        error = place_interfaces(g, c->next, fault);
    if (!error)
        error = state ? nf_chain_change_plan(&c->plan, &g->config->chain, &c->next->chain, fault)
                      : nf_chain_same_lanes(&g->config->chain, &c->next->chain, fault);
    if (!error && state)
        error = check_fill(g, c->next, fault);
    if (!error && getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed))
        error = ft_fail(fault, FT_EIO, "the system gives no random numbers");
    if (error) {
        nd_change_free(c);
        return error;
    }
    /* They are in the identity, and stay as they were read at the start: a node that claimed a new arbiter
     * would be a pair with one that asks it, and not ask itself. */
    c->next->protect.pending_mb = g->config->protect.pending_mb;
    c->next->arbiter = g->config->arbiter;
    nd_setup_replicator(&named, c->next, &g->config->timing, c->identity);
    c->recorded_len = nf_chain_identity(&c->next->chain, c->recorded, sizeof(c->recorded));
    c->chain = (struct ft_chain_name){c->identity, named.core.identity_len, named.core.chain};
    *out = c;
    return 0;
}
