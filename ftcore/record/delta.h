/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A delta is what changed between two cuts, in place of what was done. Each lane has its own, which is a run
 * of chunks, so that no chunk is larger than a ring or a message takes. The lane copied it between two
 * bursts; the lines of the shared arena travel in lane 0's delta.
 *
 * In memory a chunk lies in the same rings as log records, in the order of the lane's stream, and begins like
 * one (size, lane, flags, kind). Behind the struct, each at a multiple of 8:
 *
 *     runs of lines (struct ft_line_run) | outputs, each struct ft_chunk_output + bytes
 *
 * Two kinds of delta, alike in form. After a *delta segment* no log record lies between the start cut and the
 * chunks. A *checkpoint* (to a warm standby) covers a log segment: its records precede the chunks, and who
 * has all deltas need not replay them.
 *
 * A checkpoint may be incremental (FT_CHUNK_INCREMENTAL): then records of bursts after its end cut lie
 * between its chunks. Its first chunk comes before them, its last ones when those of all lanes do.
 *
 * A delta counts when all chunks of all lanes are there: it is in the closed set with all lanes at once or
 * not at all (ftcore/order/closed.h).
 *
 * Written by the lane (logger/delta.c) and, on the standby, by the receiver, which decodes it; read by the
 * sender, which encodes it, and by the standby's lane. On the wire a chunk is a msgpack array of numbers,
 * which FT_CHUNK_NUMBERS lists, and a body: ftcore/record/delta.c.
 */
#ifndef FTCORE_RECORD_DELTA_H
#define FTCORE_RECORD_DELTA_H

#include "ftcore/record/record.h"
#include "ftcore/region/region.h"
#include <stdbool.h>
#include <stdint.h>

#define FT_CHUNK_LINES   (96u << 10)  /* bytes of runs in a chunk at most */
#define FT_CHUNK_OUTPUTS (32u << 10)  /* bytes of outputs in a chunk at most, in memory */
#define FT_CHUNK_HELD    819u         /* outputs in a chunk at most: as many as fit these bytes */
#define FT_CHUNK_MAX     (160u << 10) /* bytes of a chunk in memory at most */

/* These flags come in addition to FT_REC_DIGEST, which only the last chunk has, and FT_REC_SLICE, which only
 * comes with that. Either all chunks of a delta are incremental, or none is: such a delta is copied beside
 * bursts, and their records may lie between its chunks, behind the first one. */
enum ft_chunk_flags {
    FT_CHUNK_LAST = 16, /* no further chunk of this lane's delta follows */
    FT_CHUNK_INCREMENTAL = 32,
    FT_CHUNK_FLAGS = FT_REC_DIGESTS | FT_CHUNK_LAST | FT_CHUNK_INCREMENTAL,
};

struct ft_chunk {
    uint32_t size; /* bytes in memory, multiple of 8 */
    uint16_t lane;
    uint8_t flags;     /* enum ft_chunk_flags */
    uint8_t kind;      /* FT_ENTRY_CHUNK */
    uint64_t cut;      /* number of the cut it ends at: 1 for the first after a snapshot, no gaps */
    uint64_t from;     /* the lane's last burst at the start cut */
    uint64_t burst;    /* the lane's last burst at the end cut, not less than `from` */
    uint64_t seq;      /* next sequence number at the end cut */
    uint64_t access;   /* accesses the lane had made at the end cut */
    uint64_t released; /* outputs the lane had released when the chunk was made */
    uint64_t outputs;  /* outputs the lane had ever made at the end cut: what is neither released nor carried
                          cannot be emitted by a successor */
    uint64_t digest;   /* with FT_REC_DIGEST: as in a record, after the end cut; otherwise 0 */
    uint64_t slice;    /* with FT_REC_SLICE: the digest is of this one; otherwise 0 */
    uint32_t number;   /* of the chunk in its delta, from 0 */
    uint32_t lines;    /* bytes of runs */
    uint32_t held;     /* outputs that follow */
    uint32_t bytes;    /* of these outputs in memory, their structs included */
};

/*
 * The numbers of a chunk on the wire, as FT_RECORD_NUMBERS lists a record's. In place of `burst` the wire has
 * how many bursts the delta stands for, burst - from.
 */
#define FT_CHUNK_NUMBERS(NUMBER)                                                                             \
    NUMBER(struct ft_chunk, lane, "lane", 0, FT_LANES_MAX - 1)                                               \
    NUMBER(struct ft_chunk, flags, "flags", 0, FT_CHUNK_FLAGS)                                               \
    NUMBER(struct ft_chunk, cut, "cut", 1, UINT64_MAX)                                                       \
    NUMBER(struct ft_chunk, from, "from", 0, UINT64_MAX)                                                     \
    NUMBER(struct ft_chunk, burst, "bursts", 0, UINT64_MAX)                                                  \
    NUMBER(struct ft_chunk, seq, "seq", 0, UINT64_MAX)                                                       \
    NUMBER(struct ft_chunk, access, "access", 0, UINT64_MAX)                                                 \
    NUMBER(struct ft_chunk, released, "released", 0, UINT64_MAX)                                             \
    NUMBER(struct ft_chunk, outputs, "outputs", 0, UINT64_MAX)                                               \
    NUMBER(struct ft_chunk, digest, "digest", 0, UINT64_MAX)                                                 \
    NUMBER(struct ft_chunk, slice, "slice", 0, FT_SLICE_LAST)                                                \
    NUMBER(struct ft_chunk, number, "number", 0, UINT32_MAX)                                                 \
    NUMBER(struct ft_chunk, lines, "lines", 0, FT_CHUNK_LINES)                                               \
    NUMBER(struct ft_chunk, held, "held", 0, FT_CHUNK_HELD)                                                  \
    NUMBER(struct ft_chunk, bytes, "bytes", 0, FT_CHUNK_OUTPUTS)

/* An output that was held at the end cut. */
struct ft_chunk_output {
    uint64_t number; /* of the lane's outputs, from 1; rising within a delta */
    uint64_t burst;  /* in (from, burst] of the chunk; never falling within a delta */
    uint64_t seq;    /* of the input it came from; 0: made by an NF */
    uint32_t len;    /* bytes of the frame, FT_FRAME_MIN to FT_FRAME_MAX */
    uint32_t have;   /* bytes of it that follow, padded to 8; <= len */
    uint8_t port;
    uint8_t reserved[7];
};

/* The chunk that an entry of this kind is: chunks and records begin with the same eight bytes. */
static inline const struct ft_chunk *ft_chunk_of(const struct ft_record *r)
{
    return (const struct ft_chunk *)(const void *)r;
}
static inline uint8_t *ft_chunk_lines(const struct ft_chunk *p)
{
    return (uint8_t *)(uintptr_t)(p + 1);
}
static inline uint8_t *ft_chunk_held(const struct ft_chunk *p)
{
    return ft_chunk_lines(p) + FT_ALIGN8(p->lines);
}
static inline uint32_t ft_chunk_size(uint32_t lines, uint32_t bytes)
{
    return (uint32_t)(sizeof(struct ft_chunk) + FT_ALIGN8(lines) + FT_ALIGN8(bytes));
}

/* Bytes its wire form can need at most. */
size_t ft_chunk_bound(const struct ft_chunk *chunk);
/* Returns the length, FT_EFULL when cap is too small. A chunk that breaks the rules above aborts. `summed`:
 * as ft_record_encode. */
long ft_chunk_encode(const struct ft_chunk *chunk, unsigned version, bool summed, uint8_t *out, size_t cap);
/*
 * Reads one chunk from in[0..len) into `chunk`, a buffer of `cap` bytes (FT_CHUNK_MAX is enough). Returns the
 * bytes consumed, or FT_ETRUNC, FT_EMALFORMED, FT_ECHECKSUM, FT_EVERSION, FT_EFULL (cap too small) with what
 * and where; then `chunk` holds nothing meaningful. Everything is checked that a chunk alone can show:
 * counts, sizes, order of numbers, runs rising, within `lines` lines of the region.
 */
long ft_chunk_decode(const uint8_t *in, size_t len, uint64_t lines, struct ft_chunk *chunk, size_t cap,
                     struct ft_fault *fault);

/*
 * Runs of lines of the region: the bulk of a snapshot, the lines of a delta, and those of a recording.
 *
 * A run is u64 first line | u32 count | u32 flags, little-endian, then count * 64 bytes unless flags is 1:
 * all zero. Of a snapshot the order of runs means nothing; those of a chunk of a delta rise. Runs are written
 * by whoever copies lines (the primary's lanes and its resync, the flight recorder) and read by whoever
 * applies them.
 */

#define FT_LINE_RUN_HEAD 16u /* bytes before the lines of a run */

struct ft_line_run {
    uint64_t line;
    uint32_t count; /* at least 1 */
    bool zero;
    const uint8_t *bytes; /* NULL for zero */
};

/*
 * The lines of `memory` from `line` on that are all zero or all not, as a run: at least one, at most `most`.
 */
struct ft_line_run ft_line_run_at(const uint8_t *memory, uint64_t line, uint64_t most);
/* Appends a run to out[0..*len). False: it would exceed `cap`, and nothing is written. */
bool ft_line_run_append(uint8_t *out, uint32_t *len, uint32_t cap, const struct ft_line_run *run);
/* The same of a run that is not zero: where its bytes are to be written, or NULL. */
uint8_t *ft_line_run_room(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count);
/* Reads the run at *at of in[0..len) and steps over it; the region has `lines` lines. 1: a run, 0: the end,
 * FT_EMALFORMED: cut short or outside the region. */
int ft_line_run_next(const uint8_t *in, uint32_t len, uint32_t *at, uint64_t lines, struct ft_line_run *run);

#endif
