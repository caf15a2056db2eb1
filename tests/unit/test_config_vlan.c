/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces that share a port by VLAN tags: read, and refused by their line. */
#include "tests/help/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const char text[] =
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
    struct nd_config *c = NULL;
    struct ft_fault fault = {""};

    if (nd_config_read(&c, help_config_file("t.yaml", text, strlen(text)), ND_CONFIG_NODES, &fault))
        fail_msg("%s", fault.text);
    return c;
}

static void interfaces_have_their_port_and_tags(void **state)
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

    (void)state;
    assert_int_equal(c->l3.ports, 6);
    assert_int_equal(c->l3.devices, 2);
    for (unsigned i = 0; i < 6; i++) {
        assert_string_equal(c->l3.port[i].port, expected[i].port);
        assert_int_equal(c->l3.port[i].device, expected[i].device);
        assert_memory_equal(&c->l3.port[i].vlan, &expected[i].vlan, sizeof(expected[i].vlan));
        assert_string_equal(c->node[0].port[i], expected[i].device ? "net_null1" : "net_null0");
        assert_string_equal(c->node[1].port[i], expected[i].device ? "net_null3" : "net_null2");
    }
    nd_config_free(c);
}

static void those_of_one_port_have_one_mac(void **state)
{
    const uint8_t given[6] = {2, 0, 0, 0, 0, 7};
    struct nd_config *c = read_config();

    (void)state;
    assert_memory_equal(c->l3.port[2].mac, c->l3.port[0].mac, 6);
    assert_memory_equal(c->l3.port[3].mac, c->l3.port[0].mac, 6);
    assert_memory_not_equal(c->l3.port[1].mac, c->l3.port[0].mac, 6);
    assert_memory_equal(c->l3.port[5].mac, given, 6);
    nd_config_free(c);
}

/* Nodes whose files say other tags are no pair; a file without tags says what it always said. */
static void tags_are_part_of_what_two_nodes_compare(void **state)
{
    static const char plain[] = "chain: {name: x, nfs: [bare]}\n"
                                "interfaces: [{name: in, side: inside, address: 10.0.0.1/24, mac: "
                                "\"02:00:00:00:00:01\"}, {name: out, side: outside, address: 10.0.1.1/24}]\n";
    static const char *const others[] = {"vlan: 101", "vlan: 100, pcp: dscp"};
    static char one[8192], two[8192];
    struct nd_config *c = NULL, *d = NULL;
    struct ft_fault fault = {""};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char *changed = help_config_replace(text, "vlan: 100", others[i]);

        c = read_config();
        if (nd_config_read(&d, help_config_file("t.yaml", changed, strlen(changed)), 0, &fault))
            fail_msg("%s", fault.text);
        assert_int_equal(d->l3.port[0].pcp_of_dscp, i);
        nf_chain_identity(&c->chain, one, sizeof(one));
        nf_chain_identity(&d->chain, two, sizeof(two));
        assert_string_not_equal(one, two);
        nd_config_free(c);
        nd_config_free(d);
        free(changed);
    }
    if (nd_config_read(&c, help_config_file("t.yaml", plain, strlen(plain)), 0, &fault))
        fail_msg("%s", fault.text);
    nf_chain_identity(&c->chain, one, sizeof(one));
    assert_non_null(strstr(one, "\nport 0: in inside 02:00:00:00:00:01 10.0.0.1/24 mtu 1500\n"));
    nd_config_free(c);
}

static const struct {
    const char *find, *replace, *expected;
} mistakes[] = {
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
     "t.yaml:11: node a ports trunc is missing, expected text of 1 to 511 characters"},
    {"wan: net_null1, trunk: net_null0", "wan: net_null1, trunk: net_null0, a100: net_null9",
     "t.yaml:11: unknown key \"a100\" in node a ports, expected one of trunk, wan"},
    {"02:00:00:00:00:07\"}",
     "02:00:00:00:00:07\"}\n- {name: e, side: inside, address: 10.6.0.1/24, mac: "
     "\"02:00:00:00:00:07\"}",
     "t.yaml:9: interface e has the mac of d, expected another mac"},
};

static void mistakes_are_refused_by_their_line(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        char *changed = help_config_replace(text, mistakes[i].find, mistakes[i].replace);

        assert_string_equal(help_config_refusal(help_config_file("t.yaml", changed, strlen(changed)), true),
                            mistakes[i].expected);
        free(changed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interfaces_have_their_port_and_tags),
        cmocka_unit_test(those_of_one_port_have_one_mac),
        cmocka_unit_test(tags_are_part_of_what_two_nodes_compare),
        cmocka_unit_test(mistakes_are_refused_by_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, help_config_clean);
}
