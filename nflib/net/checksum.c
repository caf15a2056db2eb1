/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the computing of Internet checksums over whole messages; see checksum.h. */
#include "nflib/net/checksum.h"
#include "nflib/net/bytes.h"

#include <netinet/in.h>

/* One's complement sums do not depend on byte order, so words are taken as they lie in memory. */
uint16_t nf_checksum(const void *data, uint32_t n)
{
    const uint8_t *at = data;
    uint64_t sum = 0;
    for (; n >= 4; at += 4, n -= 4)
        sum += nf_get32(at);
    if (n & 2)
        sum += nf_get16(at);
    if (n & 1)
        sum += at[n - 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint16_t nf_ipv4_checksum(const uint8_t addresses[8], uint8_t proto, const void *message, uint32_t n)
{
    uint32_t sum = (uint16_t)~nf_checksum(addresses, 8) + (uint16_t)~nf_checksum(message, n);

    sum += htons((uint16_t)n) + htons(proto);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

uint16_t nf_ipv6_checksum(const uint8_t addresses[32], uint8_t proto, const void *message, uint32_t n)
{
    uint32_t sum = (uint16_t)~nf_checksum(addresses, 32) + (uint16_t)~nf_checksum(message, n);

    sum += htons((uint16_t)(n >> 16)) + htons((uint16_t)n) + htons(proto);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}
