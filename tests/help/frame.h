/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of NFs: frames of IPv4 and IPv6, made and looked at with plain code that shares nothing with what
 * is tested: segments with a payload of one's own, and packets of either family from a description.
 */
#ifndef TESTS_HELP_FRAME_H
#define TESTS_HELP_FRAME_H

#include "nftest/frames.h"

/* Of TCP, UDP, ICMP or another protocol, from one end to another, and what else is said of it by field. */
#define HELP_PACKET(protocol, source, source_port, destination, destination_port, ...)                       \
    ((struct nft_spec){.proto = (protocol),                                                                  \
                       .src = (source),                                                                      \
                       .sport = (source_port),                                                               \
                       .dst = (destination),                                                                 \
                       .dport = (destination_port),                                                          \
                       ##__VA_ARGS__})
#define HELP_SEGMENT(protocol, source, source_port, destination, destination_port, ...)                      \
    ((struct help_segment){.proto = (protocol),                                                              \
                           .from = (source),                                                                 \
                           .sport = (source_port),                                                           \
                           .to = (destination),                                                              \
                           .dport = (destination_port),                                                      \
                           ##__VA_ARGS__})
#define SIX(protocol, source, source_port, destination, destination_port, ...)                               \
    ((struct six){.proto = (protocol),                                                                       \
                  .from = (source),                                                                          \
                  .sport = (source_port),                                                                    \
                  .to = (destination),                                                                       \
                  .dport = (destination_port),                                                               \
                  ##__VA_ARGS__})

/* Numbers of a packet, in host order. */
void help_put16(uint8_t *at, uint32_t value);
void help_put32(uint8_t *at, uint32_t value);
uint32_t help_get16(const uint8_t *at);
uint32_t help_get32(const uint8_t *at);

/* Over n bytes, and a start. With what is in the checksum field: 0 when that is right; with 0 in it, what
 * belongs there. The other one: over a message at l4 behind the header at `ip`. */
uint32_t help_checksum(uint32_t start, const uint8_t *at, uint32_t n);
uint32_t help_l4_checksum(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t n);
/* Length and checksums of a packet of IPv4 with n bytes of L4. */
void help_seal_ipv4(uint8_t *ip, uint32_t n);
/* What is quoted of a datagram in an error about it: header and ports. Its length. */
uint16_t help_quoted(uint8_t out[28], uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport);
/* The header at `ip`, for `length` bytes behind it; addresses as people write them. */
void help_ipv6_header(uint8_t *ip, uint8_t proto, const char *from, const char *to, uint32_t length);

/* A frame of TCP or UDP with a payload, without extension headers, with every checksum right. */
struct help_segment {
    bool ipv6;        /* addresses are 2001:db8::HOST then */
    uint8_t from, to; /* hosts: 10.0.0.HOST */
    uint16_t sport, dport;
    uint8_t proto; /* 6, or else 17 */
    uint8_t flags;
    uint32_t seq, ack;
    const void *payload; /* NULL: zeros */
    uint32_t len;
    uint16_t window; /* 0: 65535 */
};
/* The frame's length. */
uint32_t help_segment_frame(const struct help_segment *segment, uint8_t out[NFT_FRAME_MAX]);

/* The L4's checksum made right after a change: no extension headers. */
void help_segment_seal(uint8_t *frame);
/* The checksums of a frame of TCP or UDP, whole, without extension headers, sum up to what they should. */
bool help_segment_is_right(const uint8_t *frame, uint32_t len);

/* ---- packets of both families; addresses are texts ---------------------------------------------- */

#define SIX_MAX 4096u

struct six {
    const char *from, *to; /* which say the family */
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

bool six_is_ipv6(const struct six *s);
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
