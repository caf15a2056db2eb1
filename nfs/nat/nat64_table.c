/* SPDX-License-Identifier: Apache-2.0 */
/* The mappings of nat64: making and removing them, and whose lane a packet is; see nat64_table.h. */
#include "nfs/nat/nat64_table.h"


uint64_t nat64_arena(const void *config)
{
    struct nat_ports_config ports = nat64_ports_of(config);

    return nat_ports_bytes(&ports);
}

uint64_t nat64_shared(const void *config, unsigned lanes)
{
    struct nat_ports_config ports = nat64_ports_of(config);

    (void)lanes;
    return nat_ports_shared(&ports);
}

bool nat64_make(struct nf *nf)
{
    struct nat_ports_config ports = nat64_ports_of(nf->config);
    struct nat64 *nat = nf->state;
    bool whole = nat_ports_make(nf, &ports, &nat->ports);

    nat->identification = nf_random(nf);
    NF_CONSTANT(nf, &nat->ports);
    return whole;
}

void nat64_flows(const void *config, struct nf_flows_config *flows)
{
    const struct nat_ports_config ports = nat64_ports_of(config);

    *flows = ((const struct nat64_config *)config)->flows;
    nat_ports_limit(&ports, flows);
}

uint16_t nat64_next_id(const struct nf *nf)
{
    const struct nat64 *nat = nf->state;

    return (uint16_t)++ * NF_EDIT_WORD(nf, &nat->identification);
}

/* ---- mappings ---------------------------------------------------------------------------------- */

static enum nf_session_frees frees_port(const struct nf *nf, const struct nf_session *s, const void *wanted)
{
    const struct nat_ports_wanted *w = wanted;

    return nat_ports_frees(w, s->key[0].proto,
                           nat_ports_number(w->config, nat64_port_of(nat64_flow_of(nf, s))));
}

const struct nf_session *nat64_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config);
    struct nat64_inside_end end = {.rest = {.port = p->sport, .proto = p->proto}};
    const struct nat64 *nat = nf->state;
    const struct nat_ports_wanted wanted = {&ports, &nat->ports, &end};
    const struct nf_session *s;
    struct nat_port port;
    uint32_t number;

    /* Only a request opens a mapping. */
    if ((p->proto == NF_PROTO_TCP && p->tcp_flags & NF_TCP_RST) ||
        (p->proto == NF_PROTO_ICMPV6 && p->icmp_type == NF_ICMPV6_ECHO_REPLY)) {
        nf_drop(nf, p, NAT64_NO_MAPPING);
        return NULL;
    }
    if (!nf_session_room(nf, p)) {
        nf_drop(nf, p, nf_session_host_full(nf, p) ? NAT64_HOST_FULL : NAT64_TABLE_FULL);
        return NULL;
    }
    memcpy(end.addr, nf_packet_ipv6_addresses(p), sizeof(end.addr));
    number = nat_ports_take(nf, p, &wanted, frees_port, now);
    if (number == NF_NONE) {
        nf_drop(nf, p, NAT64_PORTS_EXHAUSTED);
        return NULL;
    }
    s = nf_session_join(nf, p, now);
    FT_CHECK(s, "nat64: no slot with %u of %u mappings", nf_sessions_count(nf), nf_sessions_max(nf));
    port = nat_ports_port(&ports, number);
    *NF_SESSION_EDIT(nf, s, struct nat64_flow) =
        (struct nat64_flow){.packets = 1, .place = port.place & 7, .port = port.port};
    nf_count(nf, NAT64_CREATED, 1);
    return s;
}

enum nat64_counter nat64_reason(const struct nf *nf, uint8_t proto, uint32_t addr, uint16_t port)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config);
    const struct nat64 *nat = nf->state;

    return nat_ports_has(&ports, &nat->ports, proto, addr, port) ? NAT64_WRONG_REMOTE : NAT64_NO_MAPPING;
}

void nat64_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config);
    const struct nat64 *nat = nf->state;

    (void)why;
    (void)now;
    nat_ports_give(nf, &ports, &nat->ports, s->key[0].proto,
                   nat_ports_number(&ports, nat64_port_of(nat64_flow_of(nf, s))));
}

/* ---- lanes ------------------------------------------------------------------------------------- */

/* With a port for each end inside, that end's flows are one lane's. */
enum nf_scope nat64_scope(const void *config)
{
    return ((const struct nat64_config *)config)->mapping ? NF_OF_INSIDE : NF_OF_FLOW;
}

/* What comes back belongs to the lane that gave out the port. Later fragments have no port to know it by. */
bool nat64_owner(const struct nf *nf, const struct nf_packet *p, unsigned *lane)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config);
    const struct nat64 *nat = nf->state;
    struct nf_inner in = {.saddr = p->daddr, .sport = p->dport, .proto = p->proto};

    if (p->side != NF_OUTSIDE || (p->flags & (NF_P_BAD | NF_P_IPV4)) != NF_P_IPV4)
        return false;
    if (p->flags & NF_P_ICMP_ERROR)
        nf_packet_inner(p, &in);
    else if (!nf_packet_has_ends(p) || (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST))
        return false;
    return nf_proto_has_ports(in.proto) &&
           nat_ports_owner(&ports, &nat->ports, in.proto, in.saddr, in.sport, lane);
}

/* ---- for operators, and of what came from a peer ------------------------------------------------ */

/* "icmp" is what ICMPv6 is outside. */
static bool has_port(const struct nf *nf, const struct nf_session *s, const struct nat_key *key)
{
    const struct nat64_flow *flow = nat64_flow_of(nf, s);

    return s->key[1].proto == key->proto && flow->port == key->port &&
           (!key->addr || nat64_outside(nf, flow) == key->addr);
}

int nat64_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    return nat_ports_clear(nf, key, now, fault, has_port);
}

static int check_session(const struct nf *nf, struct nf_check *c, const struct nf_session *s, uint32_t at,
                         uint32_t sessions[])
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config);
    uint8_t proto = s->key[0].proto;

    if (!s->key[0].ipv6 || s->key[1].ipv6 || s->key[0].side != NF_INSIDE || !nf_proto_has_ports_ipv6(proto))
        return nf_check_failed(c, "session %u is of protocol %u, expected one from IPv6 inside to IPv4", at,
                               proto);
    return nat_ports_check_port(c, &ports, at, proto, nat64_port_of(nat64_flow_of(nf, s)), sessions);
}

/* Each mapping has a port of its own, and this lane has taken those ports and no others. */
int nat64_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config);
    const struct nat64 *nat = nf->state;

    return nat_ports_check(nf, c, &ports, &nat->ports, check_session);
}
