/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips: what a sender has on its way behind a lost segment passes and is kept, a megabyte and more; it is
 * looked into when the hole is filled, and how much of that one burst does has an end.
 */
#include "tests/help/tcp.h"
#include "tests/help/test.h"

#define DROP    "drop tcp any any -> any 80 (content:\"attack\"; sid:7;)\n"
#define SEGMENT 1460u
#define MIB     (1u << 20)

static char data[2 * MIB];

/* Bytes `at` to `at + n` of the data, from host `from` of 10.0.0.0/24. */
static struct help_segment segment_of(uint8_t from, uint32_t at, uint32_t n)
{
    return HELP_SEGMENT(6, from, 4000, 2, 80, .flags = NFT_ACK, .seq = 101 + at, .ack = 501,
                        .payload = data + at, .len = n);
}

static bool send_part(uint8_t from, uint32_t at, uint32_t n)
{
    const struct help_segment s = segment_of(from, at, n);

    return help_ips_send(NF_INSIDE, &s);
}

static bool send_flags(bool client, uint8_t from, uint8_t flags, uint32_t seq, uint32_t ack)
{
    const struct help_segment s = HELP_SEGMENT(6, client ? from : 2, client ? 4000 : 80, client ? 2 : from,
                                               client ? 80 : 4000, .flags = flags, .seq = seq, .ack = ack);

    return help_ips_send(client ? NF_INSIDE : NF_OUTSIDE, &s);
}

static void open_connection(uint8_t from)
{
    assert_true(send_flags(true, from, NFT_SYN, 100, 0));
    assert_true(send_flags(false, from, NFT_SYN | NFT_ACK, 500, 101));
    assert_true(send_flags(true, from, NFT_ACK, 101, 501));
}

/* All of `total` bytes but the first segment; how many were dropped. */
static uint32_t send_all_but_the_first(uint8_t from, uint32_t total)
{
    uint32_t dropped = 0;

    for (uint32_t at = SEGMENT; at < total; at += SEGMENT)
        dropped += !send_part(from, at, at + SEGMENT < total ? SEGMENT : total - at);
    return dropped;
}

CHAIN_TEST(a_megabyte_behind_a_lost_segment_passes_and_is_looked_into)
{
    static const uint32_t attacks[] = {0, SEGMENT - 3, 300 * SEGMENT - 2, MIB - 6};

    for (unsigned i = 0; i < 4; i++) {
        memset(data, '.', sizeof(data));
        if (i)
            memcpy(data + attacks[i], "attack", 6);
        help_ips_open(IPS(), DROP);
        open_connection(1);
        assert_int_equal(send_all_but_the_first(1, MIB), 0);
        data[700 * SEGMENT] = '!'; /* other bytes in place of what has passed */
        assert_false(send_part(1, 700 * SEGMENT, SEGMENT));
        assert_int_equal(help_ips_counter("overlap_differs"), 1);
        assert_int_equal(send_part(1, 0, SEGMENT), i == 0);
        help_chain_counts(&help_ips, "ips: matches %u, blocked 0", i != 0);
        if (!i) { /* the rest of the connection is as before */
            assert_true(send_part(1, MIB, 3));
            assert_true(send_flags(false, 1, NFT_ACK, 501, 101 + MIB + 3));
            assert_int_equal(send_part(1, MIB + 3, SEGMENT), true);
            assert_int_equal(help_ips_counter("out_of_window") + help_ips_counter("segments_full"), 0);
        }
    }
}

CHAIN_TEST(each_of_many_losses_is_repaired_by_one_segment)
{
    uint32_t dropped = 0;

    memset(data, '.', sizeof(data));
    help_ips_open(IPS(), DROP);
    open_connection(1);
    for (uint32_t i = 0; i < 700; i++)
        if (i % 100)
            dropped += !send_part(1, i * SEGMENT, SEGMENT);
    for (uint32_t i = 0; i < 700; i += 100)
        dropped += !send_part(1, i * SEGMENT, SEGMENT);
    assert_int_equal(dropped, 0);
    assert_true(send_flags(false, 1, NFT_ACK, 501, 101 + 700 * SEGMENT));
    assert_true(send_part(1, 700 * SEGMENT, SEGMENT));
}

CHAIN_TEST(a_direction_has_no_more_on_its_way_than_flow_pieces)
{
    memset(data, '.', sizeof(data));
    help_ips_open(IPS(", flow_pieces: 100"), DROP);
    open_connection(1);
    assert_true(send_part(1, 43000, 1000));
    assert_false(
        send_part(1, 43001, 1000)); /* 44,001 from what is acknowledged on: one more than 100 x 440 */
    assert_int_equal(help_ips_counter("out_of_window"), 1);
    assert_true(send_part(1, 0, 1000));
    assert_false(send_part(1, 44000, 1));
    assert_true(send_flags(false, 1, NFT_ACK, 501, 101 + 1000));
    assert_true(send_part(1, 44000, 1000));
    assert_int_equal(help_ips_counter("out_of_window"), 2);
}

/* What is found once in 64 bytes is no reason to give up, however much becomes readable at once. */
CHAIN_TEST(what_fills_a_hole_may_cost_as_much_as_its_bytes_did_in_order)
{
    memset(data, '.', sizeof(data));
    for (uint32_t at = 0; at + 64 <= MIB; at += 64)
        memcpy(data + at, "GET ", 4);
    help_ips_open(IPS(), DROP "alert tcp any any -> any 80 (content:\"GET \"; sid:8;)\n");
    open_connection(1);
    assert_int_equal(send_all_but_the_first(1, MIB), 0);
    assert_true(send_part(1, 0, SEGMENT));
    help_chain_counts(&help_ips, "ips: matches %u, steps_full 0", MIB / 64);
}

#define HOARDERS 40u

/* Connections that never fill their holes leave those that are in order half of the pieces. */
CHAIN_TEST(holes_that_are_never_filled_leave_what_is_in_order_its_copies)
{
    memset(data, '.', sizeof(data));
    help_ips_open("    - ips: { rules: firewall.rules, max_flows: 100, stream_pieces: 2048 }\n", DROP);
    for (uint8_t host = 3; host < 3 + HOARDERS; host++) {
        open_connection(host);
        (void)send_all_but_the_first(host, 200 * SEGMENT);
    }
    assert_true(help_ips_counter("segments_full") > HOARDERS);
    open_connection(1);
    for (uint32_t i = 0; i < 100; i++)
        assert_true(send_part(1, i * SEGMENT, SEGMENT));
    for (uint32_t i = 0; i < 100; i++)
        assert_true(send_part(1, i * SEGMENT, SEGMENT)); /* each has its copy */
    assert_int_equal(help_ips_counter("overlap_unknown"), 0);
}

/* One host's connections, however many, hold no more than is left for others; one host of IPv6 has all of its
 * network's addresses, of which help_segment's are. */
CHAIN_TEST(holes_of_one_host_leave_others_theirs)
{
    memset(data, '.', sizeof(data));
    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
        uint64_t kept;

        help_ips_open("    - ips: { rules: firewall.rules, max_flows: 100, stream_pieces: 2048 }\n", DROP);
        for (uint16_t port = 5000; port < 5030; port++)
            for (uint32_t i = 0; i < 200; i++) {
                struct help_segment s = segment_of(ipv6 ? (uint8_t)(3 + port % 2) : 3, i * SEGMENT, SEGMENT);

                s.ipv6 = ipv6;
                s.sport = port;
                if (i == 0) {
                    s.flags = NFT_SYN;
                    s.seq = 100;
                    s.ack = s.len = 0;
                }
                (void)help_ips_send(NF_INSIDE, &s);
                if (i == 0) {
                    struct help_segment answer = s;

                    answer.from = s.to, answer.to = s.from, answer.sport = 80, answer.dport = port;
                    answer.flags = NFT_SYN | NFT_ACK, answer.seq = 500, answer.ack = 101;
                    assert_true(help_ips_send(NF_OUTSIDE, &answer));
                }
            }
        kept = help_ips_counter("segments_kept");
        assert_in_range(kept, 512 * 440 / SEGMENT - 6, 512 * 440 / SEGMENT); /* half of the half */
        open_connection(1);
        assert_int_equal(send_all_but_the_first(1, 70 * SEGMENT), 0);
        assert_true(send_part(1, 0, SEGMENT));
        assert_true(send_flags(false, 1, NFT_ACK, 501, 101 + 70 * SEGMENT));
        assert_int_equal(send_all_but_the_first(9, 70 * SEGMENT), 0); /* as before: all has been let go */
        help_chain_is_sound(&help_ips);
    }
}

/* Segments of several connections in one burst, each of which fills a hole. True: it passed. */
static void send_burst(const struct help_segment s[], bool passed[], uint32_t n)
{
    static uint8_t frame[8][NFT_FRAME_MAX];
    struct nf_packet p[8];

    for (uint32_t i = 0; i < n; i++) {
        uint32_t len = help_segment_frame(&s[i], frame[i]);

        p[i] = (struct nf_packet){.data = frame[i], .len = len, .have = len, .side = NF_INSIDE};
    }
    help_chain_run(&help_ips, help_ips.now, p, n);
    for (uint32_t i = 0; i < n; i++)
        passed[i] = !p[i].drop;
}

CHAIN_TEST(a_burst_fills_holes_until_it_has_read_half_of_what_one_direction_may_have)
{
    struct help_segment s[6];
    bool passed[6];

    memset(data, '.', sizeof(data));
    help_ips_open(IPS(", flow_pieces: 32"), DROP); /* half of them are 7,040 bytes */
    for (uint8_t host = 3; host < 9; host++) {
        open_connection(host);
        if (host < 8)
            assert_int_equal(send_all_but_the_first(host, 4 * SEGMENT), 0); /* 4,380 behind 1,460 */
        s[host - 3] = segment_of(host, 0, SEGMENT);
    }
    send_burst(s, passed, 6);
    assert_true(passed[0] && passed[1]);
    assert_false(passed[2] || passed[3] || passed[4]);
    assert_true(passed[5]); /* nothing is behind it */
    assert_int_equal(help_ips_counter("segments_full"), 3);
    send_burst(s + 2, passed, 2);
    assert_true(passed[0] && passed[1]);
}

/* Pieces far from each other, of streams that were picked up: read where the receiver says that they begin.
 */
CHAIN_TEST(what_lies_far_ahead_is_found_in_any_order)
{
    static const uint32_t orders[][3] = {{2, 1, 0}, {0, 1, 2}, {1, 2, 0}, {2, 0, 1}};
    static const uint32_t at[] = {439, 700 * SEGMENT, MIB};

    memset(data, '.', sizeof(data));
    help_ips_open(IPS(), "alert tcp any any -> any 80 (content:\"attack\"; sid:7;)\n");
    for (uint32_t i = 0; i < 3; i++)
        memcpy(data + at[i], "attack", 6);
    for (uint8_t i = 0; i < 4; i++) {
        uint8_t host = 3 + i;

        assert_true(send_part(host, 0, 1)); /* no SYN was seen */
        for (unsigned k = 0; k < 3; k++)
            assert_true(send_part(host, at[orders[i][k]], 6));
        assert_int_equal(help_ips_counter("matches"), 3 * i);
        assert_true(send_flags(false, host, NFT_ACK, 501, 101 + at[0]));
        assert_int_equal(help_ips_counter("matches"), 3 * i);
        assert_true(send_flags(false, host, NFT_ACK, 501, 101 + at[0] + 3)); /* a piece goes on behind it */
        assert_int_equal(help_ips_counter("matches"), 3 * i + 1);
        assert_true(send_flags(false, host, NFT_ACK, 501, 101 + at[2]));
        assert_int_equal(help_ips_counter("matches"), 3 * i + 2);
        assert_true(send_flags(false, host, NFT_ACK, 501, 101 + at[2] + 6));
        assert_int_equal(help_ips_counter("matches"), 3 * i + 3);
    }
}

/* A stream that is over gives all of its pieces back, wherever they lie. */
CHAIN_TEST(pieces_far_apart_are_all_given_back)
{
    memset(data, '.', sizeof(data));
    help_ips_open("    - ips: { rules: firewall.rules, max_flows: 100, stream_pieces: 16 }\n", DROP);
    for (unsigned i = 0; i < 20; i++) {
        open_connection(1);
        for (uint32_t k = 1; k < 5; k++)
            assert_true(send_part(1, (k * 3 % 5) * 250000, 1)); /* four pieces of the eight behind holes */
        assert_int_equal(help_chain_command(&help_ips, "clear ips"), FT_OK);
        assert_int_equal(help_ips_counter("segments_full"), 0);
    }
}
