/* SPDX-License-Identifier: Apache-2.0 */
/* Prefix translation of IPv6: RFC 6296's own example, checksums that stay right, one address for one, errors,
 * what cannot be mapped. */
#include "tests/help/chain.h"
#include "understudy/config/config.h"
#include "tests/help/test.h"
#include <arpa/inet.h>

#define NPT(in, out) "    - nptv6: { inside: \"" in "\", outside: \"" out "\" }\n"

static struct help_chain h;
static uint8_t frame[256];

static struct nf_packet send_frame(uint8_t side, uint32_t len)
{
    return help_ipv6_send(&h, side, frame, len);
}

/* Of what is behind the header at ip: 0 when it is right. */
static uint32_t checksum(const uint8_t *ip, uint32_t n)
{
    return help_l4_checksum(ip, ip[6], ip + 40, n);
}

static void put_udp(const char *from, const char *to)
{
    help_ipv6_header(frame + 14, 17, from, to, 16);
    memset(frame + 54, 0x5a, 16);
    help_put16(frame + 58, 16);
    help_put16(frame + 60, 0);
    help_put16(frame + 60, checksum(frame + 14, 16));
}

static struct nf_packet udp(uint8_t side, const char *from, const char *to)
{
    put_udp(from, to);
    return send_frame(side, 70);
}

/* An error about a packet from `from` to `to`, of which it quotes eight bytes behind the header. */
static void put_error(const char *teller, uint8_t type, uint8_t proto, const char *from, const char *to)
{
    help_ipv6_header(frame + 14, 58, teller, from, 8 + 40 + 8);
    memset(frame + 54, 0, 8);
    frame[54] = type;
    help_ipv6_header(frame + 62, proto, from, to, 16);
    memset(frame + 102, 0x11, 8);
    help_put16(frame + 56, checksum(frame + 14, 56));
}

static void ends_are(const uint8_t *ip, const char *from, const char *to)
{
    char text[2][INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, ip + 8, text[0], sizeof(text[0]));
    inet_ntop(AF_INET6, ip + 24, text[1], sizeof(text[1]));
    assert_string_equal(text[0], from);
    assert_string_equal(text[1], to);
}

/* A datagram passes, with other ends and a right checksum. */
static void becomes(uint8_t side, const char *from, const char *to, const char *new_from, const char *new_to)
{
    assert_int_equal(udp(side, from, to).drop, 0);
    ends_are(frame + 14, new_from, new_to);
    assert_int_equal(checksum(frame + 14, 16), 0);
}

/* Two networks of the prefix: what one sends to the other stays as it is, and to a third one, which the chain
 * has no route to but that outside, it goes mapped. No neighbour is known, so nothing of it leaves L3. */
CHAIN_TEST(what_stays_inside_is_not_mapped)
{
    static const char text[] = NPT(
        "fd01:203:405::/48", "2001:db8:1::/48") "interfaces:\n"
                                                "  - { name: office, side: inside, address6: "
                                                "\"fd01:203:405:1::1/64\", mac: \"02:02:02:02:02:02\" }\n"
                                                "  - { name: outside, side: outside, address6: "
                                                "\"2001:db8:8::1/64\", mac: \"02:00:00:00:00:02\" }\n"
                                                "  - { name: guests, side: inside, address6: "
                                                "\"fd01:203:405:2::1/64\", mac: \"02:00:00:00:00:03\" }\n"
                                                "routes:\n  - { to: \"::/0\", via: \"2001:db8:8::fe\" }\n";

    help_chain_open(&h, text, NULL, 5);
    udp(NF_INSIDE, "fd01:203:405:1::1234", "fd01:203:405:2::7");
    ends_are(frame + 14, "fd01:203:405:1::1234", "fd01:203:405:2::7");
    assert_int_equal(help_chain_counter(&h, "nptv6", "passed"), 1);
    udp(NF_INSIDE, "fd01:203:405:1::1234", "fd01:203:405:99::7");
    ends_are(frame + 14, "2001:db8:1:d550::1234", "fd01:203:405:99::7");
    assert_int_equal(help_chain_counter(&h, "nptv6", "mapped"), 1);
}

CHAIN_TEST(the_rfcs_example)
{
    becomes(NF_INSIDE, "fd01:203:405:1::1234", "2001:db8:9::7", "2001:db8:1:d550::1234", "2001:db8:9::7");
    becomes(NF_OUTSIDE, "2001:db8:9::7", "2001:db8:1:d550::1234", "2001:db8:9::7", "fd01:203:405:1::1234");
    assert_int_equal(help_chain_counter(&h, "nptv6", "mapped"), 2);
}

/* By its rules it judges what nptv6 has left, and so it shows it. */
CHAIN_TEST(a_firewall_behind_it_shows_what_it_sees)
{
    help_chain_open(&h,
                    NPT("fd01:203:405::/48", "2001:db8:1::/48") "    - firewall: { rules: firewall.rules, "
                                                                "ipv6: true }\n",
                    "allow out from 2001:db8:1::/48\nallow in to 2001:db8:1::/48\n", 5);
    assert_int_equal(udp(NF_INSIDE, "fd01:203:405:1::1234", "2001:db8:9::7").drop, 0);
    assert_int_equal(udp(NF_OUTSIDE, "2001:db8:9::7", "2001:db8:1:d550::1234").drop, 0);
    assert_int_equal(help_chain_counter(&h, "firewall", "connections_created"), 1);
    help_chain_has(&h, "firewall", "\"from\":\"[2001:db8:1:d550::1234]:23130\"");
    assert_int_equal(udp(NF_OUTSIDE, "2001:db8:9::8", "2001:db8:1:d550::1234").drop, 0);
    help_chain_has(&h, "firewall", "\"to\":\"[2001:db8:1:d550::1234]:23130\"");
}

CHAIN_TEST(what_has_another_prefix_passes)
{
    becomes(NF_INSIDE, "fd01:203:406:1::1234", "2001:db8:9::7", "fd01:203:406:1::1234", "2001:db8:9::7");
    becomes(NF_OUTSIDE, "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::1", "2001:db8:2::1");
    assert_int_equal(help_chain_counter(&h, "nptv6", "passed"), 2);
}

/* Seeded addresses of prefixes of any length: out and in again is what it was, and no two are one. */
CHAIN_TEST(there_and_back_is_the_same)
{
    static const char *const nfs[] = {NPT("fd00:abcd:12::/48", "2001:db8::/48"),
                                      NPT("fd00:abcd::/40", "2001:db8:ff00::/40"),
                                      NPT("fd00:abcd:12:3450::/60", "2001:db8:1:2340::/60"),
                                      NPT("fd00:abcd:12:3456::/64", "2001:db8:1:2345::/64")};
    static const uint8_t prefix[] = {0xfd, 0, 0xab, 0xcd, 0, 0x12, 0x34, 0x56};
    static const unsigned kept[] = {6, 5, 8, 8}; /* bytes of it that are not drawn */
    uint64_t sequence = 3;

    for (unsigned k = 0; k < 4; k++) {
        help_chain_open(&h, nfs[k], NULL, 5);
        for (unsigned i = 0; i < 2000; i++) {
            uint8_t addr[16], was[32];
            char from[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN];

            memcpy(addr, prefix, 8);
            for (unsigned b = kept[k]; b < 16; b++)
                addr[b] = (uint8_t)(help_below(&sequence, 4) ? help_below(&sequence, 256) : 0xff);
            if (k == 2)
                addr[7] = (uint8_t)(0x50 | help_below(&sequence, 16));
            inet_ntop(AF_INET6, addr, from, sizeof(from));
            if (udp(NF_INSIDE, from, "2001:db8:9::7").drop)
                continue; /* the next test's */
            assert_int_equal(checksum(frame + 14, 16), 0);
            memcpy(was, frame + 22, 32);
            assert_memory_not_equal(was, addr, 16);
            inet_ntop(AF_INET6, was, out, sizeof(out));
            assert_int_equal(udp(NF_OUTSIDE, "2001:db8:9::7", out).drop, 0);
            assert_memory_equal(frame + 38, addr, 16);
        }
        assert_true(help_chain_counter(&h, "nptv6", "mapped") > 2000);
    }
}

CHAIN_TEST(what_cannot_be_corrected_is_dropped)
{
    assert_int_not_equal(udp(NF_INSIDE, "fd01:203:405:ffff::1", "2001:db8:9::7").drop, 0);
    assert_int_equal(help_chain_counter(&h, "nptv6", "unmappable"), 1);
}

static unsigned lane_of_frame(uint8_t side)
{
    struct nf_packet p = {.data = frame, .len = 70, .have = 70, .side = side};
    struct ft_fault fault = {""};
    enum nf_scope scope;

    assert_int_equal(nf_chain_scope(&h.config->chain, 8, &scope, &fault), 0);
    nf_packet_parse(&p);
    assert_true(p.flags & NF_P_IPV6_READ);
    return nf_lane_of(&p, scope, 8);
}

/* Where NFs with sessions are in the chain, both ways of a flow have to meet in one lane. */
CHAIN_TEST(both_ways_go_to_one_lane)
{
    unsigned lanes = 0;

    for (unsigned i = 0; i < 200; i++) {
        char from[64], to[64], out[INET6_ADDRSTRLEN];
        unsigned lane;

        snprintf(from, sizeof(from), "fd01:203:405:%x::%x", i % 7, i * 31 + 1);
        snprintf(to, sizeof(to), "2001:db8:9::%x", i + 1);
        assert_int_equal(udp(NF_INSIDE, from, to).drop, 0);
        inet_ntop(AF_INET6, frame + 22, out, sizeof(out));
        put_udp(from, to);
        lane = lane_of_frame(NF_INSIDE);
        put_udp(to, out);
        assert_int_equal(lane_of_frame(NF_OUTSIDE), lane);
        lanes |= 1u << lane;
    }
    assert_int_equal(lanes, 0xff);
}

/* From a router outside, about what was sent from inside: it has to know its own packet again. */
CHAIN_TEST(the_packet_in_an_error_is_mapped_as_well)
{
    put_error("2001:db8:9::1", 2, 17, "2001:db8:1:d550::1234", "2001:db8:9::7");
    assert_int_equal(send_frame(NF_OUTSIDE, 110).drop, 0);
    ends_are(frame + 14, "2001:db8:9::1", "fd01:203:405:1::1234");
    ends_are(frame + 62, "fd01:203:405:1::1234", "2001:db8:9::7");
    assert_int_equal(checksum(frame + 14, 56), 0);
}

/* Of a protocol without ports, and behind an extension header: the addresses are all that is needed. */
CHAIN_TEST(whatever_an_error_quotes_is_mapped)
{
    static const uint8_t protocols[] = {50, 60, 44, 132};

    for (unsigned i = 0; i < sizeof(protocols); i++) {
        put_error("fd01:203:405:1::1234", 1, protocols[i], "2001:db8:9::7", "fd01:203:405:1::1234");
        memset(frame + 102, 0, 8);
        help_put16(frame + 56, 0);
        help_put16(frame + 56, checksum(frame + 14, 56));
        assert_int_equal(send_frame(NF_INSIDE, 110).drop, 0);
        ends_are(frame + 14, "2001:db8:1:d550::1234", "2001:db8:9::7");
        ends_are(frame + 62, "2001:db8:9::7", "2001:db8:1:d550::1234");
        assert_int_equal(checksum(frame + 14, 56), 0);
    }
    help_ipv6_header(frame + 14, 58, "2001:db8:9::1", "2001:db8:1:d550::1234",
                     8 + 39); /* a header that is cut */
    memset(frame + 54, 0, 8 + 40);
    frame[54] = 1;
    help_ipv6_header(frame + 62, 17, "2001:db8:1:d550::1234", "2001:db8:9::7", 16);
    assert_int_equal(send_frame(NF_OUTSIDE, 14 + 40 + 47).drop, 0);
    ends_are(frame + 62, "2001:db8:1:d550::1234", "2001:db8:9::7");
}

/* Two hosts inside that know each other by their addresses outside. Without it the packet leaves as any. */
CHAIN_TEST(hosts_inside_reach_each_other)
{
    help_chain_open(&h,
                    "    - nptv6: { inside: \"fd01:203:405::/48\", outside: \"2001:db8:1::/48\", "
                    "hairpin: true }\n",
                    NULL, 5);
    becomes(NF_INSIDE, "fd01:203:405:1::1234", "2001:db8:1:d550::99", "2001:db8:1:d550::1234",
            "fd01:203:405:1::99");
    put_error("fd01:203:405:1::99", 1, 17, "2001:db8:1:d550::1234", "fd01:203:405:1::99"); /* it complains */
    assert_int_equal(send_frame(NF_INSIDE, 110).drop, 0);
    ends_are(frame + 14, "2001:db8:1:d550::99", "fd01:203:405:1::1234");
    ends_are(frame + 62, "fd01:203:405:1::1234", "2001:db8:1:d550::99");
    assert_int_equal(checksum(frame + 14, 56), 0);
    becomes(NF_INSIDE, "fd01:203:405:1::1234", "2001:db8:9::7", "2001:db8:1:d550::1234", "2001:db8:9::7");
    help_chain_open(&h, NPT("fd01:203:405::/48", "2001:db8:1::/48"), NULL, 5);
    becomes(NF_INSIDE, "fd01:203:405:1::1234", "2001:db8:1:d550::99", "2001:db8:1:d550::1234",
            "2001:db8:1:d550::99");
}

CHAIN_TEST(bad_prefixes_are_refused)
{
    help_chain_refuses(NPT("fd01:203:405::/48", "2001:db8:1::/40"),
                       "outside is 2001:db8:1::/40, expected a prefix");
    help_chain_refuses(NPT("fd01:203:405::/48", "2001:db8::/40"), "inside has 48 bits and outside 40");
    help_chain_refuses(NPT("fd01:203:405::", "2001:db8::/48"), "inside is fd01:203:405::, expected a prefix");
    help_chain_refuses(NPT("fd01:203:405::/65", "2001:db8::/65"),
                       "expected a prefix of IPv6 of 8 to 64 bits");
    help_chain_refuses(NPT("10.0.0.0/8", "2001:db8::/48"), "inside is 10.0.0.0/8");
}

static void begin(void)
{
    help_chain_open(&h, NPT("fd01:203:405::/48", "2001:db8:1::/48"), NULL, 5);
}

CHAIN_BEGINS(begin)
