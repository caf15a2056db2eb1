/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of pieces, and what is done with the bytes of a stream, for the files of this directory. */
#ifndef NFLIB_STREAM_PARTS_H
#define NFLIB_STREAM_PARTS_H

#include "nflib/stream/stream.h"

#define NF_STREAM_WINDOW (1u << 30) /* of TCP (RFC 7323, 2.2) */

/* A stream that was picked up in its middle may begin in front of that, so far in all. */
#define NF_STREAM_FRONT (4 * NF_STREAM_AHEAD)
#define NF_STREAM_PACES ((NF_STREAM_FRONT + UINT8_MAX - 1) / UINT8_MAX)
/* Behind `next` nothing is kept farther than this: it is walked over piece by piece. */
#define NF_STREAM_FARTHEST (NF_STREAM_FRONT + NF_STREAM_AHEAD)
#define NF_STREAM_HOLES    64u /* that an acknowledgement passes over at most; more wait for the next one */
#define NF_STREAM_WORDS    ((NF_STREAM_PIECE + 63) / 64)

/*
 * A piece is a place in the sequence numbers, of NF_STREAM_PIECE bytes from a multiple of that on, with those
 * that have come, however they were cut. In front of the stream's `next` they are copies of what has been
 * read, from there on they lie behind a hole.
 */
struct nf_stream_piece {
    uint64_t has[NF_STREAM_WORDS]; /* a bit for each byte */
    uint16_t fin;                  /* the stream ends in place of byte fin - 1; 0: not here */
    uint16_t zero[3];
    uint8_t bytes[NF_STREAM_PIECE];
};
struct nf_stream_place {
    uint32_t name;  /* of the stream, and its lane */
    uint32_t piece; /* sequence number / NF_STREAM_PIECE */
};
_Static_assert(sizeof(struct nf_stream_place) + sizeof(struct nf_stream_piece) == 512,
               "a piece is whole lines, with its key");

/* Constant. */
struct nf_streams {
    struct nf_map *pieces;  /* struct nf_stream_place -> struct nf_stream_piece */
    struct nf_lists *names; /* of the streams that have pieces */
    uint32_t flow_pieces, loose;
};

/* A call of nf_stream_take, of one direction. */
struct nf_stream_taking {
    const struct nf *nf;
    struct nf_streams *streams;
    struct nf_stream *stream;
    const struct nf_stream_reader *reader;
    bool reply;
};
/* A segment of it, as far as it is new. */
struct nf_stream_segment {
    const uint8_t *bytes;
    uint32_t seq, len;
    bool fin;
};

_Static_assert(FT_LANES_MAX <= 16, "a lane has four bits of a place's name");

/* Bytes from `seq` on that lie in the same piece. The last piece of all numbers is a shorter one. */
static inline uint32_t nf_stream_left_in_piece(uint32_t seq)
{
    uint32_t left = NF_STREAM_PIECE - seq % NF_STREAM_PIECE;

    return seq + left < seq ? -seq : left;
}
static inline struct nf_stream_place nf_stream_place(const struct nf *nf, const struct nf_stream *s,
                                                     uint32_t seq)
{
    return (struct nf_stream_place){s->name.first << 4 | nf->lane, seq / NF_STREAM_PIECE};
}

/* How many pieces a segment needs beside those that are there; UINT32_MAX: one has other bytes, or has some
 * where the other one ends. */
uint32_t nf_stream_missing(const struct nf_stream_taking *t, const struct nf_stream_segment *g);
/* So many pieces more may be taken: no direction has more than are free. Half of all are for directions that
 * have been answered: who sends in other people's names takes no more than the other half. */
bool nf_stream_has_room(const struct nf_stream_taking *t, uint32_t count);
/* Reads a segment that begins at `next`, and what it makes readable. `copy`: there is room for copies. */
void nf_stream_read(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool copy);
/* Keeps a segment behind a hole, for which there is room. False: nothing of it is new. */
bool nf_stream_keep(const struct nf_stream_taking *t, const struct nf_stream_segment *g);
/* Compares what begins in front of `next` with the copies: NF_STREAM_OLD, _DIFFERS or _UNSEEN. */
enum nf_stream_taken nf_stream_compare(const struct nf_stream_taking *t, const struct nf_stream_segment *g);
/* The receiver has acknowledged all in front of `ack`, which is none in front of what it had before: pieces
 * with nothing behind that are given back. */
void nf_stream_drop_copies(const struct nf_stream_taking *t, uint32_t ack);
/* The first byte or end that is kept from `next` on and in front of `end`. False: there is none. */
bool nf_stream_first_kept(const struct nf_stream_taking *t, uint32_t end, uint32_t *seq);
/* The stream begins here: what is in front of it is given back, and what is kept is read where it may be. */
void nf_stream_begin_at(const struct nf_stream_taking *t, uint32_t seq);
void nf_stream_release_one(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s);

#endif
