/* SPDX-License-Identifier: Apache-2.0 */
/* What the NAT does to packets that are not plain: ICMP echo and errors, fragments, tags, options, strangers.
 */
#include "tests/help/chain.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define OUTSIDE   NFT_IP(203, 0, 113, 1)
#define HOST      NFT_IP(10, 1, 2, 3)
#define REMOTE    NFT_IP(198, 51, 100, 7)
#define OTHER     NFT_IP(198, 51, 100, 8)
#define NAT(more) "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1" more " }\n"

static struct help_chain h;

static uint64_t counter(const char *name)
{
    return help_chain_counter(&h, "nat", name);
}
static uint64_t live(void)
{
    return counter("mappings_created") - counter("mappings_expired");
}

static bool out_udp(uint16_t sport, uint16_t *port)
{
    struct nft_seen s;
    struct nft_spec spec = {
        .src = HOST, .dst = REMOTE, .sport = sport, .dport = 53, .proto = 17, .payload = 9};
    bool passed = help_chain_spec(&h, NF_INSIDE, &spec, &s);
    if (port)
        *port = s.sport;
    return passed;
}

static void a_ping_is_translated_by_its_identifier(void)
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
    assert_int_equal(counter("own_echo"), 1);
    help_chain_wait_tenths(&h, 600);
    assert_int_equal(live(), 0);
}

/* Host unreachable from a router on the way, quoting what left here: for the host it quotes its own packet.
 */
static void an_error_from_outside_reaches_the_host_it_is_about(void)
{
    uint8_t sent[NFT_FRAME_MAX], error[NFT_FRAME_MAX];
    struct nft_seen s;
    static const uint8_t protos[] = {6, 17, 1};
    for (unsigned i = 0; i < 3; i++) {
        struct nft_spec spec = {.src = HOST,
                                .dst = REMOTE,
                                .sport = 500,
                                .dport = 80,
                                .proto = protos[i],
                                .tcp = NFT_SYN,
                                .type = 8,
                                .payload = 30};
        uint32_t len = nft_frame(&spec, sent);
        assert_false(help_chain_send(&h, NF_INSIDE, sent, len).drop);
        nft_see(sent, len, &s);
        for (unsigned whole = 0; whole < 2; whole++) {
            struct nft_spec e = {.src = OTHER,
                                 .dst = OUTSIDE,
                                 .proto = 1,
                                 .type = 3,
                                 .code = 1,
                                 .inner = sent + s.l3,
                                 .inner_len = (uint16_t)(whole ? s.end - s.l3 : 28)};
            uint32_t elen = nft_frame(&e, error);
            assert_false(help_chain_send(&h, NF_OUTSIDE, error, elen).drop);
            assert_null(nft_checksums(error, elen));
            struct nft_seen outer, quoted;
            nft_see(error, elen, &outer);
            assert_int_equal(outer.dst, HOST);
            assert_int_equal(outer.src, OTHER);
            /* The quoted packet, put behind an Ethernet header, is the one the host sent. */
            uint8_t inner[NFT_FRAME_MAX] = {[12] = 8};
            memcpy(inner + 14, error + outer.l4 + 8, elen - outer.l4 - 8);
            nft_see(inner, 14 + elen - outer.l4 - 8, &quoted);
            assert_int_equal(quoted.src, HOST);
            assert_int_equal(quoted.dst, REMOTE);
            assert_int_equal(quoted.sport, 500);
        }
    }
    assert_int_equal(counter("icmp_errors_translated"), 6);
}

/* Errors that quote what never left, or came from another remote end, do not come in. */
static void an_error_about_nothing_known_is_dropped(void)
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
    assert_int_equal(counter("wrong_remote"), 1);
    quoted.dst = REMOTE;
    quoted.sport = (uint16_t)(port + 1);
    nft_frame(&quoted, inner);
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &error, NULL));
    assert_int_equal(counter("no_mapping"), 1);
    error.src = HOST;
    error.dst = REMOTE;
    assert_false(help_chain_spec(&h, NF_INSIDE, &error, NULL));
    assert_int_equal(counter("no_mapping"), 2);
}

/* Port unreachable from the host about a reply that came in: outside it must quote the outside address. */
static void an_error_from_inside_is_translated_in_its_quote(void)
{
    uint8_t reply[NFT_FRAME_MAX], error[NFT_FRAME_MAX];
    uint16_t port;
    struct nft_seen s, outer, quoted;
    assert_true(out_udp(500, &port));
    struct nft_spec spec = {
        .src = REMOTE, .dst = OUTSIDE, .sport = 53, .dport = port, .proto = 17, .payload = 40};
    uint32_t len = nft_frame(&spec, reply);
    assert_false(help_chain_send(&h, NF_OUTSIDE, reply, len).drop);
    nft_see(reply, len, &s);
    assert_int_equal(s.dst, HOST);
    struct nft_spec e = {.src = HOST,
                         .dst = REMOTE,
                         .proto = 1,
                         .type = 3,
                         .code = 3,
                         .inner = reply + s.l3,
                         .inner_len = (uint16_t)(s.end - s.l3)};
    uint32_t elen = nft_frame(&e, error);
    assert_false(help_chain_send(&h, NF_INSIDE, error, elen).drop);
    assert_null(nft_checksums(error, elen));
    nft_see(error, elen, &outer);
    assert_int_equal(outer.src, OUTSIDE);
    assert_int_equal(outer.dst, REMOTE);
    uint8_t inner[NFT_FRAME_MAX] = {[12] = 8};
    memcpy(inner + 14, error + outer.l4 + 8, elen - outer.l4 - 8);
    nft_see(inner, 14 + elen - outer.l4 - 8, &quoted);
    assert_int_equal(quoted.dst, OUTSIDE);
    assert_int_equal(quoted.dport, port);
    assert_int_equal(quoted.src, REMOTE);
    assert_int_equal(quoted.sport, 53);
}

static void fragments_go_with_their_first(void)
{
    struct nft_seen s;
    struct nft_spec first = {.src = HOST,
                             .dst = REMOTE,
                             .sport = 9,
                             .dport = 53,
                             .proto = 17,
                             .ip_id = 77,
                             .fragment = NFT_MORE,
                             .payload = 40};
    struct nft_spec later = first;
    later.fragment = 6;
    assert_false(help_chain_spec(&h, NF_INSIDE, &later, NULL)); /* overtook its first one */
    assert_int_equal(counter("fragment_unknown"), 1);
    assert_true(help_chain_spec(&h, NF_INSIDE, &first, &s));
    uint16_t port = s.sport;
    assert_true(help_chain_spec(&h, NF_INSIDE, &later, &s));
    assert_int_equal(s.src, OUTSIDE);
    assert_int_equal(s.fragment, 6);
    /* The answer comes in fragments too, in the same way and with an identification of its own. */
    struct nft_spec back = {.src = REMOTE,
                            .dst = OUTSIDE,
                            .sport = 53,
                            .dport = port,
                            .proto = 17,
                            .ip_id = 78,
                            .fragment = NFT_MORE,
                            .payload = 40};
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &back, &s));
    assert_int_equal(s.dport, 9);
    back.fragment = NFT_MORE | 6;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &back, &s));
    assert_int_equal(s.dst, HOST);
    back.ip_id = 79;
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &back, &s));
    help_chain_wait_tenths(&h, 299);
    back.ip_id = 78;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &back, &s));
    help_chain_wait_tenths(&h, 1); /* 30 s after the first one */
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &back, &s));
    assert_false(help_chain_spec(&h, NF_INSIDE, &later, &s));
}

static void packets_with_tags_and_options_are_translated_too(void)
{
    for (uint8_t tags = 0; tags <= 2; tags++)
        for (uint8_t options = 0; options <= 10; options += 5) {
            struct nft_seen s;
            struct nft_spec spec = {.src = HOST,
                                    .dst = REMOTE,
                                    .sport = 9,
                                    .dport = 80,
                                    .proto = 6,
                                    .tcp = NFT_SYN,
                                    .tags = tags,
                                    .options = options,
                                    .payload = 11};
            assert_true(help_chain_spec(&h, NF_INSIDE, &spec, &s));
            assert_int_equal(s.src, OUTSIDE);
            assert_int_equal(s.l3, 14 + 4 * tags);
        }
    assert_int_equal(live(), 1);
}

static void other_packets_pass_or_are_dropped_by_reason(void)
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
    assert_int_equal(counter("unsupported"), 2);
    assert_false(help_chain_send(&h, NF_INSIDE, arp, sizeof(arp)).drop);
    assert_false(help_chain_spec(&h, NF_INSIDE, &stranger, NULL));
    assert_int_equal(counter("not_inside"), 1);
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &passing, &s));
    assert_int_equal(s.dst, OTHER);
    assert_int_equal(counter("not_ours"), 1);
    assert_false(help_chain_spec(&h, NF_INSIDE, &hairpin, NULL));
    assert_int_equal(counter("hairpin"), 1);
    uint32_t len = nft_frame(&hairpin, frame);
    frame[14 + 10] ^= 1;
    assert_true(help_chain_send(&h, NF_INSIDE, frame, len).drop);
    assert_int_equal(counter("malformed"), 1);
    help_chain_close(&h);
    help_chain_open(&h, NAT(", unsupported: pass"), NULL, 1);
    assert_false(help_chain_spec(&h, NF_INSIDE, &gre, &s));
    assert_true(help_chain_spec(&h, NF_INSIDE, &stranger, &s));
    assert_int_equal(s.src, OTHER);
    assert_int_equal(counter("not_inside"), 1);
}

static void open_nat(void)
{
    help_chain_open(&h, NAT(", ports: 1024-1033, max_flows: 16"), NULL, 1);
    h.now = HELP_SECOND;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(a_ping_is_translated_by_its_identifier),
        HELP_CASE(an_error_from_outside_reaches_the_host_it_is_about),
        HELP_CASE(an_error_about_nothing_known_is_dropped),
        HELP_CASE(an_error_from_inside_is_translated_in_its_quote),
        HELP_CASE(fragments_go_with_their_first),
        HELP_CASE(packets_with_tags_and_options_are_translated_too),
        HELP_CASE(other_packets_pass_or_are_dropped_by_reason),
    };

    help_chain_before = open_nat;
    return cmocka_run_group_tests_name("nat packets", tests, NULL, NULL);
}
