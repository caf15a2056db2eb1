/* SPDX-License-Identifier: Apache-2.0 */
/* See l3_ipv6.h. */
#include "tests/help/l3_ipv6.h"

#include "nflib/net/icmpv6.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Of the gateway. */
#define GATE_SAYS                                                                                            \
    "0200000000025254000000fe86dd6000000000203aff20010db80002000000000000000000fe20010db8000200000000000000" \
    "00000188"                                                                                               \
    "00b722e000000020010db80002000000000000000000fe02015254000000fe"

uint32_t l3_bytes(const char *hex, uint8_t *out)
{
    uint32_t n = 0;

    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        out[n++] = (uint8_t)byte;
    return n;
}

struct nf_packet l3_hex(uint8_t port, const char *hex)
{
    uint32_t n = l3_bytes(hex, l3_frame);

    return (struct nf_packet){.data = l3_frame, .len = n, .have = n, .in_port = port, .side = port};
}

void l3_addr6(uint8_t out[16], const char *text)
{
    assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

void l3_seal6(struct nf_packet *p)
{
    uint8_t *ip = p->data + 14, *icmp = p->data + 54;

    icmp[2] = icmp[3] = 0;
    uint16_t sum = nf_ipv6_checksum(ip + 8, 58, icmp, p->len - 54);
    memcpy(icmp + 2, &sum, 2);
}

void l3_assert_made(const char *hex, uint8_t port)
{
    uint8_t wanted[200];
    uint32_t n = l3_bytes(hex, wanted);

    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].port, port);
    assert_int_equal(l3_made[0].len, n);
    assert_memory_equal(l3_made[0].frame, wanted, n);
}

/* Two links with IPv6 beside their IPv4, a default route, and one by a link-local next hop. */
void l3_begin_ipv6(void)
{
    l3_configure();
    l3_config.routes = l3_config.next_hops = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct nf_interface *port = &l3_config.port[i];

        l3_addr6(port->addr6, i ? "2001:db8:2::1" : "2001:db8:1::1");
        l3_addr6(port->local6, i ? "fe80::ff:fe00:2" : "fe80::ff:fe00:1");
        port->bits6 = 64;
    }
    l3_config.routes6 = 2;
    l3_config.route6[0] = (struct nf_route6){.port = 1};
    l3_addr6(l3_config.route6[0].via, "2001:db8:2::fe");
    l3_config.route6[1] = (struct nf_route6){.bits = 48};
    l3_addr6(l3_config.route6[1].addr, "2001:db8:77::");
    l3_addr6(l3_config.route6[1].via, "fe80::1");
    l3_begin();
    l3_run(0, NULL); /* asks for both next hops */
}

struct nf_packet l3_advertised(uint8_t flags, uint8_t last)
{
    struct nf_packet p = l3_hex(1, GATE_SAYS);

    l3_frame[58] = flags;
    l3_frame[p.len - 1] = last;
    l3_seal6(&p);
    return p;
}

void l3_know_gate6(void)
{
    struct nf_packet p = l3_hex(1, GATE_SAYS);

    l3_run(0.1, &p);
    l3_assert_dropped(&p, NF_L3_ND);
}

void l3_know_host6(void)
{
    struct nf_packet p = l3_hex(0, HOST_ASKS);

    l3_run(0.2, &p);
    l3_assert_dropped(&p, NF_L3_ND);
}
