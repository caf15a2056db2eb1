/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of IPv6 for tests of NFs; see ipv6.h. */
#include "tests/help/ipv6.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

void help_put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

uint32_t help_get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

void help_ipv6_header(uint8_t *ip, uint8_t proto, const char *from, const char *to, uint32_t length)
{
    memset(ip, 0, 40);
    ip[0] = 0x60;
    help_put16(ip + 4, length);
    ip[6] = proto;
    ip[7] = 64;
    assert_int_equal(inet_pton(AF_INET6, from, ip + 8), 1);
    assert_int_equal(inet_pton(AF_INET6, to, ip + 24), 1);
}

uint32_t help_ipv6_checksum(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t n)
{
    uint32_t sum = proto + n;

    for (uint32_t i = 8; i < 40; i += 2)
        sum += help_get16(ip + i);
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? l4[i] : (uint32_t)l4[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

struct nf_packet help_ipv6_send(struct help_chain *h, uint8_t side, uint8_t *frame, uint32_t len)
{
    memset(frame, 2, 12);
    frame[12] = 0x86;
    frame[13] = 0xdd;
    return help_chain_send(h, side, frame, len);
}
