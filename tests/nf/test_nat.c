/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's mappings, case by case: limits, settings, packets that are not plain. */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define OUTSIDE   NFT_IP(203, 0, 113, 1)
#define HOST      NFT_IP(10, 1, 2, 3)
#define REMOTE    NFT_IP(198, 51, 100, 7)
#define OTHER     NFT_IP(198, 51, 100, 8)
#define NAT(more) "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1" more " }\n"

static struct help_chain h;

static uint64_t live(void)
{
    return help_chain_counter(&h, "nat", "mappings_created") -
           help_chain_counter(&h, "nat", "mappings_expired");
}

/* HOST:sport to REMOTE:80 and back; the outside port comes from the first packet. */
static bool out_tcp(uint16_t sport, uint8_t flags, uint16_t *port)
{
    struct nft_seen s;
    struct nft_spec spec = HELP_PACKET(6, HOST, sport, REMOTE, 80, .tcp = flags, .payload = 3);
    bool passed = help_chain_spec(&h, NF_INSIDE, &spec, &s);
    if (port)
        *port = s.sport;
    return passed;
}

static bool out_udp(uint16_t sport, uint16_t *port)
{
    struct nft_seen s;
    struct nft_spec spec = HELP_PACKET(17, HOST, sport, REMOTE, 53, .payload = 9);
    bool passed = help_chain_spec(&h, NF_INSIDE, &spec, &s);
    if (port)
        *port = s.sport;
    return passed;
}

CHAIN_TEST(a_full_table_takes_no_new_mapping)
{
    for (uint16_t i = 0; i < 10; i++)
        assert_true(out_udp(100 + i, NULL));
    for (uint16_t i = 0; i < 6; i++)
        assert_true(out_tcp(100 + i, NFT_SYN, NULL));
    assert_false(out_tcp(106, NFT_SYN, NULL));
    help_chain_counts(&h, "nat: table_full 1");
    assert_true(out_tcp(103, NFT_SYN, NULL));
    assert_true(out_udp(103, NULL));
    help_chain_wait_tenths(&h, 3000);
    for (uint16_t i = 0; i < 10; i++) /* no port was lost to what was refused */
        assert_true(out_tcp(200 + i, NFT_SYN, NULL));
}

CHAIN_TEST(commands_change_timeouts_and_clear_mappings)
{
    char command[64];
    uint16_t port;
    assert_true(out_udp(1, &port));
    assert_true(out_udp(2, NULL));
    assert_true(out_tcp(3, NFT_SYN, NULL));
    assert_int_equal(help_chain_rows(&h, "nat"), 3);
    help_chain_has(&h, "nat", "\"inside\":\"10.1.2.3:1\"");
    help_chain_has(&h, "nat", "\"remote\":\"198.51.100.7:80\",\"state\":\"syn-sent\"");
    snprintf(command, sizeof(command), "clear nat udp/%u", port);
    assert_int_equal(help_chain_command(&h, command), FT_OK);
    assert_int_equal(help_chain_command(&h, command), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "clear nat sctp/1024"), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "clear nat udp/99999"), FT_ENOENT);
    assert_int_equal(help_chain_rows(&h, "nat"), 2);
    assert_int_equal(help_chain_command(&h, "set nat udp=2"), FT_OK); /* for mappings that are there, too */
    assert_int_equal(help_chain_command(&h, "set nat udp=0"), FT_EINVAL);
    assert_int_equal(help_chain_command(&h, "set nat udp=2x"), FT_EINVAL);
    assert_int_equal(help_chain_command(&h, "set nat other=2"), FT_ENOENT);
    help_chain_wait_tenths(&h, 19);
    help_chain_counts(&h, "nat: mappings_expired 0");
    help_chain_wait_tenths(&h, 1);
    help_chain_counts(&h, "nat: mappings_expired 1");
    assert_int_equal(help_chain_command(&h, "clear nat"), FT_OK);
    assert_int_equal(help_chain_rows(&h, "nat"), 0);
    for (uint16_t i = 0; i < 10; i++) /* every port is free again */
        assert_true(out_udp(100 + i, NULL));
}

/* Somebody outside has pinged the outside address with the identifier that the NAT has left for a ping to
 * him: his answers could not be told from those to that ping. The identifier is given back. */
CHAIN_TEST(a_ping_whose_answers_would_be_anothers_is_a_conflict)
{
    struct nft_spec in = {.src = REMOTE, .dst = OUTSIDE, .sport = 1024, .proto = 1, .type = 8, .payload = 8};
    struct nft_spec out = {.src = HOST, .dst = REMOTE, .sport = 77, .proto = 1, .type = 8, .payload = 8};

    help_chain_open(&h, NAT(", ports: 1024-1024") "    - monitor: {}\n", NULL, 1);
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &in, NULL));
    for (unsigned i = 1; i <= 3; i++) {
        assert_false(help_chain_spec(&h, NF_INSIDE, &out, NULL));
        help_chain_counts(&h, "nat: conflict %u", i);
    }
    help_chain_counts(&h, "nat: ports_exhausted 0");
    out.dst = OTHER;
    assert_true(help_chain_spec(&h, NF_INSIDE, &out, NULL));
}

static void open_nat(void)
{
    help_chain_begin(&h, NAT(", ports: 1024-1033, max_flows: 16"), NULL);
}

/* What the NAT does to packets that are not plain: ICMP echo and errors, fragments, tags, options, strangers.
 */

CHAIN_TEST(a_ping_is_translated_by_its_identifier)
{
    struct nft_seen s;
    struct nft_spec ping = {.src = HOST, .dst = REMOTE, .sport = 77, .proto = 1, .type = 8, .payload = 56};
    struct nft_spec pong = {.src = REMOTE, .dst = OUTSIDE, .proto = 1, .type = 0, .payload = 56};
    assert_true(help_chain_spec(&h, NF_INSIDE, &ping, &s));
    assert_int_equal(s.src, OUTSIDE);
    pong.sport = s.sport;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &pong, &s));
    assert_int_equal(s.dst, HOST);
    assert_int_equal(s.sport, 77);
    pong.src = OTHER;
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &pong, &s));
    /* A ping of the outside address is the chain's own to answer, mapped identifier or not. */
    pong.type = 8;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &pong, &s));
    assert_int_equal(s.dst, OUTSIDE);
    help_chain_counts(&h, "nat: own_echo 1");
    help_chain_wait_tenths(&h, 600);
    assert_int_equal(live(), 0);
}

/* Errors that quote what never left, or came from another remote end, do not come in. */
CHAIN_TEST(an_error_about_nothing_known_is_dropped)
{
    uint8_t inner[NFT_FRAME_MAX];
    uint16_t port;
    assert_true(out_udp(500, &port));
    struct nft_spec quoted = {.src = OUTSIDE, .dst = OTHER, .sport = port, .dport = 53, .proto = 17};
    struct nft_spec error = {.src = OTHER, .dst = OUTSIDE, .proto = 1, .type = 3, .code = 3};
    nft_frame(&quoted, inner);
    error.inner = inner + 14;
    error.inner_len = 28;
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &error, NULL));
    help_chain_counts(&h, "nat: wrong_remote 1");
    quoted.dst = REMOTE;
    quoted.sport = (uint16_t)(port + 1);
    nft_frame(&quoted, inner);
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &error, NULL));
    help_chain_counts(&h, "nat: no_mapping 1");
    error.src = HOST;
    error.dst = REMOTE;
    assert_false(help_chain_spec(&h, NF_INSIDE, &error, NULL));
    help_chain_counts(&h, "nat: no_mapping 2");
}

/* An IPv4 packet, sent in fragments of 256 bytes, in one burst or each in its own; as the receiver puts what
 * came together again. */
static void send_in_fragments(uint8_t side, const uint8_t *whole, uint32_t len, bool burst, uint8_t *out)
{
    static uint8_t frames[8][14 + 20 + 256 + 64];
    struct nf_packet packets[8];
    uint32_t n = 0;

    for (uint32_t at = 34; at < len; at += 256, n++) {
        uint32_t bytes = len - at < 256 ? len - at : 256;
        uint16_t sum;

        memcpy(frames[n], whole, 34);
        memcpy(frames[n] + 34, whole + at, bytes);
        help_put16(frames[n] + 16, (uint16_t)(20 + bytes));
        help_put16(frames[n] + 20, (uint16_t)((at + bytes < len ? 0x2000 : 0) | (at - 34) / 8));
        memset(frames[n] + 24, 0, 2);
        sum = nf_checksum(frames[n] + 14, 20);
        memcpy(frames[n] + 24, &sum, 2);
        packets[n] =
            (struct nf_packet){.data = frames[n], .len = 34 + bytes, .have = 34 + bytes, .side = side};
    }
    for (uint32_t i = 0; i < n && !burst; i++)
        help_chain_run(&h, h.now, packets + i, 1);
    if (burst)
        help_chain_run(&h, h.now, packets, n);
    memcpy(out, whole, 34);
    for (uint32_t i = 0, at = 34; i < n; at += packets[i++].len - 34) {
        assert_int_equal(packets[i].drop, 0);
        assert_memory_equal(packets[i].data + 26, packets[0].data + 26, 8);
        memcpy(out + at, packets[i].data + 34, packets[i].len - 34);
    }
    memcpy(out + 26, packets[0].data + 26, 8);
    memset(out + 24, 0, 2);
    memcpy(out + 24, (uint16_t[]){nf_checksum(out + 14, 20)}, 2);
}

/* A router that quotes 600 bytes where 256 pass; both ways, and for the flow's time as if it came whole. */
CHAIN_TEST(an_error_in_fragments_comes_whole)
{
    static uint8_t inner[SIX_MAX], frame[SIX_MAX], out[SIX_MAX];
    struct six ask = SIX(17, "10.1.2.3", 9, "198.51.100.7", 53, .payload = 600);
    struct six_seen seen, quoted;
    struct six error = {.from = "198.51.100.1", .to = "203.0.113.1", .proto = 1, .type = 3, .code = 3};

    for (unsigned i = 0; i < 4; i++) {
        bool back = i > 1;

        assert_true(help_chain_six(&h, NF_INSIDE, &ask, &seen));
        if (back) { /* the host's, about an answer */
            struct six answer = SIX(17, ask.to, 53, "203.0.113.1", seen.sport, .payload = 600);

            six_frame(&answer, frame);
            memcpy(inner, help_chain_send(&h, NF_OUTSIDE, frame, 14 + 28 + 600).data, 14 + 28 + 600);
            error.from = ask.from;
            error.to = ask.to;
        } else {
            struct six left = ask;

            left.from = "203.0.113.1";
            left.sport = seen.sport;
            six_frame(&left, inner);
        }
        error.inner = inner + 14;
        error.inner_len = 600;
        error.id = i + 1;
        send_in_fragments(back ? NF_INSIDE : NF_OUTSIDE, frame, six_frame(&error, frame), i % 2, out);
        assert_true(six_see(out, 14 + 28 + 600, &seen));
        assert_null(seen.wrong);
        assert_string_equal(seen.to, back ? ask.to : ask.from);
        assert_true(six_see_quoted(out, &seen, &quoted));
        assert_string_equal(back ? quoted.to : quoted.from, back ? "203.0.113.1" : ask.from);
    }
    help_chain_counts(&h, "nat: fragment_unknown 0, icmp_errors_translated 4");
}

CHAIN_TEST(packets_with_tags_and_options_are_translated_too)
{
    for (uint8_t tags = 0; tags <= 2; tags++)
        for (uint8_t options = 0; options <= 10; options += 5) {
            struct nft_seen s;
            struct nft_spec spec = HELP_PACKET(6, HOST, 9, REMOTE, 80, .tcp = NFT_SYN, .tags = tags,
                                               .options = options, .payload = 11);
            assert_true(help_chain_spec(&h, NF_INSIDE, &spec, &s));
            assert_int_equal(s.src, OUTSIDE);
            assert_int_equal(s.l3, 14 + 4 * tags);
        }
    assert_int_equal(live(), 1);
}

CHAIN_TEST(other_packets_pass_or_are_dropped_by_reason)
{
    struct nft_seen s;
    struct nft_spec gre = {.src = HOST, .dst = REMOTE, .proto = 47, .payload = 40};
    struct nft_spec stranger = {.src = OTHER, .dst = REMOTE, .sport = 5, .dport = 6, .proto = 17};
    struct nft_spec passing = {.src = REMOTE, .dst = OTHER, .sport = 5, .dport = 6, .proto = 17};
    struct nft_spec hairpin = {.src = HOST, .dst = OUTSIDE, .sport = 5, .dport = 6, .proto = 17};
    uint8_t frame[NFT_FRAME_MAX] = {[12] = 0x88, [13] = 0xcc},
            arp[42] = {[12] = 8, [13] = 6, 0, 1, 8, 0, 6, 4};
    assert_false(help_chain_spec(&h, NF_INSIDE, &gre, NULL));
    assert_true(help_chain_send(&h, NF_INSIDE, frame, 64).drop);
    help_chain_counts(&h, "nat: unsupported 2");
    assert_false(help_chain_send(&h, NF_INSIDE, arp, sizeof(arp)).drop);
    assert_false(help_chain_spec(&h, NF_INSIDE, &stranger, NULL));
    help_chain_counts(&h, "nat: not_inside 1");
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &passing, &s));
    assert_int_equal(s.dst, OTHER);
    help_chain_counts(&h, "nat: not_ours 1");
    assert_false(help_chain_spec(&h, NF_INSIDE, &hairpin, NULL));
    help_chain_counts(&h, "nat: hairpin 1");
    uint32_t len = nft_frame(&hairpin, frame);
    frame[14 + 10] ^= 1;
    assert_true(help_chain_send(&h, NF_INSIDE, frame, len).drop);
    help_chain_counts(&h, "nat: malformed 1");
    help_chain_open(&h, NAT(", unsupported: pass"), NULL, 1);
    assert_false(help_chain_spec(&h, NF_INSIDE, &gre, &s));
    assert_true(help_chain_spec(&h, NF_INSIDE, &stranger, &s));
    assert_int_equal(s.src, OTHER);
    help_chain_counts(&h, "nat: not_inside 1");
}

CHAIN_BEGINS(open_nat)
