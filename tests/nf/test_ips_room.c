/* SPDX-License-Identifier: Apache-2.0 */
/* ips: what becomes of rules with several contents, and with patterns, when what is noted finds no room. */
#include "tests/help/ips.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void open_patterns(const char *action, const char *pattern)
{
    static char rules[4096];
    char *at = rules;

    for (unsigned i = 0; i < 9; i++)
        at += sprintf(at, "%s tcp any any -> any any (content:\"k%u\"; pcre:\"%s\"; sid:%u;)\n", action, i,
                      pattern, i + 1);
    help_ips_open(IPS(), rules);
    help_ips_begin();
}

static void the_ninth_pattern_of_a_direction_is_not_let_pass(void)
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
    help_chain_close(&help_ips);
    open_patterns("alert", "/[abc]{8}z/R");
    assert_true(help_ips_client(101, "k0k1k2k3k4k5k6k7k8"));
    assert_int_equal(help_ips_counter("notes_full"), 1);
    assert_true(help_ips_client(119, "abcabcabz"));
    assert_int_equal(help_ips_counter("matches"), 8);
    assert_true(help_ips_client(128, "k8abcabcabz")); /* there is room again */
    assert_int_equal(help_ips_counter("notes_full"), 1);
    assert_int_equal(help_ips_counter("matches"), 9);
}

static void a_pattern_that_cannot_go_on_leaves_its_room(void)
{
    struct ft_fault fault = {""};

    open_patterns("drop", "/^abc/R");
    for (uint32_t i = 0; i < 20; i++)
        assert_true(help_ips_client(101 + i * 27, "k0__k1ax_k2abk3_k4abk5__k8a"));
    assert_int_equal(help_ips_counter("notes_full"), 0);
    assert_int_equal(nf_chain_check(help_ips.chain, NULL, NULL, &fault), 0);
    assert_true(help_ips_client(641, "_k8ab"));
    assert_false(help_ips_client(646, "c"));
    assert_int_equal(help_ips_counter("matches"), 1);
}

/* Whoever fills the table keeps nothing from being looked for: it is dropped instead. */
static void a_full_table_lets_nothing_pass_that_a_rule_would_have_to_note(void)
{
    help_ips_open(IPS(", max_notes: 2"),
                  "drop tcp any any -> any any (content:\"one\"; content:\"two\"; content:\"six\"; sid:1;)\n"
                  "alert tcp any any -> any any (content:\"ten\"; content:\"win\"; sid:2;)\n");
    help_ips_begin();
    assert_true(help_ips_client(101, "one two"));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 101, "ten"));
    assert_int_equal(help_ips_counter("notes_full"), 1);
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 504, 101, "nothing"));
    assert_false(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 511, 101, "a one"));
    assert_int_equal(help_ips_counter("notes_full"), 2);
    assert_int_equal(help_ips_counter("dropped"), 0);
}

/* Segments behind holes, each in a piece of its own, that are let pass, of at most 20. */
static unsigned kept_from(uint32_t seq)
{
    for (unsigned i = 0; i < 20; i++)
        if (!help_ips_client(seq + 440 * i, "x"))
            return i;
    return 20;
}

/* Who sends in other people's names gets no answer, and shares half of the pieces alone. */
static void half_of_the_pieces_are_for_those_that_are_answered(void)
{
    help_ips_open(IPS(", stream_pieces: 16"), "drop tcp any any -> any any (content:\"evil\"; sid:1;)\n");
    assert_true(help_ips_client(101, "x"));
    assert_int_equal(kept_from(441), 3); /* with the copy it has 4 of 8 then, and 4 are free */
    assert_int_equal(help_ips_counter("segments_full"), 1);
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, 102, ""));
    assert_int_equal(kept_from(2201), 5); /* the first byte has been acknowledged: 8 of 16 */
}

/* However it is cut, what lies behind a hole takes the pieces of its bytes. */
static void bytes_that_are_sent_one_by_one_take_no_more_room(void)
{
    help_ips_open(IPS(", stream_pieces: 16"), "drop tcp any any -> any any (content:\"evil\"; sid:1;)\n");
    help_ips_begin();
    for (uint32_t at = 2; at < 1200; at += 2)
        assert_true(help_ips_client(101 + at, "x"));
    for (uint32_t at = 1199; at > 4; at -= 2)
        assert_true(help_ips_client(101 + at, at == 601 ? "l" : at == 599 ? "i" : "e"));
    assert_int_equal(help_ips_counter("segments_full"), 0);
    assert_int_equal(help_ips_counter("segments_kept"), 599 + 598);
}

#define GREEDY 1000u

static bool send_greedy(uint32_t host, uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack,
                        const char *text)
{
    const struct help_segment s = {.from = side == NF_INSIDE ? 1 : 2,
                                   .to = side == NF_INSIDE ? 2 : 1,
                                   .sport = (uint16_t)(side == NF_INSIDE ? 5000 + host : 80),
                                   .dport = (uint16_t)(side == NF_INSIDE ? 80 : 5000 + host),
                                   .proto = 6,
                                   .flags = flags,
                                   .seq = seq,
                                   .ack = ack,
                                   .payload = text,
                                   .len = (uint32_t)strlen(text)};

    return help_ips_send(side, &s);
}

/* They have their connections answered, and each takes all pieces that it gets, in turn with the others. */
static void greedy_connections_leave_others_their_pieces(void)
{
    uint32_t taken = 0;

    help_ips_open("    - ips: { rules: firewall.rules, max_flows: 2000, max_flows_per_host: 2000, "
                  "stream_pieces: 16384 }\n",
                  "drop tcp any any -> any any (content:\"evil\"; sid:1;)\n");
    for (uint32_t i = 0; i < GREEDY; i++) {
        assert_true(send_greedy(i, NF_INSIDE, NFT_SYN, 100, 0, ""));
        assert_true(send_greedy(i, NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, 101, ""));
    }
    for (uint32_t n = 0; n < 20; n++)
        for (uint32_t i = 0; i < GREEDY; i++)
            taken += send_greedy(i, NF_INSIDE, NFT_ACK, 441 + 440 * n, 501, "x");
    assert_true(taken > 16000 && taken < 16384);
    help_ips_begin();
    assert_true(help_ips_client(101, "honest"));
    assert_true(help_ips_client(101, "honest")); /* there is a copy */
    assert_true(kept_from(441) >= 6);
    assert_int_equal(help_ips_counter("overlap_unknown"), 0);
}

/* One host inside has as many answered flows as it can: others still begin theirs. */
static void one_host_does_not_fill_the_table(void)
{
    help_ips_open("    - ips: { rules: firewall.rules, max_flows: 400 }\n",
                  "drop udp any any -> any any (content:\"evil\"; sid:1;)\n");
    for (uint16_t i = 0; i < 450; i++, help_ips.now++) {
        struct help_segment s = {.from = i < 400 ? 1 : 3,
                                 .to = 2,
                                 .sport = (uint16_t)(4000 + i),
                                 .dport = 53,
                                 .proto = 17,
                                 .payload = "x",
                                 .len = 1},
                            answer = s;

        answer.from = 2, answer.to = s.from, answer.sport = 53, answer.dport = s.sport;
        assert_true(help_ips_send(NF_INSIDE, &s));
        assert_true(help_ips_send(NF_OUTSIDE, &answer));
    }
    assert_int_equal(help_ips_counter("flows_created"), 450);
    assert_int_equal(help_ips_counter("flows_full") + help_ips_counter("host_full"), 0);
}

/* Contents of one byte, each byte of a packet, many rules: as much as a packet may cost, and no more. */
static void what_a_packet_may_cost_is_bounded(void)
{
    static char rules[16384], text[1401];
    char *at = rules;

    memset(text, 'a', 1400);
    for (unsigned i = 1; i <= 64; i++)
        at += sprintf(
            at, "alert tcp any any -> any any (content:\"a\"; content:\"b\"; within:1000; sid:%u;)\n", i);
    sprintf(at, "alert udp any any -> any any (content:\"a\"; sid:99;)\n");
    for (unsigned drops = 0; drops < 3; drops++) {
        help_ips_open(IPS(""), rules);
        help_ips_begin();
        if (drops)
            assert_int_equal(
                help_chain_command(&help_ips, drops == 1 ? "set ips rule.99=drop" : "set ips rule.64=drop"),
                0);
        assert_int_equal(help_ips_client(101, text), drops < 2);
        assert_int_equal(help_ips_client(1501, "bb"), drops < 2);
        assert_int_equal(help_ips_counter("steps_full"), 1);
        assert_int_equal(help_ips_counter("blocked"), drops == 2);
        help_chain_close(&help_ips);
    }
    help_ips_open(IPS(""), rules);
    help_ips_begin();
    text[20] = 0;
    assert_true(help_ips_client(101, text));
    assert_int_equal(help_ips_counter("steps_full"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(the_ninth_pattern_of_a_direction_is_not_let_pass),
        HELP_CASE(a_pattern_that_cannot_go_on_leaves_its_room),
        HELP_CASE(a_full_table_lets_nothing_pass_that_a_rule_would_have_to_note),
        HELP_CASE(half_of_the_pieces_are_for_those_that_are_answered),
        HELP_CASE(bytes_that_are_sent_one_by_one_take_no_more_room),
        HELP_CASE(greedy_connections_leave_others_their_pieces),
        HELP_CASE(one_host_does_not_fill_the_table),
        HELP_CASE(what_a_packet_may_cost_is_bounded),
    };

    return cmocka_run_group_tests_name("ips_room", tests, NULL, NULL);
}
