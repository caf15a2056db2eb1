/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the link only: what link.c (the connection that stands) and meeting.c (how connections come to be)
 * share. One thread uses all of it.
 */
#ifndef REPLICATOR_LINK_PARTS_H
#define REPLICATOR_LINK_PARTS_H

#include "replicator/link.h"
#include "replicator/socket.h"
#include "replicator/visitor.h"

/* Between looks at the sockets that hardly ever speak, unless a wait saw something. */
#define LOOK_NS 200000u

/* What was read, and not handed out. */
struct rp_input {
    uint8_t *bytes, *bulk; /* as read; decompressed bulk of the message handed out last */
    size_t at, end;        /* bytes[at, end) wait */
};

/* Encoded messages that wait to be written. */
struct rp_output {
    uint8_t *bytes;
    size_t at, end; /* what waits is bytes[at, end) */
    bool stalled;   /* the kernel took less than was offered last */
    int broken;     /* errno of a write that failed: nothing more is written; 0: none */
};

struct rp_attempt {
    uint64_t retry_ns; /* the first wait; an attempt without an answer is given up after eight times that */
    struct rp_stream *stream; /* NULL: none is under way */
    bool connected;           /* its socket is; its handshake is not over */
    bool made;                /* the last one has become a connection */
    bool visit;               /* to a node that is not the peer: it does not count for `wait` */
    uint64_t begun;           /* the last one, ns */
    uint64_t wait;            /* from its beginning to the next one, ns; 0: what was before did not fail */
};

/* Connections that were accepted and have not begun. */
#define RP_HANDSHAKES 16u /* at a time */

struct rp_handshake {
    struct rp_stream *stream;  /* NULL: the place is free */
    unsigned way;              /* that it came by */
    uint64_t came;             /* when it was accepted, ns */
    uint64_t said;             /* plain: `sent` of its hello; 0: none has come yet */
    uint64_t greeted;          /* plain: `sent` of our hello there; 0: none yet */
    struct rp_hearing hearing; /* of two ways: what comes, and that, whole */
    struct rp_joining peers;
};

struct rp_handshakes {
    struct rp_handshake place[RP_HANDSHAKES];
    uint64_t random; /* which place is given away when all are taken; any number to begin with */
};

struct rp_other {
    struct rp_node node;
    struct sockaddr_in at[RP_WAYS]; /* sin_port 0: it has no second address */
};

/* One of the link's addresses, and the peer's on that way. */
struct rp_place {
    struct sockaddr_in local, peer; /* peer: its sin_port 0: whichever of `other` comes */
    char device[IF_NAMESIZE];       /* that the sockets are bound to; "": none */
    int listener, datagrams;        /* listener -1: we connect; datagrams -1: this host lacks the address */
    bool listener_ready;            /* it may have something */
    uint64_t accepted;              /* when one was accepted last, ns */
    struct rp_attempt attempt;      /* to connect */
};

/* A connection that is to begin. */
struct rp_next {
    struct rp_stream *stream; /* NULL: there is none */
    unsigned way;
    uint64_t greeted; /* as `greeted` of the link */
    bool accepted;    /* else this side has connected */
    uint64_t session; /* of two ways, accepted: that it begins */
};

struct rp_link {
    struct rp_place place[RP_WAYS];
    unsigned places; /* of this node: 1, or 2 where it has a second address */
    bool listens, visits;
    char name[FT_NAME_MAX], peer_name[FT_NAME_MAX];
    struct rp_other other[RP_NODES]; /* all that may be the peer, it among them */
    unsigned others, turn;           /* turn: which is visited next */
    bool calls; /* the peer has just become it, and may not know: this side connects, whatever the order */
    uint64_t visited; /* when one was tried last, ns */
    struct rp_visitor visitor;
    struct rp_seal *seal;    /* NULL: connections are plain */
    struct rp_trunk *stream; /* the connection, NULL: none */
    uint64_t session;        /* of two ways: the number that the next one has where this side connects */
    uint64_t heartbeat_ns, now;
    struct rp_handshakes handshakes;
    struct rp_next next;       /* begins when the end of the one before was reported */
    uint64_t greeted;          /* `sent` of our hello on the connection, sent before it began; 0: none */
    bool malformed;            /* what comes is read and thrown away */
    bool fresh, malformed_new; /* not yet reported by poll, by lost */
    enum rp_lost lost;         /* not yet reported by lost; there is no connection then */
    bool datagrams_ready;      /* the datagram sockets may have something */
    uint64_t looked;           /* when the listeners were looked at last, ns */
    bool is_looked_at;         /* the listeners, by rp_link_rest, since then */
    uint64_t reopened;         /* when an address that was not there was looked for last, ns */
    struct ft_fault fault;
    struct rp_input in;
    struct rp_output out;
    struct rp_link_stats stats;
};

/* ---- meeting.c ---- */

/* Goes on with the attempt on that way, or begins one when it is time. True: *next is a connection. Not while
 * a connection stands there. */
bool rp_attempt_go_on(struct rp_link *link, unsigned way, uint64_t now, struct rp_next *next);
void rp_attempts_close(struct rp_link *link);
/* Connections that have not shown yet who they are. */
void rp_close_unproven(struct rp_link *link);
bool rp_handshakes_any(const struct rp_handshakes *all);
/* Accepts what waits at the listeners. */
void rp_handshakes_accept(struct rp_link *link, uint64_t now);
/* True: *next is one that may begin, in the place of the connection that stands. What is a way of that one
 * has joined it. */
bool rp_handshakes_look(struct rp_link *link, uint64_t now, struct rp_next *next);

#endif
