/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is right is read with all its values and defaults; see test_config_refusals.c for the others.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE "tests/unit/data/pair.yaml"

static struct nd_config *read_text(const char *text)
{
    struct nd_config *config;
    struct ft_fault fault = {""};

    if (nd_config_read(&config, help_config_file("t.yaml", text, strlen(text)), 0, &fault))
        fail_msg("%s", fault.text);
    return config;
}

static struct nd_config *read_sample(void)
{
    struct nd_config *config;
    struct ft_fault fault = {""};

    if (nd_config_read(&config, SAMPLE, ND_CONFIG_NODES, &fault))
        fail_msg("%s", fault.text);
    return config;
}

static void the_samples_chain_and_protection_are_read(void **state)
{
    struct nd_config *c = read_sample();
    const struct help_probe *probe = c->chain.nfs[0].config;

    (void)state;
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
    nd_config_free(c);
}

static void the_samples_network_is_read(void **state)
{
    struct nd_config *c = read_sample();
    const struct nf_l3_config *l3 = &c->l3;
    const uint8_t given[6] = {2, 0, 0, 0, 0, 7};

    (void)state;
    assert_ptr_equal(c->chain.l3, l3);
    assert_int_equal(l3->ports, 2);
    assert_string_equal(l3->port[0].name, "in");
    assert_int_equal(l3->port[0].side, NF_INSIDE);
    assert_int_equal(l3->port[0].addr, inet_addr("10.0.0.1"));
    assert_int_equal(l3->port[0].mask, inet_addr("255.255.255.0"));
    assert_int_equal(l3->port[0].extras, 0);
    assert_int_equal(l3->port[0].mac[0], 2);
    assert_int_equal(l3->port[1].side, NF_OUTSIDE);
    assert_memory_equal(l3->port[1].mac, given, 6);
    assert_int_equal(l3->port[1].extras, 2); /* its own, then that of the NF */
    assert_int_equal(l3->port[1].extra[0], inet_addr("198.51.100.3"));
    assert_int_equal(l3->port[1].extra[1], inet_addr("203.0.113.1"));
    assert_int_equal(l3->routes, 2);
    assert_int_equal(l3->route[0].addr, 0);
    assert_int_equal(l3->route[0].mask, 0);
    assert_int_equal(l3->route[0].via, inet_addr("198.51.100.1"));
    assert_int_equal(l3->route[0].port, 1);
    assert_int_equal(l3->route[1].port, 0);
    assert_int_equal(l3->next_hops, 2);
    assert_int_equal(l3->next_hop[1], inet_addr("10.0.0.254"));
    nd_config_free(c);
}

static void the_samples_nodes_are_read(void **state)
{
    struct nd_config *c = read_sample();

    (void)state;
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
    nd_config_free(c);
}

static void a_chain_file_has_defaults(void **state)
{
    struct nd_config *c = read_text("chain: {name: x, nfs: [probe: ]}\n");
    const struct help_probe *probe = c->chain.nfs[0].config;

    (void)state;
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
    nd_config_free(c);
}

/* The log is for chains that can be replayed; the one NF that cannot decides, and is named. */
static void auto_is_decided_by_the_chain(void **state)
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

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[160], said[ND_MODE_TEXT];
        struct nd_protect *p;
        struct nd_config *c;

        snprintf(text, sizeof(text), "chain: {name: x, nfs: [%s]}\nprotect: {%s}\n", cases[i].nfs,
                 cases[i].protect);
        c = read_text(text);
        p = &c->protect;
        assert_int_equal(p->asked, cases[i].asked);
        assert_string_equal(p->mode, nd_modes[cases[i].mode]);
        assert_int_equal(p->pair, cases[i].mode != ND_MODE_OFF);
        assert_int_equal(p->records, cases[i].mode == ND_MODE_LOG);
        assert_int_equal(p->deltas, cases[i].mode == ND_MODE_DELTA);
        assert_string_equal(p->decided_by, cases[i].by);
        assert_string_equal(nd_mode_text(said, p->mode, nd_modes[p->asked], p->decided_by), cases[i].said);
        nd_config_free(c);
    }
}

/* A tool that asks for another mode than the file has it decided anew. */
static void another_mode_is_decided_anew(void **state)
{
    struct nd_config *c = read_text("chain: {name: x, nfs: [bare, frail]}\n");
    struct ft_fault fault = {""};

    (void)state;
    c->protect.asked = ND_MODE_LOG;
    assert_int_equal(nd_config_decide(&c->protect, &c->chain, &fault), FT_EINVAL);
    assert_string_equal(fault.text, "NF \"frail\" cannot be replayed, expected delta or auto");
    assert_string_equal(c->protect.decided_by, "");
    c->protect.asked = ND_MODE_OFF;
    assert_int_equal(nd_config_decide(&c->protect, &c->chain, &fault), 0);
    assert_false(c->protect.pair || c->protect.records || c->protect.deltas);
    c->protect.asked = ND_MODE_AUTO;
    assert_int_equal(nd_config_decide(&c->protect, &c->chain, &fault), 0);
    assert_true(c->protect.pair && c->protect.deltas && !c->protect.records);
    assert_string_equal(c->protect.decided_by, "frail");
    nd_config_free(c);
}

static void times_follow_from_detect(void **state)
{
    const struct {
        const char *timing;
        uint32_t heartbeat, lease, detect, promote, solo, listen, degrade, most;
    } cases[] = {
        {"", 2, 10, 50, 150, 250, 10000, 30, 100}, /* silences are measured */
        {"timing: {lease_ms: 3}\n", 1, 3, 50, 150, 250, 10000, 30, 100},
        {"timing: {lease_ms: 40}\n", 2, 40, 50, 150, 250, 10000, 40, 100},
        {"timing: {promote_within_ms: 60, heartbeat_ms: 7}\n", 7, 14, 50, 60, 250, 10000, 30, 50},
        {"timing: {promote_within_ms: 100}\n", 2, 10, 50, 100, 250, 10000, 30, 50},
        {"timing: {promote_within_ms: 200}\n", 2, 10, 50, 200, 250, 10000, 30, 150},
        {"timing: {solo_after_ms: 150}\n", 2, 10, 50, 100, 150, 10000, 30, 50},
        {"timing: {solo_after_ms: 151}\n", 2, 10, 50, 150, 151, 10000, 30, 100},
        {"timing: {detect_ms: 3}\n", 1, 2, 3, 6, 12, 0, 2, 3},
        {"timing: {detect_ms: 20}\n", 2, 12, 20, 40, 80, 0, 12, 20},
        {"timing: {detect_ms: 50}\n", 5, 30, 50, 100, 200, 0, 30, 50},
        {"timing: {detect_ms: 100, lease_ms: 99}\n", 5, 99, 100, 200, 400, 0, 99, 100},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[160];
        struct nd_config *c;

        snprintf(text, sizeof(text), "%schain: {name: x, nfs: [bare]}\n", cases[i].timing);
        c = read_text(text);
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
        nd_config_free(c);
    }
}

static void virtual_mac_is_the_chains(void **state)
{
    static const char text[] = "chain: {name: %s, nfs: [bare]}\ninterfaces:\n"
                               "- {name: i, side: inside, address: 10.0.0.1/24}\n"
                               "- {name: o, side: outside, address: 10.0.1.1/24}\n";
    char one[256], two[256];
    struct nd_config *a, *b, *c;

    (void)state;
    snprintf(one, sizeof(one), text, "one");
    snprintf(two, sizeof(two), text, "two");
    a = read_text(one);
    b = read_text(one);
    c = read_text(two);
    assert_memory_equal(a->l3.port[0].mac, b->l3.port[0].mac, 6); /* both nodes derive the same */
    assert_memory_equal(a->l3.port[1].mac, b->l3.port[1].mac, 6);
    assert_int_not_equal(memcmp(a->l3.port[0].mac, a->l3.port[1].mac, 6), 0);
    assert_int_not_equal(memcmp(a->l3.port[0].mac, c->l3.port[0].mac, 6), 0);
    assert_int_equal(a->l3.port[0].mac[0] & 3, 2); /* locally administered, unicast */
    nd_config_free(a);
    nd_config_free(b);
    nd_config_free(c);
}

static void own_address_that_is_the_interfaces_counts_once(void **state)
{
    struct nd_config *c = read_text("chain: {name: x, nfs: [probe: {outside: 10.0.1.1}]}\ninterfaces:\n"
                                    "- {name: i, side: inside, address: 10.0.0.1/24}\n"
                                    "- {name: o, side: outside, address: 10.0.1.1/24}\n");

    (void)state;
    assert_int_equal(c->l3.port[0].extras, 0);
    assert_int_equal(c->l3.port[1].extras, 0);
    nd_config_free(c);
}

static void a_chain_may_come_from_another_file(void **state)
{
    static const char other[] =
        "chain: {name: other, nfs: [probe: {rules: here.rules}]}\nprotect: {tail: suppress}\n";
    struct nd_config *c;
    char rules[300];

    (void)state;
    help_config_file("here.rules", "x", 1);
    help_config_file("other.yaml", other, strlen(other));
    snprintf(rules, sizeof(rules), "%s/here.rules", help_config_dir());
    c = read_text("chain: {file: other.yaml}\n");
    assert_string_equal(c->chain.name, "other");
    assert_string_equal(((struct help_probe *)c->chain.nfs[0].config)->rules.path, rules);
    assert_int_equal(c->protect.tail, ND_TAIL_SUPPRESS);
    nd_config_free(c);
    c = read_text("chain: {file: other.yaml}\nprotect: {strict: true}\n"); /* this file's own wins, whole */
    assert_int_equal(c->protect.tail, ND_TAIL_EMIT);
    assert_true(c->protect.strict);
    nd_config_free(c);
}

/* What an NF's check made is released once, also when a later NF is refused. */
static void release_follows_check(void **state)
{
    struct nd_config *c = read_text("chain: {name: x, nfs: [probe]}\n");
    static const char bad[] = "chain: {name: x, nfs: [probe, strict]}\n";

    (void)state;
    assert_int_equal(help_probe_live, 1);
    nd_config_free(c);
    assert_int_equal(help_probe_live, 0);
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", bad, strlen(bad)), false),
                        "t.yaml:1: strict outside is missing, expected an address A.B.C.D");
    assert_int_equal(help_probe_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_chain_and_protection_are_read),
        cmocka_unit_test(the_samples_network_is_read),
        cmocka_unit_test(the_samples_nodes_are_read),
        cmocka_unit_test(a_chain_file_has_defaults),
        cmocka_unit_test(auto_is_decided_by_the_chain),
        cmocka_unit_test(another_mode_is_decided_anew),
        cmocka_unit_test(times_follow_from_detect),
        cmocka_unit_test(virtual_mac_is_the_chains),
        cmocka_unit_test(own_address_that_is_the_interfaces_counts_once),
        cmocka_unit_test(a_chain_may_come_from_another_file),
        cmocka_unit_test(release_follows_check),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, help_config_clean);
}
