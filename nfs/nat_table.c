/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's mappings: making, ageing and removing them; see nat_table.h. */
#include "nfs/nat_table.h"

#include <string.h>

static struct nat_flow *nat_edit(const struct nf *nf, uint32_t slot)
{
    return NF_EDIT_VALUE(nf, struct nat_key, nat_flow_of(nf->state, slot));
}

static uint32_t nat_ports(const struct nat_config *config)
{
    return config->ports.last - config->ports.first + 1;
}

uint64_t nat_arena(const void *c)
{
    const struct nat_config *config = c;
    uint64_t ports = nat_ports(config);
    return nf_flows_bytes(&config->flows, sizeof(struct nat_flow), 0) +
           NAT_PROTOS * (nf_shared_pool_lane_bytes((uint32_t)ports) + ports * sizeof(uint32_t) + FT_LINE);
}

uint64_t nat_shared(const void *config, unsigned lanes)
{
    (void)lanes;
    return NAT_PROTOS * nf_shared_pool_bytes(nat_ports(config));
}

bool nat_make(struct nf *nf)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = nf->state;
    bool whole = nf_flows_make(nf, &nat->flows, &config->flows, sizeof(struct nat_flow), 0);
    for (unsigned i = 0; i < NAT_PROTOS; i++) {
        nat->pool[i] = nf_shared_pool_make(nf, nat_ports(config));
        nat->index[i] = ft_arena_alloc(nf->arena, nat_ports(config) * sizeof(uint32_t));
        whole = whole && nat->pool[i] && nat->index[i];
    }
    nf_constant(nf, nat->pool, sizeof(nat->pool) + sizeof(nat->index));
    return whole;
}

uint32_t nat_create(const struct nf *nf, struct nf_packet *p, const struct nat_key *key, uint64_t now)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = nf->state;
    unsigned proto = nat_proto(key->proto);

    /* Only a request opens a mapping: a reset or an echo reply answers something that was never let in. */
    if ((p->proto == NF_PROTO_TCP && (p->tcp_flags & NF_TCP_RST)) ||
        (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REPLY)) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return NF_NONE;
    }
    if (nf_map_count(nat->flows.map) == nat->flows.max_flows) {
        nf_drop(nf, p, NAT_TABLE_FULL);
        return NF_NONE;
    }
    uint32_t number = nf_shared_pool_take(nf, nat->pool[proto]);
    if (number == NF_NONE) {
        nf_drop(nf, p, NAT_PORTS_EXHAUSTED);
        return NF_NONE;
    }
    uint32_t slot = nf_map_add(nf, nat->flows.map, key);
    FT_CHECK(slot != NF_NONE, "nat: no slot with %u of %u mappings", nf_map_count(nat->flows.map),
             nat->flows.max_flows);
    struct nat_flow *flow = nat_edit(nf, slot);
    flow->packets = 1;
    flow->port = htons((uint16_t)(config->ports.first + number));
    nf_flow_begin(nf, &nat->flows, slot, &flow->flow, p, now);
    *NF_EDIT(nf, &nat->index[proto][number]) = slot + 1;
    nf_count(nf, NAT_CREATED, 1);
    return slot;
}

static void nat_remove(const struct nf *nf, uint32_t slot)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = nf->state;
    unsigned proto = nat_proto(nat_key_of(nat, slot)->proto);
    uint32_t number = ntohs(nat_flow_of(nat, slot)->port) - config->ports.first;

    *NF_EDIT(nf, &nat->index[proto][number]) = 0;
    nf_shared_pool_give(nf, nat->pool[proto], number);
    nf_flow_remove(nf, &nat->flows, slot);
}

void nat_touch(const struct nf *nf, const struct nf_packet *p, uint32_t slot, uint64_t now)
{
    struct nat *nat = nf->state;
    struct nat_flow *flow = nat_edit(nf, slot);
    flow->packets++;
    nf_flow_touch(nf, &nat->flows, slot, &flow->flow, p, p->side == NF_OUTSIDE, now);
}

void nat_timers(struct nf *nf, uint64_t now)
{
    struct nat *nat = nf->state;
    struct nf_flows_due due = {.rounds = NF_FLOWS_ROUNDS, .shared = true};

    while (nf_flows_due(nf, &nat->flows, now, &due))
        for (uint32_t i = 0; i < due.count; i++) {
            nat_remove(nf, due.slots[i]);
            nf_count(nf, NAT_EXPIRED, 1);
        }
}

int nat_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct nat *nat = nf->state;
    return nf_flows_set(nf, &nat->flows, key, value, now, fault);
}

/* The index leads back to the mapping. */
static int nat_check_flow(struct nf_check *c, uint32_t slot)
{
    const struct nat_config *config = c->nf->config;
    const struct nat *nat = c->nf->state;
    uint8_t proto = nat_key_of(nat, slot)->proto;
    uint32_t port = ntohs(nat_flow_of(nat, slot)->port);

    if (!nf_proto_has_ports(proto) || port < config->ports.first || port > config->ports.last ||
        nat->index[nat_proto(proto)][port - config->ports.first] != slot + 1)
        return nf_check_failed(c, "mapping %u has protocol %u and port %u, which do not lead to it", slot,
                               proto, port);
    return 0;
}

int nat_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat *nat = nf->state;
    uint32_t found = 0;
    int error = nf_flows_check(c, &nat->flows, nat_check_flow);

    for (unsigned i = 0; !error && i < NAT_PROTOS; i++)
        for (uint32_t number = 0; number < nat_ports(nf->config); number++) {
            nf_check_step(c);
            found += nat->index[i][number] != 0;
            if ((nat->index[i][number] != 0) != nf_shared_pool_has(nat->pool[i], number))
                return nf_check_failed(
                    c, "port %u of pool %u is taken and no mapping's, or the other way round", number, i);
        }
    if (!error && found != nf_map_count(nat->flows.map))
        return nf_check_failed(c, "ports lead to %u mappings, expected %u", found,
                               nf_map_count(nat->flows.map));
    return error;
}

/* "tcp/1024": one mapping by protocol and outside port. */
static uint32_t nat_named(const struct nf *nf, const char *key)
{
    char proto[8];
    uint32_t port;
    const char *slash = strchr(key, '/');
    if (!slash || (size_t)(slash - key) >= sizeof(proto) || !nf_number_parse(slash + 1, 0, 65535, &port))
        return NF_NONE;
    memcpy(proto, key, (size_t)(slash - key));
    proto[slash - key] = 0;
    int n = nf_proto_parse(proto);
    if (n < 0 || !nf_proto_has_ports((uint8_t)n))
        return NF_NONE;
    return nat_by_port(nf, (uint8_t)n, htons((uint16_t)port));
}

int nat_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct nat *nat = nf->state;
    (void)now;
    if (!key)
        return nf_flows_clear(nf, &nat->flows, NULL, nat_remove, fault);
    uint32_t slot = nat_named(nf, key);
    if (slot == NF_NONE)
        return ft_fail(fault, FT_ENOENT, "%s: no such mapping, expected tcp, udp or icmp/PORT", key);
    nat_remove(nf, slot);
    return FT_OK;
}
