/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's mappings: making and removing them; see nat_table.h. */
#include "nfs/nat_table.h"

#include <string.h>

#define NAT_CLEARED 1024u /* flows of a port that one command ends at most */

static uint32_t nat_ports(const struct nat_config *config)
{
    return config->ports.last - config->ports.first + 1;
}

uint64_t nat_arena(const void *c)
{
    const struct nat_config *config = c;
    return NAT_PROTOS * nf_shared_pool_lane_bytes(nat_ports(config)) + nat_mappings_bytes(config);
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
    whole = whole && nat_mappings_make(nf, nat);
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
    const struct nat_config *config = nf->config;

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
    uint32_t number = nat_take_port(nf, p);
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
    const struct nat_flow *flow = nat_flow_of(nf, s);

    (void)now;
    if (nf_proto_has_ports(s->key[0].proto) && (!nat_is_forwarded(s) || flow->way == NAT_WAY_OPENED))
        nat_give_port(nf, s->key[0].proto, ntohs((uint16_t)flow->port) - config->ports.first);
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
    uint32_t port = ntohs((uint16_t)flow->port);
    bool opened = flow->way == NAT_WAY_OPENED;
    uint8_t proto = s->key[0].proto;

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
        (sessions[nat_proto(proto) * nat_ports(config) + port - config->ports.first]++ && !config->mapping))
        return nf_check_failed(c, "session %u has protocol %u and port %u, expected a port of its own", at,
                               proto, port);
    return 0;
}

/* Each mapping has a port of its own, and this lane has taken those ports and no others. */
int nat_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    uint32_t *sessions = nf_check_memory(c, 0, sizeof(*sessions) * NAT_PROTOS * nat_ports(config));
    const struct nf_session *s;
    int error = 0;

    if (!sessions)
        return FT_ENOMEM;
    for (uint32_t at = 0; !error && (s = nf_sessions_next(nf, &at)); at++)
        error = check_session(nf, c, s, at, sessions);
    for (uint32_t i = 0; !error && i < NAT_PROTOS * nat_ports(config); i++) {
        uint32_t pool = i / nat_ports(config), number = i % nat_ports(config);

        nf_check_step(c);
        if (!sessions[i] == nf_shared_pool_has(nat->pool[pool], number))
            error = nf_check_failed(c, "port %u of pool %u is taken and no mapping's, or the other way round",
                                    number, pool);
    }
    return error || !nat->mappings ? error : nat_mappings_check(nf, c, sessions);
}

/* "tcp/1024": a protocol and an outside port. False: it is none. */
static bool nat_read_key(const char *key, int *proto, uint16_t *port)
{
    char name[8];
    uint32_t number;
    const char *slash = strchr(key, '/');

    if (!slash || (size_t)(slash - key) >= sizeof(name) || !nf_number_parse(slash + 1, 0, 65535, &number))
        return false;
    memcpy(name, key, (size_t)(slash - key));
    name[slash - key] = 0;
    *proto = nf_proto_parse(name);
    *port = htons((uint16_t)number);
    return true;
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
         nat_read_key(key, &proto, &port) && ended < NAT_CLEARED &&
         nf_shared_left(nf) >= NF_SHARED_RESERVE + FT_NFS_MAX && (s = nf_sessions_next(nf, &at));
         at++)
        if (s->key[0].proto == proto && nat_ends_of(nf, s).outside_port == port) {
            nf_session_end(nf, s, now);
            ended++;
        }
    return ended ? FT_OK
                 : ft_fail(fault, FT_ENOENT, "%s: no such mapping, expected tcp, udp or icmp/PORT", key);
}
