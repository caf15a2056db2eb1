/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips against plain models. One has the whole stream before it and compares every content at every place:
 * random rules, random bytes, and segments cut, doubled, overlapped and out of order in random ways. The
 * other has each byte that has passed until it is acknowledged: no other one passes in its place, and all
 * else does.
 */
#include "tests/help/chain.h"
#include "tests/help/ips_model.h"
#include "tests/help/segment.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct help_chain h;

static uint32_t below(uint32_t n)
{
    return help_below(&help_rule_draws, n);
}

/* ---- packets -------------------------------------------------------------------------------------- */

static struct nf_packet send_part(const char *stream, uint32_t isn, uint32_t at, uint32_t n, bool ipv6)
{
    static uint8_t frame[NFT_FRAME_MAX];
    struct help_segment s = {.ipv6 = ipv6,
                             .from = 1,
                             .to = 2,
                             .sport = 4000,
                             .dport = 80,
                             .proto = 6,
                             .flags = NFT_ACK,
                             .seq = isn + 1 + at,
                             .ack = 501,
                             .payload = stream + at,
                             .len = n};

    return help_chain_send(&h, NF_INSIDE, frame, help_segment_frame(&s, frame));
}

static void begin(uint32_t isn, bool ipv6)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct help_segment s = {.ipv6 = ipv6,
                             .from = 1,
                             .to = 2,
                             .sport = 4000,
                             .dport = 80,
                             .proto = 6,
                             .flags = NFT_SYN,
                             .seq = isn};

    assert_int_equal(help_chain_send(&h, NF_INSIDE, frame, help_segment_frame(&s, frame)).drop, 0);
}

/* Random parts that overlap, in random order within some distance; then all of it once more, in order. */
static void send_stream(const char *stream, uint32_t n, uint32_t isn, bool ipv6)
{
    uint32_t most = 1 + below(60);

    begin(isn, ipv6);
    for (uint32_t i = 0; i < 2 * n / most; i++) {
        uint32_t near = i * most / 2, at = near > 200 ? near - 200 + below(400) : below(near + 200);
        uint32_t len = 1 + below(2 * most);

        if (at < n)
            send_part(stream, isn, at, len < n - at ? len : n - at, ipv6);
    }
    for (uint32_t at = 0; at < n; at += most)
        send_part(stream, isn, at, most < n - at ? most : n - at, ipv6);
}

static uint64_t shown_hits(const char *text, uint32_t sid)
{
    char row[32];
    const char *at;

    snprintf(row, sizeof(row), "\"rule\":\"%u\"", sid);
    at = strstr(text, row);
    assert_non_null(at);
    return strtoull(strstr(at, "\"hits\":") + 7, NULL, 10);
}

static void hits_are_those_of_the_model_however_a_stream_is_cut(void)
{
    static char text[8192], shown[1 << 16], stream[HELP_STREAM];
    uint64_t matches = 0, kept = 0;

    for (uint32_t round = 0; round < 150; round++) {
        uint32_t n = 200 + below(HELP_STREAM - 200);

        help_rule_draws = 1000 + round;
        help_rules_draw(text);
        help_rules_stream(stream, n);
        help_rules_match(stream, n);
        help_chain_open(&h, "    - ips: { rules: firewall.rules, max_flows: 8, alerts: 4 }\n", text, round);
        h.now = HELP_SECOND;
        send_stream(stream, n, round % 3 ? (uint32_t)help_draw(&help_rule_draws) : 0u - below(n), round & 1);
        help_chain_show(&h, "ips", shown, sizeof(shown));
        for (uint32_t i = 0; i < HELP_RULES; i++)
            if (shown_hits(shown, i + 1) != help_rules[i].hits)
                fail_msg("round %u, rule %u: %lu hits, expected %u\n%s", round, i + 1,
                         shown_hits(shown, i + 1), help_rules[i].hits, text);
        assert_int_equal(help_chain_counter(&h, "ips", "overlap_differs"), 0);
        assert_int_equal(help_chain_counter(&h, "ips", "notes_full"), 0);
        matches += help_chain_counter(&h, "ips", "matches");
        kept += help_chain_counter(&h, "ips", "segments_kept");
        help_chain_close(&h);
        help_rules_free();
    }
    assert_true(matches > 10000);
    assert_true(kept > 1000);
}

/* ---- copies --------------------------------------------------------------------------------------- */

/* What has passed: a byte + 1 for each place; 0: none yet. */
struct copies {
    uint16_t byte[HELP_STREAM];
    uint32_t next, acked;
};

static bool contradicts(const struct copies *c, uint32_t at, const char *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (at + i >= c->acked && c->byte[at + i] && c->byte[at + i] != (uint8_t)bytes[i] + 1)
            return true;
    return false;
}

static void pass(struct copies *c, uint32_t at, const char *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!c->byte[at + i])
            c->byte[at + i] = (uint16_t)((uint8_t)bytes[i] + 1);
    while (c->next < HELP_STREAM && c->byte[c->next])
        c->next++;
}

/* From the server, which has begun at 500. */
static void acknowledge(uint32_t isn, uint32_t bytes, uint8_t flags)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct help_segment s = {.from = 2,
                             .to = 1,
                             .sport = 80,
                             .dport = 4000,
                             .proto = 6,
                             .flags = flags,
                             .seq = flags & NFT_SYN ? 500 : 501,
                             .ack = isn + 1 + bytes};

    assert_int_equal(help_chain_send(&h, NF_OUTSIDE, frame, help_segment_frame(&s, frame)).drop, 0);
}

/* Two streams that differ in a byte of four, from which segments come in turn. Returns how many contradict.
 */
static uint32_t send_two(struct copies *c, const char stream[2][HELP_STREAM], uint32_t isn, bool room)
{
    uint32_t contradicted = 0;

    for (uint32_t i = 0; c->next < HELP_STREAM && i < 4000; i++) {
        uint32_t from = c->acked > 20 ? c->acked - 20 : 0, at = from + below(c->next - from + 60);
        uint32_t n = 1 + below(30);
        const char *bytes = stream[below(5) == 0];

        if (at >= HELP_STREAM)
            continue;
        n = n < HELP_STREAM - at ? n : HELP_STREAM - at;
        bool wrong = contradicts(c, at, bytes + at, n);
        bool passed = !send_part(bytes, isn, at, n, false).drop;

        if (passed == wrong && (wrong || room))
            fail_msg("segment %u, %u bytes at %u: passed %d, contradicts %d", i, n, at, passed, wrong);
        if (passed)
            pass(c, at, bytes + at, n);
        contradicted += wrong;
        if (below(4) == 0) {
            c->acked += below(c->next - c->acked + 1);
            acknowledge(isn, c->acked, NFT_ACK);
        }
    }
    return contradicted;
}

static void what_passes_is_what_no_copy_contradicts(void)
{
    static char text[8192], shown[1 << 16], stream[2][HELP_STREAM], first[HELP_STREAM];
    uint32_t contradicted = 0, matches = 0;

    for (uint32_t round = 0; round < 60; round++) {
        struct copies c = {.next = 0};
        bool room = round % 4 != 3;
        uint32_t isn = round % 3 ? (uint32_t)help_draw(&help_rule_draws) : 0u - 350;

        help_rule_draws = 5000 + round;
        help_rules_draw(text);
        help_rules_stream(stream[0], HELP_STREAM);
        memcpy(stream[1], stream[0], HELP_STREAM);
        for (uint32_t i = 0; i < HELP_STREAM; i += 1 + below(7))
            stream[1][i] = help_rules_letter();
        help_chain_open(
            &h,
            room ? "    - ips: { rules: firewall.rules, max_flows: 8, alerts: 4 }\n"
                 : "    - ips: { rules: firewall.rules, max_flows: 8, alerts: 4, stream_pieces: 2 }\n",
            text, round);
        h.now = HELP_SECOND;
        begin(isn, false);
        acknowledge(isn, 0, NFT_SYN | NFT_ACK);
        contradicted += send_two(&c, (const char(*)[HELP_STREAM])stream, isn, room);
        assert_true(!room || c.next == HELP_STREAM);
        for (uint32_t i = 0; i < c.next; i++)
            first[i] = (char)(c.byte[i] - 1);
        help_rules_match(first, c.next);
        help_chain_show(&h, "ips", shown, sizeof(shown));
        for (uint32_t i = 0; i < HELP_RULES; i++)
            if (shown_hits(shown, i + 1) != help_rules[i].hits)
                fail_msg("round %u, rule %u: %lu hits, expected %u\n%s", round, i + 1,
                         shown_hits(shown, i + 1), help_rules[i].hits, text);
        matches += (uint32_t)help_chain_counter(&h, "ips", "matches");
        assert_true(!room || !help_chain_counter(&h, "ips", "segments_full"));
        help_chain_close(&h);
        help_rules_free();
    }
    assert_true(contradicted > 1000 && matches > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(hits_are_those_of_the_model_however_a_stream_is_cut),
        HELP_CASE(what_passes_is_what_no_copy_contradicts),
    };

    return cmocka_run_group_tests_name("ips_model", tests, NULL, NULL);
}
