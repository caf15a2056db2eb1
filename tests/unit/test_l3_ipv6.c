/* SPDX-License-Identifier: Apache-2.0 */
/* The chain's IPv6: own addresses, errors, what is not forwarded. */
#include "tests/help/l3_ipv6.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

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

static void an_echo_is_answered(void **state)
{
    uint8_t wanted[200];
    uint32_t n = l3_bytes(REPLY, wanted);
    struct nf_packet p;

    (void)state;
    l3_begin_ipv6();
    l3_know_host6();
    p = l3_hex(0, ECHO);
    l3_run(0.5, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 0);
    assert_memory_equal(l3_frame, wanted, n);
    l3_assert_counted(NF_L3_ECHO_ANSWERED, 1);
    assert_int_equal(l3_processed, 0);
    p = l3_hex(0, UDP);
    memcpy(l3_frame + 38, l3_config.port[0].addr6, 16);
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_LOCAL);
    l3_end();
}

static void all_own_addresses_are_announced(void **state)
{
    uint8_t wanted[200], out[NF_ANNOUNCEMENT_MAX], port;
    uint32_t n = l3_bytes(ADVERTISED, wanted), len, said = 0, arp = 0, nd = 0;

    (void)state;
    l3_begin_ipv6();
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
    l3_begin_ipv6();
    l3_know_gate6();
    l3_know_host6();
    p = l3_hex(0, UDP);
    l3_frame[14 + 7] = 1;
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_TTL);
    l3_assert_made(EXCEEDED, 0);
    l3_end();
}

static void what_is_too_big_is_told_the_mtu(void **state)
{
    uint8_t mtu[4] = {0, 0, 5, 0xdc};
    struct nf_packet p;

    (void)state;
    l3_begin_ipv6();
    l3_know_gate6();
    l3_know_host6();
    p = l3_hex(0, UDP);
    l3_frame[18] = 5;
    l3_frame[19] = 0xb5; /* 1461 and the header: one byte too many */
    p.len = p.have = 14 + 40 + 1461;
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_TOO_BIG);
    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].frame[54], 2);
    assert_memory_equal(l3_made[0].frame + 58, mtu, 4);
    p = l3_hex(0, UDP);
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
    l3_begin_ipv6();
    l3_know_gate6();
    for (unsigned i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        p = l3_hex(0, UDP);
        l3_addr6(l3_frame + 22, from[i]);
        l3_run(0.5, &p);
        l3_assert_dropped(&p, NF_L3_MARTIAN);
        assert_int_equal(l3_made_count, 0);
    }
    for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        p = l3_hex(0, UDP);
        l3_addr6(l3_frame + 38, to[i]);
        l3_run(0.5, &p);
        l3_assert_dropped(&p, i == 2 ? NF_L3_BROADCAST : NF_L3_MARTIAN);
    }
    for (unsigned i = 0; i < sizeof(from) / sizeof(from[0]); i++) { /* nor is the chain itself asked */
        p = l3_hex(0, ECHO);
        l3_addr6(l3_frame + 22, from[i]);
        l3_seal6(&p);
        l3_run(0.5, &p);
        l3_assert_counted(NF_L3_ECHO_ANSWERED, i >= 3); /* that of the link alone may ask */
    }
    assert_int_equal(l3_processed, 0);
    l3_end();
}

/* Nobody behind a router believes it, and no NF is to judge it. */
static void neighbour_discovery_is_not_forwarded(void **state)
{
    struct nf_packet p;

    (void)state;
    l3_begin_ipv6();
    l3_know_gate6();
    for (uint8_t type = 133; type <= 137; type++) {
        p = l3_hex(0, ECHO);
        l3_addr6(l3_frame + 38, "2001:db8:9::7");
        l3_frame[14 + 7] = 255;
        l3_frame[54] = type;
        l3_seal6(&p);
        l3_run(0.5, &p);
        l3_assert_dropped(&p, NF_L3_ND);
    }
    assert_int_equal(l3_processed, 0);
    l3_end();
}

/* An error about an error would never end (RFC 4443, 2.4). */
static void no_error_about_an_error(void **state)
{
    struct nf_packet p;

    (void)state;
    l3_begin_ipv6();
    l3_know_host6();
    p = l3_hex(0, ECHO);
    l3_addr6(l3_frame + 38, "2001:db8:9::7");
    l3_frame[54] = 1;
    l3_frame[14 + 7] = 1;
    l3_seal6(&p);
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
    p = l3_hex(0, UDP);
    l3_run(0.5, &p);
    l3_assert_dropped(&p, NF_L3_PROTOCOL);
    l3_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_is_answered),
        cmocka_unit_test(all_own_addresses_are_announced),
        cmocka_unit_test(its_sender_is_told_that_it_ran_out),
        cmocka_unit_test(what_is_too_big_is_told_the_mtu),
        cmocka_unit_test(nobody_is_told_of_what_has_no_sender),
        cmocka_unit_test(neighbour_discovery_is_not_forwarded),
        cmocka_unit_test(no_error_about_an_error),
        cmocka_unit_test(a_link_without_it_takes_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
