/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips: what a sender does so that its receiver does not take what ips has read, each trick by itself; resets
 * that end nothing; urgent data. tests/lab/ips-evasion.t has a Linux receiver that says which tricks work.
 */
#include "tests/help/tcp.h"
#include "tests/help/test.h"

#define DROP "drop tcp any any -> any 80 (content:\"attack\"; sid:7;)\n"
#define URG  0x20

static bool ack(uint32_t number)
{
    return help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, number, "");
}

/* Whatever the reason for which the receiver has not taken the first copy. */
CHAIN_TEST(what_is_not_acknowledged_is_sent_again_as_it_was)
{
    assert_true(help_ips_client(101, "innocent"));
    assert_false(help_ips_client(101, "attack"));
    assert_false(help_ips_client(105, "ATTACK!"));
    assert_int_equal(help_ips_counter("overlap_differs"), 2);
    assert_true(help_ips_client(101, "inno")); /* cut in another way */
    assert_true(help_ips_client(103, "nocent, and more"));
    assert_true(ack(109));
    assert_true(help_ips_client(101, "whatever")); /* the receiver has it */
    assert_false(help_ips_client(108, "t! and more"));
    help_chain_counts(&help_ips, "ips: overlap_differs 3, matches 0");
}

/* A byte of a window that is closed, data in a SYN, a hole: all the same. */
CHAIN_TEST(small_segments_and_those_in_a_syn_are_copied_as_well)
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

CHAIN_TEST(the_place_of_an_end_is_an_end)
{
    assert_true(help_ips_client(101, "attac"));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 106, 501, ""));
    assert_false(help_ips_client(106, "k"));
    assert_int_equal(help_ips_counter("out_of_window"), 1);
    assert_true(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 106, 501, ""));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 101, 501, "at"));
    assert_int_equal(help_ips_counter("overlap_differs"), 1);
}

CHAIN_TEST(an_ack_of_what_was_never_sent_brings_nothing)
{
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 501 + (4u << 20), "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 500, "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK | NFT_FIN, 101, 500, ""));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 500, "")); /* asks for one in return */
    assert_int_equal(help_ips_counter("invalid"), 3);
    assert_true(help_ips_client(101, "innocent"));
}

/* ---- keepalives and probes ------------------------------------------------------------------------ */

static bool server(uint32_t seq, const char *payload)
{
    return help_ips_tcp(NF_OUTSIDE, NFT_ACK, seq, 101, payload);
}

/* RFC 9293, 3.8.4: a keepalive has the number in front of what is sent next, and may have a byte that means
 * nothing. That of an end that has sent nothing is the SYN's. */
CHAIN_TEST(a_keepalive_with_the_number_of_the_syn_passes_and_is_not_read)
{
    for (unsigned i = 0; i < 3; i++) {
        assert_true(help_ips_client(100, "a"));
        assert_true(server(500, i ? "x" : "")); /* with the byte and without */
    }
    assert_true(help_ips_client(101, "ttack"));
    assert_int_equal(help_ips_counter("matches"), 0);
    assert_true(help_ips_client(100, "b")); /* bytes are on their way */
    assert_true(ack(106));
    assert_true(help_ips_client(105, "?")); /* an end that has sent something */
    assert_true(help_ips_client(100, "b"));
    assert_false(help_ips_client(106, "attack"));
    assert_int_equal(help_ips_counter("matches"), 1);
    assert_int_equal(help_ips_counter("out_of_window") + help_ips_counter("overlap_differs"), 0);
}

CHAIN_TEST(what_follows_the_number_of_the_syn_is_judged)
{
    assert_true(help_ips_client(100, "xinno"));
    assert_false(help_ips_client(101, "INNO")); /* it has passed, and is not acknowledged */
    assert_false(help_ips_client(100, "xINNO"));
    assert_int_equal(help_ips_counter("overlap_differs"), 2);
    assert_false(help_ips_client(99, "xx")); /* farther in front than any keepalive */
    assert_false(help_ips_client(99, "xxinno"));
    assert_int_equal(help_ips_counter("out_of_window"), 2);
    assert_true(help_ips_client(105, "cent"));
    assert_true(ack(101));
    help_ips_connect(IPS(), DROP);
    assert_false(help_ips_client(100, "xattack"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

/* A receiver that has not acknowledged the SYN may await a byte with its number, in a connection that it has
 * had before. */
CHAIN_TEST(before_the_syn_is_acknowledged_no_byte_passes_in_its_place)
{
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, ""));
    assert_false(help_ips_client(100, "a"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 100, "")); /* of another connection */
    assert_false(help_ips_client(100, "a"));
    assert_int_equal(help_ips_counter("out_of_window"), 2);
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, 101, ""));
    assert_false(server(500, "x")); /* the same the other way */
    assert_true(help_ips_client(100, "a"));
    assert_true(server(500, "x"));
    assert_int_equal(help_ips_counter("out_of_window"), 3);
}

/* The SYN had data, of which the receiver has taken all or nothing (RFC 7413). */
CHAIN_TEST(keepalives_and_retransmissions_of_data_in_a_syn)
{
    for (unsigned taken = 0; taken < 2; taken++) {
        help_ips_open(IPS(), DROP);
        assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, "hello"));
        assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, "hello")); /* once more */
        assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, ""));      /* and without it */
        assert_false(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, "HELLO"));
        assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, taken ? 106 : 101, ""));
        assert_true(help_ips_client(100, "x"));
        assert_int_equal(help_ips_client(105, "?"), taken);
        assert_true(help_ips_client(101, "hello"));
        assert_true(help_ips_client(106, "att"));
        assert_false(help_ips_client(109, "ack"));
    }
}

CHAIN_TEST(a_keepalive_behind_an_end_has_its_number)
{
    assert_true(help_ips_client(101, "bye"));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 104, 501, ""));
    assert_false(help_ips_client(104, "x")); /* the receiver may not have the end */
    assert_true(ack(104));
    assert_false(help_ips_client(104, "x"));
    assert_true(ack(105));
    assert_true(help_ips_client(104, "x"));
    assert_true(help_ips_client(103, "?"));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 104, 501, "")); /* the end once more */
    assert_false(help_ips_client(104, "xy"));                              /* one byte behind it */
    assert_false(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 104, 501, "x"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 500, 105, "x")); /* the other end has sent nothing yet */
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 105, "answer"));
    assert_int_equal(help_ips_counter("out_of_window"), 4);
}

/* A probe of a window that is closed has the next byte, again and again, and then more behind it. */
CHAIN_TEST(probes_of_a_closed_window_are_read_once)
{
    for (unsigned i = 0; i < 3; i++)
        assert_true(help_ips_client(101, "a"));
    assert_false(help_ips_client(101, "b"));
    assert_true(help_ips_client(100, "?")); /* one that has the number in front of it */
    assert_true(ack(101));
    assert_false(help_ips_client(101, "attack"));
    help_chain_counts(&help_ips, "ips: overlap_differs 1, matches 1");
}

/* The number of the SYN is the last one before 0; 4 GiB later it is one of a byte. */
CHAIN_TEST(the_number_of_the_syn_goes_round)
{
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, UINT32_MAX, 0, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, 0, ""));
    assert_true(help_ips_client(0, ""));
    assert_true(help_ips_client(UINT32_MAX, "a"));
    assert_true(help_ips_client(0, "ttack"));
    assert_true(help_ips_client(UINT32_MAX, "a"));
    assert_int_equal(help_ips_counter("matches"), 0);
}

/* ---- resets --------------------------------------------------------------------------------------- */

CHAIN_TEST(after_a_reset_its_sender_is_silent)
{
    assert_true(help_ips_client(101, "att"));
    assert_true(ack(104));
    assert_true(help_ips_tcp(NF_INSIDE, NFT_RST, 104, 0, ""));
    assert_false(help_ips_client(104, "ack"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 104, "on its way"));
    assert_int_equal(help_ips_counter("out_of_window"), 1);
}

/* A reset that its receiver does not believe, and a while after it the rest: nothing was forgotten. */
CHAIN_TEST(a_reset_that_is_none_ends_nothing)
{
    static const uint32_t numbers[] = {90000, 101, 105};

    for (unsigned i = 0; i < 5; i++) {
        help_ips_connect(IPS(), DROP);
        assert_true(help_ips_client(101, "att"));
        assert_true(ack(i ? 104 : 101));
        if (i == 3) {
            uint8_t frame[NFT_FRAME_MAX];
            struct help_segment s = HELP_SEGMENT(6, 1, 4000, 2, 80, .flags = NFT_RST, .seq = 104);
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
        help_chain_counts(&help_ips, "ips: matches 1, midstream 0");
        help_ips_tcp(NF_INSIDE, NFT_RST, 104, 0, "");
        help_chain_wait_tenths(&help_ips, 3000);
        assert_false(help_ips_client(104, "ack")); /* blocked as before */
    }
}

/* A reset that dies on its way ends the connection for ips alone. */
CHAIN_TEST(a_reset_comes_to_its_receiver)
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
    }
}

/* Where its receiver may not believe it, or never see it, the stream goes on. */
CHAIN_TEST(a_reset_that_may_be_none_is_not_believed)
{
    static const uint8_t signature[4] = {19, 18, 1, 1};
    uint8_t frame[NFT_FRAME_MAX];

    for (unsigned i = 0; i < 4; i++) {
        struct help_segment s = HELP_SEGMENT(6, 1, 4000, 2, 80, .flags = NFT_RST);
        struct nft_spec options = HELP_PACKET(6, NFT_IP(10, 0, 0, 1), 4000, NFT_IP(10, 0, 0, 2), 80,
                                              .tcp = NFT_RST, .seq = 104, .options = 1);

        help_ips_connect(IPS(", checksums: false"), DROP);
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
        help_chain_counts(&help_ips, "ips: matches %u, overlap_differs %u", i != 1, i == 1);
    }
}

/* ---- another connection on the same ends ---------------------------------------------------------- */

/* Who answers a SYN in an open connection has forgotten that one, such as a receiver that was started anew or
 * believes any reset. */
CHAIN_TEST(a_receiver_that_forgets_is_believed)
{
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

CHAIN_TEST(urgent_data_is_made_ordinary)
{
    uint8_t frame[NFT_FRAME_MAX], *tcp = frame + 34;
    struct help_segment s = HELP_SEGMENT(6, 1, 4000, 2, 80, .flags = NFT_ACK | URG, .seq = 101, .ack = 501,
                                         .payload = "atxtack", .len = 7);
    uint32_t n = help_segment_frame(&s, frame);

    tcp[19] = 3;
    tcp[17] = (uint8_t)(tcp[17] - 3); /* no borrow with these numbers */
    assert_null(nft_checksums(frame, n));
    assert_false(help_chain_send(&help_ips, NF_INSIDE, frame, n).drop);
    assert_int_equal(tcp[13], NFT_ACK);
    assert_int_equal(tcp[18] | tcp[19], 0);
    assert_null(nft_checksums(frame, n));
    assert_int_equal(help_ips_counter("urgent"), 1);
}

/*
 * ips: what a sender does so that ips and the receiver read different things: SYNs that the receiver never
 * sees, segments that it does not take; and how a connection that was blocked ends.
 */

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

CHAIN_TEST(a_syn_that_nobody_answers_does_not_say_where_a_stream_begins)
{
    static const uint32_t first[] = {100 + (1u << 30), 100 - (1u << 30), 50, 101, 600};

    for (unsigned i = 0; i < 5; i++) {
        help_ips_open(i & 1 ? IPS() : STRICT, DROP);
        assert_true(syn(first[i]));
        help_ips_begin();
        assert_true(help_ips_client(101, "an att"));
        assert_false(help_ips_client(107, "ack"));
        assert_int_equal(help_ips_counter("matches"), 1);
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

CHAIN_TEST(bytes_in_front_of_a_beginning_are_dropped)
{
    assert_false(help_ips_client(95, "attack"));
    assert_int_equal(help_ips_counter("out_of_window"), 1);
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_client(101, "att"));
    assert_int_equal(help_ips_counter("retransmitted"), 1);
}

/* However often it begins in front of that: what it keeps lies where a peer expects it, and is found. */
CHAIN_TEST(a_stream_that_was_picked_up_begins_so_far_in_front_in_all)
{
    uint32_t seq = 1u << 31, least;

    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(seq, "x"));
    for (unsigned i = 0; i < 20; i++)
        (void)help_ips_client(seq - (i + 1) * 50000, "x");
    assert_int_equal(help_ips_counter("out_of_window"), 15); /* 50,000 five times are less than 271,040 */
    least = seq - 5 * 50000;
    assert_true(help_ips_client(least - 4, "att"));
    assert_false(help_ips_client(least - 1, "ack"));
    help_chain_is_sound(&help_ips);
}

/* What is silent for as long as an end takes is not forgotten, where its receiver does not know of an end. */
CHAIN_TEST(an_end_that_is_none_ends_nothing)
{
    assert_true(help_ips_client(101, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_FIN | NFT_ACK, 501, 104, ""));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_FIN | NFT_ACK, 5000000, 502, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 502, 104, ""));
    help_chain_wait_tenths(&help_ips, 3000);
    assert_false(help_ips_client(104, "ack"));
    assert_int_equal(help_ips_counter("midstream"), 0);
}

CHAIN_TEST(what_was_picked_up_in_the_middle_gives_way_to_a_syn)
{
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(101 + (1u << 30), "stray"));
    help_ips_begin();
    assert_false(help_ips_client(101, "attack"));
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(1001, "att"));
    assert_true(syn(980)); /* nothing has answered, but this is no beginning for its receiver */
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 1004, ""));
    assert_false(help_ips_client(1004, "ack"));
    help_ips_open(IPS(), DROP);
    assert_true(help_ips_client(1001, "att"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 1004, ""));
    assert_true(syn(980));
    assert_false(help_ips_client(1004, "ack"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

CHAIN_TEST(a_segment_that_its_receiver_does_not_take_is_dropped)
{
    assert_false(help_ips_tcp(NF_INSIDE, NFT_PSH, 101, 0, "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, 0, 101, 0, "xxxxxx"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_FIN, 101, 0, ""));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_SYN | NFT_FIN | NFT_ACK, 101, 0, "xxxxxx"));
    assert_int_equal(help_ips_counter("invalid"), 4);
    assert_false(help_ips_tcp(NF_INSIDE, NFT_PSH | NFT_ACK, 101, 501, "attack"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

/* As nothing reaches the other end, a blocked connection is over when each end has given it up. */
CHAIN_TEST(a_blocked_connection_ends_and_another_one_begins)
{
    for (unsigned how = 0; how < 3; how++) {
        help_ips_connect(IPS(), how == 2 ? REJECT : DROP);
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
    }
}

/* Bytes behind a datagram's own length are no part of it, of its checksum neither. */
CHAIN_TEST(a_datagram_that_is_shorter_than_its_packet_is_looked_into)
{
    static const char text[] = "an attack, and 20 bytes of something or more";
    uint8_t frame[NFT_FRAME_MAX], *ip = frame + 14;
    struct help_segment s = HELP_SEGMENT(17, 1, 4000, 2, 53, .payload = text, .len = 40);

    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
        const char *content = ipv6 ? "drop udp any any -> any any (content:\"attack\"; sid:1;)\n"
                                   : "drop udp any any -> any any (content:\"more\"; sid:1;)\n";
        uint32_t len;

        s.ipv6 = ipv6;
        len = help_segment_frame(&s, frame) + 4;
        memcpy(frame + len - 4, "more", 4);
        if (ipv6) {
            ip[5] = 8 + 44;
        } else {
            ip[3] = 20 + 8 + 44;
            nft_ip_checksum(frame, len);
        }
        help_ips_open(IPS(), content);
        assert_int_equal(!help_chain_send(&help_ips, NF_INSIDE, frame, len).drop, !ipv6);
        help_chain_counts(&help_ips, "ips: checksum 0, matches %u", ipv6);
    }
}

/*
 * ips in front of a receiver, behind a line that loses packets: a sender that sends two streams at once, of
 * which one has what a rule drops, segment by segment from the one or the other. What the receiver has read
 * never has it, whichever copy of a byte it prefers.
 */

#define RULES  "drop tcp any any -> any 80 (content:\"attack\"; sid:7;)\n"
#define STREAM 48u
#define FIRST  101u

static uint64_t draws;

static uint32_t below(uint32_t n)
{
    return help_below(&draws, n);
}

/* ---- the receiver --------------------------------------------------------------------------------- */

struct receiver {
    char bytes[STREAM + 1];
    bool has[STREAM];
    uint32_t next; /* the application has read what is in front of it */
    bool last;     /* of an overlap the last copy wins, else the first */
};

static void receive(struct receiver *r, uint32_t at, const char *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (at + i >= r->next && (!r->has[at + i] || r->last)) {
            r->bytes[at + i] = bytes[i];
            r->has[at + i] = true;
        }
    while (r->next < STREAM && r->has[r->next])
        r->next++;
}

static bool has_read(const struct receiver *r, const char *text)
{
    char read[STREAM + 1];

    memcpy(read, r->bytes, r->next);
    read[r->next] = 0;
    return strstr(read, text) != NULL;
}

/* ---- the sender ----------------------------------------------------------------------------------- */

static void draw_streams(char stream[2][STREAM + 1])
{
    for (uint32_t i = 0; i < STREAM; i++)
        stream[0][i] = stream[1][i] = "atck."[below(5)];
    stream[0][STREAM] = stream[1][STREAM] = 0;
    memcpy(stream[1] + below(STREAM - 6), "attack", 6);
}

static void send_noise(const struct receiver *r)
{
    static const uint8_t flags[] = {NFT_RST, NFT_RST | NFT_ACK, NFT_SYN, NFT_ACK, NFT_FIN};

    help_ips_tcp(NF_INSIDE, flags[below(5)], FIRST + r->next + 500 + below(9000), 501, "");
}

/* One of the two, somewhere near what the receiver awaits. */
static void send_part(struct receiver *r, const char *stream, unsigned loss)
{
    uint32_t from = r->next > 4 ? r->next - 4 : 0, at = from + below(16), n = 1 + below(12);
    char part[16];

    if (at >= STREAM)
        return;
    n = n < STREAM - at ? n : STREAM - at;
    memcpy(part, stream + at, n);
    part[n] = 0;
    if (help_ips_client(FIRST + at, part) && below(100) >= loss)
        receive(r, at, part, n);
    if (below(3))
        help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, FIRST + r->next, "");
}

CHAIN_TEST(a_receiver_never_reads_what_a_rule_drops)
{
    static const char *const rooms[] = {IPS(), IPS(", flow_pieces: 6"), IPS(", stream_pieces: 3"),
                                        IPS(", loose: false")};
    uint32_t read = 0, contradicted = 0, blocked = 0, whole = 0;

    for (uint32_t round = 0; round < 2000; round++) {
        struct receiver r = {.last = round & 1};
        char stream[2][STREAM + 1];
        unsigned loss = round % 3 * 40, attacks = round % 5 * 20;

        draws = 77 + round;
        draw_streams(stream);
        if (strstr(stream[0], "attack"))
            continue;
        help_ips_connect(rooms[round / 2 % 4], RULES);
        for (unsigned i = 0; i < 120; i++) {
            send_part(&r, stream[below(100) < attacks], loss);
            if (below(20) == 0)
                send_noise(&r);
        }
        if (has_read(&r, "attack"))
            fail_msg("round %u: the receiver has read %.*s", round, (int)r.next, r.bytes);
        read += r.next;
        whole += !attacks && r.next == STREAM;
        contradicted += help_ips_counter("overlap_differs") != 0;
        blocked += help_ips_counter("matches") != 0;
        assert_true(attacks || !help_ips_counter("overlap_differs"));
    }
    print_message("# %u bytes read, %u whole, %u contradicted, %u blocked\n", read, whole, contradicted,
                  blocked);
    assert_true(read > 20000 && whole > 200 && contradicted > 500 && blocked > 100);
}

static void connect(void)
{
    help_ips_connect(IPS(), DROP);
}

CHAIN_BEGINS(connect)
