/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor through the real lane. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set timeout=2", "clear 10.0.0.2", NULL};
static const struct stream_chain chain = {
    .nfs = "    - monitor: { max_flows: 8, ipv6: true }\n",
    .name = "monitor",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(monitor, "the monitor", 1024)
