/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of pieces, and what is done with the bytes of a stream, for the files of this directory. */
#ifndef NFLIB_STREAM_PARTS_H
#define NFLIB_STREAM_PARTS_H

#include "nflib/stream/stream.h"

#define NF_STREAM_WINDOW (1u << 30) /* of TCP (RFC 7323, 2.2) */

/* Of a stream: in the order of sequence numbers, none over another. Those that have been read and are not
 * acknowledged yet, copies, are in one list, those behind a hole in another. */
struct nf_stream_piece {
    uint32_t seq;
    uint16_t len : 15; /* 0: the stream's end alone */
    uint16_t fin : 1;  /* the stream ends behind it */
    uint16_t acked;    /* of a copy: its first bytes, which its receiver has acknowledged */
    uint8_t bytes[NF_STREAM_PIECE];
};
_Static_assert(sizeof(struct nf_stream_piece) == 512 - 8, "a piece is whole lines, with its links");

/* Constant. */
struct nf_streams {
    struct nf_lists *pieces;
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

/* Reads a segment that begins at `next`, and what it makes readable. `copy`: there is room for copies. */
void nf_stream_read(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool copy);
/* The stream begins here: what is in front of it is given back, and what is kept is read where it may be. */
void nf_stream_begin_at(const struct nf_stream_taking *t, uint32_t seq);
/*
 * Walks over a segment: over what is kept of it, and what lies between. With `keep` the latter becomes
 * pieces. Returns how many those are, or UINT32_MAX when a piece has other bytes, or one of the two has some
 * behind the other's end.
 */
uint32_t nf_stream_walk(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool keep);
/* Keeps a segment behind a hole, which takes `count` pieces. */
enum nf_stream_taken nf_stream_keep(const struct nf_stream_taking *t, const struct nf_stream_segment *g,
                                    uint32_t count);

/* Compares what begins in front of `next` with the copies: NF_STREAM_OLD, _DIFFERS or _UNSEEN. */
enum nf_stream_taken nf_stream_compare(const struct nf_stream_taking *t, const struct nf_stream_segment *g);
/* The receiver has acknowledged all in front of `ack`, which is none behind `next`. */
void nf_stream_drop_copies(const struct nf_stream_taking *t, uint32_t ack);
/* Of what is kept; there is some. */
static inline uint32_t nf_stream_first_kept(const struct nf_streams *streams, const struct nf_stream *s)
{
    return ((const struct nf_stream_piece *)nf_lists_value(streams->pieces, nf_list_first(&s->kept)))->seq;
}
/* Of what is copied; there is some. */
static inline uint32_t nf_stream_first_sent(const struct nf_streams *streams, const struct nf_stream *s)
{
    return ((const struct nf_stream_piece *)nf_lists_value(streams->pieces, nf_list_first(&s->sent)))->seq;
}
/* So many pieces more may be taken. Half of all are for directions that have been answered: who sends in
 * other people's names takes no more than the other half. */
bool nf_stream_has_room(const struct nf_stream_taking *t, uint32_t count);
/* Copies become what is kept again, as if they had not been read. */
void nf_stream_open_copies(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s);
void nf_stream_release_one(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s);

#endif
