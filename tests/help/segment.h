/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of NFs that look into payload: frames of TCP and UDP with a payload of one's own, of IPv4 or
 * IPv6, with every checksum right. Plain code that shares nothing with what is tested.
 */
#ifndef TESTS_HELP_SEGMENT_H
#define TESTS_HELP_SEGMENT_H

#include "nftest/frames.h"

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

/* TCP's checksum made right after a change, or ICMPv6's: no extension headers. */
void help_segment_seal(uint8_t *frame);
void help_segment_seal_icmpv6(uint8_t *frame);
/* The checksums of a frame of TCP or UDP, whole, without extension headers, sum up to what they should. */
bool help_segment_is_right(const uint8_t *frame, uint32_t len);

#endif
