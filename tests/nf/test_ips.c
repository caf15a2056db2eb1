/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips: signatures across segments, what is dropped and what follows it, holes and overlaps, directions,
 * thresholds, other rules while streams go on. test_ips_model.c holds the matching against a model,
 * test_ips_rules.c has rules that are refused, and real captures.
 */
#include "tests/help/change.h"
#include "tests/help/ips.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define DROP  "drop tcp any any -> any 80 (msg:\"an attack\"; content:\"attack\"; sid:7; rev:3;)\n"
#define ALERT "alert tcp any any <> any any (msg:\"seen\"; content:\"Attack\"; nocase; sid:8;)\n"

static void what_completes_a_match_is_dropped_and_what_follows(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "an att"));
    assert_false(help_ips_client(107, "ack"));
    assert_false(help_ips_client(107, "ack"));
    assert_false(help_ips_client(110, "more"));
    assert_false(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 107, "answer"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_SYN, 106, 0, "")); /* no way to begin anew in the middle */
    assert_int_equal(help_ips_counter("dropped"), 1);
    assert_int_equal(help_ips_counter("blocked"), 4);
    help_chain_has(&help_ips, "ips",
                   "{\"rule\":\"7\",\"line\":1,\"action\":\"drop\",\"hits\":1,\"msg\":\"an attack\"}");
    help_chain_has(&help_ips, "ips",
                   "{\"alert\":\"7\",\"rev\":3,\"at_ns\":1000000000,\"action\":\"drop\",\"proto\":\"tcp\","
                   "\"from\":\"10.0.0.1:4000\",\"to\":\"10.0.0.2:80\",\"msg\":\"an attack\"}");
    assert_int_equal(help_chain_command(&help_ips, "clear ips"), FT_OK);
    assert_true(help_ips_client(110, "picked up"));
}

static void a_packet_that_fills_a_hole_stands_for_what_is_behind_it(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(107, "tack"));
    assert_true(help_ips_client(105, "at"));
    assert_int_equal(help_ips_counter("segments_kept"), 2);
    assert_false(help_ips_client(101, "the "));
    assert_int_equal(help_ips_counter("dropped"), 1);
}

static void who_contradicts_what_is_kept_is_dropped(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(103, "tttt"));
    assert_false(help_ips_client(101, "at_"));   /* in front of it, and into it */
    assert_false(help_ips_client(104, "ttack")); /* behind it */
    assert_int_equal(help_ips_counter("overlap_differs"), 2);
    assert_true(help_ips_client(101, "at"));
    assert_true(help_ips_client(107, "done"));
    assert_int_equal(help_ips_counter("segments_kept"), 1);
    assert_int_equal(help_ips_counter("matches"), 0);
    assert_true(help_ips_client(120, "later"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK | NFT_FIN, 122, 501, "")); /* an end inside it */
    assert_int_equal(help_ips_counter("overlap_differs"), 3);
}

static void room_is_bounded(void)
{
    help_ips_open(IPS(", stream_pieces: 4, flow_pieces: 2"), DROP);
    help_ips_begin(); /* pieces begin at 0, 440, 880, 1320 */
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
static void a_stream_that_is_picked_up_begins_where_its_receiver_says(void)
{
    help_ips_open(IPS(), ALERT);
    assert_true(help_ips_client(110, "att"));
    assert_true(help_ips_client(200, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 203, ""));
    assert_true(help_ips_client(203, "ack"));
    assert_int_equal(help_ips_counter("matches"), 1); /* it begins at 200, not at 110 */
    assert_true(help_ips_client(101, "retransmit"));
    assert_int_equal(help_ips_counter("retransmitted"), 1);
    help_chain_close(&help_ips);
    help_ips_open(IPS(), ALERT);
    assert_true(help_ips_client(104, "ack"));
    assert_true(help_ips_client(107, "and"));
    assert_true(help_ips_client(101, "att")); /* in front of it, and nothing was acknowledged */
    assert_int_equal(help_ips_counter("matches"), 1);
    assert_false(help_ips_client(107, "or_"));
    assert_int_equal(help_ips_counter("overlap_differs"), 1);
}

static void a_connection_begins_anew_when_the_last_one_is_over_for_both(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_RST, 90000, 0, "")); /* its receiver does not believe it */
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 103, 0, ""));
    assert_false(help_ips_client(104, "ack"));
    help_chain_close(&help_ips);
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 104, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_RST, 104, 0, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 9000, 0, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 700, 9001, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_ACK, 9001, 701, "ack"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 9004, 701, "attack"));
}

static void directions_and_states_of_flows(void)
{
    help_ips_open(IPS(),
                  "alert tcp any any -> any any (content:\"x\"; flow:to_server; sid:1;)\n"
                  "alert tcp any any -> any any (content:\"x\"; flow:from_server,established; sid:2;)\n"
                  "alert tcp 10.0.0.0/24 any -> !10.0.0.1 [79:81,443] (content:\"x\"; sid:3;)\n"
                  "alert udp any any -> any any (content:\"y\"; flow:established; sid:4;)\n");
    help_ips_begin();
    assert_true(help_ips_client(101, "x"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 102, "x x"));
    assert_true(help_ips_udp(NF_INSIDE, "y"));
    assert_true(help_ips_udp(NF_OUTSIDE, "yyy"));
    help_chain_has(&help_ips, "ips", "\"rule\":\"1\",\"line\":1,\"action\":\"alert\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"2\",\"line\":2,\"action\":\"alert\",\"hits\":2");
    help_chain_has(&help_ips, "ips", "\"rule\":\"3\",\"line\":3,\"action\":\"alert\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"4\",\"line\":4,\"action\":\"alert\",\"hits\":3");
}

static void thresholds_decide_who_is_told_and_what_is_dropped(void)
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
            pass += help_ips_udp(NF_INSIDE, names[i]);
        assert_int_equal(pass, passed[i]);
        assert_int_equal(help_ips_counter("alerts"), alerts[i]);
        assert_int_equal(help_ips_counter("matches"), 5);
        help_chain_wait_tenths(&help_ips, 100);
        assert_int_equal(help_ips_udp(NF_INSIDE, names[i]), i != 0); /* counted from the beginning */
        assert_int_equal(help_ips_counter("tracked_full"), 0);
        assert_false(help_ips_udp(NF_INSIDE, names[(i + 1) % 3])); /* no room: as without a threshold */
        assert_int_equal(help_ips_counter("tracked_full"), 1);
        help_chain_wait_tenths(&help_ips, 100);
        help_ips_udp(NF_INSIDE, names[(i + 1) % 3]); /* the other one's time is over */
        assert_int_equal(help_ips_counter("tracked_full"), 1);
        help_chain_close(&help_ips);
    }
}

static void what_cannot_be_looked_into_is_dropped(void)
{
    uint8_t frame[NFT_FRAME_MAX];
    const struct nft_spec fragment = {.src = 1,
                                      .dst = 2,
                                      .sport = 1,
                                      .dport = 80,
                                      .proto = 6,
                                      .tcp = NFT_ACK,
                                      .payload = 64,
                                      .fragment = NFT_MORE};
    const struct help_segment s = {.from = 1,
                                   .to = 2,
                                   .sport = 1,
                                   .dport = 80,
                                   .proto = 6,
                                   .flags = NFT_ACK,
                                   .payload = "abc",
                                   .len = 3};
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

static void an_operator_changes_what_a_rule_does(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
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
static void other_rules_take_the_place_of_these_while_streams_go_on(void)
{
    static const char other[] = "alert tcp any any -> any any (content:\"ack\"; sid:9;)\n"
                                "drop tcp any any -> any 80 (content:\"never\"; sid:7;)\n"
                                "alert tcp any any -> any any (content:\"tt\"; content:\"a\"; sid:10;)\n";
    struct ft_fault fault = {""};

    help_ips_open(IPS(), DROP "alert tcp any any -> any any (content:\"att\"; content:\"none\"; sid:8;)\n");
    help_ips_begin();
    assert_true(help_ips_client(101, "attack") == false);
    assert_int_equal(help_chain_command(&help_ips, "clear ips"), FT_OK);
    assert_true(help_ips_client(107, "att"));
    assert_true(help_ips_client(111, "ck tt"));
    assert_int_equal(help_change(&help_ips, IPS(), other, &fault), 0);
    assert_int_equal(nf_chain_check(help_ips.chain, NULL, NULL, &fault), 0);
    assert_true(help_ips_client(110, "a"));
    help_chain_has(&help_ips, "ips", "\"rule\":\"9\",\"line\":1,\"action\":\"alert\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"7\",\"line\":2,\"action\":\"drop\",\"hits\":1");
    help_chain_has(&help_ips, "ips", "\"rule\":\"10\",\"line\":3,\"action\":\"alert\",\"hits\":1");
    assert_int_equal(nf_chain_check(help_ips.chain, NULL, NULL, &fault), 0);
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
    const struct help_segment segment = {.from = 1,
                                         .to = 2,
                                         .sport = 4000,
                                         .dport = 80,
                                         .proto = 6,
                                         .flags = NFT_SYN,
                                         .payload = "attack",
                                         .len = 6};
    uint8_t frame[NFT_FRAME_MAX], out[NFT_FRAME_MAX];
    uint32_t len = help_segment_frame(&segment, frame);

    memcpy(out, frame, 12);
    memcpy(out + 12, between, n);
    memcpy(out + 12 + n, frame + 14, len - 14);
    return !help_chain_send(&help_ips, NF_INSIDE, out, len - 2 + n).drop;
}

static void what_cannot_be_read_is_counted_and_passes_or_not(void)
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
        help_chain_close(&help_ips);
    }
    help_ips_open(IPS(), DROP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(what_completes_a_match_is_dropped_and_what_follows),
        HELP_CASE(a_packet_that_fills_a_hole_stands_for_what_is_behind_it),
        HELP_CASE(who_contradicts_what_is_kept_is_dropped),
        HELP_CASE(room_is_bounded),
        HELP_CASE(a_stream_that_is_picked_up_begins_where_its_receiver_says),
        HELP_CASE(a_connection_begins_anew_when_the_last_one_is_over_for_both),
        HELP_CASE(directions_and_states_of_flows),
        HELP_CASE(thresholds_decide_who_is_told_and_what_is_dropped),
        HELP_CASE(what_cannot_be_looked_into_is_dropped),
        HELP_CASE(an_operator_changes_what_a_rule_does),
        HELP_CASE(other_rules_take_the_place_of_these_while_streams_go_on),
        HELP_CASE(what_cannot_be_read_is_counted_and_passes_or_not),
    };

    return cmocka_run_group_tests_name("ips", tests, NULL, NULL);
}
