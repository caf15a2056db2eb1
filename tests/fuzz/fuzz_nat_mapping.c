/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT with a port for each end inside, open to all, hairpins, and what has no ports: few of each. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set udp=5", "set tcp_transitory=1", "clear udp/2003", NULL};
static const struct stream_chain chain = {
    .nfs = "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 2000-2009, max_flows: 8, "
           "max_fragments: 2, mapping: endpoint_independent, filtering: endpoint_independent, unsupported: "
           "by_address, "
           "hairpin: true, forward: \"tcp/80=10.0.0.2:80, udp/53=10.0.0.3:53\" }\n",
    .name = "nat",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(nat_mapping, "the NAT by choice", 1024)
