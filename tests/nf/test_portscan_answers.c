/* SPDX-License-Identifier: Apache-2.0 */
/* portscan: what it believes of packets, and what hides from it. */
#include "tests/help/portscan.h"
#include "tests/help/segment.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

/* A SYN of which a part of the frame is another one. */
static bool changed(uint8_t side, const struct nft_spec *spec, uint32_t at, uint8_t bits)
{
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t n = nft_frame(spec, frame);

    frame[at] ^= bits;
    return !help_chain_send(&help_portscan, side, frame, n).drop;
}

static void an_answer_is_one_that_the_host_believes(void)
{
    const struct nft_spec request = {
        .src = S, .dst = D(0), .sport = 4000, .dport = 80, .proto = 6, .tcp = NFT_SYN, .seq = 1000};
    struct nft_spec s = {.src = D(0), .dst = S, .sport = 80, .dport = 4000, .proto = 6, .seq = 5};

    help_portscan_open(PORTSCAN(""));
    changed(NF_OUTSIDE, &request, 14 + 20 + 17, 1); /* a wrong checksum: no SYN */
    help_portscan_outcomes(0, 0, 0, 0);
    assert_int_equal(help_portscan_counter("checksum"), 1);
    changed(NF_OUTSIDE, &request, 0, 0);
    for (unsigned rst = 0; rst < 2; rst++) {
        s.tcp = (uint8_t)(NFT_ACK | (rst ? NFT_RST : NFT_SYN));
        s.ack = 1000;
        changed(NF_INSIDE, &s, 0, 0); /* acknowledges what was not sent */
        s.ack = 1002;
        changed(NF_INSIDE, &s, 0, 0);
        s.ack = 1001;
        changed(NF_INSIDE, &s, 14 + 20 + 17, 1);
        s.tcp &= (uint8_t)~NFT_ACK;
        changed(NF_INSIDE, &s, 0, 0);
        s.payload = 4; /* its checksum is behind the headers */
        s.tcp |= NFT_ACK;
        changed(NF_INSIDE, &s, 0, 0);
        s.payload = 0;
        s.tcp |= NFT_FIN;
        changed(NF_INSIDE, &s, 0, 0);
    }
    help_portscan_outcomes(1, 0, 0, 0);
    assert_int_equal(help_portscan_counter("checksum"), 3);
    s.tcp = NFT_ACK | NFT_RST;
    changed(NF_INSIDE, &s, 0, 0);
    help_portscan_outcomes(1, 0, 1, 0);
}

/* A SYN that the host sends with another number is answered by that one. */
static void a_syn_with_another_number_is_answered_by_that(void)
{
    struct nft_spec s = {
        .src = S, .dst = D(0), .sport = 4000, .dport = 80, .proto = 6, .tcp = NFT_SYN, .seq = 70};

    help_portscan_open(PORTSCAN(""));
    changed(NF_OUTSIDE, &s, 0, 0);
    s.seq = 1000;
    changed(NF_OUTSIDE, &s, 0, 0);
    help_portscan_answer(S, D(0), NFT_SYN);
    help_portscan_outcomes(1, 1, 0, 0);
}

static void what_hides_its_flags_is_dropped(void)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct help_segment v6 = {.ipv6 = true,
                              .from = 99,
                              .to = 1,
                              .sport = 4000,
                              .dport = 80,
                              .proto = 6,
                              .flags = NFT_SYN,
                              .seq = 1000};
    struct nft_spec s = {.src = S, .dst = D(0), .proto = 6, .tcp = NFT_SYN, .fragment = NFT_MORE};
    uint32_t n;

    help_portscan_open(PORTSCAN(""));
    n = nft_frame(&s, frame);
    frame[17] = 20 + 8; /* bytes of IP: ports and number alone */
    nft_ip_checksum(frame, n);
    assert_true(help_chain_send(&help_portscan, NF_OUTSIDE, frame, n).drop);
    s.fragment = 1; /* over the flags */
    s.payload = 8;
    assert_false(help_chain_spec(&help_portscan, NF_OUTSIDE, &s, NULL));
    assert_int_equal(help_portscan_counter("hidden"), 2);
    assert_true(help_chain_spec(&help_portscan, NF_INSIDE, &s, NULL)); /* not watched */
    s.fragment = 4;
    assert_true(help_chain_spec(&help_portscan, NF_OUTSIDE, &s, NULL));
    s.fragment = NFT_MORE; /* all of the header is there */
    assert_true(help_chain_spec(&help_portscan, NF_OUTSIDE, &s, NULL));
    assert_int_equal(help_portscan_counter("contacts"), 1);
    n = help_segment_frame(&v6, frame);
    frame[20] = 60; /* destination options, of a length that the packet does not have */
    frame[55] = 200;
    assert_true(help_chain_send(&help_portscan, NF_OUTSIDE, frame, n).drop);
    assert_int_equal(help_portscan_counter("hidden"), 3);
    help_segment_frame(&v6, frame);
    memmove(frame + 62, frame + 54, 20);
    memcpy(frame + 54, (uint8_t[8]){6, 0, 1, 4}, 8); /* one that can be read */
    frame[20] = 60;
    frame[19] = 28;
    assert_false(help_chain_send(&help_portscan, NF_OUTSIDE, frame, 82).drop);
    assert_int_equal(help_portscan_counter("contacts"), 2);
    assert_int_equal(help_portscan_counter("checksum"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(an_answer_is_one_that_the_host_believes),
        HELP_CASE(a_syn_with_another_number_is_answered_by_that),
        HELP_CASE(what_hides_its_flags_is_dropped),
    };

    return cmocka_run_group_tests_name("portscan_answers", tests, NULL, NULL);
}
