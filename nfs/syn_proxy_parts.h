/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of syn_proxy share: its configuration, what it keeps of a connection, what it counts, and
 * the two directions. syn_proxy.c has the module, syn_proxy_conn.c the directions.
 */
#ifndef NFS_SYN_PROXY_PARTS_H
#define NFS_SYN_PROXY_PARTS_H

#include "nfs/syn_proxy_cookie.h"
#include "nfs/syn_proxy_frames.h"

struct sp_config {
    struct nf_networks servers;
    struct nf_range ports;
    uint32_t clients, mss;
    struct nf_flows_config flows;
};

enum sp_state {
    SP_OPENING, /* the server has not answered yet */
    SP_OPEN,
    SP_PASSED, /* begun by the server's end: nothing is changed */
    SP_STALE,  /* opening; the server knows another connection of these ends, which is to be reset */
    SP_STATES
};
enum sp_end { SP_CLIENT, SP_SERVER };

/* In a session. Of an open connection all numbers but `moved` are as the client sees them. */
struct sp_conn {
    uint32_t isn, cookie; /* sequence numbers of the client's SYN and of our SYN-ACK */
    uint32_t moved;       /* open: the client's view of the server's numbers, less those; stale: what the
                             server acknowledges */
    uint32_t acked[2];    /* by enum sp_end, what it has acknowledged, or up to SP_LAG less */
    uint16_t mss;         /* that the server is told */
    uint16_t state;       /* enum sp_state */
};

struct sp {
    struct sp_secrets secrets;
};

#define SP_COUNTERS(X)                                                                                       \
    X(SP_ANSWERED, "answered")     /* dropped: SYNs that were answered with a cookie */                      \
    X(SP_OPENED, "opened")         /* cookies that came back */                                              \
    X(SP_CONNECTED, "connected")   /* of those, to servers that have answered */                             \
    X(SP_INVALID, "invalid")       /* dropped: of no connection, and no cookie of ours; outside of the       \
                                      windows; of a handshake, and in fragments */                           \
    X(SP_MALFORMED, "malformed")   /* dropped: of a handshake with a wrong checksum or with data; what hides \
                                      a header of TCP */                                                     \
    X(SP_MARTIAN, "martian")       /* dropped: SYNs from or to what is no host's address */                  \
    X(SP_CHALLENGED, "challenged") /* dropped: what servers say of an older connection, which is reset */    \
    X(SP_EXPIRED, "connections_expired")                                                                     \
    X(SP_DISPLACED, "connections_displaced")   /* a new one has its place in a full table */                 \
    X(SP_TABLE_FULL, "table_full")             /* dropped: no room for a new connection */                   \
    X(SP_FRAGMENT_UNKNOWN, "fragment_unknown") /* dropped: later ones, the first one has not passed */       \
    X(SP_FRAGMENTS_FULL, "fragments_full")     /* not dropped: the oldest datagram gave way */
enum sp_counter { SP_COUNTERS(NF_COUNTER) };

/* The packet's destination, or its source, is protected. `any_port`: whatever its port. */
bool sp_is_protected(const struct sp_config *config, const struct nf_packet *p, bool destination,
                     bool any_port);

/* A client's segment of a session that this NF is in; or of none, to a server that is protected. */
void sp_take_from_client(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, uint64_t now);
void sp_take_first(const struct nf *nf, struct nf_packet *p, uint64_t now);
/* A server's segment; `s`: NULL, this NF is in no session of it. */
void sp_take_from_server(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, uint64_t now);

#endif
