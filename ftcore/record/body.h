/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bodies of log records and chunks of deltas are made of: varints, with seven bits in a byte, the
 * low ones first, and the top bit set in all bytes but the last; and plain bytes; and where encoders of
 * these and of messages write. Private to them and their decoders. Nothing is read beyond `end`.
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

#endif
