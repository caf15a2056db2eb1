/* SPDX-License-Identifier: Apache-2.0 */
/* Prefix translation through the real lane, with sessions behind it. */
#include "tests/fuzz/stream.h"

static const struct stream_chain chain = {
    .nfs = "    - monitor: { max_flows: 8, ipv6: true }\n"
           "    - nptv6: { inside: \"fd00:1:2::/48\", outside: \"2001:db8:8::/48\" }\n"
           "    - firewall: { rules: firewall.rules, max_flows: 8, ipv6: true }\n",
    .rules = "default allow\n",
    .name = "monitor",
};

STREAM_RUN(chain)
FUZZ_TARGET(nptv6, "prefix translation of IPv6", 1024)
