/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer: who gets a flow, that it stays and comes back as it went, and an operator's changes. */
#include "understudy/config/config.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define VIP           NFT_IP(203, 0, 113, 10)
#define CLIENT        NFT_IP(198, 51, 100, 7)
#define B(n)          NFT_IP(10, 1, 0, n)
#define BALANCE(more) "    - load_balancer: { vip: 203.0.113.10, port: 80" more " }\n"
#define THREE         ", backends: \"10.1.0.1, 10.1.0.2 10.1.0.3:8080\""

static struct help_chain h;

static int set(const char *what)
{
    char text[128];
    snprintf(text, sizeof(text), "set load_balancer %s", what);
    return help_chain_command(&h, text);
}

/* From a client to the service: last byte of the backend's address, or 0: dropped. */
static unsigned ask(uint32_t client, uint16_t port, uint8_t flags)
{
    struct nft_seen s;
    struct nft_spec spec = HELP_PACKET(6, client, port, VIP, 80, .tcp = flags, .payload = 20);
    if (!help_chain_spec(&h, NF_OUTSIDE, &spec, &s))
        return 0;
    assert_int_equal(s.src, client);
    assert_int_equal(s.sport, port);
    assert_int_equal(s.dst >> 8, B(0) >> 8);
    assert_int_equal(s.dport, s.dst == B(3) ? 8080 : 80);
    return s.dst & 255;
}
/* The answer; true: it came from the service. */
static bool answer(uint32_t client, uint16_t port, unsigned backend, uint8_t flags)
{
    struct nft_seen s;
    struct nft_spec spec = HELP_PACKET(6, B(backend), backend == 3 ? 8080 : 80, client, port, .tcp = flags);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, &s));
    assert_int_equal(s.dst, client);
    return s.src == VIP && s.sport == 80;
}

/* A client on the backends' network, by way of the chain. */
static bool ask_inside(uint32_t dst, uint16_t port, struct nft_seen *seen)
{
    struct nft_spec spec = HELP_PACKET(6, NFT_IP(10, 1, 0, 9), port, dst, 80, .tcp = NFT_SYN);
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(&spec, frame);
    bool passed;

    memcpy(frame, "\2\0\0\0\0\1", 6);
    passed = !help_chain_send(&h, NF_INSIDE, frame, len).drop;
    nft_see(frame, len, seen);
    return passed;
}

/* It has a connection to a backend itself, from the port from which it asks the service: another backend is
 * free. */
CHAIN_TEST(a_client_beside_the_backends_gets_one_that_is_free)
{
    struct nft_seen s;

    help_chain_begin(
        &h,
        "    - monitor: {}\n" BALANCE(
            ", clients: inside, backends: \"10.1.0.1 10.1.0.2\"") "interfaces:\n"
                                                                  "  - { name: inside, side: inside, "
                                                                  "address: "
                                                                  "10.1.0.254/24, mac: "
                                                                  "\"02:00:00:00:00:01\" }\n"
                                                                  "  - { name: outside, side: outside, "
                                                                  "address: "
                                                                  "203.0.113.2/24, "
                                                                  "mac: \"02:00:00:00:00:02\" }\n",
        NULL);
    for (unsigned i = 1; i <= 9; i++)
        help_chain_arp_for(&h, NF_INSIDE, B(i), B(254));
    assert_true(ask_inside(B(1), 1000, &s));
    assert_int_equal(s.dst, B(1));
    assert_true(ask_inside(VIP, 1000, &s));
    assert_int_equal(s.dst, B(2));
    assert_true(ask_inside(VIP, 1001, &s));
    assert_int_equal(s.dst, B(1));
    help_chain_counts(&h, "load_balancer: conflict 0");
}

CHAIN_TEST(least_gives_flows_to_the_least_busy)
{
    unsigned got[4] = {0};
    help_chain_begin(&h, BALANCE(THREE ", tcp_transitory: 5"), NULL);
    for (uint16_t i = 0; i < 30; i++)
        got[ask(CLIENT, i, NFT_SYN)]++;
    assert_int_equal(got[1], 10);
    assert_int_equal(got[2], 10);
    assert_int_equal(got[3], 10);
    /* Those of the second are reset and go first: it gets the next ten. */
    for (uint16_t i = 0; i < 30; i++)
        if (i % 3 != 1)
            assert_int_equal(ask(CLIENT, i, NFT_ACK), i % 3 + 1);
    for (uint16_t i = 0; i < 30; i++)
        if (i % 3 != 1)
            answer(CLIENT, i, i % 3 + 1, NFT_SYN | NFT_ACK);
    for (uint16_t i = 0; i < 30; i++)
        if (i % 3 != 1)
            ask(CLIENT, i, NFT_ACK);
    help_chain_wait_tenths(&h, 51);
    help_chain_counts(&h, "load_balancer: flows_expired 10");
    for (uint16_t i = 100; i < 110; i++)
        assert_int_equal(ask(CLIENT, i, NFT_SYN), 2);
    assert_int_not_equal(ask(CLIENT, 200, NFT_SYN), 2);
}

CHAIN_TEST(consistent_keeps_clients_with_their_backend)
{
    unsigned was[200], now[200], moved = 0, on_second = 0, got[4] = {0};
    help_chain_begin(&h, BALANCE(THREE ", policy: consistent"), NULL);
    for (uint16_t i = 0; i < 200; i++)
        got[was[i] = ask(CLIENT, i, NFT_SYN)]++;
    assert_true(got[1] > 40 && got[2] > 40 && got[3] > 40);
    assert_int_equal(help_chain_command(&h, "clear load_balancer"), FT_OK);
    help_chain_has(&h, "load_balancer", "\"connections\":0");
    for (uint16_t i = 0; i < 200; i++)
        assert_int_equal(ask(CLIENT, i, NFT_SYN), was[i]);
    assert_int_equal(help_chain_command(&h, "clear load_balancer"), FT_OK);
    assert_int_equal(set("backend.10.1.0.2=down"), FT_OK);
    for (uint16_t i = 0; i < 200; i++) {
        now[i] = ask(CLIENT, i, NFT_SYN);
        moved += was[i] != now[i];
        on_second += was[i] == 2;
        assert_int_not_equal(now[i], 2);
    }
    assert_int_equal(moved, on_second); /* nobody else's */
}

CHAIN_TEST(random_gives_flows_to_all)
{
    unsigned got[4] = {0};
    help_chain_begin(&h, BALANCE(THREE ", policy: random"), NULL);
    for (uint16_t i = 0; i < 300; i++)
        got[ask(CLIENT, i, NFT_SYN)]++;
    assert_true(got[1] > 70 && got[2] > 70 && got[3] > 70);
    assert_int_equal(got[1] + got[2] + got[3], 300);
}

CHAIN_TEST(an_operator_changes_backends)
{
    static const char *const wrong[] = {
        "backends=10.1.0.1",     "backends=+10.1.0",  "backends=+10.1.0.1:0", "backends=+",
        "backend.10.1.0.1=gone", "backend.10.1.0.1=", "backend.10.1=up",      "udp=0"};
    help_chain_begin(&h, BALANCE(", backends: 10.1.0.1"), NULL);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(set(wrong[i]), FT_EINVAL);
    assert_int_equal(set("policy=random"), FT_ENOENT);
    assert_int_equal(set("backend.10.1.0.9=up"), FT_ENOENT);
    assert_int_equal(set("backends=-10.1.0.9"), FT_ENOENT);
    assert_int_equal(ask(CLIENT, 1, NFT_SYN), 1);
    assert_int_equal(set("backend.10.1.0.1=drain"), FT_OK);
    assert_int_equal(ask(CLIENT, 2, NFT_SYN), 0);
    help_chain_counts(&h, "load_balancer: no_backend 1");
    assert_int_equal(ask(CLIENT, 1, NFT_ACK), 1); /* those that are there go on */
    assert_int_equal(set("backends=+10.1.0.3:8080"), FT_OK);
    assert_int_equal(set("backends=+10.1.0.3:8080"), FT_OK); /* every lane is told */
    assert_int_equal(ask(CLIENT, 2, NFT_SYN), 3);
    assert_int_equal(ask(CLIENT, 1, NFT_ACK), 1);
    help_chain_counts(&h, "load_balancer: flows_cut 0");
    assert_int_equal(set("backend.10.1.0.1=down"), FT_OK);
    help_chain_counts(&h, "load_balancer: flows_cut 1");
    assert_int_equal(ask(CLIENT, 1, NFT_ACK), 3);
    assert_int_equal(set("backends=-10.1.0.3:8080"), FT_OK);
    assert_int_equal(set("backends=-10.1.0.3:8080"), FT_OK);
    help_chain_counts(&h, "load_balancer: flows_cut 3");
    help_chain_has(&h, "load_balancer",
                   "{\"backend\":\"10.1.0.3:8080\",\"state\":\"gone\",\"connections\":0,\"total\":2}");
    assert_int_equal(ask(CLIENT, 1, NFT_ACK), 0);
    assert_int_equal(set("backend.10.1.0.1=up"), FT_OK);
    assert_int_equal(ask(CLIENT, 1, NFT_ACK), 1);
}

/* Places of backends that are gone are used again, those in use are not. */
CHAIN_TEST(places_of_backends_that_are_gone_are_used_again)
{
    char text[64];
    help_chain_begin(&h, BALANCE(", backends: 10.1.0.1"), NULL);
    assert_int_equal(ask(CLIENT, 1, NFT_SYN), 1);
    for (unsigned i = 2; i < 250; i++) {
        snprintf(text, sizeof(text), "backends=+10.1.0.%u:80", i);
        assert_int_equal(set(text), FT_OK);
        *strchr(text, '+') = '-';
        assert_int_equal(set(text), FT_OK);
    }
    for (unsigned i = 2; i < 65; i++) {
        snprintf(text, sizeof(text), "backends=+10.1.0.%u:80", i);
        assert_int_equal(set(text), FT_OK);
    }
    assert_int_equal(set("backends=+10.1.0.66"), FT_EFULL);
    assert_int_equal(ask(CLIENT, 1, NFT_ACK), 1);
}

CHAIN_TEST(a_full_table_takes_no_new_flow)
{
    help_chain_begin(&h, BALANCE(THREE ", max_flows: 2, tcp_transitory: 10"), NULL);
    assert_int_equal(ask(CLIENT, 1, NFT_SYN), 1);
    assert_int_equal(ask(CLIENT, 2, NFT_SYN), 2);
    assert_int_equal(ask(CLIENT, 3, NFT_SYN), 0);
    help_chain_counts(&h, "load_balancer: table_full 1");
    assert_int_equal(ask(CLIENT, 1, NFT_SYN), 1);
    assert_true(answer(CLIENT, 2, 2, NFT_SYN | NFT_ACK));
    help_chain_wait_tenths(&h, 101);
    help_chain_counts(&h, "load_balancer: flows_expired 2");
    assert_int_equal(ask(CLIENT, 3, NFT_SYN), 3);
    assert_false(answer(CLIENT, 2, 2, NFT_ACK));
}

CHAIN_TEST(fragments_go_with_their_first)
{
    struct nft_seen s;
    struct nft_spec first = HELP_PACKET(6, CLIENT, 9, VIP, 80, .tcp = NFT_ACK, .ip_id = 77,
                                        .fragment = NFT_MORE, .payload = 100, .tags = 1);
    struct nft_spec later = HELP_PACKET(6, CLIENT, 0, VIP, 0, .ip_id = 77, .fragment = 15, .payload = 50);
    help_chain_begin(&h, BALANCE(THREE), NULL);
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &later, NULL));
    help_chain_counts(&h, "load_balancer: fragment_unknown 1");
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &first, &s));
    assert_int_equal(s.dst, B(1));
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &later, &s));
    assert_int_equal(s.dst, B(1));
    /* The answer's. */
    first = HELP_PACKET(6, B(1), 80, CLIENT, 9, .tcp = NFT_ACK, .ip_id = 78, .fragment = NFT_MORE,
                        .payload = 100, .options = 2);
    later = HELP_PACKET(6, B(1), 0, CLIENT, 0, .ip_id = 78, .fragment = 15, .payload = 50, .tags = 2);
    assert_true(help_chain_spec(&h, NF_INSIDE, &later, &s));
    assert_int_equal(s.src, B(1));
    assert_true(help_chain_spec(&h, NF_INSIDE, &first, &s));
    assert_int_equal(s.src, VIP);
    assert_true(help_chain_spec(&h, NF_INSIDE, &later, &s));
    assert_int_equal(s.src, VIP);
    /* The flow has ended: what was noted is of no use. */
    assert_int_equal(help_chain_command(&h, "set load_balancer tcp_established=1"), FT_OK);
    assert_int_equal(help_chain_command(&h, "set load_balancer tcp_transitory=1"), FT_OK);
    help_chain_wait_tenths(&h, 20);
    help_chain_counts(&h, "load_balancer: flows_expired 1");
    assert_true(help_chain_spec(&h, NF_INSIDE, &later, &s));
    assert_int_equal(s.src, B(1));
    ask(CLIENT + 1, 9, NFT_SYN); /* nor when another flow has its place */
    assert_true(help_chain_spec(&h, NF_INSIDE, &later, &s));
    assert_int_equal(s.src, B(1));
}

/* Any address is the service: answers get back the one that was asked for. */
CHAIN_TEST(without_an_address_answers_come_from_the_one_asked_for)
{
    struct nft_spec spec = {.src = B(200), .sport = 7, .dport = 53, .proto = 17, .payload = 9};
    struct nft_seen s;
    help_chain_open(
        &h, "    - load_balancer: { vip: 0.0.0.0, proto: both, clients: inside, backends: 10.1.0.1 }\n", NULL,
        1);
    spec.dst = NFT_IP(8, 8, 8, 8);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, &s));
    assert_int_equal(s.dst, B(1));
    spec.dst = NFT_IP(9, 9, 9, 9); /* the way back could not tell it from the first */
    assert_false(help_chain_spec(&h, NF_INSIDE, &spec, &s));
    help_chain_counts(&h, "load_balancer: conflict 1");
    spec.sport = 8;
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, &s));
    spec = (struct nft_spec){.src = B(1), .dst = B(200), .sport = 53, .dport = 8, .proto = 17};
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &spec, &s));
    assert_int_equal(s.src, NFT_IP(9, 9, 9, 9));
    spec.dport = 7;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &spec, &s));
    assert_int_equal(s.src, NFT_IP(8, 8, 8, 8));
}

CHAIN_TEST(impossible_backends_are_refused)
{
    help_chain_refuses(BALANCE(", backends: \"10.1.0.1 10.1.0\""), "backend \"10.1.0\"");
    help_chain_refuses(BALANCE(", backends: \"10.1.0.1 10.1.0.1\""), "");
    help_chain_refuses(BALANCE(", backends: 10.1.0.1:99999"), "");
}

CHAIN_TEST(captures_replay_to_the_same_state)
{
    help_captures_or_skip();
    static const char *const chains[] = {"nfs/chains/balanced.yaml", "nfs/chains/race.yaml"};
    static const char *const files[] = {"mixed.pcap",        "badpackets.pcap", "ip_fragmented_garbage.pcap",
                                        "http-qinq.pcap",    "synscan.pcap",    "tcp-truncated-header.pcap",
                                        "http-methods.pcap", "gnutella.pcap"};
    for (unsigned c = 0; c < 2; c++) {
        bool there = true;
        help_chain_open_file(&h, chains[c], c + 1);
        for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
            there &= help_chain_same(&h, files[i], false);
        if (c == 1 && there)
            assert_true(help_chain_counter(&h, "load_balancer", "flows_created") > 100);
    }
}

/* ---- several lanes: an answer is dealt to the lane of its client, whoever it comes from ---------------- */

static unsigned lane_of(enum nf_scope scope, uint8_t side, uint32_t src, uint16_t sport, uint32_t dst,
                        uint16_t dport)
{
    struct nft_spec spec = HELP_PACKET(17, src, sport, dst, dport, .payload = 20);
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(&spec, frame);
    struct nf_packet p = {.data = frame, .len = len, .have = len, .side = side};

    nf_packet_parse(&p);
    return nf_lane_of(&p, scope, 8);
}

/* Whichever backend it is that answers. */
CHAIN_TEST(answers_come_to_the_lane_of_their_client)
{
    struct ft_fault fault;
    enum nf_scope scope;
    unsigned lanes = 0;

    help_chain_open(&h, BALANCE(THREE), NULL, 1);
    assert_int_equal(nf_chain_scope(&h.config->chain, 8, &scope, &fault), 0);
    for (uint32_t i = 1; i < 200; i++) {
        unsigned lane = lane_of(scope, NF_OUTSIDE, CLIENT + i * 977, (uint16_t)(2000 + i), VIP, 80);

        lanes |= 1u << lane;
        for (unsigned b = 1; b <= 3; b++)
            assert_int_equal(
                lane_of(scope, NF_INSIDE, B(b), b == 3 ? 8080 : 80, CLIENT + i * 977, (uint16_t)(2000 + i)),
                lane);
    }
    assert_int_equal(lanes, 0xff);
    help_chain_open(&h, BALANCE(THREE ", clients: both"), NULL, 1);
    assert_true(nf_chain_scope(&h.config->chain, 2, &scope, &fault) < 0);
    assert_int_equal(nf_chain_scope(&h.config->chain, 1, &scope, &fault), 0);
}
