/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's mappings: making and removing them; see nat_table.h. */
#include "nfs/nat/nat_table.h"

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

    *flows = nat->flows;
    if (nat->unsupported == NAT_BY_ADDRESS)
        flows->timeouts[NF_TIMEOUT_OTHER] = flows->timeouts[NF_TIMEOUT_UDP];
}

const struct nf_session *nat_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat_inside_end end = {.addr = p->saddr, .rest = {.port = p->sport, .proto = p->proto}};
    const struct nat *nat = nf->state;

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
    uint32_t number = nat_ports_take(nf, &ports, &nat->ports, &end);
    if (number == NF_NONE) {
        nf_drop(nf, p, NAT_PORTS_EXHAUSTED);
        return NULL;
    }
    const struct nf_session *s = nf_session_join(nf, p, now);
    FT_CHECK(s, "nat: no slot with %u of %u mappings", nf_sessions_count(nf), nf_sessions_max(nf));
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .port = htons((uint16_t)(ports.first + number))};
    nf_count(nf, NAT_CREATED, 1);
    return s;
}

void nat_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat_flow *flow = nat_flow_of(nf, s);
    const struct nat *nat = nf->state;

    (void)now;
    if (nf_proto_has_ports(nf_session_proto(nf, s)) && (!nat_is_forwarded(s) || flow->way == NAT_WAY_OPENED))
        nat_ports_give(nf, &ports, &nat->ports, nf_session_proto(nf, s),
                       ntohs((uint16_t)flow->port) - ports.first);
    if (why == NF_SESSION_IDLE || why == NF_SESSION_DISPLACED)
        nf_count(nf, why == NF_SESSION_IDLE ? NAT_EXPIRED : NAT_DISPLACED, 1);
}

int nat_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    return nf_sessions_set(nf, key, value, now, fault);
}

/* One session: its port, of which sessions[] counts one more, or the entry by which it began. */
static int check_session(const struct nf *nf, struct nf_check *c, const struct nf_session *s, uint32_t at,
                         uint32_t sessions[])
{
    const struct nat_config *config = nf->config;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    uint32_t port = ntohs((uint16_t)flow->port), ports = config->ports.last - config->ports.first + 1;
    bool opened = flow->way == NAT_WAY_OPENED;
    uint8_t proto = nf_session_proto(nf, s);

    nf_check_step(c);
    if (opened ? !config->filtering || !nat_is_forwarded(s)
               : flow->way > (nat_is_forwarded(s) ? 0 : config->forwards))
        return nf_check_failed(c, "session %u began in way %u, expected one below %u", at,
                               (unsigned)flow->way, config->forwards + 1);
    if (nat_is_forwarded(s) && !opened)
        return flow->port < config->forwards
                   ? 0
                   : nf_check_failed(c, "session %u is of forward %u, expected one below %u", at,
                                     (unsigned)flow->port, config->forwards);
    if (!nf_proto_has_ports(proto) && !port && !flow->way)
        return 0;
    if (!nf_proto_has_ports(proto) || port < config->ports.first || port > config->ports.last ||
        (sessions[nat_proto(proto) * ports + port - config->ports.first]++ && !config->mapping))
        return nf_check_failed(c, "session %u has protocol %u and port %u, expected a port of its own", at,
                               proto, port);
    return 0;
}

/* Each mapping has a port of its own, and this lane has taken those ports and no others. */
int nat_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat *nat = nf->state;
    uint32_t *sessions = nat_ports_tally(c, &ports);
    const struct nf_session *s;
    int error = 0;

    if (!sessions)
        return FT_ENOMEM;
    for (uint32_t at = 0; !error && (s = nf_sessions_next(nf, &at)); at++)
        error = check_session(nf, c, s, at, sessions);
    return error ? error : nat_ports_check(c, &ports, &nat->ports, sessions);
}

/* A flow without its mapping is nobody's: it ends for all NFs, with all others of its port, of which there
 * may be NAT_CLEARED in one burst. */
int nat_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    const struct nf_session *s;
    uint32_t ended = 0;
    uint16_t port = 0;
    int proto = -1;

    if (!key) {
        nf_sessions_clear(nf, true, now);
        return FT_OK;
    }
    for (uint32_t at = 0;
         nat_ports_read_key(key, &proto, &port) && ended < NAT_CLEARED &&
         nf_shared_left(nf) >= NF_SHARED_RESERVE + FT_NFS_MAX && (s = nf_sessions_next(nf, &at));
         at++)
        if (nf_session_proto(nf, s) == proto && nat_ends_of(nf, s).outside_port == port) {
            nf_session_end(nf, s, now);
            ended++;
        }
    return ended ? FT_OK
                 : ft_fail(fault, FT_ENOENT, "%s: no such mapping, expected tcp, udp or icmp/PORT", key);
}
