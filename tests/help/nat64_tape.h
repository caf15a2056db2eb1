/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of nat64 by packet: one chain with it alone, packets of a client and of a server, and a tape of
 * what was sent, which at the end of a test is replayed from headers alone and what was recorded beside them,
 * and must come to the same.
 */
#ifndef TESTS_HELP_NAT64_TAPE_H
#define TESTS_HELP_NAT64_TAPE_H

#include "tests/help/chain.h"
#include "tests/help/nat64.h"

#define NAT64_C   "2001:db8::c"
#define NAT64_S   "64:ff9b::c633:6401"
#define NAT64_S4  "198.51.100.1"
#define NAT64_OUT "203.0.113.1"
#define NAT64_NF  "    - nat64: { outside: 203.0.113.1, ports: 2000-2000, max_flows: 20 }\n"

extern struct help_chain nat64_h;
extern uint8_t nat64_frame[SIX_MAX + 64];
/* What came of the last packet that passed. */
extern uint8_t *nat64_came;
extern struct six_seen nat64_seen;

void nat64_begins(void); /* opens the chain; for help_chain_before */
/* A burst of one packet; of the bytes of nat64_frame. True: it passed. A checksum that is wrong fails. */
bool nat64_sends(uint8_t side, const struct six *s);
bool nat64_sends_bytes(uint8_t side, uint32_t len);
void nat64_replays(void);
void nat64_forgets(void); /* what was sent so far: it cannot be replayed */

uint64_t nat64_counter(const char *name);
struct six nat64_from_client(uint8_t proto);
struct six nat64_from_server(uint8_t proto, uint16_t port);
void nat64_ends_are(const char *from, uint16_t sport, const char *to, uint16_t dport);

#endif
