/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load balancer's packets of IPv6: as load_balancer.c does those of IPv4, with addresses of 16 bytes. No
 * state of its own.
 */
#include "nfs/load_balancer_table.h"

#include <string.h>

static bool is_any(const struct lb_config *config)
{
    static const uint8_t any[16];
    return memcmp(config->vip6, any, 16) == 0;
}

/* By address alone, as of IPv4. */
static bool is_to_vip(const struct lb_config *config, const struct nf_packet *p)
{
    return memcmp(config->vip6, nf_packet_ipv6_addresses(p) + 16, 16) == 0;
}

static bool is_service(const struct lb_config *config, const struct nf_packet *p)
{
    return lb_serves(config, p) && (is_any(config) || is_to_vip(config, p));
}

static void to_backend(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    const struct lb_flow *flow = lb_flow_of(nf, s);

    nf_packet_set_destination_ipv6(p, lb_address_ipv6(nf, flow), flow->backend.port);
    nf_count(nf, LB_FORWARD, 1);
}

static void to_client(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    struct nf_addresses addresses;
    struct nf_tuple ends;

    nf_session_view(nf, s, &ends);
    nf_session_view_ipv6(nf, s, &addresses);
    nf_packet_set_source_ipv6(p, addresses.destination, ends.dport);
    nf_count(nf, LB_RETURNED, 1);
}

/* A packet with ports, or a later fragment, which has the address alone changed, of a flow. */
static void known(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    NF_SESSION_EDIT(nf, s, struct lb_flow)->packets++;
    if (p->flow & NF_FLOW_REPLY)
        to_client(nf, p, s);
    else
        to_backend(nf, p, s);
}

static void flow_packet(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct lb_config *config = nf->config;
    const struct nf_session *s = nf_session_mine(nf, p);

    if (s)
        known(nf, p, s);
    else if (!nf_sides_has(config->clients, p) || !is_service(config, p) ||
             (p->session && !(nf_session_flags(p->session) & NF_SESSION_NEW)))
        nf_count(nf, LB_OTHER, 1); /* or of a flow that is known, and not balanced */
    else if ((s = lb_create(nf, p, now)))
        to_backend(nf, p, s);
}

static void later(const struct nf *nf, struct nf_packet *p)
{
    const struct lb_config *config = nf->config;
    const struct nf_session *s = nf_session_mine(nf, p);

    if (s && nf_session_later(nf, p))
        known(nf, p, s);
    else if (nf_sides_has(config->clients, p) && !is_any(config) && is_to_vip(config, p))
        nf_drop(nf, p, LB_FRAGMENT_UNKNOWN);
    else
        nf_count(nf, LB_OTHER, 1);
}

/* `reply`: it is about a packet that went to a backend, from it or from a router before it: the client asked
 * the service. Else it is about one that went to a client, and it is the backend that must hear of it. */
static void translate_error(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, bool reply)
{
    const struct lb_flow *flow = lb_flow_of(nf, s);
    const uint8_t *backend = lb_address_ipv6(nf, flow), *ends = nf_packet_ipv6_addresses(p);
    struct nf_addresses addresses;
    struct nf_tuple tuple;

    nf_session_view(nf, s, &tuple);
    nf_session_view_ipv6(nf, s, &addresses);
    if (reply) {
        nf_packet_set_inner_dst_ipv6(p, addresses.destination, tuple.dport);
        if (memcmp(ends, backend, 16) == 0)
            nf_packet_set_source_ipv6(p, addresses.destination, 0);
    } else {
        nf_packet_set_inner_src_ipv6(p, backend, flow->backend.port);
        if (memcmp(ends + 16, addresses.destination, 16) == 0)
            nf_packet_set_destination_ipv6(p, backend, 0);
    }
}

static void error(const struct nf *nf, struct nf_packet *p)
{
    const struct lb_config *config = nf->config;
    bool reply;
    const struct nf_session *s = nf_session_quoted(nf, p, &reply);

    if (s && nf_session_has(nf, s)) {
        translate_error(nf, p, s, reply);
        nf_count(nf, LB_ERRORS, 1);
    } else if (nf_sides_has(config->clients, p) && !is_any(config) && is_to_vip(config, p)) {
        nf_drop(nf, p, LB_NO_FLOW);
    } else {
        nf_count(nf, LB_OTHER, 1);
    }
}

void lb_one_ipv6(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    if (p->flags & NF_P_LATER)
        later(nf, p);
    else if (p->flags & NF_P_ICMP_ERROR)
        error(nf, p);
    else if (nf_packet_has_ends_ipv6(p) && p->proto != NF_PROTO_ICMPV6)
        flow_packet(nf, p, now);
    else
        nf_count(nf, LB_OTHER, 1);
}
