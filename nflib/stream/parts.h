/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of pieces, for the files of this directory. */
#ifndef NFLIB_STREAM_PARTS_H
#define NFLIB_STREAM_PARTS_H

#include "nflib/stream/stream.h"

/* Of a stream: in the order of sequence numbers, none over another. */
struct nf_stream_piece {
    uint32_t next; /* + 1; of a stream, or of the free ones; 0: the last */
    uint32_t seq;
    uint16_t len; /* 0: the stream's end alone */
    uint8_t fin;  /* the stream ends behind it */
    uint8_t zero[5];
    uint8_t bytes[NF_STREAM_PIECE];
};
_Static_assert(sizeof(struct nf_stream_piece) == 512, "a piece is whole lines");

struct nf_streams {
    uint32_t capacity, flow_pieces, loose; /* constant */
    uint32_t unused;
    _Alignas(FT_LINE) uint32_t used; /* pieces of streams */
    uint32_t touched;                /* ever used: those behind have never been written */
    uint32_t free;                   /* the first one + 1 */
    _Alignas(FT_LINE) struct nf_stream_piece piece[];
};

#endif
