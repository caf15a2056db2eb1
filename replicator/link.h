/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link: the connection to the peer, over one way or over two (trunk.h), and the datagram sockets on which
 * guardians speak. Non-blocking; owned and used by the replicator's thread alone. The node whose name sorts
 * first listens, the other connects; a connection that breaks is made again. Frames are
 * ftcore/record/message.h's.
 *
 * Where the file has more than two nodes, the peer can become another one (rp_link_aim). A node that has no
 * peer waits for whichever comes, and one that hears nobody may connect to the others in turn
 * (rp_link_visit). A node that comes and is not the peer sends a hello, receives one, and is sent away.
 *
 * Capacity: what cannot be written waits in a buffer of RP_LINK_OUT bytes; rp_link_room returns what fits.
 * The rule when it is full: the caller stops producing bulk (its own rings then fill); heads (heartbeats,
 * acknowledgements) have RP_LINK_RESERVE kept for them.
 */
#ifndef REPLICATOR_LINK_H
#define REPLICATOR_LINK_H

#include "ftcore/record/crash_notice.h"
#include "ftcore/record/message.h"
#include "replicator/trunk.h"

#ifndef RP_LINK_OUT /* the simulation has smaller ones in some seeds */
#define RP_LINK_OUT     (8u << 20)
#define RP_LINK_RESERVE (256u << 10)
#endif

enum rp_lost {
    RP_LOST_NONE,
    RP_LOST_EOF,       /* the peer closed it: by its own word; where the link is not sealed, its kernel's */
    RP_LOST_RESET,     /* the peer's kernel reports that nobody is there */
    RP_LOST_ERROR,     /* the cause is not known here (timeout, unreachable) */
    RP_LOST_MALFORMED, /* what the peer sent could not be read; fault names it. The connection is still up */
};

#define RP_NODES 8u /* of a file */

struct rp_node {
    char name[FT_NAME_MAX];
    char host[16]; /* numeric IPv4 */
    uint16_t port;
    char second_host[16]; /* its second address of the link; second_port 0: it has none */
    uint16_t second_port;
};

/* What an operator wants of a primary: that `node` becomes its standby. `lost`: the standby that is dead, by
 * the operator's word; "": none is. `meets`: for now the node is only to be heard when it sends a hello. */
struct rp_repair {
    struct rp_node node;
    char lost[FT_NAME_MAX];
    bool meets;
};

struct rp_link_config {
    const char *local_host,
        *peer_host; /* numeric IPv4; peer_host NULL: whichever of `node` comes is the peer */
    uint16_t local_port, peer_port;
    struct { /* the second way; a port 0: that node has none */
        const char *local_host, *peer_host;
        uint16_t local_port, peer_port;
    } second;
    bool listens; /* else connects */
    /* All nodes that may become the peer, the one at `peer_host` among them. `nodes` 0: that one alone, and
     * it stays the peer. This node's own name orders them. */
    struct rp_node node[RP_NODES];
    unsigned nodes;
    char name[FT_NAME_MAX];
    uint32_t retry_ms; /* before a second attempt to connect; from then on twice as long each time, up to 1 s.
                          After eight times that an attempt without an answer is given up */
    uint32_t heartbeat_ms; /* of two ways: a way is silent after one; 0: 2 ms */
    uint64_t session;      /* of two ways: any number that no process before had */
    struct rp_seal_config seal;
};

struct rp_link_stats {
    struct rp_ways_stats ways;
    uint64_t bytes_out, bytes_in, frames_in, connects;
    uint64_t unproven; /* handshakes with the node that the link is for, refused since it is, by this seal */
    uint64_t
        refused[16]; /* malformed input by -enum ft_error; FT_EPERM: not the peer's, by its address, its
                        handshake or its tag; FT_ETRUNC: ended, or waited too long, before it proved itself */
};

/* Times of the connection, us: with bytes under way, and of that waiting for the peer to read. */
struct rp_link_times {
    uint64_t busy_us, full_us;
};

struct rp_link;

/* FT_EBUSY (address taken), FT_EPERM, FT_EINVAL and others with a one-line fault; nothing stays open. */
int rp_link_open(struct rp_link **out, const struct rp_link_config *config, struct ft_fault *fault);
void rp_link_close(struct rp_link *link);
/*
 * Takes `seal`, of the same kind as the one before (keys, certificates): it seals connections that are made
 * from now on. The one that stands stays; those that have not proved themselves are closed.
 */
void rp_link_reseal(struct rp_link *link, struct rp_seal *seal);

/* Accepts or connects, reads what is there (bounded per call). True when a new connection was made since the
 * last call. */
bool rp_link_poll(struct rp_link *link, uint64_t now_ns);
bool rp_link_up(const struct rp_link *link);
/* A secret of the connection that stands, the same at both ends; false: none stands, or it is not sealed. */
bool rp_link_secret(const struct rp_link *link, struct rp_secret *secret);
/*
 * From now on the peer is the node of this name, which is one of `node` or of those added; "": whichever
 * comes. A connection that stands is the caller's to end. FT_ENOENT: it is not known here, and the peer stays
 * who it was.
 */
int rp_link_aim(struct rp_link *link, const char *name);
/* Another node that may become the peer, or its new address. FT_EFULL, FT_EINVAL. */
int rp_link_add(struct rp_link *link, const struct rp_node *node, struct ft_fault *fault);
/* Where the node of that name is reached; NULL: it is not known here. Until the next rp_link_add. */
const struct rp_node *rp_link_node(struct rp_link *link, const char *name);
/* While `on`, and no connection stands, connects to the others in turn as well. */
void rp_link_visit(struct rp_link *link, bool on);
/* A node that is not the peer has sent this hello: true once. It is to be answered (rp_link_answer: our own
 * hello, which echoes it), and goes. */
bool rp_link_visitor(struct rp_link *link, struct ft_message *m);
void rp_link_answer(struct rp_link *link, const struct ft_message *m);
/*
 * While one connection lives, a hello came by another one, whose `sent` is *sent: true until rp_link_greet.
 * The caller sends its own hello there (`m`, not queued behind anything). The new connection takes over when
 * the peer has echoed m->sent on it; a recording of an old hello cannot.
 */
bool rp_link_needs_hello(struct rp_link *link, uint64_t *sent);
void rp_link_greet(struct rp_link *link, const struct ft_message *m);
/* `sent` of the hello that rp_link_greet sent on the connection that stands now; 0: none. */
uint64_t rp_link_greeted(const struct rp_link *link);
/*
 * After data has been read to the end: why the connection ended. Frames read before the end come first.
 * Reported once; the next connection begins only then, or after a drop (which is not reported).
 */
enum rp_lost rp_link_lost(struct rp_link *link, struct ft_fault *fault);

/*
 * Next message read: 1, 0 when none is whole yet, or FT_EMALFORMED etc. (counted; call rp_link_drop when done
 * with it; until then what comes is thrown away). m->bulk is valid until the next call of next, poll or drop.
 */
int rp_link_next(struct rp_link *link, unsigned lanes, struct ft_message *m, struct ft_fault *fault);
/* The death notice of `peer` has come, from its address: 1 or 0. NULL: none is expected, and what comes is
 * thrown away. `crash`, which is zero, becomes a crash notice of the peer's, if one came. */
int rp_link_death_notice(struct rp_link *link, const struct ft_datagram_key *peer,
                         struct ft_crash_notice *crash);

/* Bytes of content that can be sent as bulk now. */
size_t rp_link_room(const struct rp_link *link);
/* Where the bulk of a message may be written, up to rp_link_room bytes, which must not be 0, so that
 * rp_link_send need not copy it when that message is sent next, not compressed. `m`: the message, with all
 * but its bulk. */
uint8_t *rp_link_place(struct rp_link *link, const struct ft_message *m, unsigned lanes);
/* Queues a message; FT_EFULL when not even the reserve has room (then the connection is as good as dead),
 * FT_ENOENT without a connection. */
int rp_link_send(struct rp_link *link, const struct ft_message *m, unsigned lanes,
                 struct ft_compressor *compressor);
/* Writes what it can. */
void rp_link_flush(struct rp_link *link);
/* The last flush left something: the connection takes less than it is offered. */
bool rp_link_stalled(const struct rp_link *link);
/* False: no connection, or the system does not report it. */
bool rp_link_times(const struct rp_link *link, struct rp_link_times *out);
/* Closes the connection (not the listener). */
void rp_link_drop(struct rp_link *link);
/* Sleeps at most timeout_ns until something can be read (or written, when output waits), or `bell` can be
 * (-1: none), which is taken then. `answers_wait`: data from the peer does not end the wait; the end of the
 * connection, a notice and a new connection do. */
void rp_link_rest(struct rp_link *link, uint64_t timeout_ns, int bell, bool answers_wait);
/* The same without a bell; anything from the peer ends it. */
void rp_link_wait(struct rp_link *link, uint64_t timeout_ns);
const struct rp_link_stats *rp_link_stats(const struct rp_link *link);

#endif
