/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the chain's IPv6: help_l3's chain with it on both links. The frames of these tests were
 * written by hand from RFC 8200, 4443 and 4861, with checksums by another program, and none by the code under
 * test.
 *
 *     2001:db8:1::/64 ── ::1, fe80::ff:fe00:1 [port 0] chain [port 1] 2001:db8:2::1, fe80::ff:fe00:2
 *
 * Routes: all by 2001:db8:2::fe, and 2001:db8:77::/48 by fe80::1 of port 0.
 */
#ifndef TESTS_HELP_L3_IPV6_H
#define TESTS_HELP_L3_IPV6_H

#include "tests/help/l3.h"

/* A host of port 0 asks for the chain, and what it sends to a server that is far away. */
#define HOST_ASKS                                                                                            \
    "3333ff00000152540000000586dd6000000000203aff20010db8000100000000000000000005ff0200000000000000000001ff" \
    "0000018700cbca0000000020010db80001000000000000000000010101525400000005"
#define UDP                                                                                                  \
    "02000000000152540000000586dd60000000000c114020010db800010000000000000000000520010db8000900000000000000" \
    "00000712340035000cb92264617461"

uint32_t l3_bytes(const char *hex, uint8_t *out); /* how many */
/* A frame in l3_frame, to `port`; the next one overwrites it. */
struct nf_packet l3_hex(uint8_t port, const char *hex);
void l3_addr6(uint8_t out[16], const char *text);
/* With the checksum of ICMPv6, without extension headers, set right for what has been changed. */
void l3_seal6(struct nf_packet *p);
/* The one frame that the last packet made. */
void l3_assert_made(const char *hex, uint8_t port);

/* Called inside the tests, as l3_begin. */
void l3_begin_ipv6(void);
/* What the gateway says of itself to the chain, with these flags and this last byte of a MAC. */
struct nf_packet l3_advertised(uint8_t flags, uint8_t last);
void l3_know_gate6(void);
void l3_know_host6(void);

#endif
