/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong in a file is refused in one line with its position, whatever it is, and nothing stays
 * allocated.
 */
#include "tests/unit/help_refusal.h"
#include "tests/unit/help_config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void keys_are_refused_by_position(void **state)
{
    static const struct refusal cases[] = {
        {"", "t.yaml:1: empty file, expected a configuration"},
        {"# only a comment\n", "t.yaml:1: empty file, expected a configuration"},
        {"- a\n", "t.yaml:1: the file is a list, expected a map of settings"},
        {"hello\n", "t.yaml:1: the file is text, expected a map of settings"},
        {"protect: {}\n", "t.yaml:1: chain is missing, expected a map of settings"},
        {"chian: {}\n", "t.yaml:1: unknown key \"chian\" in the file, expected \"chain\"?"},
        {CHAIN "\n\nprotect:\n  mod: log\n", "t.yaml:5: unknown key \"mod\" in protect, expected \"mode\"?"},
        {CHAIN "record: []\n", "t.yaml:2: record is a list, expected a map of settings"},
        {CHAIN "record: {}\n", "t.yaml:2: record dir is missing, expected text of 1 to 191 characters"},
        {CHAIN "record: { dir: r, files: 1 }\n",
         "t.yaml:2: record files is 1, expected a number from 2 to 100000"},
        {CHAIN "record: { dir: r, file_kb: 1 }\n",
         "t.yaml:2: unknown key \"file_kb\" in record, expected \"file_mb\"?"},
        {CHAIN "redis: 1\n", "t.yaml:2: redis is 1, expected a map of settings"},
        {"chain: {name: x, state: [], nfs: [bare]}\n",
         "t.yaml:1: chain state is no text, expected local: only bench keeps it in Redis, with --compare "
         "redis-sync"},
        {"chain:\n  name: x\n  state: redis\n  lanes: 2\n  nfs: [bare]\nprotect: { mode: off }\n",
         "t.yaml:3: chain state is redis, expected local: only bench keeps it in Redis, with --compare "
         "redis-sync"},
        {"chain: {name: x, state: local, nfs: [bare]}\nredis: {batch: 4097}\n", ""},
        {CHAIN "drill:\n  zzzzzz: 1\n",
         "t.yaml:3: unknown key \"zzzzzz\" in drill, expected one of permit, probe"},
        {"chain:\n  name: x\n  nfs: [bare: {speed: 1}]\n",
         "t.yaml:3: unknown key \"speed\" in bare, expected one of on_crash"},
        {"chain:\n  name: x\n  nfs: [bare]\n  name: y\n",
         "t.yaml:4: duplicate key \"name\", expected once (first on line 2)"},
        {"chain:\n  nfs: [bare]\n",
         "t.yaml:1: chain name is missing, expected a name of at most 31 letters, digits, - and _"},
        {"chain:\n  name: x\n", "t.yaml:1: chain nfs is missing, expected a list of at most 31 entries"},
        {"chain: {name: x, nfs: []}\n", "t.yaml:1: chain nfs is an empty list, expected at least one NF"},
        {"chain:\n  name: x\n  nfs:\n  - bare\n  - probes: {}\n",
         "t.yaml:5: no NF called \"probes\", expected probe?"},
        {"chain:\n  name: x\n  nfs:\n  - bare\n  - bare\n",
         "t.yaml:5: NF bare again, expected each once (first on line 4)"},
        {"chain:\n  name: x\n  nfs:\n  - {bare: {}, probe: {}}\n",
         "t.yaml:4: not an NF, expected \"- NAME: {settings}\""},
        {"? [a]\n: 1\n", "t.yaml:1: a list or map as a key, expected a name"},
    };

    (void)state;
    REFUSE_ALL(cases);
}

static void values_are_refused_by_position(void **state)
{
#define NF(settings) "chain:\n  name: x\n  nfs:\n  - probe:\n      " settings "\n"
    static const struct refusal cases[] = {
        {"chain: [a]\n", "t.yaml:1: chain is a list, expected a map of settings"},
        {"chain:\n  name: a/b\n  nfs: [bare]\n",
         "t.yaml:2: chain name is a/b, expected a name of at most 31 letters, digits, - and _"},
        {"chain:\n  name: x\n  lanes: 17\n  nfs: [bare]\n",
         "t.yaml:3: chain lanes is 17, expected a number from 1 to 16"},
        {"chain:\n  name: x\n  lanes: two\n  nfs: [bare]\n",
         "t.yaml:3: chain lanes is two, expected a number from 1 to 16"},
        {"chain:\n  name: x\n  lanes: \"1\"\n  nfs: [bare]\n",
         "t.yaml:3: chain lanes is \"1\", expected a number from 1 to 16"},
        {"chain:\n  name: x\n  lanes:\n  nfs: [bare]\n",
         "t.yaml:3: chain lanes is empty, expected a number from 1 to 16"},
        {"chain:\n  name: x\n  lanes: [1]\n  nfs: [bare]\n",
         "t.yaml:3: chain lanes is a list, expected a number from 1 to 16"},
        {CHAIN "protect: {mode: fast}\n",
         "t.yaml:2: protect mode is fast, expected off or log or delta or auto"},
        {CHAIN "protect: {compress: yes}\n",
         "t.yaml:2: protect compress is yes, expected auto or always or never"},
        {CHAIN "protect: {strict: yes}\n", "t.yaml:2: protect strict is yes, expected true or false"},
        {CHAIN "protect: {hold_packets: 127}\n",
         "t.yaml:2: protect hold_packets is 127, expected a number from 128 to 1048576"},
        {CHAIN "interfaces: 5\n", "t.yaml:2: interfaces is 5, expected a list of at most 8 entries"},
        {NF("number: 1"), "t.yaml:5: probe number is 1, expected a number from 2 to 20"},
        {NF("number: -1"), "t.yaml:5: probe number is -1, expected a number from 2 to 20"},
        {NF("number: 99999999999999999999999"),
         "t.yaml:5: probe number is 99999999999999999999999, expected a number from 2 to 20"},
        {NF("large: 18446744073709551616"),
         "t.yaml:5: probe large is 18446744073709551616, expected a number from 0 to 18446744073709551615"},
        {NF("seconds: 601"), "t.yaml:5: probe seconds is 601, expected seconds, from 1 to 600"},
        {NF("flag: 1"), "t.yaml:5: probe flag is 1, expected true or false"},
        {NF("choice: {}"), "t.yaml:5: probe choice is a map, expected drop or pass"},
        {NF("outside: 1.2.3"), "t.yaml:5: probe outside is 1.2.3, expected an address A.B.C.D"},
        {NF("outside: 1.2.3.256"), "t.yaml:5: probe outside is 1.2.3.256, expected an address A.B.C.D"},
        {NF("inside: 10.0.0.0/8"),
         "t.yaml:5: probe inside is 10.0.0.0/8, expected a list of at most 16 networks A.B.C.D/N"},
        {NF("inside:\n        - 10.0.0.0/8\n        - 10.0.0.1/8"),
         "t.yaml:7: probe inside is 10.0.0.1/8, expected a network A.B.C.D/N without host bits"},
        {NF("inside: [10.0.0.0/33]"),
         "t.yaml:5: probe inside is 10.0.0.0/33, expected a network A.B.C.D/N without host bits"},
        {NF("ports: 0-5"), "t.yaml:5: probe ports is 0-5, expected a range FIRST-LAST within 1-65535, the lower one first"},
        {NF("ports: 9-5"), "t.yaml:5: probe ports is 9-5, expected a range FIRST-LAST within 1-65535, the lower one first"},
        {NF("text:"), "t.yaml:5: probe text is empty, expected text"},
        {NF("rules: none.rules"),
         "t.yaml:5: probe rules is none.rules (No such file or directory), expected a readable file"},
        {NF("number: 13"), "t.yaml:4: probe: number is 13, expected a lucky one"},
    };

    (void)state;
    REFUSE_ALL(cases);
}

static void fixed_neighbours_are_refused_by_line(void **state)
{
#define LINKS                                                                                                \
    "interfaces:\n- {name: in, side: inside, address: 10.0.0.1/24}\n"                                        \
    "- {name: out, side: outside, address: 203.0.113.1/24, address6: 2001:db8::1/64, mac: "                  \
    "02:00:00:00:00:07}\n"
    static const struct refusal cases[] = {
        {CHAIN "neighbours: [{address: 10.0.0.5, mac: 02:00:00:00:00:05}]\n",
         "t.yaml:2: neighbours without interfaces, expected interfaces"},
        {CHAIN LINKS "neighbours:\n- {address: 10.0.1.5, mac: 02:00:00:00:00:05}\n",
         "t.yaml:6: neighbour address is 10.0.1.5, expected an address in the network of an interface"},
        {CHAIN LINKS "neighbours:\n- {address: 10.0.0.1, mac: 02:00:00:00:00:05}\n",
         "t.yaml:6: neighbour address is 10.0.0.1, expected a neighbour in the network of in"},
        {CHAIN LINKS "neighbours:\n- {address: 10.0.0.5, mac: 03:00:00:00:00:05}\n",
         "t.yaml:6: neighbour mac is 03:00:00:00:00:05, expected a unicast MAC address like "
         "02:00:00:00:00:01"},
        {CHAIN LINKS "neighbours:\n- {address: 10.0.0.5}\n",
         "t.yaml:6: neighbour mac is missing, expected a unicast MAC address like 02:00:00:00:00:01"},
        {CHAIN LINKS "neighbours:\n- {address: 10.0.0.5, mac: 02:00:00:00:00:07}\n",
         "t.yaml:6: neighbour mac is that of interface out, expected the neighbour's own"},
        {CHAIN LINKS "neighbours:\n- {address: 10.0.0.5, mac: 02:00:00:00:00:05}\n"
                     "- {address: 10.0.0.5, mac: 02:00:00:00:00:06}\n",
         "t.yaml:7: neighbour 10.0.0.5 again, expected each once"},
        {CHAIN LINKS "neighbours:\n- {address: fe80::5, mac: 02:00:00:00:00:05}\n",
         "t.yaml:6: neighbour address is fe80::5, expected %INTERFACE behind a link-local address"},
        {CHAIN LINKS "neighbours:\n- {address: 2001:db8::5, mac: 02:00:00:00:00:05}\n"
                     "- {address: 2001:db8::5, mac: 02:00:00:00:00:06}\n",
         "t.yaml:7: neighbour 2001:db8::5 again, expected each once"},
    };

    (void)state;
    REFUSE_ALL(cases);
}

static void times_out_of_order_are_refused(void **state)
{
    static const struct refusal cases[] = {
        {CHAIN "timing:\n  detect_ms: 2\n",
         "t.yaml:3: timing detect_ms is 2, expected a number from 3 to 60000"},
        {CHAIN "timing:\n  lease_ms: 50\n",
         "t.yaml:3: timing detect_ms is 50, expected more than lease_ms, which is 50"},
        {CHAIN "timing:\n  detect_ms: 40\n  lease_ms: 41\n",
         "t.yaml:3: timing detect_ms is 40, expected more than lease_ms, which is 41"},
        {CHAIN "timing:\n  promote_within_ms: 50\n",
         "t.yaml:3: timing promote_within_ms is 50, expected more than detect_ms, which is 50"},
        {CHAIN "timing:\n  solo_after_ms: 100\n",
         "t.yaml:3: timing solo_after_ms is 100, expected more than promote_within_ms, which is 100"},
        {CHAIN "timing:\n  heartbeat_ms: 50\n",
         "t.yaml:3: timing heartbeat_ms is 50, expected at most half of lease_ms, which is 30"},
        {CHAIN "timing:\n  heartbeat_ms: 16\n",
         "t.yaml:3: timing heartbeat_ms is 16, expected at most half of lease_ms, which is 30"},
        {CHAIN "timing:\n  heartbeat_ms: 15\n", ""},
        {CHAIN "timing:\n  lease_ms: 1\n",
         "t.yaml:3: timing lease_ms is 1, expected a number from 2 to 60000"},
        {CHAIN "timing:\n  lease_ms: 2\n", ""},
        {CHAIN "timing:\n  detect_ms: 3\n", ""},
    };

    (void)state;
    REFUSE_ALL(cases);
}

/* The log is asked for and one NF of the chain cannot be replayed, wherever the key stands. */
static void a_log_of_what_cannot_be_replayed_is_refused(void **state)
{
#define FRAIL  "chain: {name: x, nfs: [bare, frail]}\n"
#define REASON "protect mode is log, NF \"frail\" cannot be replayed, expected delta or auto"
    static const char other[] = FRAIL "protect:\n  tail: emit\n  mode: log\n";
    static const struct refusal cases[] = {
        {FRAIL "protect: {mode: log}\n", "t.yaml:2: " REASON},
        {FRAIL "protect:\n  standby: warm\n  mode: log\n", "t.yaml:4: " REASON},
        {"chain: {file: other.yaml}\n", "other.yaml:4: " REASON},
        {"chain: {file: other.yaml}\nprotect: {mode: delta}\n", ""},
        {FRAIL "protect: {mode: auto}\n", ""},
        {FRAIL, ""},
    };

    (void)state;
    help_config_file("other.yaml", other, strlen(other));
    REFUSE_ALL(cases);
}

static void what_is_not_supported_is_refused(void **state)
{
    static const struct refusal cases[] = {
        {"chain:\n  name: x\n  nfs: [bare]\n  lanes: 2\n", ""},
        {CHAIN "protect:\n  mode: delta\n", ""},
        {CHAIN "protect:\n  standby: warm\n", ""},
        {CHAIN "protect: {capture: full, mode: auto}\n", ""},
        {CHAIN "protect: {tail: suppress, mode: off}\n", ""},
    };

    (void)state;
    REFUSE_ALL(cases);
}

/* One change to the sample pair. */
struct change {
    const char *find, *replace, *expected;
};

static void refuse_changes(const struct change cases[], size_t count)
{
    char *sample = help_config_slurp(SAMPLE);

    for (size_t i = 0; i < count; i++) {
        char *text = help_config_replace(sample, cases[i].find, cases[i].replace);

        assert_string_equal(help_config_refusal(help_config_file("t.yaml", text, strlen(text)), true),
                            cases[i].expected);
        assert_int_equal(help_probe_live, 0);
        free(text);
    }
    free(sample);
}

static void mistakes_in_a_pair_s_networks_are_refused(void **state)
{
    static const struct change cases[] = {
        {"side: inside", "side: left", "t.yaml:14: interface side is left, expected inside or outside"},
        {"side: inside", "side: outside",
         "t.yaml:12: no interface on the inside, expected at least one each side"},
        {"10.0.0.1/24", "10.0.0.0/24",
         "t.yaml:15: interface in address is 10.0.0.0, expected an address of a host"},
        {"10.0.0.1/24", "127.0.0.1/8",
         "t.yaml:15: interface in address is 127.0.0.1, expected an address of a host"},
        {"10.0.0.1/24", "10.0.0.1/0",
         "t.yaml:15: interface address is 10.0.0.1/0, expected an address with prefix A.B.C.D/N, N from 1 to "
         "32"},
        {"198.51.100.2/24", "10.0.0.2/16",
         "t.yaml:18: interface out is in the network of in, expected another network"},
        {"name: out", "name: in", "t.yaml:16: interface in again, expected another name"},
        {"02:00:00:00:00:07", "03:00:00:00:00:07",
         "t.yaml:20: interface mac is 03:00:00:00:00:07, expected a unicast MAC address like "
         "02:00:00:00:00:01"},
        {"[198.51.100.3]", "[224.0.0.1]",
         "t.yaml:19: 224.0.0.1 is no host's address, expected an address of this chain"},
        {"via: 10.0.0.254", "via: 10.0.9.1",
         "t.yaml:23: route via is 10.0.9.1, expected an address in the network of an interface"},
        {"via: 10.0.0.254", "via: 10.0.0.1",
         "t.yaml:23: route via is 10.0.0.1, expected a neighbour in the network of in"},
        {"to: 10.1.0.0/16", "to: 0.0.0.0/0", "t.yaml:23: a second route to one network, expected one"},
        {"10.0.0.254]", "10.0.0.255]",
         "t.yaml:24: next hop is 10.0.0.255, expected a neighbour in the network of in"},
    };

    (void)state;
    refuse_changes(cases, sizeof(cases) / sizeof(cases[0]));
}

static void mistakes_in_a_pair_s_nodes_are_refused(void **state)
{
    static const struct change cases[] = {
        {"role: standby", "role: primary",
         "t.yaml:34: nodes a and b are both primary, expected one primary and one standby"},
        {"out: \"net_af_packet1,iface=b-out\"", "ouf: x",
         "t.yaml:35: unknown key \"ouf\" in node b ports, expected \"out\"?"},
        {", out: \"net_af_packet1,iface=a-out\"", "",
         "t.yaml:28: node a ports out is missing, expected text of 1 to 511 characters"},
        {"net_af_packet1,iface=a-out", "net_af_packet1,iface=a-in",
         "t.yaml:28: node a ports out is net_af_packet1,iface=a-in, as in, expected a device or interface of "
         "its own"},
        {"net_af_packet1,iface=b-out", "net_af_packet0,iface=b-out",
         "t.yaml:35: node b ports out is net_af_packet0,iface=b-out, as in, expected a device or interface "
         "of its own"},
        {"net_af_packet1,iface=b-out", "net_af_packet1,iface=b-in0", ""},
        {"127.0.0.1:7002", "127.0.0.1:7001",
         "t.yaml:36: nodes a and b have one replication address, expected two"},
        {"127.0.0.1:7002", "127.0.0.1", "t.yaml:36: node b replication is 127.0.0.1, expected A.B.C.D:PORT"},
        {"127.0.0.1:7002", "127.0.0.1:65536",
         "t.yaml:36: node b replication is 127.0.0.1:65536, expected A.B.C.D:PORT"},
        {"run/a/control", "/run/understudy/b.sock",
         "t.yaml:37: nodes a and b have one control socket, expected two"},
        {"  b:\n", "  b.c:\n", "t.yaml:33: node name \"b.c\", expected at most 31 letters, digits, - and _"},
        {"drill:\n", "  c: {}\ndrill:\n", "t.yaml:25: nodes has 3 entries, expected 2"},
        {"port: 7 }", "port: 0 }", "t.yaml:42: drill probe port is 0, expected a number from 1 to 65535"},
        {"interfaces:\n", "intrefaces:\n",
         "t.yaml:12: unknown key \"intrefaces\" in the file, expected \"interfaces\"?"},
    };

    (void)state;
    refuse_changes(cases, sizeof(cases) / sizeof(cases[0]));
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", CHAIN, strlen(CHAIN)), true),
                        "t.yaml:1: no nodes in this file, expected a pair file with nodes");
}

static void addresses_a_nat_cannot_have_are_refused(void **state)
{
#define NAT(settings) "chain:\n  name: x\n  nfs:\n  - nat: {" settings "}\n"
#define NO_HOST(addr)                                                                                        \
    "t.yaml:4: nat: outside: " addr " is no host's address, expected an address of this chain"
    static const struct refusal cases[] = {
        {NAT("outside: 0.0.0.0"), NO_HOST("0.0.0.0")},
        {NAT("outside: 127.0.0.1"), NO_HOST("127.0.0.1")},
        {NAT("outside: 224.0.0.1"), NO_HOST("224.0.0.1")},
        {NAT("outside: 255.255.255.255"), NO_HOST("255.255.255.255")},
        {NAT("outside: 203.0.113.1, inside: []"),
         "t.yaml:4: nat: inside is an empty list, expected at least one network"},
        {NAT("outside: 203.0.113.1"), ""},
        {NAT("outside: [203.0.113.1]"), ""},
        {NAT("outside: [203.0.113.1, 203.0.113.9]"), ""},
        {NAT("outside: [203.0.113.1, 127.0.0.1]"), NO_HOST("127.0.0.1")},
        {NAT("outside: [203.0.113.1, 203.0.113.2, 203.0.113.1]"),
         "t.yaml:4: nat: outside: 203.0.113.1 is there twice, expected each address once"},
        {NAT("outside: [203.0.113.1, 203.0.113.x]"),
         "t.yaml:4: nat outside is 203.0.113.x, expected an address A.B.C.D, or a list of at most 8"},
        {NAT("outside: []"),
         "t.yaml:4: nat outside is a list, expected an address A.B.C.D, or a list of at most 8"},
        {NAT("outside: [1.0.0.1, 1.0.0.2, 1.0.0.3, 1.0.0.4, 1.0.0.5, 1.0.0.6, 1.0.0.7, 1.0.0.8, 1.0.0.9]"),
         "t.yaml:4: nat outside is a list, expected an address A.B.C.D, or a list of at most 8"},
        {NAT("outside: 203.0.113"),
         "t.yaml:4: nat outside is 203.0.113, expected an address A.B.C.D, or a list of at most 8"},
        {NAT("outside: 203.0.113.1, inside: [0.0.0.0/0]"), ""},
    };

    (void)state;
    REFUSE_ALL(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_refused_by_position),
        cmocka_unit_test(values_are_refused_by_position),
        cmocka_unit_test(fixed_neighbours_are_refused_by_line),
        cmocka_unit_test(times_out_of_order_are_refused),
        cmocka_unit_test(a_log_of_what_cannot_be_replayed_is_refused),
        cmocka_unit_test(what_is_not_supported_is_refused),
        cmocka_unit_test(mistakes_in_a_pair_s_networks_are_refused),
        cmocka_unit_test(mistakes_in_a_pair_s_nodes_are_refused),
        cmocka_unit_test(addresses_a_nat_cannot_have_are_refused),
    };

    return cmocka_run_group_tests_name("config_refusals", tests, NULL, help_config_clean);
}
