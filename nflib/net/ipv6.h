/* SPDX-License-Identifier: Apache-2.0 */
/* What addresses of IPv6 are. An address has 16 bytes, as in a packet. */
#ifndef NFLIB_NET_IPV6_H
#define NFLIB_NET_IPV6_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The unspecified address, loopback, or IPv4 in IPv6's form: never source or destination on a link. */
static inline bool nf_ipv6_martian(const uint8_t addr[16])
{
    static const uint8_t none[16], loopback[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(addr, none, 16) == 0 || memcmp(addr, loopback, 16) == 0 ||
           memcmp(addr, mapped, sizeof(mapped)) == 0;
}
/* Multicast. */
static inline bool nf_ipv6_many(const uint8_t addr[16])
{
    return addr[0] == 0xff;
}
/* fe80::/10: known on its link alone. */
static inline bool nf_ipv6_link_local(const uint8_t addr[16])
{
    return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

/* A header in front of the upper layer's: hop by hop, routing, fragment, options for the destination. As a
 * packet's `proto`, the one that could not be read. */
static inline bool nf_ipv6_is_extension(uint8_t proto)
{
    return proto == 0 || proto == 43 || proto == 44 || proto == 60;
}

/* `bits`: 0 to 128. */
static inline bool nf_ipv6_in_prefix(const uint8_t addr[16], const uint8_t prefix[16], unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(addr, prefix, whole) == 0 && (!rest || (addr[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}
static inline bool nf_ipv6_has_host_bits(const uint8_t addr[16], unsigned bits)
{
    for (; bits < 128; bits++)
        if (addr[bits / 8] >> (7 - bits % 8) & 1)
            return true;
    return false;
}

#endif
