/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT64 through the real lane, with sessions on both sides of it, of one family each; eight mappings and
 * ten ports, so that both run out. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set udp=5", "set tcp_transitory=1", "clear udp/2003", NULL};
static const struct stream_chain chain = {
    .nfs =
        "    - monitor: { max_flows: 8, ipv6: true }\n"
        "    - nat64: { prefix: \"2001:db8:9::/96\", outside: 203.0.113.1, ports: 2000-2009, max_flows: 8, "
        "max_fragments: 2 }\n"
        "    - firewall: { rules: firewall.rules, max_flows: 8 }\n",
    .rules = "default allow\n",
    .name = "nat64",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(nat64, "the NAT64", 1024)
