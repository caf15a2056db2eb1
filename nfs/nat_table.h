/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NAT's mappings: one per flow, (protocol, inside end, remote end) to an outside port, or ICMP
 * identifier, from a pool per protocol. The way back is a direct index by outside port.
 *
 * State, written by this instance alone: the flow map with everything a packet touches in one entry, the
 * indices, the pools.
 */
#ifndef NFS_NAT_TABLE_H
#define NFS_NAT_TABLE_H

#include "nflib/nf.h"

#include <arpa/inet.h>

#define NAT_PROTOS 3u /* TCP, UDP, ICMP echo */

struct nat_config {
    struct nf_prefixes inside;
    uint32_t outside;
    struct nf_range ports;
    struct nf_flows_config flows;
    uint32_t unsupported; /* enum nf_policy */
};

/* As the flow looks from inside. Network order; 16 bytes without padding. */
struct nat_key {
    uint32_t inside, remote;
    uint16_t iport, rport; /* ICMP echo: the identifier, 0 */
    uint8_t proto;
    uint8_t zero[3];
};

struct nat_flow {
    struct nf_flow flow;
    uint64_t packets; /* both ways */
    uint16_t port;    /* outside, network order */
};

struct nat {
    struct nf_flows flows;
    struct nf_shared_pool *pool[NAT_PROTOS]; /* of all lanes, with a cache of this one */
    uint32_t *index[NAT_PROTOS];             /* [port - first]: slot + 1, 0: no mapping */
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
    return nf_map_key(nat->flows.map, slot);
}
static inline const struct nat_flow *nat_flow_of(const struct nat *nat, uint32_t slot)
{
    return nf_map_value(nat->flows.map, slot);
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
