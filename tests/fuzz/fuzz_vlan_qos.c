/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of flows through the real lane, over frames with and without tags; full tables. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set timeout=5", "set timeout=0", "clear voice", NULL};
static const struct stream_chain chain = {
    .nfs = "    - vlan_qos: { rules: firewall.rules, max_flows: 8, timeout: 20 }\n",
    .rules = "class voice dscp ef pcp 5\n"
             "class bulk dscp 8\n"
             "class tagged pcp 2\n"
             "match voice in udp to any port 53,1024-2000\n"
             "match bulk out dscp any tcp from 10.0.0.0/8 to any port 80\n"
             "match tagged vlan 100 pcp 0 icmp\n"
             "match bulk icmp type 8\n"
             "match voice tcp to 2001:db8:1::/64\n"
             "match tagged vlan 100\n",
    .name = "vlan_qos",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(vlan_qos, "classes of flows, and their marks", 1024)
