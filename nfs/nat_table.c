/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's mappings: making and removing them; see nat_table.h. */
#include "nfs/nat_table.h"

#include <string.h>

static uint32_t nat_ports(const struct nat_config *config)
{
    return config->ports.last - config->ports.first + 1;
}

uint64_t nat_arena(const void *c)
{
    const struct nat_config *config = c;
    return NAT_PROTOS * nf_shared_pool_lane_bytes(nat_ports(config));
}

uint64_t nat_shared(const void *config, unsigned lanes)
{
    (void)lanes;
    return NAT_PROTOS * nf_shared_pool_bytes(nat_ports(config));
}

bool nat_make(struct nf *nf)
{
    const struct nat_config *config = nf->config;
    static const char *const names[NAT_PROTOS] = {"tcp_ports", "udp_ports", "icmp_identifiers"};
    struct nat *nat = nf->state;
    bool whole = true;
    for (unsigned i = 0; i < NAT_PROTOS; i++) {
        nat->pool[i] = nf_shared_pool_make(nf, nat_ports(config));
        whole = whole && nat->pool[i];
        if (nat->pool[i])
            nf_table_add_pool(nf, names[i], nat->pool[i]);
    }
    NF_CONSTANT(nf, nat);
    return whole;
}

void nat_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct nat_config *)config)->flows;
}

const struct nf_session *nat_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = nf->state;

    /* Only a request opens a mapping: a reset or an echo reply answers something that was never let in. */
    if ((p->proto == NF_PROTO_TCP && (p->tcp_flags & NF_TCP_RST)) ||
        (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REPLY)) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return NULL;
    }
    if (!nf_session_room(nf, p)) {
        nf_drop(nf, p, NAT_TABLE_FULL);
        return NULL;
    }
    uint32_t number = nf_shared_pool_take(nf, nat->pool[nat_proto(p->proto)]);
    if (number == NF_NONE) {
        nf_drop(nf, p, NAT_PORTS_EXHAUSTED);
        return NULL;
    }
    const struct nf_session *s = nf_session_join(nf, p, now);
    FT_CHECK(s, "nat: no slot with %u of %u mappings", nf_sessions_count(nf), nf_sessions_max(nf));
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .port = htons((uint16_t)(config->ports.first + number))};
    nf_count(nf, NAT_CREATED, 1);
    return s;
}

void nat_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = nf->state;

    (void)now;
    if (!nat_is_forwarded(s))
        nf_shared_pool_give(nf, nat->pool[nat_proto(s->key[0].proto)],
                            ntohs(nat_flow_of(nf, s)->port) - config->ports.first);
    if (why == NF_SESSION_IDLE || why == NF_SESSION_DISPLACED)
        nf_count(nf, why == NF_SESSION_IDLE ? NAT_EXPIRED : NAT_DISPLACED, 1);
}

int nat_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    return nf_sessions_set(nf, key, value, now, fault);
}

/* Each mapping has a port of its own, and this lane has taken those ports and no others. */
int nat_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    uint8_t *mapped = nf_check_memory(c, 0, (uint64_t)NAT_PROTOS * nat_ports(config));
    const struct nf_session *s;

    if (!mapped)
        return FT_ENOMEM;
    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++) {
        uint8_t proto = s->key[0].proto;
        uint32_t port = ntohs(nat_flow_of(nf, s)->port), number = port - config->ports.first;

        nf_check_step(c);
        if (nat_is_forwarded(s)) {
            if (nat_flow_of(nf, s)->port >= config->forwards)
                return nf_check_failed(c, "session %u is of forward %u, expected one below %u", at,
                                       (unsigned)nat_flow_of(nf, s)->port, config->forwards);
            continue;
        }
        if (!nf_proto_has_ports(proto) || port < config->ports.first || port > config->ports.last ||
            mapped[nat_proto(proto) * nat_ports(config) + number]++)
            return nf_check_failed(c, "session %u has protocol %u and port %u, expected a port of its own",
                                   at, proto, port);
    }
    for (unsigned i = 0; i < NAT_PROTOS; i++)
        for (uint32_t number = 0; number < nat_ports(config); number++) {
            nf_check_step(c);
            if (mapped[i * nat_ports(config) + number] != nf_shared_pool_has(nat->pool[i], number))
                return nf_check_failed(
                    c, "port %u of pool %u is taken and no mapping's, or the other way round", number, i);
        }
    return 0;
}

/* "tcp/1024": one mapping by protocol and outside port. */
static const struct nf_session *nat_named(const struct nf *nf, const char *key)
{
    const struct nf_session *s;
    char proto[8];
    uint32_t port;
    const char *slash = strchr(key, '/');
    if (!slash || (size_t)(slash - key) >= sizeof(proto) || !nf_number_parse(slash + 1, 0, 65535, &port))
        return NULL;
    memcpy(proto, key, (size_t)(slash - key));
    proto[slash - key] = 0;
    int n = nf_proto_parse(proto);
    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++)
        if (s->key[0].proto == n && nat_ends_of(nf, s).outside_port == htons((uint16_t)port))
            return s;
    return NULL;
}

/* A flow without its mapping is nobody's: it ends for all NFs. */
int nat_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    const struct nf_session *s;

    if (!key) {
        nf_sessions_clear(nf, true, now);
        return FT_OK;
    }
    s = nat_named(nf, key);
    if (!s)
        return ft_fail(fault, FT_ENOENT, "%s: no such mapping, expected tcp, udp or icmp/PORT", key);
    nf_session_end(nf, s, now);
    return FT_OK;
}
