/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trunk: the stream of bytes between the two nodes, over one connection or over two. Owned by the link,
 * used by the replicator's thread alone; nothing here waits or sleeps.
 *
 * A plain trunk is one connection, whose bytes are the stream's. A trunk of two ways has up to two sealed
 * connections, one on each pair of addresses of the link. What a node sends goes by one of them, and goes on
 * by the other, from the last byte that the peer has, once that connection has ended, or one of the nodes
 * hears nothing by it for a heartbeat while the other way speaks. The receiver takes each byte once, by its
 * position. A way that stays silent for ten heartbeats is closed. The trunk ends when its last way has ended.
 *
 * Capacity: what the peer has not yet acknowledged is RP_LINK_OUT / 2 bytes at most. When that is full,
 * nothing more is taken, and the link's own buffer fills.
 */
#ifndef REPLICATOR_TRUNK_H
#define REPLICATOR_TRUNK_H

#include "replicator/stream.h"

#define RP_WAYS         2u
#define RP_SEGMENT_HEAD 24u /* bytes before a segment's content */

/* What the side that connects sends first on a connection of a trunk of two ways. */
struct rp_joining {
    uint64_t session; /* to which the connection belongs */
    bool begins;      /* with it; else it has begun already */
};

/* What of that has come. Zeroed to begin with. */
struct rp_hearing {
    uint8_t bytes[RP_SEGMENT_HEAD];
    size_t have;
};

/* After the handshake, before anything else is written. False: the connection is of no use. */
bool rp_joining_say(struct rp_stream *stream, struct rp_joining own);
/* In answer to it: there is no such session here. Closes the stream. */
void rp_joining_refuse(struct rp_stream *stream);
/* 1: *peers is whole; 0: not yet; -1: it ended, or what came is none. Reads nothing behind it. */
int rp_joining_receive(struct rp_stream *stream, struct rp_hearing *h, struct rp_joining *peers);

/* Of a way, ever; times are the link's ns. */
struct rp_way_stats {
    bool is_there;   /* both nodes have the addresses of it */
    bool stands;     /* its connection does */
    bool silent;     /* and one of the nodes hears nothing there, while the other way speaks */
    bool carries;    /* what this node sends goes by it */
    uint64_t since;  /* when it began to stand, or not to */
    uint64_t losses; /* of its connections, while the pair had two ways */
};

struct rp_ways_stats {
    struct rp_way_stats way[RP_WAYS];
    uint64_t switches; /* times that what this node sends went on by the other way */
};

struct rp_trunk;
/* Takes `stream`, which is closed at once when there is no memory (NULL then). `way`: that it came by. */
struct rp_trunk *rp_trunk_plain(struct rp_stream *stream, unsigned way, struct rp_ways_stats *stats,
                                uint64_t now);
/* Of two ways, none of which stands yet. `connects`: this side does. NULL: no memory. `stats` outlives it. */
struct rp_trunk *rp_trunk_open(uint64_t session, bool connects, uint64_t heartbeat_ns,
                               struct rp_ways_stats *stats, uint64_t now);
/* Takes a connection of its session, in place of the one on that way. */
void rp_trunk_attach(struct rp_trunk *t, struct rp_stream *stream, unsigned way);
bool rp_trunk_connects(const struct rp_trunk *t); /* it is one of two ways, which this side makes */
bool rp_trunk_lacks(const struct rp_trunk *t, unsigned way); /* and this one is to be made now */
/* Its session; 0: it is plain. */
uint64_t rp_trunk_session(const struct rp_trunk *t);
/* `i` below RP_WAYS; -1: no connection, as for NULL. A plain one's is the first. */
int rp_trunk_fd(const struct rp_trunk *t, unsigned i);
/* What waits there goes on when that socket can be written; of a plain one whatever waits does. */
bool rp_trunk_stalled(const struct rp_trunk *t, unsigned i);
/* Of the way that carries the stream. */
int rp_trunk_carrier(const struct rp_trunk *t);
/* Within how many ns it is to be read and flushed again. */
uint64_t rp_trunk_due(const struct rp_trunk *t);

/* The time of what is read and written next. */
void rp_trunk_time(struct rp_trunk *t, uint64_t now);
/* As those of rp_stream. A trunk of two ways ends when the peer has announced that by one way, or when the
 * last way has ended. */
bool rp_trunk_sealed(const struct rp_trunk *t);
/* As rp_stream_secret, of the connection that it began with. */
bool rp_trunk_secret(const struct rp_trunk *t, struct rp_secret *secret);
ssize_t rp_trunk_read(struct rp_trunk *t, void *to, size_t size, bool *more);
ssize_t rp_trunk_write(struct rp_trunk *t, const void *from, size_t size);
/* Of two ways this is what writes to the sockets, and probes that are due leave as well. */
bool rp_trunk_flush(struct rp_trunk *t);
bool rp_trunk_peer_closed(const struct rp_trunk *t);
bool rp_trunk_pending(const struct rp_trunk *t);
const char *rp_trunk_why(const struct rp_trunk *t);
void rp_trunk_close(struct rp_trunk *t, bool close_notify);

#endif
