/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT through the real lane: eight mappings and ten ports, so that both run out. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set udp=5", "set tcp_transitory=1", "clear udp/2003", NULL};
static const struct stream_chain chain = {
    .nfs = "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 2000-2009, max_flows: 8, "
           "max_fragments: 2 }\n",
    .name = "nat",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(nat, "the NAT", 1024)
