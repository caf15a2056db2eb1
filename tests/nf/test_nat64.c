/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat64, packet by packet: what RFC 7915 and RFC 6146 say a packet is in the other family, with all sums made
 * anew (nat64.c), and each test replayed from headers alone (nat64_tape.c).
 */
#include "tests/help/nat64_tape.h"
#include "node/config/config.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

/* ---- flows --------------------------------------------------------------------------------------- */

static void tcp_goes_out_and_comes_back(void)
{
    struct six s = nat64_from_client(6);

    s.class = 0xb9;
    s.limit = 17;
    assert_true(nat64_sends(NF_INSIDE, &s));
    nat64_ends_are(NAT64_OUT, 2000, NAT64_S4, 443);
    assert_int_equal(nat64_seen.class, 0xb9);
    assert_int_equal(nat64_seen.limit, 17);
    assert_int_equal(nat64_seen.payload, 11);
    assert_false(nat64_seen.dont); /* 1260 bytes and less may be fragmented on their way */
    s = nat64_from_server(6, 2000);
    s.class = 0x2e;
    s.limit = 9;
    s.dont = true;
    assert_true(nat64_sends(NF_OUTSIDE, &s));
    nat64_ends_are(NAT64_S, 443, NAT64_C, 5000);
    assert_int_equal(nat64_seen.class, 0x2e);
    assert_int_equal(nat64_seen.limit, 9);
    assert_int_equal(nat64_seen.payload, 11);
    assert_false(nat64_seen.fragmented);
    help_chain_has(
        &nat64_h, "nat64",
        "\"inside\":\"[2001:db8::c]:5000\",\"outside\":\"203.0.113.1\",\"outside_port\":2000,\"remote\":"
        "\"198.51.100.1:443\",\"state\":\"syn-recv\",\"packets\":2");
    assert_int_equal(nat64_counter("translated_outward"), 1);
    assert_int_equal(nat64_counter("translated_inward"), 1);
    nat64_replays();
}

static void udp_of_any_size(void)
{
    struct six s = nat64_from_client(17);

    for (s.payload = 0; s.payload < 2400; s.payload += 97) {
        assert_true(nat64_sends(NF_INSIDE, &s));
        nat64_ends_are(NAT64_OUT, 2000, NAT64_S4, 443);
        assert_int_equal(nat64_seen.payload, s.payload);
        assert_int_equal(nat64_seen.dont, 28 + s.payload > 1260);
        struct six back = nat64_from_server(17, 2000);

        back.payload = s.payload;
        assert_true(nat64_sends(NF_OUTSIDE, &back));
        nat64_ends_are(NAT64_S, 443, NAT64_C, 5000);
        assert_int_equal(nat64_seen.payload, s.payload);
    }
    assert_int_equal(nat64_counter("mappings_created"), 1);
    nat64_replays();
}

static void an_echo_has_another_identifier(void)
{
    struct six s = nat64_from_client(58), back = nat64_from_server(1, 2000);

    s.sport = 77;
    assert_true(nat64_sends(NF_INSIDE, &s));
    nat64_ends_are(NAT64_OUT, 2000, NAT64_S4, 2000);
    assert_int_equal(nat64_seen.proto, 1);
    assert_int_equal(nat64_seen.type, 8);
    assert_true(nat64_sends(NF_OUTSIDE, &back));
    nat64_ends_are(NAT64_S, 77, NAT64_C, 77);
    assert_int_equal(nat64_seen.proto, 58);
    assert_int_equal(nat64_seen.type, 129);
    back.type = 8;
    assert_true(nat64_sends(NF_OUTSIDE, &back)); /* for the chain itself */
    assert_int_equal(nat64_seen.proto, 1);
    assert_int_equal(nat64_counter("own_echo"), 1);
    s.type = 129;
    s.sport = 78;
    assert_false(nat64_sends(NF_INSIDE, &s));
    assert_int_equal(nat64_counter("no_mapping"), 1);
    nat64_replays();
}

/* The one packet of IPv4 whose sum nobody has made. */
static void a_sum_is_made_where_there_is_none(void)
{
    struct six s = nat64_from_client(17), back = nat64_from_server(17, 2000);

    assert_true(nat64_sends(NF_INSIDE, &s));
    back.no_udp_sum = true;
    for (back.payload = 0; back.payload < 1500; back.payload += 211) {
        assert_true(nat64_sends(NF_OUTSIDE, &back)); /* which looks at it */
        nat64_ends_are(NAT64_S, 443, NAT64_C, 5000);
    }
    back.fragment = 0x2000;
    back.payload = 64;
    assert_false(nat64_sends(NF_OUTSIDE, &back));
    assert_int_equal(nat64_counter("udp_without_checksum"), 1);
    nat64_replays();
}

static void tags_and_options_are_no_hindrance(void)
{
    for (uint8_t tags = 0; tags < 3; tags++)
        for (uint8_t options = 0; options < 11; options++) {
            struct six s = nat64_from_client(6), back = nat64_from_server(6, 2000);

            s.tags = back.tags = tags;
            s.options = back.options = options;
            assert_true(nat64_sends(NF_INSIDE, &s));
            assert_int_equal(nat64_seen.l3, 14 + 4 * tags);
            assert_int_equal(nat64_seen.l4, nat64_seen.l3 + 20);
            assert_true(nat64_sends(NF_OUTSIDE, &back));
            assert_int_equal(nat64_seen.l4, nat64_seen.l3 + 40);
            assert_int_equal(nat64_seen.payload, 11);
        }
    nat64_replays();
}

/* ---- what is not translated ---------------------------------------------------------------------- */

static void what_is_not_ours_passes(void)
{
    struct six s = nat64_from_client(6), back = nat64_from_server(6, 2000);

    s.to = "2001:db8:5::1";
    assert_true(nat64_sends(NF_INSIDE, &s));
    assert_true(nat64_seen.ipv6);
    back.to = "203.0.113.2";
    assert_true(nat64_sends(NF_OUTSIDE, &back));
    assert_false(nat64_seen.ipv6);
    assert_int_equal(nat64_counter("not_ours"), 2);
    nat64_replays();
}

static void refused(uint8_t side, const struct six *s, const char *why)
{
    uint64_t was = nat64_counter(why);

    assert_false(nat64_sends(side, s));
    assert_int_equal(nat64_counter(why), was + 1);
}

#define REFUSED(side, s, why, ...)                                                                           \
    do {                                                                                                     \
        struct six made = (s);                                                                               \
        __VA_ARGS__;                                                                                         \
        refused((side), &made, (why));                                                                       \
    } while (0)

static void what_cannot_be_is_counted_by_name(void)
{
    struct six s = nat64_from_client(6), back = nat64_from_server(6, 2000);

    REFUSED(NF_INSIDE, s, "martian", made.from = "64:ff9b::1");
    REFUSED(NF_INSIDE, s, "martian", made.to = "64:ff9b::7f00:1");
    REFUSED(NF_INSIDE, s, "martian", made.to = "64:ff9b::e000:1");
    REFUSED(NF_INSIDE, s, "martian", made.from = "ff02::1");
    REFUSED(NF_INSIDE, s, "hairpin", made.to = "64:ff9b::cb00:7101");
    REFUSED(NF_INSIDE, s, "unsupported", made.proto = 47);
    REFUSED(NF_INSIDE, s, "unsupported", made.proto = 58; made.type = 130);
    REFUSED(NF_INSIDE, s, "fragmented_icmp", made.proto = 58; made.fragment = 0x2000);
    REFUSED(NF_INSIDE, s, "fragment_unknown", made.fragment = 5);
    REFUSED(NF_INSIDE, s, "no_mapping", made.tcp = NFT_RST);
    REFUSED(NF_OUTSIDE, back, "no_mapping", );
    REFUSED(NF_OUTSIDE, back, "unsupported", made.proto = 47);
    REFUSED(NF_OUTSIDE, back, "fragment_unknown", made.fragment = 5);
    REFUSED(NF_OUTSIDE, back, "fragmented_icmp", made.proto = 1; made.fragment = 0x2000);
    REFUSED(NF_OUTSIDE, back, "unsupported", made.proto = 1; made.type = 13);
    assert_true(nat64_sends(NF_INSIDE, &s));
    REFUSED(NF_OUTSIDE, back, "wrong_remote", made.sport = 444);
    REFUSED(NF_OUTSIDE, back, "wrong_remote", made.from = "198.51.100.2");
    back.options = 2;
    uint32_t len = six_frame(&back, nat64_frame);

    memcpy(nat64_frame + 34, "\203\007\004\012\000\000\001\000", 8); /* loose route, one station is left */
    nft_ip_checksum(nat64_frame, len);
    assert_false(nat64_sends_bytes(NF_OUTSIDE, len));
    assert_int_equal(nat64_counter("source_route"), 1);
    memcpy(nat64_frame + 34, "\203\007\010\012\000\000\001\000", 8); /* none is left */
    nft_ip_checksum(nat64_frame, len);
    assert_true(nat64_sends_bytes(NF_OUTSIDE, len));
    s.options = 1;
    len = six_frame(&s, nat64_frame);
    nat64_frame[20] = 43; /* routing header of a kind that nobody knows, with a station left */
    memcpy(nat64_frame + 54, "\006\000\375\001", 4);
    assert_false(nat64_sends_bytes(NF_INSIDE, len));
    assert_int_equal(nat64_counter("source_route"), 2);
    nat64_frame[57] = 0;
    assert_true(nat64_sends_bytes(NF_INSIDE, len));
    nat64_replays();
}

static void full_tables_are_counted(void)
{
    struct six s = nat64_from_client(17);

    help_chain_close(&nat64_h);
    help_chain_open(&nat64_h, "    - nat64: { outside: 203.0.113.1, ports: 2000-2003, max_flows: 20 }\n",
                    NULL, 1);
    for (unsigned i = 0; i < 6; i++) {
        s.sport = (uint16_t)(100 + i);
        assert_int_equal(nat64_sends(NF_INSIDE, &s), i < 4);
    }
    assert_int_equal(nat64_counter("ports_exhausted"), 2);
    s.proto = 6;
    for (unsigned i = 0; i < 4; i++) {
        s.sport = (uint16_t)(100 + i);
        assert_true(nat64_sends(NF_INSIDE, &s));
    }
    assert_int_equal(help_chain_command(&nat64_h, "clear nat64 udp/2001"), 0);
    assert_int_equal(help_chain_command(&nat64_h, "clear nat64 udp/2001"), FT_ENOENT);
    nat64_forgets();
    s.proto = 17;
    s.sport = 105;
    assert_true(nat64_sends(NF_INSIDE, &s));
    nat64_ends_are(NAT64_OUT, 2001, NAT64_S4, 443);
    help_chain_wait_tenths(&nat64_h, 3001);
    assert_int_equal(nat64_counter("mappings_expired"), 8);
    assert_true(nat64_sends(NF_INSIDE, &s));
}

/* ---- fragments ----------------------------------------------------------------------------------- */

static void fragments_follow_their_first(void)
{
    struct six s = nat64_from_client(17), back = nat64_from_server(17, 2000);

    s.id = 0x12345678;
    s.fragment = 0x2000;
    s.payload = 56;
    s.no_udp_sum = true; /* that of a part would be wrong */
    assert_true(nat64_sends(NF_INSIDE, &s));
    nat64_ends_are(NAT64_OUT, 2000, NAT64_S4, 443);
    assert_int_equal(nat64_seen.id, 0x5678);
    assert_int_equal(nat64_seen.fragment, 0x2000);
    assert_false(nat64_seen.dont);
    s.fragment = 8;
    assert_true(nat64_sends(NF_INSIDE, &s));
    assert_string_equal(nat64_seen.from, NAT64_OUT);
    assert_string_equal(nat64_seen.to, NAT64_S4);
    assert_int_equal(nat64_seen.fragment, 8);
    assert_int_equal(nat64_seen.id, 0x5678);
    assert_int_equal(nat64_seen.payload, 56);
    back.fragment = 0x2000;
    back.id = 0xfedc;
    back.payload = 56;
    assert_true(nat64_sends(NF_OUTSIDE, &back)); /* its sum is not right, but there is one */
    assert_true(nat64_seen.fragmented);
    assert_int_equal(nat64_seen.fragment, 0x2000);
    assert_int_equal(nat64_seen.id, 0xfedc);
    nat64_ends_are(NAT64_S, 443, NAT64_C, 5000);
    back.fragment = 8;
    assert_true(nat64_sends(NF_OUTSIDE, &back));
    assert_true(nat64_seen.fragmented);
    assert_int_equal(nat64_seen.fragment, 8);
    assert_string_equal(nat64_seen.from, NAT64_S);
    assert_string_equal(nat64_seen.to, NAT64_C);
    assert_int_equal(nat64_seen.payload, 56);
    back.id++;
    assert_false(nat64_sends(NF_OUTSIDE, &back));
    assert_int_equal(nat64_counter("fragment_unknown"), 1);
    nat64_replays();
}

/* RFC 7915, 5.1.1: the header goes, its identification stays, and it may be fragmented. */
static void a_fragment_that_is_all_is_none(void)
{
    struct six s = nat64_from_client(17);

    s.atomic = true;
    s.id = 0xabcd1234;
    s.payload = 1300;
    assert_true(nat64_sends(NF_INSIDE, &s));
    assert_int_equal(nat64_seen.fragment, 0);
    assert_int_equal(nat64_seen.id, 0x1234);
    assert_false(nat64_seen.dont);
    assert_int_equal(nat64_seen.payload, 1300);
    nat64_replays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(tcp_goes_out_and_comes_back),       HELP_CASE(udp_of_any_size),
        HELP_CASE(an_echo_has_another_identifier),    HELP_CASE(a_sum_is_made_where_there_is_none),
        HELP_CASE(tags_and_options_are_no_hindrance), HELP_CASE(what_is_not_ours_passes),
        HELP_CASE(what_cannot_be_is_counted_by_name), HELP_CASE(full_tables_are_counted),
        HELP_CASE(fragments_follow_their_first),      HELP_CASE(a_fragment_that_is_all_is_none),
    };

    help_chain_before = nat64_begins;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
