/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the arithmetic of the Internet checksum. One's complement sums do not depend on byte order, so words
 * are taken as they lie in memory.
 */
#include "nflib/net/bytes.h"
#include "nflib/net/packet.h"

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint16_t nf_checksum(const void *data, uint32_t n)
{
    const uint8_t *at = data;
    uint64_t sum = 0;
    for (; n >= 4; at += 4, n -= 4)
        sum += nf_get32(at);
    if (n >= 2) {
        sum += nf_get16(at);
        at += 2;
        n -= 2;
    }
    if (n)
        sum += *at;
    return (uint16_t)~fold(sum);
}
