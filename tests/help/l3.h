/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the chain's own addresses: a chain of one NF that can translate, and frames to send to it.
 *
 *     10.0.0.0/24 ── 10.0.0.1 [port 0, inside] chain [port 1, outside] 203.0.113.1 (and .9) ── 203.0.113.254
 *
 * One chain at a time; it owns its region.
 */
#ifndef TESTS_HELP_L3_H
#define TESTS_HELP_L3_H

#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"

extern const uint8_t inner_mac[6], outer_mac[6];
extern const uint8_t host_mac[6], gate_mac[6];
extern const uint8_t everybody[6];
uint32_t ip4(const char *text);
struct nf_addr l3_addr(const char *text);
struct nf_net l3_net(const char *text);

/* Whether the NF translates: 10.0.0.5 is 203.0.113.9 outside. Packets that it was given. */
extern bool l3_translating;

extern uint32_t l3_processed;
extern struct nf_l3_config l3_config;

/* What l3_begin makes the chain from; l3_configure, which runs before main(), sets it to what a test begins
 * with. */
extern struct nf_chain_config l3_chain_config;

extern struct ft_region *l3_region;
extern struct nf_chain *l3_chain;
extern struct nf *l3_nf;
__attribute__((constructor)) void l3_configure(void);

/* A test that makes a chain, of which nothing is left behind it. */
#define L3_TEST(name) TEST_WITH(name, NULL, l3_end)
int l3_end(void **state);

/* Called inside the tests, in place of the chain before: audit and cmocka both want SIGSEGV, and the later
 * one has it. */
void l3_begin(void);

/* The chain becomes one with these interfaces and routes, as in a node; fails the test where that is refused.
 */
void l3_change(const struct nf_l3_config *to);

/* One packet, or none, at a time in seconds; what it made is in l3_made[]. */
extern const struct nf_emitted *l3_made;

extern uint32_t l3_made_count;
void l3_run(double at, struct nf_packet *p);
void l3_run_all(double at, struct nf_packet packets[], uint32_t n); /* as one burst */

/* One packet: as the chain left it. Or it fails the test unless the packet leaves by the port, or is dropped
 * for the reason. */
struct nf_packet l3_comes(double at, struct nf_packet p);
void l3_leaves(double at, struct nf_packet p, uint8_t port);
void l3_dropped(double at, struct nf_packet p, enum nf_l3_counter reason);

/* Fail the test when it is otherwise. */
void l3_assert_counted(enum nf_l3_counter counter, uint64_t n);

void l3_assert_dropped(const struct nf_packet *p, enum nf_l3_counter reason);

/* Where the next functions build a frame; the next one overwrites it. */
extern uint8_t l3_frame[1600];

/* An IPv4 packet to the chain's MAC of the port with the given L4 bytes. */
struct nf_packet l3_ipv4(uint8_t port, const char *from, const char *to, uint8_t ttl, uint8_t proto,
                         const void *l4, uint16_t n);

struct nf_packet l3_udp(uint8_t port, const char *from, const char *to, uint8_t ttl);
struct nf_packet l3_echo(uint8_t port, const char *from, const char *to, uint8_t ttl);

/* With the header's checksum, of so many bytes, set right for what has been changed. */
void l3_seal4(uint32_t header);

struct nf_packet l3_arp(uint8_t port, uint8_t operation, const uint8_t *to, const uint8_t *mac,
                        const char *sender, const char *target);

/* First burst, and both neighbours known from then on; of a chain that is begun here, at 0 s. */
void l3_know_both(double at);
void l3_begin_knowing_both(void);

/* The last byte of the MAC that a packet of a host, or of a server outside, goes to now. */
int l3_mac_of(double at, uint8_t from, const char *to);

/* Fails the test when an IPv4 header's checksum is wrong. */
void l3_assert_valid(const uint8_t *f);

/*
 * For tests of the chain's IPv6: help_l3's chain with it on both links. The frames of these tests were
 * written by hand from RFC 8200, 4443 and 4861, with checksums by another program, and none by the code under
 * test.
 *
 *     2001:db8:1::/64 ── ::1, fe80::ff:fe00:1 [port 0] chain [port 1] 2001:db8:2::1, fe80::ff:fe00:2
 *
 * Routes: all by 2001:db8:2::fe, and 2001:db8:77::/48 by fe80::1 of port 0.
 */

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

/* The last byte of the MAC that packets to the gateway go to now. */
int l3_gate6_mac(double at);

#endif
