/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packets of syn_proxy: segments without data that it makes, packets that become such a segment where
 * they are, and sequence numbers that are moved. Writes frames alone, and the parsed fields with them.
 */
#ifndef NFS_SYN_PROXY_FRAMES_H
#define NFS_SYN_PROXY_FRAMES_H

#include "nflib/nf.h"

#define SP_FRAME_MAX (14u + 8 + 40 + 24)

/* What a segment without data says; host order. */
struct sp_segment {
    uint32_t seq, ack;
    uint16_t window, mss; /* mss 0: no option */
    uint8_t flags;
    bool probe; /* a byte of data, which is 0; without an MSS */
};

/* A frame of the packet's family beside `p`: to where it came from (`back`), or the way that it goes. Its
 * length. */
uint32_t sp_frame_make(const struct nf_packet *p, bool back, const struct sp_segment *segment,
                       uint8_t out[SP_FRAME_MAX]);
/* The packet becomes this segment; what is left of the frame is padding. Without an MSS, where the frame has
 * no room for it behind TCP's header without options: the node has 64 bytes of each, or its headers. */
void sp_packet_become(struct nf_packet *p, const struct sp_segment *segment);
/* The MSS that a SYN says; without one 536 (RFC 9293, 3.7.1). */
uint16_t sp_packet_mss(const struct nf_packet *p);

/* Of a handshake: without data, and with the right checksum. */
bool sp_packet_is_sound(const struct nf_packet *p);
uint32_t sp_packet_seq(const struct nf_packet *p);
uint32_t sp_packet_ack(const struct nf_packet *p);
/* Adds to the sequence number, or to the acknowledgement number, with the checksum. */
void sp_packet_move_seq(struct nf_packet *p, uint32_t by);
void sp_packet_move_ack(struct nf_packet *p, uint32_t by);
/* Adds to the sequence number of the TCP header that an ICMP error quotes. */
void sp_packet_move_quoted(struct nf_packet *p, uint32_t by);

#endif
