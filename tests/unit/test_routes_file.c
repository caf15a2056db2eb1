/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of routes: what may stand in it, and where packets go by it, against a walk through its lines that
 * takes the longest prefix; also after a change of the chain that runs.
 */
#include "ftcore/base/draw.h"
#include "nflib/chain/change.h"
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

TESTS_SHARE(NULL, help_config_clean)

#define NETWORK                                                                                              \
    "chain: {name: x, nfs: [forward]}\n"                                                                     \
    "interfaces:\n"                                                                                          \
    "  - {name: inside, side: inside, mac: '02:00:00:00:00:01', address: 10.0.0.1/24, address6: "            \
    "'2001:db8:1::1/64'}\n"                                                                                  \
    "  - {name: outside, side: outside, mac: '02:00:00:00:00:02', address: 203.0.113.1/24, address6: "       \
    "'2001:db8:2::1/64'}\n"

static uint64_t sequence = 5;

static uint32_t drawn(uint32_t below)
{
    return (uint32_t)(ft_draw(&sequence) % below);
}

static const char *refusal(const char *lines)
{
    help_config_file("the.routes", lines, strlen(lines));
    return help_config_refusal_of(NETWORK "routes_file: the.routes\n", false);
}

TEST(a_line_that_is_no_route_is_refused_by_its_number)
{
    assert_string_equal(refusal("# nothing\n\n"), "");
    assert_string_equal(refusal("10.1.0.0/16 via 203.0.113.7\n\tdefault via 203.0.113.254 # out\n"
                                "2001:db8:5::/48 via fe80::1%outside\ndefault via 2001:db8:2::fe"),
                        "");
    /* As ip-route(8) prints a host's. */
    assert_string_equal(refusal("10.5.0.9 via 203.0.113.7\n2001:db8:7::1 via 2001:db8:2::fe\n"), "");
    assert_string_equal(refusal("10.5.0.9 via 203.0.113.7\n10.5.0.9/32 via 203.0.113.8\n"),
                        "the.routes:2: a second route to one network, expected one");
    assert_string_equal(refusal("\n10.1.0.0/16 203.0.113.7\n"),
                        "the.routes:2: 10.1.0.0/16, expected NETWORK via ADDRESS");
    assert_string_equal(refusal("10.1.0.0/16 via 203.0.113.7 dev eth0\n"),
                        "the.routes:1: 10.1.0.0/16, expected NETWORK via ADDRESS");
    assert_string_equal(
        refusal("10.1.0.1/16 via 203.0.113.7\n"),
        "the.routes:1: 10.1.0.1/16, expected A.B.C.D/N without host bits, the same of IPv6, or default");
    assert_string_equal(refusal("10.1.0.0/16 via 2001:db8:2::fe\n"),
                        "the.routes:1: 2001:db8:2::fe, expected an address of IPv4");
    assert_string_equal(refusal("10.1.0.0/16 via 192.0.2.1\n"),
                        "t.yaml:5: routes_file line 1: via is 192.0.2.1, expected an address in the network "
                        "of an interface");
    assert_string_equal(refusal("10.1.0.0/16 via 203.0.113.x\n"),
                        "t.yaml:5: routes_file line 1: via is 203.0.113.x, expected an address A.B.C.D or of "
                        "IPv6, a link-local one with its interface, fe80::1%outside");
    assert_string_equal(
        refusal("10.1.0.0/16 via 203.0.113.7\n10.0.0.0/8 via 203.0.113.7\n10.1.0.0/16 via 203.0.113.8\n"),
        "the.routes:3: a second route to one network, expected one");
    assert_string_equal(help_config_refusal_of(NETWORK "routes_file: none.routes\n", false),
                        "t.yaml:5: routes_file is none.routes (No such file or directory), expected a "
                        "readable file");
    assert_string_equal(help_config_refusal_of(NETWORK "routes_file: [ a ]\n", false),
                        "t.yaml:5: routes_file: expected a readable file");
    assert_string_equal(help_config_refusal_of("chain: {name: x, nfs: [forward]}\nroutes_file: a\n", false),
                        "t.yaml:2: routes_file without interfaces, expected interfaces");
}

/* ---- where packets go ---------------------------------------------------------------------------------- */

#define ROUTES 1500u
#define HOPS   20u

static struct route {
    uint32_t addr, bits, hop; /* host order; hop: the last byte of 203.0.113.N and of its MAC */
} list[ROUTES];
static char text[ROUTES * 64];

static uint32_t mask_of(uint32_t bits)
{
    return bits ? ~0u << (32 - bits) : 0;
}

/* Networks below 10.64.0.0/10 that lie in each other, none twice, a default route, and
 * two that are other ones by the configuration. */
static void draw_routes(void)
{
    size_t n = 0;

    for (unsigned i = 0; i < ROUTES; i++) {
        struct route *r = &list[i];
        bool again;

        do {
            r->bits = i ? 11 + drawn(22) : 0;
            r->addr = (0x0a400000 | (drawn(16) << 18) | (drawn(3) << 9) | drawn(512)) & mask_of(r->bits);
            r->hop = 100 + drawn(HOPS);
            again = false;
            for (unsigned k = 0; k < i; k++)
                again |= list[k].addr == r->addr && list[k].bits == r->bits;
        } while (again);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%u.%u.%u.%u/%u via 203.0.113.%u\n", r->addr >> 24,
                              r->addr >> 16 & 255, r->addr >> 8 & 255, r->addr & 255, r->bits, r->hop);
    }
    n += (size_t)snprintf(text + n, sizeof(text) - n,
                          "10.127.0.0/16 via 203.0.113.101\n203.0.113.0/24 via 203.0.113.101\n");
    help_config_file("the.routes", text, n);
}

static uint32_t walk(uint32_t addr)
{
    const struct route *found = &list[0];

    for (unsigned i = 0; i < ROUTES; i++)
        if ((addr & mask_of(list[i].bits)) == list[i].addr && list[i].bits >= found->bits)
            found = &list[i];
    return found->hop;
}

/* With neighbours whose MACs say who they are. */
static struct nd_config *read_chain(void)
{
    static char yaml[8192];
    size_t n = (size_t)snprintf(yaml, sizeof(yaml),
                                NETWORK "routes_file: the.routes\nroutes: [{to: 10.127.0.0/16, via: "
                                        "10.0.0.77}]\nneighbours:\n  - {address: 10.0.0.77, mac: "
                                        "'02:00:00:00:01:4d'}\n");

    for (unsigned i = 100; i < 100 + HOPS; i++)
        n += (size_t)snprintf(yaml + n, sizeof(yaml) - n,
                              "  - {address: 203.0.113.%u, mac: '02:00:00:00:01:%02x'}\n", i, i);
    return help_config_of(yaml, 0);
}

/* The last byte of the MAC that a datagram to the address goes to; 0: it is dropped. */
static uint32_t hop_of(struct nf_chain *chain, uint32_t addr)
{
    static uint64_t burst;
    uint8_t frame[64] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 99, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17};
    struct nf_packet p = {.data = frame, .len = 64, .have = 64, .side = NF_INSIDE};

    nf_put32(frame + 26, htonl(0x0a000063));
    nf_put32(frame + 30, htonl(addr));
    nf_put16(frame + 38, htons(8));
    nf_put16(frame + 24, nf_checksum(frame + 14, 20));
    burst++;
    nf_chain_run(chain, burst, NF_SECOND + burst, &p, 1);
    return p.drop ? 0 : frame[5];
}

static void hold_against_walk(struct nf_chain *chain)
{
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t near = list[drawn(ROUTES)].addr,
                 addr = drawn(2) ? near + drawn(3) - 1 : near ^ 1u << drawn(22);

        addr = addr >> 22 == 0x0a400000 >> 22 && addr >> 16 != 0x0a7f ? addr : 0x0a400000 + drawn(1 << 21);
        if (hop_of(chain, addr) != walk(addr))
            fail_msg("%08x goes to %u, expected %u", addr, hop_of(chain, addr), walk(addr));
    }
}

TEST(packets_go_where_the_longest_prefix_leads_also_after_a_change)
{
    struct ft_region_config how = {.name = "test", .shared_size = 65536};
    struct nd_config *config, *to;
    struct ft_region *region;
    struct nf_chain *chain, *next[1] = {NULL};
    struct nf_chain_change change;
    struct nf_chain_switch s = {.change = &change, .how = how, .chain = &chain, .seed = 3, .next = next};

    draw_routes();
    config = read_chain();
    assert_int_equal(config->chain.l3->routed->count[NF_IP4], ROUTES + 2);
    help_done(nf_chain_region(&region, &config->chain, &how, &help_fault) ||
              nf_chain_make(&chain, &config->chain, region, 0, 1, &help_fault));
    hold_against_walk(chain);
    assert_int_equal(hop_of(chain, 0x0a7f0001), 77);          /* `routes` */
    assert_int_equal(hop_of(chain, 0xcb007100 + 100), 100);   /* on a link */
    assert_int_equal(hop_of(chain, 0xc0000201), list[0].hop); /* default */
    draw_routes();
    to = read_chain();
    assert_false(nf_chain_same_l3(config->chain.l3, to->chain.l3));
    s.region = region;
    help_done(nf_chain_change_plan(&change, &config->chain, &to->chain, &help_fault) ||
              nf_chain_switch(&s, &help_fault));
    hold_against_walk(next[0]);
    nf_chain_free(chain);
    nf_chain_free(next[0]);
    ft_region_close(s.old);
    ft_region_close(region);
}

/* Both nodes are the same by what the routes say, not by how the file says it. */
TEST(the_order_of_lines_makes_no_other_chain)
{
    static const char *const files[] = {"10.1.0.0/16 via 203.0.113.7\ndefault via 203.0.113.8\n",
                                        "0.0.0.0/0 via 203.0.113.8\n\n10.1.0.0/16 via 203.0.113.7 # so\n",
                                        "10.1.0.0/16 via 203.0.113.9\ndefault via 203.0.113.8\n"};
    struct nd_config *config[3];

    for (unsigned i = 0; i < 3; i++) {
        help_config_file("the.routes", files[i], strlen(files[i]));
        config[i] = help_config_of(NETWORK "routes_file: the.routes\n", 0);
    }
    assert_true(nf_chain_same_l3(config[0]->chain.l3, config[1]->chain.l3));
    assert_false(nf_chain_same_l3(config[0]->chain.l3, config[2]->chain.l3));
}
