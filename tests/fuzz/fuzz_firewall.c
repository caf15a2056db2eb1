/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall through the real lane. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set udp=5", "set tcp_established=10", "clear 10.0.0.2",
                                       NULL};
static const struct stream_chain chain = {
    .nfs = "    - firewall: { rules: firewall.rules, max_flows: 8, max_fragments: 2, ipv6: true, "
           "unsupported: pass }\n",
    .rules = "allow out tcp from 10.0.0.0/8 to any port 80,443\n"
             "allow out udp from any to any port 53,1024-2000\n"
             "allow in tcp from any port 80 to 10.0.0.2\n"
             "deny in tcp from any to any port 22\n"
             "allow icmp from any to any\n"
             "allow out icmpv6\n"
             "allow in icmpv6 to 2001:db8:1::/64 type 128\n"
             "allow in tcp from 2001:db8:9::/48 to 2001:db8:1::2\n"
             "default deny\n",
    .name = "firewall",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(firewall, "the firewall", 1024)
