/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the link's connection is made of: the buffer of what was read, the buffer of what is to be written,
 * and the connection that may take its place. Private to the link, which owns all three.
 */
#ifndef REPLICATOR_CONNECTION_H
#define REPLICATOR_CONNECTION_H

#include "replicator/link.h"
#include "replicator/stream.h"

#include <net/if.h>
#include <netinet/in.h>

/* Bytes of the two buffers. The simulation has smaller ones in some seeds: then they run full. */
#ifndef IN_CAP
#define IN_CAP (2u * (FT_MESSAGE_MAX + FT_FRAME_HEAD))
#endif
#ifndef OUT_CAP
#define OUT_CAP (2u * RP_LINK_OUT)
#endif

/* ---- buffers.c: what was read, and not handed out ---- */

struct rp_input {
    uint8_t *bytes, *bulk; /* as read; decompressed bulk of the message handed out last */
    size_t at, end;        /* bytes[at, end) wait */
};

/* Bytes that may be written at `end`. 0 when a message has to be handed out first (there is a whole one
 * then). */
size_t rp_input_room(struct rp_input *in);
/* True when rp_input_next has something to say: a whole frame, or one that can be refused already. */
bool rp_input_whole(const struct rp_input *in);
/* 1: a message; 0: none is whole; or an error of ft_message_decode, and nothing waits any more. */
int rp_input_next(struct rp_input *in, unsigned lanes, struct ft_message *m, struct ft_fault *fault);

/* ---- buffers.c: encoded messages that wait to be written ---- */

struct rp_output {
    uint8_t *bytes;
    size_t at, end; /* what waits is bytes[at, end) */
    bool stalled;   /* the kernel took less than was offered last */
    int broken;     /* errno of a write that failed: nothing more is written; 0: none */
};

/* Bytes of bulk that a message may have now. */
size_t rp_output_room(const struct rp_output *out);
/* Where the bulk of a message may be written, up to rp_output_room bytes, so that the next rp_output_add of
 * that message need not copy it. `m`: the message, with all but its bulk. */
uint8_t *rp_output_place(struct rp_output *out, const struct ft_message *m, unsigned lanes);
/* FT_EFULL when there is no room, for bulk or at all. `sealed`: the stream that it goes to is. */
int rp_output_add(struct rp_output *out, const struct ft_message *m, unsigned lanes,
                  struct ft_compressor *compressor, bool sealed);
/* Writes what the stream takes; NULL: no connection, and nothing waits any more. Returns the bytes written.
 */
size_t rp_output_write(struct rp_output *out, struct rp_stream *stream);

/* ---- attempt.c: the side that connects ---- */

struct rp_attempt {
    uint64_t retry_ns; /* the first wait; an attempt without an answer is given up after eight times that */
    struct rp_stream *stream; /* NULL: none is under way */
    bool connected;           /* its socket is; its handshake is not over */
    bool made;                /* the last one has become a connection */
    uint64_t begun;           /* the last one, ns */
    uint64_t wait;            /* from its beginning to the next one, ns; 0: what was before did not fail */
};

/* Goes on with the link's attempt, or begins one when it is time. True: `stream` is a connection, for the
 * caller to take. Not called while a connection stands. */
bool rp_attempt_go_on(struct rp_link *link, uint64_t now);

/* ---- handshakes.c: connections that were accepted and have not begun ---- */

#define RP_HANDSHAKES 16u /* at a time */

struct rp_handshake {
    struct rp_stream *stream; /* NULL: the place is free */
    uint64_t came;            /* when it was accepted, ns */
    uint64_t said;            /* plain: `sent` of its hello; 0: it has said none yet */
    uint64_t greeted;         /* plain: `sent` of our hello there; 0: none yet */
};

struct rp_handshakes {
    struct rp_handshake place[RP_HANDSHAKES];
    uint64_t random; /* which place is given away when all are taken; any number to begin with */
};

/* Accepts one that waits. When all places are taken one of them is given away. Counts in refused[], as
 * rp_link_stats. */
void rp_handshakes_accept(struct rp_handshakes *all, struct rp_seal *seal, int listener,
                          const struct sockaddr_in *peer, uint64_t now, uint64_t refused[]);
/*
 * Goes on with what they have to show, and closes and counts those that are wrong or too slow. Returns one
 * that may begin, or NULL: its handshake is over; of plain ones, beside a connection that lives (`alive`), it
 * has said a whole hello and echoed ours, else it is the newest. What it said stays unread. `bulk` is room
 * for FT_BULK_MAX bytes.
 */
struct rp_handshake *rp_handshakes_look(struct rp_handshakes *all, bool alive, uint64_t now, uint8_t *bulk,
                                        uint64_t refused[]);
/* One that has said a hello and has not had ours, or NULL. */
struct rp_handshake *rp_handshakes_without_hello(struct rp_handshakes *all);
/* Says our hello there, or closes it. */
void rp_handshake_greet(struct rp_handshake *n, const struct ft_message *m);
/* All of them. */
void rp_handshakes_close(struct rp_handshakes *all);
/* True while some have not begun. */
bool rp_handshakes_any(const struct rp_handshakes *all);

/* ---- notice.c ---- */

/* The death notice of `peer` has come on `fd` from `host`: 1, else 0. NULL: what comes is thrown away. *crash
 * becomes a crash notice of the peer's that came before it. *more: false when nothing waits any more. Counts
 * in refused[], as rp_link_stats. */
int rp_notice_take(int fd, const struct sockaddr_in *host, const struct ft_datagram_key *peer, bool *more,
                   struct ft_crash_notice *crash, uint64_t refused[]);

/* ---- socket.c: sockets as the link needs them: IPv4, non-blocking, closed on exec, without delay ---- */

/* `host` numeric IPv4: 0 or FT_EINVAL. */
int rp_address(struct sockaddr_in *out, const char *host, uint16_t port, struct ft_fault *fault);
/* The interface that has this address; "": none has it, or the loopback has. What is bound to a device below
 * takes nothing that arrives on another one. */
void rp_device(const struct sockaddr_in *at, char device[IF_NAMESIZE]);
/* A descriptor, or FT_EBUSY (taken), FT_ENOENT (not of this host), FT_EPERM, FT_EIO. */
int rp_listen(const struct sockaddr_in *at, const char *device, struct ft_fault *fault);
int rp_datagrams(const struct sockaddr_in *at, const char *device, struct ft_fault *fault);

/* The next connection waiting that comes from `peer`'s address; others are closed and counted. -1: none. */
int rp_accept(int listener, const struct sockaddr_in *peer, uint64_t *strangers);
/* Begins to connect from `local`'s address, any port. -1: not now. */
int rp_connect(const struct sockaddr_in *local, const struct sockaddr_in *peer, const char *device);
/* 1 connected, 0 not yet, -1 failed. */
int rp_connected(int fd);
/* Of a connection, ever, us: bytes were under way, and of that because the peer did not read. False: the
 * system does not say. */
bool rp_times(int fd, uint64_t *busy_us, uint64_t *full_us);

/* ---- all of it: opened and closed by endpoint.c, used by link.c ---- */

struct rp_link {
    struct sockaddr_in local, peer;
    bool listens;
    struct rp_seal *seal;      /* NULL: connections are plain */
    char device[IF_NAMESIZE];  /* that the sockets are bound to; "": none */
    int listener, datagrams;   /* listener -1: we connect */
    struct rp_stream *stream;  /* the connection, NULL: none */
    struct rp_attempt attempt; /* to connect */
    struct rp_handshakes handshakes;
    struct rp_stream *next; /* begins when the end of the one before was told */
    uint64_t next_greeted;  /* as `greeted`, of `next` */
    uint64_t greeted;       /* `sent` of our hello on the connection, said before it began; 0: none */
    bool fresh;             /* not yet told by poll */
    bool malformed;         /* what comes is read and thrown away */
    bool malformed_new;     /* not yet told by lost */
    enum rp_lost lost;      /* not yet told by lost; fd is -1 then */
    bool listener_ready, datagrams_ready; /* the listener, the datagram socket may have something */
    uint64_t accepted;                    /* when one was accepted last, ns */
    uint64_t looked;                      /* when the listener was looked at last, ns */
    struct ft_fault fault;
    struct rp_input in;
    struct rp_output out;
    struct rp_link_stats stats;
};

#endif
