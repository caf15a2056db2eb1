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

static void run(const uint8_t *data, size_t size)
{
    stream_run(&chain, data, size);
}

static void seeds(void)
{
    stream_seeds();
}

FUZZ_TARGET(nptv6, "prefix translation of IPv6", 1024)
