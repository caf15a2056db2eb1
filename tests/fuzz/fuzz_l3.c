/* SPDX-License-Identifier: Apache-2.0 */
/* ARP, neighbour discovery, ICMP of both families, routes and neighbours: the chain's own L3 around an NF
 * that passes everything. */
#include "tests/fuzz/stream.h"

static const struct stream_chain chain = {
    .nfs = "    - forward: {}\n",
    .network = "interfaces:\n"
               "  - { name: inside, side: inside, address: 10.0.0.1/24, address6: \"2001:db8:1::1/64\", mac: "
               "\"02:00:00:00:00:01\" }\n"
               "  - { name: outside, side: outside, address: 203.0.113.1/24, address6: \"2001:db8:2::1/64\", "
               "mac: \"02:00:00:00:00:11\" }\n"
               "routes:\n"
               "  - { to: 198.51.100.0/24, via: 203.0.113.254 }\n"
               "  - { to: 10.0.1.0/24, via: 10.0.0.3 }\n"
               "  - { to: \"2001:db8:9::/48\", via: \"2001:db8:2::fe\" }\n"
               "  - { to: \"2001:db8:8::/48\", via: \"fe80::2%outside\" }\n",
    .name = "l3",
};

STREAM_RUN(chain)
FUZZ_TARGET(l3, "ARP, neighbour discovery, ICMP, routes, neighbours", 1024)
