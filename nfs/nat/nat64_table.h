/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of nat64 share: its configuration, its part of a session, and the calls between packets
 * (nat64.c), mappings (nat64_table.c), headers (nat64_headers.c) and ICMP errors (nat64_errors.c).
 *
 * State, written by this instance alone: its slots in the chain's sessions, the pools of ports.
 */
#ifndef NFS_NAT64_TABLE_H
#define NFS_NAT64_TABLE_H

#include "nfs/nat/nat_ports.h"

#include <string.h>

#define NAT64_PREFIX 12u /* bytes of the prefix; the other four are an address of IPv4 (RFC 6052, 2.2) */

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

/* An end inside that has a port. */
struct nat64_inside_end {
    uint8_t addr[16];
    struct nat_end rest;
};

/* The counters, with their names. */
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

static inline struct nat_ports_config nat64_ports_of(const struct nat64_config *config)
{
    return (struct nat_ports_config){.outside = &config->outside,
                                     .first = config->ports.first,
                                     .last = config->ports.last,
                                     .end_bytes = sizeof(struct nat64_inside_end),
                                     .by_end = config->mapping != 0,
                                     .preserve = config->preserve_ports};
}
static inline const struct nat64_flow *nat64_flow_of(const struct nf *nf, const struct nf_session *s)
{
    return nf_session_slot(nf, s);
}
static inline uint32_t nat64_outside(const struct nf *nf, const struct nat64_flow *flow)
{
    return ((const struct nat64_config *)nf->config)->outside.list[flow->place];
}
static inline struct nat_port nat64_port_of(const struct nat64_flow *flow)
{
    return (struct nat_port){flow->place, (uint16_t)flow->port};
}
/* An address of IPv6 is one of the prefix. */
static inline bool nat64_is_ours(const struct nat64_config *config, const uint8_t addr[16])
{
    return memcmp(addr, config->prefix, NAT64_PREFIX) == 0;
}
/* The address of IPv4 in one of the prefix, and back. */
static inline uint32_t nat64_embedded(const uint8_t addr[16])
{
    uint32_t v;

    memcpy(&v, addr + NAT64_PREFIX, sizeof(v));
    return v;
}
static inline void nat64_embed(const struct nat64_config *config, uint32_t addr, uint8_t out[16])
{
    memcpy(out, config->prefix, NAT64_PREFIX);
    memcpy(out + NAT64_PREFIX, &addr, sizeof(addr));
}

/* ---- nat64_headers.c ---- */

/* The ends of a packet as it is to be: addresses, and the port, or identifier, that changes. */
struct nat64_ends4 {
    uint32_t saddr, daddr;
    uint16_t port; /* of the source; of a quoted packet of the destination */
};
struct nat64_ends6 {
    struct nf_addresses addresses;
    uint16_t port; /* of the destination; of a quoted packet of the source */
};

/* The packet is of the other family, with all checksums; it is a flow's, or a later fragment. `id`: where the
 * packet may be fragmented on its way and has none yet. False: it would be longer than a frame may be. */
void nat64_to_ipv4(struct nf_packet *p, const struct nat64_ends4 *ends, uint16_t id);
bool nat64_to_ipv6(struct nf_packet *p, const struct nat64_ends6 *ends);
/* A packet of IPv4 of so many bytes, with its header, that is no fragment: whether it may be fragmented on
 * its way (RFC 7915, 5.1), and so needs an identification. */
static inline bool nat64_may_fragment(uint32_t bytes)
{
    return bytes <= 1260;
}
/* It has a source route (IPv4) or a routing header (IPv6) with hops left. */
bool nat64_is_source_routed(const struct nf_packet *p);

/* What the errors need of that. Headers of a packet of n bytes behind it; `frag`: flags and offset. */
struct nat64_header {
    uint8_t class, limit, proto; /* proto: as in the header that is written */
    uint16_t id, frag;
    uint32_t n;
};
/* Its `frag` and `id`, from the fragment header of a packet of IPv6, whose upper layer's header is `l4` bytes
 * behind `ip`; of one without, by its `n`. */
void nat64_read_fragment(const uint8_t *ip, uint32_t l4, struct nat64_header *h);
void nat64_write_ipv4(uint8_t *ip, const struct nat64_header *h, uint32_t saddr, uint32_t daddr);
void nat64_write_ipv6(uint8_t *ip, const struct nat64_header *h, const struct nf_addresses *addresses);
/* Moves the head of the frame, which is as long as l3 says, so that a header of IPv6, or of IPv4, has room
 * behind it and ends at `end` in the frame; where it begins. And reads the packet again. */
uint8_t *nat64_move_head(struct nf_packet *p, uint32_t end, bool ipv6);
void nat64_parse(struct nf_packet *p);
/* The sum of n bytes, an even number; and the checksum after a part of what it covers has another one. */
uint32_t nat64_sum(const void *bytes, uint32_t n);
uint16_t nat64_adjust(uint16_t checksum, uint32_t was, uint32_t is);
/* Of the words of the pseudo header that ICMPv6 has (RFC 8200, 8.1), and ICMP has not. */
uint32_t nat64_pseudo(const struct nf_addresses *addresses, uint32_t n);
/* Ports and checksum at l4, or type, identifier and checksum of an echo, of n bytes there, with `change` as
 * the words of the pseudo header that were and are. `port_at`: 0 or 2. */
struct nat64_change {
    uint32_t was, is;
};
void nat64_put_l4(uint8_t *l4, uint32_t n, uint8_t proto, uint32_t port_at, uint16_t port,
                  const struct nat64_change *change);

/* ---- nat64_errors.c ---- */
void nat64_error(const struct nf *nf, struct nf_packet *p); /* translates and counts it, or drops it */

/* ---- nat64_table.c ---- */
uint64_t nat64_arena(const void *config);
uint64_t nat64_shared(const void *config, unsigned lanes);
bool nat64_make(struct nf *nf);
/* A mapping for a packet from inside, its first packet counted, or the packet dropped and NULL. */
const struct nf_session *nat64_create(const struct nf *nf, struct nf_packet *p, uint64_t now);
/* Of a packet from outside that belongs to nothing: whether its port is mapped. */
enum nat64_counter nat64_reason(const struct nf *nf, uint8_t proto, uint32_t addr, uint16_t port);
uint16_t nat64_next_id(const struct nf *nf);
void nat64_flows(const void *config, struct nf_flows_config *flows);
enum nf_scope nat64_scope(const void *config);
bool nat64_owner(const struct nf *nf, const struct nf_packet *p, unsigned *lane);
void nat64_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now);
int nat64_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);
int nat64_check_state(const struct nf *nf, struct nf_check *c);

#endif
