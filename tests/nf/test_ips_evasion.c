/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips: what a sender does so that ips and the receiver read different things: SYNs that the receiver never
 * sees, segments that it does not take; and how a connection that was blocked ends.
 */
#include "tests/help/ips.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define DROP   "drop tcp any any -> any 80 (content:\"attack\"; sid:7;)\n"
#define REJECT "reject tcp any any -> any 80 (content:\"attack\"; sid:7;)\n"
#define STRICT IPS(", loose: false")

static bool syn(uint32_t isn)
{
    return help_ips_tcp(NF_INSIDE, NFT_SYN, isn, 0, "");
}
static bool answer(uint32_t ack)
{
    return help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, ack, "");
}

static void a_syn_that_nobody_answers_does_not_say_where_a_stream_begins(void)
{
    static const uint32_t first[] = {100 + (1u << 30), 100 - (1u << 30), 50, 101, 600};

    for (unsigned i = 0; i < 5; i++) {
        help_ips_open(i & 1 ? IPS() : STRICT, DROP);
        assert_true(syn(first[i]));
        help_ips_begin();
        assert_true(help_ips_client(101, "an att"));
        assert_false(help_ips_client(107, "ack"));
        assert_int_equal(help_ips_counter("matches"), 1);
        help_chain_close(&help_ips);
    }
    help_ips_open(STRICT, DROP); /* the first one is answered, though the other was the later one */
    assert_true(syn(100));
    assert_true(syn(50));
    assert_true(answer(101));
    assert_true(help_ips_client(101, "att"));
    assert_true(syn(50)); /* answered: it stays */
    assert_false(help_ips_client(104, "ack"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

static void bytes_in_front_of_a_beginning_are_dropped(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_false(help_ips_client(95, "attack"));
    assert_int_equal(help_ips_counter("out_of_window"), 1);
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_client(101, "att"));
    assert_int_equal(help_ips_counter("retransmitted"), 1);
}

/* However often it begins in front of that: what it keeps lies where a peer expects it, and is found. */
static void a_stream_that_was_picked_up_begins_so_far_in_front_in_all(void)
{
    uint32_t seq = 1u << 31, least;
    struct ft_fault fault = {""};

    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(seq, "x"));
    for (unsigned i = 0; i < 20; i++)
        (void)help_ips_client(seq - (i + 1) * 50000, "x");
    assert_int_equal(help_ips_counter("out_of_window"), 15); /* 50,000 five times are less than 271,040 */
    least = seq - 5 * 50000;
    assert_true(help_ips_client(least - 4, "att"));
    assert_false(help_ips_client(least - 1, "ack"));
    if (nf_chain_check(help_ips.chain, NULL, NULL, &fault) != 0)
        fail_msg("%s", fault.text);
}

/* What is silent for as long as an end takes is not forgotten, where its receiver does not know of an end. */
static void an_end_that_is_none_ends_nothing(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_FIN | NFT_ACK, 501, 104, ""));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 5000000, 502, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 502, 104, ""));
    help_chain_wait_tenths(&help_ips, 3000);
    assert_false(help_ips_client(104, "ack"));
    assert_int_equal(help_ips_counter("midstream"), 0);
}

static void what_was_picked_up_in_the_middle_gives_way_to_a_syn(void)
{
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(101 + (1u << 30), "stray"));
    help_ips_begin();
    assert_false(help_ips_client(101, "attack"));
    help_chain_close(&help_ips);
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(1001, "att"));
    assert_true(syn(980)); /* nothing has answered, but this is no beginning for its receiver */
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 1004, ""));
    assert_false(help_ips_client(1004, "ack"));
    help_chain_close(&help_ips);
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(1001, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 1004, ""));
    assert_true(syn(980));
    assert_false(help_ips_client(1004, "ack"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

static void a_segment_that_its_receiver_does_not_take_is_dropped(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_false(help_ips_tcp(NF_INSIDE, NFT_PSH, 101, 0, "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, 0, 101, 0, "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_FIN, 101, 0, ""));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_SYN | NFT_FIN | NFT_ACK, 101, 0, "xxxxxx"));
    assert_int_equal(help_ips_counter("invalid"), 4);
    assert_false(help_ips_tcp(NF_INSIDE, NFT_PSH | NFT_ACK, 101, 501, "attack"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

/* As nothing reaches the other end, a blocked connection is over when each end has given it up. */
static void a_blocked_connection_ends_and_another_one_begins(void)
{
    for (unsigned how = 0; how < 3; how++) {
        help_ips_open(IPS(), how == 2 ? REJECT : DROP);
        help_ips_begin();
        assert_false(help_ips_client(101, "attack"));
        if (how < 2) {
            assert_false(syn(9000));
            assert_false(help_ips_tcp(NF_INSIDE, how ? NFT_RST : NFT_FIN | NFT_ACK, 107, 501, ""));
        }
        if (how == 0) {
            assert_false(syn(9000));
            assert_false(help_ips_tcp(NF_OUTSIDE, NFT_FIN | NFT_ACK, 501, 101, ""));
        }
        assert_true(syn(9000));
        assert_false(help_ips_client(9001, "some")); /* the receiver has not answered */
        assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 7000, 9001, ""));
        assert_true(help_ips_tcp(NF_INSIDE, NFT_ACK, 9001, 7001, "some"));
        assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 9005, 7001, "attack"));
        assert_int_equal(help_ips_counter("matches"), 2);
        help_chain_close(&help_ips);
    }
}

/* Bytes behind a datagram's own length are no part of it, of its checksum neither. */
static void a_datagram_that_is_shorter_than_its_packet_is_looked_into(void)
{
    static const char text[] = "an attack, and 20 bytes of something or more";
    uint8_t frame[NFT_FRAME_MAX], *ip = frame + 14;
    struct help_segment s = {
        .from = 1, .to = 2, .sport = 4000, .dport = 53, .proto = 17, .payload = text, .len = 40};

    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
        const char *content = ipv6 ? "drop udp any any -> any any (content:\"attack\"; sid:1;)\n"
                                   : "drop udp any any -> any any (content:\"more\"; sid:1;)\n";
        uint32_t sum = 0, len;

        s.ipv6 = ipv6;
        len = help_segment_frame(&s, frame) + 4;
        memcpy(frame + len - 4, "more", 4);
        if (ipv6) {
            ip[5] = 8 + 44;
        } else {
            ip[3] = 20 + 8 + 44;
            ip[10] = ip[11] = 0;
            for (unsigned i = 0; i < 20; i += 2)
                sum += (uint32_t)ip[i] << 8 | ip[i + 1];
            sum = (sum & 0xffff) + (sum >> 16);
            ip[10] = (uint8_t)(~sum >> 8);
            ip[11] = (uint8_t)~sum;
        }
        help_ips_open(IPS(), content);
        assert_int_equal(!help_chain_send(&help_ips, NF_INSIDE, frame, len).drop, !ipv6);
        assert_int_equal(help_ips_counter("checksum"), 0);
        assert_int_equal(help_ips_counter("matches"), ipv6);
        help_chain_close(&help_ips);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(a_syn_that_nobody_answers_does_not_say_where_a_stream_begins),
        HELP_CASE(bytes_in_front_of_a_beginning_are_dropped),
        HELP_CASE(what_was_picked_up_in_the_middle_gives_way_to_a_syn),
        HELP_CASE(a_stream_that_was_picked_up_begins_so_far_in_front_in_all),
        HELP_CASE(an_end_that_is_none_ends_nothing),
        HELP_CASE(a_segment_that_its_receiver_does_not_take_is_dropped),
        HELP_CASE(a_blocked_connection_ends_and_another_one_begins),
        HELP_CASE(a_datagram_that_is_shorter_than_its_packet_is_looked_into),
    };

    return cmocka_run_group_tests_name("ips_evasion", tests, NULL, NULL);
}
