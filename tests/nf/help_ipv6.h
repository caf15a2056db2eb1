/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that make packets of IPv6 by hand: plain code that shares nothing with what is tested. */
#ifndef TESTS_NF_HELP_IPV6_H
#define TESTS_NF_HELP_IPV6_H

#include <stdint.h>

void put16(uint8_t *at, uint32_t value);
uint32_t get16(const uint8_t *at);
/* The checksum of n bytes behind the header at ip, whose checksum field is part of them: 0 when it is right.
 */
uint32_t checksum(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t n);
/* `from`, `to`: as text. */
void put_header(uint8_t *ip, uint8_t proto, const char *from, const char *to, uint32_t length);

#endif
