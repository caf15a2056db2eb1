/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One host inside that begins as many flows as it can, beside others: nat and nat64 let it have its part, and
 * in a full table it is the one that makes room. Limits are counted here by what passes; state is checked as
 * one from a peer is after each flood.
 */
#include "nflib/session/table.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define GREEDY 200u
#define FLOOD  5000u

static struct help_chain h;
static const char *name; /* the NF that is tested */

static void open_with(const char *nf, const char *settings)
{
    char text[160];

    name = nf;
    snprintf(text, sizeof(text), "    - %s: { outside: 203.0.113.1%s }\n", nf, settings);
    help_chain_open(&h, text, NULL, 5);
}

/* A packet between a host inside and the server, from inside or back. */
static struct nf_packet packet(uint8_t frame[SIX_MAX], uint8_t side, uint8_t proto, uint32_t host,
                               uint16_t sport, uint8_t tcp)
{
    char from[32];
    bool six = name[3] == '6' && side == NF_INSIDE;
    const char *server = six ? "64:ff9b::198.51.100.1" : "198.51.100.1";
    struct six s = SIX(proto, side == NF_INSIDE ? from : server, side == NF_INSIDE ? sport : 53,
                       side == NF_INSIDE ? server : "203.0.113.1", side == NF_INSIDE ? 53 : sport, .tcp = tcp,
                       .payload = 9);
    struct nf_packet p = {.data = frame, .side = side, .in_port = side};

    /* A /64 for each: what one may have is the subject of test_hosts.c. */
    snprintf(from, sizeof(from), six ? "2001:db8:0:%u::1" : "10.0.0.%u", host);
    p.len = p.have = six_frame(&s, frame);
    return p;
}

/* Alone in a burst. The outside port; 0: it was dropped. */
static uint16_t send_packet(uint8_t side, uint8_t proto, uint32_t host, uint16_t sport, uint8_t tcp)
{
    uint8_t frame[SIX_MAX];
    struct nf_packet p = packet(frame, side, proto, host, sport, tcp);
    struct six_seen seen;

    help_chain_run(&h, h.now + 1000, &p, 1);
    if (p.drop)
        return 0;
    assert_true(six_see(p.data, p.len, &seen));
    return side == NF_INSIDE ? seen.sport : seen.dport;
}

static uint16_t begin(uint8_t proto, uint32_t host, uint16_t sport)
{
    return send_packet(NF_INSIDE, proto, host, sport, NFT_SYN);
}

/* The outside port; 0: one of the two was dropped. */
static uint16_t ask(uint8_t proto, uint32_t host, uint16_t sport)
{
    uint16_t port = begin(proto, host, sport);

    return port && send_packet(NF_OUTSIDE, proto, 0, port, NFT_SYN | NFT_ACK) ? port : 0;
}

/* Request, answer, and the third packet. */
static uint16_t open_flow(uint8_t proto, uint32_t host, uint16_t sport)
{
    uint16_t port = ask(proto, host, sport);

    return port && send_packet(NF_INSIDE, proto, host, sport, NFT_ACK) ? port : 0;
}

static uint64_t counter(const char *what)
{
    return help_chain_counter(&h, name, what);
}

static uint64_t live(void)
{
    return counter("mappings_created") - counter("mappings_expired") - counter("mappings_displaced");
}

/* 5,000 flows of one host; ten each of a hundred others, begun meanwhile and afterwards, all get through,
 * answers too. By default it has an eighth of 2,500. */
static void others_get_through(const char *nf, bool answered)
{
    open_with(nf, ", max_flows: 2500");
    for (uint32_t i = 0; i < FLOOD; i++) {
        uint16_t port = begin(17, GREEDY, (uint16_t)(1 + i));

        assert_true(port);
        if (answered)
            assert_true(send_packet(NF_OUTSIDE, 17, 0, port, 0));
        if (i % 5 == 0)
            assert_true(open_flow(i % 10 ? 6 : 17, 1 + i / 5 % 100, (uint16_t)(1000 + i / 500)));
    }
    assert_int_equal(live(), 312 + 1000);
    help_chain_counts(&h, "%s: table_full 0, ports_exhausted 0, host_full 0", nf);
    help_chain_is_sound(&h);
    for (uint32_t i = 0; i < 1000; i++) /* as before: none of theirs has gone */
        assert_true(begin(i % 2 ? 6 : 17, 1 + i % 100, (uint16_t)(1000 + i / 100)));
    help_chain_is_sound(&h);
}

/* Ports run out before the table does: the greedy host's part is one of ports. */
NATS_TEST(ports_are_left)
{
    open_with(nf, ", ports: 10000-17999");
    for (uint32_t i = 0; i < FLOOD; i++)
        assert_true(begin(17, GREEDY, (uint16_t)(1 + i)));
    assert_int_equal(live(), 1000);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(open_flow(17, 1 + i % 100, (uint16_t)(1000 + i)));
    assert_int_equal(counter("ports_exhausted"), 0);
}

static void run_out_of_udp_ports(uint32_t hosts)
{
    for (uint32_t i = 0; i < hosts * 250; i++)
        assert_true(open_flow(17, GREEDY + i % hosts, (uint16_t)(1000 + i / hosts)));
}

/* Nine hosts fill the ports long before the table: one of who has most makes room, also answered, and of
 * nobody else's. The port is had again at once. */
static void run_out_of_ports(void)
{
    run_out_of_udp_ports(9);
    assert_int_equal(live(), 2000);
    for (uint32_t i = 0; i < 500; i++)
        assert_true(open_flow(i % 5 ? 17 : 6, 1 + i % 100, (uint16_t)(1000 + i)));
    assert_int_equal(live(), 2000 + 100); /* of TCP ports are apart */
    help_chain_counts(&h, "%s: ports_exhausted 0, table_full 0, host_full 0", name);
    help_chain_is_sound(&h);
    for (uint32_t i = 0; i < 500; i++)
        assert_true(begin(i % 5 ? 17 : 6, 1 + i % 100, (uint16_t)(1000 + i)));
    assert_int_equal(counter("mappings_created"), 9 * 250 + 500);
}

/* And once more: it is the same flows that go, and the same ports that are had. */
static void ports_run_out(const char *nf, const char *settings)
{
    char text[96];
    uint64_t digest;

    snprintf(text, sizeof(text), ", ports: 10000-11999%s", settings);
    open_with(nf, text);
    run_out_of_ports();
    digest = help_chain_digest(&h);
    help_chain_again(&h);
    run_out_of_ports();
    assert_true(help_chain_digest(&h) == digest);
}

/* Where nobody has a sixteenth of the ports, those go that nobody has answered, or of which nothing came
 * since; then the one that has been idle longest. */
NATS_TEST(transitory_ports_go_first)
{
    uint16_t port[400];

    open_with(nf, ", ports: 10000-10399");
    for (uint32_t i = 0; i < 400; i++) {
        port[i] = (i % 2 ? open_flow : i % 4 ? ask : begin)(17, 1 + i % 40, (uint16_t)(1000 + i));
        assert_true(port[i]);
    }
    for (uint32_t i = 0; i < 200; i++)
        assert_true(open_flow(17, 41 + i % 40, (uint16_t)(1000 + i)));
    assert_int_equal(counter("mappings_displaced"), 200);
    for (uint32_t i = 0; i < 400; i++)
        if (i % 2 && i != 11) /* the sixth of the first 16 */
            assert_int_equal(begin(17, 1 + i % 40, (uint16_t)(1000 + i)), port[i]);
    assert_int_equal(counter("mappings_created"), 600);
    assert_int_equal(begin(17, 90, 1000), port[11]);
    help_chain_counts(&h, "%s: mappings_displaced 201, ports_exhausted 0", nf);
    for (uint32_t i = 0; i < 400; i++)
        if (i % 2 && i != 11)
            assert_int_equal(begin(17, 1 + i % 40, (uint16_t)(1000 + i)), port[i]);
    assert_int_equal(counter("mappings_created"), 601);
    help_chain_is_sound(&h);
}

/* A host with more flows than all others, none of which would free what is short, stands before nobody. */
NATS_TEST(who_has_others_is_passed_over)
{
    open_with(nf, ", ports: 10000-11999, max_flows_per_host: 3000");
    for (uint32_t i = 0; i < 1500; i++)
        assert_true(begin(6, 250, (uint16_t)(1000 + i)));
    run_out_of_udp_ports(9);
    for (uint32_t i = 0; i < 500; i++)
        assert_true(open_flow(17, 1 + i % 100, (uint16_t)(1000 + i)));
    assert_int_equal(counter("ports_exhausted"), 0);
    assert_int_equal(live(), 1500 + 2000);
    help_chain_is_sound(&h);
}

/* A host at its limit makes room itself, whoever has more. */
NATS_TEST(a_host_at_its_limit_takes_its_own_port)
{
    open_with(nf, ", ports: 10000-10399, max_flows_per_host: 200");
    for (uint32_t i = 0; i < 400; i++)
        assert_true(open_flow(17, 1 + i % 2, (uint16_t)(1000 + i)));
    for (uint32_t i = 0; i < 50; i++)
        assert_true(open_flow(17, 1, (uint16_t)(2000 + i)));
    for (uint32_t i = 0; i < 400; i++)
        if (i % 2)
            assert_true(begin(17, 2, (uint16_t)(1000 + i)));
    help_chain_counts(&h, "%s: mappings_created 450, mappings_displaced 50", nf);
    help_chain_is_sound(&h);
}

/* A host that has none of its own to give, in front of another one in the burst: others' ports go all the
 * same. */
NATS_TEST(who_finds_none_of_its_own_stops_nobody)
{
    uint8_t frame[2][SIX_MAX];
    struct nf_packet p[2];

    open_with(nf, ", ports: 10000-10399, max_flows_per_host: 200");
    for (uint32_t i = 0; i < 199; i++)
        assert_true(open_flow(6, GREEDY, (uint16_t)(1000 + i)));
    assert_true(open_flow(17, GREEDY, 1000));
    for (uint32_t i = 0; i < 201; i++)
        assert_true(begin(6, 2 + i / 200, (uint16_t)(1000 + i)));
    p[0] = packet(frame[0], NF_INSIDE, 6, GREEDY, 5000, NFT_SYN);
    p[1] = packet(frame[1], NF_INSIDE, 6, 4, 5000, NFT_SYN);
    help_chain_run(&h, h.now + 1000, p, 2);
    assert_true(p[0].drop);
    assert_false(p[1].drop);
    help_chain_is_sound(&h);
}

/* Where there is nothing to give, a burst looks for it once for each kind, whatever the order is: ports of
 * TCP are all of open connections. */
NATS_TEST(what_is_not_there_is_looked_for_once)
{
    uint8_t frame[4][SIX_MAX];
    struct nf_packet p[4];

    open_with(nf, ", ports: 10000-10039, max_flows_per_host: 1000");
    for (uint32_t i = 0; i < 40; i++) {
        assert_true(open_flow(6, 1 + i, 1000));
        assert_true(open_flow(17, 1 + i, 1000));
    }
    for (unsigned i = 0; i < 4; i++)
        p[i] = packet(frame[i], NF_INSIDE, i % 2 ? 17 : 6, 90, (uint16_t)(2000 + i), NFT_SYN);
    help_chain_run(&h, h.now + 1000, p, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(!p[i].drop, i % 2);
    assert_int_equal(__builtin_popcount(nf_sessions_lane(nf_chain_nf(h.chain, 1))->vain), 1);
    help_chain_is_sound(&h);
}

/* Eight such hosts fill a table: the one that has most makes room, with its oldest. */
NATS_TEST(who_has_most_makes_room)
{
    open_with(nf, ", max_flows: 2048");
    for (uint32_t i = 0; i < 8 * 300; i++)
        assert_true(open_flow(17, GREEDY + i % 8, (uint16_t)(1000 + i / 8)));
    assert_int_equal(live(), 2048);
    for (uint32_t i = 0; i < 500; i++)
        assert_true(open_flow(6, 1 + i % 100, (uint16_t)(1000 + i)));
    assert_int_equal(live(), 2048);
    assert_int_equal(counter("table_full"), 0);
    help_chain_is_sound(&h);
    for (uint32_t i = 0; i < 500; i++)
        assert_true(send_packet(NF_INSIDE, 6, 1 + i % 100, (uint16_t)(1000 + i), NFT_ACK));
    assert_int_equal(counter("mappings_created"), 8 * 256 + 8 * 44 + 500);
}

/* Open connections of TCP are not displaced: a host that has nothing else begins no more. */
NATS_TEST(open_connections_stay)
{
    open_with(nf, ", max_flows: 1000, max_flows_per_host: 40");
    for (uint32_t i = 0; i < 40; i++)
        assert_true(open_flow(6, GREEDY, (uint16_t)(1000 + i)));
    for (uint32_t i = 0; i < 5; i++)
        assert_false(begin(6, GREEDY, (uint16_t)(2000 + i)));
    assert_int_equal(counter("host_full"), 5);
    assert_true(begin(6, 1, 1000));
    for (uint32_t i = 0; i < 40; i++)
        assert_true(send_packet(NF_INSIDE, 6, GREEDY, (uint16_t)(1000 + i), NFT_ACK));
    help_chain_is_sound(&h);
}

/* UDP that nobody answers goes after 30 s, and first; answered it has the file's time. */
NATS_TEST(udp_without_an_answer_is_transitory)
{
    uint16_t port;

    open_with(nf, ", max_flows: 20");
    port = begin(17, 1, 1000);
    assert_true(open_flow(17, 1, 1001));
    help_chain_wait_tenths(&h, 299);
    assert_int_equal(live(), 2);
    help_chain_wait_tenths(&h, 2);
    assert_int_equal(live(), 1);
    assert_false(send_packet(NF_OUTSIDE, 17, 0, port, 0));
    help_chain_wait_tenths(&h, 2690);
    assert_int_equal(live(), 1);
    help_chain_wait_tenths(&h, 20);
    assert_int_equal(live(), 0);
    for (uint16_t i = 0; i < 19; i++)
        assert_true(open_flow(17, i, 1000));
    assert_true(begin(17, 30, 1000));
    assert_true(begin(17, 31, 1000)); /* in its place */
    for (uint16_t i = 0; i < 19; i++)
        assert_true(begin(17, i, 1000));
    assert_int_equal(counter("mappings_displaced"), 1);
    help_chain_is_sound(&h);
}

/* Answered once is not enough: who asked may be forged. And what is assured gives way when nothing else does,
 * but for open connections of TCP. */
NATS_TEST(what_is_assured_goes_last)
{
    open_with(nf, ", max_flows: 20");
    for (uint16_t i = 0; i < 10; i++)
        assert_true(open_flow(i % 2 ? 17 : 6, i, 1000));
    for (uint16_t i = 10; i < 20; i++)
        assert_true(ask(17, i, 1000));
    for (uint16_t i = 20; i < 30; i++)
        assert_true(ask(17, i, 1000));
    assert_int_equal(counter("mappings_displaced"), 10);
    for (uint16_t i = 0; i < 10; i++)
        assert_true(send_packet(NF_INSIDE, i % 2 ? 17 : 6, i, 1000, NFT_ACK));
    assert_int_equal(counter("mappings_created"), 30);
    for (uint16_t i = 30; i < 45; i++)
        assert_true(open_flow(6, i, 1000));
    for (uint16_t i = 0; i < 10; i += 2) /* of UDP all have gone, of TCP none */
        assert_true(send_packet(NF_INSIDE, 6, i, 1000, NFT_ACK));
    help_chain_counts(&h, "%s: mappings_created 45, table_full 0", nf);
    assert_false(begin(6, 50, 1000));
    assert_int_equal(counter("table_full"), 1);
    help_chain_is_sound(&h);
}

/* Where the file says less than 30 s for all of UDP, that is what counts. */
NATS_TEST(the_files_shorter_time_counts)
{
    open_with(nf, ", max_flows: 20, udp: 20");
    assert_true(begin(17, 1, 1000));
    assert_true(open_flow(17, 1, 1001));
    help_chain_wait_tenths(&h, 199);
    assert_int_equal(live(), 2);
    help_chain_wait_tenths(&h, 2);
    assert_int_equal(live(), 0);
}

NATS_TEST(unanswered_floods_keep_nobody_out)
{
    others_get_through(nf, false);
}

NATS_TEST(answered_floods_keep_nobody_out)
{
    others_get_through(nf, true);
}

NATS_TEST(ports_for_each_flow_run_out)
{
    ports_run_out(nf, "");
}

NATS_TEST(ports_for_each_end_run_out)
{
    ports_run_out(nf, ", mapping: endpoint_independent");
}
