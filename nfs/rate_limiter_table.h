/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate limiter's clients and connections.
 *
 * State: clients, shared by all lanes, in shards by address: what is left of their rates and how many
 * connections they have. Of this instance: the connections whose packets come to this lane, and a wheel, for
 * connections first, then for the clients that this lane saw first.
 */
#ifndef NFS_RATE_LIMITER_TABLE_H
#define NFS_RATE_LIMITER_TABLE_H

#include "nflib/nf.h"

#include <string.h>

#define RL_FRAME_BITS (9216u * 8) /* the largest frame: a lesser burst would never let it pass */

struct rl_config {
    uint64_t pps, bps, burst_packets, burst_bits;
    uint32_t max_connections;
    uint32_t max_clients;
    uint32_t clients; /* enum nf_sides */
    uint32_t timeout; /* seconds: of an idle client */
    uint32_t ipv6;    /* bits of a client's prefix; 0: IPv6 is not limited */
    struct nf_flows_config flows;
};

struct rl_client {
    struct nf_bucket packets, bits;
    uint64_t seen; /* chain time of the last packet or of the last connection's end */
    uint64_t connections;
};

/* In a session, which is a connection of the client's. */
struct rl_conn {
    /* Its address, as this NF saw it in the packet that opened the connection. Where IPv6 is limited, its
     * number in the table, which it keeps as long as it has connections. */
    uint32_t client;
};

struct rl {
    struct nf_shared_map *clients;
    struct nf_wheel *idle; /* clients that this lane saw first, number shard * part + slot */
    uint32_t part;         /* clients of a shard */
    uint32_t timeout;
    /* Live settings. 0: no limit. */
    struct nf_rate packets, bits;
    uint64_t max_connections;
};

/* The counters, with their names. */
#define RL_COUNTERS(X)                                                                                       \
    X(RL_PASSED, "passed")                                                                                   \
    X(RL_CLIENTS_NEW, "clients_new")                                                                         \
    X(RL_CLIENTS_EXPIRED, "clients_expired")                                                                 \
    X(RL_CONNECTIONS_NEW, "connections_new")                                                                 \
    X(RL_CONNECTIONS_EXPIRED, "connections_expired")                                                         \
    X(RL_CONNECTIONS_DISPLACED, "connections_displaced") /* a new one has its place in a full table */       \
    X(RL_OVER_PACKETS, "over_packets")                   /* dropped, as all that follow */                   \
    X(RL_OVER_BITS, "over_bits")                                                                             \
    X(RL_OVER_CONNECTIONS, "over_connections")                                                               \
    X(RL_CLIENTS_FULL, "clients_full")                                                                       \
    X(RL_FLOWS_FULL, "flows_full")                                                                           \
    X(RL_MALFORMED, "malformed")
enum rl_counter { RL_COUNTERS(NF_COUNTER) };

uint64_t rl_arena(const void *config);
uint64_t rl_shared(const void *config, unsigned lanes);
bool rl_make(struct nf *nf);
bool rl_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault);

/* A client's key in the table: an address of IPv4 where IPv6 is not limited; else a prefix of IPv6, or an
 * address of IPv4 as ::ffff:A.B.C.D. */
#define RL_KEY_BYTES 16u
static inline uint32_t rl_key_bytes(const struct rl_config *config)
{
    return config->ipv6 ? RL_KEY_BYTES : sizeof(uint32_t);
}
void rl_key(const struct rl_config *config, const struct nf_addr *source, uint8_t key[RL_KEY_BYTES]);

/* Takes the packet off its client's rates, with one more connection when `opens`; *client gets what a
 * connection keeps of it. RL_PASSED, or the counter of the reason why not, and nothing is taken. */
enum rl_counter rl_admit(const struct nf *nf, const struct nf_packet *p, bool opens, uint64_t now,
                         uint32_t *client);

/* Of the module. */
void rl_flows(const void *config, struct nf_flows_config *flows);
void rl_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now);
bool rl_session_idle(const struct nf *nf);
void rl_timers(struct nf *nf, uint64_t now);
int rl_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
int rl_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);
int rl_check_state(const struct nf *nf, struct nf_check *c);

#endif
