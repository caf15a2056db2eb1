/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of nat64: packets of both families from a description, and what a frame says, with sums of their
 * own, made anew. Numbers are in host order; addresses are texts. */
#ifndef TESTS_HELP_NAT64_H
#define TESTS_HELP_NAT64_H

#include <stdbool.h>
#include <stdint.h>

#define SIX_MAX 4096u

struct six {
    bool ipv6;
    const char *from, *to;
    uint8_t proto;         /* 58 for ICMPv6 */
    uint16_t sport, dport; /* of ICMP: sport is the identifier */
    uint8_t tcp;           /* flags */
    uint8_t type, code;
    uint32_t rest; /* of an ICMP error: its second word */
    uint16_t payload;
    uint8_t class, limit;
    uint16_t fragment; /* as IPv4 has it: offset in 8 bytes, 0x2000 */
    bool dont, atomic, no_udp_sum;
    uint8_t options; /* words of IPv4's, no-operations; of IPv6 8 bytes each of options for the destination */
    uint8_t tags;    /* VLAN */
    uint32_t id;
    const uint8_t *inner; /* an error quotes it */
    uint32_t inner_len;
};

/* The frame, its length. `at` has SIX_MAX bytes. */
uint32_t six_frame(const struct six *s, uint8_t *at);

/* What a frame says. False: it is neither IPv4 nor IPv6, or its lengths are wrong. `wrong`: a checksum that
 * is, or NULL; nothing is said of later fragments. */
struct six_seen {
    bool ipv6, dont, fragmented;
    char from[46], to[46];
    uint8_t proto, type, code, class, limit, tcp;
    uint16_t sport, dport, fragment, payload;
    uint32_t id, rest, l3, l4, end;
    const char *wrong;
};
bool six_see(const uint8_t *frame, uint32_t len, struct six_seen *seen);
/* The packet that an error quotes: its lengths are those that it had. */
bool six_see_quoted(const uint8_t *frame, const struct six_seen *error, struct six_seen *seen);

#endif
