/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_balancer: TCP and UDP to one service address go to one of several backends, by least connections,
 * consistent hashing or at random; answers come back from the service address. A connection stays with its
 * backend. With `vip: 0.0.0.0` every address is the service (a transparent balancer, in front of proxies or
 * caches), and answers get back the address that was asked for.
 *
 * `vip6` is the same service over IPv6, with backends of IPv6. What is not for the service passes as it is.
 * The choice is made by flows in this lane and by backends that all lanes share; see load_balancer_table.h.
 */
#include "nfs/load_balancer_table.h"

#include <string.h>

static const char *const lb_counters[] = {LB_COUNTERS(NF_COUNTER_NAME) NULL};

/* By address alone: later fragments and errors have no ports of their own. */
static bool lb_is_to_service(const struct lb_config *config, const struct nf_packet *p, bool ipv6)
{
    struct nf_addr to = nf_packet_to(p, ipv6);
    return nf_addr_same(&config->service[ipv6], &to);
}

static bool lb_is_service(const struct lb_config *config, const struct nf_packet *p, bool ipv6)
{
    return lb_serves(config, p) && (config->any[ipv6] || lb_is_to_service(config, p, ipv6));
}

/* From a client to the one service address, as far as its address says. */
static bool lb_is_asked(const struct lb_config *config, const struct nf_packet *p, bool ipv6)
{
    return nf_sides_has(config->clients, p) && !config->any[ipv6] && lb_is_to_service(config, p, ipv6);
}

/* ---- packets ----------------------------------------------------------------------------------- */

/* What most packets count, added up over a burst. */
struct lb_sums {
    uint32_t forwarded, returned, other;
};

/* An end of the packet, or of the one that it quotes; its port where TCP's or UDP's header is there. */
static void lb_set_source(struct nf_packet *p, const struct nf_addr *addr, uint16_t port)
{
    if (p->flags & NF_P_IPV6)
        nf_packet_set_source_ipv6(p, addr->byte, port);
    else
        nf_packet_set_source(p, nf_addr_ipv4(addr), port);
}

static void lb_set_destination(struct nf_packet *p, const struct nf_addr *addr, uint16_t port)
{
    if (p->flags & NF_P_IPV6)
        nf_packet_set_destination_ipv6(p, addr->byte, port);
    else
        nf_packet_set_destination(p, nf_addr_ipv4(addr), port);
}

/* The address that the client asked, and its port. */
static struct nf_addr lb_asked(const struct nf *nf, const struct nf_session *s, bool ipv6, uint16_t *port)
{
    struct nf_addresses addresses;
    struct nf_tuple ends;

    nf_session_view(nf, s, &ends);
    *port = ends.dport;
    if (!ipv6)
        return nf_addr_of_ipv4(ends.daddr);
    nf_session_view_ipv6(nf, s, &addresses);
    return nf_addr_of_ipv6(addresses.destination);
}

static void lb_to_backend(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                          struct lb_sums *sums)
{
    const struct lb_flow *flow = lb_flow_of(nf, s);
    struct nf_addr addr = lb_address(nf, flow, p->flags & NF_P_IPV6);

    lb_set_destination(p, &addr, flow->port);
    sums->forwarded++;
}

/* A packet with ports, or a later fragment, which has the address alone changed, of a flow. */
static void lb_known(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                     struct lb_sums *sums)
{
    struct nf_addr asked;
    uint16_t port;

    NF_SESSION_EDIT(nf, s, struct lb_flow)->packets++;
    if (!(p->flow & NF_FLOW_REPLY)) {
        lb_to_backend(nf, p, s, sums);
        return;
    }
    asked = lb_asked(nf, s, p->flags & NF_P_IPV6, &port);
    lb_set_source(p, &asked, port);
    sums->returned++;
}

/* The same of a packet of IPv4 whose flow the chain has found. */
static inline __attribute__((always_inline)) void lb_settled(const struct nf *nf, struct nf_packet *p,
                                                             const struct nf_session *s, struct lb_sums *sums)
{
    struct lb_flow *flow = NF_SESSION_EDIT(nf, s, struct lb_flow);
    struct nf_tuple ends;

    flow->packets++;
    if (p->flow & NF_FLOW_REPLY) {
        nf_session_view(nf, s, &ends);
        nf_packet_set_source(p, ends.daddr, ends.dport);
        sums->returned++;
    } else {
        nf_packet_set_destination(p, flow->addr, flow->port);
        sums->forwarded++;
    }
}

static void lb_flow_packet(const struct nf *nf, struct nf_packet *p, uint64_t now, struct lb_sums *sums)
{
    const struct lb_config *config = nf->config;
    const struct nf_session *s = nf_session_mine(nf, p);

    if (s) {
        lb_known(nf, p, s, sums);
        return;
    }
    if (!nf_sides_has(config->clients, p) || !lb_is_service(config, p, p->flags & NF_P_IPV6) ||
        (p->session && !(nf_session_flags(p->session) & NF_SESSION_NEW)))
        sums->other++; /* or of a flow that is known, and not balanced */
    else if ((s = lb_create(nf, p, now)))
        lb_to_backend(nf, p, s, sums);
}

static void lb_later(const struct nf *nf, struct nf_packet *p, struct lb_sums *sums)
{
    const struct nf_session *s = nf_session_mine(nf, p);

    if (s && nf_session_later(nf, p))
        lb_known(nf, p, s, sums);
    else if (lb_is_asked(nf->config, p, p->flags & NF_P_IPV6))
        nf_drop(nf, p, LB_FRAGMENT_UNKNOWN);
    else
        sums->other++;
}

/* `reply`: it is about a packet that went to a backend, from it or from a router before it: the client asked
 * the service. Else it is about one that went to a client, and it is the backend that must hear of it. */
static void lb_translate_error(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                               bool reply)
{
    bool ipv6 = p->flags & NF_P_IPV6;
    const struct lb_flow *flow = lb_flow_of(nf, s);
    struct nf_addr backend = lb_address(nf, flow, ipv6), from = nf_packet_from(p, ipv6);
    struct nf_addr to = nf_packet_to(p, ipv6);
    uint16_t port;
    struct nf_addr asked = lb_asked(nf, s, ipv6, &port);

    if (reply) {
        if (ipv6)
            nf_packet_set_inner_dst_ipv6(p, asked.byte, port);
        else
            nf_packet_set_inner_dst(p, nf_addr_ipv4(&asked), port);
        if (nf_addr_same(&from, &backend))
            lb_set_source(p, &asked, 0);
    } else {
        if (ipv6)
            nf_packet_set_inner_src_ipv6(p, backend.byte, flow->port);
        else
            nf_packet_set_inner_src(p, nf_addr_ipv4(&backend), flow->port);
        if (nf_addr_same(&to, &asked))
            lb_set_destination(p, &backend, 0);
    }
}

static void lb_error(const struct nf *nf, struct nf_packet *p, struct lb_sums *sums)
{
    bool reply;
    const struct nf_session *s = nf_session_quoted(nf, p, &reply);

    if (s && nf_session_has(nf, s)) {
        lb_translate_error(nf, p, s, reply);
        nf_count(nf, LB_ERRORS, 1);
    } else if (lb_is_asked(nf->config, p, p->flags & NF_P_IPV6)) {
        nf_drop(nf, p, LB_NO_FLOW);
    } else {
        sums->other++;
    }
}

static void lb_one(const struct nf *nf, struct nf_packet *p, uint64_t now, struct lb_sums *sums)
{
    const struct lb_config *config = nf->config;

    if (p->flags & NF_P_BAD)
        nf_drop(nf, p, LB_MALFORMED);
    else if (!(p->flags & NF_P_IPV4) && !(p->flags & NF_P_IPV6_READ && config->ipv6))
        sums->other++;
    else if (p->flags & NF_P_LATER)
        lb_later(nf, p, sums);
    else if (p->flags & NF_P_ICMP_ERROR)
        lb_error(nf, p, sums);
    else if (p->flags & NF_P_L4 && nf_proto_is_ported(p->proto))
        lb_flow_packet(nf, p, now, sums);
    else
        sums->other++;
}

static void lb_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct lb_sums sums = {0, 0, 0};

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (ft_unlikely(!(p->flow & NF_FLOW_SETTLED)))
            lb_one(nf, p, now, &sums);
        else if (nf_session_has(nf, p->session))
            lb_settled(nf, p, p->session, &sums);
        else
            sums.other++; /* its flow began without this NF */
    }
    if (sums.forwarded)
        nf_count(nf, LB_FORWARD, sums.forwarded);
    if (sums.returned)
        nf_count(nf, LB_RETURNED, sums.returned);
    if (sums.other)
        nf_count(nf, LB_OTHER, sums.other);
}

/* ---- showing ----------------------------------------------------------------------------------- */

static void lb_show_backends(struct nf_show *out, const struct nf_map *part)
{
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++) {
        const struct lb_backend *backend = nf_map_value(part, number);
        const struct lb_end *end = nf_map_key(part, number);

        nf_row(out);
        nf_row_addr(out, "backend", &end->addr, end->port);
        nf_row_text(out, "state", "%s", lb_state_names[backend->state % (LB_GONE + 1)]);
        nf_row_u64(out, "connections", backend->connections);
        nf_row_u64(out, "total", backend->total);
    }
}

static void lb_show_flow(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct lb_flow *flow = lb_flow_of(nf, s);
    struct nf_addr backend = lb_address(nf, flow, nf_session_sees_ipv6(nf, s));
    uint8_t proto = nf_session_proto(nf, s);

    nf_row(out);
    nf_row_proto(out, proto);
    nf_session_row_ends(nf, out, s, "client", "service");
    nf_row_addr(out, "to", &backend, flow->port);
    nf_row_text(out, "state", "%s", proto == NF_PROTO_TCP ? nf_tcp_state_name(nf_session_tcp(s)) : "open");
    nf_row_u64(out, "packets", flow->packets);
    nf_row_u64(out, "last_ns", s->seen);
}

/* Backends, then the flows of this lane. */
static bool lb_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct lb *lb = nf->state;

    if (*cursor == 0) {
        for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++)
            if (lb->backends[ipv6])
                lb_show_backends(out, nf_shared_map_part(lb->backends[ipv6], 0));
        *cursor = 1;
    }
    return nf_sessions_show(nf, 1, out, cursor, lb_show_flow);
}

/* A client's packets and the answers to it have its address in common, and no other: a backend's is not known
 * before it is chosen. So packets are dealt by the side that clients are on. */
static enum nf_scope lb_scope(const void *config)
{
    switch (((const struct lb_config *)config)->clients) {
    case NF_SIDES_INSIDE:
        return NF_OF_INSIDE;
    case NF_SIDES_OUTSIDE:
        return NF_OF_OUTSIDE;
    default:
        return NF_OF_CHAIN;
    }
}

/* ---- the module -------------------------------------------------------------------------------- */

static const char *const lb_policies[] = {"least_connections", "consistent", "random", NULL};
static const char *const lb_protos[] = {"tcp", "udp", "both", NULL};
static const struct nf_param lb_params[] = {
    NF_PARAM(struct lb_config, vip, NF_IPV4, NULL, "the service's address; 0.0.0.0: any",
             .marks = NF_PARAM_OWN),
    NF_NUMBER(struct lb_config, port, NF_U32, 0, 65535, "0", "its port; 0: any"),
    NF_ONE_OF(struct lb_config, proto, lb_protos, "tcp", "its protocol"),
    NF_PARAM(struct lb_config, backends, NF_STRING, "",
             "ADDRESS or ADDRESS:PORT, of IPv6 [ADDRESS]:PORT, with blanks or commas between them",
             .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct lb_config, policy, lb_policies, "least_connections", "who gets a new flow",
              .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct lb_config, clients, nf_sides_names, "outside", "where clients are"),
    NF_MAX_FLOWS_PARAM(struct lb_config, flows, "flows at most"),
    NF_MAX_FRAGMENTS_PARAM(struct lb_config, flows),
    NF_TCP_UDP_PARAMS(struct lb_config, flows),
    NF_PARAM_AT(struct lb_config, "vip6", vip6_text, NF_STRING, "",
                "the service's address of IPv6; \"::\": any", .marks = NF_PARAM_ADDED),
    {0},
};

static const struct nf_module lb_module = {
    .name = "load_balancer",
    .version = 2,
    .summary = "one service address, several backends",
    .reads = NF_READS_HEADERS,
    .params = lb_params,
    .config_size = sizeof(struct lb_config),
    .state_size = sizeof(struct lb),
    .counters = lb_counters,
    .check = lb_check,
    .shared = lb_shared,
    .make = lb_make,
    .scope = lb_scope,
    .process = lb_process,
    .timers = lb_timers,
    .show = lb_show,
    .set = lb_set,
    .clear = lb_clear,
    .check_state = lb_check_state,
    .session_size = sizeof(struct lb_flow),
    .ipv6 = lb_ipv6,
    .translates = NF_DESTINATION,
    .serves_outside = true,
    .fragments_full = LB_FRAGMENTS_FULL + 1,
    .conflict = LB_CONFLICT + 1,
    .flows = lb_flows,
    .session_end = lb_session_end,
    .expired = LB_EXPIRED + 1,
    .displaced = LB_DISPLACED + 1,
    .settings = "backends, backend.ADDRESS[:PORT]",
    .carry = lb_carry,
};
NF_MODULE(lb_module)
