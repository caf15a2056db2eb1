/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of portscan: one chain, and a host outside that begins connections to hosts inside. */
#ifndef TESTS_HELP_PORTSCAN_H
#define TESTS_HELP_PORTSCAN_H

#include "tests/help/chain.h"

#define PORTSCAN(more) "    - portscan: { " more " }\n"
#define S              NFT_IP(198, 51, 100, 7) /* a host outside */
#define D(i)           NFT_IP(10, 0, (i) / 250, 1 + (i) % 250)

extern struct help_chain help_portscan;

void help_portscan_open(const char *nfs);
uint64_t help_portscan_counter(const char *name);
/* True: it passed. All have number 1000, and what has an ACK acknowledges a SYN of that. */
bool help_portscan_tcp(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
                       uint8_t flags);
bool help_portscan_syn(uint32_t src, uint32_t dst);
bool help_portscan_answer(uint32_t src, uint32_t dst, uint8_t flags);
void help_portscan_outcomes(uint64_t contacts, uint64_t successes, uint64_t refused, uint64_t unanswered);

#endif
