/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: a chain with addresses and one NF that can translate, and frames for it. Owns the chain and
 * the frame.
 */
#include "nflib/chain/change.h"
#include "nflib/net/icmp.h"
#include "tests/help/l3.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

const uint8_t inner_mac[6] = {2, 0, 0, 0, 0, 1}, outer_mac[6] = {2, 0, 0, 0, 0, 2};
const uint8_t host_mac[6] = {0x52, 0x54, 0, 0, 0, 5}, gate_mac[6] = {0x52, 0x54, 0, 0, 0, 0xfe};
const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};

uint32_t ip4(const char *text)
{
    return inet_addr(text);
}

struct nf_addr l3_addr(const char *text)
{
    struct nf_addr addr;

    assert_true(nf_addr_parse(text, &addr));
    return addr;
}

struct nf_net l3_net(const char *text)
{
    struct nf_net net;

    assert_true(nf_net_parse(text, &net));
    return net;
}

bool l3_translating;
uint32_t l3_processed;

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    l3_processed += n;
    for (uint32_t i = 0; l3_translating && i < n; i++) {
        if (packets[i]->side == NF_INSIDE)
            nf_packet_set_saddr(packets[i], ip4("203.0.113.9"));
        else if (packets[i]->daddr == ip4("203.0.113.9"))
            nf_packet_set_daddr(packets[i], ip4("10.0.0.5"));
    }
}

static const struct nf_module translator = {.name = "translator", .process = process};
struct nf_l3_config l3_config;
struct nf_chain_config l3_chain_config;
struct ft_region *l3_region;
struct nf_chain *l3_chain;
struct nf *l3_nf;
static uint64_t burst;
static const struct nf_chain_config *runs; /* what l3_chain is made from */

void l3_configure(void)
{
    l3_config = (struct nf_l3_config){
        .ports = 2,
        .port = {{.name = "in", .side = NF_INSIDE, .mac = {2, 0, 0, 0, 0, 1}, .net = {l3_net("10.0.0.1/24")}},
                 {.name = "out",
                  .side = NF_OUTSIDE,
                  .mac = {2, 0, 0, 0, 0, 2},
                  .net = {l3_net("203.0.113.1/24")}}},
        .routes = {3},
        .route = {{{.to = l3_net("0.0.0.0/0"), .via = l3_addr("203.0.113.254"), .port = 1},
                   {.to = l3_net("172.16.0.0/16"), .via = l3_addr("10.0.0.3")},
                   {.to = l3_net("172.16.9.0/24"), .via = l3_addr("10.0.0.4")}}},
        .next_hops = {1},
        .next_hop = {{{l3_addr("203.0.113.254"), 1}}},
    };
    l3_config.port[0].mtu = l3_config.port[1].mtu = 1500;
    l3_config.port[1].extra[NF_IP4][0] = l3_addr("203.0.113.9");
    l3_config.port[1].extras[NF_IP4] = 1;
    l3_chain_config = (struct nf_chain_config){
        .name = "l3", .lanes = 1, .count = 1, .nfs = {{&translator, NULL}}, .l3 = &l3_config};
}

static void close_chain(void)
{
    nf_chain_free(l3_chain);
    l3_chain = NULL;
    ft_region_close(l3_region);
    l3_region = NULL;
}

int l3_end(void **state)
{
    if (l3_region)
        close_chain();
    l3_configure();
    return 0;
}

void l3_begin(void)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 65536, .audit = true};
    struct ft_fault fault = {""};
    if (l3_region)
        close_chain();
    if (nf_chain_region(&l3_region, &l3_chain_config, &how, &fault) ||
        nf_chain_make(&l3_chain, &l3_chain_config, l3_region, 0, 7, &fault))
        fail_msg("%s", fault.text);
    runs = &l3_chain_config;
    l3_nf = nf_chain_find(l3_chain, "l3");
    burst = 0;
    l3_processed = 0;
    l3_translating = false;
}

void l3_change(const struct nf_l3_config *to)
{
    static struct nf_l3_config config[2]; /* the one that the chain has, and the one before */
    static struct nf_chain_config chain[2];
    static unsigned now;
    struct nf_chain *next[1] = {NULL};
    struct nf_chain_change change;
    struct nf_chain_switch s = {.change = &change,
                                .region = l3_region,
                                .how = {.name = "test", .shared_size = 65536},
                                .chain = &l3_chain,
                                .seed = 77,
                                .next = next};
    struct ft_fault fault = {""};

    now = !now;
    config[now] = *to;
    chain[now] = l3_chain_config;
    chain[now].l3 = &config[now];
    if (nf_chain_change_plan(&change, runs, &chain[now], &fault) || nf_chain_switch(&s, &fault) ||
        nf_chain_check(next[0], NULL, NULL, &fault))
        fail_msg("%s", fault.text);
    nf_chain_free(l3_chain);
    ft_region_close(s.old);
    l3_chain = next[0];
    runs = &chain[now];
    l3_nf = nf_chain_find(l3_chain, "l3");
}

const struct nf_emitted *l3_made;
uint32_t l3_made_count;

void l3_run(double at, struct nf_packet *p)
{
    l3_run_all(at, p, p ? 1 : 0);
}

void l3_run_all(double at, struct nf_packet packets[], uint32_t n)
{
    nf_chain_run(l3_chain, ++burst, (uint64_t)(at * 1000) * NF_MS, packets, n);
    ft_audit_check(l3_region, 0);
    l3_made_count = nf_chain_emitted(l3_chain, &l3_made);
}

struct nf_packet l3_comes(double at, struct nf_packet p)
{
    l3_run(at, &p);
    return p;
}

void l3_leaves(double at, struct nf_packet p, uint8_t port)
{
    l3_run(at, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, port);
}

void l3_dropped(double at, struct nf_packet p, enum nf_l3_counter reason)
{
    l3_run(at, &p);
    l3_assert_dropped(&p, reason);
}

void l3_assert_counted(enum nf_l3_counter counter, uint64_t n)
{
    assert_int_equal(l3_nf->counters[counter], n);
}

void l3_assert_dropped(const struct nf_packet *p, enum nf_l3_counter reason)
{
    assert_int_equal(p->drop_nf, 0);
    assert_int_equal(p->drop, reason + 1);
    assert_true(l3_nf->counters[reason] > 0);
}

uint8_t l3_frame[1600];

static struct nf_packet packet(uint8_t port, uint32_t len)
{
    return (struct nf_packet){.data = l3_frame, .len = len, .have = len, .in_port = port, .side = port};
}

void l3_seal4(uint32_t header)
{
    nf_put16(l3_frame + 24, 0);
    nf_put16(l3_frame + 24, nf_checksum(l3_frame + 14, header));
}

struct nf_packet l3_ipv4(uint8_t port, const char *from, const char *to, uint8_t ttl, uint8_t proto,
                         const void *l4, uint16_t n)
{
    uint32_t addr[2] = {ip4(from), ip4(to)};
    uint16_t total = htons((uint16_t)(20 + n));
    memset(l3_frame, 0, sizeof(l3_frame));
    memcpy(l3_frame, port ? outer_mac : inner_mac, 6);
    memcpy(l3_frame + 6, port ? gate_mac : host_mac, 6);
    l3_frame[12] = 8;
    l3_frame[14] = 0x45;
    memcpy(l3_frame + 16, &total, 2);
    l3_frame[22] = ttl;
    l3_frame[23] = proto;
    memcpy(l3_frame + 26, addr, 8);
    l3_seal4(20);
    memcpy(l3_frame + 34, l4, n);
    return packet(port, 34u + n);
}

struct nf_packet l3_udp(uint8_t port, const char *from, const char *to, uint8_t ttl)
{
    static const uint8_t l4[12] = {0x12, 0x34, 0, 53, 0, 12, 0, 0, 'd', 'a', 't', 'a'};
    return l3_ipv4(port, from, to, ttl, 17, l4, sizeof(l4));
}

struct nf_packet l3_echo(uint8_t port, const char *from, const char *to, uint8_t ttl)
{
    uint8_t l4[16] = {8, 0, 0, 0, 0xab, 0xcd, 0, 1, 'p', 'a', 'y', 'l', 'o', 'a', 'd', '!'};
    uint16_t sum = nf_checksum(l4, sizeof(l4));
    memcpy(l4 + 2, &sum, 2);
    return l3_ipv4(port, from, to, ttl, 1, l4, sizeof(l4));
}

struct nf_packet l3_arp(uint8_t port, uint8_t operation, const uint8_t *to, const uint8_t *mac,
                        const char *sender, const char *target)
{
    uint32_t a = ip4(sender), b = ip4(target);
    static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
    memset(l3_frame, 0, 60);
    memcpy(l3_frame, to, 6);
    memcpy(l3_frame + 6, mac, 6);
    memcpy(l3_frame + 12, head, sizeof(head));
    l3_frame[21] = operation;
    memcpy(l3_frame + 22, mac, 6);
    memcpy(l3_frame + 28, &a, 4);
    memcpy(l3_frame + 38, &b, 4);
    return packet(port, 60);
}

void l3_know_both(double at)
{
    l3_comes(at, l3_arp(1, 2, outer_mac, gate_mac, "203.0.113.254", "203.0.113.1"));
    l3_comes(at, l3_arp(0, 1, everybody, host_mac, "10.0.0.5", "10.0.0.1"));
}

void l3_begin_knowing_both(void)
{
    l3_begin();
    l3_know_both(0);
}

int l3_mac_of(double at, uint8_t from, const char *to)
{
    assert_int_equal(l3_comes(at, l3_udp(from, from ? "198.51.100.7" : "10.0.0.5", to, 64)).drop, 0);
    return l3_frame[5];
}

void l3_assert_valid(const uint8_t *f)
{
    assert_int_equal(nf_checksum(f + 14, 20), 0);
}

/* ---- IPv6 --------------------------------------------------------------------------------------------- */

/* Of the gateway. */
#define GATE_SAYS                                                                                            \
    "0200000000025254000000fe86dd6000000000203aff20010db80002000000000000000000fe20010db8000200000000000000" \
    "00000188"                                                                                               \
    "00b722e000000020010db80002000000000000000000fe02015254000000fe"

uint32_t l3_bytes(const char *hex, uint8_t *out)
{
    uint32_t n = 0;

    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        out[n++] = (uint8_t)byte;
    return n;
}

struct nf_packet l3_hex(uint8_t port, const char *hex)
{
    return packet(port, l3_bytes(hex, l3_frame));
}

void l3_addr6(uint8_t out[16], const char *text)
{
    assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

void l3_seal6(struct nf_packet *p)
{
    uint8_t *ip = p->data + 14, *icmp = p->data + 54;

    icmp[2] = icmp[3] = 0;
    uint16_t sum = nf_ipv6_checksum(ip + 8, 58, icmp, p->len - 54);
    memcpy(icmp + 2, &sum, 2);
}

void l3_assert_made(const char *hex, uint8_t port)
{
    uint8_t wanted[200];
    uint32_t n = l3_bytes(hex, wanted);

    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].port, port);
    assert_int_equal(l3_made[0].len, n);
    assert_memory_equal(l3_made[0].frame, wanted, n);
}

/* Two links with IPv6 beside their IPv4, a default route, and one by a link-local next hop. */
void l3_begin_ipv6(void)
{
    l3_configure();
    l3_config.routes[NF_IP4] = l3_config.next_hops[NF_IP4] = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct nf_interface *port = &l3_config.port[i];

        port->net[NF_IP6] = l3_net(i ? "2001:db8:2::1/64" : "2001:db8:1::1/64");
        port->local = l3_addr(i ? "fe80::ff:fe00:2" : "fe80::ff:fe00:1");
    }
    l3_config.routes[NF_IP6] = 2;
    l3_config.route[NF_IP6][0] =
        (struct nf_route){.to = l3_net("::/0"), .via = l3_addr("2001:db8:2::fe"), .port = 1};
    l3_config.route[NF_IP6][1] =
        (struct nf_route){.to = l3_net("2001:db8:77::/48"), .via = l3_addr("fe80::1")};
    l3_begin();
    l3_run(0, NULL); /* asks for both next hops */
}

struct nf_packet l3_advertised(uint8_t flags, uint8_t last)
{
    struct nf_packet p = l3_hex(1, GATE_SAYS);

    l3_frame[58] = flags;
    l3_frame[p.len - 1] = last;
    l3_seal6(&p);
    return p;
}

void l3_know_gate6(void)
{
    l3_dropped(0.1, l3_hex(1, GATE_SAYS), NF_L3_ND);
}

void l3_know_host6(void)
{
    l3_dropped(0.2, l3_hex(0, HOST_ASKS), NF_L3_ND);
}

int l3_gate6_mac(double at)
{
    assert_int_equal(l3_comes(at, l3_hex(0, UDP)).drop, 0);
    return l3_frame[5];
}
