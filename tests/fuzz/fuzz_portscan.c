/* SPDX-License-Identifier: Apache-2.0 */
/* portscan through the real lane, with thresholds so near that hosts become scanners and are released. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear",          "set action=drop",     "set action=alert",
                                       "clear 10.0.0.2", "clear 203.0.113.250", NULL};
static const struct stream_chain chain = {
    .nfs = "    - portscan: { action: drop, destinations: ports, theta0: 600, theta1: 400, alpha: 400, "
           "beta: 600, answer: 1, remember: 4, hold: 3, max_hosts: 4, max_contacts: 8 }\n",
    .name = "portscan",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(portscan, "the detector of scans", 1024)
