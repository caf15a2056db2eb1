/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log record: one burst of one lane. Two forms.
 *
 * In memory (struct ft_record and what follows it, native, 8-byte aligned, in a ring): written by the lane's
 * capture on the primary and by the receiver on the standby, the same bytes; read by the sender and by the
 * lane's replay. Behind the struct, each at a multiple of 8:
 *
 *     ft_input[inputs] | captured bytes | ft_dependency[dependencies] | determinants, each u32 length + bytes
 *
 * Inputs come first because they are known before the chain runs; an operator's command comes before the run,
 * determinants of NFs and dependencies after it.
 *
 * On the wire: a msgpack array of numbers, which FT_RECORD_NUMBERS lists, and a body: ftcore/record/record.c.
 */
#ifndef FTCORE_RECORD_RECORD_H
#define FTCORE_RECORD_RECORD_H

#include "ftcore/base/error.h"
#include "ftcore/record/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FT_BURST_MAX        32u /* packets in a burst */
#define FT_FRAME_MIN        14u /* bytes of a frame */
#define FT_FRAME_MAX        9216u
#define FT_BYTES_MAX        (FT_BURST_MAX * FT_FRAME_MAX)
#define FT_DEPENDENCIES_MAX 1024u        /* dependencies in a record; more abort the node: nf_shared_left */
#define FT_DETERMINANTS_MAX 65536u       /* bytes of determinants in a record */
#define FT_RECORD_MAX       (512u << 10) /* bytes of a record in memory */

/* What an entry of a lane's log ring is. Records and chunks (ftcore/record/delta.h) begin with the same eight
 * bytes. */
enum ft_entry_kind {
    FT_ENTRY_RECORD,
    FT_ENTRY_CHUNK,
};

enum ft_record_flags {
    FT_REC_BY_SEQ =
        1, /* an input keeper has the inputs: `inputs` counts them, no ft_input and no bytes follow */
    /* `digest` is the whole region's. With one lane: after this burst. With several: before it, when all
     * lanes had quiesced before their records that carry the same digest. */
    FT_REC_DIGEST = 2,
    FT_REC_STAMPED = 4, /* `time` was stamped by the input keeper */
    /* `digest` is of one slice, which `slice` names (ftcore/region/slice.h). Alone: of the lane's own arenas,
     * or with one lane of any, after this burst. With FT_REC_DIGEST: of any, at the moment of that. */
    FT_REC_SLICE = 8,
    FT_REC_FLAGS = 15, /* all of them */
};

#define FT_REC_DIGESTS (FT_REC_DIGEST | FT_REC_SLICE) /* with one of them `digest` means something */
#define FT_SLICE_LAST  ((1u << 20) - 1)               /* no slice has a higher number */

enum ft_input_flags {
    FT_IN_OUTSIDE = 1, /* arrived on a port of the chain's outer side */
    /* Captured is not the frame's beginning but FT_SESSION_BYTES that identify the packet by the session it
     * comes with: its number times 2 plus which of its keys (u32), bytes of the IP packet (u16), TCP's flags,
     * DSCP and ECN (a byte each), little-endian. From version 4 on. */
    FT_IN_SESSION = 2,
    /* It has its sequence number, and no NF gets it: nothing of it is captured (docs/guarantees.md, G7). From
     * version 4 on. */
    FT_IN_ASIDE = 4,
    FT_IN_FLAGS = 7, /* all of them */
};

#define FT_SESSION_BYTES 8u

struct ft_input {
    uint32_t wire;  /* bytes of the frame on the wire, FT_FRAME_MIN to FT_FRAME_MAX */
    uint16_t taken; /* bytes of it captured, <= wire */
    uint8_t port;
    uint8_t flags;
};

/* Order between lanes: before access `own`, `lane` had published access `access`. */
struct ft_dependency {
    uint64_t own;
    uint64_t access;
    uint16_t lane;
    uint16_t reserved[3];
};

struct ft_record {
    uint32_t size; /* bytes of the record in memory, multiple of 8 */
    uint16_t lane;
    uint8_t flags;         /* enum ft_record_flags */
    uint8_t kind;          /* FT_ENTRY_RECORD */
    uint64_t burst;        /* number of the burst in its lane, from 1, no gaps */
    uint64_t seq;          /* sequence number of the first input; the others have the next ones */
    uint64_t time;         /* chain time of the burst, ns */
    uint64_t released;     /* outputs this lane has released so far, since the lane began */
    uint64_t access;       /* number of the lane's first access to a shared object in this burst */
    uint64_t digest;       /* with FT_REC_DIGESTS; otherwise it means nothing, and is 0 on the wire */
    uint64_t slice;        /* with FT_REC_SLICE: the slice's number; otherwise 0 */
    uint32_t accesses;     /* how many accesses in this burst */
    uint32_t bytes;        /* captured bytes: the sum of what was taken of the inputs; without padding */
    uint32_t determinants; /* bytes of determinants, their lengths included, without padding */
    uint16_t inputs;
    uint16_t dependencies;
    FT_NEXT_RECORD_MEMBERS
};

/*
 * The numbers of a record on the wire, in their order there: member of struct ft_record, name in texts, least
 * and largest value, and the version of the format that began it unless it is the first
 * (ftcore/record/format.h). Encode, its bound, decode and check follow from this table; `size` and `kind`
 * alone are not in it.
 */
#define FT_RECORD_NUMBERS(NUMBER)                                                                            \
    NUMBER(struct ft_record, lane, "lane", 0, FT_LANES_MAX - 1)                                              \
    NUMBER(struct ft_record, flags, "flags", 0, FT_REC_FLAGS)                                                \
    NUMBER(struct ft_record, burst, "burst", 1, UINT64_MAX)                                                  \
    NUMBER(struct ft_record, seq, "seq", 0, UINT64_MAX)                                                      \
    NUMBER(struct ft_record, time, "time", 0, UINT64_MAX / 2)                                                \
    NUMBER(struct ft_record, released, "released", 0, UINT64_MAX)                                            \
    NUMBER(struct ft_record, access, "access", 0, UINT64_MAX)                                                \
    NUMBER(struct ft_record, accesses, "accesses", 0, UINT32_MAX)                                            \
    NUMBER(struct ft_record, digest, "digest", 0, UINT64_MAX)                                                \
    NUMBER(struct ft_record, slice, "slice", 0, FT_SLICE_LAST)                                               \
    NUMBER(struct ft_record, inputs, "inputs", 0, FT_BURST_MAX)                                              \
    NUMBER(struct ft_record, bytes, "bytes", 0, FT_BYTES_MAX)                                                \
    NUMBER(struct ft_record, dependencies, "dependencies", 0, FT_DEPENDENCIES_MAX)                           \
    NUMBER(struct ft_record, determinants, "determinants", 0, FT_DETERMINANTS_MAX)                           \
    FT_NEXT_RECORD_NUMBERS(NUMBER)

static inline enum ft_entry_kind ft_entry_kind(const struct ft_record *entry)
{
    return (enum ft_entry_kind)entry->kind;
}

#define FT_ALIGN8(n) (((n) + 7u) & ~(size_t)7u)

static inline const struct ft_input *ft_record_inputs(const struct ft_record *r)
{
    return (const struct ft_input *)(r + 1);
}
static inline size_t ft_record_bytes_at(const struct ft_record *r)
{
    return sizeof(*r) + (r->flags & FT_REC_BY_SEQ ? 0 : r->inputs * sizeof(struct ft_input));
}
static inline size_t ft_record_dependencies_at(const struct ft_record *r)
{
    return ft_record_bytes_at(r) + FT_ALIGN8(r->bytes);
}
static inline const struct ft_dependency *ft_record_dependencies(const struct ft_record *r)
{
    return (const void *)((const uint8_t *)r + ft_record_dependencies_at(r));
}
static inline size_t ft_record_determinants_at(const struct ft_record *r)
{
    return ft_record_dependencies_at(r) + r->dependencies * sizeof(struct ft_dependency);
}
static inline size_t ft_record_size(const struct ft_record *r)
{
    return ft_record_determinants_at(r) + FT_ALIGN8(r->determinants);
}

/* Bytes that encoding `r` can need at most. */
size_t ft_record_bound(const struct ft_record *r);

/*
 * Writes the wire form of that version of the format to out[0..cap). Returns its length; FT_EFULL: it does
 * not fit. `r` must be whole. `summed`: the record has a checksum of its own. Without it something else must
 * check the bytes: on the link the message's checksum or the seal does.
 */
long ft_record_encode(const struct ft_record *r, unsigned version, bool summed, uint8_t *out, size_t cap);

/*
 * Reads one record from in[0..len) into out[0..cap) (8-byte aligned). Returns the bytes of `in` consumed.
 * `fault` names what is wrong at which offset. FT_ETRUNC, FT_EMALFORMED, FT_EVERSION, FT_ECHECKSUM, FT_EFULL
 * (cap too small). On failure `out` holds nothing meaningful.
 */
long ft_record_decode(const uint8_t *in, size_t len, struct ft_record *out, size_t cap,
                      struct ft_fault *fault);

/* A record on the wire whose head has been read and checked, and whose body has not. */
struct ft_opened {
    struct ft_record numbers; /* all of them, `size` too */
    const uint8_t *in;        /* where the record begins; offsets in texts count from there */
    const uint8_t *body;
    size_t body_len;
    unsigned version;
};

/*
 * The two steps of ft_record_decode, for who learns from the head where the record is to be stored. The first
 * returns the bytes of `in` that the record takes, or what ft_record_decode does. The second writes
 * numbers.size bytes to `out` (8-byte aligned), unless it fails with FT_EMALFORMED: then anything.
 */
long ft_record_open(const uint8_t *in, size_t len, struct ft_opened *opened, struct ft_fault *fault);
int ft_record_read(const struct ft_opened *opened, struct ft_record *out, struct ft_fault *fault);

/* The record's numbers alone, `size` among them, and its length on the wire: no checksum, no body. FT_ETRUNC,
 * FT_EMALFORMED, FT_EVERSION. For who counts records and keeps their bytes for somebody who decodes them. */
long ft_record_peek(const uint8_t *in, size_t len, struct ft_record *numbers, struct ft_fault *fault);

#endif
