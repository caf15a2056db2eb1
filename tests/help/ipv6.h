/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of NFs: packets of IPv6, written and looked at with plain code of its own. */
#ifndef TESTS_HELP_IPV6_H
#define TESTS_HELP_IPV6_H

#include "tests/help/chain.h"

/* Numbers of a packet, in host order. */
void help_put16(uint8_t *at, uint32_t value);
uint32_t help_get16(const uint8_t *at);

/* The header at `ip`, for `length` bytes behind it; addresses as people write them. */
void help_ipv6_header(uint8_t *ip, uint8_t proto, const char *from, const char *to, uint32_t length);
/* Over n bytes of a message at l4 behind that header, with what is in its checksum field: 0 when that is
 * right; with 0 in it, what belongs there. */
uint32_t help_ipv6_checksum(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t n);
/* As help_chain_send, of a frame whose Ethernet header is written here. */
struct nf_packet help_ipv6_send(struct help_chain *h, uint8_t side, uint8_t *frame, uint32_t len);

#endif
