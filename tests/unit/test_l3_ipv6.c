/* SPDX-License-Identifier: Apache-2.0 */
/* The chain's IPv6: own addresses, errors, what is not forwarded. */
#include "nflib/net/icmp.h"
#include "tests/help/l3.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

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

/* ---- own addresses ------------------------------------------------------------------------------ */

L3_TEST(an_echo_is_answered)
{
    uint8_t wanted[200];
    uint32_t n = l3_bytes(REPLY, wanted);

    l3_begin_ipv6();
    l3_know_host6();
    l3_leaves(0.5, l3_hex(0, ECHO), 0);
    assert_memory_equal(l3_frame, wanted, n);
    l3_assert_counted(NF_L3_ECHO_ANSWERED, 1);
    assert_int_equal(l3_processed, 0);
    struct nf_packet p = l3_hex(0, UDP);
    memcpy(l3_frame + 38, l3_config.port[0].net[NF_IP6].addr.byte, 16);
    l3_dropped(0.5, p, NF_L3_LOCAL);
}

L3_TEST(all_own_addresses_are_announced)
{
    uint8_t wanted[200], out[NF_ANNOUNCEMENT_MAX], port;
    uint32_t n = l3_bytes(ADVERTISED, wanted), len, said = 0, arp = 0, nd = 0;

    l3_begin_ipv6();
    for (unsigned i = 0; (len = nf_l3_announce(&l3_config, i, out, &port)) != 0; i++) {
        arp += len == 42;
        nd += len == n;
        said += len == n && port == 0 && memcmp(out, wanted, n) == 0;
    }
    assert_int_equal(arp, 3); /* one each, and the NAT's */
    assert_int_equal(nd, 4);
    assert_int_equal(said, 1);
}

/* ---- errors ------------------------------------------------------------------------------------- */

L3_TEST(its_sender_is_told_that_it_ran_out)
{
    l3_begin_ipv6();
    l3_know_gate6();
    l3_know_host6();
    struct nf_packet p = l3_hex(0, UDP);
    l3_frame[14 + 7] = 1;
    l3_dropped(0.5, p, NF_L3_TTL);
    l3_assert_made(EXCEEDED, 0);
}

L3_TEST(what_is_too_big_is_told_the_mtu)
{
    uint8_t mtu[4] = {0, 0, 5, 0xdc};

    l3_begin_ipv6();
    l3_know_gate6();
    l3_know_host6();
    struct nf_packet p = l3_hex(0, UDP);
    l3_frame[18] = 5;
    l3_frame[19] = 0xb5; /* 1461 and the header: one byte too many */
    p.len = p.have = 14 + 40 + 1461;
    l3_dropped(0.5, p, NF_L3_TOO_BIG);
    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].frame[54], 2);
    assert_memory_equal(l3_made[0].frame + 58, mtu, 4);
    p = l3_hex(0, UDP);
    l3_frame[18] = 5;
    l3_frame[19] = 0xb4;
    p.len = p.have = 14 + 40 + 1460;
    assert_int_equal(l3_comes(0.7, p).drop, 0);
}

/* No MTU below 1280 is told of (RFC 8201, 4), also where the only way on is a link of IPv4 with less: an NF
 * may translate what comes in, and make it 20 bytes shorter. */
L3_TEST(nobody_is_told_less_than_1280)
{
    uint8_t mtu[4] = {0, 0, 5, 0};
    struct nf_packet p;

    l3_configure();
    l3_config.port[0].net[NF_IP6] = l3_net("2001:db8:1::1/64");
    l3_config.port[1].mtu = 1260;
    l3_begin();
    l3_know_host6();
    for (uint32_t bytes = 1280; bytes <= 1281; bytes++) {
        p = l3_hex(0, UDP);
        nf_put16(l3_frame + 18, htons((uint16_t)(bytes - 40)));
        p.len = p.have = 14 + bytes;
        l3_dropped(bytes == 1280 ? 0.5 : 0.7, p, bytes == 1280 ? NF_L3_NO_ROUTE : NF_L3_TOO_BIG);
        assert_int_equal(l3_made[0].frame[54], bytes == 1280 ? 1 : 2);
    }
    assert_memory_equal(l3_made[0].frame + 58, mtu, 4);
}

L3_TEST(nobody_is_told_of_what_has_no_sender)
{
    static const char *const from[] = {"::", "::1", "ff02::1", "fe80::5", "::ffff:10.0.0.5"};
    static const char *const to[] = {"fe80::9", "::1", "ff0e::1"};
    struct nf_packet p;

    l3_begin_ipv6();
    l3_know_gate6();
    for (unsigned i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        p = l3_hex(0, UDP);
        l3_addr6(l3_frame + 22, from[i]);
        l3_dropped(0.5, p, NF_L3_MARTIAN);
        assert_int_equal(l3_made_count, 0);
    }
    for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        p = l3_hex(0, UDP);
        l3_addr6(l3_frame + 38, to[i]);
        l3_dropped(0.5, p, i == 2 ? NF_L3_BROADCAST : NF_L3_MARTIAN);
    }
    for (unsigned i = 0; i < sizeof(from) / sizeof(from[0]); i++) { /* nor is the chain itself asked */
        p = l3_hex(0, ECHO);
        l3_addr6(l3_frame + 22, from[i]);
        l3_seal6(&p);
        l3_run(0.5, &p);
        l3_assert_counted(NF_L3_ECHO_ANSWERED, i >= 3); /* that of the link alone may ask */
    }
    assert_int_equal(l3_processed, 0);
}

/* Nobody behind a router believes it, and no NF is to judge it. */
L3_TEST(neighbour_discovery_is_not_forwarded)
{
    struct nf_packet p;

    l3_begin_ipv6();
    l3_know_gate6();
    for (uint8_t type = 133; type <= 137; type++) {
        p = l3_hex(0, ECHO);
        l3_addr6(l3_frame + 38, "2001:db8:9::7");
        l3_frame[14 + 7] = 255;
        l3_frame[54] = type;
        l3_seal6(&p);
        l3_dropped(0.5, p, NF_L3_ND);
    }
    assert_int_equal(l3_processed, 0);
}

/* An error about an error would never end (RFC 4443, 2.4). */
L3_TEST(no_error_about_an_error)
{
    l3_begin_ipv6();
    l3_know_host6();
    struct nf_packet p = l3_hex(0, ECHO);
    l3_addr6(l3_frame + 38, "2001:db8:9::7");
    l3_frame[54] = 1;
    l3_frame[14 + 7] = 1;
    l3_seal6(&p);
    l3_dropped(0.5, p, NF_L3_TTL);
    assert_int_equal(l3_made_count, 0);
}

L3_TEST(a_link_without_it_takes_none)
{
    l3_configure();
    l3_begin();
    l3_dropped(0.5, l3_hex(0, UDP), NF_L3_PROTOCOL);
}

/* Neighbours that do not answer: after three requests senders are told, of packets as they knew them, until
 * the neighbour answers. Over both families. */

/* Of the frames made in the last burst: requests on the port for the address's last byte, at this offset. */
static unsigned asked(uint8_t port, uint32_t len, uint8_t last)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < l3_made_count; i++)
        n +=
            l3_made[i].port == port && l3_made[i].len == len && l3_made[i].frame[len == 42 ? 41 : 77] == last;
    return n;
}

/* The one ICMP error among them; NULL: there is none. */
static const uint8_t *told(uint8_t port)
{
    const uint8_t *error = NULL;

    for (uint32_t i = 0; i < l3_made_count; i++) {
        const uint8_t *f = l3_made[i].frame;

        if ((f[12] == 8 && f[13] == 0) || (f[12] == 0x86 && f[20] == 58 && f[54] < 128)) {
            assert_null(error);
            assert_int_equal(l3_made[i].port, port);
            error = f;
        }
    }
    return error;
}

static void assert_told(uint8_t port, const char *from, const char *to, const char *source,
                        const char *sought)
{
    const uint8_t *f = told(port);
    uint32_t ends[] = {ip4(from), ip4(to), ip4(source), ip4(sought)};

    assert_non_null(f);
    assert_memory_equal(f + 26, ends, 8);
    assert_int_equal(f[34], 3);
    assert_int_equal(f[35], 1);
    assert_memory_equal(f + 42 + 12, ends + 2, 8);
    l3_assert_valid(f);
}

static struct nf_packet sent(double at, uint8_t port, const char *from, const char *to)
{
    struct nf_packet p = l3_udp(port, from, to, 64);

    l3_run(at, &p);
    l3_assert_dropped(&p, NF_L3_NO_NEIGHBOUR);
    return p;
}

L3_TEST(who_does_not_answer_is_unreachable)
{
    l3_begin();
    l3_know_both(0);
    sent(1, 1, "198.51.100.7", "10.0.0.77");
    assert_int_equal(asked(0, 42, 77), 1);
    for (unsigned at = 2; at <= 3; at++) { /* nobody wants it meanwhile */
        l3_run(at - 0.1, NULL);
        assert_int_equal(asked(0, 42, 77), 0);
        l3_run(at, NULL);
        assert_int_equal(asked(0, 42, 77), 1);
    }
    sent(3.9, 1, "198.51.100.7", "10.0.0.77");
    assert_null(told(1));
    sent(4, 1, "198.51.100.7", "10.0.0.77");
    assert_int_equal(asked(0, 42, 77), 1);
    assert_told(1, "203.0.113.1", "198.51.100.7", "198.51.100.7", "10.0.0.77");
    sent(4.5, 1, "198.51.100.7", "10.0.0.77");
    assert_int_equal(asked(0, 42, 77), 0);
    assert_non_null(told(1));
    l3_assert_counted(NF_L3_ICMP_SENT, 2);
    l3_comes(5, l3_arp(0, 2, inner_mac, host_mac, "10.0.0.77", "10.0.0.1"));
    assert_int_equal(l3_comes(5.1, l3_udp(1, "198.51.100.7", "10.0.0.77", 64)).drop, 0);
    assert_null(told(1));
}

/* Nobody asks for it any more: it is forgotten, and begins anew. */
L3_TEST(it_is_forgotten_when_nobody_wants_it)
{
    l3_begin();
    l3_know_both(0);
    sent(1, 1, "198.51.100.7", "10.0.0.77");
    for (unsigned at = 2; at <= 6; at++)
        l3_run(at, NULL);
    sent(6.5, 1, "198.51.100.7", "10.0.0.77");
    assert_null(told(1));
}

/* The sender hears of the packet that it sent, not of what the chain made of it. */
L3_TEST(who_is_translated_is_told_too)
{
    l3_begin();
    l3_know_both(0);
    l3_translating = true;
    sent(1, 0, "10.0.0.5", "203.0.113.88");
    for (unsigned at = 2; at <= 4; at++) {
        assert_true(nf_chain_wake(l3_chain) <= at * NF_SECOND);
        l3_run(at, NULL);
    }
    sent(4.1, 0, "10.0.0.5", "203.0.113.88");
    assert_told(0, "10.0.0.1", "10.0.0.5", "10.0.0.5", "203.0.113.88");
}

L3_TEST(a_dead_next_hop_makes_all_behind_it_unreachable)
{
    l3_begin();
    l3_comes(1, l3_arp(0, 1, everybody, host_mac, "10.0.0.5", "10.0.0.1"));
    sent(3.9, 0, "10.0.0.5", "198.51.100.7");
    assert_null(told(0));
    for (unsigned i = 0; i < 4; i++) {
        sent(4.1 + 7 * i, 0, "10.0.0.5", "198.51.100.7");
        assert_told(0, "10.0.0.1", "10.0.0.5", "10.0.0.5", "198.51.100.7");
    }
}

L3_TEST(of_ipv6_the_same)
{
    uint8_t from[32];
    const uint8_t *f;

    l3_begin_ipv6(); /* asks for the gateway at 0 s, which is no chain time */
    l3_know_host6();
    for (unsigned at = 1; at <= 3; at++) {
        l3_run(at, NULL);
        assert_int_equal(asked(1, 86, 0xfe), 1);
    }
    l3_comes(3.9, l3_hex(0, UDP));
    assert_null(told(0));
    l3_dropped(4.1, l3_hex(0, UDP), NF_L3_NO_NEIGHBOUR);
    f = told(0);
    assert_non_null(f);
    assert_int_equal(f[54], 1);
    assert_int_equal(f[55], 3);
    l3_addr6(from, "2001:db8:1::1");
    l3_addr6(from + 16, "2001:db8:1::5");
    assert_memory_equal(f + 22, from, 32);
    l3_hex(0, UDP);
    assert_memory_equal(f + 62 + 8, l3_frame + 22, 32);
    l3_comes(4.4, l3_advertised(NF_ND_ROUTER | NF_ND_SOLICITED | NF_ND_OVERRIDE, 9));
    assert_int_equal(l3_comes(4.5, l3_hex(0, UDP)).drop, 0);
}
