/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of maps and sessions: comparing and hashing a few bytes of a known number, and fetching ahead the line
 * that one leads to. No state. For the code of tables alone.
 */
#ifndef NFLIB_STATE_KEY_H
#define NFLIB_STATE_KEY_H

#include "ftcore/base/check.h"
#include "nflib/net/packet.h"

#include <stdbool.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Keys are short: whole words and an overlapping last one are quicker than a call. */
static inline bool nf_key_equal(const uint8_t *a, const uint8_t *b, uint32_t n)
{
    if (n >= 8) {
        uint64_t differ = nf_get64(a + n - 8) ^ nf_get64(b + n - 8);

        for (uint32_t i = 0; i + 8 < n; i += 8)
            differ |= nf_get64(a + i) ^ nf_get64(b + i);
        return !differ;
    }
    if (n >= 4)
        return !((nf_get32(a) ^ nf_get32(b)) | (nf_get32(a + n - 4) ^ nf_get32(b + n - 4)));
    for (uint32_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static inline uint64_t nf_key_hash(const void *key, uint32_t size, uint64_t seed)
{
    /* The usual sizes as constants: the compiler drops what the other lengths need. */
    if (ft_likely(size == 16))
        return XXH3_64bits_withSeed(key, 16, seed);
    switch (size) {
    case 4:
        return XXH3_64bits_withSeed(key, 4, seed);
    case 8:
        return XXH3_64bits_withSeed(key, 8, seed);
    case 12:
        return XXH3_64bits_withSeed(key, 12, seed);
    case 13:
        return XXH3_64bits_withSeed(key, 13, seed);
    default:
        return XXH3_64bits_withSeed(key, size, seed);
    }
}

/* Low half of the hash: the bucket, scaled instead of masked so that tables need not be powers of two. */
static inline uint32_t nf_key_bucket(uint64_t hash, uint32_t buckets)
{
    return (uint32_t)((uint64_t)(uint32_t)hash * buckets >> 32);
}

/* Top of the hash: the tag by which a bucket distinguishes its keys, never 0. */
static inline uint16_t nf_key_tag(uint64_t hash)
{
    uint16_t tag = (uint16_t)(hash >> 48);

    return tag ? tag : 1;
}

#endif
