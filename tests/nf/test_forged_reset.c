/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resets and ends, which sessions cannot verify, since sequence numbers are not kept (RFC 7857, 2.2): a flow
 * that was reset stays for four minutes, and is open again when the end that sent the reset sends on. One
 * that both ends have finished is open again when one of them sends data.
 */
#include "nflib/net/tcp.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define OUTSIDE NFT_IP(203, 0, 113, 1)
#define HOST    NFT_IP(10, 1, 2, 3)
#define REMOTE  NFT_IP(198, 51, 100, 7)
#define NAT     "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, preserve_ports: true, max_flows: 64 }\n"

static struct help_chain h;

static bool from_inside(uint16_t port, uint8_t flags)
{
    struct nft_spec spec = {.src = HOST, .dst = REMOTE, .sport = port, .dport = 80, .proto = 6, .tcp = flags};
    struct nft_seen seen;

    return help_chain_spec(&h, NF_INSIDE, &spec, &seen) && seen.sport == port;
}

static bool from_outside(uint16_t port, uint8_t flags)
{
    struct nft_spec spec = {
        .src = REMOTE, .dst = OUTSIDE, .sport = 80, .dport = port, .proto = 6, .tcp = flags};

    return help_chain_spec(&h, NF_OUTSIDE, &spec, NULL);
}

static void open_connection(uint16_t port)
{
    assert_true(from_inside(port, NFT_SYN));
    assert_true(from_outside(port, NFT_SYN | NFT_ACK));
    assert_true(from_inside(port, NFT_ACK));
}

static uint64_t expired(void)
{
    return help_chain_counter(&h, "nat", "mappings_expired");
}

/* Both ends ignored the reset: what they send keeps the mapping, as if there had been none. */
CHAIN_TEST(a_forged_reset_ends_nothing)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_outside(5000, NFT_RST));
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    assert_true(from_outside(5000, NFT_ACK));
    help_chain_wait_tenths(&h, 200);
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    assert_true(from_outside(5000, NFT_ACK));
    help_chain_has(&h, "nat", "\"established\"");
    help_chain_wait_tenths(&h, 74000);
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    assert_int_equal(expired(), 0);
}

/* The same from inside, and while the connection is being opened. */
CHAIN_TEST(a_forged_reset_of_either_end_ends_nothing)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_inside(5000, NFT_RST | NFT_ACK));
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    help_chain_has(&h, "nat", "\"established\"");
    assert_true(from_inside(5001, NFT_SYN));
    assert_true(from_outside(5001, NFT_RST | NFT_ACK));
    help_chain_has(&h, "nat", "\"closed\"");
    assert_true(from_outside(5001, NFT_SYN | NFT_ACK));
    assert_true(from_inside(5001, NFT_ACK));
    help_chain_wait_tenths(&h, 74000);
    assert_true(from_inside(5000, NFT_ACK) && from_inside(5001, NFT_ACK));
    assert_int_equal(expired(), 0);
}

/* What was on its way to the end that has reset does not open the connection again. */
CHAIN_TEST(a_reset_connection_stays_four_minutes)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_inside(5000, NFT_RST));
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    help_chain_has(&h, "nat", "\"reset\"");
    help_chain_wait_tenths(&h, 2390);
    assert_int_equal(expired(), 0);
    help_chain_wait_tenths(&h, 20);
    assert_int_equal(expired(), 1);
    assert_false(from_outside(5000, NFT_ACK));
}

/* The host has reset, so nothing is left to open: a forged reset of the peer, who still sends, does not help.
 */
CHAIN_TEST(a_reset_is_not_taken_back_by_the_other_end)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_inside(5000, NFT_RST));
    assert_true(from_outside(5000, NFT_RST));
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    help_chain_has(&h, "nat", "\"reset\"");
    assert_true(from_outside(5000, NFT_RST));
    assert_true(from_outside(5000, NFT_FIN | NFT_ACK));
    assert_true(from_outside(5000, NFT_ACK));
    help_chain_has(&h, "nat", "\"reset\"");
    help_chain_wait_tenths(&h, 2410);
    assert_int_equal(expired(), 1);
}

/* Both were forged: it is open once each end has sent on, in whichever order. */
CHAIN_TEST(two_forged_resets_end_nothing)
{
    help_chain_open(&h, NAT, NULL, 3);
    for (uint16_t port = 5000; port < 5002; port++) {
        open_connection(port);
        assert_true(from_inside(port, NFT_RST));
        assert_true(from_outside(port, NFT_RST));
        assert_true(port == 5000 ? from_inside(port, NFT_ACK) : from_outside(port, NFT_ACK));
        help_chain_has(&h, "nat", "\"reset\"");
        assert_true(port == 5000 ? from_outside(port, NFT_ACK) : from_inside(port, NFT_ACK));
    }
    help_chain_wait_tenths(&h, 74000);
    assert_true(from_inside(5000, NFT_ACK) && from_inside(5001, NFT_ACK));
    assert_int_equal(expired(), 0);
}

/* Three forged ones in a row, with a SYN between, do not make it shorter. */
CHAIN_TEST(a_forged_connection_in_between_does_not_help)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    from_outside(5000, NFT_RST);
    from_outside(5000, NFT_SYN);
    from_outside(5000, NFT_RST);
    help_chain_wait_tenths(&h, 2390);
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    assert_int_equal(expired(), 0);
}

/* Resets of a connection that both ends have finished, as hosts send that close with data unread. */
CHAIN_TEST(a_finished_connection_goes_as_before)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_inside(5000, NFT_FIN | NFT_ACK));
    assert_true(from_outside(5000, NFT_FIN | NFT_ACK));
    assert_true(from_inside(5000, NFT_ACK));
    assert_true(from_inside(5000, NFT_RST));
    help_chain_wait_tenths(&h, 101);
    assert_int_equal(expired(), 1);
}

/* Open connections stay, and of reset ones the first goes first. */
CHAIN_TEST(reset_ones_give_way_in_a_full_table)
{
    help_chain_open(&h, NAT, NULL, 3);
    for (uint16_t port = 5000; port < 5064; port++)
        open_connection(port);
    assert_false(from_inside(6000, NFT_SYN));
    assert_true(from_outside(5010, NFT_RST));
    assert_true(from_outside(5009, NFT_RST));
    assert_true(from_outside(5008, NFT_RST));
    assert_true(from_outside(5010, NFT_ACK)); /* that one was forged */
    help_chain_wait_tenths(&h, 1);
    assert_true(from_inside(6000, NFT_SYN) && from_inside(6001, NFT_SYN));
    assert_false(from_outside(5009, NFT_ACK));
    assert_false(from_outside(5008, NFT_ACK));
    for (uint16_t port = 5010; port < 5064; port++)
        assert_true(from_outside(port, NFT_ACK));
    assert_int_equal(help_chain_counter(&h, "nat", "mappings_displaced"), 2);
}

/* As before, but the forged SYN is the last one: the host's next ACK opens the connection as it was. */
CHAIN_TEST(a_forged_reset_and_syn_end_nothing)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_outside(5000, NFT_RST));
    from_outside(5000, NFT_SYN);
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    help_chain_has(&h, "nat", "\"established\"");
    assert_true(from_outside(5000, NFT_ACK));
    from_outside(5000, NFT_RST);
    from_outside(5000, NFT_SYN);
    from_outside(5000, NFT_RST);
    assert_true(from_inside(5000, NFT_ACK));
    help_chain_has(&h, "nat", "\"established\"");
    help_chain_wait_tenths(&h, 74000);
    assert_true(from_inside(5000, NFT_ACK));
    assert_int_equal(expired(), 0);
}

/* The firewall judges the SYN before it leaves the connection that is there. */
CHAIN_TEST(a_syn_that_is_denied_ends_nothing)
{
    static const char chain[] =
        NAT "    - firewall: { rules: firewall.rules, max_flows: 64, loose: false }\n";

    help_chain_open(&h, chain, "default deny in\ndefault allow out\n", 3);
    open_connection(5000);
    assert_true(from_outside(5000, NFT_RST));
    assert_false(from_outside(5000, NFT_SYN));
    assert_int_equal(help_chain_counter(&h, "firewall", "denied"), 1);
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    assert_int_equal(help_chain_counter(&h, "firewall", "denied"), 1);
}

/* The host has finished, and the remote, whose FIN was forged, sends for as long as it likes. */
CHAIN_TEST(a_forged_end_ends_nothing)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_outside(5000, NFT_FIN | NFT_ACK));
    assert_true(from_inside(5000, NFT_FIN | NFT_ACK));
    assert_true(from_outside(5000, NFT_ACK));
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    help_chain_has(&h, "nat", "\"fin-wait\"");
    assert_true(from_inside(5000, NFT_ACK));
    help_chain_wait_tenths(&h, 150);
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    help_chain_wait_tenths(&h, 74000);
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    assert_int_equal(expired(), 0);
    assert_true(from_outside(5000, NFT_FIN | NFT_ACK));
    assert_true(from_inside(5000, NFT_ACK));
    help_chain_wait_tenths(&h, 101);
    assert_int_equal(expired(), 1);
}

/* The same of the host's end; and data that comes at once, before anybody acknowledges. */
CHAIN_TEST(a_forged_end_of_either_end_ends_nothing)
{
    help_chain_open(&h, NAT, NULL, 3);
    for (uint16_t port = 5000; port < 5002; port++) {
        open_connection(port);
        assert_true(from_inside(port, NFT_FIN | NFT_ACK));
        assert_true(from_outside(port, NFT_FIN | NFT_ACK));
        assert_true(port == 5000 || from_outside(port, NFT_ACK));
        assert_true(from_inside(port, NFT_ACK | NFT_PSH));
        help_chain_has(&h, "nat", "\"close-wait\"");
    }
    help_chain_wait_tenths(&h, 74000);
    assert_true(from_inside(5000, NFT_ACK) && from_inside(5001, NFT_ACK));
    assert_int_equal(expired(), 0);
}

/* Acknowledgements, and ends that are sent again, open nothing. */
CHAIN_TEST(an_end_that_is_sent_again_opens_nothing)
{
    help_chain_open(&h, NAT, NULL, 3);
    open_connection(5000);
    assert_true(from_outside(5000, NFT_FIN | NFT_ACK | NFT_PSH));
    assert_true(from_inside(5000, NFT_FIN | NFT_ACK | NFT_PSH));
    assert_true(from_outside(5000, NFT_ACK));
    assert_true(from_outside(5000, NFT_FIN | NFT_ACK | NFT_PSH));
    assert_true(from_inside(5000, NFT_ACK));
    help_chain_has(&h, "nat", "\"time-wait\"");
    help_chain_wait_tenths(&h, 101);
    assert_int_equal(expired(), 1);
}
