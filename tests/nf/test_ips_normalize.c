/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips: what a sender does so that its receiver does not take what ips has read, each trick by itself; resets
 * that end nothing; urgent data. tests/lab/ips-evasion.t has a Linux receiver that says which tricks work.
 */
#include "tests/help/ips.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define DROP "drop tcp any any -> any 80 (content:\"attack\"; sid:7;)\n"
#define URG  0x20

static bool ack(uint32_t number)
{
    return help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, number, "");
}

/* Whatever the reason for which the receiver has not taken the first copy. */
static void what_is_not_acknowledged_is_sent_again_as_it_was(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "innocent"));
    assert_false(help_ips_client(101, "attack"));
    assert_false(help_ips_client(105, "ATTACK!"));
    assert_int_equal(help_ips_counter("overlap_differs"), 2);
    assert_true(help_ips_client(101, "inno")); /* cut in another way */
    assert_true(help_ips_client(103, "nocent, and more"));
    assert_true(ack(109));
    assert_true(help_ips_client(101, "whatever")); /* the receiver has it */
    assert_false(help_ips_client(108, "t! and more"));
    assert_int_equal(help_ips_counter("overlap_differs"), 3);
    assert_int_equal(help_ips_counter("matches"), 0);
}

/* A byte of a window that is closed, data in a SYN, a hole: all the same. */
static void small_segments_and_those_in_a_syn_are_copied_as_well(void)
{
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, "atxxxx"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, 101, ""));
    assert_false(help_ips_client(101, "attack"));
    assert_true(help_ips_client(101, "atxxxx"));
    assert_true(ack(103));
    assert_false(help_ips_client(103, "t"));
    assert_true(help_ips_client(103, "x"));
    assert_int_equal(help_ips_counter("overlap_differs"), 2);
    for (uint32_t at = 107; at < 2000; at++)
        assert_true(help_ips_client(at, "."));
    assert_int_equal(help_ips_counter("segments_full"), 0); /* they share pieces */
    assert_false(help_ips_client(1998, "/"));
}

static void the_place_of_an_end_is_an_end(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "attac"));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 106, 501, ""));
    assert_false(help_ips_client(106, "k"));
    assert_int_equal(help_ips_counter("out_of_window"), 1);
    assert_true(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 106, 501, ""));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 101, 501, "at"));
    assert_int_equal(help_ips_counter("overlap_differs"), 1);
}

static void an_ack_of_what_was_never_sent_brings_nothing(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 501 + (4u << 20), "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 500, "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK | NFT_FIN, 101, 500, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 500, "")); /* asks for one in return */
    assert_int_equal(help_ips_counter("invalid"), 3);
    assert_true(help_ips_client(101, "innocent"));
}

/* ---- resets --------------------------------------------------------------------------------------- */

static void after_a_reset_its_sender_is_silent(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "att"));
    assert_true(ack(104));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_RST, 104, 0, ""));
    assert_false(help_ips_client(104, "ack"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 104, "on its way"));
    assert_int_equal(help_ips_counter("out_of_window"), 1);
}

/* A reset that its receiver does not believe, and a while after it the rest: nothing was forgotten. */
static void a_reset_that_is_none_ends_nothing(void)
{
    static const uint32_t numbers[] = {90000, 101, 105};

    for (unsigned i = 0; i < 5; i++) {
        help_ips_open(IPS(), DROP);
        help_ips_begin();
        assert_true(help_ips_client(101, "att"));
        assert_true(ack(i ? 104 : 101));
        if (i == 3) {
            uint8_t frame[NFT_FRAME_MAX];
            struct help_segment s = {
                .from = 1, .to = 2, .sport = 4000, .dport = 80, .proto = 6, .flags = NFT_RST, .seq = 104};
            uint32_t n = help_segment_frame(&s, frame);

            frame[14 + 20 + 16] ^= 1;
            assert_int_equal(!help_chain_send(&help_ips, NF_INSIDE, frame, n).drop, false);
        } else if (i == 4) { /* a link behind may have no room for it */
            help_ips_tcp(NF_INSIDE, NFT_RST, 104, 0, "a reason for people");
        } else {
            help_ips_tcp(NF_INSIDE, NFT_RST, numbers[i], 0, "");
        }
        help_chain_wait_tenths(&help_ips, 3000);
        assert_false(help_ips_client(104, "ack"));
        assert_int_equal(help_ips_counter("matches"), 1);
        assert_int_equal(help_ips_counter("midstream"), 0);
        help_ips_tcp(NF_INSIDE, NFT_RST, 104, 0, "");
        help_chain_wait_tenths(&help_ips, 3000);
        assert_false(help_ips_client(104, "ack")); /* blocked as before */
        help_chain_close(&help_ips);
    }
}

/* A reset that dies on its way ends the connection for ips alone. */
static void a_reset_comes_to_its_receiver(void)
{
    uint8_t frame[NFT_FRAME_MAX];

    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
        struct help_segment s = {.ipv6 = ipv6, .from = 1, .to = 2, .sport = 4000, .dport = 80, .proto = 6};
        uint8_t *ttl = frame + 14 + (ipv6 ? 7 : 8);

        help_ips_open(IPS(), DROP);
        s.flags = NFT_SYN;
        assert_true(help_ips_send(NF_INSIDE, &s));
        s.flags = NFT_RST;
        s.seq = 1;
        for (unsigned i = 0; i < 2; i++) {
            uint32_t n = help_segment_frame(&s, frame);

            *ttl = 2;
            if (!ipv6)
                nft_ip_checksum(frame, n);
            assert_false(help_chain_send(&help_ips, NF_INSIDE, frame, n).drop);
            assert_int_equal(*ttl, i ? 2 : 64); /* once, or it might never end */
            assert_null(nft_checksums(frame, n));
        }
        help_chain_close(&help_ips);
    }
}

/* Where its receiver may not believe it, or never see it, the stream goes on. */
static void a_reset_that_may_be_none_is_not_believed(void)
{
    static const uint8_t signature[4] = {19, 18, 1, 1};
    uint8_t frame[NFT_FRAME_MAX];

    for (unsigned i = 0; i < 4; i++) {
        struct help_segment s = {
            .from = 1, .to = 2, .sport = 4000, .dport = 80, .proto = 6, .flags = NFT_RST};
        struct nft_spec options = {.src = NFT_IP(10, 0, 0, 1),
                                   .dst = NFT_IP(10, 0, 0, 2),
                                   .sport = 4000,
                                   .dport = 80,
                                   .proto = 6,
                                   .tcp = NFT_RST,
                                   .seq = 104,
                                   .options = 1};

        help_ips_open(IPS(", checksums: false"), DROP);
        help_ips_begin();
        assert_true(help_ips_client(101, "att"));
        assert_true(ack(104));
        if (i == 1) /* who knows whether the receiver has these */
            assert_true(help_ips_client(104, "--"));
        s.seq = i == 1 || i == 2 ? 106 : 104;
        s.payload = signature;
        s.len = i == 3 ? 4 : 0;
        uint32_t n = help_segment_frame(&s, frame);

        frame[14 + 20 + 12] = i == 3 ? 6 << 4 : 5 << 4; /* words of the header */
        if (i)
            assert_false(help_chain_send(&help_ips, NF_INSIDE, frame, n).drop);
        else
            assert_true(help_chain_spec(&help_ips, NF_INSIDE, &options, NULL));
        help_chain_wait_tenths(&help_ips, 3000);
        assert_int_equal(help_ips_client(104, "ack"), false);
        assert_int_equal(help_ips_counter("matches"), i != 1);
        assert_int_equal(help_ips_counter("overlap_differs"), i == 1);
        help_chain_close(&help_ips);
    }
    help_ips_open(IPS(), DROP);
    help_ips_begin();
}

/* ---- another connection on the same ends ---------------------------------------------------------- */

/* Who answers a SYN in an open connection has forgotten that one, such as a receiver that was started anew or
 * believes any reset. */
static void a_receiver_that_forgets_is_believed(void)
{
    help_ips_open(IPS(), DROP);
    help_ips_begin();
    assert_true(help_ips_client(101, "att"));
    assert_false(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 7000, 151, "")); /* nobody has asked */
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 150, 0, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 7000, 151, ""));
    assert_false(help_ips_client(151, "ack")); /* with an ACK of the old connection */
    assert_true(help_ips_tcp(NF_INSIDE, NFT_ACK, 151, 7001, "ack "));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 155, 7001, "attack"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

/* ---- urgent data ---------------------------------------------------------------------------------- */

static void urgent_data_is_made_ordinary(void)
{
    uint8_t frame[NFT_FRAME_MAX], *tcp = frame + 34;
    struct help_segment s = {.from = 1,
                             .to = 2,
                             .sport = 4000,
                             .dport = 80,
                             .proto = 6,
                             .flags = NFT_ACK | URG,
                             .seq = 101,
                             .ack = 501,
                             .payload = "atxtack",
                             .len = 7};
    uint32_t n = help_segment_frame(&s, frame);

    help_ips_open(IPS(), DROP);
    help_ips_begin();
    tcp[19] = 3;
    tcp[17] = (uint8_t)(tcp[17] - 3); /* no borrow with these numbers */
    assert_null(nft_checksums(frame, n));
    assert_false(help_chain_send(&help_ips, NF_INSIDE, frame, n).drop);
    assert_int_equal(tcp[13], NFT_ACK);
    assert_int_equal(tcp[18] | tcp[19], 0);
    assert_null(nft_checksums(frame, n));
    assert_int_equal(help_ips_counter("urgent"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(what_is_not_acknowledged_is_sent_again_as_it_was),
        HELP_CASE(small_segments_and_those_in_a_syn_are_copied_as_well),
        HELP_CASE(the_place_of_an_end_is_an_end),
        HELP_CASE(an_ack_of_what_was_never_sent_brings_nothing),
        HELP_CASE(after_a_reset_its_sender_is_silent),
        HELP_CASE(a_reset_that_is_none_ends_nothing),
        HELP_CASE(a_reset_comes_to_its_receiver),
        HELP_CASE(a_reset_that_may_be_none_is_not_believed),
        HELP_CASE(a_receiver_that_forgets_is_believed),
        HELP_CASE(urgent_data_is_made_ordinary),
    };

    return cmocka_run_group_tests_name("ips_normalize", tests, NULL, NULL);
}
