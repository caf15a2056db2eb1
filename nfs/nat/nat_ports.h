/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports outside of a NAT and of a NAT64: a pool for each protocol, of numbers that all lanes share; one
 * number for each flow, or one for each end inside (RFC 4787, REQ-1), which all flows of that end share.
 * Written by the NF that has them, and read by who deals packets out.
 */
#ifndef NFS_NAT_PORTS_H
#define NFS_NAT_PORTS_H

#include "nflib/nf.h"

#include <arpa/inet.h>

#define NAT_CLEARED 1024u /* flows of a port that one command ends at most */
#define NAT_PROTOS  3u    /* TCP, UDP, ICMP echo */

/* Of the configuration. */
struct nat_ports_config {
    uint32_t first, last; /* ports, ICMP identifiers */
    uint32_t end_bytes;   /* of an end inside: its address, then port, protocol and a zero, as below */
    bool by_end;
};
/* What an end inside is behind its address; a word. */
struct nat_end {
    uint16_t port;
    uint8_t proto, zero;
};

/* In the region; constant. */
struct nat_ports {
    struct nf_shared_pool *pool[NAT_PROTOS]; /* of all lanes, with a cache of this one */
    struct nf_map *mappings;                 /* an end to its number; NULL: each flow has one of its own */
    uint32_t *slots;                         /* of mappings, by protocol and number */
};

static inline unsigned nat_proto(uint8_t proto)
{
    return proto == NF_PROTO_TCP ? 0 : proto == NF_PROTO_UDP ? 1 : 2;
}
static inline uint32_t nat_ports_count(const struct nat_ports_config *config)
{
    return config->last - config->first + 1;
}
/* A port outside (network order) that a flow of this lane has. `proto` has ports. */
static inline bool nat_ports_has(const struct nat_ports_config *config, const struct nat_ports *ports,
                                 uint8_t proto, uint16_t port)
{
    uint32_t n = ntohs(port);

    return n >= config->first && n <= config->last &&
           nf_shared_pool_has(ports->pool[nat_proto(proto)], n - config->first);
}
/* The lane that has given it out. False: none has. By any thread. */
static inline bool nat_ports_owner(const struct nat_ports_config *config, const struct nat_ports *ports,
                                   uint8_t proto, uint16_t port, unsigned *lane)
{
    *lane = nf_shared_pool_owner(ports->pool[nat_proto(proto)], ntohs(port) - config->first);
    return *lane != NF_NONE;
}

uint64_t nat_ports_bytes(const struct nat_ports_config *config);  /* of arena */
uint64_t nat_ports_shared(const struct nat_ports_config *config); /* of the shared one */
bool nat_ports_make(struct nf *nf, const struct nat_ports_config *config, struct nat_ports *ports);

/* A number of the pool for a session of an end inside, NF_NONE: exhausted; one more session for a number that
 * its end has; and back. */
uint32_t nat_ports_take(const struct nf *nf, const struct nat_ports_config *config,
                        const struct nat_ports *ports, const void *end);
void nat_ports_share(const struct nf *nf, const struct nat_ports_config *config,
                     const struct nat_ports *ports, uint8_t proto, uint32_t number);
void nat_ports_give(const struct nf *nf, const struct nat_ports_config *config, const struct nat_ports *ports,
                    uint8_t proto, uint32_t number);
/* The end that has a number, where ends have them. */
const void *nat_ports_end(const struct nat_ports_config *config, const struct nat_ports *ports, uint8_t proto,
                          uint32_t number);

/* "tcp/1024": a protocol and a port outside. False: it is none. */
bool nat_ports_read_key(const char *key, int *proto, uint16_t *port);

/* Of a state that came from a peer. sessions[]: how many have each number of each pool; those, and no others,
 * are taken. */
uint32_t *nat_ports_tally(struct nf_check *c, const struct nat_ports_config *config);
int nat_ports_check(struct nf_check *c, const struct nat_ports_config *config, const struct nat_ports *ports,
                    const uint32_t sessions[]);

#endif
