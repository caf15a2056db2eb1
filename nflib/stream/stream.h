/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: the payload of TCP in its order, for NFs that look into it. A service on top of sessions: an NF
 * keeps a pair of struct nf_stream in its slot of the session and one struct nf_streams, the pool, in its
 * arena. It gives each packet of the session to nf_stream_take, which hands back what has become readable.
 *
 * Packets are never held back: what comes behind a hole passes, and a copy of it is kept in the pool. The
 * receiver cannot read it either until the hole is filled, so a packet that fills one stands for all that
 * becomes readable by it, and who drops that packet keeps all of it from the receiver.
 *
 * One rule holds for what its sender may do: until the receiver has acknowledged a byte, no other one passes
 * in its place. Why the first one might not have been taken need not be known: its packet died on the way,
 * was too old (RFC 7323), acknowledged what was never sent (RFC 5961), found the window closed. So a copy of
 * what has been handed over is kept until it is acknowledged, and a packet that contradicts a copy is not
 * taken: the first one wins (Novak and Sturges: Target-based TCP stream reassembly, 2007). Nor is one that
 * finds no room or lies outside of what could be kept. Who does not take a packet drops it, and it is sent
 * again, as if it had been lost. Where the pool is full and nothing is on its way, the next bytes of a
 * stream pass without a copy; until they are acknowledged they are not taken once more, whatever they are.
 *
 * What a direction has on its way, in order and behind holes, lies within `flow_pieces` of what its receiver
 * has acknowledged. What lies behind holes takes half of the pool at most, of all streams together, so that
 * streams that are in order have the other half, whatever holes are never filled; and no sender, an address
 * of IPv4 or the first 64 bits of one of IPv6, holds more of that half than is free of it. A burst fills
 * holes until half of `flow_pieces` have become readable: a further packet that would fill one is not taken,
 * as if it had been lost, so that a burst has an end. A walk over what a stream keeps takes a step for each
 * of its pieces at most, wherever they lie.
 *
 * A stream begins with its SYN. While its receiver has not acknowledged that one, another SYN begins it anew,
 * and what follows is not taken before the receiver has answered with a SYN-ACK. What lies in front of a
 * beginning that was seen is outside, but for the number of a SYN that was acknowledged: a keepalive repeats
 * it with a byte that means nothing (RFC 9293, 3.8.4), which is not read. Data without an ACK or with one of
 * what was never sent, and flags that cannot be, are not taken, as the receiver does not. A stream that was
 * picked up in the middle begins at the first segment or, if one in front of it comes before an ACK, at that
 * one; who acknowledges what lies behind a hole has it begin there. A reset ends what its receiver surely
 * ends; where it may not believe it, the stream goes on, and a SYN-ACK to a SYN that came since begins both
 * directions anew.
 *
 * Written by the NF's lane; pool and streams lie in the region.
 */
#ifndef NFLIB_STREAM_STREAM_H
#define NFLIB_STREAM_STREAM_H

#include "nflib/session/session.h"

/* Bytes of a piece, of which the pool has a number: those from a multiple of it on in the sequence numbers,
 * whatever segments they come in. */
#define NF_STREAM_PIECE 440u

enum nf_stream_flags {
    NF_STREAM_KNOWN = 1 << 0,    /* `next` means something */
    NF_STREAM_MIDDLE = 1 << 1,   /* its beginning was not seen */
    NF_STREAM_FAR = 1 << 2,      /* 2 GiB and more have passed */
    NF_STREAM_FIN = 1 << 3,      /* its end has been handed over */
    NF_STREAM_RESET = 1 << 4,    /* its sender has reset the connection, where the receiver believes it */
    NF_STREAM_ANSWERED = 1 << 5, /* its receiver has acknowledged what it begins with, or more */
    /* Another one was here before, which its receiver may still have: nothing is taken until an answer. */
    NF_STREAM_DOUBTED = 1 << 6,
    NF_STREAM_ASKED = 1 << 7 /* a SYN of another connection has passed */
};

/* One direction of a connection. Zeros: nothing has been seen. */
struct nf_stream {
    uint32_t start;      /* sequence number of its first byte */
    uint32_t next;       /* of the next byte to hand over */
    uint32_t acked;      /* its receiver has all in front of this one */
    struct nf_list name; /* by which its pieces are found: an entry of its own, while it has some */
    uint16_t pieces;     /* copies of what is not acknowledged, and what is behind a hole */
    uint8_t flags;       /* enum nf_stream_flags */
    /* How far in front of where it was picked up it has begun, all times together: in NF_STREAM_PACES, each
     * time rounded up. */
    uint8_t front;
};

/* Bytes that have become readable: `len` bytes of direction `reply`. */
struct nf_stream_bytes {
    const uint8_t *bytes;
    uint32_t len;
    /* How many bytes of the stream come before `bytes`; from 2^31 on modulo 2^32, + 2^32. 0: a stream begins,
     * perhaps anew, and what was read before in this direction does not count. */
    uint64_t at;
    bool reply;
};
struct nf_stream_reader {
    void (*read)(void *arg, const struct nf_stream_bytes *bytes);
    void *arg;
};

enum nf_stream_taken {
    NF_STREAM_READ,    /* nothing of it is left to do */
    NF_STREAM_KEPT,    /* behind a hole */
    NF_STREAM_OLD,     /* all of it had been handed over before, or is kept */
    NF_STREAM_DIFFERS, /* not taken: contradicts what has passed and is not acknowledged */
    NF_STREAM_UNSEEN,  /* not taken: the same perhaps, but there is no copy to compare it with */
    NF_STREAM_FULL, /* not taken: no room to keep it, or a copy of it; or its burst has filled enough holes */
    NF_STREAM_OUTSIDE, /* not taken: farther ahead than could be kept, not between the stream's ends, or of
                        * one that is doubted and not answered */
    NF_STREAM_UNKNOWN, /* not taken: its beginning was not seen, and `loose` is false */
    NF_STREAM_WRONG, /* not taken: data or an end without an ACK, or with one of what was never sent, or flags
                      * that cannot be */
};

/* In the NF's config struct, filled by rows of its parameters. */
struct nf_streams_config {
    uint32_t pieces;      /* in all, of a lane */
    uint32_t flow_pieces; /* of a direction of a connection: not acknowledged, or behind a hole */
    bool loose;           /* streams whose beginning was not seen are taken from there on */
};
#define NF_STREAMS_PARAMS(type, field)                                                                       \
    NF_PARAM_AT(type, "stream_pieces", field.pieces, NF_U32, "65536",                                        \
                "pieces of 440 bytes that are kept until they are acknowledged at most, of a lane",          \
                .min = 1, .max = 4u << 20),                                                                  \
        NF_PARAM_AT(type, "flow_pieces", field.flow_pieces, NF_U32, "4096",                                  \
                    "the same, of a direction of a connection", .min = 1, .max = 32768),                     \
        NF_PARAM_AT(type, "loose", field.loose, NF_BOOL, "true",                                             \
                    "streams whose beginning was not seen are looked at from there on")

struct nf_streams;
uint64_t nf_streams_bytes(const struct nf_streams_config *config);
/* In `make`; registers its table, "stream_pieces". NULL: no room. */
struct nf_streams *nf_streams_make(struct nf *nf, const struct nf_streams_config *config);
/* In `check_state`: the pool, and each stream of the NF's sessions, whose pairs lie `at` bytes into slots. */
int nf_streams_check(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams, uint32_t at);

/* A packet of TCP with NF_P_L4, no fragment; `reply`: its direction, an index into `pair`, which the caller
 * may write to. Reads what it makes readable. */
enum nf_stream_taken nf_stream_take(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2],
                                    const struct nf_packet *p, bool reply,
                                    const struct nf_stream_reader *reader);
/* Both directions have ended as their receivers see it, or one has been reset: a connection may begin anew.
 */
static inline bool nf_stream_is_over(const struct nf_stream pair[2])
{
    return (pair[0].flags & pair[1].flags & NF_STREAM_FIN) ||
           (pair[0].flags | pair[1].flags) & NF_STREAM_RESET;
}
/* Notes ends and resets alone, of a connection of which no packet reaches its receiver any more. */
void nf_stream_follow(struct nf_stream pair[2], const struct nf_packet *p, bool reply);
/* Gives back all that is kept; both are zeros then. For session_end, and before the NF leaves a session. */
void nf_stream_release(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2]);
/* A connection may begin anew, where the last one seems to be over: both are empty and doubted then. */
void nf_stream_renew(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2]);

#endif
