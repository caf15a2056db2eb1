/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong in a file is refused in one line with its position, whatever it is, and nothing stays
 * allocated.
 */
#include "ftcore/base/event_log.h"
#include "tests/help/config.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <sys/stat.h>

TEST(keys_are_refused_by_position)
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
        {CHAIN "record: {}\n",
         "t.yaml:2: record dir is missing, expected text of 1 to 191 characters (directory of recordings)"},
        {CHAIN "record: { dir: r, files: 1 }\n",
         "t.yaml:2: record files is 1, expected a number from 2 to 100000"},
        {CHAIN "record: { dir: r, file_kb: 1 }\n",
         "t.yaml:2: unknown key \"file_kb\" in record, expected \"file_mb\"?"},
        {CHAIN "protect: { slow_percent: 100 }\n",
         "t.yaml:2: protect slow_percent is 100, expected a number from 0 to 99"},
        {CHAIN "protect: { slow_ms: 0 }\n",
         "t.yaml:2: protect slow_ms is 0, expected a number from 1 to 10000"},
        {CHAIN "protect: { slow_percent: 0, slow_ms: 10000 }\n", ""},
        {CHAIN "redis: 1\n", "t.yaml:2: redis is 1, expected a map of settings"},
        {"chain: {name: x, state: [], nfs: [bare]}\n",
         "t.yaml:1: chain state is no text, expected local: no node keeps it in Redis"},
        {"chain:\n  name: x\n  state: redis\n  lanes: 2\n  nfs: [bare]\nprotect: { mode: off }\n",
         "t.yaml:3: chain state is redis, expected local: no node keeps it in Redis"},
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
         "t.yaml:4: several keys where an NF is (on_crash is one of its settings), expected \"- NAME: "
         "{settings}\""},
        {"? [a]\n: 1\n", "t.yaml:1: a list or map as a key, expected a name"},
    };

    REFUSE_ALL(cases);
}

TEST(values_are_refused_by_position)
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
        {NF("ports: 0-5"),
         "t.yaml:5: probe ports is 0-5, expected a range FIRST-LAST within 1-65535, the lower one first"},
        {NF("ports: 9-5"),
         "t.yaml:5: probe ports is 9-5, expected a range FIRST-LAST within 1-65535, the lower one first"},
        {NF("text:"), "t.yaml:5: probe text is empty, expected text"},
        {NF("rules: none.rules"),
         "t.yaml:5: probe rules is none.rules (No such file or directory), expected a readable file"},
        {NF("number: 13"), "t.yaml:4: probe: number is 13, expected a lucky one"},
    };

    REFUSE_ALL(cases);
}

TEST(fixed_neighbours_are_refused_by_line)
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
         "t.yaml:6: neighbour address is 10.0.0.1, the chain's own, expected a neighbour in the network of "
         "in"},
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

    REFUSE_ALL(cases);
}

TEST(times_out_of_order_are_refused)
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

    REFUSE_ALL(cases);
}

/* The log is asked for and one NF of the chain cannot be replayed, wherever the key stands. */
TEST(a_log_of_what_cannot_be_replayed_is_refused)
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

    help_config_file("other.yaml", other, strlen(other));
    REFUSE_ALL(cases);
}

TEST(what_is_not_supported_is_refused)
{
    static const struct refusal cases[] = {
        {"chain:\n  name: x\n  nfs: [bare]\n  lanes: 2\n", ""},
        {CHAIN "protect:\n  mode: delta\n", ""},
        {CHAIN "protect:\n  standby: warm\n", ""},
        {CHAIN "protect: {capture: full, mode: auto}\n", ""},
        {CHAIN "protect: {tail: suppress, mode: off}\n", ""},
    };

    REFUSE_ALL(cases);
}

TEST(mistakes_in_a_pair_s_networks_are_refused)
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
         "t.yaml:23: route via is 10.0.0.1, the chain's own, expected a neighbour in the network of in"},
        {"to: 10.1.0.0/16", "to: 0.0.0.0/0", "t.yaml:23: a second route to one network, expected one"},
        {"10.0.0.254]", "10.0.0.255]",
         "t.yaml:24: next hop is 10.0.0.255, no host's, expected a neighbour in the network of in"},
    };

    REFUSE_CHANGES(help_text(SAMPLE), true, cases);
}

TEST(mistakes_in_a_pair_s_nodes_are_refused)
{
    static const struct change cases[] = {
        {"role: standby", "role: primary",
         "t.yaml:34: nodes a and b are both primary, expected one primary and one standby"},
        {"out: \"net_af_packet1,iface=b-out\"", "ouf: x",
         "t.yaml:35: unknown key \"ouf\" in node b ports, expected \"out\"?"},
        {", out: \"net_af_packet1,iface=a-out\"", "",
         "t.yaml:28: node a ports out is missing, expected text of 1 to 511 characters (a PCI address, or as "
         "net_af_packet0,iface=eth0)"},
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
        {"127.0.0.1:7002", "[ 127.0.0.1:7002 ]",
         "t.yaml:36: node b replication has 1 addresses, expected A.B.C.D:PORT or a list of two"},
        {"127.0.0.1:7002", "[ 127.0.0.1:7002, 127.0.0.2:7002 ]",
         "t.yaml:36: node b has 2 replication addresses and node a 1, expected as many of each"},
        {"127.0.0.1:7002", "127.0.0.1:65536",
         "t.yaml:36: node b replication is 127.0.0.1:65536, expected A.B.C.D:PORT"},
        {"127.0.0.1:7002", "0.0.0.0:7002",
         "t.yaml:36: node b replication is 0.0.0.0, expected the node's address, to which its peer connects"},
        {"replication: 127.0.0.1:7002", "replication: 127.0.0.1:7002\n    metrics: 127.0.0.1:7002",
         "t.yaml:37: node b metrics is its replication address, expected another port"},
        {"run/a/control", "/run/understudy/b.sock",
         "t.yaml:37: nodes a and b have one control socket, expected two"},
        {"  b:\n", "  b.c:\n", "t.yaml:33: node name \"b.c\", expected at most 31 letters, digits, - and _"},
        {"drill:\n", "  c: {}\ndrill:\n",
         "t.yaml:40: node c role is missing, expected primary or standby or spare"},
        {"drill:\n", "  c: {}\n  d: {}\n  e: {}\n  f: {}\n  g: {}\n  h: {}\n  i: {}\ndrill:\n",
         "t.yaml:25: nodes has 9 entries, expected 2 to 8"},
        {"port: 7 }", "port: 0 }", "t.yaml:42: drill probe port is 0, expected a number from 1 to 65535"},
        {"interfaces:\n", "intrefaces:\n",
         "t.yaml:12: unknown key \"intrefaces\" in the file, expected \"interfaces\"?"},
    };

    REFUSE_CHANGES(help_text(SAMPLE), true, cases);
    assert_string_equal(help_config_refusal_of(CHAIN, true),
                        "t.yaml:1: no nodes in this file, expected a pair file with nodes");
}

/* What a keeper cannot stand in front of, and what it and the nodes need of each other. */
TEST(mistakes_about_a_keeper_are_refused)
{
    static const char sample[] =
        "chain: { name: x, lanes: 1, nfs: [ monitor ] }\n"
        "link: { key: pair.key }\n"
        "protect: { mode: log, standby: hot, tail: emit }\n"
        "interfaces:\n"
        "- { name: inside, side: inside, address: 10.0.0.1/8 }\n"
        "- { name: outside, side: outside, address: 192.0.2.1/24 }\n"
        "nodes:\n"
        "  a: { role: primary, inputs: 127.0.0.1:1, replication: 127.0.0.1:11, control: a }\n"
        "  b: { role: standby, inputs: 127.0.0.1:2, replication: 127.0.0.1:12, control: b }\n"
        "keepers:\n"
        "  k: { inputs: 127.0.0.1:3, ports: { inside: net_null0, outside: net_null1 }, control: k }\n";
    static const struct change cases[] = {
        {"control: k }", "control: k, metrics: 127.0.0.1:9 }", ""},
        {"lanes: 1", "lanes: 2", "t.yaml:11: keepers with 2 lanes, expected chain lanes: 1"},
        {"mode: log, standby: hot", "mode: delta",
         "t.yaml:11: keepers with protect mode delta, standby hot, expected log and hot"},
        {"standby: hot", "standby: warm",
         "t.yaml:11: keepers with protect mode log, standby warm, expected log and hot"},
        {"tail: emit", "tail: suppress",
         "t.yaml:11: keepers with protect tail: suppress, expected emit: the keeper drops what has left"},
        {"key: pair.key", "insecure: true",
         "t.yaml:11: keepers without link key, expected link: { key: FILE }: what the keeper says is known "
         "by it"},
        {"  k: {", "  a: {",
         "t.yaml:11: keeper name \"a\", expected at most 31 letters, digits, - and _, and no node's"},
        {"  k: {", "  k.1: {",
         "t.yaml:11: keeper name \"k.1\", expected at most 31 letters, digits, - and _, and no node's"},
        {"control: k }\n", "control: k }\n  l: {}\n  m: {}\n",
         "t.yaml:10: keepers has 3 entries, expected 1 or 2"},
        {"inputs: 127.0.0.1:2, ", "",
         "t.yaml:9: node b: no inputs, expected inputs: A.B.C.D:PORT, where it meets the keeper"},
        {"inputs: 127.0.0.1:2, ", "ports: { inside: net_null0, outside: net_null1 }, ",
         "t.yaml:9: node b has ports, expected inputs: A.B.C.D:PORT, since the keeper has the ports"},
        {"127.0.0.1:3,", "0.0.0.0:3,",
         "t.yaml:11: k has inputs 0.0.0.0, expected the address of an interface"},
        {"127.0.0.1:2,", "224.0.0.5:2,",
         "t.yaml:11: b has inputs 224.0.0.5, expected the address of an interface"},
        {"127.0.0.1:2,", "127.0.0.1:1,",
         "t.yaml:11: a and b have one address for inputs, 127.0.0.1:1, expected two"},
        {"127.0.0.1:3,", "127.0.0.1:2,",
         "t.yaml:11: b and k have one address for inputs, 127.0.0.1:2, expected two"},
        {"inputs: 127.0.0.1:3,", "inputs: 127.0.0.1:11,",
         "t.yaml:11: k has inputs 127.0.0.1:11, the replication address of a, expected another port"},
        {"inputs: 127.0.0.1:1, ", "inputs: 127.0.0.1:1, inputs_devices: [ \"net_memif0,role=client\" ], ",
         "t.yaml:8: inputs_devices \"net_memif0,role=client\", expected another driver, such as "
         "net_af_packet0, "
         "or a PCI address"},
        {"inputs: 127.0.0.1:3, ", "inputs: 127.0.0.1:3, inputs_devices: [ a, b, c, d, e ], ",
         "t.yaml:11: keeper k inputs_devices is a list, expected a list of at most 4 entries"},
        {"inputs: 127.0.0.1:3, ", "", "t.yaml:11: keeper k inputs is missing, expected A.B.C.D:PORT"},
        {", outside: net_null1", "",
         "t.yaml:11: keeper k ports outside is missing, expected text of 1 to 511 characters (a PCI address, "
         "or as net_af_packet0,iface=eth0)"},
        {"control: b }", "control: b, track: [ { gateway: 192.0.2.9 } ] }",
         "t.yaml:11: node b tracks a gateway, expected none: it has no ports behind a keeper"},
        {"control: k }", "control: k, packets: 1000 }",
         "t.yaml:11: keeper k packets is 1000, expected a number from 1024 to 1048576"},
    };

    REFUSE_CHANGES(sample, true, cases);
}

TEST(addresses_a_nat_cannot_have_are_refused)
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

    REFUSE_ALL(cases);
}

/*
 * Files that are no configuration, or a damaged one, are refused with their position, and nothing stays
 * allocated.
 */

/* A mistake in a file that is referred to is named there. */
TEST(a_mistake_in_a_file_referred_to_is_named_there)
{
    static const struct refusal cases[] = {
        {"chain: {file: other.yaml}\n", "other.yaml:3: chain lanes is 0, expected a number from 1 to 16"},
        {"chain:\n  file: none.yaml\n",
         "t.yaml:2: chain file is none.yaml (No such file or directory), expected a readable file"},
        {"chain:\n  file: other.yaml\n  name: x\n",
         "t.yaml:3: unknown key \"name\" in chain, expected one of file"},
        {"chain: {file: circle.yaml}\n",
         "circle.yaml:2: a second reference to a chain file, expected the chain itself"},
        {"chain: {file: rules.yaml}\n", "the.rules:7: no rule, expected one"},
    };
    static const char other[] = "chain:\n  name: x\n  lanes: 0\n  nfs: [bare]\n";
    static const char circle[] = "chain:\n  file: circle.yaml\n";
    static const char rules[] = "chain: {name: x, nfs: [probe: {number: 14, rules: the.rules}]}\n";
    static const char modules[] = "chain:\n  name: x\n  nfs: [bare]\n  modules:\n  - the.rules\n";

    help_config_file("other.yaml", other, strlen(other));
    help_config_file("circle.yaml", circle, strlen(circle));
    help_config_file("rules.yaml", rules, strlen(rules));
    help_config_file("the.rules", "x", 1);
    REFUSE_ALL(cases);
    assert_non_null(strstr(help_config_refusal_of(modules, false), "t.yaml:5: cannot load the module ("));
}

TEST(what_is_not_yaml_is_refused)
{
    static const struct refusal cases[] = {
        {"chain:\n\tname: x\n",
         "t.yaml:2: not YAML: found character that cannot start any token (while scanning for "
         "the next token)"},
        {"a: [1, 2\nb: 3\n",
         "t.yaml:2: not YAML: did not find expected ',' or ']' (while parsing a flow sequence)"},
        {"a: &x 1\n", "t.yaml:1: an anchor, alias or tag, expected a plain value"},
        {"a: 1\nb: *x\n", "t.yaml:2: an anchor, alias or tag, expected a plain value"},
        {"a: !!str 1\n", "t.yaml:1: an anchor, alias or tag, expected a plain value"},
        {CHAIN "---\n" CHAIN, "t.yaml:2: a second document, expected one"},
        {"a: \"x\\ny\"\n", "t.yaml:1: text with a line end or control character, expected one line"},
        {"a: \"x\\0y\"\n", "t.yaml:1: text with a line end or control character, expected one line"},
        {"a: 1\nb: \xff\n", "t.yaml:2: not YAML: invalid leading UTF-8 octet, expected UTF-8 text"},
        {"a:\n [[[[[[[[[[[[[[[[[[[[[[[[", "t.yaml:2: nested more than 16 deep, expected less"},
    };
    const char *dir = help_config_dir();
    char *large = malloc((1u << 20) + 1);

    REFUSE_ALL(cases);
    assert_non_null(large);
    memset(large, '#', (1u << 20) + 1);
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", large, (1u << 20) + 1), false),
                        "t.yaml: larger than 1 MiB, expected a configuration");
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", large, 1u << 20), false),
                        "t.yaml:1: empty file, expected a configuration");
    free(large);
    assert_string_equal(
        help_config_refusal("/nonexistent/x.yaml", false),
        "/nonexistent/x.yaml: cannot be opened (No such file or directory), expected a readable file");
    assert_non_null(strstr(help_config_refusal(dir, false), "not a regular file, expected a configuration"));
}

/* Nodes compare chains by their text, and what it has no room for would be no difference. */
TEST(a_chain_that_is_too_long_to_compare_is_refused)
{
    static char text[9000];
    int n = snprintf(text, sizeof(text), "chain: {name: x, nfs: [probe: {text: ");

    memset(text + n, 'x', 7000);
    snprintf(text + n + 7000, sizeof(text) - (size_t)n - 7000, "}]}\n");
    assert_string_equal(help_config_refusal_of(text, false), "");
    memset(text + n, 'x', 8000);
    snprintf(text + n + 8000, sizeof(text) - (size_t)n - 8000, "}]}\n");
    assert_string_equal(help_config_refusal_of(text, false),
                        "t.yaml:1: chain has settings of 7680 bytes as text, expected fewer");
}

/* A pipe without a writer, wherever a file is named. */
TEST(what_is_no_regular_file_is_refused)
{
    static const struct refusal cases[] = {
        {"chain: {name: x, nfs: [probe: {rules: pipe}]}\n",
         "t.yaml:1: probe rules is pipe (not a regular file), expected a readable file"},
        {"chain: {name: x, nfs: [probe: {rules: .}]}\n",
         "t.yaml:1: probe rules is . (not a regular file), expected a readable file"},
        {"chain: {file: pipe}\n",
         "t.yaml:1: chain file is pipe (not a regular file), expected a readable file"},
    };

    const char *path = help_print("%s/pipe", help_config_dir());
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10);
    assert_string_equal(help_config_refusal(path, false),
                        "pipe: not a regular file, expected a configuration");
    REFUSE_ALL(cases);
    alarm(0);
}

/* What decides which packets pass is believed as the file that names it. */
TEST(rules_that_others_may_write_to_are_refused)
{
    static const char text[] = "chain: {name: x, nfs: [probe: {number: 14, rules: open.rules}]}\n";
    const char *refusal;

    assert_int_equal(chmod(help_print("%s", help_config_file("open.rules", "x", 1)), 0646), 0);
    refusal = help_config_refusal_of(text, false);
    assert_non_null(strstr(refusal, "t.yaml:1: "));
    assert_non_null(strstr(refusal, "/open.rules: owner "));
    assert_non_null(strstr(refusal, ", mode 0646, expected owner root"));
}

TEST(too_many_entries_are_refused)
{
    size_t size = 5000 * 3 + 16, used = 0;
    char *text = malloc(size);

    assert_non_null(text);
    used += (size_t)snprintf(text, size, "a: [");
    for (int i = 0; i < 5000; i++)
        used += (size_t)snprintf(text + used, size - used, "1, ");
    snprintf(text + used, size - used, "]\n");
    assert_string_equal(help_config_refusal_of(text, false),
                        "t.yaml:1: more than 4096 entries, expected fewer");
    free(text);
}

/* A refusal has a position and a reason: "t.yaml:LINE: what", LINE within the file. */
static unsigned check_mutant(const char *text, size_t len, unsigned lines)
{
    const char *said = help_config_refusal(help_config_file("t.yaml", text, len), true);
    unsigned line = 0;

    assert_int_equal(help_probe_live, 0);
    if (!*said)
        return 0;
    if (sscanf(said, "t.yaml:%u: ", &line) != 1 || line < 1 || line > lines)
        fail_msg("no position: %s", said);
    return 1;
}

/* Every prefix of the sample, and the sample without any one of its bytes. */
TEST(each_mutant_is_read_or_refused_by_position)
{
    const char *sample = help_text(SAMPLE);
    char *text;
    size_t len = strlen(sample);
    unsigned lines = 0, refused = 0;

    text = malloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        lines += sample[i] == '\n';
    for (size_t cut = 0; cut < len; cut++)
        refused += check_mutant(sample, cut, lines);
    assert_true(refused > len * 9 / 10); /* the last section may be missing */
    for (size_t out = 0; out < len; out++) {
        memcpy(text, sample, out);
        memcpy(text + out, sample + out + 1, len - out - 1);
        refused += check_mutant(text, len - 1, lines);
    }
    free(text);
}

/* Two ways between the nodes. */
#define WAYS(link, of_a, of_b)                                                                               \
    "chain: {name: x, nfs: [bare]}\n"                                                                        \
    "link: {" link "}\n"                                                                                     \
    "nodes:\n"                                                                                               \
    "  a: {role: primary, ports: {inside: i, outside: o}, replication: [" of_a "], control: a}\n"            \
    "  b: {role: standby, ports: {inside: i, outside: o}, replication: [" of_b "], control: b}\n"

TEST(two_ways_are_two_addresses_of_each_node)
{
    struct nd_config *c = help_config_of(
        WAYS("key: k", "'10.0.0.1:1', '10.1.0.1:2'", "'10.0.0.2:3', '10.1.0.2:4'"), ND_CONFIG_NODES);

    assert_string_equal(c->node[0].host, "10.0.0.1");
    assert_string_equal(c->node[0].second_host, "10.1.0.1");
    assert_string_equal(c->node[1].second_host, "10.1.0.2");
    assert_int_equal(c->node[1].tcp_port, 3);
    assert_int_equal(c->node[1].second_port, 4);
    assert_string_equal(
        help_config_refusal_of(
            WAYS("insecure: true", "'10.0.0.1:1', '10.1.0.1:2'", "'10.0.0.2:3', '10.1.0.2:4'"), true),
        "t.yaml:4: node a has two replication addresses and the link is insecure, expected a key or tls");
    assert_string_equal(help_config_refusal_of(
                            WAYS("key: k", "'10.0.0.1:1', '10.0.0.1:2'", "'10.0.0.2:3', '10.1.0.2:4'"), true),
                        "t.yaml:4: node a has 10.0.0.1 twice, expected two addresses, of two interfaces");
    assert_string_equal(help_config_refusal_of(
                            WAYS("key: k", "'10.0.0.1:1', '10.1.0.1:2'", "'10.0.0.2:3', '10.1.0.1:4'"), true),
                        "t.yaml:5: nodes a and b have one replication address, expected two");
}

/* What a pair file says of an arbiter, and what it may not say. */

/* A pair with `line` as line 7, and `more` lines behind it. */
#define WITH(line, more)                                                                                     \
    "chain: {name: x, nfs: [bare]}\n"                                                                        \
    "link: {insecure: true}\n"                                                                               \
    "nodes:\n"                                                                                               \
    "  b: {role: standby, ports: {inside: i, outside: o}, replication: \"1.0.0.2:1\", control: b}\n"         \
    "  a: {role: primary, ports: {inside: i, outside: o}, replication: \"1.0.0.1:1\", control: a}\n"         \
    "\n" line "\n" more

#define ARBITER(text) WITH("arbiter: {" text "}", "")
#define T31           "0123456789abcdef0123456789abcde"
#define T63           T31 "-" T31
#define T127          T63 "-" T63

TEST(everything_that_may_be_said_is_read)
{
    struct nd_config *c = help_config_of(
        ARBITER("etcd: [ https://one.example:2379, 'https://[2001:db8::1]:2379/' ], key: pairs/7, ca: ca.pem,"
                " cert: /etc/n.pem, cert_key: n.key, user: pair, password_file: secrets/etcd"),
        ND_CONFIG_NODES);
    const struct nd_etcd_config *a = &c->arbiter.etcd;

    assert_int_equal(a->urls, 2);
    assert_string_equal(a->url[0], "https://one.example:2379");
    assert_string_equal(a->url[1], "https://[2001:db8::1]:2379"); /* paths are ours */
    assert_string_equal(c->arbiter.key, "pairs/7");
    assert_string_equal(a->cert, "/etc/n.pem");
    assert_string_equal(a->user, "pair");
    assert_string_equal(a->password_file, help_print("%s/secrets/etcd", help_config_dir()));
    assert_string_equal(a->ca, help_print("%s/ca.pem", help_config_dir()));
    assert_string_equal(a->cert_key, help_print("%s/n.key", help_config_dir()));
}

TEST(what_is_not_said_has_its_default)
{
    struct nd_config *c = help_config_of(ARBITER("etcd: [ http://10.0.0.1:2379 ]"), ND_CONFIG_NODES);

    assert_string_equal(c->arbiter.key, "understudy/x/a-b"); /* whatever the order in the file */
    assert_string_equal(c->arbiter.etcd.ca, "");
    assert_string_equal(c->arbiter.etcd.cert, "");
    assert_string_equal(c->arbiter.etcd.user, "");
    assert_string_equal(c->arbiter.etcd.password_file, "");
    c = help_config_of(WITH("", ""), ND_CONFIG_NODES);
    assert_int_equal(c->arbiter.etcd.urls, 0);
}

#define URL "etcd: [ https://h:1 ]"

TEST(what_is_wrong_is_refused_by_position)
{
    static const struct refusal cases[] = {
        {CHAIN "arbiter: {" URL "}\n", "t.yaml:2: arbiter in a file without nodes, expected a pair file"},
        {WITH("arbiter: {" URL "}", "protect: {strict: true}\n"),
         "t.yaml:7: arbiter beside strict: true, expected one of them: a strict pair never releases alone, "
         "so there is nothing to decide"},
        {WITH("arbiter: https://h:1", ""), "t.yaml:7: arbiter is https://h:1, expected a map of settings"},
        {ARBITER(""), "t.yaml:7: arbiter etcd is missing, expected a list of at most 5 entries"},
        {ARBITER("key: k"), "t.yaml:7: arbiter etcd is missing, expected a list of at most 5 entries"},
        {ARBITER("etcd: https://h:1"),
         "t.yaml:7: arbiter etcd is https://h:1, expected a list of at most 5 entries"},
        {ARBITER("etcd: []"), "t.yaml:7: arbiter etcd is empty, expected 1 to 5 URLs"},
        {ARBITER("etcd: [http://a, http://b, http://c, http://d, http://e, http://f]"),
         "t.yaml:7: arbiter etcd is a list, expected a list of at most 5 entries"},
        {ARBITER("etcd: [ h:1 ]"),
         "t.yaml:7: arbiter etcd \"h:1\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'ftp://h' ]"),
         "t.yaml:7: arbiter etcd \"ftp://h\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'https://' ]"),
         "t.yaml:7: arbiter etcd \"https:/\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'https://h:1/v3' ]"),
         "t.yaml:7: arbiter etcd \"https://h:1/v3\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'https://user:secret@h:1' ]"),
         "t.yaml:7: arbiter etcd has a user, expected https://HOST:PORT: names go into user, passwords into "
         "a file (password_file)"},
        {WITH("arbiter:\n  etcd:\n  - https://h:1\n  - 'https://h:1?x'", ""),
         "t.yaml:10: arbiter etcd \"https://h:1?x\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ {} ]"),
         "t.yaml:7: arbiter etcd entry is a map, expected text of 1 to 191 characters"},
        {ARBITER("etcd: [ https://" T127 T63 " ]"),
         "t.yaml:7: arbiter etcd entry is https://" T31 "-0123456789abcdef0123, expected text of 1 to 191 "
         "characters"},
    };

    REFUSE_ALL(cases);
}

TEST(settings_that_do_not_fit_are_refused)
{
    static const struct refusal cases[] = {
        {ARBITER(URL ", key: " T127 "-"),
         "t.yaml:7: arbiter key is " T31
         "-0123456789abcdef0123456789ab, expected text of 1 to 127 characters"},
        {ARBITER(URL ", cert: c.pem"),
         "t.yaml:7: arbiter has one of cert and cert_key, expected both or none"},
        {ARBITER(URL ", cert_key: c.key"),
         "t.yaml:7: arbiter has one of cert and cert_key, expected both or none"},
        {ARBITER(URL ", user: pair"),
         "t.yaml:7: arbiter has one of user and password_file, expected both or none"},
        {ARBITER(URL ", password_file: f"),
         "t.yaml:7: arbiter has one of user and password_file, expected both or none"},
        {ARBITER(URL ", user: pair, password: secret"),
         "t.yaml:7: unknown key \"password\" in arbiter, expected one of etcd, key, ca, cert, cert_key, "
         "user, password_file"},
        {ARBITER(URL ", user: \"p\\ta\", password_file: f"),
         "t.yaml:7: text with a line end or control character, expected one line"},
        {ARBITER(URL ", user: " T63 "x, password_file: f"),
         "t.yaml:7: arbiter user is " T31
         "-0123456789abcdef0123456789ab, expected text of 1 to 63 characters"},
        {ARBITER("etcd: [ https://h:1, http://h:1 ], user: pair, password_file: f"),
         "t.yaml:7: arbiter etcd \"http://h:1\" with a user, expected https://HOST:PORT: else whoever is on "
         "the way reads the password"},
        {ARBITER(URL ", ca: ''"), "t.yaml:7: arbiter ca is \"\", expected text of 1 to 191 characters"},
    };

    REFUSE_ALL(cases);
}

/* Of a path that is too long with its directory before it, each is named. */
TEST(a_path_that_is_too_long_is_refused)
{
    static const char *const keys[] = {"ca", "cert", "cert_key", "password_file"};

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *with = i == 1 ? ", cert_key: k" : i == 2 ? ", cert: c" : i == 3 ? ", user: u" : "";

        const char *text = help_print(ARBITER("etcd: [ https://h:1 ], %s: %s%s"), keys[i], T127 T63, with);
        const char *expected = help_print("t.yaml:7: arbiter %s is a path of ", keys[i]);
        const char *said = help_config_refusal_of(text, true);

        assert_non_null(strstr(said, expected));
        assert_non_null(strstr(said, " bytes, expected less than 192"));
    }
}

/* What a pair file says of tracked things, hooks and which node is to be primary. */

/* A pair whose first node has `part`, and `more` lines at the end. Lines 1 to 7 are before the part. */
#define FILE_OF(part, more)                                                                                  \
    "chain: {name: x, nfs: [bare]}\n"                                                                        \
    "interfaces: [{name: in, side: inside, address: 10.0.0.1/8}, {name: out, side: outside, address: "       \
    "192.0.2.1/24}]\n"                                                                                       \
    "link: {insecure: true}\n"                                                                               \
    "nodes:\n"                                                                                               \
    "  b: {role: standby, ports: {in: i, out: o}, replication: \"1.0.0.2:1\", control: b}\n"                 \
    "  a: {role: primary, ports: {in: i, out: o}, replication: \"1.0.0.1:1\", control: a,\n"                 \
    "      " part "}\n" more

TEST(everything_that_may_be_said_of_tracks_is_read)
{
    static const char text[] = FILE_OF(
        "track: [{interface: eth9, weight: 7}, {gateway: 192.0.2.9, rise: 4, fall: 5}, {route: 0.0.0.0/0}, "
        "{script: s/x, every_ms: 100}, {bgp: 192.0.2.9}, {bfd: \"2001:DB8::0:9\"}], "
        "hooks: [{command: c}, {fifo: f, events: [takeover, port]}, {socket: /run/s}], export: {udp: "
        "\"192.0.2.5:4739\"}",
        "prefer: a\nfailback: {after: 60}\nhold_down_s: 3\n");
    struct nd_config *c;
    const struct nd_node *a;

    c = help_config_of(text, ND_CONFIG_NODES);
    a = &c->node[1];
    assert_int_equal(a->tracks, 6);
    assert_string_equal(a->track[0].what, "eth9");
    assert_int_equal(a->track[0].kind, ND_TRACK_INTERFACE);
    assert_int_equal(a->track[0].weight, 7);
    assert_int_equal(a->track[1].kind, ND_TRACK_GATEWAY);
    assert_int_equal(a->track[1].gateway, inet_addr("192.0.2.9"));
    assert_int_equal(a->track[1].port, 1);
    assert_int_equal(a->track[1].rise, 4);
    assert_int_equal(a->track[1].fall, 5);
    assert_int_equal(a->track[2].kind, ND_TRACK_ROUTE);
    assert_int_equal(nf_net_bits(&a->track[2].route), 0);
    assert_int_equal(a->track[3].kind, ND_TRACK_SCRIPT);
    assert_string_equal(strrchr(a->track[3].what, '/') - 2, "/s/x"); /* beside the file */
    assert_int_equal(a->track[3].what[0], '/');
    assert_int_equal(a->track[3].every_ms, 100);
    assert_int_equal(a->track[2].every_ms, 1000);
    assert_int_equal(a->track[4].kind, ND_TRACK_BGP);
    assert_string_equal(a->track[4].what, "192.0.2.9");
    assert_int_equal(a->track[5].kind, ND_TRACK_BFD);
    assert_string_equal(a->track[5].what, "2001:db8::9"); /* as FRR writes it */
    assert_int_equal(a->hooks, 3);
    assert_true(a->hook[0].kind == ND_HOOK_COMMAND && a->hook[0].events == UINT64_MAX);
    assert_true(a->hook[1].events == (1ull << FT_SAYS_TAKEOVER | 1ull << FT_SAYS_PORT));
    assert_true(a->hook[2].kind == ND_HOOK_SOCKET && strcmp(a->hook[2].path, "/run/s") == 0);
    assert_true(a->export.kind == ND_EXPORT_UDP && a->export.port == 4739);
    assert_string_equal(a->export.host, "192.0.2.5");
    assert_int_equal(c->node[0].export.kind, ND_EXPORT_NOWHERE);
    assert_int_equal(c->authority.prefer, 1);
    assert_int_equal(c->authority.failback, ND_FAILBACK_AFTER);
    assert_int_equal(c->authority.after_s, 60);
    assert_int_equal(c->authority.hold_down_s, 3);
}

TEST(nothing_said_is_nobody_preferred_and_no_failback)
{
    static const char text[] = FILE_OF("mbufs: 2048", "");
    struct nd_config *c;

    c = help_config_of(text, ND_CONFIG_NODES);
    assert_int_equal(c->authority.prefer, -1);
    assert_int_equal(c->authority.failback, ND_FAILBACK_NEVER);
    assert_int_equal(c->authority.hold_down_s, 10);
    assert_int_equal(c->node[1].tracks + c->node[1].hooks, 0);
}

TEST(what_is_wrong_with_tracks_is_refused_by_position)
{
    static const struct refusal cases[] = {
        {FILE_OF("track: [{weight: 1}]", ""),
         "t.yaml:7: node a track has 0 of interface, gateway, route, script, bgp and bfd, expected one"},
        {FILE_OF("track: [{script: x, interface: e}]", ""),
         "t.yaml:7: node a track has 2 of interface, gateway, route, script, bgp and bfd, expected one"},
        {FILE_OF("track: [{script: x, weight: 101}]", ""),
         "t.yaml:7: node a track weight is 101, expected a number from 1 to 100"},
        {FILE_OF("track: [{script: x, every_ms: 99}]", ""),
         "t.yaml:7: node a track every_ms is 99, expected a number from 100 to 60000"},
        {FILE_OF("track: [{gateway: 198.51.100.1}]", ""),
         "t.yaml:7: node a track gateway is 198.51.100.1, expected an address in the network of one of the "
         "interfaces"},
        {FILE_OF("track: [{gateway: 192.0.2.1}]", ""),
         "t.yaml:7: node a track gateway is 192.0.2.1, expected an address in the network of one of the "
         "interfaces"},
        {FILE_OF("track: [{interface: a-name-that-is-too-long}]", ""),
         "t.yaml:7: node a track interface is a-name-that-is-too-long, expected text of 1 to 15 characters"},
        {FILE_OF("hooks: [{comand: x}]", ""),
         "t.yaml:7: unknown key \"comand\" in node a hooks, expected \"command\"?"},
        {FILE_OF("hooks: [{command: x, fifo: y}]", ""),
         "t.yaml:7: node a hooks has 2 of command, fifo and socket, expected one"},
        {FILE_OF("hooks: [{fifo: y, events: [takover]}]", ""),
         "t.yaml:7: node a hooks events has \"takover\", expected takeover?"},
        {FILE_OF("export: {file: x, udp: \"1.2.3.4:5\"}", ""),
         "t.yaml:7: node a export has 2 of tcp, udp and file, expected one"},
        {FILE_OF("mbufs: 2048", "prefer: c\n"),
         "t.yaml:8: prefer is c, expected the name of a node of this file"},
        {FILE_OF("mbufs: 2048", "failback: manual\n"),
         "t.yaml:8: failback without prefer, expected prefer: NAME"},
        {FILE_OF("mbufs: 2048", "prefer: a\nfailback: after\n"),
         "t.yaml:9: failback is after, expected never, manual or { after: SECONDS }"},
        {FILE_OF("mbufs: 2048", "prefer: a\nfailback: {after: 0}\n"),
         "t.yaml:9: failback after is 0, expected seconds, from 1 to 604800"},
        {FILE_OF("mbufs: 2048", "hold_down_s: 0\n"),
         "t.yaml:8: hold_down_s is 0, expected a number from 1 to 3600"},
    };

    REFUSE_ALL(cases);
}

TESTS_SHARE(NULL, help_config_clean)
