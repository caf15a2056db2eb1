/* SPDX-License-Identifier: Apache-2.0 */
/* syn_proxy's cookies: no state before one comes back, what is none, how long one is good, what it says. */
#include "nfs/syn_proxy_cookie.h"
#include "tests/help/segment.h"
#include "tests/help/syn.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

/* The vector of SipHash's paper, appendix A. */
static void the_hash_is_siphash(void)
{
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t message[15];

    for (unsigned i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    assert_true(sp_siphash(key, message, sizeof(message)) == 0xa129ca6149be45e5);
    syn_open(PROXY());
}

static void a_flood_of_syns_makes_no_state(void)
{
    static uint64_t before;

    syn_open("    - firewall: { rules: firewall.rules, max_flows: 4, ipv6: true }\n" PROXY(", max_flows: 4"));
    syn_cookie(1);
    before = help_chain_digest(&syn_chain);
    for (uint16_t port = 1; port < 2000; port++)
        syn_cookie(port);
    assert_int_equal(syn_counter("answered"), 2000);
    assert_int_equal(syn_sessions(), 0);
    assert_int_equal(help_chain_counter(&syn_chain, "firewall", "connections_created"), 0);
    assert_true(before != help_chain_digest(&syn_chain)); /* its counters */
    syn_acknowledge(1999, syn_cookie(1999));
    assert_int_equal(syn_sessions(), 1);
}

static void what_is_no_cookie_is_dropped(void)
{
    uint32_t cookie;

    syn_open(PROXY());
    cookie = syn_cookie(1000);
    assert_false(syn_send(true, 1001, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 2, cookie + 1, 0));
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 2, 0));
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 9, 0));
    assert_false(syn_send(true, 1000, NFT_ACK | NFT_RST, ISN + 1, cookie + 1, 0));
    assert_false(syn_send(true, 1000, NFT_FIN, ISN + 1, cookie + 1, 0));
    assert_int_equal(syn_counter("invalid"), 6);
    assert_int_equal(syn_sessions(), 0);
    syn_acknowledge(1000, cookie);
}

static void a_cookie_is_good_for_a_while(void)
{
    uint32_t cookie;

    syn_open(PROXY());
    cookie = syn_cookie(1000);
    help_chain_wait_tenths(&syn_chain, 1279);
    syn_acknowledge(1000, cookie);
    help_chain_close(&syn_chain);
    syn_open(PROXY());
    cookie = syn_cookie(1000);
    syn_cookie(1001);
    help_chain_wait_tenths(&syn_chain, 641);
    syn_cookie(1002); /* a new secret; the one before is known */
    help_chain_wait_tenths(&syn_chain, 639);
    syn_acknowledge(1000, cookie);
    cookie = syn_cookie(1003);
    help_chain_wait_tenths(&syn_chain, 1281);
    assert_false(syn_send(true, 1003, NFT_ACK, ISN + 1, cookie + 1, 0));
}

/* A syn_frame that no link has filled to 60 bytes has no room for the server's MSS. */
static void a_short_frame_becomes_a_syn_without_an_option(void)
{
    uint32_t cookie;
    struct nft_spec s = {.src = C, .dst = S, .sport = 1000, .dport = 80, .proto = 6, .tcp = NFT_ACK};

    syn_open(PROXY());
    if (syn_ipv6) /* it never has */
        return;
    cookie = syn_cookie(1000);
    nft_frame(&s, syn_frame);
    syn_put32(syn_frame + 38, ISN + 1);
    syn_put32(syn_frame + 42, cookie + 1);
    nft_readdress(syn_frame, 54, C, 1000, S, 80);
    syn_frame[54] = 0x77;
    assert_int_equal(help_chain_send(&syn_chain, NF_OUTSIDE, syn_frame, 54).drop, 0);
    assert_null(nft_checksums(syn_frame, 54));
    assert_int_equal(syn_said(syn_frame).flags, NFT_SYN);
    assert_int_equal(syn_said(syn_frame).mss, 0);
    assert_int_equal(syn_frame[54], 0x77);
}

/* The option of a SYN, behind others, and what is known of it from the cookie. */
static void the_clients_mss_comes_back(void)
{
    static const struct {
        uint8_t option[8];
        uint16_t known;
    } rows[] = {{{2, 4, 0x05, 0xb4, 1, 1, 1, 0}, 1460}, {{1, 1, 2, 4, 0x05, 0xb3, 1, 0}, 1440},
                {{4, 2, 2, 4, 0x23, 0x28, 0, 0}, 1460}, {{2, 4, 0, 10, 0, 0, 0, 0}, 64},
                {{0, 0, 2, 4, 0x05, 0xb4, 0, 0}, 536},  {{3, 0, 2, 4, 0x05, 0xb4, 0, 0}, 536},
                {{3, 9, 2, 4, 0x05, 0xb4, 0, 0}, 536},  {{1, 1, 1, 1, 1, 1, 1, 2}, 536}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t cookie, len;

        syn_open(PROXY());
        len = syn_make(true, 1000, NFT_SYN, ISN, 0, 8);
        syn_tcp(syn_frame)[12] = 0x70;
        memcpy(syn_tcp(syn_frame) + 20, rows[i].option, 8);
        help_segment_seal(syn_frame);
        assert_false(syn_send_frame(true, len));
        cookie = syn_said(syn_made(NF_OUTSIDE)).seq;
        len = syn_make(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 4); /* an ACK with options has room */
        syn_tcp(syn_frame)[12] = 0x60;
        help_segment_seal(syn_frame);
        assert_true(syn_send_frame(true, len));
        assert_true(help_segment_is_right(syn_frame, len));
        assert_int_equal(syn_said(syn_frame).mss, rows[i].known);
        help_chain_close(&syn_chain);
    }
    syn_open(PROXY());
}

static void other_packets_pass(void)
{
    struct nft_spec s = {.src = C, .dst = S, .sport = 1, .dport = 79, .proto = 6, .tcp = NFT_SYN};

    syn_open(PROXY());
    assert_true(help_chain_spec(&syn_chain, NF_OUTSIDE, &s, NULL));
    s.dport = 80;
    s.dst = S + 256;
    assert_true(help_chain_spec(&syn_chain, NF_OUTSIDE, &s, NULL));
    s.dst = S;
    s.proto = 17;
    assert_true(help_chain_spec(&syn_chain, NF_OUTSIDE, &s, NULL));
    assert_int_equal(syn_sessions(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(the_hash_is_siphash),
        HELP_CASE(a_flood_of_syns_makes_no_state),
        HELP_CASE(what_is_no_cookie_is_dropped),
        HELP_CASE(a_cookie_is_good_for_a_while),
        HELP_CASE(a_short_frame_becomes_a_syn_without_an_option),
        HELP_CASE(the_clients_mss_comes_back),
        HELP_CASE(other_packets_pass),
    };

    return help_chain_run_both("syn_proxy's cookies", tests, sizeof(tests) / sizeof(tests[0]), syn_over_ipv6);
}
