/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of packets: seeded packets with right checksums, recomputed plainly, in room that ends at a
 * page nobody may touch.
 */
#ifndef TESTS_HELP_PACKET_H
#define TESTS_HELP_PACKET_H

#include "nflib/net/packet.h"

/* A seeded number below n. */
uint32_t packet_below(uint32_t n);

#define ROOM 131072u

/* `n` bytes of `from`, followed by bytes that cannot be read. */
uint8_t *packet_place(const uint8_t *from, uint32_t n);

/* Parses; the short way for usual packets must find what the way for any finds. */
struct nf_packet packet_parsed(uint8_t *data, uint32_t len, uint32_t have);

/* Checksums the plain way: big-endian words, one after the other. */
uint32_t plain_add(uint32_t sum, const uint8_t *at, uint32_t n);
uint16_t plain_end(uint32_t sum);
uint16_t be16(const uint8_t *at);
void set16(uint8_t *at, uint32_t v);

/* What the checksum field at `at` must hold, over n bytes from `from` and a start. */
uint16_t plain_field(uint8_t *at, const uint8_t *from, uint32_t n, uint32_t start);

enum { TCP = 6, UDP = 17, ICMP = 1 };

uint32_t l4_sum_at(uint8_t proto);

/* Bytes of the IPv4 header. */
uint32_t packet_ip_header(const uint8_t *ip);

/* The L4 checksum that an IPv4 packet with `l4_len` bytes of L4 must have. */
uint16_t packet_l4_sum(uint8_t *ip, uint32_t l4_len);

/* Sets length and checksums of an IPv4 packet with `l4_len` bytes of L4; UDP's checksum is sometimes absent.
 */
void packet_finish(uint8_t *ip, uint32_t l4_len);

/* A packet without error inside: header with or without options, TCP, UDP or an echo. Bytes of L4. */
uint32_t packet_build(uint8_t *ip, uint8_t proto, uint32_t payload);
uint8_t packet_any_proto(void);

/* A seeded Ethernet header with so many VLAN tags; its length. */
uint32_t packet_ethernet(uint8_t *frame, unsigned tags, uint16_t type);

#endif
