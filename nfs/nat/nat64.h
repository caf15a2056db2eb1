/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of nat64, its counters, and its part of a session.
 *
 * State, written by this instance alone: its slots in the chain's sessions, the pools of ports.
 */
#ifndef NFS_NAT64_H
#define NFS_NAT64_H

#include "nfs/nat/nat64_headers.h"
#include "nfs/nat/nat_ports.h"

struct nat64_config {
    const char *prefix_text;
    uint8_t prefix[NAT64_PREFIX]; /* read by check, from that */
    struct nf_hosts outside;
    struct nf_range ports;
    struct nf_flows_config flows;
    uint32_t mapping; /* 1: endpoint-independent */
    bool preserve_ports;
};

/* In a session. One word. */
struct nat64_flow {
    uint64_t packets : 45; /* both ways */
    uint64_t place : 3;    /* of its outside address in the list */
    uint64_t port : 16;    /* outside, network order */
};

struct nat64 {
    struct nat_ports ports;  /* constant */
    uint64_t identification; /* of the last packet of IPv4 that may be fragmented on its way */
};

#define NAT64_COUNTERS(X)                                                                                    \
    X(NAT64_CREATED, "mappings_created")                                                                     \
    X(NAT64_EXPIRED, "mappings_expired")                                                                     \
    X(NAT64_DISPLACED, "mappings_displaced") /* a new one has its place, or its port */                      \
    X(NAT64_OUTWARD, "translated_outward")                                                                   \
    X(NAT64_INWARD, "translated_inward")                                                                     \
    X(NAT64_ERRORS, "icmp_errors_translated")                                                                \
    X(NAT64_NOT_OURS, "not_ours") /* to no address of the prefix, nor to an outside one: passed */           \
    X(NAT64_OWN_ECHO, "own_echo") /* echo request to an outside address: passed, the chain answers it */     \
    X(NAT64_UNSUPPORTED, "unsupported") /* dropped, as all that follow; another protocol, or ICMP that has   \
                                           no other form */                                                  \
    X(NAT64_MALFORMED, "malformed")                                                                          \
    X(NAT64_MARTIAN, "martian")                   /* from the prefix, or to an address of no host in it */   \
    X(NAT64_NO_MAPPING, "no_mapping")             /* nothing known that it could belong to */                \
    X(NAT64_WRONG_REMOTE, "wrong_remote")         /* to a mapped port, from somebody else */                 \
    X(NAT64_HAIRPIN, "hairpin")                   /* from inside to an outside address */                    \
    X(NAT64_FRAGMENT_UNKNOWN, "fragment_unknown") /* later fragment, first one not seen */                   \
    X(NAT64_FRAGMENTS_FULL, "fragments_full")     /* not dropped: the oldest datagram gave way */            \
    X(NAT64_FRAGMENTED_ICMP, "fragmented_icmp")   /* its checksum is of all fragments together */            \
    X(NAT64_NO_CHECKSUM, "udp_without_checksum")  /* the first fragment of such a datagram */                \
    X(NAT64_SOURCE_ROUTE, "source_route")         /* a source route, or routing header, with hops left */    \
    X(NAT64_TOO_LONG, "too_long")                 /* longer in IPv6 than a frame may be */                   \
    X(NAT64_TABLE_FULL, "table_full")                                                                        \
    X(NAT64_HOST_FULL, "host_full") /* its host has max_flows_per_host, open connections of TCP alone */     \
    X(NAT64_CONFLICT, "conflict")   /* its answers would be those of another flow */                         \
    X(NAT64_PORTS_EXHAUSTED, "ports_exhausted")
enum nat64_counter { NAT64_COUNTERS(NF_COUNTER) };

static inline const struct nat64_flow *nat64_flow_of(const struct nf *nf, const struct nf_session *s)
{
    return nf_session_slot(nf, s);
}
static inline uint32_t nat64_outside(const struct nf *nf, const struct nat64_flow *flow)
{
    return ((const struct nat64_config *)nf->config)->outside.list[flow->place];
}
/* An address of IPv6 is one of the prefix. */
static inline bool nat64_is_ours(const struct nat64_config *config, const uint8_t addr[16])
{
    return memcmp(addr, config->prefix, NAT64_PREFIX) == 0;
}

#endif
