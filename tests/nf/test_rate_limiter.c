/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limiter: what is let in at a rate, connections at once, full tables, what ages, an operator's
 * changes, and captures that come out the same each time. */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define CLIENT      NFT_IP(198, 51, 100, 7)
#define SECOND_ONE  NFT_IP(198, 51, 100, 8)
#define THIRD       NFT_IP(198, 51, 100, 9)
#define HOST        NFT_IP(10, 1, 2, 3)
#define LIMIT(more) "    - rate_limiter: { " more " }\n"

static struct help_chain h;

/* `size`: of the frame. */
static bool udp(uint32_t src, uint16_t sport, uint32_t size)
{
    struct nft_spec spec = HELP_PACKET(17, src, sport, HOST, 53, .payload = (uint16_t)(size - 42));
    return help_chain_spec(&h, NF_OUTSIDE, &spec, NULL);
}
static bool tcp(uint8_t side, uint32_t client, uint16_t port, uint8_t flags)
{
    struct nft_spec in = {.src = client, .dst = HOST, .sport = port, .dport = 80, .proto = 6, .tcp = flags};
    struct nft_spec out = {.src = HOST, .dst = client, .sport = 80, .dport = port, .proto = 6, .tcp = flags};
    return help_chain_spec(&h, side, side == NF_OUTSIDE ? &in : &out, NULL);
}

CHAIN_TEST(packets_are_limited)
{
    help_chain_begin(&h, LIMIT("pps: 10, burst_packets: 5"), NULL);
    for (unsigned i = 0; i < 5; i++)
        assert_true(udp(CLIENT, 9, 100));
    assert_false(udp(CLIENT, 9, 100));
    assert_false(udp(CLIENT, 10, 100)); /* it is the address that counts */
    assert_true(udp(SECOND_ONE, 9, 100));
    assert_true(tcp(NF_INSIDE, CLIENT, 9, NFT_SYN)); /* to the client */
    help_chain_wait_ms(&h, 99);
    assert_false(udp(CLIENT, 9, 100));
    help_chain_wait_ms(&h, 1);
    assert_true(udp(CLIENT, 9, 100));
    assert_false(udp(CLIENT, 9, 100));
    help_chain_wait_ms(&h, 10000);
    for (unsigned i = 0; i < 5; i++)
        assert_true(udp(CLIENT, 9, 100));
    assert_false(udp(CLIENT, 9, 100));
    help_chain_counts(&h, "rate_limiter: over_packets 5, clients_new 2, passed 12");
    help_chain_has(&h, "rate_limiter", "{\"client\":\"198.51.100.7\",\"packets_left\":0,");
}

CHAIN_TEST(bits_are_limited)
{
    help_chain_begin(&h, LIMIT("bps: 8000, burst_bits: 73728"), NULL); /* 9216 bytes at once, 1000 a second */
    for (unsigned i = 0; i < 9; i++)
        assert_true(udp(CLIENT, 9, 1024));
    assert_false(udp(CLIENT, 9, 60));
    help_chain_wait_ms(&h, 60);
    assert_false(udp(CLIENT, 9, 61));
    assert_true(udp(CLIENT, 9, 60)); /* what is refused takes nothing */
    help_chain_wait_ms(&h, 1023);
    assert_false(udp(CLIENT, 9, 1024));
    help_chain_wait_ms(&h, 1);
    assert_true(udp(CLIENT, 9, 1024));
    help_chain_counts(&h, "rate_limiter: over_bits 3, over_packets 0");
}

CHAIN_TEST(connections_are_limited)
{
    help_chain_begin(&h, LIMIT("max_connections: 2, tcp_transitory: 10, tcp_established: 100"), NULL);
    assert_true(tcp(NF_OUTSIDE, CLIENT, 1, NFT_SYN));
    assert_true(tcp(NF_OUTSIDE, CLIENT, 2, NFT_SYN));
    assert_false(tcp(NF_OUTSIDE, CLIENT, 3, NFT_SYN));
    assert_false(udp(CLIENT, 3, 100));
    assert_true(tcp(NF_OUTSIDE, SECOND_ONE, 3, NFT_SYN));
    assert_true(tcp(NF_OUTSIDE, CLIENT, 3, NFT_RST)); /* opens nothing */
    help_chain_counts(&h, "rate_limiter: over_connections 2");
    /* The first is opened in full and stays; the second is not, and ends. */
    assert_true(tcp(NF_INSIDE, CLIENT, 1, NFT_SYN | NFT_ACK));
    assert_true(tcp(NF_OUTSIDE, CLIENT, 1, NFT_ACK));
    help_chain_wait_ms(&h, 9900);
    assert_false(tcp(NF_OUTSIDE, CLIENT, 3, NFT_SYN));
    help_chain_wait_ms(&h, 200);
    help_chain_counts(&h, "rate_limiter: connections_expired 2");
    assert_true(tcp(NF_OUTSIDE, CLIENT, 3, NFT_SYN));
    assert_false(tcp(NF_OUTSIDE, CLIENT, 4, NFT_SYN));
    help_chain_has(
        &h, "rate_limiter",
        "\"client\":\"198.51.100.7\",\"packets_left\":100,\"bits_left\":1000000,\"connections\":2,");
    assert_true(tcp(NF_INSIDE, CLIENT, 1, NFT_RST)); /* reset: the short timeout */
    help_chain_wait_ms(&h, 10100);
    help_chain_counts(&h, "rate_limiter: connections_expired 4");
    help_chain_has(&h, "rate_limiter", "\"connections\":0");
    assert_true(tcp(NF_OUTSIDE, CLIENT, 4, NFT_SYN));
}

CHAIN_TEST(a_full_table_takes_nobody_new)
{
    help_chain_begin(
        &h, LIMIT("pps: 100, max_connections: 5, max_clients: 2, max_flows: 3, timeout: 10, udp: 30"), NULL);
    assert_true(udp(CLIENT, 1, 100));
    assert_true(udp(CLIENT, 2, 100));
    assert_true(udp(SECOND_ONE, 1, 100));
    assert_false(udp(SECOND_ONE, 2, 100)); /* no room for another connection */
    help_chain_counts(&h, "rate_limiter: flows_full 1");
    assert_true(udp(CLIENT, 1, 100)); /* the old ones go on */
    assert_false(tcp(NF_OUTSIDE, THIRD, 1, NFT_RST));
    help_chain_counts(&h, "rate_limiter: clients_full 1");
    help_chain_wait_ms(&h, 29900); /* clients live as long as their connections */
    help_chain_counts(&h, "rate_limiter: clients_expired 0");
    help_chain_wait_ms(&h, 200);
    help_chain_counts(&h, "rate_limiter: connections_expired 3");
    help_chain_wait_ms(&h, 20000);
    help_chain_counts(&h, "rate_limiter: clients_expired 2");
    assert_true(udp(THIRD, 1, 100));
    assert_true(udp(THIRD, 2, 100));
    assert_true(udp(THIRD, 3, 100));
}

/* Of two clients the one goes that has used least of its rate, however many are new. */
CHAIN_TEST(who_has_used_most_stays_known)
{
    help_chain_begin(&h, LIMIT("pps: 10, burst_packets: 5, max_clients: 2"), NULL);
    for (unsigned i = 0; i < 5; i++)
        assert_true(udp(CLIENT, 9, 100));
    assert_false(udp(CLIENT, 9, 100));
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(udp(THIRD + i, 9, 100));
    assert_false(udp(CLIENT, 9, 100));
    help_chain_counts(&h, "rate_limiter: clients_displaced 999, clients_full 0");
    help_chain_wait_ms(&h, 1000); /* both are full again, and worth nothing */
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(udp(THIRD + 1000 + i, 9, 100));
    help_chain_counts(&h, "rate_limiter: clients_full 0");
    help_chain_is_sound(&h);
    help_chain_wait_ms(&h, 61000);
    help_chain_counts(&h, "rate_limiter: clients_new 2001, clients_expired 2");
}

/* The same of bits, in a table of many parts, of which each fills by itself. */
CHAIN_TEST(a_flood_of_new_clients_keeps_nobody_out)
{
    unsigned over = 0;

    help_chain_begin(&h, LIMIT("bps: 8000, burst_bits: 73728, max_clients: 2000"), NULL);
    for (uint32_t host = 0; host < 100; host++)
        for (unsigned i = 0; i < 9; i++)
            assert_true(udp(CLIENT + 256 * host, 9, 1024));
    for (uint32_t i = 0; i < 20000; i++)
        assert_true(udp(NFT_IP(192, 18, 0, 0) + i, 9, 100));
    help_chain_counts(&h, "rate_limiter: clients_full 0");
    for (uint32_t host = 0; host < 100; host++)
        over += !udp(CLIENT + 256 * host, 9, 1024);
    assert_int_equal(over, 100);
    help_chain_is_sound(&h);
}

CHAIN_TEST(packets_without_ports_take_of_their_clients_rate)
{
    uint8_t arp[42] = {[12] = 8, [13] = 6, 0, 1, 8, 0, 6, 4}, frame[NFT_FRAME_MAX];
    struct nft_spec first =
        HELP_PACKET(17, CLIENT, 0, HOST, 0, .fragment = NFT_MORE, .payload = 96, .tags = 2);
    struct nft_spec later = HELP_PACKET(17, CLIENT, 0, HOST, 0, .fragment = 13, .payload = 100, .options = 3);
    struct nft_spec other = {.src = CLIENT, .dst = HOST, .proto = 47, .payload = 100, .tags = 1};
    help_chain_begin(&h, LIMIT("pps: 1, burst_packets: 4, max_connections: 1"), NULL);
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &first, NULL));
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &later, NULL));
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &other, NULL));
    help_chain_has(&h, "rate_limiter", "\"packets_left\":1,\"bits_left\":1000000,\"connections\":1,");
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &other, NULL));
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &later, NULL));
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &other, NULL));
    for (unsigned i = 0; i < 3; i++)
        assert_false(help_chain_send(&h, NF_OUTSIDE, arp, sizeof(arp)).drop);
    uint32_t len = nft_frame(&other, frame);
    frame[14 + 4 + 10] ^= 1;
    assert_true(help_chain_send(&h, NF_OUTSIDE, frame, len).drop);
    help_chain_counts(&h, "rate_limiter: malformed 1");
}

CHAIN_TEST(commands_change_limits)
{
    static const char *const wrong[] = {"set rate_limiter pps=",
                                        "set rate_limiter pps=-1",
                                        "set rate_limiter pps=1x",
                                        "set rate_limiter burst_packets=0",
                                        "set rate_limiter burst_bits=1000",
                                        "set rate_limiter pps=99999999999999",
                                        "set rate_limiter udp=0",
                                        "clear rate_limiter 10.0.0"};
    help_chain_begin(&h, LIMIT("pps: 1, burst_packets: 2"), NULL);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(help_chain_command(&h, wrong[i]), FT_EINVAL);
    assert_int_equal(help_chain_command(&h, "set rate_limiter rate=1"), FT_ENOENT);
    assert_true(udp(CLIENT, 1, 100) && udp(CLIENT, 1, 100));
    assert_true(udp(SECOND_ONE, 1, 100) && udp(SECOND_ONE, 1, 100));
    assert_false(udp(CLIENT, 1, 100) || udp(SECOND_ONE, 1, 100));
    assert_int_equal(help_chain_command(&h, "clear rate_limiter 198.51.100.7"), FT_OK);
    assert_true(udp(CLIENT, 1, 100) && udp(CLIENT, 1, 100));
    assert_false(udp(CLIENT, 1, 100) || udp(SECOND_ONE, 1, 100));
    assert_int_equal(help_chain_command(&h, "clear rate_limiter"), FT_OK);
    assert_true(udp(SECOND_ONE, 1, 100));
    assert_int_equal(help_chain_command(&h, "set rate_limiter pps=1000"), FT_OK);
    assert_int_equal(help_chain_command(&h, "set rate_limiter max_connections=1"), FT_OK);
    help_chain_wait_ms(&h, 1);
    assert_true(udp(SECOND_ONE, 1, 100));
    assert_false(udp(SECOND_ONE, 2, 100));
    assert_int_equal(help_chain_command(&h, "set rate_limiter pps=0"), FT_OK);
    for (unsigned i = 0; i < 20; i++)
        assert_true(udp(SECOND_ONE, 1, 100));
}

/* Whether the chain has looked for the flow of a packet of it. */
static bool is_looked_up(uint16_t port)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct nft_spec spec = {.src = CLIENT, .dst = HOST, .sport = port, .dport = 53, .proto = 17};
    struct nf_packet p = {.data = frame, .side = NF_OUTSIDE, .in_port = 1};

    p.len = p.have = nft_frame(&spec, frame);
    help_chain_run(&h, h.now, &p, 1);
    return p.flow & NF_FLOW_KEYED;
}

/* As long as connections are limited, and then until those that there are have ended. */
CHAIN_TEST(flows_are_looked_up_where_connections_count)
{
    help_chain_begin(&h, LIMIT("pps: 1000, udp: 2"), NULL);
    assert_false(is_looked_up(1));
    assert_int_equal(help_chain_command(&h, "set rate_limiter max_connections=1"), FT_OK);
    assert_true(is_looked_up(1));
    assert_false(udp(CLIENT, 2, 100));
    assert_int_equal(help_chain_command(&h, "set rate_limiter max_connections=0"), FT_OK);
    assert_true(is_looked_up(1));
    help_chain_has(&h, "rate_limiter", "\"connections\":1,");
    help_chain_wait_tenths(&h, 25);
    help_chain_has(&h, "rate_limiter", "\"connections\":0,");
    assert_false(is_looked_up(1));
    help_chain_begin(&h, LIMIT("pps: 1000") "    - monitor: {}\n", NULL);
    assert_true(is_looked_up(1));
}

CHAIN_TEST(impossible_limits_are_refused)
{
    help_chain_refuses(LIMIT("burst_packets: 3"), "nothing is limited");
    help_chain_refuses(LIMIT("bps: 3, burst_bits: 3"), "");
}

CHAIN_TEST(captures_replay_to_the_same_state)
{
    help_captures_or_skip();
    help_chain_open(&h,
                    LIMIT("clients: both, pps: 50, burst_packets: 20, bps: 500000, max_connections: 8, "
                          "max_clients: 5000, max_flows: 1000"),
                    NULL, 3);
    if (help_chain_same(&h, "mixed.pcap", false))
        assert_true(help_chain_counter(&h, "rate_limiter", "over_packets") > 0 &&
                    help_chain_counter(&h, "rate_limiter", "passed") > 0);
    if (help_chain_same(&h, "gnutella.pcap", false))
        assert_true(help_chain_counter(&h, "rate_limiter", "over_connections") > 0);
    help_chain_same(&h, "badpackets.pcap", false);
    help_chain_same(&h, "http-qinq.pcap", false);
    help_chain_same(&h, "synscan.pcap", false);
}
