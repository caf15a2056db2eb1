/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall: its rules as written, connections and their states, what belongs to one, limits, settings. */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define SITE       NFT_IP(203, 0, 113, 1)
#define REMOTE     NFT_IP(198, 51, 100, 7)
#define BAD        NFT_IP(192, 0, 2, 66)
#define WALL(more) "    - firewall: { rules: firewall.rules" more " }\n"
#define OUT        NF_INSIDE
#define IN         NF_OUTSIDE

static const char rules[] = "# a comment\n"
                            "deny from 192.0.2.0/24   # whoever it is\n"
                            "\n"
                            "allow out tcp from any to any port 80,443,8000-8010\n"
                            "allow out udp to any port 53\n"
                            "allow in tcp from 198.51.100.0/24 port 1024-65535 to 203.0.113.1 port 22\n"
                            "deny out tcp\n"
                            "allow in icmp type 8\n"
                            "allow out icmp\n"
                            "allow 47\n"
                            "default deny in\n"
                            "default allow out\n";

static struct help_chain h;

static uint64_t live(void)
{
    return help_chain_counter(&h, "firewall", "connections_created") -
           help_chain_counter(&h, "firewall", "connections_expired");
}

static bool pass(uint8_t side, uint8_t proto, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
                 uint8_t flags)
{
    struct nft_spec spec = {.src = src,
                            .dst = dst,
                            .sport = sport,
                            .dport = dport,
                            .proto = proto,
                            .tcp = flags,
                            .type = flags, /* of ICMP */
                            .payload = 12};
    return help_chain_spec(&h, side, &spec, NULL);
}
/* The connection that most tests use, and its way back. */
static bool web(uint16_t sport, uint8_t flags)
{
    return pass(OUT, 6, SITE, sport, REMOTE, 80, flags);
}
static bool back(uint16_t sport, uint8_t flags)
{
    return pass(IN, 6, REMOTE, 80, SITE, sport, flags);
}

static const char *state_of(const char *from)
{
    static char text[65536], found[32];
    char key[64];
    help_chain_show(&h, "firewall", text, sizeof(text));
    snprintf(key, sizeof(key), "\"from\":\"%s\"", from);
    const char *at = strstr(text, key);
    if (!at || sscanf(strstr(at, "\"state\":"), "\"state\":\"%31[^\"]", found) != 1)
        return "absent";
    return found;
}

CHAIN_TEST(the_first_rule_that_fits_decides)
{
    assert_true(web(1, NFT_SYN));
    assert_true(pass(OUT, 6, SITE, 2, REMOTE, 8010, NFT_SYN));
    assert_false(pass(OUT, 6, SITE, 2, REMOTE, 8011, NFT_SYN));
    assert_false(pass(OUT, 6, SITE, 2, REMOTE, 7999, NFT_SYN));
    assert_false(pass(IN, 6, REMOTE, 2000, SITE, 80, NFT_SYN)); /* an `out` rule */
    assert_true(pass(IN, 6, REMOTE, 1024, SITE, 22, NFT_SYN));
    assert_false(pass(IN, 6, REMOTE, 1023, SITE, 22, NFT_SYN));
    assert_false(pass(IN, 6, NFT_IP(198, 51, 101, 0), 1024, SITE, 22, NFT_SYN));
    assert_false(pass(IN, 6, BAD, 1024, SITE, 22, NFT_SYN));
    assert_false(pass(IN, 6, REMOTE, 1024, SITE + 1, 22, NFT_SYN));
    assert_false(pass(OUT, 6, NFT_IP(192, 0, 2, 255), 1024, REMOTE, 80, NFT_SYN));
    assert_true(pass(OUT, 17, SITE, 9, REMOTE, 9, 0)); /* default out */
    assert_false(pass(IN, 17, REMOTE, 8, SITE, 9, 0)); /* default in */
    assert_true(pass(IN, 17, REMOTE, 9, SITE, 9, 0));  /* return traffic */
    assert_true(pass(IN, 1, REMOTE, 5, SITE, 0, 8));   /* echo request */
    assert_false(pass(IN, 1, REMOTE, 6, SITE, 0, 0));  /* a reply nobody asked for */
    assert_false(pass(IN, 1, REMOTE, 6, SITE, 0, 13)); /* timestamp */
    assert_true(pass(OUT, 1, SITE, 6, REMOTE, 0, 13));
    assert_true(pass(IN, 47, REMOTE, 0, SITE, 0, 0));
    assert_false(pass(IN, 50, REMOTE, 0, SITE, 0, 0));
    help_chain_counts(&h, "firewall: denied 12, known 1");
    /* Rules and defaults with what they decided on, then six connections. */
    assert_int_equal(help_chain_rows(&h, "firewall"), 8 + 2 + 6);
    help_chain_has(&h, "firewall", "{\"rule\":\"1\",\"line\":2,\"action\":\"deny\",\"hits\":2}");
    help_chain_has(&h, "firewall", "{\"rule\":\"2\",\"line\":4,\"action\":\"allow\",\"hits\":2}");
    help_chain_has(&h, "firewall", "{\"rule\":\"default.in\",\"line\":11,\"action\":\"deny\",\"hits\":8}");
    help_chain_has(&h, "firewall", "{\"rule\":\"default.out\",\"line\":12,\"action\":\"allow\",\"hits\":1}");
}

static void refused(const char *text, const char *expected)
{
    help_chain_refuses_rules(WALL(""), text, expected);
}

CHAIN_TEST(bad_rules_are_refused_by_line)
{
    static char many[5000 * 6];
    refused("allow\npermit in\n", "firewall.rules:2: 'permit', expected allow or deny");
    refused("\n\nallow in tpc\n", "firewall.rules:3: 'tpc', expected in, out, tcp");
    refused("allow from 10.0.0.0/33\n", "firewall.rules:1: '10.0.0.0/33', expected any, A.B.C.D");
    refused("allow from 10.0.0.1/24\n", "without host bits");
    refused("allow from 10.0.0\n", "firewall.rules:1: '10.0.0'");
    refused("allow from\n", "firewall.rules:1: the line ends, expected any, A.B.C.D");
    refused("allow tcp to any port\n", "the line ends, expected ports such as");
    refused("allow tcp to any port 80,\n", "'80,', expected ports such as");
    refused("allow tcp to any port 90-80\n", "'90-80'");
    refused("allow tcp to any port 65536\n", "'65536'");
    refused("allow tcp to any port 1,2,3,4,5,6,7,8,9\n", "at most 8 in a rule");
    refused("allow tcp to any port 2000-1000\n", "the lower one first");
    refused("allow tcp from any port 1,2,3,4,5 to any port 6,7,8,9\n", "at most 8 in a rule");
    refused("allow icmp to any port 80\n", "expected no ports");
    refused("allow to any port 80\n", "expected no ports");
    refused("allow icmp type 256\n", "'256', expected an ICMP type");
    refused("allow tcp type 8\n", "'type', expected from, to or the end");
    refused("allow in icmp port 80\n", "'port', expected port behind the HOST of from or to, of tcp or udp");
    refused("allow icmp echo\n", "'echo', expected from, to, type or the end");
    refused("default permit\n", "'permit', expected allow or deny");
    refused("default allow both\n", "'both', expected in, out or the end of the line");
    for (unsigned i = 0; i < 4097; i++)
        memcpy(many + i * 6, "allow\n", 7);
    refused(many, "firewall.rules:4097: one rule too many");
    many[4096 * 6] = 0;
    assert_string_equal(help_chain_refusal(WALL(""), many), "");
    assert_string_equal(help_chain_refusal(WALL(""), ""), "");
    memset(many, 'x', 2000);
    many[2000] = 0;
    refused(many, "firewall.rules:1: too long");
}

/* A finished connection's ports give no licence to the other side. */
CHAIN_TEST(a_reused_connection_is_judged_anew)
{
    web(1, NFT_SYN), back(1, NFT_SYN | NFT_ACK), web(1, NFT_ACK);
    assert_true(back(1, NFT_ACK));
    assert_true(web(1, NFT_RST));
    assert_false(back(1, NFT_SYN));
    help_chain_counts(&h, "firewall: denied 1");
    assert_string_equal(state_of("203.0.113.1:1"), "reset"); /* what is denied changes nothing */
    assert_false(back(1, NFT_SYN));
    help_chain_counts(&h, "firewall: denied 2");
}

CHAIN_TEST(impossible_flags_are_dropped)
{
    web(1, NFT_SYN);
    assert_false(back(1, NFT_SYN | NFT_FIN));
    assert_false(back(1, NFT_SYN | NFT_RST));
    assert_false(web(1, 0));
    assert_false(web(2, NFT_FIN | NFT_RST | NFT_ACK));
    help_chain_counts(&h, "firewall: invalid 4");
    assert_string_equal(state_of("203.0.113.1:1"), "syn-sent");
}

CHAIN_TEST(loose_takes_connections_in_their_middle)
{
    assert_true(web(1, NFT_ACK));
    assert_string_equal(state_of("203.0.113.1:1"), "established");
    assert_true(back(1, NFT_ACK));
    assert_false(back(2, NFT_ACK)); /* by the rules, not by itself */
    assert_true(web(3, NFT_RST));
    assert_string_equal(state_of("203.0.113.1:3"), "absent");
    help_chain_open(&h, WALL(", loose: false"), rules, 1);
    assert_false(web(1, NFT_ACK));
    assert_false(web(1, NFT_SYN | NFT_ACK));
    assert_false(web(1, NFT_RST));
    assert_false(pass(OUT, 1, SITE, 5, REMOTE, 0, 0));
    help_chain_counts(&h, "firewall: invalid 4");
    assert_true(web(1, NFT_SYN));
    assert_true(back(1, NFT_SYN | NFT_ACK));
    assert_true(pass(OUT, 17, SITE, 5, REMOTE, 53, 0));
}

CHAIN_TEST(a_full_table_lets_nothing_new_in)
{
    help_chain_open(&h, WALL(", max_flows: 8, tcp_established: 300"), rules, 1);
    for (uint16_t i = 0; i < 8; i++) /* open connections: they stay */
        assert_true(web(i, NFT_SYN) && back(i, NFT_SYN | NFT_ACK) && web(i, NFT_ACK));
    assert_false(pass(OUT, 17, SITE, 9, REMOTE, 53, 0));
    help_chain_counts(&h, "firewall: table_full 1");
    assert_true(web(3, NFT_ACK));
    assert_true(back(3, NFT_ACK));
    help_chain_wait_tenths(&h, 2999);
    assert_true(back(3, NFT_ACK));
    assert_false(pass(OUT, 17, SITE, 9, REMOTE, 53, 0));
    help_chain_wait_tenths(&h, 1);
    assert_int_equal(live(), 1);
    assert_true(pass(OUT, 17, SITE, 9, REMOTE, 53, 0));
}

/* One host has as many answered flows as it can: it has its part, and others theirs. */
CHAIN_TEST(one_host_does_not_fill_the_table)
{
    help_chain_open(&h, WALL(", max_flows: 1000"), rules, 1);
    for (uint16_t i = 0; i < 1000; i++, h.now++)
        assert_true(pass(OUT, 17, SITE, i, REMOTE, 53, 0) && pass(IN, 17, REMOTE, 53, SITE, i, 0));
    for (uint16_t i = 0; i < 50; i++)
        assert_true(pass(OUT, 17, NFT_IP(203, 0, 113, 2), i, REMOTE, 53, 0));
    help_chain_counts(&h, "firewall: table_full 0, host_full 0");
    assert_int_equal(live() - help_chain_counter(&h, "firewall", "connections_displaced"), 256 + 50);
    for (uint16_t i = 0; i < 300; i++, h.now++) /* open connections stay, and are its part */
        assert_int_equal(web(i, NFT_SYN) && back(i, NFT_SYN | NFT_ACK) && web(i, NFT_ACK), i < 256);
    help_chain_counts(&h, "firewall: host_full %u, table_full 0", 300 - 256);
}

static bool fragment(uint16_t id, bool later)
{
    return help_chain_fragment(&h, SITE, REMOTE, id, later);
}

/* Of eight datagrams that have room, whatever becomes of earlier ones. */
CHAIN_TEST(the_oldest_datagram_gives_way_to_a_new_one)
{
    help_chain_open(&h, WALL(", max_fragments: 8"), rules, 1);
    for (uint16_t id = 1; id <= 8; id++)
        assert_true(fragment(id, false));
    help_chain_counts(&h, "firewall: fragments_full 0");
    assert_true(fragment(1, false)); /* once more: now it is the newest */
    for (uint16_t id = 9; id <= 11; id++) {
        assert_true(fragment(id, false));
        assert_true(fragment(id, true));
    }
    help_chain_counts(&h, "firewall: fragments_full 3");
    for (uint16_t id = 1; id <= 11; id++)
        assert_int_equal(fragment(id, true), id == 1 || id > 4);
    for (unsigned i = 0; i < 5400; i++)
        assert_true(fragment((uint16_t)(100 + i), false));
    assert_true(fragment(5499, true));
    help_chain_wait_tenths(&h, 299);
    assert_true(fragment(5498, true));
    assert_true(fragment(7, false));
    help_chain_wait_tenths(&h, 1); /* the seven others' time is over */
    assert_false(fragment(5498, true));
    for (uint16_t id = 20; id <= 26; id++)
        assert_true(fragment(id, false));
    assert_true(fragment(7, true));
    assert_true(fragment(27, false));
    assert_false(fragment(7, true));
}

CHAIN_TEST(other_packets_are_judged_by_rules)
{
    uint8_t ipv6[64] = {[12] = 0x86, [13] = 0xdd}, arp[42] = {[12] = 8, [13] = 6, 0, 1, 8, 0, 6, 4};
    uint8_t frame[NFT_FRAME_MAX];
    struct nft_spec spec = {.src = SITE, .dst = REMOTE, .sport = 7, .dport = 53, .proto = 17};
    assert_false(help_chain_send(&h, OUT, arp, sizeof(arp)).drop);
    help_chain_counts(&h, "firewall: arp 1");
    assert_true(help_chain_send(&h, OUT, ipv6, sizeof(ipv6)).drop);
    uint32_t len = nft_frame(&spec, frame);
    frame[14 + 10] ^= 1;
    assert_true(help_chain_send(&h, OUT, frame, len).drop);
    help_chain_counts(&h, "firewall: malformed 1");
    for (uint8_t tags = 1; tags <= 2; tags++) {
        spec.tags = tags;
        spec.options = 4;
        assert_true(help_chain_spec(&h, OUT, &spec, NULL));
    }
    assert_int_equal(live(), 1);
    help_chain_open(&h, WALL(", unsupported: pass"), rules, 1);
    assert_false(help_chain_send(&h, OUT, ipv6, sizeof(ipv6)).drop);
    help_chain_counts(&h, "firewall: unsupported 1");
}

CHAIN_TEST(commands_change_rules_and_timeouts)
{
    assert_true(web(1, NFT_SYN));
    assert_int_equal(help_chain_command(&h, "set firewall rule.2=deny"), FT_OK);
    assert_false(web(2, NFT_SYN));
    assert_true(back(1, NFT_SYN | NFT_ACK)); /* what was let in stays */
    assert_int_equal(help_chain_command(&h, "clear firewall"), FT_OK);
    assert_false(back(1, NFT_SYN | NFT_ACK));
    assert_int_equal(help_chain_command(&h, "set firewall default.in=allow"), FT_OK);
    assert_true(back(1, NFT_SYN | NFT_ACK));
    assert_int_equal(help_chain_command(&h, "set firewall default.in=maybe"), FT_EINVAL);
    assert_int_equal(help_chain_command(&h, "set firewall rule.0=deny"), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "set firewall rule.9=deny"), FT_ENOENT);
    assert_string_equal(h.fault.text, "rule.9: no such rule, expected rule.1 to rule.8");
    assert_int_equal(help_chain_command(&h, "set firewall upd=9"), FT_ENOENT);
    assert_string_equal(h.fault.text, "upd: no such setting, expected rule.N, default.in, default.out, "
                                      "tcp_established, tcp_transitory, tcp_closed, udp, icmp, other");
    assert_int_equal(help_chain_command(&h, "set firewall tcp_transitory=604801"), FT_EINVAL);
    assert_int_equal(help_chain_command(&h, "clear firewall 1"), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "set firewall tcp_transitory=1"), FT_OK);
    assert_string_equal(state_of("198.51.100.7:80"), "syn-recv");
    help_chain_wait_tenths(&h, 10);
    assert_string_equal(state_of("198.51.100.7:80"), "absent");
}

static void open_wall(void)
{
    help_chain_begin(&h, WALL(""), rules);
}

CHAIN_BEGINS(open_wall)
