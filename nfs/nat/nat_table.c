/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's mappings: making and removing them, and what a session of it translates; see nat_table.h. */
#include "nfs/nat/nat_table.h"

static struct nat_ends opened_ends(const struct nf *nf, const struct nf_session *s)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat *nat = nf->state;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    const struct nat_inside_end *end = nat_ports_end(&ports, &nat->ports, nf_session_proto(nf, s),
                                                     nat_ports_number(&ports, nat_port_of(flow)));

    return (struct nat_ends){end->addr, nat_outside(nf, flow), end->rest.port, (uint16_t)flow->port};
}

struct nat_ends nat_ends_of(const struct nf *nf, const struct nf_session *s)
{
    const struct nat_config *config = nf->config;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    const struct nat_forward *f;
    struct nf_tuple ends;

    if (flow->way == NAT_WAY_OPENED)
        return opened_ends(nf, s);
    if (nat_is_forwarded(s)) {
        FT_CHECK(flow->port < config->forwards, "nat: forward %u of %u", (unsigned)flow->port,
                 config->forwards);
        f = &config->list[flow->port];
        return (struct nat_ends){f->to, f->outside, f->to_port, f->port};
    }
    nf_session_view(nf, s, &ends);
    return (struct nat_ends){ends.saddr, nat_outside(nf, flow), ends.sport, (uint16_t)flow->port};
}

struct nat_port nat_turned_port(const struct nf *nf, const struct nf_session *s)
{
    const struct nat_config *config = nf->config;

    return (struct nat_port){nat_outside_place(&config->outside, s->key[0].daddr), s->key[0].dport};
}

uint64_t nat_arena(const void *config)
{
    struct nat_ports_config ports = nat_ports_of(config);

    return nat_ports_bytes(&ports);
}

uint64_t nat_shared(const void *config, unsigned lanes)
{
    struct nat_ports_config ports = nat_ports_of(config);

    (void)lanes;
    return nat_ports_shared(&ports);
}

bool nat_make(struct nf *nf)
{
    struct nat_ports_config ports = nat_ports_of(nf->config);
    struct nat *nat = nf->state;
    bool whole = nat_ports_make(nf, &ports, &nat->ports);

    NF_CONSTANT(nf, nat);
    return whole;
}

void nat_flows(const void *config, struct nf_flows_config *flows)
{
    const struct nat_config *nat = config;

    const struct nat_ports_config ports = nat_ports_of(config);

    *flows = nat->flows;
    nat_ports_limit(&ports, flows);
    if (nat->unsupported == NAT_BY_ADDRESS)
        flows->timeouts[NF_TIMEOUT_OTHER] = flows->timeouts[NF_TIMEOUT_UDP];
}

bool nat_has_room(const struct nf *nf, struct nf_packet *p)
{
    if (nf_session_room(nf, p))
        return true;
    nf_drop(nf, p, nf_session_host_full(nf, p) ? NAT_HOST_FULL : NAT_TABLE_FULL);
    return false;
}

/* A session that began outside has a port of its own where its end inside has it for it, and its host such of
 * all addresses. */
static enum nf_session_frees frees_port(const struct nf *nf, const struct nf_session *s, const void *wanted)
{
    const struct nat_ports_wanted *w = wanted;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    uint8_t proto = nf_session_proto(nf, s);
    enum nf_session_frees frees;

    if (!nf_proto_has_ports(proto) || (nat_is_forwarded(s) && flow->way != NAT_WAY_OPENED))
        return NF_FREES_NONE;
    frees = nat_ports_frees(w, proto, nat_ports_number(w->config, nat_port_of(flow)));
    return nat_is_forwarded(s) && frees == NF_HOST_FREES_NONE ? NF_FREES_NONE : frees;
}

const struct nf_session *nat_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat_inside_end end = {.addr = p->saddr, .rest = {.port = p->sport, .proto = p->proto}};
    const struct nat *nat = nf->state;
    const struct nat_ports_wanted wanted = {&ports, &nat->ports, &end};

    /* Only a request opens a mapping: a reset or an echo reply answers something that was never let in. */
    if ((p->proto == NF_PROTO_TCP && (p->tcp_flags & NF_TCP_RST)) ||
        (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REPLY)) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return NULL;
    }
    if (!nat_has_room(nf, p))
        return NULL;
    uint32_t number = nat_ports_take(nf, p, &wanted, frees_port, now);
    if (number == NF_NONE) {
        nf_drop(nf, p, NAT_PORTS_EXHAUSTED);
        return NULL;
    }
    const struct nf_session *s = nf_session_join(nf, p, now);
    FT_CHECK(s, "nat: no slot with %u of %u mappings", nf_sessions_count(nf), nf_sessions_max(nf));
    struct nat_port port = nat_ports_port(&ports, number);
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .place = port.place & 7, .port = port.port};
    nf_count(nf, NAT_CREATED, 1);
    return s;
}

void nat_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat_flow *flow = nat_flow_of(nf, s);
    const struct nat *nat = nf->state;

    (void)why;
    (void)now;
    if (flow->way == NAT_WAY_TURNED) /* the other end's, too */
        nat_ports_give(nf, &ports, &nat->ports, s->key[0].proto,
                       nat_ports_number(&ports, nat_turned_port(nf, s)));
    if (nf_proto_has_ports(nf_session_proto(nf, s)) && (!nat_is_forwarded(s) || flow->way == NAT_WAY_OPENED))
        nat_ports_give(nf, &ports, &nat->ports, nf_session_proto(nf, s),
                       nat_ports_number(&ports, nat_port_of(flow)));
}

/* One session: its port, of which sessions[] counts one more, or the entry by which it began. */
static int check_session(const struct nf *nf, struct nf_check *c, const struct nf_session *s, uint32_t at,
                         uint32_t sessions[])
{
    const struct nat_config *config = nf->config;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    const struct nat_ports_config ports = nat_ports_of(config);
    bool opened = flow->way == NAT_WAY_OPENED;
    uint8_t proto = nf_session_proto(nf, s);

    if (flow->way == NAT_WAY_TURNED) {
        if (!config->hairpin || !config->mapping || nat_is_forwarded(s) ||
            (proto != NF_PROTO_TCP && proto != NF_PROTO_UDP))
            return nf_check_failed(c, "session %u is a hairpin, expected one that `hairpin` lets", at);
        if (nat_ports_check_port(c, &ports, at, proto, nat_turned_port(nf, s), sessions))
            return FT_EMALFORMED;
    } else if (opened ? !config->filtering || !nat_is_forwarded(s)
                      : flow->way > (nat_is_forwarded(s) ? 0 : config->forwards))
        return nf_check_failed(c, "session %u began in way %u, expected one below %u", at,
                               (unsigned)flow->way, config->forwards + 1);
    if (nat_is_forwarded(s) && !opened)
        return flow->port < config->forwards
                   ? 0
                   : nf_check_failed(c, "session %u is of forward %u, expected one below %u", at,
                                     (unsigned)flow->port, config->forwards);
    if (nf_proto_has_ports(proto))
        return nat_ports_check_port(c, &ports, at, proto, nat_port_of(flow), sessions);
    if (flow->port || flow->way || flow->place >= config->outside.count)
        return nf_check_failed(c, "session %u has protocol %u and port %u, expected no port", at, proto,
                               ntohs((uint16_t)flow->port));
    return 0;
}

/* Each mapping has a port of its own, and this lane has taken those ports and no others. */
int nat_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat *nat = nf->state;

    return nat_ports_check(nf, c, &ports, &nat->ports, check_session);
}

static bool has_port(const struct nf *nf, const struct nf_session *s, const struct nat_key *key)
{
    struct nat_ends ends = nat_ends_of(nf, s);

    return nf_session_proto(nf, s) == key->proto && ends.outside_port == key->port &&
           (!key->addr || ends.outside == key->addr);
}

int nat_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    return nat_ports_clear(nf, key, now, fault, has_port);
}
