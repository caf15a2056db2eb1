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

#define NAT_PROTOS 3u /* TCP, UDP, ICMP echo */

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

/* `clear`: all mappings end, or those of "tcp/1024", a protocol and a port outside, which `has` says of a
 * session. A flow without its mapping is nobody's: it ends for all NFs. */
int nat_ports_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault,
                    bool (*has)(const struct nf *nf, const struct nf_session *s, uint8_t proto,
                                uint16_t port));

/* Of a state that came from a peer: each session is what `check` expects, which counts the port of one that
 * has one in sessions[] by nat_ports_check_port; and those ports are this lane's, and no others. */
int nat_ports_check(const struct nf *nf, struct nf_check *c, const struct nat_ports_config *config,
                    const struct nat_ports *ports,
                    int (*check)(const struct nf *nf, struct nf_check *c, const struct nf_session *s,
                                 uint32_t at, uint32_t sessions[]));
int nat_ports_check_port(struct nf_check *c, const struct nat_ports_config *config, uint32_t at,
                         uint8_t proto, uint16_t port, uint32_t sessions[]);

#endif
