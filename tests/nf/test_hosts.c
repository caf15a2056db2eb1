/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever begins a session is counted, whatever NFs the chain has: what a host at its limit would begin is
 * dropped, as host_full, also of IPv6, which `nat` joins no flow of, and by NFs that pass what finds no room.
 */
#include "nflib/session/table.h"
#include "tests/help/chain.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"
#include <arpa/inet.h>

#define LIMIT 40u

static struct help_chain h;
static const char *hosts_are_in = "2001:db8:1::"; /* the /64 */

#define NAT     "    - nat: { outside: 203.0.113.1, max_flows: 1000, max_flows_per_host: 40 }\n"
#define MONITOR "    - monitor: { max_flows: 1000, ipv6: true }\n"

static void open_with(const char *nfs)
{
    help_chain_open(&h, nfs, NULL, 5);
}

/* A segment of IPv6 between a host, on the side from which it begins connections, and the server. */
static bool send_six(uint8_t side, bool back, uint32_t host, uint16_t port, uint8_t flags)
{
    static const char *const server = "2001:db8:2::1";
    char at[32];
    struct six s =
        SIX(6, back ? server : at, back ? 443 : port, back ? at : server, back ? port : 443, .tcp = flags);

    snprintf(at, sizeof(at), "%s%u", hosts_are_in, host);
    h.now += 1000;
    return help_chain_six(&h, back ? !side : side, &s, NULL);
}

static bool begin(uint8_t side, uint32_t host, uint16_t port)
{
    return send_six(side, false, host, port, NFT_SYN);
}

static bool open_flow(uint8_t side, uint32_t host, uint16_t port)
{
    return begin(side, host, port) && send_six(side, true, host, port, NFT_SYN | NFT_ACK) &&
           send_six(side, false, host, port, NFT_ACK);
}

static void fill_host(uint8_t side)
{
    for (uint16_t i = 0; i < LIMIT; i++)
        assert_true(open_flow(side, 1, (uint16_t)(1000 + i)));
}

static void no_more_begin(uint8_t side, const char *nf)
{
    for (uint16_t i = 0; i < 5; i++)
        assert_false(begin(side, 1, (uint16_t)(2000 + i)));
    if (nf)
        assert_int_equal(help_chain_counter(&h, nf, "host_full"), 5);
    for (uint16_t i = 0; i < LIMIT; i++) /* what is there goes on, and others begin as many */
        assert_true(send_six(side, false, 1, (uint16_t)(1000 + i), NFT_ACK));
    for (uint16_t i = 0; i < LIMIT; i++)
        assert_true(open_flow(side, 2, (uint16_t)(1000 + i)));
    help_chain_is_sound(&h);
}

/* `nat` alone limits, and `monitor` alone joins. */
CHAIN_TEST(of_ipv6_beside_nat)
{
    open_with(NAT MONITOR);
    fill_host(NF_INSIDE);
    no_more_begin(NF_INSIDE, "monitor");
    assert_int_equal(help_chain_counter(&h, "monitor", "flows_full"), 0);
}

CHAIN_TEST(of_ipv6_in_front_of_nat)
{
    open_with(MONITOR NAT);
    fill_host(NF_INSIDE);
    no_more_begin(NF_INSIDE, "monitor");
}

CHAIN_TEST(of_ipv6_that_begins_outside)
{
    open_with(NAT MONITOR);
    fill_host(NF_OUTSIDE);
    no_more_begin(NF_OUTSIDE, "monitor");
}

/* Half-open connections give way to new ones of their host, so that it has as many as it may. */
CHAIN_TEST(its_own_give_way)
{
    open_with(NAT MONITOR);
    for (uint16_t i = 0; i < 500; i++)
        assert_true(begin(NF_INSIDE, 1, (uint16_t)(1000 + i)));
    help_chain_counts(&h, "monitor: flows_displaced %u, host_full 0", 500 - LIMIT);
    help_chain_is_sound(&h);
}

/* The hosts outside that a load balancer is there for begin what they like. */
CHAIN_TEST(not_of_hosts_that_are_served)
{
    open_with(NAT MONITOR "    - load_balancer: { vip: 203.0.113.5, port: 80, backends: \"10.0.0.5:80\" }\n");
    for (uint16_t i = 0; i < 3 * LIMIT; i++)
        assert_true(open_flow(NF_OUTSIDE, 9, (uint16_t)(1000 + i)));
    assert_int_equal(help_chain_counter(&h, "monitor", "host_full"), 0);
    fill_host(NF_INSIDE);
    assert_false(begin(NF_INSIDE, 1, 2000));
    assert_int_equal(help_chain_counter(&h, "monitor", "host_full"), 1);
    help_chain_is_sound(&h);
}

/* Nobody limits: nothing changes. */
CHAIN_TEST(not_without_a_limit)
{
    open_with(MONITOR);
    for (uint16_t i = 0; i < 3 * LIMIT; i++)
        assert_true(open_flow(NF_INSIDE, 1, (uint16_t)(1000 + i)));
    help_chain_is_sound(&h);
}

static void last_full_is(uint64_t hosts, const char *addr, const char *nf)
{
    struct nf_host_full full;
    uint8_t bytes[16] = {0};
    bool ipv6 = strchr(addr, ':') != NULL;

    assert_true(nf_session_last_full(nf_chain_nf(h.chain, 1), &full));
    assert_int_equal(full.hosts, hosts);
    assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, addr, bytes), 1);
    assert_memory_equal(full.addr, bytes, 16);
    assert_int_equal(full.ipv6, ipv6);
    assert_int_equal(full.limit, LIMIT);
    assert_int_equal(full.at, h.now);
    assert_string_equal(nf_chain_nf(h.chain, full.nf)->module->name, nf);
}

/* For the log: a host is noted once, when it wants more than it may. */
CHAIN_TEST(who_is_at_its_limit_is_noted)
{
    struct nf_host_full full;

    open_with(NAT MONITOR);
    fill_host(NF_INSIDE);
    assert_true(nf_session_last_full(nf_chain_nf(h.chain, 1), &full));
    assert_int_equal(full.hosts, 0);
    assert_false(begin(NF_INSIDE, 1, 2000));
    last_full_is(1, "2001:db8:1::1", "monitor");
    assert_false(begin(NF_INSIDE, 1, 2000));
    for (uint16_t i = 0; i <= LIMIT; i++)
        assert_true(begin(NF_INSIDE, 2, (uint16_t)(1000 + i)));
    last_full_is(2, "2001:db8:1::2", "monitor");
    help_chain_is_sound(&h);
}

#define SMALL                                                                                                \
    "    - nat: { outside: 203.0.113.1, max_flows: 320, max_flows_per_host: 40 }\n"                          \
    "    - monitor: { max_flows: 320, ipv6: true }\n"
#define OF_NETWORK 280u /* seven eighths of 320 */

static void open_small(void)
{
    open_with(SMALL);
    hosts_are_in = "2001:db8:1::";
}

/* One machine has as many addresses in its /64 as it likes. What it leaves is for all others. */
CHAIN_TEST(a_network_leaves_an_eighth)
{
    struct nf_host_full full;
    unsigned opened = 0;

    open_small();
    for (uint32_t host = 1; host <= 20; host++)
        for (uint16_t i = 0; i < LIMIT; i++)
            opened += open_flow(NF_INSIDE, host, (uint16_t)(1000 + i));
    assert_int_equal(opened, OF_NETWORK);
    assert_true(nf_session_last_full(nf_chain_nf(h.chain, 1), &full));
    assert_int_equal(full.network, 1);
    assert_int_equal(full.limit, OF_NETWORK);
    assert_int_equal(full.addr[5], 1);
    assert_int_equal(full.addr[15], 0);
    hosts_are_in = "2001:db8:3::";
    for (uint16_t i = 0; i < LIMIT; i++)
        assert_true(open_flow(NF_INSIDE, 1, (uint16_t)(1000 + i)));
    help_chain_is_sound(&h);
}

/* Flows that may give way do so for a new host of the network, and never for it those of others. */
CHAIN_TEST(a_full_network_makes_room_of_its_own)
{
    unsigned begun = 0;

    open_small();
    hosts_are_in = "2001:db8:3::";
    for (uint16_t i = 0; i < LIMIT; i++)
        assert_true(begin(NF_INSIDE, 1, (uint16_t)(1000 + i)));
    hosts_are_in = "2001:db8:1::";
    for (uint32_t host = 1; host <= 20; host++)
        for (uint16_t i = 0; i < LIMIT; i++)
            begun += begin(NF_INSIDE, host, (uint16_t)(1000 + i));
    assert_int_equal(begun, 20 * LIMIT);
    assert_int_equal(help_chain_counter(&h, "monitor", "flows_displaced"), 20 * LIMIT - OF_NETWORK);
    assert_true(open_flow(NF_INSIDE, 99, 1000));
    hosts_are_in = "2001:db8:3::";
    for (uint16_t i = 0; i < LIMIT; i++) /* the same connections, so no other gives way to them */
        assert_true(begin(NF_INSIDE, 1, (uint16_t)(1000 + i)));
    assert_int_equal(help_chain_counter(&h, "monitor", "flows_displaced"), 20 * LIMIT - OF_NETWORK + 1);
    help_chain_is_sound(&h);
}

/* What a peer may not say of networks. */
CHAIN_TEST(networks_are_those_of_their_sessions)
{
    struct nf_session_network *one;
    struct nf_sessions *t;
    uint8_t *key;

    open_small();
    assert_true(open_flow(NF_INSIDE, 1, 1000));
    assert_true(open_flow(NF_INSIDE, 2, 1000));
    content_of_chain(h.region, h.chain);
    t = (struct nf_sessions *)(uintptr_t)nf_chain_find(h.chain, "nat")->env->sessions->table;
    one = (struct nf_session_network *)(uintptr_t)nf_map_value(t->networks, 0);
    assert_int_equal(one->flows, 2);
    DAMAGED(&t->networks, t->hosts, "constant");
    DAMAGED(&one->flows, 3, "network 0 has 3 flows, expected 2");
    DAMAGED(&one->flows, 0, "network 0 has 0 flows, expected 2");
    key = (uint8_t *)(uintptr_t)nf_map_key(t->networks, 0);
    DAMAGED(&key[7], 9, "");
}

/* A datagram, or half of a ping, of a client outside and the site's service, or an answer. */
static bool send_four(bool back, uint8_t proto, uint32_t client, uint16_t port, uint8_t tcp)
{
    uint32_t site = NFT_IP(203, 0, 113, 9);
    struct nft_spec s =
        HELP_PACKET(proto, back ? site : client, back && proto != 1 ? 53 : port, back ? client : site,
                    back ? port : 53, .tcp = tcp, .type = back ? 0 : 8, .payload = 9);

    h.now += 1000;
    return help_chain_spec(&h, back ? NF_INSIDE : NF_OUTSIDE, &s, NULL);
}

/* The question, and its answer. */
static void ask(uint8_t proto, uint32_t client, uint16_t port)
{
    assert_true(send_four(false, proto, client, port, NFT_SYN));
    assert_true(send_four(true, proto, client, port, NFT_SYN | NFT_ACK));
}

/* From outside, forged sources ask what the site's rules let in, ten for each that there is room for, and are
 * answered each. What honest ends keep up stays, and they begin what they like. */
static void forged_questions_keep_nobody_out(uint8_t proto)
{
    help_chain_open(&h, "    - firewall: { rules: firewall.rules, max_flows: 400 }\n",
                    "allow in icmp type 8\n"
                    "allow in udp to any port 53\n"
                    "allow in tcp to any port 53\n"
                    "default deny in\n",
                    5);
    for (uint32_t i = 0; i < 100; i++) {
        ask(i % 2 ? 17 : 6, NFT_IP(198, 18, 0, i), 1000);
        assert_true(send_four(false, i % 2 ? 17 : 6, NFT_IP(198, 18, 0, i), 1000, NFT_ACK));
    }
    for (uint32_t i = 0; i < 4000; i++) {
        ask(proto, NFT_IP(198, 51, 0, 0) + i, (uint16_t)(5000 + i));
        if (i % 40 == 0)
            ask(6, NFT_IP(198, 19, 0, i / 40), 1000);
    }
    help_chain_counts(&h, "firewall: table_full 0, connections_created 4200");
    for (uint32_t i = 0; i < 100; i++) /* from inside: where the flow has gone, another one begins */
        assert_true(send_four(true, i % 2 ? 17 : 6, NFT_IP(198, 18, 0, i), 1000, NFT_ACK));
    assert_int_equal(help_chain_counter(&h, "firewall", "connections_created"), 4200);
    help_chain_is_sound(&h);
}

CHAIN_TEST(forged_pings_keep_nobody_out)
{
    forged_questions_keep_nobody_out(1);
}

CHAIN_TEST(forged_queries_keep_nobody_out)
{
    forged_questions_keep_nobody_out(17);
}

/* A note that a lane has not finished is not read. */
CHAIN_TEST(a_torn_note_is_no_note)
{
    uint64_t note[3] = {0}, value[2] = {5, 6}, read[2];

    assert_true(nf_note_read(note, read, 2));
    nf_note_write(note, value, 2);
    assert_true(nf_note_read(note, read, 2));
    assert_memory_equal(read, value, sizeof(value));
    note[0]++;
    assert_false(nf_note_read(note, read, 2));
}
