/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of streams as it lies in memory: for stream.c, which owns it, and check.c. */
#ifndef NFLIB_STREAM_POOL_H
#define NFLIB_STREAM_POOL_H

#include "nflib/stream/stream.h"

/* A stream that was picked up in its middle may begin in front of that, so far in all. */
#define NF_STREAM_FRONT (616u * NF_STREAM_PIECE)
#define NF_STREAM_PACES ((NF_STREAM_FRONT + UINT8_MAX - 1) / UINT8_MAX)
#define NF_STREAM_WORDS ((NF_STREAM_PIECE + 63) / 64)

/*
 * A piece is a place in the sequence numbers, of NF_STREAM_PIECE bytes from a multiple of that on, with those
 * that have come, however they were cut. In front of the stream's `next` they are copies of what has been
 * read, from there on they lie behind a hole.
 */
struct nf_stream_piece {
    uint64_t has[NF_STREAM_WORDS]; /* a bit for each byte */
    uint64_t fin : 15;             /* the stream ends in place of byte fin - 1; 0: not here */
    uint64_t held : 1;             /* it counts against its sender */
    uint64_t next : 24;            /* the stream's next older piece: its slot + 1; 0: none */
    uint64_t before : 24;          /* the next newer one */
    uint8_t bytes[NF_STREAM_PIECE];
};
struct nf_stream_place {
    uint32_t name;  /* of the stream, and its lane */
    uint32_t piece; /* sequence number / NF_STREAM_PIECE */
};
_Static_assert(sizeof(struct nf_stream_place) + sizeof(struct nf_stream_piece) == 512,
               "a piece is whole lines, with its key");

/* Senders are distinguished by a keyed hash: those of one number share the limit of one sender. */
#define NF_STREAM_SENDERS 4096u
struct nf_stream_name {
    uint32_t newest; /* slot + 1 of the stream's newest piece */
    uint32_t sender; /* number + 1, while it has held some; 0: not yet */
};

struct nf_streams {
    struct nf_map *pieces;            /* struct nf_stream_place -> struct nf_stream_piece */
    struct nf_lists *names;           /* struct nf_stream_name, of the streams that have pieces */
    const uint32_t *held;             /* [NF_STREAM_SENDERS]: pieces that count against each */
    uint32_t flow_pieces, loose;      /* all up to here constant */
    _Alignas(FT_LINE) uint64_t burst; /* the last one in which a hole was filled */
    uint64_t filled;                  /* bytes behind holes that have become readable in it */
    uint64_t looked;                  /* pieces that its acknowledgements have looked at for the first one */
};

/* Of a stream that has pieces. */
static inline const struct nf_stream_name *nf_stream_name_of(const struct nf_streams *streams,
                                                             const struct nf_stream *s)
{
    return nf_lists_value(streams->names, nf_list_first(&s->name));
}
static inline const uint32_t *nf_stream_newest(const struct nf_streams *streams, const struct nf_stream *s)
{
    return &nf_stream_name_of(streams, s)->newest;
}

/* Bytes that a direction may have on its way. */
static inline uint32_t nf_streams_flow_bytes(const struct nf_streams *streams)
{
    return streams->flow_pieces * NF_STREAM_PIECE;
}

/* From what is acknowledged on, nothing is kept and nothing has been read farther than this. A stream that
 * was picked up may have begun in front of that, and a segment without a copy is as long as one can be. */
static inline uint32_t nf_streams_farthest(const struct nf_streams *streams)
{
    return nf_streams_flow_bytes(streams) + NF_STREAM_FRONT + UINT16_MAX + 1u;
}

#endif
