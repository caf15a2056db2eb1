/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer through the real lane: backends come, drain and go by command. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear",
                                       "set backends=+172.16.0.12",
                                       "set backend.172.16.0.11=drain",
                                       "set backend.172.16.0.13:8080=down",
                                       "set backends=-172.16.0.12",
                                       "set backend.172.16.0.11=up",
                                       "set backend.fd00::2=down",
                                       "set backends=+[fd00::1]:80",
                                       NULL};
static const struct stream_chain chain = {
    .nfs = "    - load_balancer: { vip: 203.0.113.10, vip6: \"::\", proto: both, backends: \"172.16.0.11 "
           "172.16.0.13:8080 fd00::2 [fd00::3]:8080\", policy: least_connections, max_flows: 8, "
           "max_fragments: 2 }\n",
    .name = "load_balancer",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(load_balancer, "the load balancer", 1024)
