/* SPDX-License-Identifier: Apache-2.0 */
/* The policer through the real lane, low rates, behind what gives packets their DSCP. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {
    "clear", "clear zero", "set zero.rate=2", "set ten.peak_burst=74000", "set ten.peak=1", NULL};
static const struct stream_chain chain = {
    .nfs = "    - policer: { classes: firewall.rules }\n",
    .rules = "class zero out dscp 0 rate 4 pps burst 3 exceed dscp ef\n"
             "class ten dscp 0,10 rate 8000 bps burst 73728 peak 16000 burst 73728 exceed dscp 3\n"
             "class rest dscp any rate 5 pps burst 2 peak 9 burst 4\n",
    .name = "policer",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(policer, "rates of classes", 1024)
