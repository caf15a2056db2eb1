/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's IPv6: neighbours, own addresses, routes, errors. The frames here were written by hand from RFC
 * 8200, 4443 and 4861, with checksums by another program, and none by the code under test.
 */
#include "tests/unit/help_l3.h"

#include "nflib/net/icmpv6.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Of the chain's gateway, in network 2, and of a host, in network 1. */
#define ASKS_GATE                                                                                            \
    "3333ff0000fe02000000000286dd6000000000203aff20010db8000200000000000000000001ff0200000000000000000001ff" \
    "0000fe87001a2a0000000020010db80002000000000000000000fe0101020000000002"
#define GATE_SAYS                                                                                            \
    "0200000000025254000000fe86dd6000000000203aff20010db80002000000000000000000fe20010db8000200000000000000" \
    "00000188"                                                                                               \
    "00b722e000000020010db80002000000000000000000fe02015254000000fe"
#define HOST_ASKS                                                                                            \
    "3333ff00000152540000000586dd6000000000203aff20010db8000100000000000000000005ff0200000000000000000001ff" \
    "0000018700cbca0000000020010db80001000000000000000000010101525400000005"
#define ANSWER                                                                                               \
    "52540000000502000000000186dd6000000000203aff20010db800010000000000000000000120010db8000100000000000000" \
    "00000588000a6de000000020010db80001000000000000000000010201020000000001"
#define PROBE                                                                                                \
    "3333ff00000152540000000586dd6000000000183aff00000000000000000000000000000000ff0200000000000000000001ff" \
    "00000187004cec0000000020010db8000100000000000000000001"
#define PROBE_ANSWER                                                                                         \
    "33330000000102000000000186dd6000000000203aff20010db8000100000000000000000001ff020000000000000000000000" \
    "00000188007928a000000020010db80001000000000000000000010201020000000001"
#define UDP                                                                                                  \
    "02000000000152540000000586dd60000000000c114020010db800010000000000000000000520010db8000900000000000000" \
    "00000712340035000cb92264617461"
#define EXCEEDED                                                                                             \
    "52540000000502000000000186dd6000000000383a4020010db800010000000000000000000120010db8000100000000000000" \
    "0000050300"                                                                                             \
    "08e60000000060000000000c110120010db800010000000000000000000520010db800090000000000000000"               \
    "000712340035000cb922"
#define ECHO                                                                                                 \
    "02000000000152540000000586dd6000000000103a4020010db800010000000000000000000520010db8000100000000000000" \
    "0000018000bb1babcd00017061796c6f616421"
#define REPLY                                                                                                \
    "52540000000502000000000186dd6000000000103a4020010db800010000000000000000000120010db8000100000000000000" \
    "0000058100ba1babcd00017061796c6f616421"
#define ADVERTISED                                                                                           \
    "33330000000102000000000186dd6000000000203afffe80000000000000000000fffe000001ff020000000000000000000000" \
    "00000"                                                                                                  \
    "18800d99aa0000000fe80000000000000000000fffe0000010201020000000001"

static uint32_t bytes_of(const char *hex, uint8_t *out)
{
    uint32_t n = 0;

    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        out[n++] = (uint8_t)byte;
    return n;
}

static struct nf_packet frame(uint8_t port, const char *hex)
{
    uint32_t n = bytes_of(hex, l3_frame);

    return (struct nf_packet){.data = l3_frame, .len = n, .have = n, .in_port = port, .side = port};
}

static void set_addr(uint8_t out[16], const char *text)
{
    assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

/* With the checksum of ICMPv6 set right for what has been changed. */
static void seal(struct nf_packet *p)
{
    uint8_t *ip = p->data + 14, *icmp = p->data + 54;

    icmp[2] = icmp[3] = 0;
    uint16_t sum = nf_ipv6_checksum(ip + 8, 58, icmp, p->len - 54);
    memcpy(icmp + 2, &sum, 2);
}

static void made_is(const char *hex, uint8_t port)
{
    uint8_t wanted[200];
    uint32_t n = bytes_of(hex, wanted);

    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].port, port);
    assert_int_equal(l3_made[0].len, n);
    assert_memory_equal(l3_made[0].frame, wanted, n);
}

/* Two links with IPv6 beside their IPv4, a default route, and one by a link-local next hop. */
static void begin(void)
{
    l3_configure();
    l3_config.routes = l3_config.next_hops = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct nf_interface *port = &l3_config.port[i];

        set_addr(port->addr6, i ? "2001:db8:2::1" : "2001:db8:1::1");
        set_addr(port->local6, i ? "fe80::ff:fe00:2" : "fe80::ff:fe00:1");
        port->bits6 = 64;
    }
    l3_config.routes6 = 2;
    l3_config.route6[0] = (struct nf_route6){.port = 1};
    set_addr(l3_config.route6[0].via, "2001:db8:2::fe");
    l3_config.route6[1] = (struct nf_route6){.bits = 48};
    set_addr(l3_config.route6[1].addr, "2001:db8:77::");
    set_addr(l3_config.route6[1].via, "fe80::1");
    l3_begin();
    l3_run(0, NULL); /* asks for both next hops */
}

static void know_gate(void)
{
    struct nf_packet p = frame(1, GATE_SAYS);

    l3_run(0.1, &p);
    l3_assert_dropped(&p, NF_L3_ND);
}

static void know_host(void)
{
    struct nf_packet p = frame(0, HOST_ASKS);

    l3_run(0.2, &p);
    l3_assert_dropped(&p, NF_L3_ND);
}

/* ---- neighbours --------------------------------------------------------------------------------- */

static void next_hops_are_asked_for(void **state)
{
    uint8_t wanted[200], to[16];
    uint32_t n = bytes_of(ASKS_GATE, wanted), gates = 0;

    (void)state;
    begin();
    assert_int_equal(l3_made_count, 2);
    for (uint32_t i = 0; i < 2; i++)
        gates += l3_made[i].port == 1 && l3_made[i].len == n && memcmp(l3_made[i].frame, wanted, n) == 0;
    assert_int_equal(gates, 1);
    for (uint32_t i = 0; i < 2; i++)
        if (l3_made[i].port == 0) { /* for fe80::1, from this link's own */
            set_addr(to, "fe80::1");
            assert_memory_equal(l3_made[i].frame + 14 + 40 + 8, to, 16);
            assert_memory_equal(l3_made[i].frame + 14 + 8, l3_config.port[0].local6, 16);
        }
    l3_assert_counted(NF_L3_ND_ASKED, 2);
    l3_end();
}

static void a_packet_leaves_by_the_next_hop_that_answered(void **state)
{
    uint8_t before[200];
    struct nf_packet p;

    (void)state;
    begin();
    p = frame(0, UDP);
    l3_run(0.05, &p);
    l3_assert_dropped(&p, NF_L3_NO_NEIGHBOUR);
    know_gate();
    p = frame(0, UDP);
    memcpy(before, l3_frame, p.len);
    l3_run(0.5, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 1);
    assert_memory_equal(l3_frame, gate_mac, 6);
    assert_memory_equal(l3_frame + 6, outer_mac, 6);
    assert_int_equal(l3_frame[14 + 7], 63);
    before[14 + 7] = 63;
    assert_memory_equal(l3_frame + 12, before + 12, p.len - 12);
    l3_end();
}

static void who_asks_is_answered_and_known(void **state)
{
    struct nf_packet p;

    (void)state;
    begin();
    know_gate();
    p = frame(0, HOST_ASKS);
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_ND);
    made_is(ANSWER, 0);
    l3_assert_counted(NF_L3_ND_ANSWERED, 1);
    p = frame(0, UDP); /* the other way round, to the host */
    memcpy(l3_frame, outer_mac, 6);
    uint8_t host[16];
    memcpy(host, l3_frame + 22, 16);
    memcpy(l3_frame + 22, l3_frame + 38, 16);
    memcpy(l3_frame + 38, host, 16);
    p.in_port = p.side = 1;
    l3_run(0.6, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 0);
    assert_memory_equal(l3_frame, host_mac, 6);
    l3_end();
}

static void an_address_that_is_taken_is_said_to_be(void **state)
{
    struct nf_packet p;

    (void)state;
    begin();
    p = frame(0, PROBE);
    l3_run(0.5, &p);
    made_is(PROBE_ANSWER, 0);
    l3_assert_counted(NF_L3_ND_CONFLICT, 1);
    l3_end();
}

/* RFC 4861, 7.1: none of these is answered, and nobody is known by them. */
static void what_is_not_of_this_link_or_broken_is_ignored(void **state)
{
    static const struct {
        uint8_t at, value;
        bool sealed;
        const char *what;
    } broken[] = {
        {14 + 7, 254, true, "hop limit"},
        {56, 0x13, false, "checksum"},
        {55, 1, true, "code"},
        {54 + 25, 0, true, "no option length"},
        {54 + 25, 2, true, "an option that is too long"},
        {54 + 8, 0xff, true, "target to many"},
    };

    (void)state;
    begin();
    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct nf_packet p = frame(0, HOST_ASKS);

        l3_frame[broken[i].at] = broken[i].value;
        if (broken[i].sealed)
            seal(&p);
        l3_run(1 + i, &p);
        if (!p.drop || l3_nf->counters[NF_L3_ND_ANSWERED])
            fail_msg("%s", broken[i].what);
    }
    struct nf_packet p = frame(0, HOST_ASKS); /* cut off */
    p.len = p.have = 70;
    l3_run(20, &p);
    l3_assert_dropped(&p, NF_L3_MALFORMED);
    l3_assert_counted(NF_L3_ND_ANSWERED, 0);
    l3_end();
}

static void one_link_local_address_is_another_host_on_each_link(void **state)
{
    uint8_t one[16];

    (void)state;
    begin();
    set_addr(one, "fe80::1");
    for (uint8_t port = 0; port < 2; port++) {
        struct nf_packet p = frame(port, HOST_ASKS);

        memcpy(l3_frame + 22, one, 16);
        memcpy(l3_frame + 38 + 13, l3_config.port[port].addr6 + 13, 3);
        memcpy(l3_frame + 62, l3_config.port[port].addr6, 16);
        l3_frame[85] = (uint8_t)(0x50 + port);
        seal(&p);
        l3_run(0.5, &p);
        assert_int_equal(l3_made_count, 1);
        assert_int_equal(l3_made[0].port, port);
    }
    struct nf_packet p = frame(0, UDP); /* the route by it is of port 0 */
    set_addr(l3_frame + 38, "2001:db8:77::9");
    p.in_port = p.side = 1;
    memcpy(l3_frame, outer_mac, 6);
    l3_run(0.7, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 0);
    assert_int_equal(l3_frame[5], 0x50);
    l3_end();
}

/* ---- own addresses ------------------------------------------------------------------------------ */

static void an_echo_is_answered(void **state)
{
    uint8_t wanted[200];
    uint32_t n = bytes_of(REPLY, wanted);
    struct nf_packet p;

    (void)state;
    begin();
    know_host();
    p = frame(0, ECHO);
    l3_run(0.5, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 0);
    assert_memory_equal(l3_frame, wanted, n);
    l3_assert_counted(NF_L3_ECHO_ANSWERED, 1);
    assert_int_equal(l3_processed, 0);
    p = frame(0, UDP);
    memcpy(l3_frame + 38, l3_config.port[0].addr6, 16);
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_LOCAL);
    l3_end();
}

static void all_own_addresses_are_announced(void **state)
{
    uint8_t wanted[200], out[NF_ANNOUNCEMENT_MAX], port;
    uint32_t n = bytes_of(ADVERTISED, wanted), len, said = 0, arp = 0, nd = 0;

    (void)state;
    begin();
    for (unsigned i = 0; (len = nf_l3_announce(&l3_config, i, out, &port)) != 0; i++) {
        arp += len == 42;
        nd += len == n;
        said += len == n && port == 0 && memcmp(out, wanted, n) == 0;
    }
    assert_int_equal(arp, 3); /* one each, and the NAT's */
    assert_int_equal(nd, 4);
    assert_int_equal(said, 1);
    l3_end();
}

/* ---- errors ------------------------------------------------------------------------------------- */

static void its_sender_is_told_that_it_ran_out(void **state)
{
    struct nf_packet p;

    (void)state;
    begin();
    know_gate();
    know_host();
    p = frame(0, UDP);
    l3_frame[14 + 7] = 1;
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_TTL);
    made_is(EXCEEDED, 0);
    l3_end();
}

static void what_is_too_big_is_told_the_mtu(void **state)
{
    uint8_t mtu[4] = {0, 0, 5, 0xdc};
    struct nf_packet p;

    (void)state;
    begin();
    know_gate();
    know_host();
    p = frame(0, UDP);
    l3_frame[18] = 5;
    l3_frame[19] = 0xb5; /* 1461 and the header: one byte too many */
    p.len = p.have = 14 + 40 + 1461;
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_TOO_BIG);
    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].frame[54], 2);
    assert_memory_equal(l3_made[0].frame + 58, mtu, 4);
    p = frame(0, UDP);
    l3_frame[18] = 5;
    l3_frame[19] = 0xb4;
    p.len = p.have = 14 + 40 + 1460;
    l3_run(0.7, &p);
    assert_int_equal(p.drop, 0);
    l3_end();
}

static void nobody_is_told_of_what_has_no_sender(void **state)
{
    static const char *const from[] = {"::", "::1", "ff02::1", "fe80::5", "::ffff:10.0.0.5"};
    static const char *const to[] = {"fe80::9", "::1", "ff0e::1"};
    struct nf_packet p;

    (void)state;
    begin();
    know_gate();
    for (unsigned i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        p = frame(0, UDP);
        set_addr(l3_frame + 22, from[i]);
        l3_run(0.5, &p);
        l3_assert_dropped(&p, NF_L3_MARTIAN);
        assert_int_equal(l3_made_count, 0);
    }
    for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        p = frame(0, UDP);
        set_addr(l3_frame + 38, to[i]);
        l3_run(0.5, &p);
        l3_assert_dropped(&p, i == 2 ? NF_L3_BROADCAST : NF_L3_MARTIAN);
    }
    assert_int_equal(l3_processed, 0);
    l3_end();
}

/* An error about an error would never end (RFC 4443, 2.4). */
static void no_error_about_an_error(void **state)
{
    struct nf_packet p;

    (void)state;
    begin();
    know_host();
    p = frame(0, ECHO);
    set_addr(l3_frame + 38, "2001:db8:9::7");
    l3_frame[54] = 1;
    l3_frame[14 + 7] = 1;
    seal(&p);
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_TTL);
    assert_int_equal(l3_made_count, 0);
    l3_end();
}

static void a_link_without_it_takes_none(void **state)
{
    struct nf_packet p;

    (void)state;
    l3_configure();
    l3_begin();
    p = frame(0, UDP);
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_PROTOCOL);
    l3_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_hops_are_asked_for),
        cmocka_unit_test(a_packet_leaves_by_the_next_hop_that_answered),
        cmocka_unit_test(who_asks_is_answered_and_known),
        cmocka_unit_test(an_address_that_is_taken_is_said_to_be),
        cmocka_unit_test(what_is_not_of_this_link_or_broken_is_ignored),
        cmocka_unit_test(one_link_local_address_is_another_host_on_each_link),
        cmocka_unit_test(an_echo_is_answered),
        cmocka_unit_test(all_own_addresses_are_announced),
        cmocka_unit_test(its_sender_is_told_that_it_ran_out),
        cmocka_unit_test(what_is_too_big_is_told_the_mtu),
        cmocka_unit_test(nobody_is_told_of_what_has_no_sender),
        cmocka_unit_test(no_error_about_an_error),
        cmocka_unit_test(a_link_without_it_takes_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
