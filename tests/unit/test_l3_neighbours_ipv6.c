/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery by the chain: who is asked, answered, known, and who is not believed. */
#include "tests/help/l3.h"
#include "tests/help/test.h"

#define ASKS_GATE                                                                                            \
    "3333ff0000fe02000000000286dd6000000000203aff20010db8000200000000000000000001ff0200000000000000000001ff" \
    "0000fe87001a2a0000000020010db80002000000000000000000fe0101020000000002"
#define ANSWER                                                                                               \
    "52540000000502000000000186dd6000000000203aff20010db800010000000000000000000120010db8000100000000000000" \
    "00000588000a6de000000020010db80001000000000000000000010201020000000001"
#define PROBE                                                                                                \
    "3333ff00000152540000000586dd6000000000183aff00000000000000000000000000000000ff0200000000000000000001ff" \
    "00000187004cec0000000020010db8000100000000000000000001"
#define PROBE_ANSWER                                                                                         \
    "33330000000102000000000186dd6000000000203aff20010db8000100000000000000000001ff020000000000000000000000" \
    "00000188007928a000000020010db80001000000000000000000010201020000000001"

L3_TEST(next_hops_are_asked_for)
{
    uint8_t wanted[200], to[16];
    uint32_t n = l3_bytes(ASKS_GATE, wanted), gates = 0;

    l3_begin_ipv6();
    assert_int_equal(l3_made_count, 2);
    for (uint32_t i = 0; i < 2; i++)
        gates += l3_made[i].port == 1 && l3_made[i].len == n && memcmp(l3_made[i].frame, wanted, n) == 0;
    assert_int_equal(gates, 1);
    for (uint32_t i = 0; i < 2; i++)
        if (l3_made[i].port == 0) { /* for fe80::1, from this link's own */
            l3_addr6(to, "fe80::1");
            assert_memory_equal(l3_made[i].frame + 14 + 40 + 8, to, 16);
            assert_memory_equal(l3_made[i].frame + 14 + 8, l3_config.port[0].local.byte, 16);
        }
    l3_assert_counted(NF_L3_ND_ASKED, 2);
}

L3_TEST(a_packet_leaves_by_the_next_hop_that_answered)
{
    uint8_t before[200];

    l3_begin_ipv6();
    l3_dropped(0.05, l3_hex(0, UDP), NF_L3_NO_NEIGHBOUR);
    l3_know_gate6();
    struct nf_packet p = l3_hex(0, UDP);
    memcpy(before, l3_frame, p.len);
    l3_run(0.5, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 1);
    assert_memory_equal(l3_frame, gate_mac, 6);
    assert_memory_equal(l3_frame + 6, outer_mac, 6);
    assert_int_equal(l3_frame[14 + 7], 63);
    before[14 + 7] = 63;
    assert_memory_equal(l3_frame + 12, before + 12, p.len - 12);
}

L3_TEST(who_asks_is_answered_and_known)
{
    l3_begin_ipv6();
    l3_know_gate6();
    l3_dropped(0.5, l3_hex(0, HOST_ASKS), NF_L3_ND);
    l3_assert_made(ANSWER, 0);
    l3_assert_counted(NF_L3_ND_ANSWERED, 1);
    struct nf_packet p = l3_hex(0, UDP); /* the other way round, to the host */
    memcpy(l3_frame, outer_mac, 6);
    uint8_t host[16];
    memcpy(host, l3_frame + 22, 16);
    memcpy(l3_frame + 22, l3_frame + 38, 16);
    memcpy(l3_frame + 38, host, 16);
    p.in_port = p.side = 1;
    l3_leaves(0.6, p, 0);
    assert_memory_equal(l3_frame, host_mac, 6);
}

L3_TEST(an_address_that_is_taken_is_said_to_be)
{
    l3_begin_ipv6();
    l3_comes(0.5, l3_hex(0, PROBE));
    l3_assert_made(PROBE_ANSWER, 0);
    l3_assert_counted(NF_L3_ND_CONFLICT, 0); /* it is asked for, and not used (RFC 4862, 5.4) */
    l3_assert_counted(NF_L3_DEFENDED, 0);
}

/* RFC 4861, 7.1: none of these is answered, and nobody is known by them. */
L3_TEST(what_is_not_of_this_link_or_broken_is_ignored)
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
        {14 + 8, 0xff, true, "source to many"},
    };

    l3_begin_ipv6();
    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct nf_packet p = l3_hex(0, HOST_ASKS);

        l3_frame[broken[i].at] = broken[i].value;
        if (broken[i].sealed)
            l3_seal6(&p);
        l3_run(1 + i, &p);
        if (!p.drop || l3_nf->counters[NF_L3_ND_ANSWERED])
            fail_msg("%s", broken[i].what);
    }
    struct nf_packet p = l3_hex(0, HOST_ASKS); /* cut off */
    p.len = p.have = 70;
    l3_dropped(20, p, NF_L3_MALFORMED);
    p = l3_hex(0, HOST_ASKS);
    l3_addr6(l3_frame + 22, "::1");
    l3_seal6(&p);
    l3_run(21, &p);
    l3_assert_counted(NF_L3_ND_CONFLICT, 0);
    p = l3_hex(0, HOST_ASKS); /* behind options for the destination, which have no part in the checksum */
    memmove(l3_frame + 62, l3_frame + 54, p.len - 54);
    memcpy(l3_frame + 54, (const uint8_t[]){58, 0, 1, 4, 0, 0, 0, 0}, 8);
    l3_frame[14 + 5] += 8;
    l3_frame[14 + 6] = 60;
    p.len = p.have += 8;
    l3_run(22, &p);
    assert_true(p.drop);
    l3_assert_counted(NF_L3_ND_ANSWERED, 0);
}

L3_TEST(one_link_local_address_is_another_host_on_each_link)
{
    uint8_t one[16];

    l3_begin_ipv6();
    l3_addr6(one, "fe80::1");
    for (uint8_t port = 0; port < 2; port++) {
        struct nf_packet p = l3_hex(port, HOST_ASKS);

        memcpy(l3_frame + 22, one, 16);
        memcpy(l3_frame + 38 + 13, l3_config.port[port].net[NF_IP6].addr.byte + 13, 3);
        memcpy(l3_frame + 62, l3_config.port[port].net[NF_IP6].addr.byte, 16);
        l3_frame[85] = (uint8_t)(0x50 + port);
        l3_seal6(&p);
        l3_run(0.5, &p);
        assert_int_equal(l3_made_count, 1);
        assert_int_equal(l3_made[0].port, port);
    }
    struct nf_packet p = l3_hex(0, UDP); /* the route by it is of port 0 */
    l3_addr6(l3_frame + 38, "2001:db8:77::9");
    p.in_port = p.side = 1;
    memcpy(l3_frame, outer_mac, 6);
    l3_leaves(0.7, p, 0);
    assert_int_equal(l3_frame[5], 0x50);
}

/* RFC 4861, 7.2.5. */
L3_TEST(another_mac_is_believed_where_it_overrides)
{
    l3_begin_ipv6();
    l3_know_gate6();
    for (unsigned overrides = 0; overrides < 2; overrides++) {
        struct nf_packet p = l3_advertised(overrides ? 0x60 : 0x40, 0x99);

        l3_dropped(0.5 + overrides, p, NF_L3_ND);
        for (unsigned tenth = 1; tenth <= 8; tenth++) /* the one that is known is asked, and silent */
            l3_run(0.5 + overrides + tenth / 10.0, NULL);
        assert_int_equal(l3_gate6_mac(1.4 + overrides), overrides ? 0x99 : gate_mac[5]);
    }
}
