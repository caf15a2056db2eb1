/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a frame or a key, wherever they lie: no alignment is assumed, no byte order changed. */
#ifndef NFLIB_NET_BYTES_H
#define NFLIB_NET_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t nf_get16(const uint8_t *at)
{
    uint16_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline uint32_t nf_get32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline uint64_t nf_get64(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline void nf_put16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, sizeof(v));
}

static inline void nf_put32(uint8_t *at, uint32_t v)
{
    memcpy(at, &v, sizeof(v));
}

#endif
