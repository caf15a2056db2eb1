/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of NFs that follow TCP: a client and a server, whose segments are made and looked at by hand. */
#ifndef TESTS_HELP_TCP_H
#define TESTS_HELP_TCP_H

#include "tests/help/chain.h"

/* ---- ips: one chain; a client inside (10.0.0.1, port 4000) and a server (10.0.0.2, port 80) ------------ */

#define IPS(more) "    - ips: { rules: firewall.rules, max_flows: 8" more " }\n"

extern struct help_chain help_ips;

void help_ips_open(const char *nfs, const char *rules);
uint64_t help_ips_counter(const char *name);
/* True: it passed. */
bool help_ips_send(uint8_t side, const struct help_segment *s);
bool help_ips_tcp(uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack, const char *payload);
bool help_ips_client(uint32_t seq, const char *payload);
/* Client's bytes begin at 101, server's at 501. Of a chain that is open; of another one. */
void help_ips_begin(void);
void help_ips_connect(const char *nfs, const char *rules);

/* ---- syn_proxy: a client outside and a server inside --------------------------------------------------- */

#define PROXY(more) "    - syn_proxy: { servers: [10.0.0.0/24, \"2001:db8::5/128\"], ports: 80-90" more " }\n"
#define C           NFT_IP(198, 51, 100, 7) /* a client outside */
#define S           NFT_IP(10, 0, 0, 5)     /* a server inside */
#define C6          7                       /* of IPv6, the last bytes of theirs: 2001:db8::7 */
#define S6          5
#define ISN         syn_isn /* of the client */
#define SERVER_ISN  0xfffff000u
#define WINDOW      0x1234

extern bool syn_ipv6; /* segments are of IPv6 */
extern struct help_chain syn_chain;
extern uint32_t syn_isn;                 /* syn_open makes it one from which what follows goes round */
extern uint8_t syn_frame[NFT_FRAME_MAX]; /* the last one that was sent, as it came out */

void syn_open(const char *nfs); /* at 100 s */
uint64_t syn_counter(const char *name);
uint32_t syn_sessions(void); /* that syn_proxy is in */

/* cmocka's group set-up: the same tests over IPv6. */
void syn_over_ipv6(void **state);

/* What a segment of TCP says in a frame without VLAN tags and options of IPv4. */
struct syn_said {
    uint32_t seq, ack;
    uint16_t window, mss;
    uint8_t flags;
    uint32_t data; /* bytes of it */
};

struct syn_said syn_said(const uint8_t *frame);
uint8_t *syn_tcp(uint8_t *frame); /* its header there */
uint32_t syn_seq(void);           /* of syn_frame */
uint32_t syn_acked(void);
/* The frame of such a segment, in syn_frame; its length. Then it is sent: true, it passed. */
uint32_t syn_make(bool client, uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload);
bool syn_send_frame(bool client, uint32_t len);
/* Between C:port and S:80, both at once. True: it passed, with right checksums. */
bool syn_send(bool client, uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload);
/* The one frame that was made in the last burst, for `port`. */
const uint8_t *syn_made(uint8_t port);
uint32_t syn_nothing_made(void);
/* It is a byte that the client has had. */
void syn_probed(uint32_t cookie, uint16_t window);

/* A client's SYN, which is answered; the cookie. Its ACK, which becomes the SYN to the server. The server's
 * SYN-ACK, which becomes the client's window. All three. */
uint32_t syn_cookie(uint16_t port);
void syn_acknowledge(uint16_t port, uint32_t cookie);
void syn_accept(uint16_t port, uint32_t cookie, uint32_t isn);
uint32_t syn_connect(uint16_t port);
/* A chain, and a connection of port 1000 in it: whose server is asked, or that is open; the cookie. */
uint32_t syn_open_asking(const char *nfs);
uint32_t syn_open_connected(const char *nfs);

#endif
