/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of ips: one chain, and packets of one client inside (10.0.0.1, port 4000) and one server
 * (10.0.0.2, port 80 of TCP and 53 of UDP). What sends says whether the packet passed.
 */
#ifndef TESTS_HELP_IPS_H
#define TESTS_HELP_IPS_H

#include "tests/help/chain.h"
#include "tests/help/segment.h"

#define IPS(more) "    - ips: { rules: firewall.rules, max_flows: 8" more " }\n"

extern struct help_chain help_ips;

void help_ips_open(const char *nfs, const char *rules);
uint64_t help_ips_counter(const char *name);
bool help_ips_send(uint8_t side, const struct help_segment *s);
bool help_ips_tcp(uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack, const char *payload);
bool help_ips_udp(uint8_t side, const char *payload);
bool help_ips_client(uint32_t seq, const char *payload);
/* Client's bytes begin at 101, server's at 501. */
void help_ips_begin(void);

#endif
