/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's own addresses: ARP, neighbours and their ages, routes, TTL, ICMP, what is refused.
 *
 *     10.0.0.0/24 ── 10.0.0.1 [port 0, inside] chain [port 1, outside] 203.0.113.1 (and .9) ── 203.0.113.254
 * ── *
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define S NF_SECOND

static const uint8_t inner_mac[6] = {2, 0, 0, 0, 0, 1}, outer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t host_mac[6] = {0x52, 0x54, 0, 0, 0, 5}, gate_mac[6] = {0x52, 0x54, 0, 0, 0, 0xfe};
static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};

static uint32_t ip4(const char *text)
{
    return inet_addr(text);
}

/* ---- a chain of one NF that can translate: 10.0.0.5 is 203.0.113.9 outside ---- */

static bool translating;
static uint32_t processed;

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf, (void)now;
    processed += n;
    for (uint32_t i = 0; translating && i < n; i++) {
        if (packets[i]->side == NF_INSIDE)
            nf_packet_set_saddr(packets[i], ip4("203.0.113.9"));
        else if (packets[i]->daddr == ip4("203.0.113.9"))
            nf_packet_set_daddr(packets[i], ip4("10.0.0.5"));
    }
}

static const struct nf_module translator = {.name = "translator", .process = process};

static struct nf_l3_config l3_config;
static struct nf_chain_config config;
static struct ft_region *region;
static struct nf_chain *chain;
static struct nf *l3;
static uint64_t burst;

static void configure(void)
{
    l3_config = (struct nf_l3_config){
        .ports = 2,
        .port = {{.name = "in", .side = NF_INSIDE, .mac = {2, 0, 0, 0, 0, 1}, .addr = ip4("10.0.0.1")},
                 {.name = "out", .side = NF_OUTSIDE, .mac = {2, 0, 0, 0, 0, 2}, .addr = ip4("203.0.113.1")}},
        .routes = 3,
        .route = {{.via = ip4("203.0.113.254"), .port = 1},
                  {.addr = ip4("172.16.0.0"), .mask = ip4("255.255.0.0"), .via = ip4("10.0.0.3")},
                  {.addr = ip4("172.16.9.0"), .mask = ip4("255.255.255.0"), .via = ip4("10.0.0.4")}},
        .next_hops = 1,
        .next_hop = {ip4("203.0.113.254")},
    };
    l3_config.port[0].mask = l3_config.port[1].mask = ip4("255.255.255.0");
    l3_config.port[1].extra[0] = ip4("203.0.113.9");
    l3_config.port[1].extras = 1;
    config = (struct nf_chain_config){
        .name = "l3", .lanes = 1, .count = 1, .nfs = {{&translator, NULL}}, .l3 = &l3_config};
}

static void end(void)
{
    nf_chain_free(chain);
    chain = NULL;
    ft_region_close(region);
    region = NULL;
}

/* Called inside the tests: audit and cmocka both want SIGSEGV, and the later one has it. */
static void begin(void)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 65536, .audit = true};
    struct ft_fault fault = {""};
    if (region) /* left by a test that failed */
        end();
    if (nf_chain_region(&region, &config, &how, &fault) ||
        nf_chain_make(&chain, &config, region, 0, 7, &fault))
        fail_msg("%s", fault.text);
    l3 = nf_chain_find(chain, "l3");
    burst = 0;
    processed = 0;
    translating = false;
}

/* One packet, or none, at a time in seconds; what was made is in made[]. */
static const struct nf_emitted *made;
static uint32_t made_count;

static void run(double at, struct nf_packet *p)
{
    nf_chain_run(chain, ++burst, (uint64_t)(at * 1000) * NF_MS, p, p ? 1 : 0);
    ft_audit_check(region, 0);
    made_count = nf_chain_emitted(chain, &made);
}

static void assert_counted(enum nf_l3_counter counter, uint64_t n)
{
    assert_int_equal(l3->counters[counter], n);
}

static void assert_dropped(const struct nf_packet *p, enum nf_l3_counter reason)
{
    assert_int_equal(p->drop_nf, 0);
    assert_int_equal(p->drop, reason + 1);
    assert_true(l3->counters[reason] > 0);
}

/* ---- frames ---- */

static uint8_t frame[1600];

static struct nf_packet packet(uint8_t port, uint32_t len)
{
    return (struct nf_packet){.data = frame, .len = len, .have = len, .in_port = port, .side = port};
}

/* An IPv4 packet to the chain's MAC of the port with the given L4 bytes. */
static struct nf_packet ipv4(uint8_t port, const char *from, const char *to, uint8_t ttl, uint8_t proto,
                             const void *l4, uint16_t n)
{
    uint32_t addr[2] = {ip4(from), ip4(to)};
    uint16_t total = htons((uint16_t)(20 + n)), sum;
    memset(frame, 0, sizeof(frame));
    memcpy(frame, port ? outer_mac : inner_mac, 6);
    memcpy(frame + 6, port ? gate_mac : host_mac, 6);
    frame[12] = 8;
    frame[14] = 0x45;
    memcpy(frame + 16, &total, 2);
    frame[22] = ttl;
    frame[23] = proto;
    memcpy(frame + 26, addr, 8);
    sum = nf_checksum(frame + 14, 20);
    memcpy(frame + 24, &sum, 2);
    memcpy(frame + 34, l4, n);
    return packet(port, 34u + n);
}

static struct nf_packet udp(uint8_t port, const char *from, const char *to, uint8_t ttl)
{
    static const uint8_t l4[12] = {0x12, 0x34, 0, 53, 0, 12, 0, 0, 'd', 'a', 't', 'a'};
    return ipv4(port, from, to, ttl, 17, l4, sizeof(l4));
}

static struct nf_packet echo(uint8_t port, const char *from, const char *to, uint8_t ttl)
{
    uint8_t l4[16] = {8, 0, 0, 0, 0xab, 0xcd, 0, 1, 'p', 'a', 'y', 'l', 'o', 'a', 'd', '!'};
    uint16_t sum = nf_checksum(l4, sizeof(l4));
    memcpy(l4 + 2, &sum, 2);
    return ipv4(port, from, to, ttl, 1, l4, sizeof(l4));
}

static struct nf_packet arp(uint8_t port, uint8_t operation, const uint8_t *to, const uint8_t *mac,
                            const char *sender, const char *target)
{
    uint32_t a = ip4(sender), b = ip4(target);
    static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
    memset(frame, 0, 60);
    memcpy(frame, to, 6);
    memcpy(frame + 6, mac, 6);
    memcpy(frame + 12, head, sizeof(head));
    frame[21] = operation;
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, &a, 4);
    memcpy(frame + 38, &b, 4);
    return packet(port, 60);
}

/* First burst, and both neighbours known from then on. */
static void know_both(double at)
{
    struct nf_packet p = arp(1, 2, outer_mac, gate_mac, "203.0.113.254", "203.0.113.1");
    run(at, &p);
    p = arp(0, 1, everybody, host_mac, "10.0.0.5", "10.0.0.1");
    run(at, &p);
}

static void assert_valid_ipv4(const uint8_t *f)
{
    assert_int_equal(nf_checksum(f + 14, 20), 0);
}

/* ---- ARP ---- */

static void test_next_hops_are_asked_at_start(void **state)
{
    (void)state;
    begin();
    static const uint8_t gate_request[42] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0,   2, 8,   6,
                                             0,   1,   8,   0,   6,   4,   0, 1, 2, 0, 0,   0, 0,   2,
                                             203, 0,   113, 1,   0,   0,   0, 0, 0, 0, 203, 0, 113, 254};
    assert_true(nf_chain_due(chain, 0));
    run(0, NULL);
    assert_int_equal(made_count, 3);
    unsigned outside = 0;
    for (unsigned i = 0; i < 3; i++)
        if (made[i].port == 1) {
            assert_int_equal(made[i].len, 42);
            assert_memory_equal(made[i].frame, gate_request, 42);
            outside++;
        }
    assert_int_equal(outside, 1);
    run(0.5, NULL);
    assert_int_equal(made_count, 0);
    assert_true(nf_chain_wake(chain) <= S);
    run(1, NULL); /* nobody answered */
    assert_int_equal(made_count, 3);
    assert_counted(NF_L3_ARP_ASKED, 6);
    end();
}

static void test_requests_for_own_addresses_are_answered(void **state)
{
    (void)state;
    begin();
    run(0, NULL);
    static const uint8_t reply[42] = {0x52, 0x54, 0,   0, 0,    0xfe, 2, 0, 0, 0,    0,   2, 8,   6,
                                      0,    1,    8,   0, 6,    4,    0, 2, 2, 0,    0,   0, 0,   2,
                                      203,  0,    113, 9, 0x52, 0x54, 0, 0, 0, 0xfe, 203, 0, 113, 254};
    struct nf_packet p = arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.9");
    run(0.1, &p);
    assert_dropped(&p, NF_L3_ARP);
    assert_int_equal(made_count, 1);
    assert_int_equal(made[0].port, 1);
    assert_memory_equal(made[0].frame, reply, 42);
    /* another's address; ours, but asked for on the other link; a reply; a broken one */
    p = arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.7");
    run(0.2, &p);
    assert_int_equal(made_count, 0);
    p = arp(0, 1, everybody, host_mac, "10.0.0.5", "203.0.113.1");
    run(0.3, &p);
    assert_int_equal(made_count, 0);
    p = arp(1, 2, outer_mac, gate_mac, "203.0.113.254", "203.0.113.1");
    run(0.4, &p);
    assert_int_equal(made_count, 0);
    p = arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.9");
    p.len = p.have = 41;
    run(0.5, &p);
    assert_dropped(&p, NF_L3_MALFORMED);
    assert_int_equal(made_count, 0);
    /* somebody claims ours: not learned, counted */
    p = arp(1, 1, everybody, gate_mac, "203.0.113.1", "203.0.113.1");
    run(0.6, &p);
    assert_counted(NF_L3_ARP_CONFLICT, 1);
    assert_counted(NF_L3_ARP_ANSWERED, 1);
    assert_int_equal(made_count, 0);
    assert_int_equal(processed, 0);
    end();
}

/* ---- routing ---- */

static void test_forwarding(void **state)
{
    (void)state;
    begin();
    know_both(0);
    struct nf_packet p = udp(0, "10.0.0.5", "198.51.100.7", 64);
    run(1, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 1);
    assert_memory_equal(frame, gate_mac, 6);
    assert_memory_equal(frame + 6, outer_mac, 6);
    assert_int_equal(frame[22], 63);
    assert_valid_ipv4(frame);
    p = udp(1, "198.51.100.7", "10.0.0.5", 2);
    run(1, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 0);
    assert_memory_equal(frame, host_mac, 6);
    assert_memory_equal(frame + 6, inner_mac, 6);
    assert_int_equal(frame[22], 1);
    assert_valid_ipv4(frame);
    assert_int_equal(processed, 2);
    end();
}

/* 172.16.9.1 lies in 172.16/16, 172.16.9/24 and 0/0. */
static void test_longest_prefix_wins(void **state)
{
    (void)state;
    begin();
    run(0, NULL);
    struct nf_packet p = arp(0, 2, inner_mac, (const uint8_t[]){2, 2, 2, 2, 2, 3}, "10.0.0.3", "10.0.0.1");
    run(0, &p);
    p = arp(0, 2, inner_mac, (const uint8_t[]){2, 2, 2, 2, 2, 4}, "10.0.0.4", "10.0.0.1");
    run(0, &p);
    p = udp(1, "198.51.100.7", "172.16.9.1", 9);
    run(1, &p);
    assert_int_equal(p.out_port, 0);
    assert_int_equal(frame[5], 4);
    p = udp(1, "198.51.100.7", "172.16.8.1", 9);
    run(1, &p);
    assert_int_equal(frame[5], 3);
    end();
}

static void test_unknown_neighbours_are_asked_for_once_a_second(void **state)
{
    (void)state;
    begin();
    run(0, NULL);
    for (unsigned i = 0; i < 9; i++) {
        struct nf_packet p = udp(1, "198.51.100.7", "10.0.0.77", 64);
        double at = 1 + 0.25 * i;
        run(at, &p);
        assert_dropped(&p, NF_L3_NO_NEIGHBOUR);
        unsigned asked = 0;
        for (uint32_t k = 0; k < made_count; k++)
            asked += made[k].port == 0 && made[k].frame[41] == 77;
        assert_int_equal(asked, i % 4 == 0); /* at 1, 2 and 3 s */
    }
    struct nf_packet p = arp(0, 2, inner_mac, host_mac, "10.0.0.77", "10.0.0.1");
    run(3.5, &p);
    p = udp(1, "198.51.100.7", "10.0.0.77", 64);
    run(3.6, &p);
    assert_int_equal(p.drop, 0);
    assert_memory_equal(frame, host_mac, 6);
    end();
}

/* Where packets to `to` go: the last byte of the MAC. */
static int mac_of(double at, uint8_t from, const char *to)
{
    struct nf_packet p = udp(from, from ? "198.51.100.7" : "10.0.0.5", to, 64);
    run(at, &p);
    assert_int_equal(p.drop, 0);
    return frame[5];
}

/* 203.0.113.254 is a next hop, 10.0.0.5 is not. */
static void test_who_may_change_a_known_neighbour(void **state)
{
    (void)state;
    static const uint8_t other[6] = {2, 2, 2, 2, 2, 2};
    struct nf_packet p;
    begin();
    know_both(0);
    assert_int_equal(mac_of(0.1, 1, "10.0.0.5"), host_mac[5]);
    p = arp(0, 2, everybody, other, "10.0.0.5", "10.0.0.99"); /* said to another */
    run(0.2, &p);
    p = arp(0, 1, everybody, other, "10.0.0.5", "10.0.0.99");
    run(0.2, &p);
    p = arp(0, 1, everybody, other, "10.0.0.5", "10.0.0.5"); /* to everybody */
    run(0.2, &p);
    p = arp(0, 2, everybody, other, "10.0.0.5", "10.0.0.5");
    run(0.2, &p);
    assert_int_equal(mac_of(0.3, 1, "10.0.0.5"), host_mac[5]);
    p = arp(0, 1, everybody, other, "10.0.0.5", "10.0.0.1"); /* asks us */
    run(0.4, &p);
    assert_int_equal(mac_of(0.5, 1, "10.0.0.5"), 2);
    p = arp(1, 2, everybody, other, "203.0.113.254", "203.0.113.77");
    run(0.6, &p);
    assert_int_equal(mac_of(0.7, 0, "198.51.100.7"), gate_mac[5]);
    p = arp(1, 1, everybody, other, "203.0.113.254", "203.0.113.254"); /* it has failed over */
    run(0.8, &p);
    assert_int_equal(mac_of(0.9, 0, "198.51.100.7"), 2);
    p = arp(1, 2, everybody, gate_mac, "203.0.113.254", "203.0.113.254");
    run(1.0, &p);
    assert_int_equal(mac_of(1.1, 0, "198.51.100.7"), gate_mac[5]);
    end();
}

/* Nobody asked for 10.0.0.78, and what it says is not for us. */
static void test_unasked_senders_are_not_learned(void **state)
{
    (void)state;
    begin();
    run(0, NULL);
    static const struct {
        uint8_t operation;
        const char *sender, *target;
    } said[] = {
        {2, "10.0.0.78", "10.0.0.99"},
        {1, "10.0.0.78", "10.0.0.78"},
        {1, "192.0.2.78", "10.0.0.1"}, /* not of this link */
        {1, "0.0.0.0", "10.0.0.1"},    /* a probe */
    };
    for (unsigned i = 0; i < 4; i++) {
        struct nf_packet p = arp(0, said[i].operation, everybody, host_mac, said[i].sender, said[i].target);
        run(0, &p);
    }
    struct nf_packet p = udp(1, "198.51.100.7", "10.0.0.78", 64);
    run(0, &p);
    assert_dropped(&p, NF_L3_NO_NEIGHBOUR);
    char text[4000];
    struct nf_show *show = nf_show_begin(text, sizeof(text));
    uint64_t cursor = 0;
    assert_false(nf_l3_show(nf_chain_l3(chain), show, &cursor));
    nf_show_end(show);
    assert_null(strstr(text, "192.0.2.78"));
    assert_null(strstr(text, "\"0.0.0.0\""));
    end();
}

static bool known(const char *addr)
{
    char text[8000], want[80];
    struct nf_show *show = nf_show_begin(text, sizeof(text));
    uint64_t cursor = 0;
    assert_false(nf_l3_show(nf_chain_l3(chain), show, &cursor));
    nf_show_end(show);
    snprintf(want, sizeof(want), "{\"addr\":\"%s\",\"state\":\"known\"", addr);
    return strstr(text, want);
}

/* Runs every wake time up to `until`; how often `last` was asked for on `port`. */
static unsigned asked_until(double until, uint8_t port, uint8_t last)
{
    unsigned asked = 0;
    while (nf_chain_wake(chain) <= (uint64_t)(until * 1000) * NF_MS) {
        uint64_t wake = nf_chain_wake(chain), time = nf_chain_state(chain)->time;
        run((double)(wake > time ? wake : time) / 1e9, NULL);
        for (uint32_t k = 0; k < made_count; k++)
            asked += made[k].port == port && made[k].frame[41] == last;
    }
    return asked;
}

static void test_ages(void **state)
{
    (void)state;
    begin();
    run(0, NULL);
    know_both(0.5);
    /* The next hop is asked every 20 s, though it is silent, and unknown 180 s after it last spoke. */
    assert_int_equal(asked_until(20.4, 1, 254), 0);
    assert_int_equal(asked_until(20.6, 1, 254), 1);
    assert_int_equal(asked_until(60.6, 1, 254), 2);
    assert_int_equal(asked_until(180.4, 1, 254), 5); /* at 80.5, 100.5, … 160.5 */
    assert_true(known("203.0.113.254") && known("10.0.0.5"));
    /* The host was never used: nobody asks, and it is forgotten. */
    assert_true(asked_until(181, 1, 254) >= 1);
    assert_false(known("203.0.113.254"));
    assert_false(known("10.0.0.5"));
    assert_true(asked_until(185, 1, 254) >= 4); /* once a second again */
    end();
}

static void test_neighbours_in_use_are_kept(void **state)
{
    (void)state;
    begin();
    know_both(0);
    unsigned asked = 0;
    for (unsigned at = 1; at < 300; at++) {
        asked += asked_until(at, 0, 5);
        struct nf_packet p = udp(1, "198.51.100.7", "10.0.0.5", 64);
        run(at, &p);
        assert_int_equal(p.drop, 0);
        if (made_count || asked) {
            p = arp(0, 2, inner_mac, host_mac, "10.0.0.5", "10.0.0.1");
            run(at, &p);
        }
    }
    assert_in_range(asked, 1, 20);
    assert_true(known("10.0.0.5"));
    end();
}

/* ---- ICMP ---- */

static void test_echo_from_inside(void **state)
{
    (void)state;
    begin();
    know_both(0);
    translating = true;
    struct nf_packet p = echo(0, "10.0.0.5", "10.0.0.1", 1);
    p.have = 60 < p.len ? 60 : p.len;
    run(1, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(processed, 0);
    assert_int_equal(p.out_port, 0);
    struct nf_packet want = echo(0, "10.0.0.1", "10.0.0.5", 64);
    uint8_t reply[sizeof(frame)];
    memcpy(reply, frame, want.len);
    p = echo(0, "10.0.0.5", "10.0.0.1", 1);
    run(1, &p);
    reply[34] = 0;
    reply[36] = reply[37] = 0;
    uint16_t sum = nf_checksum(reply + 34, 16);
    memcpy(reply + 36, &sum, 2);
    memcpy(reply, host_mac, 6);
    memcpy(reply + 6, inner_mac, 6);
    assert_memory_equal(frame, reply, want.len);
    assert_counted(NF_L3_ECHO_ANSWERED, 2);
    p = udp(0, "10.0.0.5", "10.0.0.1", 64);
    run(1, &p);
    assert_dropped(&p, NF_L3_LOCAL);
    assert_int_equal(processed, 0);
    end();
}

/* The outside address is also the translator's: only what it leaves alone is for us. */
static void test_echo_from_outside(void **state)
{
    (void)state;
    begin();
    know_both(0);
    struct nf_packet p = echo(1, "198.51.100.7", "203.0.113.9", 1);
    run(1, &p);
    assert_int_equal(processed, 1);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 1);
    assert_int_equal(frame[34], 0);
    assert_int_equal(frame[22], 64);
    assert_memory_equal(frame, gate_mac, 6);
    assert_int_equal(nf_checksum(frame + 34, 16), 0);
    assert_valid_ipv4(frame);
    translating = true;
    p = echo(1, "198.51.100.7", "203.0.113.9", 9);
    run(1, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 0);
    assert_int_equal(frame[34], 8);
    assert_int_equal(frame[33], 5);
    assert_int_equal(frame[22], 8);
    p = udp(1, "198.51.100.7", "203.0.113.1", 9);
    run(1, &p);
    assert_dropped(&p, NF_L3_LOCAL);
    /* from inside, translated: its source is ours by now, and no reply would find it */
    p = echo(0, "10.0.0.5", "203.0.113.1", 9);
    run(1, &p);
    assert_dropped(&p, NF_L3_LOCAL);
    end();
}

static void test_time_exceeded(void **state)
{
    (void)state;
    begin();
    know_both(0);
    translating = true;
    struct nf_packet p = udp(0, "10.0.0.5", "198.51.100.7", 1);
    uint8_t sent[42];
    memcpy(sent, frame, 42);
    run(0.5, &p);
    assert_dropped(&p, NF_L3_TTL);
    assert_int_equal(processed, 0);
    assert_int_equal(made_count, 1);
    assert_int_equal(made[0].port, 0);
    assert_int_equal(made[0].len, 14 + 20 + 8 + 28);
    const uint8_t *f = made[0].frame;
    static const uint8_t ip_head[10] = {0x45, 0xc0, 0, 56, 0, 0, 0x40, 0, 64, 1};
    static const uint8_t ends[8] = {10, 0, 0, 1, 10, 0, 0, 5};
    assert_memory_equal(f, host_mac, 6);
    assert_memory_equal(f + 6, inner_mac, 6);
    assert_memory_equal(f + 14, ip_head, 10);
    assert_memory_equal(f + 26, ends, 8);
    assert_valid_ipv4(f);
    assert_int_equal(f[34], 11);
    assert_int_equal(f[35], 0);
    assert_int_equal(nf_checksum(f + 34, 36), 0);
    assert_memory_equal(f + 42, sent + 14, 28); /* as the sender knows it */
    end();
}

static void test_errors_are_not_sent_about(void **state)
{
    (void)state;
    begin();
    know_both(0);
    uint8_t error[36] = {3, 1, 0, 0, 0, 0, 0, 0, 0x45};
    struct nf_packet p = ipv4(0, "10.0.0.5", "198.51.100.7", 1, 1, error, sizeof(error));
    run(0.5, &p);
    assert_dropped(&p, NF_L3_TTL);
    assert_int_equal(made_count, 0);
    p = udp(0, "10.0.0.5", "198.51.100.7", 1); /* a later fragment */
    frame[21] = 7;
    frame[24] = frame[25] = 0;
    uint16_t sum = nf_checksum(frame + 14, 20);
    memcpy(frame + 24, &sum, 2);
    run(0.5, &p);
    assert_dropped(&p, NF_L3_TTL);
    assert_int_equal(made_count, 0);
    p = udp(0, "10.0.0.1", "198.51.100.7", 1); /* it says it is from us */
    run(0.5, &p);
    assert_dropped(&p, NF_L3_TTL);
    assert_int_equal(made_count, 0);
    translating = true; /* translated on its way in: its sender does not know what would be quoted */
    p = udp(1, "198.51.100.7", "203.0.113.9", 1);
    run(0.5, &p);
    assert_dropped(&p, NF_L3_TTL);
    assert_int_equal(made_count, 0);
    assert_counted(NF_L3_ICMP_SENT, 0);
    end();
}

static void test_no_route(void **state)
{
    (void)state;
    l3_config.routes = l3_config.next_hops = 0;
    begin();
    know_both(0);
    struct nf_packet p = udp(0, "10.0.0.5", "198.51.100.7", 64);
    run(1, &p);
    assert_dropped(&p, NF_L3_NO_ROUTE);
    assert_int_equal(made_count, 1);
    assert_int_equal(made[0].port, 0);
    assert_int_equal(made[0].frame[34], 3);
    assert_int_equal(made[0].frame[35], 0);
    assert_int_equal(nf_checksum(made[0].frame + 34, 36), 0);
    end();
    configure();
}

/* 50 in a row, then one each 10 ms. */
static void test_errors_are_limited(void **state)
{
    (void)state;
    begin();
    know_both(0);
    run(10, NULL); /* asks for the silent hops */
    for (unsigned i = 0; i < 60; i++) {
        struct nf_packet p = udp(0, "10.0.0.5", "198.51.100.7", 1);
        run(10, &p);
        assert_int_equal(made_count, i < 50);
    }
    assert_counted(NF_L3_ICMP_LIMITED, 10);
    for (unsigned i = 0; i < 3; i++) {
        struct nf_packet p = udp(0, "10.0.0.5", "198.51.100.7", 1);
        run(10.010, &p);
        assert_int_equal(made_count, i == 0);
    }
    assert_counted(NF_L3_ICMP_SENT, 51);
    end();
}

/* ---- what is refused ---- */

static void test_refused_frames(void **state)
{
    (void)state;
    begin();
    know_both(0);
    struct nf_packet p = udp(0, "10.0.0.5", "198.51.100.7", 64);
    frame[5] = 9;
    run(1, &p);
    assert_dropped(&p, NF_L3_OTHER_MAC);
    p = udp(0, "10.0.0.5", "10.0.0.255", 64);
    memset(frame, 255, 6);
    run(1, &p);
    assert_dropped(&p, NF_L3_BROADCAST);
    p = udp(0, "10.0.0.5", "224.0.0.1", 64);
    run(1, &p);
    assert_dropped(&p, NF_L3_BROADCAST);
    assert_int_equal(processed, 0);
    p = udp(1, "198.51.100.7", "10.0.0.255", 64); /* directed at a link of ours */
    run(1, &p);
    assert_dropped(&p, NF_L3_BROADCAST);
    assert_counted(NF_L3_BROADCAST, 3);
    p = udp(0, "127.0.0.1", "198.51.100.7", 64);
    run(1, &p);
    assert_dropped(&p, NF_L3_MARTIAN);
    p = udp(0, "10.0.0.5", "198.51.100.7", 64);
    frame[12] = 0x86, frame[13] = 0xdd;
    run(1, &p);
    assert_dropped(&p, NF_L3_NOT_IPV4);
    p = udp(0, "10.0.0.5", "198.51.100.7", 64);
    frame[24] ^= 1;
    run(1, &p);
    assert_dropped(&p, NF_L3_MALFORMED);
    p = udp(0, "10.0.0.5", "198.51.100.7", 64);
    memmove(frame + 16, frame + 12, 46);
    frame[12] = 0x81, frame[13] = 0;
    p.len = p.have = p.len + 4;
    run(1, &p);
    assert_dropped(&p, NF_L3_VLAN);
    p = udp(0, "10.0.0.5", "198.51.100.7", 64);
    p.len = p.have = 13;
    run(1, &p);
    assert_dropped(&p, NF_L3_MALFORMED);
    assert_int_equal(processed, 1);
    assert_int_equal(made_count, 0);
    end();
}

/* ---- replay ---- */

static uint32_t draw(uint64_t *x)
{
    *x = *x * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*x >> 33);
}

/* Not the Internet checksum, which is the same for all frames whose own checksums are right. */
static uint64_t mix(uint64_t sum, const void *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum = (sum ^ ((const uint8_t *)data)[i]) * 1099511628211ull;
    return sum;
}

static struct nf_packet anything(uint64_t *x)
{
    static const char *const addrs[] = {"10.0.0.5",    "10.0.0.1",     "198.51.100.7", "203.0.113.9",
                                        "203.0.113.1", "172.16.9.200", "10.0.0.44",    "224.0.0.5"};
    uint8_t port = draw(x) & 1;
    const char *from = addrs[draw(x) % 8], *to = addrs[draw(x) % 8];
    struct nf_packet p;
    switch (draw(x) % 4) {
    case 0:
        p = arp(port, 1 + draw(x) % 2, everybody, port ? gate_mac : host_mac, from, to);
        break;
    case 1:
        p = echo(port, from, to, draw(x) % 4);
        break;
    case 2: { /* a long header, and a protocol that nobody looks into */
        uint8_t rest[60];
        for (unsigned i = 0; i < sizeof(rest); i++)
            rest[i] = (uint8_t)draw(x);
        p = ipv4(port, from, to, draw(x) % 4, 47, rest, sizeof(rest));
        frame[14] = 0x4f;
        frame[24] = frame[25] = 0;
        uint16_t sum = nf_checksum(frame + 14, 60);
        memcpy(frame + 24, &sum, 2);
        break;
    }
    default:
        p = udp(port, from, to, draw(x) % 4);
    }
    if (draw(x) % 4 == 0)
        frame[draw(x) % p.len] = (uint8_t)draw(x);
    p.len = p.have = p.len + draw(x) % 300; /* padding */
    return p;
}

/* With only the captured bytes of every packet: the same state, the same verdicts, the same bytes made. */
static void test_replay_of_captured_bytes(void **state)
{
    (void)state;
    uint64_t digest[2], sums[2] = {0}, outs[2];
    for (unsigned part = 0; part < 2; part++) {
        uint64_t x = 12345;
        begin();
        for (unsigned i = 0; i < 3000; i++) {
            struct nf_packet p = anything(&x);
            nf_packet_parse(&p);
            uint32_t taken = nf_packet_header_bytes(&p);
            if (part) {
                p.have = taken;
                memset(frame + taken, 0xee, p.len - taken);
            }
            translating = i % 3;
            run(i * 0.05, &p);
            sums[part] = mix(sums[part], (uint8_t[]){p.drop, p.out_port}, 2);
            if (!p.drop)
                sums[part] = mix(sums[part], frame, taken);
            for (uint32_t k = 0; k < made_count; k++) {
                sums[part] = mix(sums[part], &made[k].port, 1);
                sums[part] = mix(sums[part], made[k].frame, made[k].len);
            }
        }
        digest[part] = ft_region_digest(region);
        outs[part] = nf_chain_state(chain)->outputs;
        assert_true(l3->counters[NF_L3_ECHO_ANSWERED] > 20 && l3->counters[NF_L3_ICMP_SENT] > 20);
        end();
    }
    assert_true(digest[0] == digest[1]);
    assert_true(sums[0] == sums[1]);
    assert_true(outs[0] == outs[1] && outs[0] > 500);
}

/* ---- the rest ---- */

static void test_announcements(void **state)
{
    (void)state;
    static const char *const own[] = {"10.0.0.1", "203.0.113.1", "203.0.113.9"};
    uint8_t out[42], port;
    for (unsigned i = 0; i < 3; i++) {
        uint32_t addr = ip4(own[i]);
        assert_true(nf_l3_announce(&l3_config, i, out, &port));
        assert_int_equal(port, i > 0);
        assert_memory_equal(out, everybody, 6);
        assert_memory_equal(out + 6, port ? outer_mac : inner_mac, 6);
        assert_int_equal(out[21], 1);
        assert_memory_equal(out + 22, port ? outer_mac : inner_mac, 6);
        assert_memory_equal(out + 28, &addr, 4);
        assert_memory_equal(out + 38, &addr, 4);
    }
    assert_false(nf_l3_announce(&l3_config, 3, out, &port));
}

/* Pages of rows: the counters once, every neighbour once. */
static void test_show_in_pages(void **state)
{
    (void)state;
    begin();
    run(0, NULL);
    for (unsigned i = 0; i < 100; i++) {
        char addr[20];
        snprintf(addr, sizeof(addr), "10.0.0.%u", 100 + i);
        struct nf_packet p = arp(0, 1, everybody, host_mac, addr, "10.0.0.1");
        run(0.1, &p);
    }
    unsigned rows = 0, counters = 0, pages = 0;
    uint64_t cursor = 0;
    bool more = true;
    while (more && pages < 100) {
        char text[2000];
        struct nf_show *show = nf_show_begin(text, sizeof(text));
        more = nf_l3_show(nf_chain_l3(chain), show, &cursor);
        nf_show_end(show);
        for (const char *at = text; (at = strstr(at, "\"addr\"")); at++)
            rows++;
        counters += strstr(text, "\"l3_arp_answered\":100") != NULL;
        pages++;
    }
    assert_int_equal(rows, 103); /* and three next hops */
    assert_int_equal(counters, 1);
    assert_true(pages > 3);
    end();
}

static void test_impossible_configurations(void **state)
{
    (void)state;
    struct ft_fault fault = {""};
    begin();
    nf_chain_free(chain);
    ft_audit_suspend(region);
    ft_region_wipe(region);
    ft_audit_resume(region);
    l3_config.next_hop[0] = ip4("192.0.2.1");
    l3_config.routes = 0;
    assert_int_equal(nf_chain_make(&chain, &config, region, 0, 7, &fault), FT_EINVAL);
    assert_string_equal(fault.text, "l3: next hop 1 is on no link of the chain");
    l3_config.ports = 0;
    assert_int_equal(nf_chain_make(&chain, &config, region, 0, 7, &fault), FT_EINVAL);
    end();
    configure();
}

int main(void)
{
    configure();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_hops_are_asked_at_start),
        cmocka_unit_test(test_requests_for_own_addresses_are_answered),
        cmocka_unit_test(test_forwarding),
        cmocka_unit_test(test_longest_prefix_wins),
        cmocka_unit_test(test_unknown_neighbours_are_asked_for_once_a_second),
        cmocka_unit_test(test_unasked_senders_are_not_learned),
        cmocka_unit_test(test_who_may_change_a_known_neighbour),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_neighbours_in_use_are_kept),
        cmocka_unit_test(test_echo_from_inside),
        cmocka_unit_test(test_echo_from_outside),
        cmocka_unit_test(test_time_exceeded),
        cmocka_unit_test(test_errors_are_not_sent_about),
        cmocka_unit_test(test_no_route),
        cmocka_unit_test(test_errors_are_limited),
        cmocka_unit_test(test_refused_frames),
        cmocka_unit_test(test_replay_of_captured_bytes),
        cmocka_unit_test(test_announcements),
        cmocka_unit_test(test_show_in_pages),
        cmocka_unit_test(test_impossible_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
