/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall and IPv6: rules of either family, connections, neighbour discovery, fragments. Errors about
 * connections are test_related.c's. */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define WALL(more) "    - firewall: { rules: firewall.rules" more " }\n"
#define OUT        NF_INSIDE
#define IN         NF_OUTSIDE
#define SITE       "2001:db8:5::1"
#define REMOTE     "2001:db8:1::7"

static const char rules[] = "deny from 2001:db8:bad::/48\n"
                            "allow out tcp to any port 443\n"
                            "allow in tcp from 2001:db8:1::/64 port 1024-65535 to 2001:db8:5::1 port 22\n"
                            "allow in tcp from 198.51.100.0/24\n"
                            "deny out tcp\n"
                            "allow in icmpv6 type 128\n"
                            "allow out to ::/0\n"
                            "default deny\n";

static struct help_chain h;
static uint8_t frame[256];

static bool send_frame(uint8_t side, uint32_t len)
{
    return !help_ipv6_send(&h, side, frame, len).drop;
}

static bool tcp(uint8_t side, const char *from, uint16_t sport, const char *to, uint16_t dport, uint8_t flags)
{
    return help_chain_six(&h, side, &SIX(6, from, sport, to, dport, .tcp = flags), NULL);
}

static bool icmpv6(uint8_t side, const char *from, const char *to, uint8_t type, uint8_t limit)
{
    return help_chain_six(&h, side, &SIX(58, from, type, to, 0, .type = type, .limit = limit, .payload = 24),
                          NULL);
}

CHAIN_TEST(rules_are_of_their_hosts_family_or_of_both)
{
    assert_true(tcp(OUT, SITE, 1, REMOTE, 443, NFT_SYN));
    assert_false(tcp(OUT, SITE, 2, REMOTE, 80, NFT_SYN));
    assert_false(tcp(OUT, "2001:db8:bad:1::9", 2, REMOTE, 443, NFT_SYN));
    assert_true(tcp(OUT, "2001:db8:bae::9", 2, REMOTE, 443, NFT_SYN));
    assert_true(tcp(IN, REMOTE, 1024, SITE, 22, NFT_SYN));
    assert_false(tcp(IN, REMOTE, 1023, SITE, 22, NFT_SYN));
    assert_false(tcp(IN, "2001:db8:1:1::7", 1024, SITE, 22, NFT_SYN));
    assert_false(tcp(IN, REMOTE, 1024, "2001:db8:5::2", 22, NFT_SYN));
    assert_false(tcp(IN, "2001:db8:2::7", 1025, SITE, 22, NFT_SYN)); /* that rule is of IPv4 */
    assert_true(icmpv6(IN, REMOTE, SITE, 128, 64));
    assert_false(icmpv6(IN, REMOTE, SITE, 129, 64)); /* an answer that nobody asked for */
    assert_false(icmpv6(IN, REMOTE, SITE, 4, 64));
    help_chain_counts(&h, "firewall: connections_created 4");
    struct nft_spec ipv4 = HELP_PACKET(17, NFT_IP(10, 0, 0, 1), 9, NFT_IP(192, 0, 2, 1), 9);
    assert_false(help_chain_spec(&h, OUT, &ipv4, NULL)); /* ::/0 is of IPv6 */
    ipv4.proto = 6;
    ipv4.tcp = NFT_SYN;
    ipv4.dport = 443;
    assert_true(help_chain_spec(&h, OUT, &ipv4, NULL));
}

/* TCP that a rule denies, behind so many bytes of options for the destination. */
static bool tcp_behind(uint8_t options)
{
    help_ipv6_header(frame + 14, 60, SITE, REMOTE, (uint16_t)(options + 20));
    memset(frame + 54, 0, options + 20u);
    frame[54] = 6;
    frame[55] = (uint8_t)(options / 8 - 1);
    help_put16(frame + 54 + options + 2, 80);
    frame[54 + options + 12] = 0x50;
    frame[54 + options + 13] = NFT_SYN;
    return send_frame(OUT, 74u + options);
}

CHAIN_TEST(headers_in_front_hide_nothing_from_the_rules)
{
    assert_false(tcp_behind(8));
    assert_false(tcp_behind(128));
    help_chain_counts(&h, "firewall: denied 2");
    assert_false(tcp_behind(136)); /* more than are read */
    help_chain_counts(&h, "firewall: malformed 1");
}

CHAIN_TEST(what_belongs_to_a_connection_passes)
{
    assert_true(tcp(OUT, SITE, 1000, REMOTE, 443, NFT_SYN));
    assert_true(tcp(IN, REMOTE, 443, SITE, 1000, NFT_SYN | NFT_ACK));
    assert_true(tcp(OUT, SITE, 1000, REMOTE, 443, NFT_ACK));
    help_chain_counts(&h, "firewall: known 2");
    assert_false(tcp(IN, REMOTE, 443, SITE, 1001, NFT_ACK));
    help_chain_has(&h, "firewall", "\"from\":\"[2001:db8:5::1]:1000\"");
    help_chain_has(&h, "firewall", "\"to\":\"[2001:db8:1::7]:443\"");
}

CHAIN_TEST(neighbours_are_no_matter_of_rules)
{
    assert_true(icmpv6(IN, "fe80::1", "ff02::1:ff00:1", 135, 255));
    assert_true(icmpv6(IN, "fe80::1", "fe80::2", 136, 255));
    help_chain_counts(&h, "firewall: arp 2");
    assert_false(icmpv6(IN, REMOTE, SITE, 136, 254)); /* from elsewhere */
    assert_false(icmpv6(IN, REMOTE, SITE, 138, 255));
}

static bool fragment(const char *from, uint32_t id, bool later)
{
    struct six s = SIX(17, from, 5000, REMOTE, 53, .id = id, .fragment = later ? 3 : 0x2000,
                       .payload = later ? 24 : 16, .no_udp_sum = true);

    return help_chain_six(&h, OUT, &s, NULL);
}

CHAIN_TEST(a_later_fragment_follows_its_first)
{
    static const char denied[] = "2001:db8:bad::9";

    assert_false(fragment(SITE, 7, true));
    help_chain_counts(&h, "firewall: fragment_unknown 1");
    assert_true(fragment(SITE, 8, false) && fragment(SITE, 8, true));
    assert_false(fragment(denied, 9, false) || fragment(denied, 9, true));
}

CHAIN_TEST(what_ends_inside_a_header_is_malformed)
{
    help_ipv6_header(frame + 14, 6, SITE, REMOTE, 10);
    assert_false(send_frame(OUT, 64));
    help_ipv6_header(frame + 14, 6, SITE, REMOTE, 500); /* longer than the frame */
    assert_false(send_frame(OUT, 74));
    help_chain_counts(&h, "firewall: malformed 2");
}

static void refused(const char *text, const char *expected)
{
    help_chain_refuses_rules(WALL(""), text, expected);
}

CHAIN_TEST(bad_hosts_are_refused_by_line)
{
    refused("allow from 2001:db8::1/64\n", "firewall.rules:1: '2001:db8::1/64', expected any, A.B.C.D");
    refused("allow from 2001:db8::/129\n", "'2001:db8::/129', expected any");
    refused("allow from 2001:db8::/\n", "'2001:db8::/', expected any");
    refused("allow from 2001:dg8::/32\n", "'2001:dg8::/32', expected any");
    refused("allow from 10.0.0.1 to 2001:db8::1\n", "'2001:db8::1', expected both hosts of a rule of one");
    refused("allow from 2001:db8::1 to 10.0.0.1\n", "'10.0.0.1', expected both hosts of a rule of one");
    refused("allow tcp type 128\n", "'type', expected from, to or the end");
}

static void begin(void)
{
    help_chain_open(&h, WALL(", ipv6: true, loose: false, max_fragments: 64"), rules, 5);
}

CHAIN_BEGINS(begin)
