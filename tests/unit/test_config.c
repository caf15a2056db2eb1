/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is right is read with all its values and defaults; see test_config_refusals.c for the others.
 */
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

#define SAMPLE "tests/unit/data/pair.yaml"

static struct nd_config *read_sample(void)
{
    struct nd_config *config;

    help_done(nd_config_read(&config, SAMPLE, ND_CONFIG_NODES, &help_fault));
    return HELP_OWNED(config, nd_config_free);
}

TEST(the_samples_chain_and_protection_are_read)
{
    struct nd_config *c = read_sample();
    const struct help_probe *probe = c->chain.nfs[0].config;

    assert_string_equal(c->file, SAMPLE);
    assert_string_equal(c->chain.name, "edge");
    assert_int_equal(c->chain.lanes, 1);
    assert_int_equal(c->chain.shared_size, 32u << 20);
    assert_int_equal(c->chain.count, 2);
    assert_string_equal(c->chain.nfs[0].module->name, "probe");
    assert_string_equal(c->chain.nfs[1].module->name, "bare");
    assert_int_equal(probe->outside, inet_addr("203.0.113.1"));
    assert_int_equal(probe->inside.count, 2);
    assert_int_equal(probe->inside.list[1].addr, inet_addr("192.168.0.0"));
    assert_int_equal(probe->inside.list[1].mask, inet_addr("255.255.0.0"));
    assert_int_equal(probe->ports.first, 4000);
    assert_int_equal(probe->ports.last, 5000);
    assert_true(c->protect.pair && c->protect.records && !c->protect.deltas);
    assert_int_equal(c->protect.tail, ND_TAIL_SUPPRESS);
    assert_int_equal(c->protect.compress, ND_COMPRESS_NEVER);
    assert_true(c->protect.strict);
    assert_int_equal(c->protect.recovery_budget_ms, 5);
    assert_true(c->drill_permit);
    assert_string_equal(c->probe.from, "client");
    assert_string_equal(c->probe.to, "server");
    assert_string_equal(c->probe.address, "198.51.100.9");
    assert_int_equal(c->probe.port, 7);
}

TEST(the_samples_network_is_read)
{
    struct nd_config *c = read_sample();
    const struct nf_l3_config *l3 = c->chain.l3;
    const uint8_t given[6] = {2, 0, 0, 0, 0, 7};

    assert_int_equal(l3->ports, 2);
    assert_string_equal(l3->port[0].name, "in");
    assert_int_equal(l3->port[0].side, NF_INSIDE);
    assert_int_equal(nf_addr_ipv4(&l3->port[0].net[NF_IP4].addr), inet_addr("10.0.0.1"));
    assert_int_equal(nf_net_mask_ipv4(&l3->port[0].net[NF_IP4]), inet_addr("255.255.255.0"));
    assert_int_equal(l3->port[0].extras[NF_IP4], 0);
    assert_int_equal(l3->port[0].mac[0], 2);
    assert_int_equal(l3->port[1].side, NF_OUTSIDE);
    assert_memory_equal(l3->port[1].mac, given, 6);
    assert_int_equal(l3->port[1].extras[NF_IP4], 2); /* its own, then that of the NF */
    assert_int_equal(nf_addr_ipv4(&l3->port[1].extra[NF_IP4][0]), inet_addr("198.51.100.3"));
    assert_int_equal(nf_addr_ipv4(&l3->port[1].extra[NF_IP4][1]), inet_addr("203.0.113.1"));
    assert_int_equal(l3->routes[NF_IP4], 2);

    const struct nf_route *route = l3->route[NF_IP4];
    assert_int_equal(nf_addr_ipv4(&route[0].to.addr), 0);
    assert_int_equal(nf_net_bits(&route[0].to), 0);
    assert_int_equal(nf_addr_ipv4(&route[0].via), inet_addr("198.51.100.1"));
    assert_int_equal(route[0].port, 1);
    assert_int_equal(route[1].port, 0);
    assert_int_equal(l3->next_hops[NF_IP4], 2);
    assert_int_equal(nf_addr_ipv4(&l3->next_hop[NF_IP4][1].addr), inet_addr("10.0.0.254"));
    assert_int_equal(l3->next_hop[NF_IP4][1].port, 0);
}

TEST(the_samples_nodes_are_read)
{
    struct nd_config *c = read_sample();

    assert_int_equal(c->nodes, 2);
    assert_int_equal(nd_config_node(c, "a"), 0);
    assert_int_equal(nd_config_node(c, "b"), 1);
    assert_int_equal(nd_config_node(c, "c"), -1);
    assert_int_equal(c->node[0].role, ND_ROLE_PRIMARY);
    assert_int_equal(c->node[1].role, ND_ROLE_STANDBY);
    assert_string_equal(c->node[0].port[0], "net_af_packet0,iface=a-in");
    assert_string_equal(c->node[1].port[1], "net_af_packet1,iface=b-out");
    assert_string_equal(c->node[0].host, "127.0.0.1");
    assert_int_equal(c->node[1].tcp_port, 7002);
    assert_string_equal(c->node[0].control, "tests/unit/data/run/a/control");
    assert_string_equal(c->node[0].state, "tests/unit/data/run/a");
    assert_string_equal(c->node[1].control, "/run/understudy/b.sock");
    assert_string_equal(c->node[1].state, "/var/lib/understudy");
    assert_int_equal(c->node[0].eals, 1);
    assert_string_equal(c->node[0].eal[0], "--no-pci");
    assert_int_equal(c->node[0].mbufs, 16384);
    assert_int_equal(c->node[0].memory_mb, 512);
    assert_int_equal(c->node[1].memory_mb, 256);
    assert_int_equal(c->node[0].realtime, ND_REALTIME_TRUE);
    assert_int_equal(c->node[1].realtime, ND_REALTIME_AUTO);
    assert_false(c->node[1].hugepages);
}

TEST(a_chain_file_has_defaults)
{
    struct nd_config *c = help_config_of("chain: {name: x, nfs: [probe: ]}\n", 0);
    const struct help_probe *probe = c->chain.nfs[0].config;

    assert_int_equal(c->nodes, 0);
    assert_null(c->chain.l3);
    assert_int_equal(c->chain.lanes, 1);
    assert_int_equal(c->chain.shared_size, 0);
    assert_int_equal(c->protect.asked, ND_MODE_AUTO);
    assert_true(c->protect.pair && c->protect.records && !c->protect.deltas);
    assert_int_equal(c->protect.standby, ND_STANDBY_HOT);
    assert_int_equal(c->protect.capture, ND_CAPTURE_AUTO);
    assert_int_equal(c->protect.tail, ND_TAIL_EMIT);
    assert_int_equal(c->protect.compress, ND_COMPRESS_AUTO);
    assert_int_equal(c->protect.recovery_budget_ms, 2);
    assert_int_equal(c->protect.slow_percent, 20);
    assert_int_equal(c->protect.slow_ms, 50);
    assert_false(c->protect.strict);
    assert_false(c->drill_permit);
    assert_int_equal(probe->number, 7);
    assert_int_equal(probe->seconds, 30);
    assert_int_equal(probe->choice, 1);
    assert_int_equal(probe->outside, 0);
    assert_true(probe->large == 5000000000ull);
    assert_true(probe->flag);
    assert_int_equal(probe->inside.count, 2);
    assert_int_equal(probe->inside.list[1].addr, inet_addr("172.16.0.0"));
    assert_int_equal(probe->ports.first, 1024);
    assert_string_equal(probe->text, "");
    assert_string_equal(probe->rules.path, "");
}

/* The log is for chains that can be replayed; the one NF that cannot decides, and is named. */
TEST(auto_is_decided_by_the_chain)
{
    const struct {
        const char *nfs, *protect;
        enum nd_mode asked, mode;
        const char *by, *said;
    } cases[] = {
        {"bare", "", ND_MODE_AUTO, ND_MODE_LOG, "", "mode log (auto: every NF can be replayed)"},
        {"bare, frail", "", ND_MODE_AUTO, ND_MODE_DELTA, "frail",
         "mode delta (auto: NF \"frail\" cannot be replayed)"},
        {"frail, bare", "mode: auto", ND_MODE_AUTO, ND_MODE_DELTA, "frail",
         "mode delta (auto: NF \"frail\" cannot be replayed)"},
        {"bare", "mode: log", ND_MODE_LOG, ND_MODE_LOG, "", "mode log"},
        {"bare", "mode: delta", ND_MODE_DELTA, ND_MODE_DELTA, "", "mode delta"},
        {"frail", "mode: delta", ND_MODE_DELTA, ND_MODE_DELTA, "", "mode delta"},
        {"frail", "mode: off", ND_MODE_OFF, ND_MODE_OFF, "", "mode off"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char said[ND_MODE_TEXT];
        struct nd_protect *p;
        struct nd_config *c;

        c = help_config_of(
            help_print("chain: {name: x, nfs: [%s]}\nprotect: {%s}\n", cases[i].nfs, cases[i].protect), 0);
        p = &c->protect;
        assert_int_equal(p->asked, cases[i].asked);
        assert_string_equal(p->mode, nd_modes[cases[i].mode]);
        assert_int_equal(p->pair, cases[i].mode != ND_MODE_OFF);
        assert_int_equal(p->records, cases[i].mode == ND_MODE_LOG);
        assert_int_equal(p->deltas, cases[i].mode == ND_MODE_DELTA);
        assert_string_equal(p->decided_by, cases[i].by);
        assert_string_equal(nd_mode_text(said, p->mode, nd_modes[p->asked], p->decided_by), cases[i].said);
    }
}

/* A tool that asks for another mode than the file has it decided anew. */
TEST(another_mode_is_decided_anew)
{
    struct nd_config *c = help_config_of("chain: {name: x, nfs: [bare, frail]}\n", 0);

    c->protect.asked = ND_MODE_LOG;
    assert_int_equal(nd_config_decide(&c->protect, &c->chain, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text, "NF \"frail\" cannot be replayed, expected delta or auto");
    assert_string_equal(c->protect.decided_by, "");
    c->protect.asked = ND_MODE_OFF;
    assert_int_equal(nd_config_decide(&c->protect, &c->chain, &help_fault), 0);
    assert_false(c->protect.pair || c->protect.records || c->protect.deltas);
    c->protect.asked = ND_MODE_AUTO;
    assert_int_equal(nd_config_decide(&c->protect, &c->chain, &help_fault), 0);
    assert_true(c->protect.pair && c->protect.deltas && !c->protect.records);
    assert_string_equal(c->protect.decided_by, "frail");
}

TEST(times_follow_from_detect)
{
    const struct {
        const char *timing;
        uint32_t heartbeat, lease, detect, promote, solo, listen, degrade, most;
    } cases[] = {
        {"", 5, 10, 50, 150, 250, 10000, 30, 100}, /* silences are measured */
        {"timing: {lease_ms: 3}\n", 1, 3, 50, 150, 250, 10000, 30, 100},
        {"timing: {lease_ms: 40}\n", 5, 40, 50, 150, 250, 10000, 40, 100},
        {"timing: {promote_within_ms: 60, heartbeat_ms: 7}\n", 7, 14, 50, 60, 250, 10000, 30, 50},
        {"timing: {promote_within_ms: 100}\n", 5, 10, 50, 100, 250, 10000, 30, 50},
        {"timing: {promote_within_ms: 200}\n", 5, 10, 50, 200, 250, 10000, 30, 150},
        {"timing: {solo_after_ms: 150}\n", 5, 10, 50, 100, 150, 10000, 30, 50},
        {"timing: {solo_after_ms: 151}\n", 5, 10, 50, 150, 151, 10000, 30, 100},
        {"timing: {detect_ms: 3}\n", 1, 2, 3, 6, 12, 0, 2, 3},
        {"timing: {detect_ms: 20}\n", 2, 12, 20, 40, 80, 0, 12, 20},
        {"timing: {detect_ms: 50}\n", 5, 30, 50, 100, 200, 0, 30, 50},
        {"timing: {detect_ms: 100, lease_ms: 99}\n", 5, 99, 100, 200, 400, 0, 99, 100},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nd_config *c;

        c = help_config_of(help_print("%schain: {name: x, nfs: [bare]}\n", cases[i].timing), 0);
        assert_int_equal(c->timing.heartbeat_ms, cases[i].heartbeat);
        assert_int_equal(c->timing.lease_ms, cases[i].lease);
        assert_int_equal(c->timing.detect_ms, cases[i].detect);
        assert_int_equal(c->timing.promote_within_ms, cases[i].promote);
        assert_int_equal(c->timing.solo_after_ms, cases[i].solo);
        assert_int_equal(c->timing.listen_ms, cases[i].listen);
        assert_int_equal(c->timing.degrade_ms, cases[i].degrade);
        assert_int_equal(c->timing.detect_most_ms, cases[i].most);
        assert_int_equal(c->timing.resync_deadline_ms, 30000);
        assert_int_equal(c->timing.resync_mbps, 400);
        assert_int_equal(c->timing.start_alone_ms, 3000);
    }
}

TEST(virtual_mac_is_the_chains)
{
    static const char text[] = "chain: {name: %s, nfs: [bare]}\ninterfaces:\n"
                               "- {name: i, side: inside, address: 10.0.0.1/24}\n"
                               "- {name: o, side: outside, address: 10.0.1.1/24}\n";
    struct nd_config *a, *b, *c;

    const char *one = help_print(text, "one");
    const char *two = help_print(text, "two");
    a = help_config_of(one, 0);
    b = help_config_of(one, 0);
    c = help_config_of(two, 0);
    assert_memory_equal(a->chain.l3->port[0].mac, b->chain.l3->port[0].mac,
                        6); /* both nodes derive the same */
    assert_memory_equal(a->chain.l3->port[1].mac, b->chain.l3->port[1].mac, 6);
    assert_int_not_equal(memcmp(a->chain.l3->port[0].mac, a->chain.l3->port[1].mac, 6), 0);
    assert_int_not_equal(memcmp(a->chain.l3->port[0].mac, c->chain.l3->port[0].mac, 6), 0);
    assert_int_equal(a->chain.l3->port[0].mac[0] & 3, 2); /* locally administered, unicast */
}

TEST(own_address_that_is_the_interfaces_counts_once)
{
    struct nd_config *c = help_config_of("chain: {name: x, nfs: [probe: {outside: 10.0.1.1}]}\ninterfaces:\n"
                                         "- {name: i, side: inside, address: 10.0.0.1/24}\n"
                                         "- {name: o, side: outside, address: 10.0.1.1/24}\n",
                                         0);

    assert_int_equal(c->chain.l3->port[0].extras[NF_IP4], 0);
    assert_int_equal(c->chain.l3->port[1].extras[NF_IP4], 0);
}

TEST(a_chain_may_come_from_another_file)
{
    static const char other[] =
        "chain: {name: other, nfs: [probe: {rules: here.rules}]}\nprotect: {tail: suppress}\n";
    struct nd_config *c;

    help_config_file("here.rules", "x", 1);
    help_config_file("other.yaml", other, strlen(other));
    const char *rules = help_print("%s/here.rules", help_config_dir());
    c = help_config_of("chain: {file: other.yaml}\n", 0);
    assert_string_equal(c->chain.name, "other");
    assert_string_equal(((struct help_probe *)c->chain.nfs[0].config)->rules.path, rules);
    assert_int_equal(c->protect.tail, ND_TAIL_SUPPRESS);
    c = help_config_of("chain: {file: other.yaml}\nprotect: {strict: true}\n",
                       0); /* this file's own wins, whole */
    assert_int_equal(c->protect.tail, ND_TAIL_EMIT);
    assert_true(c->protect.strict);
}

#define NODES(ports_a, ports_b)                                                                              \
    "link: {insecure: true}\nnodes:\n"                                                                       \
    "  a: {role: primary, ports: {" ports_a "}, replication: \"127.0.0.1:7001\", control: a.sock}\n"         \
    "  b: {role: standby, ports: {" ports_b "}, replication: \"127.0.0.1:7002\", control: b.sock}\n"
#define TWO  "lan: net_null0, wan: net_null1"
#define REST ", dmz: net_null2"
#define NETWORK                                                                                              \
    "interfaces:\n"                                                                                          \
    "- {name: in, port: lan, side: inside, address: 10.0.0.1/24}\n"                                          \
    "- {name: wan, side: outside, address: 203.0.113.1/24}\n"                                                \
    "routes: [{to: 0.0.0.0/0, via: 203.0.113.254}]\nnext_hops: [10.0.0.9]\n"                                 \
    "neighbours: [{address: 10.0.0.8, mac: 02:00:00:00:00:08}]\n"

/* Then nodes may have more ports than interfaces name; a chain file that is read by itself has no nodes. */
TEST(interfaces_may_come_from_the_chains_file)
{
    static const char other[] = "chain: {name: other, nfs: [bare]}\n" NETWORK;
    struct nd_config *c;

    help_config_file("other.yaml", other, strlen(other));
    c = help_config_of(
        "chain: {file: other.yaml}\n" NODES(TWO REST, "dmz: net_null5, wan: net_null4, lan: net_null3"),
        ND_CONFIG_NODES);
    assert_int_equal(c->chain.l3->ports, 2);
    assert_int_equal(c->chain.l3->routes[NF_IP4], 1);
    assert_int_equal(c->chain.l3->next_hops[NF_IP4], 1);
    assert_int_equal(c->chain.l3->fixed_count, 1);
    assert_int_equal(c->ports, 3);
    assert_string_equal(c->port_name[0], "lan");
    assert_string_equal(c->port_name[2], "dmz");
    assert_string_equal(c->node[0].port[2], "net_null2");
    assert_string_equal(c->node[1].port[0], "net_null3");
    assert_string_equal(c->node[1].port[2], "net_null5");
    assert_string_equal(nd_interface_name(c, 0), "in");
    assert_int_equal(nd_port_number(c, 1), 1);
    c = help_config_of(other, 0);
    assert_int_equal(c->chain.l3->ports, 2);
    c = help_config_of("chain: {name: x, nfs: [bare]}\n", 0);
    assert_int_equal(nd_interfaces(c), 2);
    assert_string_equal(nd_interface_name(c, 1), "outside");
}

TEST(interfaces_stand_in_one_of_both_files)
{
    static const struct {
        const char *other, *pair, *expected;
    } cases[] = {
        {NETWORK, NETWORK NODES(TWO, TWO),
         "t.yaml:2: interfaces here, and interfaces in the chain file, expected interfaces, routes, "
         "next_hops and "
         "neighbours in one of the two"},
        {NETWORK, "next_hops: [10.0.0.9]\n" NODES(TWO, TWO),
         "t.yaml:2: next_hops here, and interfaces in the chain file, expected interfaces, routes, next_hops "
         "and neighbours in one of the two"},
        {"routes: []\n", NETWORK NODES(TWO, TWO),
         "t.yaml:2: interfaces here, and routes in the chain file, expected interfaces, routes, next_hops "
         "and neighbours in one of the two"},
        {"routes: []\n", NODES(TWO, TWO), "other.yaml:2: routes without interfaces, expected interfaces"},
        {"interfaces: {}\n", NODES(TWO, TWO),
         "other.yaml:2: interfaces is a map, expected a list of at most 8 entries"},
        {"interfaces: [a, b, c, d, e, f, g, h, i]\n", NODES(TWO, TWO),
         "other.yaml:2: interfaces is a list, expected a list of at most 8 entries"},
        {"timing: {}\n", NODES(TWO, TWO),
         "other.yaml:2: unknown key \"timing\" in the file, expected one of chain, protect, redis, "
         "interfaces, routes, routes_file, neighbours, next_hops"},
        {NETWORK, NODES("lan: net_null0", TWO),
         "t.yaml:4: node a ports wan is missing, expected text of 1 to 511 characters (a PCI address, or as "
         "net_af_packet0,iface=eth0)"},
        {NETWORK, NODES(TWO REST, TWO),
         "t.yaml:5: node b ports dmz is missing, expected text of 1 to 511 characters (a PCI address, or as "
         "net_af_packet0,iface=eth0)"},
        {NETWORK, NODES(TWO, TWO REST),
         "t.yaml:5: unknown key \"dmz\" in node b ports, expected one of lan, wan"},
        {NETWORK, NODES(TWO ", d/z: net_null2", TWO),
         "t.yaml:4: unknown key \"d/z\" in node a ports, expected one of lan, wan"},
        {NETWORK, NODES(TWO ", dmz: net_null1", TWO ", dmz: net_null2"),
         "t.yaml:4: node a ports dmz is net_null1, as wan, expected a device or interface of its own"},
        {"", NETWORK NODES(TWO REST, TWO REST),
         "t.yaml:10: unknown key \"dmz\" in node a ports, expected one of lan, wan"},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char other[2048], pair[2048];

        snprintf(other, sizeof(other), "chain: {name: other, nfs: [bare]}\n%s", cases[i].other);
        snprintf(pair, sizeof(pair), "chain: {file: other.yaml}\n%s", cases[i].pair);
        help_config_file("other.yaml", other, strlen(other));
        assert_string_equal(help_config_refusal_of(pair, false), cases[i].expected);
    }
}

/* What an NF's check made is released once, also when a later NF is refused. */
TEST(release_follows_check)
{
    struct nd_config *c = help_config_of("chain: {name: x, nfs: [probe]}\n", 0);
    static const char bad[] = "chain: {name: x, nfs: [probe, strict]}\n";

    assert_int_equal(help_probe_live, 1);
    help_end(c);
    assert_int_equal(help_probe_live, 0);
    assert_string_equal(help_config_refusal_of(bad, false),
                        "t.yaml:1: strict outside is missing, expected an address A.B.C.D");
    assert_int_equal(help_probe_live, 0);
}

/* What of a file's interfaces, routes and next hops is of IPv6: read, and refused by its line. */

static const char text[] =
    "chain: {name: x, nfs: [bare]}\n"
    "interfaces:\n"
    "- {name: in, side: inside, address6: 2001:db8:1::1/64}\n"
    "- {name: out, side: outside, address: 203.0.113.1/24, address6: 2001:db8:2::1/56, mtu: 1400,\n"
    "   extra: [2001:db8:3::7, 203.0.113.9], mac: \"02:00:00:00:00:07\"}\n"
    "routes:\n"
    "- {to: \"::/0\", via: 2001:db8:2::fe}\n"
    "- {to: 2001:db8:77::/48, via: fe80::5%in}\n"
    "next_hops: [2001:db8:1::9, fe80::9%out]\n"
    "neighbours: [{address: fe80::a%out, mac: 02:00:00:00:00:0a}, {address: 2001:db8:1::b, mac: "
    "02:00:00:00:00:0b}]\n";

static void is_addr(const struct nf_addr *addr, const char *expected)
{
    char got[NF_ADDR_TEXT];

    assert_string_equal(nf_addr_text(addr, got), expected);
}

TEST(addresses_routes_and_next_hops_are_read)
{
    struct nd_config *c;

    c = help_config_of(text, 0);
    const struct nf_l3_config *l3 = c->chain.l3;

    assert_int_equal(l3->ports, 2);
    assert_int_equal(l3->port[0].net[NF_IP4].bits, 0);
    assert_int_equal(l3->port[0].net[NF_IP6].bits, 64);
    is_addr(&l3->port[0].net[NF_IP6].addr, "2001:db8:1::1");
    assert_int_equal(l3->port[1].net[NF_IP6].bits, 56);
    is_addr(&l3->port[1].local, "fe80::ff:fe00:7"); /* RFC 4291: 02 with its bit turned, and ff:fe between */
    assert_int_equal(l3->port[1].extras[NF_IP4], 1);
    assert_int_equal(l3->port[1].extras[NF_IP6], 1);
    is_addr(&l3->port[1].extra[NF_IP6][0], "2001:db8:3::7");
    assert_int_equal(l3->routes[NF_IP4], 0);
    assert_int_equal(l3->routes[NF_IP6], 2);

    const struct nf_route *route = l3->route[NF_IP6];
    assert_true(route[0].to.bits == 0 && route[0].port == 1);
    is_addr(&route[0].via, "2001:db8:2::fe");
    assert_true(route[1].to.bits == 48 && route[1].port == 0);
    is_addr(&route[1].to.addr, "2001:db8:77::");
    is_addr(&route[1].via, "fe80::5");
    assert_int_equal(l3->next_hops[NF_IP6], 2);
    assert_int_equal(l3->next_hop[NF_IP6][0].port, 0);
    assert_int_equal(l3->next_hop[NF_IP6][1].port, 1);
    assert_int_equal(l3->fixed_count, 2);
    is_addr(&l3->fixed[0].addr, "fe80::a");
    assert_true(l3->fixed[0].port == 1 && l3->fixed[0].mac[5] == 0x0a);
    is_addr(&l3->fixed[1].addr, "2001:db8:1::b");
    assert_true(l3->fixed[1].port == 0 && l3->fixed[1].mac[5] == 0x0b);
}

static const struct change mistakes[] = {
    {"address6: 2001:db8:1::1/64", "mtu: 1500",
     "t.yaml:3: interface in has no address, expected address, address6 or both"},
    {"2001:db8:1::1/64", "2001:db8:1::1",
     "t.yaml:3: interface address6 is 2001:db8:1::1, expected an address of IPv6 with prefix like "
     "2001:db8::1/64, 1 to 128 bits"},
    {"2001:db8:1::1/64", "2001:db8:1::1/0",
     "t.yaml:3: interface address6 is 2001:db8:1::1/0, expected an address of IPv6 with prefix like "
     "2001:db8::1/64, 1 to 128 bits"},
    {"2001:db8:1::1/64", "ff02::1/64",
     "t.yaml:3: interface in address6 is ff02::1/64, expected an address of a host"},
    {"2001:db8:1::1/64", "fe80::1/64",
     "t.yaml:3: interface in address6 is fe80::1/64, expected an address of a host, the link-local one is "
     "made of the MAC"},
    {"2001:db8:1::1/64", "2001:db8:2:8::1/64",
     "t.yaml:4: interface out is in the network of in, expected another network"},
    {"mtu: 1400", "mtu: 1279",
     "t.yaml:4: interface out mtu is 1279, expected 1280 or more on a link with IPv6"},
    {"2001:db8:3::7", "fe80::7", "t.yaml:5: fe80::7 is no host's address, expected an address of this chain"},
    {"address6: 2001:db8:2::1/56, ", "",
     "t.yaml:5: interface out has no address6, expected one in front of 2001:db8:3::7"},
    {"2001:db8:2::fe", "2001:db8:9::fe",
     "t.yaml:7: route via is 2001:db8:9::fe, expected an address in the network of an interface"},
    {"2001:db8:2::fe", "2001:db8:2::1",
     "t.yaml:7: route via is 2001:db8:2::1, the chain's own, expected a neighbour in the network of out"},
    {"2001:db8:2::fe", "203.0.113.254",
     "t.yaml:7: route via is 203.0.113.254, expected an address of IPv6, as `to`"},
    {"2001:db8:2::fe", "2001:db8:2::fe%out",
     "t.yaml:7: route via is 2001:db8:2::fe%out, expected no %INTERFACE behind an address that is not "
     "link-local"},
    {"fe80::5%in", "fe80::5",
     "t.yaml:8: route via is fe80::5, expected %INTERFACE behind a link-local address"},
    {"fe80::5%in", "fe80::5%inner",
     "t.yaml:8: route via is fe80::5%inner, expected an address in the network of an interface"},
    {"2001:db8:77::/48", "2001:db8:77::1/48",
     "t.yaml:8: route to is 2001:db8:77::1/48, expected a network A.B.C.D/N or of IPv6, "
     "2001:db8::/32, without host bits"},
    {"2001:db8:77::/48", "\"::/0\"", "t.yaml:8: a second route to one network, expected one"},
    {"fe80::9%out", "fe80::ff:fe00:7%out",
     "t.yaml:9: next hop is fe80::ff:fe00:7%out, the chain's own, expected a neighbour in the network of "
     "out"},
    {"fe80::9%out", "ff02::1",
     "t.yaml:9: next hop is ff02::1, expected an address in the network of an interface"},
};

TEST(mistakes_are_refused_by_their_line)
{
    REFUSE_CHANGES(text, false, mistakes);
}

/* Interfaces that share a port by VLAN tags: read, and refused by their line. */

static const char vlan_text[] =
    "chain: {name: x, nfs: [bare]}\n"
    "interfaces:\n"
    "- {name: a100, port: trunk, vlan: 100, side: inside, address: 10.1.0.1/24}\n"
    "- {name: wan, side: outside, address: 203.0.113.1/24}\n"
    "- {name: b7, port: trunk, vlan: [200, 7], side: inside, address: 10.2.0.1/24}\n"
    "- {name: bare, port: trunk, side: outside, address: 10.3.0.1/24}\n"
    "- {name: c7, port: trunk, vlan: [201, 7], tpid: 802.1q, side: inside, address: 10.4.0.1/24}\n"
    "- {name: d, port: trunk, vlan: 4094, tpid: 802.1ad, side: inside, address: 10.5.0.1/24, mac: "
    "\"02:00:00:00:00:07\"}\n"
    "link: {insecure: true}\n"
    "nodes:\n"
    "  a: {role: primary, ports: {wan: net_null1, trunk: net_null0}, replication: \"127.0.0.1:7001\",\n"
    "    control: a.sock}\n"
    "  b: {role: standby, ports: {trunk: net_null2, wan: net_null3}, replication: \"127.0.0.1:7002\",\n"
    "    control: b.sock}\n";

static struct nd_config *read_config(void)
{
    return help_config_of(vlan_text, ND_CONFIG_NODES);
}

TEST(interfaces_have_their_port_and_tags)
{
    static const struct {
        const char *port;
        unsigned device;
        struct nf_vlan vlan;
    } expected[] = {
        {"trunk", 0, {100, 0, NF_TPID_8021Q}},  {"wan", 1, {0, 0, NF_TPID_8021Q}},
        {"trunk", 0, {200, 7, NF_TPID_8021AD}}, {"trunk", 0, {0, 0, NF_TPID_8021Q}},
        {"trunk", 0, {201, 7, NF_TPID_8021Q}},  {"trunk", 0, {4094, 0, NF_TPID_8021AD}},
    };
    struct nd_config *c = read_config();

    assert_int_equal(c->chain.l3->ports, 6);
    assert_int_equal(c->ports, 2);
    for (unsigned i = 0; i < 6; i++) {
        assert_string_equal(c->chain.l3->port[i].port, expected[i].port);
        assert_int_equal(c->chain.l3->port[i].device, expected[i].device);
        assert_memory_equal(&c->chain.l3->port[i].vlan, &expected[i].vlan, sizeof(expected[i].vlan));
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(c->port_name[i], i ? "wan" : "trunk");
        assert_string_equal(c->node[0].port[i], i ? "net_null1" : "net_null0");
        assert_string_equal(c->node[1].port[i], i ? "net_null3" : "net_null2");
    }
}

TEST(those_of_one_port_have_one_mac)
{
    const uint8_t given[6] = {2, 0, 0, 0, 0, 7};
    struct nd_config *c = read_config();

    assert_memory_equal(c->chain.l3->port[2].mac, c->chain.l3->port[0].mac, 6);
    assert_memory_equal(c->chain.l3->port[3].mac, c->chain.l3->port[0].mac, 6);
    assert_memory_not_equal(c->chain.l3->port[1].mac, c->chain.l3->port[0].mac, 6);
    assert_memory_equal(c->chain.l3->port[5].mac, given, 6);
}

/* Nodes whose files say other tags are no pair; a file without tags says what it always said. */
TEST(tags_are_part_of_what_two_nodes_compare)
{
    static const char plain[] = "chain: {name: x, nfs: [bare]}\n"
                                "interfaces: [{name: in, side: inside, address: 10.0.0.1/24, mac: "
                                "\"02:00:00:00:00:01\"}, {name: out, side: outside, address: 10.0.1.1/24}]\n";
    static const char *const others[] = {"vlan: 101", "vlan: 100, pcp: dscp"};
    static char one[8192], two[8192];
    struct nd_config *c = NULL, *d = NULL;

    for (unsigned i = 0; i < 2; i++) {
        char *changed = help_config_replace(vlan_text, "vlan: 100", others[i]);

        c = read_config();
        d = help_config_of(changed, 0);
        assert_int_equal(d->chain.l3->port[0].pcp_of_dscp, i);
        nf_chain_identity(&c->chain, one, sizeof(one));
        nf_chain_identity(&d->chain, two, sizeof(two));
        assert_string_not_equal(one, two);
    }
    c = help_config_of(plain, 0);
    nf_chain_identity(&c->chain, one, sizeof(one));
    assert_non_null(strstr(one, "\nport 0: in inside 02:00:00:00:00:01 10.0.0.1/24 mtu 1500\n"));
}

static const struct change vlan_mistakes[] = {
    {"vlan: 100", "vlan: 0", "t.yaml:3: interface vlan is 0, expected a number from 1 to 4094"},
    {"vlan: 100", "vlan: 4095", "t.yaml:3: interface vlan is 4095, expected a number from 1 to 4094"},
    {"vlan: 100", "vlan: guests", "t.yaml:3: interface vlan is guests, expected a number from 1 to 4094"},
    {"vlan: 100", "vlan: {}", "t.yaml:3: interface vlan is a map, expected a number from 1 to 4094"},
    {"[200, 7]", "[200]",
     "t.yaml:5: interface vlan is a list of 1, expected a number, or the outer tag's and the inner one's"},
    {"[200, 7]", "[200, 7, 1]",
     "t.yaml:5: interface vlan is a list of 3, expected a number, or the outer tag's and the inner one's"},
    {"[200, 7]", "[200, 0]", "t.yaml:5: interface vlan is 0, expected a number from 1 to 4094"},
    {"[200, 7]", "100", "t.yaml:5: interface b7 has port trunk and the vlan of a100, expected another vlan"},
    {"[201, 7]", "[200, 7]",
     "t.yaml:7: interface c7 has port trunk and the vlan of b7, expected another vlan"},
    {"vlan: 4094, tpid: 802.1ad, ", "",
     "t.yaml:8: interface d has port trunk and no vlan, as that of bare, expected another port, or a vlan"},
    {"vlan: 4094, ", "", "t.yaml:8: interface d has a tpid and no vlan, expected both"},
    {"mac: \"02:00:00:00:00:07\"", "pcp: ef", "t.yaml:8: interface pcp is ef, expected zero or dscp"},
    {"port: trunk, side: outside", "port: trunk, pcp: dscp, side: outside",
     "t.yaml:6: interface bare has a pcp and no vlan, expected both"},
    {"802.1ad", "802.1x", "t.yaml:8: interface tpid is 802.1x, expected 802.1q or 802.1ad"},
    {"port: trunk, vlan: 100", "port: \"a b\", vlan: 100",
     "t.yaml:3: interface port is \"a b\", expected a name of at most 31 letters, digits, - and _"},
    {"port: trunk, vlan: 100", "port: trunc, vlan: 100",
     "t.yaml:11: node a ports trunc is missing, expected text of 1 to 511 characters (a PCI address, or as "
     "net_af_packet0,iface=eth0)"},
    {"wan: net_null1, trunk: net_null0", "wan: net_null1, trunk: net_null0, a100: net_null9",
     "t.yaml:11: unknown key \"a100\" in node a ports, expected one of trunk, wan"},
    {"02:00:00:00:00:07\"}",
     "02:00:00:00:00:07\"}\n- {name: e, side: inside, address: 10.6.0.1/24, mac: "
     "\"02:00:00:00:00:07\"}",
     "t.yaml:9: interface e has the mac of d, expected another mac"},
};

TEST(mistakes_of_vlans_are_refused_by_their_line)
{
    REFUSE_CHANGES(vlan_text, true, vlan_mistakes);
}

TESTS_SHARE(NULL, help_config_clean)
