/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nat does with what is not its own: IPv6 passes byte by byte, and nothing of IPv4 leaves with the
 * address of a host inside, whatever `unsupported` says.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define NAT(more) "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1" more " }\n"

static struct help_chain h;

/* True: it passed, and no byte of it was changed. */
static bool passes(uint8_t side, const uint8_t *frame, uint32_t len)
{
    uint8_t copy[SIX_MAX];
    struct nf_packet p = {.data = copy, .len = len, .have = len, .side = side, .in_port = side};

    memcpy(copy, frame, len);
    help_chain_run(&h, h.now + 1, &p, 1);
    assert_true(p.drop || (p.len == len && memcmp(p.data, frame, len) == 0));
    return !p.drop;
}

static bool passes_ipv6(uint8_t side, uint8_t proto, uint16_t fragment)
{
    struct six s = SIX(proto, side == NF_INSIDE ? "2001:db8::c" : "2001:db8:1::5", 5000,
                       side == NF_INSIDE ? "2001:db8:1::5" : "2001:db8::c", 443, .type = 128, .tcp = NFT_SYN,
                       .fragment = fragment, .payload = 40);
    uint8_t frame[SIX_MAX];

    return passes(side, frame, six_frame(&s, frame));
}

/* Of a protocol without ports, GRE, or of ICMP a type that nobody answers by its identifier. */
static bool passes_ipv4(uint8_t side, uint8_t proto, const char *from, const char *to)
{
    struct six s = {.from = from, .to = to, .proto = proto, .type = 13, .payload = 40};
    uint8_t frame[SIX_MAX];

    return passes(side, frame, six_frame(&s, frame));
}

static bool passes_other(uint8_t side)
{
    uint8_t frame[64] = {1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc}; /* LLDP */

    return passes(side, frame, sizeof(frame));
}

static void ipv6_passes(const char *nat)
{
    static const uint8_t protos[] = {6, 17, 58, 47};

    help_chain_open(&h, nat, NULL, 1);
    for (unsigned i = 0; i < 4; i++)
        for (uint8_t side = 0; side < 2; side++) {
            assert_true(passes_ipv6(side, protos[i], 0));
            assert_true(passes_ipv6(side, protos[i], 0x2000) && passes_ipv6(side, protos[i], 6));
        }
    help_chain_counts(&h, "nat: ipv6 24, unsupported 0");
}

CHAIN_TEST(ipv6_is_left_alone)
{
    ipv6_passes(NAT(""));
    ipv6_passes(NAT(", unsupported: pass"));
    ipv6_passes(NAT(", unsupported: by_address"));
}

CHAIN_TEST(nothing_leaves_as_it_is_by_default)
{
    help_chain_open(&h, NAT(""), NULL, 1);
    assert_false(passes_ipv4(NF_INSIDE, 47, "10.0.0.5", "198.51.100.7"));
    assert_false(passes_ipv4(NF_INSIDE, 1, "10.0.0.5", "198.51.100.7"));
    assert_false(passes_ipv4(NF_OUTSIDE, 47, "198.51.100.7", "203.0.113.1"));
    assert_false(passes_other(NF_INSIDE) || passes_other(NF_OUTSIDE));
    help_chain_counts(&h, "nat: unsupported 5");
}

CHAIN_TEST(pass_lets_no_address_inside_out)
{
    help_chain_open(&h, NAT(", unsupported: pass"), NULL, 1);
    assert_false(passes_ipv4(NF_INSIDE, 47, "10.0.0.5", "198.51.100.7"));
    assert_false(passes_ipv4(NF_INSIDE, 50, "10.0.0.5", "203.0.113.1"));
    assert_false(passes_ipv4(NF_INSIDE, 41, "10.0.0.5", "198.51.100.7"));
    assert_false(passes_ipv4(NF_INSIDE, 1, "10.0.0.5", "198.51.100.7"));
    help_chain_counts(&h, "nat: unsupported 4");
    assert_true(passes_ipv4(NF_INSIDE, 47, "192.0.2.5", "198.51.100.7")); /* of no network of `inside` */
    assert_true(passes_ipv4(NF_OUTSIDE, 47, "198.51.100.7", "203.0.113.1"));
    assert_true(passes_other(NF_INSIDE) && passes_other(NF_OUTSIDE));
    help_chain_counts(&h, "nat: unsupported 8");
}

/* A flow goes out translated. What comes to the host's own address as if in answer to it is dropped under its
 * word, also where NFs outside of the NAT see it first; what comes there else is none of the NAT's. */
static void answers_to_the_inside_address_are_dropped(const char *chain, uint8_t proto)
{
    struct six out = {.from = "10.0.0.5", .to = "198.51.100.7", .proto = proto, .sport = 5000, .dport = 443};
    struct six aside = SIX(proto, "198.51.100.7", 443, "10.0.0.5", 5000);
    uint8_t frame[SIX_MAX];
    struct six_seen seen;

    help_chain_open(&h, chain, NULL, 1);
    out.type = 8;
    out.tcp = NFT_SYN;
    aside.tcp = NFT_SYN | NFT_ACK;
    if (proto == 1)
        aside.sport = aside.dport = 5000;
    h.now++;
    assert_true(help_chain_six(&h, NF_INSIDE, &out, &seen));
    assert_false(passes(NF_OUTSIDE, frame, six_frame(&aside, frame)));
    help_chain_counts(&h, "nat: to_inside 1");
    aside.from = "198.51.100.8";
    assert_true(passes(NF_OUTSIDE, frame, six_frame(&aside, frame)));
    help_chain_counts(&h, "nat: not_ours 1");
    aside.from = "198.51.100.7"; /* and the right way */
    aside.to = "203.0.113.1";
    aside.dport = seen.sport;
    aside.sport = proto == 1 ? seen.sport : 443;
    h.now++;
    assert_true(help_chain_six(&h, NF_OUTSIDE, &aside, &seen));
    assert_string_equal(seen.to, "10.0.0.5");
}

CHAIN_TEST(answers_that_go_past_the_nat)
{
    static const uint8_t protos[] = {6, 17, 1};

    for (unsigned i = 0; i < 3; i++) {
        answers_to_the_inside_address_are_dropped(NAT(""), protos[i]);
        answers_to_the_inside_address_are_dropped(NAT("") "    - monitor: {}\n", protos[i]);
    }
}
