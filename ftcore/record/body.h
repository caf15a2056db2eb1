/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bodies of log records and chunks of deltas are made of: varints, with seven bits in a byte, the
 * low ones first, and the top bit set in all bytes but the last; and plain bytes; and how encoders and
 * decoders of these and of messages write and read msgpack. Private to them. Nothing is read beyond `end`.
 */
#ifndef FTCORE_RECORD_BODY_H
#define FTCORE_RECORD_BODY_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Read from front to back. `at` stays where what is at fault begins. */
struct ft_body {
    const uint8_t *at, *end;
};

/* Where msgpack-c's packer writes: a bounded buffer of the caller's. Once something did not fit, nothing more
 * is written. */
struct ft_out {
    uint8_t *at, *end;
    bool full;
};

/* A msgpack_packer_write. */
static inline int ft_out_write(void *data, const char *bytes, size_t len)
{
    struct ft_out *out = data;

    if (out->full || len > (size_t)(out->end - out->at)) {
        out->full = true;
        return -1;
    }
    if (len)
        memcpy(out->at, bytes, len);
    out->at += len;
    return 0;
}

static inline uint8_t *ft_put_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

/* False: the body ends, or the number has more than 64 bits. */
static inline bool ft_get_varint(struct ft_body *b, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; b->at < b->end && shift < 64; shift += 7) {
        uint8_t byte = *b->at++;

        if (shift == 63 && byte > 1)
            return false;
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Differences of either sign, modulo 2^64: small ones in few bytes. */
static inline uint64_t ft_zigzag(uint64_t step)
{
    return step << 1 ^ (uint64_t)((int64_t)step >> 63);
}
static inline uint64_t ft_unzigzag(uint64_t v)
{
    return v >> 1 ^ -(v & 1);
}

static inline int ft_body_ends(struct ft_fault *why, const char *what)
{
    return ft_fail(why, FT_EMALFORMED, "body ends or a number in it is too long, expected %s", what);
}

/* All of the body must have been read. */
static inline int ft_body_done(const struct ft_body *b, struct ft_fault *why)
{
    return b->at == b->end
               ? 0
               : ft_fail(why, FT_EMALFORMED, "%td bytes more, expected the body's end", b->end - b->at);
}

/* Copies bytes and zeroes `to` up to the next multiple of 8: both nodes hold the same. */
static inline int ft_get_bytes(struct ft_body *b, void *to, size_t len, struct ft_fault *why)
{
    if ((size_t)(b->end - b->at) < len)
        return ft_fail(why, FT_EMALFORMED, "%td bytes left in the body, expected %zu", b->end - b->at, len);
    memcpy(to, b->at, len);
    memset((uint8_t *)to + len, 0, -len & 7);
    b->at += len;
    return 0;
}

/*
 * A cursor over msgpack in memory, in the three forms that a message or an entry is made of.
 * Nothing is allocated, nothing is read beyond `end`, and the first thing that is wrong is named with its
 * offset.
 */
struct ft_reader {
    const uint8_t *frame, *at, *end; /* offsets count from `frame` */
    struct ft_fault *fault;
    const char *type; /* what is read, for texts */
    int ended;        /* the error when the input ends too early */
};

/* FT_EMALFORMED with "offset N: TYPE …". */
#define FT_READ_REFUSE(in, where, fmt, ...)                                                                  \
    ft_fail((in)->fault, FT_EMALFORMED, "offset %td: %s " fmt, (where) - (in)->frame, (in)->type, __VA_ARGS__)

/*
 * What stands in front of an array, a string or bytes: its length is in the type byte itself (of `fix`, with
 * `mask`), or in 1, 2 or 4 bytes behind types first, first + 1, first + 2. Arrays have no one-byte form.
 */
struct ft_form {
    const char *text;
    uint8_t fix, mask, first, bytes;
};
extern const struct ft_form ft_array_form, ft_str_form, ft_bin_form;

/* All return 0, FT_EMALFORMED or `ended`, and then reading is over. `name` is for texts. */
int ft_read_number_any(struct ft_reader *in, const char *name, uint64_t *v); /* however near to the end */
int ft_read_length(struct ft_reader *in, const char *name, const struct ft_form *form, uint64_t *len);
/* A string or bytes of min to max. */
int ft_read_bytes(struct ft_reader *in, const char *name, const struct ft_form *form, uint64_t min,
                  uint64_t max, const uint8_t **bytes, uint32_t *len);

/* An unsigned number. Most of a head is made of them, so this is inline where nine bytes are left: there no
 * number is too long, whatever its form. */
static inline int ft_read_number(struct ft_reader *in, const char *name, uint64_t *v)
{
    const uint8_t *p = in->at;
    uint64_t behind;

    if (in->end - p < 9 || (*p >= 0x80 && (*p & ~3u) != 0xcc))
        return ft_read_number_any(in, name, v);
    if (*p < 0x80) {
        *v = *p;
        in->at++;
        return 0;
    }
    unsigned bytes = 1u << (*p & 3); /* cc, cd, ce, cf: 1, 2, 4, 8 bytes, big-endian */

    memcpy(&behind, p + 1, sizeof(behind));
    *v = __builtin_bswap64(behind) >> (64 - 8 * bytes);
    in->at += 1 + bytes;
    return 0;
}

#endif
