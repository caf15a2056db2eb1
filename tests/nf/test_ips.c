/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips: signatures across segments, what is dropped and what follows it, holes and overlaps, directions,
 * thresholds, other rules while streams go on, rules that are refused, and real captures. test_ips_model.c
 * holds the matching against a model.
 */
#include "tests/help/tcp.h"
#include "tests/help/test.h"

#define DROP  "drop tcp any any -> any 80 (msg:\"an attack\"; content:\"attack\"; sid:7; rev:3;)\n"
#define ALERT "alert tcp any any <> any any (msg:\"seen\"; content:\"Attack\"; nocase; sid:8;)\n"

/* Between the client's port 4000 and the server's 53. True: it passed. */
static bool udp(uint8_t side, const char *payload)
{
    bool client = side == NF_INSIDE;
    const struct help_segment s =
        HELP_SEGMENT(17, client ? 1 : 2, client ? 4000 : 53, client ? 2 : 1, client ? 53 : 4000,
                     .payload = payload, .len = (uint32_t)strlen(payload));

    return help_ips_send(side, &s);
}

CHAIN_TEST(what_completes_a_match_is_dropped_and_what_follows)
{
    help_ips_connect(IPS(), DROP);
    assert_true(help_ips_client(101, "an att"));
    assert_false(help_ips_client(107, "ack"));
    assert_false(help_ips_client(107, "ack"));
    assert_false(help_ips_client(110, "more"));
    assert_false(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 107, "answer"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_SYN, 106, 0, "")); /* no way to begin anew in the middle */
    help_chain_counts(&help_ips, "ips: dropped 1, blocked 4");
    help_chain_has(&help_ips, "ips",
                   "{\"rule\":\"7\",\"line\":1,\"action\":\"drop\",\"hits\":1,\"msg\":\"an attack\"}");
    help_chain_has(&help_ips, "ips",
                   "{\"alert\":\"7\",\"rev\":3,\"at_ns\":1000000000,\"action\":\"drop\",\"proto\":\"tcp\","
                   "\"from\":\"10.0.0.1:4000\",\"to\":\"10.0.0.2:80\",\"msg\":\"an attack\"}");
    assert_int_equal(help_chain_command(&help_ips, "clear ips"), FT_OK);
    assert_true(help_ips_client(110, "picked up"));
}

CHAIN_TEST(a_packet_that_fills_a_hole_stands_for_what_is_behind_it)
{
    help_ips_connect(IPS(), DROP);
    assert_true(help_ips_client(107, "tack"));
    assert_true(help_ips_client(105, "at"));
    assert_int_equal(help_ips_counter("segments_kept"), 2);
    assert_false(help_ips_client(101, "the "));
    assert_int_equal(help_ips_counter("dropped"), 1);
}

CHAIN_TEST(who_contradicts_what_is_kept_is_dropped)
{
    help_ips_connect(IPS(), DROP);
    assert_true(help_ips_client(103, "tttt"));
    assert_false(help_ips_client(101, "at_"));   /* in front of it, and into it */
    assert_false(help_ips_client(104, "ttack")); /* behind it */
    assert_int_equal(help_ips_counter("overlap_differs"), 2);
    assert_true(help_ips_client(101, "at"));
    assert_true(help_ips_client(107, "done"));
    help_chain_counts(&help_ips, "ips: segments_kept 1, matches 0");
    assert_true(help_ips_client(120, "later"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK | NFT_FIN, 122, 501, "")); /* an end inside it */
    assert_int_equal(help_ips_counter("overlap_differs"), 3);
}

CHAIN_TEST(room_is_bounded)
{
    help_ips_connect(IPS(", stream_pieces: 8, flow_pieces: 2"), DROP); /* pieces begin at 0, 440, 880, 1320 */
    assert_false(help_ips_client(101 + 2 * 440, "far"));
    assert_int_equal(help_ips_counter("out_of_window"), 1);
    assert_true(help_ips_client(450, "one"));
    assert_true(help_ips_client(460, "two")); /* in the same piece */
    assert_true(help_ips_client(900, "three"));
    assert_true(help_ips_client(101, "123456789")); /* it is the third, and passes without a copy */
    assert_false(help_ips_client(110, "more"));
    assert_int_equal(help_ips_counter("segments_full"), 1);
    assert_false(help_ips_client(101, "123456789")); /* no copy is there to compare it with */
    assert_int_equal(help_ips_counter("overlap_unknown"), 1);
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 105, ""));
    assert_false(help_ips_client(101, "123456789"));
    assert_true(help_ips_client(101, "1234")); /* which its receiver has */
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 110, ""));
    assert_true(help_ips_client(101, "123456789"));
    assert_int_equal(help_ips_counter("retransmitted"), 2);
}

/* It was on its way when the chain began: both ends know more than the chain. */
CHAIN_TEST(a_stream_that_is_picked_up_begins_where_its_receiver_says)
{
    help_ips_open(IPS(), ALERT);
    assert_true(help_ips_client(110, "att"));
    assert_true(help_ips_client(200, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 203, ""));
    assert_true(help_ips_client(203, "ack"));
    assert_int_equal(help_ips_counter("matches"), 1); /* it begins at 200, not at 110 */
    assert_true(help_ips_client(101, "retransmit"));
    assert_int_equal(help_ips_counter("retransmitted"), 1);
    help_ips_open(IPS(), ALERT);
    assert_true(help_ips_client(104, "ack"));
    assert_true(help_ips_client(107, "and"));
    assert_true(help_ips_client(101, "att")); /* in front of it, and nothing was acknowledged */
    assert_int_equal(help_ips_counter("matches"), 1);
    assert_false(help_ips_client(107, "or_"));
    assert_int_equal(help_ips_counter("overlap_differs"), 1);
}

CHAIN_TEST(a_connection_begins_anew_when_the_last_one_is_over_for_both)
{
    help_ips_connect(IPS(), DROP);
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_RST, 90000, 0, "")); /* its receiver does not believe it */
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 103, 0, ""));
    assert_false(help_ips_client(104, "ack"));
    help_ips_connect(IPS(), DROP);
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 104, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_RST, 104, 0, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 9000, 0, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 700, 9001, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_ACK, 9001, 701, "ack"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 9004, 701, "attack"));
}

CHAIN_TEST(directions_and_states_of_flows)
{
    help_ips_connect(IPS(),
                     "alert tcp any any -> any any (content:\"x\"; flow:to_server; sid:1;)\n"
                     "alert tcp any any -> any any (content:\"x\"; flow:from_server,established; sid:2;)\n"
                     "alert tcp 10.0.0.0/24 any -> !10.0.0.1 [79:81,443] (content:\"x\"; sid:3;)\n"
                     "alert udp any any -> any any (content:\"y\"; flow:established; sid:4;)\n");
    assert_true(help_ips_client(101, "x"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 102, "x x"));
    assert_true(udp(NF_INSIDE, "y"));
    assert_true(udp(NF_OUTSIDE, "yyy"));
    help_chain_has(&help_ips, "ips", "\"rule\":\"1\",\"line\":1,\"action\":\"alert\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"2\",\"line\":2,\"action\":\"alert\",\"hits\":2");
    help_chain_has(&help_ips, "ips", "\"rule\":\"3\",\"line\":3,\"action\":\"alert\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"4\",\"line\":4,\"action\":\"alert\",\"hits\":3");
}

/* Snort's and Suricata's `established`: both ends have been heard. */
CHAIN_TEST(a_connection_of_which_one_end_is_heard_is_not_established)
{
    static const uint8_t first[] = {NFT_ACK, NFT_PSH | NFT_ACK, NFT_SYN, NFT_SYN | NFT_ACK,
                                    NFT_FIN | NFT_ACK};

    for (unsigned i = 0; i < 5; i++)
        for (unsigned side = 0; side < 2; side++) {
            uint8_t this = side ? NF_OUTSIDE : NF_INSIDE, other = side ? NF_INSIDE : NF_OUTSIDE;

            help_ips_open(IPS(), "alert tcp any any <> any any (content:\"x\"; flow:established; sid:1;)\n"
                                 "alert tcp any any <> any any (content:\"x\"; sid:2;)\n");
            help_ips_tcp(this, first[i], 100, 501, first[i] & NFT_PSH ? "x" : "");
            for (uint32_t n = 0; n < 3 && first[i] != (NFT_FIN | NFT_ACK); n++)
                assert_true(help_ips_tcp(this, NFT_ACK, 101 + n, 501, "x"));
            assert_int_equal(help_ips_counter("matches"), i == 1 ? 4 : i == 4 ? 0 : 3);
            assert_true(help_ips_tcp(other, NFT_ACK, 501, 101, "x"));
            if (first[i] != NFT_SYN) /* which the other end has not answered by one */
                assert_int_equal(help_ips_counter("matches"), i == 1 ? 6 : i == 4 ? 2 : 5);
        }
}

CHAIN_TEST(thresholds_decide_who_is_told_and_what_is_dropped)
{
#define OF(type) "content:\"" type "\"; threshold:type " type ", track by_src, count 2, seconds 10; "
    static const char *const names[] = {"limit", "threshold", "both"};
    static const unsigned alerts[] = {2, 2, 1}, passed[] = {0, 1, 1};

    for (unsigned i = 0; i < 3; i++) {
        unsigned pass = 0;

        help_ips_open(IPS(", max_tracked: 1"),
                      "drop udp any any -> any 53 (" OF(
                          "limit") "sid:1;)\n"
                                   "drop udp any any -> any 53 (" OF(
                                       "threshold") "sid:2;)\n"
                                                    "drop udp any any -> any 53 (" OF("both") "sid:3;)\n");
        for (unsigned n = 0; n < 5; n++)
            pass += udp(NF_INSIDE, names[i]);
        assert_int_equal(pass, passed[i]);
        help_chain_counts(&help_ips, "ips: alerts %u, matches 5", alerts[i]);
        help_chain_wait_tenths(&help_ips, 100);
        assert_int_equal(udp(NF_INSIDE, names[i]), i != 0); /* counted from the beginning */
        assert_int_equal(help_ips_counter("tracked_full"), 0);
        assert_false(udp(NF_INSIDE, names[(i + 1) % 3])); /* no room: as without a threshold */
        assert_int_equal(help_ips_counter("tracked_full"), 1);
        help_chain_wait_tenths(&help_ips, 100);
        udp(NF_INSIDE, names[(i + 1) % 3]); /* the other one's time is over */
        assert_int_equal(help_ips_counter("tracked_full"), 1);
    }
}

CHAIN_TEST(what_cannot_be_looked_into_is_dropped)
{
    uint8_t frame[NFT_FRAME_MAX];
    const struct nft_spec fragment =
        HELP_PACKET(6, 1, 1, 2, 80, .tcp = NFT_ACK, .payload = 64, .fragment = NFT_MORE);
    const struct help_segment s = HELP_SEGMENT(6, 1, 1, 2, 80, .flags = NFT_ACK, .payload = "abc", .len = 3);
    uint32_t len = help_segment_frame(&s, frame);

    help_ips_open(IPS(", loose: false"), DROP);
    assert_false(help_ips_send(NF_INSIDE, &s));
    assert_int_equal(help_ips_counter("beginning_unseen"), 1);
    frame[len > 60 ? 60 : 56] ^= 1;
    assert_int_equal(help_chain_send(&help_ips, NF_INSIDE, frame, len).drop != 0, 1);
    assert_int_equal(help_ips_counter("checksum"), 1);
    assert_false(help_chain_spec(&help_ips, NF_INSIDE, &fragment, NULL));
    assert_int_equal(help_ips_counter("fragments"), 1);
}

CHAIN_TEST(an_operator_changes_what_a_rule_does)
{
    help_ips_connect(IPS(), DROP);
    assert_int_equal(help_chain_command(&help_ips, "set ips rule.7=off"), FT_OK);
    assert_true(help_ips_client(101, "attack"));
    assert_int_equal(help_chain_command(&help_ips, "set ips rule.7=alert"), FT_OK);
    assert_true(help_ips_client(107, "attack"));
    assert_int_equal(help_ips_counter("matches"), 1);
    assert_int_equal(help_chain_command(&help_ips, "set ips rule.8=alert"), FT_ENOENT);
    assert_int_equal(help_chain_command(&help_ips, "set ips rule.7=allow"), FT_EINVAL);
    assert_int_equal(help_chain_command(&help_ips, "set ips udp=0"), FT_EINVAL);
}

/* A stream under way: its hole is still there, and what the new rules look for begins behind the change. */
CHAIN_TEST(other_rules_take_the_place_of_these_while_streams_go_on)
{
    static const char other[] = "alert tcp any any -> any any (content:\"ack\"; sid:9;)\n"
                                "drop tcp any any -> any 80 (content:\"never\"; sid:7;)\n"
                                "alert tcp any any -> any any (content:\"tt\"; content:\"a\"; sid:10;)\n";
    struct ft_fault fault = {""};

    help_ips_connect(IPS(),
                     DROP "alert tcp any any -> any any (content:\"att\"; content:\"none\"; sid:8;)\n");
    assert_true(help_ips_client(101, "attack") == false);
    assert_int_equal(help_chain_command(&help_ips, "clear ips"), FT_OK);
    assert_true(help_ips_client(107, "att"));
    assert_true(help_ips_client(111, "ck tt"));
    assert_int_equal(help_change(&help_ips, IPS(), other, &fault), 0);
    help_chain_is_sound(&help_ips);
    assert_true(help_ips_client(110, "a"));
    help_chain_has(&help_ips, "ips", "\"rule\":\"9\",\"line\":1,\"action\":\"alert\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"7\",\"line\":2,\"action\":\"drop\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"10\",\"line\":3,\"action\":\"alert\",\"hits\":1");
    help_chain_is_sound(&help_ips);
    assert_int_equal(help_chain_command(&help_ips, "set ips rule.7=alert"), FT_OK);
    assert_int_equal(
        help_change(&help_ips, "    - ips: { rules: firewall.rules, max_flows: 9 }\n", NULL, &fault), 0);
    help_chain_has(&help_ips, "ips", "\"rule\":\"7\",\"line\":2,\"action\":\"alert\",\"hits\":1");
    assert_true(help_ips_client(116, "att"));
    assert_int_equal(help_chain_command(&help_ips, "set ips rule.7=drop"), FT_OK);
    assert_int_equal(help_change(&help_ips, IPS(), "# a file that has changed\n" DROP, &fault), 0);
    assert_true(help_ips_client(119, "ack")); /* it begins anew, and so does what it looks for */
    assert_false(help_ips_client(122, "attack"));
    assert_true(help_change(&help_ips, IPS(", alerts: 3"), NULL, &fault) < 0);
    assert_non_null(strstr(fault.text, "ips"));
}

/* What a rule drops, `n` bytes in front of its IP header. True: it passed. */
static bool send_wrapped(const uint8_t *between, uint32_t n)
{
    const struct help_segment segment =
        HELP_SEGMENT(6, 1, 4000, 2, 80, .flags = NFT_SYN, .payload = "attack", .len = 6);
    uint8_t frame[NFT_FRAME_MAX], out[NFT_FRAME_MAX];
    uint32_t len = help_segment_frame(&segment, frame);

    memcpy(out, frame, 12);
    memcpy(out + 12, between, n);
    memcpy(out + 12 + n, frame + 14, len - 14);
    return !help_chain_send(&help_ips, NF_INSIDE, out, len - 2 + n).drop;
}

CHAIN_TEST(what_cannot_be_read_is_counted_and_passes_or_not)
{
    static const uint8_t two_tags[] = {0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0};
    static const uint8_t three_tags[] = {0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0};
    static const uint8_t pppoe[] = {0x88, 0x64, 0x11, 0, 0, 1, 0, 48, 0, 0x21};
    static const uint8_t mpls[] = {0x88, 0x47, 0, 1, 1, 64};
    static const uint8_t arp[14 + 28] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
    uint8_t frame[NFT_FRAME_MAX];

    for (unsigned drop = 0; drop < 2; drop++) {
        help_ips_open(drop ? IPS(", unsupported: drop") : IPS(),
                      "drop tcp any any -> any any (content:\"attack\"; sid:1;)\n");
        assert_false(send_wrapped(two_tags, sizeof(two_tags)));
        assert_int_equal(help_ips_counter("dropped"), 1);
        assert_int_equal(send_wrapped(three_tags, sizeof(three_tags)), !drop);
        assert_int_equal(send_wrapped(pppoe, sizeof(pppoe)), !drop);
        assert_int_equal(send_wrapped(mpls, sizeof(mpls)), !drop);
        assert_int_equal(help_ips_counter("unsupported"), 3);
        memcpy(frame, arp, sizeof(arp));
        assert_int_equal(help_chain_send(&help_ips, NF_INSIDE, frame, sizeof(arp)).drop, 0);
        assert_int_equal(help_ips_counter("not_inspected"), 1);
    }
}

/* ips: whom it tells of what it has rejected, and how, held against frames that are read by other code. */

CHAIN_TEST(both_ends_of_what_is_rejected_are_told)
{
    const struct nf_emitted *made;
    struct nft_seen seen;

    help_ips_connect(IPS(), "reject tcp any any -> any any (content:\"attack\"; sid:1;)\n"
                            "reject udp any any -> any any (content:\"attack\"; sid:2;)\n");
    assert_true(help_ips_client(101, "att"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 501, "attack"));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(nft_see(made[i].frame, made[i].len, &seen));
        assert_null(nft_checksums(made[i].frame, made[i].len));
        assert_int_equal(made[i].port, i);
        assert_int_equal(seen.dst, NFT_IP(10, 0, 0, i + 1));
        assert_int_equal(seen.dport, i ? 80 : 4000);
        assert_int_equal(help_get32(made[i].frame + seen.l4 + 4), i ? 104 : 501); /* what each expects next */
        assert_int_equal(made[i].frame[seen.l4 + 13] & NFT_RST, NFT_RST);
    }
    assert_false(udp(NF_INSIDE, "attack"));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 1);
    assert_true(nft_see(made[0].frame, made[0].len, &seen));
    assert_null(nft_checksums(made[0].frame, made[0].len));
    assert_int_equal(seen.type, 3);
    assert_int_equal(seen.dst, NFT_IP(10, 0, 0, 1));
    assert_int_equal(help_ips_counter("rejected"), 2);
}

/* Whoever sends data with a SYN or a FIN believes only a reset that acknowledges those as well (RFC 9293,
 * 3.10.7). */
CHAIN_TEST(a_reset_acknowledges_a_syn_and_an_end)
{
    struct help_segment s =
        HELP_SEGMENT(6, 1, 7, 2, 80, .flags = NFT_SYN, .seq = 100, .ack = 777, .payload = "attack", .len = 6);
    const struct nf_emitted *made;

    help_ips_open(IPS(), "reject tcp any any -> any any (content:\"attack\"; sid:1;)\n");
    assert_false(help_ips_send(NF_INSIDE, &s));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 1);
    assert_int_equal(help_get32(made[0].frame + 14 + 20 + 4), 0);
    assert_int_equal(help_get32(made[0].frame + 14 + 20 + 8), 107);
    help_ips_begin();
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK | NFT_FIN, 101, 501, "attack"));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 2);
    assert_int_equal(help_get32(made[0].frame + 14 + 20 + 4), 501);
    assert_int_equal(help_get32(made[0].frame + 14 + 20 + 8), 108);
}

/* Nobody is told of a datagram to a multicast or broadcast address, of IP or of Ethernet (RFC 1122, 3.2.2;
 * RFC 4443, 2.4). */
CHAIN_TEST(nobody_is_told_of_what_went_to_many)
{
    struct help_segment s = HELP_SEGMENT(17, 1, 7, 2, 80, .payload = "attack", .len = 6);
    const struct nf_emitted *made;
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len;

    help_ips_open(IPS(), "reject udp any any -> any any (content:\"attack\"; sid:1;)\n");
    for (unsigned i = 0; i < 7; i++) {
        static const uint32_t many[] = {NFT_IP(224, 0, 0, 251), NFT_IP(239, 1, 1, 1), UINT32_MAX};

        s.ipv6 = i > 3;
        len = help_segment_frame(&s, frame);
        if (i < 3) {
            nft_readdress(frame, len, NFT_IP(10, 0, 0, 1), 7, many[i], 80);
        } else if (i == 5) {
            frame[14 + 24] = 0xff;
            frame[14 + 25] = 2;
            help_segment_seal(frame);
        } else if (i < 6) {
            frame[0] |= 1;
        }
        assert_true(help_chain_send(&help_ips, NF_INSIDE, frame, len).drop);
        assert_int_equal(nf_chain_emitted(help_ips.chain, &made), i == 6); /* the last one is to a host */
    }
    assert_int_equal(help_ips_counter("rejected"), 7);
}

/* The inside sends 100 datagrams at once, and as many a tenth of a second later; then the outside does. */
CHAIN_TEST(a_side_is_told_of_so_many_a_second)
{
    static const unsigned told[] = {50, 10, 50};
    const struct nf_emitted *made;

    help_ips_open(IPS(), "reject udp any any <> any any (content:\"attack\"; sid:1;)\n");
    for (unsigned i = 0; i < 3; i++) {
        uint8_t side = i < 2 ? NF_INSIDE : NF_OUTSIDE;
        uint64_t now = HELP_SECOND + (i == 0 ? 0 : HELP_SECOND / 10);
        unsigned errors = 0;

        for (unsigned n = 0; n < 100; n++) {
            help_ips.now = now;
            assert_false(udp(side, "attack"));
            errors += nf_chain_emitted(help_ips.chain, &made);
        }
        assert_int_equal(errors, told[i]);
    }
    assert_int_equal(help_ips_counter("rejected"), 300);
}

/* Where the chain translates, each end is told under the addresses by which it knows the other one. */
CHAIN_TEST(ends_are_told_what_they_know_each_other_by)
{
    const struct nf_emitted *made;
    struct nft_seen seen;

    help_ips_open("    - nat: { outside: 203.0.113.1, inside: [10.0.0.0/31] }\n" IPS(),
                  "reject tcp any any -> any any (content:\"attack\"; sid:1;)\n");
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, ""));
    assert_false(help_ips_client(101, "attack"));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 2);
    assert_true(nft_see(made[0].frame, made[0].len, &seen));
    assert_int_equal(seen.dst, NFT_IP(10, 0, 0, 1));
    assert_int_equal(seen.dport, 4000);
    assert_null(nft_checksums(made[0].frame, made[0].len));
    assert_true(nft_see(made[1].frame, made[1].len, &seen));
    assert_int_equal(seen.src, NFT_IP(203, 0, 113, 1));
    assert_int_equal(seen.dst, NFT_IP(10, 0, 0, 2));
    assert_null(nft_checksums(made[1].frame, made[1].len));
}

CHAIN_TEST(ends_of_ipv6_are_told)
{
    struct help_segment s = HELP_SEGMENT(6, 1, 7, 2, 80, .ipv6 = true, .seq = 100);
    const struct nf_emitted *made;

    help_ips_open(IPS(), "reject tcp 2001:db8::/64 any -> 2001:db8::2 any (content:\"attack\"; sid:1;)\n"
                         "reject udp any any -> any any (content:\"attack\"; sid:2;)\n");
    s.flags = NFT_SYN;
    assert_true(help_ips_send(NF_INSIDE, &s));
    s = HELP_SEGMENT(6, 1, 7, 2, 80, .ipv6 = true, .flags = NFT_ACK, .seq = 101, .payload = "attack",
                     .len = 6);
    assert_false(help_ips_send(NF_INSIDE, &s));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 2);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *ip = made[i].frame + 14;

        assert_int_equal(made[i].len, 14 + 60);
        assert_int_equal(ip[39], i + 1); /* the destination's last byte */
        assert_int_equal(ip[40 + 13] & NFT_RST, NFT_RST);
        assert_int_equal(help_l4_checksum(ip, 6, ip + 40, 20), 0);
    }
    help_chain_has(&help_ips, "ips", "\"from\":\"[2001:db8::1]:7\",\"to\":\"[2001:db8::2]:80\"");
    s.proto = 17;
    assert_false(help_ips_send(NF_INSIDE, &s));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 1);
    assert_int_equal(made[0].frame[14 + 40], 1); /* unreachable, by its port */
    assert_int_equal(made[0].frame[14 + 41], 4);
    assert_int_equal(help_l4_checksum(made[0].frame + 14, 58, made[0].frame + 54, made[0].len - 54), 0);
}

/* ips: what becomes of rules with several contents, and with patterns, when what is noted finds no room. */

static void open_patterns(const char *action, const char *pattern)
{
    static char rules[4096];
    char *at = rules;

    for (unsigned i = 0; i < 9; i++)
        at += sprintf(at, "%s tcp any any -> any any (content:\"k%u\"; pcre:\"%s\"; sid:%u;)\n", action, i,
                      pattern, i + 1);
    help_ips_connect(IPS(), rules);
}

CHAIN_TEST(the_ninth_pattern_of_a_direction_is_not_let_pass)
{
    open_patterns("drop", "/[abc]{8}z/R");
    assert_true(help_ips_client(101, "k0k1k2k3k4k5k6k7"));
    assert_true(help_ips_client(117, "k0k1k2k3k4k5k6k7"));
    assert_int_equal(help_ips_counter("notes_full"), 0);
    assert_false(help_ips_client(133, "k8"));
    assert_int_equal(help_ips_counter("notes_full"), 1);
    assert_false(help_ips_client(133, "k8"));
    assert_false(help_ips_client(135, "abcabcabz"));
    assert_int_equal(help_ips_counter("blocked"), 2);
    open_patterns("alert", "/[abc]{8}z/R");
    assert_true(help_ips_client(101, "k0k1k2k3k4k5k6k7k8"));
    assert_int_equal(help_ips_counter("notes_full"), 1);
    assert_true(help_ips_client(119, "abcabcabz"));
    assert_int_equal(help_ips_counter("matches"), 8);
    assert_true(help_ips_client(128, "k8abcabcabz")); /* there is room again */
    help_chain_counts(&help_ips, "ips: notes_full 1, matches 9");
}

CHAIN_TEST(a_pattern_that_cannot_go_on_leaves_its_room)
{
    open_patterns("drop", "/^abc/R");
    for (uint32_t i = 0; i < 20; i++)
        assert_true(help_ips_client(101 + i * 27, "k0__k1ax_k2abk3_k4abk5__k8a"));
    assert_int_equal(help_ips_counter("notes_full"), 0);
    help_chain_is_sound(&help_ips);
    assert_true(help_ips_client(641, "_k8ab"));
    assert_false(help_ips_client(646, "c"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

/* Whoever fills the table keeps nothing from being looked for: it is dropped instead. */
CHAIN_TEST(a_full_table_lets_nothing_pass_that_a_rule_would_have_to_note)
{
    help_ips_connect(
        IPS(", max_notes: 2"),
        "drop tcp any any -> any any (content:\"one\"; content:\"two\"; content:\"six\"; sid:1;)\n"
        "alert tcp any any -> any any (content:\"ten\"; content:\"win\"; sid:2;)\n");
    assert_true(help_ips_client(101, "one two"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 101, "ten"));
    assert_int_equal(help_ips_counter("notes_full"), 1);
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 504, 101, "nothing"));
    assert_false(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 511, 101, "a one"));
    help_chain_counts(&help_ips, "ips: notes_full 2, dropped 0");
}

/* Segments behind holes, each in a piece of its own, that are let pass, of at most 20. */
static unsigned kept_from(uint32_t seq)
{
    for (unsigned i = 0; i < 20; i++)
        if (!help_ips_client(seq + 440 * i, "x"))
            return i;
    return 20;
}

/* Who sends in other people's names gets no answer, and shares half of the pieces with what is behind holes.
 */
CHAIN_TEST(half_of_the_pieces_are_for_what_is_answered_and_in_order)
{
    help_ips_open(IPS(", stream_pieces: 16"), "drop tcp any any -> any any (content:\"evil\"; sid:1;)\n");
    assert_true(help_ips_client(101, "x"));
    assert_int_equal(kept_from(441), 3); /* with the copy it has 4 of 8 then, and 4 are free */
    assert_int_equal(help_ips_counter("segments_full"), 1);
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 102, ""));
    assert_int_equal(kept_from(2201), 1); /* the first byte has been acknowledged, and it has 4 of 8 again */
    assert_int_equal(help_ips_counter("segments_full"), 2);
    assert_true(help_ips_client(102, "in order"));
    assert_false(help_ips_client(102, "IN ORDER"));
    assert_int_equal(help_ips_counter("overlap_differs"), 1);
}

/* However it is cut, what lies behind a hole takes the pieces of its bytes. */
CHAIN_TEST(bytes_that_are_sent_one_by_one_take_no_more_room)
{
    help_ips_connect(IPS(", stream_pieces: 16"), "drop tcp any any -> any any (content:\"evil\"; sid:1;)\n");
    for (uint32_t at = 2; at < 1200; at += 2)
        assert_true(help_ips_client(101 + at, "x"));
    for (uint32_t at = 1199; at > 4; at -= 2)
        assert_true(help_ips_client(101 + at, at == 601 ? "l" : at == 599 ? "i" : "e"));
    help_chain_counts(&help_ips, "ips: segments_full 0, segments_kept %u", 599 + 598);
}

#define GREEDY 1000u

static bool send_greedy(uint32_t host, uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack,
                        const char *text)
{
    const uint8_t who = (uint8_t)(3 + host % 200);
    const struct help_segment s =
        HELP_SEGMENT(6, side == NF_INSIDE ? who : 2, (uint16_t)(side == NF_INSIDE ? 5000 + host : 80),
                     side == NF_INSIDE ? 2 : who, (uint16_t)(side == NF_INSIDE ? 80 : 5000 + host),
                     .flags = flags, .seq = seq, .ack = ack, .payload = text, .len = (uint32_t)strlen(text));

    return help_ips_send(side, &s);
}

/* 200 hosts have their connections answered, and each takes all pieces that it gets, in turn with the others.
 */
CHAIN_TEST(greedy_connections_leave_others_their_pieces)
{
    uint32_t taken = 0;

    help_ips_open("    - ips: { rules: firewall.rules, max_flows: 2000, max_flows_per_host: 2000, "
                  "stream_pieces: 32768 }\n",
                  "drop tcp any any -> any any (content:\"evil\"; sid:1;)\n");
    for (uint32_t i = 0; i < GREEDY; i++) {
        assert_true(send_greedy(i, NF_INSIDE, NFT_SYN, 100, 0, ""));
        assert_true(send_greedy(i, NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, 101, ""));
    }
    for (uint32_t n = 0; n < 20; n++)
        for (uint32_t i = 0; i < GREEDY; i++)
            taken += send_greedy(i, NF_INSIDE, NFT_ACK, 441 + 440 * n, 501, "x");
    assert_true(taken > 16000 && taken < 16384); /* half of them */
    help_ips_begin();
    assert_true(help_ips_client(101, "honest"));
    assert_true(help_ips_client(101, "honest")); /* there is a copy */
    assert_true(kept_from(441) >= 6);
    assert_int_equal(help_ips_counter("overlap_unknown"), 0);
}

/* One host inside has as many answered flows as it can: others still begin theirs. */
CHAIN_TEST(one_host_does_not_fill_the_table)
{
    help_ips_open("    - ips: { rules: firewall.rules, max_flows: 400 }\n",
                  "drop udp any any -> any any (content:\"evil\"; sid:1;)\n");
    for (uint16_t i = 0; i < 450; i++, help_ips.now++) {
        struct help_segment s = HELP_SEGMENT(17, i < 400 ? 1 : 3, (uint16_t)(4000 + i), 2, 53, .payload = "x",
                                             .len = 1),
                            answer = s;

        answer.from = 2, answer.to = s.from, answer.sport = 53, answer.dport = s.sport;
        assert_true(help_ips_send(NF_INSIDE, &s));
        assert_true(help_ips_send(NF_OUTSIDE, &answer));
    }
    assert_int_equal(help_ips_counter("flows_created"), 450);
    assert_int_equal(help_ips_counter("flows_full") + help_ips_counter("host_full"), 0);
}

/* Contents of one byte, each byte of a packet, many rules: as much as a packet may cost, and no more. */
CHAIN_TEST(what_a_packet_may_cost_is_bounded)
{
    static char rules[16384], text[1401];
    char *at = rules;

    memset(text, 'a', 1400);
    for (unsigned i = 1; i <= 64; i++)
        at += sprintf(
            at, "alert tcp any any -> any any (content:\"a\"; content:\"b\"; within:1000; sid:%u;)\n", i);
    sprintf(at, "alert udp any any -> any any (content:\"a\"; sid:99;)\n");
    for (unsigned drops = 0; drops < 3; drops++) {
        help_ips_connect(IPS(""), rules);
        if (drops)
            assert_int_equal(
                help_chain_command(&help_ips, drops == 1 ? "set ips rule.99=drop" : "set ips rule.64=drop"),
                0);
        assert_int_equal(help_ips_client(101, text), drops < 2);
        assert_int_equal(help_ips_client(1501, "bb"), drops < 2);
        help_chain_counts(&help_ips, "ips: steps_full 1, blocked %u", drops == 2);
    }
    help_ips_connect(IPS(""), rules);
    text[20] = 0;
    assert_true(help_ips_client(101, text));
    assert_int_equal(help_ips_counter("steps_full"), 0);
}

/* ips: rules that are refused, and real captures, whose facts are tshark's (-Y 'tcp contains "…"', packets
 * counted). */

static struct help_chain h;

/* Behind two other lines, and what the refusal says. */
static const char *const wrong_lines[][2] = {
    {"pass tcp any any -> any any (content:\"a\"; sid:1;)",
     "'pass tcp any any -> any any (content:\"a\"', expected alert, drop or reject"},
    {"alert icmp any any -> any any (content:\"a\"; sid:1;)", "expected tcp or udp"},
    {"alert tcp any any -- any any (content:\"a\"; sid:1;)", "expected -> or <>"},
    {"alert tcp 10.0.0.1/8 any -> any any (content:\"a\"; sid:1;)", "without host bits"},
    {"alert tcp any 70000 -> any any (content:\"a\"; sid:1;)", "expected any, a port"},
    {"alert tcp any any -> any any (content:\"a\"; sid:1;", "expected NAME:VALUE; or NAME; or )"},
    {"alert tcp any any -> any any (content:\"a\"; sid:1; dsize:3;)",
     "option 'dsize', expected msg, content"},
    {"alert tcp any any -> any any (content:!\"a\"; sid:1;)", "not negated"},
    {"alert tcp any any -> any any (content:\"|4|\"; sid:1;)", "expected content:"},
    {"alert tcp any any -> any any (nocase; content:\"a\"; sid:1;)", "expected nocase behind"},
    {"alert tcp any any -> any any (content:\"ab\"; depth:1; sid:1;)", "expected depth:N"},
    {"alert tcp any any -> any any (content:\"a\"; within:5; sid:1;)", "expected within:N"},
    {"alert tcp any any -> any any (content:\"a\"; content:\"b\"; distance:1020; within:5; sid:1;)",
     "1024 in all"},
    {"alert tcp any any -> any any (pcre:\"/a/R\"; content:\"a\"; sid:1;)", "expected a content before"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a/\"; sid:1;)", "expected the flag R"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a*/R\"; sid:1;)",
     "expected a pattern that matches a byte"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/(a)\\1/R\"; sid:1;)", "without back references"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a(?=b)/R\"; sid:1;)",
     "looks neither ahead nor behind"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a{65}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/(a{8}){9}/R\"; sid:1;)", "at most 64 bytes"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{1,0}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{0,0}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{4294967297}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{1,4294967298}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/[b-a]/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/foo$/R\"; sid:1;)", "a pattern without $"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a/Ri$\"; sid:1;)", "no flags but R, i and s"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:/a/R; sid:1;)", "expected pcre:"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"a/R\"; sid:1;)", "expected pcre:"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a/R\"; nocase; sid:1;)", "expected nocase behind"},
    {"alert tcp any any -> any any (content:\"a\"; flow:to_server,to_client; sid:1;)", "expected one flow:"},
    {"alert tcp any any -> any any (content:\"a\"; threshold:type limit, track by_src, count 1; sid:1;)",
     "expected one threshold:"},
    {"alert tcp any any -> any any (content:\"a\";)", "a rule without sid"},
    {"alert tcp any any -> any any (sid:1;)", "a rule without content"},
    {"alert tcp any any -> any any (content:\"a\"; sid:1;) x", "'x', expected the end of the line"},
    {"alert tcp any any -> any any (content:\"a\"; sid:9;)", "sid 9 is another rule's"},
};

CHAIN_TEST(rules_that_are_wrong_are_refused_with_their_place)
{
    for (unsigned i = 0; i < sizeof(wrong_lines) / sizeof(*wrong_lines); i++) {
        char text[512];
        const char *said;

        snprintf(text, sizeof(text), "# one\nalert tcp any any -> any any (content:\"a\"; sid:9;)\n%s\n",
                 wrong_lines[i][0]);
        said = help_chain_refusal("    - ips: { rules: firewall.rules }\n", text);
        if (!strstr(said, "firewall.rules:3: ") || !strstr(said, wrong_lines[i][1]))
            fail_msg("%s: %s, expected %s", wrong_lines[i][0], said, wrong_lines[i][1]);
    }
}

struct fact {
    const char *file, *content, *proto;
    uint64_t matches;
};

static const struct fact facts[] = {
    {"ftp-bruteforce.pcap", "PASS ", "tcp", 30},
    {"gnutella.pcap", "GNUTELLA CONNECT/0.6", "tcp", 52},
    {"gnutella.pcap", "GNUTELLA/0.6 503", "tcp", 34},
    {"WebattackRCE.pcap", "/etc/passwd", "tcp", 8},
    {"bot.pcap", "HTTP/1.1", "tcp", 2},
};

CHAIN_TEST(matches_in_captures_are_those_of_tshark)
{
    help_captures_or_skip();
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const struct fact *f = &facts[i];
        struct help_capture capture;
        char rules[256];
        uint64_t sum;

        if (!help_capture_read(&capture, f->file))
            continue;
        snprintf(rules, sizeof(rules), "alert %s any any -> any any (content:\"%s\"; sid:1;)\n", f->proto,
                 f->content);
        help_chain_open(&h, "    - ips: { rules: firewall.rules, checksums: false }\n", rules, 1);
        help_chain_capture(&h, &capture, false, &sum);
        print_message("# %s\n", f->file);
        assert_int_equal(help_chain_counter(&h, "ips", "matches"), f->matches);
        help_capture_free(&capture);
    }
}
