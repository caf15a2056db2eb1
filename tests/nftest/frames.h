/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of NFs: frames built from a description, and looked at, with plain code of their own: every
 * checksum is summed up anew, nothing is shared with what is tested. Numbers are in host order.
 */
#ifndef NFTEST_FRAMES_H
#define NFTEST_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#define NFT_FRAME_MAX      2048u
#define NFT_IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define NFT_MORE           0x2000u /* in `fragment` */

enum { NFT_FIN = 1, NFT_SYN = 2, NFT_RST = 4, NFT_PSH = 8, NFT_ACK = 16 };

struct nft_spec {
    uint32_t src, dst;
    uint16_t sport, dport; /* ICMP: sport is the identifier */
    uint8_t proto;
    uint8_t tcp;        /* flags */
    uint32_t seq, ack;  /* of TCP; 0: some number */
    uint8_t type, code; /* ICMP */
    uint8_t tags;       /* VLAN tags, 0 … 2 */
    uint8_t options;    /* words of IPv4 options (no-operations), 0 … 10 */
    bool no_udp_sum;
    uint16_t ip_id;
    uint16_t fragment;    /* offset in 8 bytes, NFT_MORE */
    uint16_t payload;     /* bytes of it; in a later fragment all there is */
    const char *text;     /* the payload, in place of `payload` bytes of no meaning; NULL: those */
    const uint8_t *inner; /* ICMP error: an IPv4 packet to quote */
    uint16_t inner_len;
};

/* Writes the frame, returns its length (at least 60); 0: it would be more than NFT_FRAME_MAX bytes, or has
 * more tags or options than a frame can have. */
uint32_t nft_frame(const struct nft_spec *spec, uint8_t out[NFT_FRAME_MAX]);

/* What a frame says; false when it is no IPv4. Works on truncated captures. */
struct nft_seen {
    uint32_t src, dst;
    uint16_t sport, dport;
    uint8_t proto, type;
    uint8_t tcp;       /* flags */
    uint32_t seq, ack; /* of TCP */
    uint16_t fragment, ip_id;
    uint32_t l3, l4, end; /* offsets in the frame */
};
bool nft_see(const uint8_t *frame, uint32_t len, struct nft_seen *seen);

/* NULL, or which checksum is wrong: IPv4, TCP, UDP, ICMP, of the packet and of one that an ICMP error quotes.
 * Nothing is said of a header that is cut, of what follows a fragment's header, and where lengths contradict
 * each other. */
const char *nft_checksums(const uint8_t *frame, uint32_t len);

/* Puts other addresses and ports in, and sums up every checksum anew (not of fragments). */
void nft_readdress(uint8_t *frame, uint32_t len, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport);

/* Sums up the IPv4 header anew, if there is one. */
void nft_ip_checksum(uint8_t *frame, uint32_t len);

#endif
