/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policer: classes by side and DSCP, rates in packets and in bits, two rates and three colors, what becomes
 * of what is over; all of it beside a plain second implementation; files that are refused, an operator's
 * changes, a change of the file. Facts of captures are tshark's (ip.dsfield.dscp).
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define POLICER "    - policer: { classes: firewall.rules }\n"
#define HOST    NFT_IP(10, 1, 2, 3)
#define REMOTE  NFT_IP(198, 51, 100, 7)
#define EF      46u
#define FRAME   100u

static struct help_chain h;
static uint8_t frame[NFT_FRAME_MAX];

/* The DSCP with which a frame of `size` bytes passes; NONE: it does not. */
#define NONE 64u
static unsigned send_ipv4(uint8_t side, uint32_t size, unsigned dscp)
{
    struct nft_spec spec =
        HELP_PACKET(17, side == NF_INSIDE ? HOST : REMOTE, 1, side == NF_INSIDE ? REMOTE : HOST, 2,
                    .payload = (uint16_t)(size - 42));
    uint32_t len = nft_frame(&spec, frame);

    assert_int_equal(len, size);
    frame[15] = (uint8_t)(dscp << 2 | 1);
    nft_ip_checksum(frame, len);
    if (help_chain_send(&h, side, frame, len).drop)
        return NONE;
    assert_null(nft_checksums(frame, len));
    assert_int_equal(frame[15] & 3, 1);
    return frame[15] >> 2;
}

static unsigned send_ipv6(uint8_t side, uint32_t size, unsigned dscp)
{
    help_ipv6_header(frame + 14, 59, "2001:db8::1", "2001:db8::2", size - 54);
    memset(frame + 54, 0, size - 54);
    frame[14] = (uint8_t)(0x60 | dscp >> 2);
    frame[15] = (uint8_t)(dscp << 6 | 0x1a);
    if (help_ipv6_send(&h, side, frame, size).drop)
        return NONE;
    assert_int_equal(frame[15] & 0x3f, 0x1a);
    return (unsigned)((frame[14] & 15) << 2 | frame[15] >> 6);
}

CHAIN_TEST(packets_over_the_rate_are_dropped)
{
    help_chain_begin(&h, POLICER, "class voice dscp ef rate 10 pps burst 3\n");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(send_ipv4(i % 2, FRAME, EF), EF);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), NONE);
    assert_int_equal(send_ipv6(NF_INSIDE, FRAME, EF), NONE); /* families have one bucket */
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 0), 0);     /* of no class */
    help_chain_wait_ms(&h, 99);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), NONE);
    help_chain_wait_ms(&h, 1);
    assert_int_equal(send_ipv6(NF_INSIDE, FRAME, EF), EF);
    help_chain_counts(&h, "policer: conformed 4, exceeded 3, dropped 3, other 1");
    help_chain_has(
        &h, "policer",
        "{\"class\":\"voice\",\"unit\":\"pps\",\"rate\":10,\"burst\":3,\"peak\":0,\"peak_burst\":0,"
        "\"conformed\":4,\"exceeded\":3,\"violated\":0,\"dropped\":3}");
}

CHAIN_TEST(bits_are_those_of_frames)
{
    help_chain_begin(&h, POLICER,
                     "class bulk dscp cs1 rate 8000 bps burst 73728\n"); /* 9216 bytes, 1000 a second */
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(send_ipv4(NF_INSIDE, 1024, 8), 8);
    assert_int_equal(send_ipv4(NF_INSIDE, 60, 8), NONE);
    help_chain_wait_ms(&h, 60);
    assert_int_equal(send_ipv4(NF_INSIDE, 61, 8), NONE);
    assert_int_equal(send_ipv4(NF_INSIDE, 60, 8), 8); /* what is dropped takes nothing */
}

CHAIN_TEST(sides_and_the_first_line_that_has_the_dscp)
{
    help_chain_begin(&h, POLICER,
                     "class in in dscp ef rate 1 pps burst 1\nclass out out dscp ef,0 rate 1 pps burst 2\n"
                     "class rest dscp any rate 1 pps burst 1 exceed dscp 1\n");
    assert_int_equal(send_ipv4(NF_OUTSIDE, FRAME, EF), EF);
    assert_int_equal(send_ipv4(NF_OUTSIDE, FRAME, EF), NONE);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), EF);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 0), 0);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), NONE);
    assert_int_equal(send_ipv4(NF_OUTSIDE, FRAME, 0), 0);
    assert_int_equal(send_ipv4(NF_OUTSIDE, FRAME, 63), 1);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 1), 1); /* it has that already */
    help_chain_counts(&h, "policer: remarked 1, dropped 2");
}

/* RFC 2698, color-blind. */
CHAIN_TEST(two_rates_make_three_colors)
{
    help_chain_begin(
        &h, POLICER,
        "class data dscp af11 rate 10 pps burst 2 peak 20 burst 4 exceed dscp af12 violate drop\n");
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), 10);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), 10);
    assert_int_equal(send_ipv6(NF_INSIDE, FRAME, 10), 12);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), 12);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), NONE);
    help_chain_wait_ms(&h, 50); /* one token of the peak, half a one of the rate */
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), 12);
    help_chain_wait_ms(&h, 50);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), 10);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), NONE);
    help_chain_counts(&h, "policer: conformed 3, exceeded 3, violated 2, dropped 2, remarked 3");
    help_chain_begin(&h, POLICER,
                     "class data dscp any rate 10 pps burst 1 peak 20 burst 2\n"); /* what exceeds passes */
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), 10);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), 10);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 10), NONE);
}

CHAIN_TEST(what_has_no_dscp)
{
    static const uint8_t arp[60] = {[12] = 8, [13] = 6, 0, 1, 8, 0, 6, 4};

    help_chain_begin(&h, POLICER, "class all dscp any rate 1 pps burst 1\n");
    memcpy(frame, arp, sizeof(arp));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(help_chain_send(&h, NF_INSIDE, frame, sizeof(arp)).drop, 0);
    help_chain_counts(&h, "policer: other 3");
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 0), 0);
    frame[24] ^= 1; /* the checksum of its header */
    assert_int_not_equal(help_chain_send(&h, NF_INSIDE, frame, FRAME).drop, 0);
    help_ipv6_header(frame + 14, 17, "2001:db8::1", "2001:db8::2", 16);
    frame[14] = 0x50;
    assert_int_not_equal(help_ipv6_send(&h, NF_INSIDE, frame, 70).drop, 0);
    help_chain_counts(&h, "policer: malformed 2");
}

/* ---- a second implementation: levels in billionths of a token, one packet after the other ---- */

struct model_bucket {
    unsigned __int128 level;
    uint64_t rate, burst, at;
};

static bool model_has(struct model_bucket *b, uint64_t tokens, uint64_t now)
{
    unsigned __int128 most = (unsigned __int128)b->burst * HELP_SECOND;

    b->level += (unsigned __int128)(now - b->at) * b->rate;
    b->at = now;
    b->level = b->level > most ? most : b->level;
    return b->level >= (unsigned __int128)tokens * HELP_SECOND;
}

struct model_class {
    const char *line;
    uint64_t dscps;
    unsigned sides; /* bits */
    bool bits, peak;
    unsigned becomes[3]; /* by color; NONE: dropped, NONE + 1: what it was */
    struct model_bucket rate, most;
};
#define SAME (NONE + 1)

static struct model_class model[] = {
    {"class a in dscp ef,af11 rate 40 pps burst 9\n",
     1ull << 46 | 1ull << 10,
     2,
     false,
     false,
     {SAME, NONE, NONE},
     {0, 40, 9, 0},
     {0, 0, 0, 0}},
    {"class b dscp 10,0 rate 500000 bps burst 80000 peak 900001 burst 99999 exceed dscp 3 violate dscp 1\n",
     1ull << 10 | 1,
     3,
     true,
     true,
     {SAME, 3, 1},
     {0, 500000, 80000, 0},
     {0, 900001, 99999, 0}},
    {"class c out dscp any rate 33 pps burst 5 peak 50 burst 20\n",
     ~0ull,
     1,
     false,
     true,
     {SAME, SAME, NONE},
     {0, 33, 5, 0},
     {0, 50, 20, 0}},
};

static unsigned model_send(uint8_t side, uint32_t size, unsigned dscp, uint64_t now)
{
    for (unsigned i = 0; i < 3; i++) {
        struct model_class *c = &model[i];
        uint64_t tokens = c->bits ? size * 8 : 1;
        unsigned color = 0;

        if (!(c->sides >> side & 1) || !(c->dscps >> dscp & 1))
            continue;
        if (c->peak && !model_has(&c->most, tokens, now))
            color = 2;
        else if (!model_has(&c->rate, tokens, now))
            color = 1;
        if (c->peak && color < 2)
            c->most.level -= (unsigned __int128)tokens * HELP_SECOND;
        if (color == 0)
            c->rate.level -= (unsigned __int128)tokens * HELP_SECOND;
        return c->becomes[color] == SAME ? dscp : c->becomes[color];
    }
    return dscp;
}

CHAIN_TEST(it_does_what_the_second_implementation_does)
{
    static const unsigned dscps[] = {46, 10, 0, 0, 10, 3, 63};
    uint64_t sequence = 9, seen[NONE + 1] = {0};
    char text[512];

    snprintf(text, sizeof(text), "%s%s%s", model[0].line, model[1].line, model[2].line);
    help_chain_begin(&h, POLICER, text);
    for (unsigned i = 0; i < 3; i++) {
        model[i].rate.level = (unsigned __int128)model[i].rate.burst * HELP_SECOND;
        model[i].most.level = (unsigned __int128)model[i].most.burst * HELP_SECOND;
    }
    for (unsigned i = 0; i < 60000; i++) {
        uint8_t side = (uint8_t)help_below(&sequence, 2);
        unsigned dscp = dscps[help_below(&sequence, 7)], out;
        uint32_t size = 60 + help_below(&sequence, 1400);

        h.now +=
            help_below(&sequence, 10) ? help_below(&sequence, 1500000) : help_below(&sequence, 20) * 1000000;
        out = help_below(&sequence, 2) ? send_ipv4(side, size, dscp) : send_ipv6(side, size, dscp);
        if (out != model_send(side, size, dscp, h.now))
            fail_msg("packet %u of side %u, %u bytes, DSCP %u: %u", i, side, size, dscp, out);
        seen[out]++;
    }
    assert_true(seen[NONE] > 1000 && seen[1] > 1000 && seen[3] > 1000 && seen[46] > 1000);
    help_chain_counts(&h, "policer: dropped %lu", seen[NONE]);
}

/* ---- operators ---- */

CHAIN_TEST(commands_change_rates_and_fill_buckets)
{
    static const char *const wrong[] = {"set policer voice.rate=",
                                        "set policer voice.rate=0",
                                        "set policer voice.rate=1x",
                                        "set policer voice.burst=0",
                                        "set policer bulk.burst=1000",
                                        "set policer bulk.peak=99",
                                        "set policer voice.rate=99999999999999"};
    static const char *const unknown[] = {"set policer rate=1", "set policer voice=1",
                                          "set policer voice.peak=1", "set policer bulky.rate=1",
                                          "clear policer voi"};

    help_chain_begin(&h, POLICER,
                     "class voice dscp ef rate 1 pps burst 2\n"
                     "class bulk dscp 0 rate 100000 bps burst 73728 peak 200000 burst 73728\n");
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(help_chain_command(&h, wrong[i]), FT_EINVAL);
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(help_chain_command(&h, unknown[i]), FT_ENOENT);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), i < 2 ? EF : NONE);
    assert_int_equal(help_chain_command(&h, "clear policer bulk"), FT_OK);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), NONE);
    assert_int_equal(help_chain_command(&h, "clear policer voice"), FT_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), i < 2 ? EF : NONE);
    assert_int_equal(help_chain_command(&h, "set policer voice.rate=1000"), FT_OK);
    assert_int_equal(help_chain_command(&h, "set policer voice.burst=4"), FT_OK);
    help_chain_wait_ms(&h, 100);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), i < 4 ? EF : NONE);
    assert_int_equal(help_chain_command(&h, "clear policer"), FT_OK);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, EF), EF);
}

/* What is left in the bucket of a class, and what was counted of it, stay with its name and its unit. */
CHAIN_TEST(the_file_changes_under_buckets)
{
    struct ft_fault fault = {""};

    help_chain_begin(&h, POLICER,
                     "class a dscp 1 rate 1 pps burst 2\nclass b dscp 2 rate 1 pps burst 2\n"
                     "class c dscp 3 rate 1 pps burst 2\n");
    for (unsigned i = 0; i < 3; i++)
        for (unsigned dscp = 1; dscp <= 3; dscp++)
            assert_int_equal(send_ipv4(NF_INSIDE, FRAME, dscp), i < 2 ? dscp : NONE);
    assert_int_equal(help_chain_command(&h, "set policer b.rate=10"), FT_OK);
    assert_int_equal(
        help_change(&h, POLICER,
                    "class c dscp 3 rate 1000000 bps burst 73728\nclass d dscp 4 rate 1 pps burst 1\n"
                    "class b dscp 2 rate 1 pps burst 5\n",
                    &fault),
        0);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 1), 1); /* of no class any more */
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 2), NONE);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 3), 3);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 4), 4);
    assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 4), NONE);
    help_chain_has(&h, "policer",
                   "\"class\":\"b\",\"unit\":\"pps\",\"rate\":10,\"burst\":5,\"peak\":0,\"peak_burst\":0,"
                   "\"conformed\":2,\"exceeded\":2,");
    help_chain_wait_ms(&h, 1000);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(send_ipv4(NF_INSIDE, FRAME, 2), i < 5 ? 2 : NONE);
}

static void refused(const char *text, const char *expected)
{
    help_chain_refuses_rules(POLICER, text, expected);
}

CHAIN_TEST(bad_files_are_refused)
{
    help_chain_begin(&h, POLICER, "class a dscp 1 rate 1 pps burst 2\n");
    refused("", "no class, expected at least one");
    refused("class a dscp 1 rate 0 pps burst 1\n", "'0', expected a rate, 1 to 1000000000000");
    refused("class a dscp 1 rate 1 kbps burst 1\n", "'kbps', expected bps or pps");
    refused("class a dscp 1 rate 1 bps burst 1\n", "'1', expected bits, 73728 (one frame) to");
    refused("class a dscp 1 rate 9 pps burst 1 peak 8 burst 1\n", "'peak 8', expected a peak of at least");
    refused("class a dscp 1 rate 9 pps burst 1 violate drop\n",
            "'violate', expected peak, exceed or the end");
    refused("class a dscp 1 rate 9 pps burst 1 exceed pass\n", "'pass', expected drop or dscp");
    refused("class a dscp 1 rate 9 pps burst 1\nclass a dscp 2 rate 9 pps burst 1\n",
            ":2: 'a', expected a name that no class before has");
}

CHAIN_TEST(captures_have_the_packets_that_tshark_counts)
{
    static const char fits[] = "class four dscp 4 rate 1000000 pps burst 1000000\n"
                               "class eight dscp cs1,cs6 rate 1000000 pps burst 1000000 exceed dscp 0\n";
    static const char tight[] = "class all dscp any rate 20 pps burst 10 peak 50 burst 20 exceed dscp 1\n";

    help_captures_or_skip();
    help_chain_begin(&h, POLICER, fits);
    if (help_chain_same(&h, "ftp-bruteforce.pcap", false)) {
        help_chain_counts(&h, "policer: conformed 516, other 90");
    }
    if (help_chain_same(&h, "mixed.pcap", false))
        help_chain_counts(&h, "policer: conformed 57");
    help_chain_begin(&h, POLICER, tight);
    if (help_chain_same(&h, "gnutella.pcap", false))
        assert_true(help_chain_counter(&h, "policer", "conformed") > 100 &&
                    help_chain_counter(&h, "policer", "exceeded") > 100 &&
                    help_chain_counter(&h, "policer", "violated") > 100);
    help_chain_same(&h, "badpackets.pcap", false);
}
