/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of syn_proxy: a client outside and a server inside, whose segments are made and looked at by
 * hand. */
#ifndef TESTS_NF_HELP_SYN_H
#define TESTS_NF_HELP_SYN_H

#include "tests/nf/help_chain.h"

#define PROXY(more) "    - syn_proxy: { servers: [10.0.0.0/24], ports: 80-90" more " }\n"
#define C           NFT_IP(198, 51, 100, 7) /* a client outside */
#define S           NFT_IP(10, 0, 0, 5)     /* a server inside */
#define ISN         syn_isn                 /* of the client */
#define SERVER_ISN  0x80000000
#define WINDOW      0x1234

extern struct help_chain syn_chain;
extern uint32_t syn_isn;                 /* syn_open makes it one from which what follows goes round */
extern uint8_t syn_frame[NFT_FRAME_MAX]; /* the last one that was sent, as it came out */

void syn_open(const char *nfs); /* at 100 s */
uint64_t syn_counter(const char *name);
uint32_t syn_sessions(void); /* that syn_proxy is in */
uint32_t syn_get32(const uint8_t *at);
void syn_put32(uint8_t *at, uint32_t value);

/* What a segment of TCP says in a syn_frame without VLAN tags and options of IPv4. */
struct syn_said {
    uint32_t seq, ack;
    uint16_t window, mss;
    uint8_t flags;
};

struct syn_said syn_said(const uint8_t *frame);
/* Between C:port and S:80. True: it passed, with right checksums. */
bool syn_send(bool client, uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload);
/* The one frame that was made in the last burst, for `port`. */
const uint8_t *syn_made(uint8_t port);

/* A client's SYN, which is answered; the cookie. Its ACK, which becomes the SYN to the server. The server's
 * SYN-ACK, which becomes the client's window. All three. */
uint32_t syn_cookie(uint16_t port);
void syn_acknowledge(uint16_t port, uint32_t cookie);
void syn_accept(uint16_t port, uint32_t cookie, uint32_t isn);
uint32_t syn_connect(uint16_t port);

#endif
