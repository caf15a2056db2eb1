/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's mappings: making, ageing and removing them; see nat_table.h. */
#include "nfs/nat_table.h"

#include <string.h>

#define NAT_TICK   (NF_SECOND / 10)
#define NAT_DUE    64u
#define NAT_ROUNDS 16u /* of NAT_DUE timers in one burst; the rest in the next */

static uint64_t nat_life(const struct nat *nat, uint8_t class)
{
    return nat->timeouts[class] * NF_SECOND;
}
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
    return sizeof(struct nat) + FT_LINE +
           nf_map_bytes(config->max_flows, sizeof(struct nat_key), sizeof(struct nat_flow)) +
           nf_wheel_bytes(config->max_flows + config->max_fragments) +
           nf_fragments_bytes(config->max_fragments) +
           NAT_PROTOS * (nf_shared_pool_lane_bytes((uint32_t)ports) + ports * sizeof(uint32_t) + FT_LINE);
}

uint64_t nat_shared(const void *config, unsigned lanes)
{
    (void)lanes;
    return NAT_PROTOS * nf_shared_pool_bytes(nat_ports(config));
}

int nat_make(struct nf *nf, struct ft_fault *fault)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = ft_arena_alloc(nf->arena, sizeof(*nat));
    if (!nat)
        return ft_fail(fault, FT_EFULL, "nat: arena full");
    nat = NF_EDIT(nf, nat);
    nat->flows = nf_map_make(nf, config->max_flows, sizeof(struct nat_key), sizeof(struct nat_flow));
    nat->wheel = nf_wheel_make(nf, config->max_flows + config->max_fragments, NAT_TICK);
    nat->fragments = nf_fragments_make(nf, config->max_fragments, nat->wheel, config->max_flows);
    bool whole = nat->flows && nat->wheel && nat->fragments;
    for (unsigned i = 0; i < NAT_PROTOS; i++) {
        nat->pool[i] = nf_shared_pool_make(nf, nat_ports(config));
        nat->index[i] = ft_arena_alloc(nf->arena, nat_ports(config) * sizeof(uint32_t));
        whole = whole && nat->pool[i] && nat->index[i];
    }
    if (!whole)
        return ft_fail(fault, FT_EFULL, "nat: arena full");
    memcpy(nat->timeouts, config->timeouts, sizeof(nat->timeouts));
    nf->state = nat;
    return FT_OK;
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
    if (nf_map_count(nat->flows) == config->max_flows) {
        nf_drop(nf, p, NAT_TABLE_FULL);
        return NF_NONE;
    }
    uint32_t number = nf_shared_pool_take(nf, nat->pool[proto]);
    if (number == NF_NONE) {
        nf_drop(nf, p, NAT_PORTS_EXHAUSTED);
        return NF_NONE;
    }
    uint32_t slot = nf_map_add(nf, nat->flows, key);
    FT_CHECK(slot != NF_NONE, "nat: no slot with %u of %u mappings", nf_map_count(nat->flows),
             config->max_flows);
    struct nat_flow *flow = nat_edit(nf, slot);
    flow->seen = now;
    flow->packets = 1;
    flow->port = htons((uint16_t)(config->ports.first + number));
    flow->tcp = key->proto == NF_PROTO_TCP ? nf_tcp_first(p->tcp_flags) : NF_TCP_NONE;
    flow->class = nf_timeout_class(key->proto, flow->tcp);
    *NF_EDIT(nf, &nat->index[proto][number]) = slot + 1;
    nf_wheel_set(nf, nat->wheel, slot, now + nat_life(nat, flow->class));
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
    nf_map_remove(nf, nat->flows, slot);
}

/* One more packet of a mapping. The timer is moved only when it would fire too late; early is harmless. */
void nat_touch(const struct nf *nf, const struct nf_packet *p, uint32_t slot, uint64_t now)
{
    struct nat *nat = nf->state;
    struct nat_flow *flow = nat_edit(nf, slot);
    flow->seen = now;
    flow->packets++;
    if (p->proto != NF_PROTO_TCP)
        return;
    flow->tcp = nf_tcp_next(flow->tcp, p->tcp_flags, p->side == NF_OUTSIDE);
    uint8_t class = nf_timeout_class(NF_PROTO_TCP, flow->tcp);
    if (class != flow->class) {
        flow->class = class;
        nf_wheel_set(nf, nat->wheel, slot, now + nat_life(nat, class));
    }
}

void nat_timers(struct nf *nf, uint64_t now)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = nf->state;
    uint32_t due[NAT_DUE];

    for (unsigned round = 0; round < NAT_ROUNDS; round++) {
        if (nf_shared_left(nf) < NAT_DUE + NF_SHARED_RESERVE) {
            nf_wake(nf, now);
            break;
        }
        uint32_t n = nf_wheel_due(nf, nat->wheel, now, due, NAT_DUE);
        for (uint32_t i = 0; i < n; i++) {
            if (due[i] >= config->max_flows) {
                nf_fragments_due(nf, nat->fragments, due[i]);
                continue;
            }
            const struct nat_flow *flow = nat_flow_of(nat, due[i]);
            uint64_t end = flow->seen + nat_life(nat, flow->class);
            if (end > now) {
                nf_wheel_set(nf, nat->wheel, due[i], end);
            } else {
                nat_remove(nf, due[i]);
                nf_count(nf, NAT_EXPIRED, 1);
            }
        }
        if (n < NAT_DUE)
            break;
    }
}

/* A new timeout holds for all mappings from now on, so their timers are set anew. */
int nat_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct nat *nat = nf->state;
    int class = nf_timeout_set(nf, nat->timeouts, key, value, fault);
    if (class < 0)
        return class;
    for (uint32_t slot = 0; (slot = nf_map_next(nat->flows, slot)) != NF_NONE; slot++) {
        const struct nat_flow *flow = nat_flow_of(nat, slot);
        uint64_t end = flow->seen + nat_life(nat, flow->class);
        if (flow->class == class)
            nf_wheel_set(nf, nat->wheel, slot, end > now ? end : now);
    }
    return FT_OK;
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
    if (n != NF_PROTO_TCP && n != NF_PROTO_UDP && n != NF_PROTO_ICMP)
        return NF_NONE;
    return nat_by_port(nf, (uint8_t)n, htons((uint16_t)port));
}

int nat_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct nat *nat = nf->state;
    (void)now;
    if (key) {
        uint32_t slot = nat_named(nf, key);
        if (slot == NF_NONE)
            return ft_fail(fault, FT_ENOENT, "%s: no such mapping, expected tcp, udp or icmp/PORT", key);
        nf_wheel_cancel(nf, nat->wheel, slot);
        nat_remove(nf, slot);
        return FT_OK;
    }
    for (uint32_t slot = 0; (slot = nf_map_next(nat->flows, slot)) != NF_NONE; slot++) {
        nf_wheel_cancel(nf, nat->wheel, slot);
        nat_remove(nf, slot);
    }
    nf_fragments_clear(nf, nat->fragments);
    return FT_OK;
}
