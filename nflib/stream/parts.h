/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of pieces, for the files of this directory. */
#ifndef NFLIB_STREAM_PARTS_H
#define NFLIB_STREAM_PARTS_H

#include "nflib/stream/stream.h"

/* Of a stream: in the order of sequence numbers, none over another. */
struct nf_stream_piece {
    uint32_t seq;
    uint16_t len; /* 0: the stream's end alone */
    uint8_t fin;  /* the stream ends behind it */
    uint8_t zero;
    uint8_t bytes[NF_STREAM_PIECE];
};
_Static_assert(sizeof(struct nf_stream_piece) == 512 - 8, "a piece is whole lines, with its links");

/* Constant. */
struct nf_streams {
    struct nf_lists *pieces;
    uint32_t flow_pieces, loose;
};

#endif
