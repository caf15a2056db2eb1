/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum (RFC 1071): folded and complemented, in network order as it stands in a header. Of a
 * message that has the right one in its field it is 0.
 */
#ifndef NFLIB_NET_CHECKSUM_H
#define NFLIB_NET_CHECKSUM_H

#include <stdint.h>

uint16_t nf_checksum(const void *data, uint32_t n);
/* Of TCP's or UDP's message of n bytes, 65535 at most, with the pseudo header of IPv4: source and destination
 * as in the packet's header. */
uint16_t nf_ipv4_checksum(const uint8_t addresses[8], uint8_t proto, const void *message, uint32_t n);
/* The same with that of IPv6 (RFC 8200, 8.1), for ICMPv6 too. */
uint16_t nf_ipv6_checksum(const uint8_t addresses[32], uint8_t proto, const void *message, uint32_t n);

/* The checksum after a word of 32 or 16 bits has changed (RFC 1624, eqn. 3); all in network order. */
static inline uint16_t nf_checksum_adjust32(uint16_t sum, uint32_t from, uint32_t to)
{
    uint64_t n = (uint64_t)(uint16_t)~sum + (uint32_t)~from + to;
    n = (n >> 32) + (uint32_t)n;
    n = (n >> 16) + (n & 0xffff);
    n = (n >> 16) + (n & 0xffff);
    return (uint16_t) ~((n >> 16) + n);
}
static inline uint16_t nf_checksum_adjust16(uint16_t sum, uint16_t from, uint16_t to)
{
    uint32_t n = (uint32_t)(uint16_t)~sum + (uint16_t)~from + to;
    n = (n >> 16) + (n & 0xffff);
    return (uint16_t) ~((n >> 16) + n);
}

#endif
