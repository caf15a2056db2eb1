/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NAT's mappings: one per flow, (protocol, inside end, remote end) to an outside port, or ICMP
 * identifier, from a pool for each outside address and protocol.
 *
 * State, written by this instance alone: its slots in the chain's sessions, the pools.
 */
#ifndef NFS_NAT_SESSIONS_H
#define NFS_NAT_SESSIONS_H

#include "nfs/nat/nat_ports.h"

#define NAT_FORWARDS_MAX 64u

/* What comes to `port` of an outside address goes to `to`. Ports in network order. */
struct nat_forward {
    uint32_t outside, to;
    uint16_t port, to_port;
    uint8_t proto; /* TCP or UDP */
};

struct nat_config {
    struct nf_prefixes inside;
    struct nf_hosts outside;
    struct nf_range ports;
    struct nf_flows_config flows;
    uint32_t unsupported; /* enum nf_policy, or NAT_BY_ADDRESS */
    const char *forward;  /* its text; what follows is read from it by check */
    uint32_t forwards;
    struct nat_forward list[NAT_FORWARDS_MAX];
    bool hairpin, preserve_ports;
    uint32_t mapping, filtering; /* 1: endpoint-independent */
};
#define NAT_BY_ADDRESS 2u /* of `unsupported` */

/* In a session. One word. */
struct nat_flow {
    uint64_t packets : 37; /* both ways */
    uint64_t place : 3;    /* of its outside address in the list; of a session by `forward` 0 */
    uint64_t way : 8;      /* 0, NAT_WAY_OPENED, or of a hairpin the place in list[] + 1 */
    /* Outside, network order; 0: the protocol has none. Of a session by `forward` the place in list[]. */
    uint64_t port : 16;
};
#define NAT_WAY_OPENED 255u /* begun from outside at the port of an end inside: `filtering` let it */
#define NAT_WAY_TURNED 254u /* a hairpin to the port of another end inside, which its first key has */
_Static_assert(NAT_FORWARDS_MAX < NAT_WAY_TURNED, "a place + 1 is another value");

struct nat {
    struct nat_ports ports;
};

/* An end inside that has a port. */
struct nat_inside_end {
    uint32_t addr;
    struct nat_end rest;
};
static inline struct nat_ports_config nat_ports_of(const struct nat_config *config,
                                                   const struct nat_ports *ports)
{
    return (struct nat_ports_config){.outside = &config->outside,
                                     .first = config->ports.first,
                                     .last = config->ports.last,
                                     .end_bytes = sizeof(struct nat_inside_end),
                                     .by_end = config->mapping != 0,
                                     .preserve = config->preserve_ports,
                                     .ports = ports};
}

#define NAT_COUNTERS(X)                                                                                      \
    X(NAT_CREATED, "mappings_created")                                                                       \
    X(NAT_EXPIRED, "mappings_expired")                                                                       \
    X(NAT_DISPLACED, "mappings_displaced") /* a new one has its place, or its port */                        \
    X(NAT_OUTWARD, "translated_outward")                                                                     \
    X(NAT_INWARD, "translated_inward")                                                                       \
    X(NAT_ERRORS, "icmp_errors_translated")                                                                  \
    X(NAT_NOT_INSIDE, "not_inside") /* from inside, source not in `inside`: `unsupported` decides */         \
    X(NAT_NOT_OURS, "not_ours") /* passed as it is: from outside, not to an outside address, and answers;    \
                                   from inside to a network inside */                                        \
    X(NAT_OWN_ECHO, "own_echo") /* echo request to an outside address: passed, the chain answers it */       \
    X(NAT_IPV6, "ipv6")         /* of the other family: passed as it is */                                   \
    X(NAT_UNSUPPORTED, "unsupported") /* a protocol without ports, or no IP; dropped, but not what would     \
                                         leave as what it is, where `unsupported` is pass */                 \
    X(NAT_TO_INSIDE, "to_inside")     /* dropped, as all that follow; an answer to a host's own address */   \
    X(NAT_MALFORMED, "malformed")                                                                            \
    X(NAT_NO_MAPPING, "no_mapping")             /* nothing known that it could belong to */                  \
    X(NAT_WRONG_REMOTE, "wrong_remote")         /* to a mapped port, from somebody else */                   \
    X(NAT_HAIRPIN, "hairpin")                   /* from inside to an outside address, and not let */         \
    X(NAT_FRAGMENT_UNKNOWN, "fragment_unknown") /* later fragment, first one not seen */                     \
    X(NAT_FRAGMENTS_FULL, "fragments_full")     /* not dropped: the oldest datagram gave way */              \
    X(NAT_TABLE_FULL, "table_full")                                                                          \
    X(NAT_HOST_FULL, "host_full") /* its host has max_flows_per_host, open connections of TCP alone */       \
    X(NAT_CONFLICT, "conflict")   /* its answers would be those of another flow */                           \
    X(NAT_PORTS_EXHAUSTED, "ports_exhausted")                                                                \
    X(NAT_FORWARDED, "forwarded") /* not dropped: sessions that began from outside, and those of hairpins */
enum nat_counter { NAT_COUNTERS(NF_COUNTER) };

static inline const struct nat_flow *nat_flow_of(const struct nf *nf, const struct nf_session *s)
{
    return nf_session_slot(nf, s);
}
static inline bool nat_is_outside(const struct nf *nf, uint32_t addr)
{
    return nat_outside_has(&((const struct nat_config *)nf->config)->outside, addr);
}
/* The outside address of a flow that began inside. */
static inline uint32_t nat_outside(const struct nf *nf, const struct nat_flow *flow)
{
    return ((const struct nat_config *)nf->config)->outside.list[flow->place];
}
static inline struct nat_port nat_port_of(const struct nat_flow *flow)
{
    return (struct nat_port){flow->place, (uint16_t)flow->port};
}
/* A port outside (network order) that a mapping of this lane has. */
static inline bool nat_has_port(const struct nf *nf, uint8_t proto, uint32_t addr, uint16_t port)
{
    const struct nat_ports_config config = nat_ports_of(nf->config, nf->state);

    return nf_proto_has_ports(proto) && nat_ports_has(&config, proto, addr, port);
}

/* It began from outside. */
static inline bool nat_is_forwarded(const struct nf_session *s)
{
    return s->key[0].side == NF_OUTSIDE;
}

/* By what the session's host inside reaches another one inside, an entry of `forward` or like one. False: it
 * does not. */
bool nat_hairpin_of(const struct nf *nf, const struct nf_session *s, struct nat_forward *f);

/* Both ends of a session that are the NAT's to translate, network order. */
struct nat_ends {
    uint32_t inside, outside;
    uint16_t inside_port, outside_port;
};
struct nat_ends nat_ends_of(const struct nf *nf, const struct nf_session *s);
/* Of a session from inside to the port that another end inside has, that other end's port outside. */
static inline struct nat_port nat_turned_port(const struct nf *nf, const struct nf_session *s)
{
    const struct nat_config *config = nf->config;

    return (struct nat_port){nat_outside_place(&config->outside, s->key[0].daddr), s->key[0].dport};
}

/* "tcp/443=10.0.0.5:8443, udp/203.0.113.2:53=10.0.0.9:53"; FT_EINVAL. */
int nat_forwards_read(struct nat_config *config, struct ft_fault *fault);
/* That of a port outside, or of an end inside (`port` 0: any); NULL: there is none. */
const struct nat_forward *nat_forward_at(const struct nat_config *config, uint8_t proto, uint32_t addr,
                                         uint16_t port);
const struct nat_forward *nat_forward_to(const struct nat_config *config, uint8_t proto, uint32_t addr,
                                         uint16_t port);
/* A packet from inside to an outside address, not an echo request. True: translated. */
bool nat_hairpin(const struct nf *nf, struct nf_packet *p, bool later, uint64_t now);

/* A packet from outside that belongs to no session. True: `forward` or `filtering` lets it begin one, which
 * is *s, with its first packet counted; NULL: the packet was dropped. */
bool nat_begin(const struct nf *nf, struct nf_packet *p, uint64_t now, const struct nf_session **s);

/* There is room for the packet's flow; or it is dropped. */
static inline bool nat_has_room(const struct nf *nf, struct nf_packet *p)
{
    if (nf_session_room(nf, p))
        return true;
    nf_drop(nf, p, nf_session_host_full(nf, p) ? NAT_HOST_FULL : NAT_TABLE_FULL);
    return false;
}
/* A mapping for a packet from inside, its first packet counted, or the packet dropped and NULL. */
const struct nf_session *nat_create(const struct nf *nf, struct nf_packet *p, uint64_t now);

#endif
