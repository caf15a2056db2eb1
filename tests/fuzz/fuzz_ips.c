/* SPDX-License-Identifier: Apache-2.0 */
/* ips through the real lane, its tables small. Payload of the stream's frames counts up, so rules match. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear",           "set udp=5", "set rule.1=off", "set rule.2=reject",
                                       "set rule.9=drop", NULL};
static const struct stream_chain chain = {
    .nfs =
        "    - ips: { rules: firewall.rules, max_flows: 8, stream_pieces: 4, flow_pieces: 2, max_notes: 4, "
        "max_tracked: 2, alerts: 4, fragments: pass }\n"
        "    - monitor: { max_flows: 8, ipv6: true }\n",
    .rules =
        "alert tcp any any -> any any (content:\"|01 02|\"; sid:1;)\n"
        "drop tcp any any -> any [80,443] (content:\"|01|\"; content:\"|08|\"; distance:1; within:9; "
        "sid:2;)\n"
        "reject udp 10.0.0.0/8 any -> any any (content:\"|0b|\"; offset:4; depth:20; sid:3;)\n"
        "reject tcp any any -> any 22 (content:\"|03|\"; flow:to_server; sid:4;)\n"
        "drop udp any any <> any any (content:\"|02|\"; content:\"|05|\"; threshold:type both, track by_src, "
        "count 2, seconds 3; sid:5;)\n"
        "alert tcp any any -> any any (content:\"|01|\"; pcre:\"/^\\x02(.|\\n){2,6}[\\x07-\\x09]/Rs\"; "
        "sid:6;)\n",
    .name = "ips",
    .commands = commands,
};

STREAM_RUN(chain)
FUZZ_TARGET(ips, "ips", 1024)
