/* SPDX-License-Identifier: Apache-2.0 */
/* A whole site: NAT, firewall and monitor behind addresses, routes and a neighbour table. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set udp=5", NULL};
static const struct stream_chain chain = {
    .nfs = "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 2000-2031, max_flows: 16, "
           "max_fragments: 4 }\n"
           "    - firewall: { rules: firewall.rules, max_flows: 16, max_fragments: 4 }\n"
           "    - monitor: { max_flows: 16 }\n",
    .rules = "allow out from any to any\n"
             "allow in icmp from any to any\n"
             "default deny\n",
    .network = "interfaces:\n"
               "  - { name: inside, side: inside, address: 10.0.0.1/24, mac: \"02:00:00:00:00:01\" }\n"
               "  - { name: outside, side: outside, address: 203.0.113.1/24, mac: \"02:00:00:00:00:11\" }\n"
               "routes:\n"
               "  - { to: 0.0.0.0/0, via: 203.0.113.254 }\n"
               "  - { to: 192.168.0.0/16, via: 10.0.0.3 }\n"
               "next_hops: [203.0.113.254]\n",
    .name = "nat",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(edge, "a site: L3, NAT, firewall, monitor", 1024)
