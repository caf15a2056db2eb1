/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limiter through the real lane: few clients, low rates. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {
    "clear", "set pps=5", "set bps=100000", "set max_connections=1", "clear 10.0.0.2", NULL};
static const struct stream_chain chain = {
    .nfs = "    - rate_limiter: { clients: both, pps: 10, burst_packets: 4, bps: 1000000, max_connections: "
           "2, max_clients: 4, max_flows: 8, ipv6: 64 }\n",
    .name = "rate_limiter",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(rate_limiter, "the rate limiter", 1024)
