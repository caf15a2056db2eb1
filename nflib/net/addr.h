/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address of either family, and a network. The chain's own addresses, routes and neighbours, and their
 * configuration, have this form. Packets hold addresses in another form: packet.h.
 *
 * An address of IPv4 is here the one of ::ffff:0:0/96 that ends with it, as no packet of IPv6 on a link has
 * it. Where the family is known, its last word alone distinguishes addresses of IPv4.
 */
#ifndef NFLIB_NET_ADDR_H
#define NFLIB_NET_ADDR_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* ---- addresses of IPv6, 16 bytes as in a packet -------------------------------------------------------- */

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

/* ---- addresses of either family ------------------------------------------------------------------------ */

/* An index of what there is of both. */
enum nf_family { NF_IP4, NF_IP6, NF_FAMILIES };

struct nf_addr { /* network order; all zeros: none */
    union {
        uint8_t byte[16];
        uint32_t word[4];
        uint64_t half[2];
    };
};

/* `bits` are of the 128: a network of IPv4 has 96 more than its own. */
struct nf_net {
    struct nf_addr addr;
    uint8_t bits;
    bool ipv6;
};

#define NF_MTU_LEAST_IPV6 1280u /* of any link (RFC 8200, 5) */
#define NF_IPV4_BITS      96u   /* in front of an address of IPv4 */
#define NF_ADDR_TEXT      46u   /* characters of an address, with the end of the text */

static inline struct nf_addr nf_addr_of_ipv4(uint32_t addr)
{
    return (struct nf_addr){.word = {[2] = htobe32(0xffff), [3] = addr}};
}
static inline struct nf_addr nf_addr_of_ipv6(const uint8_t addr[16])
{
    struct nf_addr a;

    memcpy(&a, addr, sizeof(a));
    return a;
}
/* Network order; of one that is of IPv4. */
static inline uint32_t nf_addr_ipv4(const struct nf_addr *a)
{
    return a->word[3];
}
static inline bool nf_addr_is_ipv6(const struct nf_addr *a)
{
    return a->half[0] || a->word[2] != htobe32(0xffff);
}
static inline bool nf_addr_same(const struct nf_addr *a, const struct nf_addr *b)
{
    return a->half[1] == b->half[1] && a->half[0] == b->half[0];
}

/* An address that can be neither source nor destination of what a router forwards: 0/8, 127/8, class E. */
static inline bool nf_addr_martian(uint32_t addr)
{
    uint32_t a = be32toh(addr);

    return a >> 24 == 0 || a >> 24 == 127 || (a >> 28 == 15 && a != 0xffffffffu);
}
static inline bool nf_addr_many(uint32_t addr) /* multicast or 255.255.255.255 */
{
    uint32_t a = be32toh(addr);

    return a >> 28 == 14 || a == 0xffffffffu;
}
/* A host's, of either family; a link-local one is. */
static inline bool nf_addr_is_host(const struct nf_addr *addr)
{
    if (nf_addr_is_ipv6(addr))
        return !nf_ipv6_martian(addr->byte) && !nf_ipv6_many(addr->byte);
    return !nf_addr_martian(nf_addr_ipv4(addr)) && !nf_addr_many(nf_addr_ipv4(addr));
}

static inline bool nf_net_has(const struct nf_net *net, const struct nf_addr *addr)
{
    return nf_ipv6_in_prefix(addr->byte, net->addr.byte, net->bits);
}
static inline bool nf_net_has_host_bits(const struct nf_net *net)
{
    return nf_ipv6_has_host_bits(net->addr.byte, net->bits);
}
/* As people count them. */
static inline unsigned nf_net_bits(const struct nf_net *net)
{
    return net->bits - (net->ipv6 ? 0 : NF_IPV4_BITS);
}
/* Network order; of a network of IPv4. */
static inline uint32_t nf_net_mask_ipv4(const struct nf_net *net)
{
    return net->bits > NF_IPV4_BITS ? htobe32(~0u << (128 - net->bits)) : 0;
}
/* An address in the network that is no host's: its own or its broadcast address, of IPv4 with room for them.
 */
bool nf_net_is_edge(const struct nf_net *net, const struct nf_addr *addr);

/* "A.B.C.D", or an address of IPv6; false: neither, or of ::ffff:0:0/96. */
bool nf_addr_parse(const char *text, struct nf_addr *out);
/* The same, or one with "/BITS" behind it, whatever its host bits, which are kept. */
bool nf_net_parse(const char *text, struct nf_net *out);
/* In `out`, which is returned. */
const char *nf_addr_text(const struct nf_addr *addr, char out[NF_ADDR_TEXT]);

#endif
