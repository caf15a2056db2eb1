/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses and ports outside of a NAT and of a NAT64. A host inside has one of the addresses, by a hash
 * of its own (RFC 4787, REQ-2: paired). Of each address a pool of numbers for each protocol, that all lanes
 * share; one number for each flow, or one for each end inside (REQ-1), which all flows of that end share.
 * Numbers begin at 0 with the first address's first port; those of the second address come behind its last
 * one. Written by the NF that has them, and read by who deals packets out.
 */
#ifndef NFS_NAT_PORTS_H
#define NFS_NAT_PORTS_H

#include "nflib/nf.h"

#include <arpa/inet.h>

#define NAT_PROTOS 3u /* TCP, UDP, ICMP echo */

/* Of the configuration. */
struct nat_ports_config {
    const struct nf_hosts *outside;
    uint32_t first, last; /* ports, ICMP identifiers */
    uint32_t end_bytes;   /* of an end inside: its address, then port, protocol and a zero, as below */
    bool by_end;
    bool preserve;                 /* an end has its own port, where that is free */
    const struct nat_ports *ports; /* that are made by it; NULL: not yet */
};
/* What an end inside is behind its address; a word. */
struct nat_end {
    uint16_t port;
    uint8_t proto, zero;
};

/* In the region; constant. */
struct nat_ports {
    struct nf_shared_pool *pool[NAT_PROTOS]; /* of all lanes, with a cache of this one; the first address's */
    struct nf_map *mappings;                 /* an end to its number; NULL: each flow has one of its own */
    uint32_t *slots;                         /* of mappings, by protocol and number */
    struct nf_shared_pool *(*further)[NAT_PROTOS]; /* of the second address and those behind it; NULL: none */
};

/* A port, of which address: its place in the list. And what `clear` names. */
struct nat_port {
    uint32_t place;
    uint16_t port; /* network order */
};
_Static_assert(NF_HOSTS_MAX <= 8, "a place has three bits in a session's word");
struct nat_key {
    uint32_t addr; /* 0: any */
    uint16_t port;
    uint8_t proto;
};

static inline unsigned nat_proto(uint8_t proto)
{
    return proto == NF_PROTO_TCP ? 0 : proto == NF_PROTO_UDP ? 1 : 2;
}
/* Of one address; and of all. */
static inline uint32_t nat_ports_count(const struct nat_ports_config *config)
{
    return config->last - config->first + 1;
}
static inline uint32_t nat_ports_all(const struct nat_ports_config *config)
{
    return config->outside->count * nat_ports_count(config);
}
/* `proto` is a number of nat_proto's, `place` an address's in the list. */
static inline struct nf_shared_pool *nat_ports_pool(const struct nat_ports *ports, unsigned proto,
                                                    uint32_t place)
{
    return place ? ports->further[place - 1][proto] : ports->pool[proto];
}
/* Where in the list an address is; NF_NONE: it is none outside. */
static inline uint32_t nat_outside_place(const struct nf_hosts *outside, uint32_t addr)
{
    for (uint32_t i = 0; i < outside->count; i++)
        if (outside->list[i] == addr)
            return i;
    return NF_NONE;
}
static inline bool nat_outside_has(const struct nf_hosts *outside, uint32_t addr)
{
    return nat_outside_place(outside, addr) != NF_NONE;
}
int nat_outside_check(const struct nf_hosts *outside, struct ft_fault *fault); /* FT_EINVAL */

static inline uint32_t nat_ports_number(const struct nat_ports_config *config, struct nat_port port)
{
    return port.place * nat_ports_count(config) + ntohs(port.port) - config->first;
}
static inline struct nat_port nat_ports_port(const struct nat_ports_config *config, uint32_t number)
{
    uint32_t count = nat_ports_count(config);

    return (struct nat_port){number / count, htons((uint16_t)(config->first + number % count))};
}
/* A port (network order) of an address that a flow of this lane has. `proto` has ports. */
static inline bool nat_ports_has(const struct nat_ports_config *config, uint8_t proto, uint32_t addr,
                                 uint16_t port)
{
    uint32_t n = ntohs(port), place = nat_outside_place(config->outside, addr);

    return place != NF_NONE && n >= config->first && n <= config->last &&
           nf_shared_pool_has(nat_ports_pool(config->ports, nat_proto(proto), place), n - config->first);
}
/* The lane that has given it out. False: none has. By any thread. */
static inline bool nat_ports_owner(const struct nat_ports_config *config, uint8_t proto, uint32_t addr,
                                   uint16_t port, unsigned *lane)
{
    uint32_t place = nat_outside_place(config->outside, addr);

    if (place == NF_NONE)
        return false;
    *lane = nf_shared_pool_owner(nat_ports_pool(config->ports, nat_proto(proto), place),
                                 ntohs(port) - config->first);
    return *lane != NF_NONE;
}

/* A host's flows are limited by those of all, or an address's ports if that is less. */
static inline void nat_ports_limit(const struct nat_ports_config *config, struct nf_flows_config *flows)
{
    uint32_t least = flows->max_flows < nat_ports_count(config) ? flows->max_flows : nat_ports_count(config);

    nf_flows_limit_host(flows, least);
}

uint64_t nat_ports_bytes(const struct nat_ports_config *config);  /* of arena */
uint64_t nat_ports_shared(const struct nat_ports_config *config); /* of the shared one */
bool nat_ports_make(struct nf *nf, const struct nat_ports_config *config, struct nat_ports *ports);

/* What sessions are asked whether they free: a number that this end may have. A session of a host inside is
 * asked for its own number. */
struct nat_ports_wanted {
    const struct nat_ports_config *config;
    const void *end;
};
enum nf_session_frees nat_ports_frees(const struct nat_ports_wanted *wanted, uint8_t proto, uint32_t number);
/* A number of the end's address for a session that the packet of an end inside begins: where none is free,
 * another session that has one gives way: `frees` finds it by nat_ports_frees. NF_NONE: that address has none
 * left. One more session for a number that its end has; and back. */
uint32_t nat_ports_take(const struct nf *nf, const struct nf_packet *p, const struct nat_ports_wanted *wanted,
                        enum nf_session_frees (*frees)(const struct nf *nf, const struct nf_session *s,
                                                       const void *wanted),
                        uint64_t now);
void nat_ports_share(const struct nf *nf, const struct nat_ports_config *config, uint8_t proto,
                     uint32_t number);
void nat_ports_give(const struct nf *nf, const struct nat_ports_config *config, uint8_t proto,
                    uint32_t number);
/* The end that has a number, where ends have them. */
const void *nat_ports_end(const struct nat_ports_config *config, uint8_t proto, uint32_t number);

/* The place in the list of the outside address that a host inside has. `addr`: its own, of 4 or 16 bytes. */
uint32_t nat_outside_of(const struct nf_hosts *outside, const void *addr, uint32_t bytes);

/* `clear`: all mappings end, or those of "tcp/1024" or "tcp/203.0.113.1:1024", as `has` finds for a session.
 * A flow without its mapping ends for all NFs. */
int nat_ports_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault,
                    bool (*has)(const struct nf *nf, const struct nf_session *s, const struct nat_key *key));

/* Of a state that came from a peer: each session is what `check` expects, which counts the port of one that
 * has one in sessions[] by nat_ports_check_port; and those ports are this lane's, and no others. */
int nat_ports_check(const struct nf *nf, struct nf_check *c, const struct nat_ports_config *config,
                    int (*check)(const struct nf *nf, struct nf_check *c, const struct nf_session *s,
                                 uint32_t at, uint32_t sessions[]));
int nat_ports_check_port(struct nf_check *c, const struct nat_ports_config *config, uint32_t at,
                         uint8_t proto, struct nat_port port, uint32_t sessions[]);

#endif
