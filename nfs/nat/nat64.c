/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat64: clients inside that have IPv6 alone reach servers outside that have IPv4 (RFC 6146, 7915). A
 * server's address is the last four bytes of one of the prefix (RFC 6052); who names servers by such
 * addresses is somebody else (DNS64). One mapping per flow, or per end inside, to a port of an outside
 * address, as the NAT has them (nat_ports.c). The way back is the flow's session, whose second key is of
 * IPv4.
 */
#include "nflib/net/icmp.h"
#include "nfs/nat/nat64.h"
#include "nfs/nat/side.h"

static const char *const nat64_counters[] = {NAT64_COUNTERS(NF_COUNTER_NAME) NULL};
static const char *const nat64_dependence[] = {"address_and_port_dependent", "endpoint_independent", NULL};

#define PASS 0x100u /* no reason to drop */

static bool is_fragment_of(const struct nf_packet *p, uint8_t proto)
{
    return p->flags & NF_P_FRAGMENT && p->proto == proto;
}

/* An end inside that has a port. */
struct nat64_inside_end {
    uint8_t addr[16];
    struct nat_end rest;
};

static struct nat_ports_config nat64_ports_of(const struct nat64_config *config,
                                              const struct nat_ports *ports)
{
    return (struct nat_ports_config){.outside = &config->outside,
                                     .first = config->ports.first,
                                     .last = config->ports.last,
                                     .end_bytes = sizeof(struct nat64_inside_end),
                                     .by_end = config->mapping != 0,
                                     .preserve = config->preserve_ports,
                                     .ports = ports};
}
static struct nat_port nat64_port_of(const struct nat64_flow *flow)
{
    return (struct nat_port){flow->place, (uint16_t)flow->port};
}

/* ---- making ------------------------------------------------------------------------------------- */

static uint64_t nat64_arena(const void *config)
{
    struct nat_ports_config ports = nat64_ports_of(config, NULL);

    return nat_ports_bytes(&ports);
}

static uint64_t nat64_shared(const void *config, unsigned lanes)
{
    struct nat_ports_config ports = nat64_ports_of(config, NULL);

    (void)lanes;
    return nat_ports_shared(&ports);
}

static bool nat64_make(struct nf *nf)
{
    struct nat_ports_config ports = nat64_ports_of(nf->config, nf->state);
    struct nat64 *nat = nf->state;
    bool whole = nat_ports_make(nf, &ports, &nat->ports);

    nat->identification = nf_random(nf);
    NF_CONSTANT(nf, &nat->ports);
    return whole;
}

static void nat64_flows(const void *config, struct nf_flows_config *flows)
{
    const struct nat_ports_config ports = nat64_ports_of(config, NULL);

    *flows = ((const struct nat64_config *)config)->flows;
    nat_ports_limit(&ports, flows);
}

uint8_t nat64_side_of(const void *config, const struct nf_packet *p)
{
    const struct nat64_config *nat64 = config;

    if (p->flags & NF_P_IPV6_READ && nat64_is_ours(nat64, nf_packet_ipv6_addresses(p) + 16))
        return NF_INSIDE;
    return p->flags & NF_P_IPV4 && nat_outside_has(&nat64->outside, p->daddr) ? NF_OUTSIDE : NAT_NO_SIDE;
}

static uint16_t nat64_next_id(const struct nf *nf)
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

/* A mapping for a packet from inside, its first packet counted, or the packet dropped and NULL. */
static const struct nf_session *nat64_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config, nf->state);
    struct nat64_inside_end end = {.rest = {.port = p->sport, .proto = p->proto}};
    const struct nat_ports_wanted wanted = {&ports, &end};
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

/* Of a packet from outside that belongs to nothing: whether its port is mapped. */
static enum nat64_counter nat64_reason(const struct nf *nf, uint8_t proto, uint32_t addr, uint16_t port)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config, nf->state);

    return nat_ports_has(&ports, proto, addr, port) ? NAT64_WRONG_REMOTE : NAT64_NO_MAPPING;
}

/* For the log of flows: the translation, as its first packet came and as it left. */
static void nat64_log(const struct nf *nf, const struct nf_session *s, bool ends_now, enum nf_session_why why,
                      uint64_t now)
{
    const struct nat64_flow *flow = nat64_flow_of(nf, s);
    const struct nf_tuple *in = &s->key[0], *out = &s->key[1]; /* of answers */
    bool echo = in->proto == NF_PROTO_ICMPV6;
    struct nf_addresses ends;
    struct nf_log_event event = {
        .kind = ends_now ? NF_LOG_END : NF_LOG_BEGIN,
        .proto = in->proto,
        .why = (uint8_t)why,
        .ipv6 = 1,
        .time = now,
        .sport = in->sport,
        .dport = echo ? 0 : in->dport,
        .to_source = nat64_outside(nf, flow),
        .to_sport = (uint16_t)flow->port,
        .to_destination = out->saddr,
        .to_dport = echo ? 0 : out->sport,
    };

    nf_session_key_ipv6(nf, s, 0, &ends);
    memcpy(event.source, ends.source, sizeof(event.source));
    memcpy(event.destination, ends.destination, sizeof(event.destination));
    nf_log_add(nf, &event, now);
}

static void nat64_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why,
                              uint64_t now)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config, nf->state);

    (void)why;
    (void)now;
    nat_ports_give(nf, &ports, s->key[0].proto,
                   nat_ports_number(&ports, nat64_port_of(nat64_flow_of(nf, s))));
}

/* ---- ICMP errors --------------------------------------------------------------------------------- */

/* Translates and counts it, or drops it. */
static void nat64_error(const struct nf *nf, struct nf_packet *p)
{
    bool reply, inside = p->side == NF_INSIDE;
    const struct nf_session *s = nf_session_quoted(nf, p, &reply);
    enum nat64_counter why = NAT64_ERRORS;
    const struct nat64_config *config = nf->config;
    struct nf_addresses client;
    struct nf_inner in;

    nf_packet_inner(p, &in);
    /* One from inside is about an answer, one from outside about a packet of the end that began. */
    if (s && (!nf_session_has(nf, s) || reply == inside))
        s = NULL;
    if (!s)
        why = inside || !nf_proto_has_ports(in.proto) ? NAT64_NO_MAPPING
                                                      : nat64_reason(nf, in.proto, p->daddr, in.sport);
    else if (!nat64_error_has_form(p))
        why = NAT64_UNSUPPORTED;
    if (why != NAT64_ERRORS) {
        nf_drop(nf, p, why);
        return;
    }
    if (inside) {
        nat64_error_to_ipv4(p, &in, nat64_outside(nf, nat64_flow_of(nf, s)),
                            (uint16_t)nat64_flow_of(nf, s)->port, nat64_next_id(nf));
    } else {
        nf_session_key_ipv6(nf, s, 0, &client);
        nat64_error_to_ipv6(p, &in, config->prefix, &client, s->key[0].sport);
    }
    nf_count(nf, NAT64_ERRORS, 1);
}

/* ---- from inside --------------------------------------------------------------------------------- */

/* Why a packet to an address of the prefix is dropped, whatever its flow; PASS: it is not. */
static unsigned refusal_outward(const struct nf *nf, const struct nf_packet *p)
{
    const struct nat64_config *config = nf->config;
    const uint8_t *from = nf_packet_ipv6_addresses(p);
    uint32_t to = nat64_embedded(from + 16);

    if (nat64_is_ours(config, from) || nf_ipv6_martian(from) || nf_ipv6_many(from) ||
        nf_ipv6_link_local(from) || nf_addr_martian(to) || nf_addr_many(to))
        return NAT64_MARTIAN;
    if (nat_outside_has(&config->outside, to))
        return NAT64_HAIRPIN;
    if (nat64_is_source_routed(p))
        return NAT64_SOURCE_ROUTE;
    if (!nf_proto_has_ports_ipv6(p->proto))
        return NAT64_UNSUPPORTED;
    if (is_fragment_of(p, NF_PROTO_ICMPV6))
        return NAT64_FRAGMENTED_ICMP;
    if (!(p->flags & (NF_P_LATER | NF_P_L4)))
        return NAT64_MALFORMED;
    return p->flags & (NF_P_LATER | NF_P_ICMP_ERROR) || nf_packet_has_ends_ipv6(p) ? PASS : NAT64_UNSUPPORTED;
}

/* True: translated, to be counted by the caller, once a burst. So nat64_inward. */
static bool nat64_outward(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    bool ours = p->flags & NF_P_IPV6_READ && nat64_is_ours(nf->config, nf_packet_ipv6_addresses(p) + 16);
    unsigned why = ours ? refusal_outward(nf, p) : PASS;
    const struct nf_session *s;
    struct nat64_ends4 ends;

    if (why != PASS) {
        nf_drop(nf, p, why);
        return false;
    }
    if (!ours || p->flags & NF_P_ICMP_ERROR) {
        if (ours)
            nat64_error(nf, p);
        else
            nf_count(nf, NAT64_NOT_OURS, 1);
        return false;
    }
    s = nf_session_mine(nf, p);
    if (p->flags & NF_P_LATER && (!s || !nf_session_later(nf, p))) {
        nf_drop(nf, p, NAT64_FRAGMENT_UNKNOWN);
        return false;
    }
    if (s)
        NF_SESSION_EDIT(nf, s, struct nat64_flow)->packets++;
    else if (!(s = nat64_create(nf, p, now)))
        return false;
    ends = (struct nat64_ends4){.saddr = nat64_outside(nf, nat64_flow_of(nf, s)),
                                .daddr = nat64_embedded(nf_packet_ipv6_addresses(p) + 16),
                                .port = (uint16_t)nat64_flow_of(nf, s)->port};
    nat64_to_ipv4(p, &ends, nat64_may_fragment(20u + p->l4_len) ? nat64_next_id(nf) : 0);
    return true;
}

/* ---- from outside -------------------------------------------------------------------------------- */

static unsigned refusal_inward(const struct nf_packet *p)
{
    if (p->flags & NF_P_BAD)
        return NAT64_MALFORMED;
    if (nf_addr_martian(p->saddr) || nf_addr_many(p->saddr))
        return NAT64_MARTIAN;
    if (!nf_proto_has_ports(p->proto))
        return NAT64_UNSUPPORTED;
    if (nat64_is_source_routed(p))
        return NAT64_SOURCE_ROUTE;
    if (is_fragment_of(p, NF_PROTO_ICMP))
        return NAT64_FRAGMENTED_ICMP;
    if ((p->flags & (NF_P_FRAGMENT | NF_P_LATER | NF_P_L4)) == (NF_P_FRAGMENT | NF_P_L4) &&
        p->proto == NF_PROTO_UDP && !nf_get16(p->data + p->l4 + 6))
        return NAT64_NO_CHECKSUM;
    return p->flags & (NF_P_LATER | NF_P_ICMP_ERROR) || nf_packet_has_ends(p) ? PASS : NAT64_UNSUPPORTED;
}

/* RFC 6146, 3.5: a sender to a port without a mapping gets "host unreachable", and a sender that a mapping
 * does not let in gets "prohibited". A reset gets no answer. */
static void refuse_inward(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    enum nat64_counter why = nat64_reason(nf, p->proto, p->daddr, p->dport);

    if (p->proto != NF_PROTO_TCP || !(p->tcp_flags & NF_TCP_RST))
        nf_complain(nf, p, NF_ICMP_UNREACHABLE,
                    why == NAT64_NO_MAPPING ? NF_ICMP_HOST_UNREACHABLE : NF_ICMP_PROHIBITED, now);
    nf_drop(nf, p, why);
}

static bool nat64_answer(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat64_config *config = nf->config;
    const struct nf_session *s = nf_session_mine(nf, p);
    struct nat64_ends6 ends;
    struct nf_addresses client;

    if (p->flags & NF_P_LATER && (!s || !nf_session_later(nf, p))) {
        nf_drop(nf, p, NAT64_FRAGMENT_UNKNOWN);
        return false;
    }
    if (!s || !(p->flow & NF_FLOW_REPLY)) {
        refuse_inward(nf, p, now);
        return false;
    }
    NF_SESSION_EDIT(nf, s, struct nat64_flow)->packets++;
    nf_session_key_ipv6(nf, s, 0, &client);
    ends.port = s->key[0].sport;
    nat64_embed(config->prefix, p->saddr, ends.addresses.source);
    memcpy(ends.addresses.destination, client.source, sizeof(client.source));
    if (nat64_to_ipv6(p, &ends))
        return true;
    nf_drop(nf, p, NAT64_TOO_LONG);
    return false;
}

static bool nat64_inward(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat64_config *config = nf->config;
    bool ours = p->flags & NF_P_BAD || (p->flags & NF_P_IPV4 && nat_outside_has(&config->outside, p->daddr));
    unsigned why = ours ? refusal_inward(p) : PASS;

    if (why != PASS) {
        nf_drop(nf, p, why);
        return false;
    }
    if (!ours) {
        nf_count(nf, NAT64_NOT_OURS, 1);
    } else if (p->flags & NF_P_ICMP_ERROR) {
        nat64_error(nf, p);
    } else if (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST) {
        nf_count(nf, NAT64_OWN_ECHO, 1);
    } else {
        return nat64_answer(nf, p, now);
    }
    return false;
}

static void nat64_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    bool inside = packets[0]->side == NF_INSIDE; /* all are of one side */
    uint32_t translated = 0;

    for (uint32_t i = 0; i < n; i++)
        translated += inside ? nat64_outward(nf, packets[i], now) : nat64_inward(nf, packets[i], now);
    if (translated)
        nf_count(nf, inside ? NAT64_OUTWARD : NAT64_INWARD, translated);
}

/* ---- lanes ------------------------------------------------------------------------------------- */

/* With a port for each end inside, that end's flows are one lane's. */
static enum nf_scope nat64_scope(const void *config)
{
    return ((const struct nat64_config *)config)->mapping ? NF_OF_INSIDE : NF_OF_FLOW;
}

/* What comes back belongs to the lane that gave out the port. Later fragments have no port to know it by. */
static bool nat64_owner(const struct nf *nf, const struct nf_packet *p, unsigned *lane)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config, nf->state);
    struct nf_inner in = {.saddr = p->daddr, .sport = p->dport, .proto = p->proto};

    if (p->side != NF_OUTSIDE || (p->flags & (NF_P_BAD | NF_P_IPV4)) != NF_P_IPV4)
        return false;
    if (p->flags & NF_P_ICMP_ERROR)
        nf_packet_inner(p, &in);
    else if (!nf_packet_has_ends(p) || (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST))
        return false;
    return nf_proto_has_ports(in.proto) && nat_ports_owner(&ports, in.proto, in.saddr, in.sport, lane);
}

/* ---- for operators, and of what came from a peer ------------------------------------------------ */

/* "icmp" is what ICMPv6 is outside. */
static bool has_port(const struct nf *nf, const struct nf_session *s, const struct nat_key *key)
{
    const struct nat64_flow *flow = nat64_flow_of(nf, s);

    return s->key[1].proto == key->proto && flow->port == key->port &&
           (!key->addr || nat64_outside(nf, flow) == key->addr);
}

static int nat64_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    return nat_ports_clear(nf, key, now, fault, has_port);
}

static int check_session(const struct nf *nf, struct nf_check *c, const struct nf_session *s, uint32_t at,
                         uint32_t sessions[])
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config, nf->state);
    uint8_t proto = s->key[0].proto;

    if (!s->key[0].ipv6 || s->key[1].ipv6 || s->key[0].side != NF_INSIDE || !nf_proto_has_ports_ipv6(proto))
        return nf_check_failed(c, "session %u is of protocol %u, expected one from IPv6 inside to IPv4", at,
                               proto);
    return nat_ports_check_port(c, &ports, at, proto, nat64_port_of(nat64_flow_of(nf, s)), sessions);
}

/* Each mapping has a port of its own, and this lane has taken those ports and no others. */
static int nat64_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat_ports_config ports = nat64_ports_of(nf->config, nf->state);

    return nat_ports_check(nf, c, &ports, check_session);
}

/* ---- showing, configuration ---------------------------------------------------------------------- */

static void nat64_show_flow(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct nf_tuple *remote = &s->key[1];
    const struct nat64_flow *flow = nat64_flow_of(nf, s);
    struct nf_addresses client;
    struct nf_addr inside;

    nf_session_key_ipv6(nf, s, 0, &client);
    inside = nf_addr_of_ipv6(client.source);
    nf_row(out);
    nf_row_proto(out, remote->proto);
    nf_row_addr(out, "inside", &inside, s->key[0].sport);
    nf_row_ipv4(out, "outside", nat64_outside(nf, flow));
    nf_row_u64(out, "outside_port", ntohs((uint16_t)flow->port));
    nf_row_end(out, "remote", remote->saddr, remote->proto == NF_PROTO_ICMP ? 0 : remote->sport);
    nf_row_text(out, "state", "%s",
                remote->proto == NF_PROTO_TCP ? nf_tcp_state_name(nf_session_tcp(s)) : "mapped");
    nf_row_u64(out, "packets", flow->packets);
    nf_row_u64(out, "last_ns", s->seen);
}

static bool nat64_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_sessions_show(nf, 0, out, cursor, nat64_show_flow);
}

static int nat64_check(void *c, struct ft_fault *fault)
{
    struct nat64_config *config = c;
    const char *text = config->prefix_text;
    size_t len = strcspn(text, "/");
    char addr[INET6_ADDRSTRLEN] = "";
    uint8_t prefix[16];

    memcpy(addr, text, len < sizeof(addr) ? len : 0);
    if (strcmp(text + len, "/96") != 0 || inet_pton(AF_INET6, addr, prefix) != 1 ||
        nf_ipv6_has_host_bits(prefix, 96) || nf_ipv6_many(prefix) || nf_ipv6_link_local(prefix) || prefix[8])
        return ft_fail(fault, FT_EINVAL,
                       "prefix is %.60s, expected one of IPv6 of 96 bits whose bits 64 to 71 are 0, such as "
                       "64:ff9b::/96",
                       text);
    memcpy(config->prefix, prefix, sizeof(config->prefix));
    return nat_outside_check(&config->outside, fault);
}

static bool nat64_joins_ipv6(const void *config)
{
    (void)config;
    return true;
}

static bool nat64_take_ports(const void *config, unsigned i, struct nf_ports *out)
{
    const struct nat64_config *c = config;

    if (i >= c->outside.count)
        return false;
    *out = (struct nf_ports){.addr = c->outside.list[i],
                             .first = (uint16_t)c->ports.first,
                             .last = (uint16_t)c->ports.last,
                             .protos = NF_PORTS_TCP | NF_PORTS_UDP,
                             .given = true};
    return true;
}

static const struct nf_param nat64_params[] = {
    NF_PARAM_AT(struct nat64_config, "prefix", prefix_text, NF_STRING, "64:ff9b::/96",
                "of addresses of IPv6 that stand for those of IPv4"),
    NF_PARAM(struct nat64_config, outside, NF_HOSTS, NULL,
             "the addresses that hosts inside get, each one of them", .marks = NF_PARAM_OWN),
    NF_NUMBER(struct nat64_config, ports, NF_RANGE, 1, 65535, "1024-65535",
              "outside ports and ICMP identifiers"),
    NF_YES_NO(struct nat64_config, preserve_ports, "false", "a host keeps its own port, where that is free",
              .marks = NF_PARAM_ADDED),
    NF_MAX_FLOWS_PARAM(struct nat64_config, flows, "mappings at most"),
    NF_MAX_FLOWS_PER_HOST_PARAM(struct nat64_config, flows),
    NF_MAX_FRAGMENTS_PARAM(struct nat64_config, flows),
    NF_TCP_UDP_PARAMS(struct nat64_config, flows),
    NF_ICMP_PARAM(struct nat64_config, flows),
    NF_ONE_OF(struct nat64_config, mapping, nat64_dependence, "address_and_port_dependent",
              "a port for each flow, or for each end inside"),
    {0},
};

static const struct nf_module nat64_module = {
    .name = "nat64",
    .version = 2,
    .summary = "clients of IPv6 reach servers of IPv4: TCP, UDP and ICMP",
    .reads = NF_READS_HEADERS,
    .params = nat64_params,
    .config_size = sizeof(struct nat64_config),
    .state_size = sizeof(struct nat64),
    .check = nat64_check,
    .counters = nat64_counters,
    .arena = nat64_arena,
    .shared = nat64_shared,
    .make = nat64_make,
    .process = nat64_process,
    .show = nat64_show,
    .set = nf_sessions_set,
    .clear = nat64_clear,
    .scope = nat64_scope,
    .owner = nat64_owner,
    .check_state = nat64_check_state,
    .session_size = sizeof(struct nat64_flow),
    .translates = NF_SOURCE | NF_DESTINATION | NF_FAMILY,
    .ipv6 = nat64_joins_ipv6,
    .fragments_full = NAT64_FRAGMENTS_FULL + 1,
    .conflict = NAT64_CONFLICT + 1,
    .flows = nat64_flows,
    .session_tell = nat64_log,
    .session_end = nat64_session_end,
    .expired = NAT64_EXPIRED + 1,
    .displaced = NAT64_DISPLACED + 1,
    .ports = nat64_take_ports,
};
NF_MODULE(nat64_module)
