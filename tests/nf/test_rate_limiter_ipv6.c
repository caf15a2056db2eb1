/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limiter and IPv6: a client is a prefix; clients of IPv4 beside them; connections; what is shown.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define LIMIT(more) "    - rate_limiter: { pps: 10, burst_packets: 3" more " }\n"
#define SERVER      "2001:db8:5::1"

static struct help_chain h;

static bool tcp(uint8_t side, const char *from, uint16_t sport, const char *to, uint8_t flags)
{
    const struct six s = {.from = from, .to = to, .proto = 6, .sport = sport, .dport = 80, .tcp = flags};

    return help_chain_six(&h, side, &s, NULL);
}

static bool ipv4(uint32_t from)
{
    return help_chain_spec(&h, NF_OUTSIDE, &HELP_PACKET(17, from, 9, NFT_IP(192, 0, 2, 1), 9, .payload = 4),
                           NULL);
}

CHAIN_TEST(hosts_of_a_prefix_are_one_client)
{
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1::1", 1, SERVER, NFT_SYN));
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1::ffff:2", 1, SERVER, NFT_SYN));
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1:0:8000::3", 1, SERVER, NFT_SYN));
    assert_false(tcp(NF_OUTSIDE, "2001:db8:1::4", 1, SERVER, NFT_SYN));
    help_chain_counts(&h, "rate_limiter: over_packets 1");
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1:1::1", 1, SERVER, NFT_SYN)); /* the next one */
    help_chain_counts(&h, "rate_limiter: clients_new 2");
    help_chain_has(&h, "rate_limiter", "\"client\":\"2001:db8:1::/64\"");
    help_chain_has(&h, "rate_limiter", "\"client\":\"2001:db8:1:1::/64\"");
}

CHAIN_TEST(clients_of_ipv4_are_addresses)
{
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(ipv4(NFT_IP(198, 51, 100, 7)), i < 3);
    assert_true(ipv4(NFT_IP(198, 51, 100, 8)));
    help_chain_has(&h, "rate_limiter", "\"client\":\"198.51.100.7\"");
}

CHAIN_TEST(a_client_is_cleared_by_any_of_its_addresses)
{
    for (unsigned i = 0; i < 4; i++)
        tcp(NF_OUTSIDE, "2001:db8:1::1", 1, SERVER, NFT_SYN);
    assert_int_equal(help_chain_command(&h, "clear rate_limiter 2001:db8:1::99"), 0);
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1::1", 1, SERVER, NFT_SYN));
    assert_true(help_chain_command(&h, "clear rate_limiter 2001:db8::/32") < 0);
}

CHAIN_TEST(connections_count_for_their_prefix_until_they_end)
{
    help_chain_open(&h, "    - rate_limiter: { max_connections: 2, ipv6: 56, tcp_transitory: 1 }\n", NULL, 5);
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1:1::1", 1, SERVER, NFT_SYN));
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1:ff::1", 2, SERVER, NFT_SYN));
    assert_false(tcp(NF_OUTSIDE, "2001:db8:1::1", 3, SERVER, NFT_SYN));
    help_chain_counts(&h, "rate_limiter: over_connections 1");
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1:100::1", 3, SERVER, NFT_SYN)); /* another /56 */
    help_chain_wait_tenths(&h, 30);
    assert_true(tcp(NF_OUTSIDE, "2001:db8:1::1", 3, SERVER, NFT_SYN));
}

CHAIN_TEST(without_it_they_pass)
{
    help_chain_open(&h, LIMIT(""), NULL, 5);
    for (unsigned i = 0; i < 10; i++)
        assert_true(tcp(NF_OUTSIDE, "2001:db8:1::1", 1, SERVER, NFT_SYN));
    help_chain_counts(&h, "rate_limiter: clients_new 0");
}

static void begin(void)
{
    help_chain_open(&h, LIMIT(", ipv6: 64"), NULL, 5);
}

CHAIN_BEGINS(begin)
