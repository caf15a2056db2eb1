/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NAT's mappings: one per flow, (protocol, inside end, remote end) to an outside port, or ICMP
 * identifier, from a pool per protocol. The way back is a direct index by outside port.
 *
 * State, written by this instance alone: the flow map with everything a packet touches in one entry, the
 * indices, the pools, the fragment table, one wheel for both (flows first, then fragments), the timeouts.
 */
#ifndef NFS_NAT_TABLE_H
#define NFS_NAT_TABLE_H

#include "nflib/net/flow.h"
#include "nflib/net/fragment.h"
#include "nflib/nf.h"
#include "nflib/shared/shared.h"
#include "nflib/net/tcp.h"

#include <arpa/inet.h>

#define NAT_PROTOS 3u /* TCP, UDP, ICMP echo */

struct nat_config {
    struct nf_prefixes inside;
    uint32_t outside;
    struct nf_range ports;
    uint32_t max_flows, max_fragments;
    uint32_t timeouts[NF_TIMEOUT_COUNT]; /* "other" stays 0: there is no such mapping */
    uint32_t unsupported;
};

enum { NAT_DROP, NAT_PASS }; /* choices of `unsupported` */

/* As the flow looks from inside. Network order; 16 bytes without padding. */
struct nat_key {
    uint32_t inside, remote;
    uint16_t iport, rport; /* ICMP echo: the identifier, 0 */
    uint8_t proto;
    uint8_t zero[3];
};

struct nat_flow {
    uint64_t seen;    /* chain time of the last packet */
    uint64_t packets; /* both ways */
    uint16_t port;    /* outside, network order */
    uint8_t tcp;      /* enum nf_tcp_state */
    uint8_t class;    /* enum nf_timeout that the timer was last set for */
    uint32_t zero;
};

struct nat {
    struct nf_map *flows;
    struct nf_wheel *wheel;
    struct nf_fragments *fragments;
    struct nf_shared_pool *pool[NAT_PROTOS]; /* of all lanes, with a cache of this one */
    uint32_t *index[NAT_PROTOS];             /* [port - first]: slot + 1, 0: no mapping */
    uint32_t timeouts[NF_TIMEOUT_COUNT];
};

enum nat_counter {
    NAT_CREATED,
    NAT_EXPIRED,
    NAT_OUTWARD,
    NAT_INWARD,
    NAT_ERRORS,
    NAT_NOT_INSIDE,
    NAT_NOT_OURS,
    NAT_OWN_ECHO,
    NAT_UNSUPPORTED,
    NAT_MALFORMED,
    NAT_NO_MAPPING,
    NAT_WRONG_REMOTE,
    NAT_HAIRPIN,
    NAT_FRAGMENT_UNKNOWN,
    NAT_FRAGMENTS_FULL,
    NAT_TABLE_FULL,
    NAT_PORTS_EXHAUSTED,
};

static inline const struct nat_key *nat_key_of(const struct nat *nat, uint32_t slot)
{
    return nf_map_key(nat->flows, slot);
}
static inline const struct nat_flow *nat_flow_of(const struct nat *nat, uint32_t slot)
{
    return nf_map_value(nat->flows, slot);
}
static inline unsigned nat_proto(uint8_t proto)
{
    return proto == NF_PROTO_TCP ? 0 : proto == NF_PROTO_UDP ? 1 : 2;
}
static inline struct nat_key nat_key(uint8_t proto, uint32_t inside, uint16_t iport, uint32_t remote,
                                     uint16_t rport)
{
    if (proto == NF_PROTO_ICMP)
        rport = 0;
    struct nat_key key;
    nf_flow_key_write(&key, inside, remote, iport, rport, proto);
    return key;
}
/* Slot of an outside port (network order), or NF_NONE. */
static inline uint32_t nat_by_port(const struct nf *nf, uint8_t proto, uint16_t port)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    uint32_t n = ntohs(port);
    if (n < config->ports.first || n > config->ports.last)
        return NF_NONE;
    return nat->index[nat_proto(proto)][n - config->ports.first] - 1; /* 0 - 1 is NF_NONE */
}

uint64_t nat_arena(const void *config);
uint64_t nat_shared(const void *config, unsigned lanes);
int nat_make(struct nf *nf, struct ft_fault *fault);

/* A mapping for a packet from inside, its first packet counted, or the packet dropped and NF_NONE. */
uint32_t nat_create(const struct nf *nf, struct nf_packet *p, const struct nat_key *key, uint64_t now);
/* One more packet of a mapping. */
void nat_touch(const struct nf *nf, const struct nf_packet *p, uint32_t slot, uint64_t now);

/* Of the module. */
void nat_timers(struct nf *nf, uint64_t now);
int nat_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
int nat_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);

#endif
