/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which ICMP errors are about a flow: those that go to the source of the packet that they quote (RFC 792;
 * RFC 4443, 3.1). One that quotes a flow's packet and goes to anybody else is about nothing, for every NF, of
 * either family, both ways.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define RULES                                                                                                \
    "allow in tcp to 10.0.0.80 port 80\nallow in tcp to 2001:db8:1::80 port 80\nallow out udp to any port "  \
    "53\nallow in icmp to 10.0.0.77\ndefault deny\n"
#define WALL "    - firewall: { rules: firewall.rules, ipv6: true }\n"

static struct help_chain h;
static struct six_seen seen, quoted;

static bool pass(uint8_t side, const struct six *s)
{
    return help_chain_six(&h, side, s, &seen);
}

/* An error from `from` to `to` that quotes `about`, and `more` bytes of it. */
static bool error(uint8_t side, const char *from, const char *to, uint8_t type, const struct six *about,
                  uint32_t more)
{
    return help_chain_error(&h, side, &SIX(six_is_ipv6(about) ? 58 : 1, from, 0, to, 0, .type = type), about,
                            more, &seen, &quoted);
}

/* ---- firewall ---- */

struct family {
    bool ipv6;
    const char *server, *other, *client, *router;
    uint8_t types[5]; /* of errors */
    unsigned n;
};
static const struct family families[] = {
    {false, "10.0.0.80", "10.0.0.99", "198.51.100.66", "192.0.2.250", {3, 4, 5, 11, 12}, 5},
    {true, "2001:db8:1::80", "2001:db8:1::99", "2001:db8:66::66", "2001:db8:2::1", {1, 2, 3, 4}, 4},
};

CHAIN_TEST(what_a_firewall_lets_pass_is_addressed_to_the_sender)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct family *f = &families[i];
        struct six asked = SIX(6, f->client, 1111, f->server, 80, .tcp = NFT_SYN, .payload = 600);
        struct six answered =
            SIX(6, f->server, 80, f->client, 1111, .tcp = NFT_SYN | NFT_ACK, .payload = 600);
        uint64_t related = 0;

        help_chain_open(&h, WALL, RULES, 1);
        assert_true(pass(NF_OUTSIDE, &asked));
        assert_true(pass(NF_INSIDE, &answered));
        for (unsigned t = 0; t < f->n; t++)
            for (uint32_t more = 0; more <= 280; more += 280) {
                /* From the peer and from a router on the way; a redirect as the others. */
                assert_true(error(NF_OUTSIDE, f->client, f->server, f->types[t], &answered, more));
                assert_true(error(NF_OUTSIDE, f->router, f->server, f->types[t], &answered, more));
                assert_true(error(NF_INSIDE, f->server, f->client, f->types[t], &asked, more));
                assert_true(error(NF_INSIDE, f->other, f->client, f->types[t], &asked, more));
                related += 4;
                assert_false(error(NF_OUTSIDE, f->client, f->other, f->types[t], &answered, more));
                assert_false(error(NF_OUTSIDE, f->router, f->other, f->types[t], &answered, more));
                assert_false(error(NF_INSIDE, f->server, f->router, f->types[t], &asked, more));
                assert_false(error(NF_INSIDE, f->other, f->router, f->types[t], &asked, more));
                /* About a packet that went the same way as the error. */
                assert_false(error(NF_OUTSIDE, f->client, f->server, f->types[t], &asked, more));
            }
        help_chain_counts(&h, "firewall: related %lu", related);
    }
}

/* GRE, ESP, AH, SCTP, UDP-Lite: whoever sends them has to learn the path's MTU. */
CHAIN_TEST(what_has_no_ports_has_errors_too)
{
    static const uint8_t protos[] = {47, 50, 51, 132, 136};

    for (unsigned i = 0; i < 2 * sizeof(protos); i++) {
        const struct family *f = &families[i % 2];
        struct six sent = SIX(protos[i / 2], f->server, 1111, f->client, 80, .payload = 600);
        uint8_t type = f->ipv6 ? 2 : 3;

        help_chain_open(&h, WALL, "default allow out\ndefault deny in\n", 1);
        assert_false(error(NF_OUTSIDE, f->router, f->server, type, &sent, 0));
        assert_true(pass(NF_INSIDE, &sent));
        assert_true(error(NF_OUTSIDE, f->router, f->server, type, &sent, 0));
        assert_false(error(NF_OUTSIDE, f->router, f->other, type, &sent, 0));
        help_chain_counts(&h, "firewall: related 1");
    }
}

/* Rules judge it as any other packet. */
CHAIN_TEST(a_rule_may_let_another_pass)
{
    struct six asked = SIX(17, "10.0.0.80", 9, "198.51.100.66", 53, .payload = 30);

    help_chain_open(&h, WALL, RULES, 1);
    assert_true(pass(NF_INSIDE, &asked));
    assert_true(error(NF_OUTSIDE, "192.0.2.250", "10.0.0.77", 11, &asked, 0));
    help_chain_counts(&h, "firewall: related 0, allowed 2");
}

/* ---- NFs that translate ---- */

#define NAT "    - nat: { inside: [10.0.0.0/8], outside: [203.0.113.1, 203.0.113.2], preserve_ports: true }\n"

static void an_error_through_the_nat_is_addressed_to_the_sender(const char *nfs)
{
    struct six out = SIX(17, "10.0.0.5", 5000, "198.51.100.9", 53, .payload = 30);
    struct six left, in, came;
    char own[46];

    help_chain_open(&h, nfs, RULES, 1);
    assert_true(pass(NF_INSIDE, &out));
    strcpy(own, seen.from);
    left = out;
    left.from = own;
    left.sport = seen.sport;
    in = SIX(17, "198.51.100.9", 53, own, left.sport, .payload = 30);
    assert_true(pass(NF_OUTSIDE, &in));
    came = in;
    came.to = "10.0.0.5";
    came.dport = 5000;
    assert_false(error(NF_OUTSIDE, "192.0.2.1", strcmp(own, "203.0.113.1") ? "203.0.113.1" : "203.0.113.2", 3,
                       &left, 0));
    assert_false(error(NF_OUTSIDE, "192.0.2.1", "10.0.0.5", 3, &left, 0));
    assert_false(error(NF_INSIDE, "10.0.0.5", "192.0.2.200", 3, &came, 0));
    assert_false(error(NF_INSIDE, "10.0.0.99", "192.0.2.200", 3, &came, 180));
    help_chain_counts(&h, "nat: icmp_errors_translated 0, firewall: related 0");
    assert_true(error(NF_OUTSIDE, "192.0.2.1", own, 3, &left, 0));
    assert_string_equal(seen.to, "10.0.0.5");
    assert_string_equal(quoted.from, "10.0.0.5");
    assert_int_equal(quoted.sport, 5000);
    assert_true(error(NF_INSIDE, "10.0.0.5", "198.51.100.9", 3, &came, 0));
    assert_string_equal(seen.from, own);
    assert_string_equal(quoted.to, own);
    assert_int_equal(quoted.dport, left.sport);
    help_chain_counts(&h, "nat: icmp_errors_translated 2, firewall: related 2");
}

CHAIN_TEST(errors_through_a_nat_in_either_order)
{
    an_error_through_the_nat_is_addressed_to_the_sender(NAT WALL);
    an_error_through_the_nat_is_addressed_to_the_sender(WALL NAT);
}

/* It passes as any packet that is none of the service's. */
CHAIN_TEST(the_load_balancer_leaves_others_as_they_are)
{
    struct six ask = SIX(6, "198.51.100.9", 4000, "203.0.113.10", 80, .tcp = NFT_SYN, .payload = 30);
    struct six answer = SIX(6, "203.0.113.10", 80, "198.51.100.9", 4000, .payload = 30);
    struct six came = ask;

    help_chain_open(&h, "    - load_balancer: { vip: 203.0.113.10, port: 80, backends: \"10.0.1.1:8080\" }\n",
                    NULL, 1);
    assert_true(pass(NF_OUTSIDE, &ask));
    assert_string_equal(seen.to, "10.0.1.1");
    came.to = "10.0.1.1";
    came.dport = 8080;
    assert_true(error(NF_OUTSIDE, "192.0.2.1", "10.0.0.99", 3, &answer, 0));
    assert_string_equal(seen.to, "10.0.0.99");
    assert_string_equal(quoted.from, "203.0.113.10");
    assert_true(error(NF_INSIDE, "10.0.1.1", "192.0.2.200", 3, &came, 0));
    assert_string_equal(seen.from, "10.0.1.1");
    assert_string_equal(quoted.to, "10.0.1.1");
    help_chain_counts(&h, "load_balancer: icmp_errors_translated 0");
    assert_true(error(NF_OUTSIDE, "192.0.2.1", "203.0.113.10", 3, &answer, 0));
    assert_string_equal(seen.to, "10.0.1.1");
    assert_string_equal(quoted.from, "10.0.1.1");
    assert_true(error(NF_INSIDE, "10.0.1.1", "198.51.100.9", 3, &came, 0));
    assert_string_equal(seen.from, "203.0.113.10");
    assert_string_equal(quoted.to, "203.0.113.10");
}

CHAIN_TEST(errors_through_nat64)
{
    struct six out = SIX(17, "2001:db8::c", 5000, "64:ff9b::c633:6401", 53, .payload = 30);
    struct six left = SIX(17, "203.0.113.1", 5000, "198.51.100.1", 53, .payload = 30);
    struct six in = SIX(17, "198.51.100.1", 53, "203.0.113.1", 5000, .payload = 30);
    struct six came = SIX(17, "64:ff9b::c633:6401", 53, "2001:db8::c", 5000, .payload = 30);

    help_chain_open(&h, "    - nat64: { outside: [203.0.113.1, 203.0.113.2], preserve_ports: true }\n" WALL,
                    RULES, 1);
    assert_true(pass(NF_INSIDE, &out));
    left.from = strcmp(seen.from, "203.0.113.1") ? "203.0.113.2" : "203.0.113.1";
    in.to = left.from;
    assert_true(pass(NF_OUTSIDE, &in));
    assert_false(error(NF_OUTSIDE, "192.0.2.1", strcmp(in.to, "203.0.113.1") ? "203.0.113.1" : "203.0.113.2",
                       3, &left, 0));
    assert_false(error(NF_INSIDE, "2001:db8::c", "64:ff9b::c633:6402", 1, &came, 0));
    help_chain_counts(&h, "nat64: icmp_errors_translated 0, firewall: related 0");
    assert_true(error(NF_OUTSIDE, "192.0.2.1", in.to, 3, &left, 0));
    assert_string_equal(seen.to, "2001:db8::c");
    assert_true(error(NF_INSIDE, "2001:db8::c", "64:ff9b::c633:6401", 1, &came, 0));
    assert_string_equal(seen.to, "198.51.100.1");
    help_chain_counts(&h, "nat64: icmp_errors_translated 2, firewall: related 2");
}

/* The prefix is another one outside, in the error as in what it quotes. */
static void errors_through_nptv6(const char *nfs)
{
    struct six out = SIX(17, "fd00:1:2:3::5", 5000, "2001:db8:9::9", 53, .payload = 30);
    struct six left = out;
    char own[46];

    help_chain_open(&h, nfs, RULES, 1);
    assert_true(pass(NF_INSIDE, &out));
    strcpy(own, seen.from);
    assert_string_not_equal(own, out.from);
    left.from = own;
    assert_false(error(NF_OUTSIDE, "2001:db8:2::1", "2001:db8:1:3::99", 1, &left, 0));
    assert_true(error(NF_OUTSIDE, "2001:db8:2::1", own, 1, &left, 0));
    assert_string_equal(seen.to, out.from);
    assert_string_equal(quoted.from, out.from);
    help_chain_counts(&h, "firewall: related 1");
}

CHAIN_TEST(errors_through_nptv6_in_either_order)
{
    errors_through_nptv6("    - nptv6: { inside: \"fd00:1:2::/48\", outside: \"2001:db8:1::/48\" }\n" WALL);
    errors_through_nptv6(WALL "    - nptv6: { inside: \"fd00:1:2::/48\", outside: \"2001:db8:1::/48\" }\n");
}
