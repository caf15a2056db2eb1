/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer for any service, backends by chance: randomness in the region. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set backend.198.18.0.2=up", "set backend.198.18.0.1=drain",
                                       "set backend.198.18.0.2=down", NULL};
static const struct stream_chain chain = {
    .nfs = "    - load_balancer: { vip: 0.0.0.0, proto: both, clients: inside, backends: \"198.18.0.1 "
           "198.18.0.2\", policy: random, max_flows: 8 }\n"
           "    - forward: { read: true }\n",
    .name = "load_balancer",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(balancer_any, "the load balancer for all, by chance", 1024)
