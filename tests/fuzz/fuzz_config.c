/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: first byte odd: a pair file is wanted, else a chain file; the rest is the file. Beside
 * it lie a rules file and a chain file to refer to, which has interfaces if the second bit is set. With the
 * third bit the rest is that chain file, as a peer may push it, of a pair file that is well. What is read has
 * sizes that do not overflow and an identity that fits the hello; what is refused has one line with a file's
 * name, and nothing is left.
 */
#include "ftcore/record/message.h"
#include "understudy/config/config.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

static void check_config(const struct nd_config *c, bool pair)
{
    static char identity[FT_IDENTITY_MAX];
    const char *names[FT_NFS_MAX];
    uint64_t sizes[FT_NFS_MAX];

    FUZZ_MUST(c->chain.count >= 1 && c->chain.count < FT_NFS_MAX, "%u NFs", c->chain.count);
    FUZZ_MUST(c->chain.lanes >= 1 && c->chain.lanes <= FT_LANES_MAX, "%u lanes", c->chain.lanes);
    FUZZ_MUST(c->nodes == ND_PAIR || (!pair && c->nodes == 0), "%u nodes", c->nodes);
    FUZZ_MUST(c->ports >= 1 && c->ports <= NF_PORTS_MAX && nd_interfaces(c) <= NF_PORTS_MAX, "%u ports",
              c->ports);
    for (unsigned i = 0; i < nd_interfaces(c); i++)
        FUZZ_MUST(nd_port_number(c, i) < c->ports &&
                      (!c->nodes || c->keepers || c->node[1].port[nd_port_number(c, i)][0]),
                  "interface %u is on port %u of %u", i, nd_port_number(c, i), c->ports);
    nf_chain_arenas(&c->chain, sizes, names);
    for (unsigned i = 0; i <= c->chain.count; i++)
        FUZZ_MUST(sizes[i] && sizes[i] < 1ull << 44, "%s wants %lu bytes", names[i], sizes[i]);
    FUZZ_MUST(nf_chain_shared(&c->chain, 0) < 1ull << 44, "shared: %lu bytes", nf_chain_shared(&c->chain, 0));
    FUZZ_MUST(nf_chain_identity(&c->chain, identity, sizeof(identity)) <= sizeof(identity),
              "identity too long");
    FUZZ_MUST(2 * c->timing.heartbeat_ms <= c->timing.lease_ms && c->timing.lease_ms < c->timing.detect_ms &&
                  c->timing.detect_ms < c->timing.promote_within_ms &&
                  c->timing.promote_within_ms < c->timing.solo_after_ms,
              "times out of order");
    if (c->nodes)
        FUZZ_MUST(nd_config_node(c, c->node[1].name) == 1 && strcmp(c->node[0].host, c->node[1].host) != 0,
                  "two nodes are one");
}

#define OTHER "chain:\n  name: other\n  nfs:\n    - monitor\n"
#define NETWORK                                                                                              \
    "interfaces:\n  - { name: inside, side: inside, address: 10.0.0.1/16 }\n"                                \
    "  - { name: outside, side: outside, address: 203.0.113.1/24, mac: \"02:00:00:00:00:05\" }\n"            \
    "routes:\n  - { to: 0.0.0.0/0, via: 203.0.113.254 }\nnext_hops: [203.0.113.254]\n"
#define NODE(name, role, number, spare)                                                                      \
    "  " name ":\n    role: " role "\n    ports: { inside: \"net_af_packet0,iface=" name                     \
    "\", outside: \"0000:3b:00." number "\"" spare " }\n    replication: 192.0.2." number                    \
    ":4700\n    control: /run/" name ".sock\n"
#define SPARE ", dmz: net_null0"

static void run(const uint8_t *data, size_t size)
{
    static const char rules[] = "allow out from any to any\n";
    static const char chain[] = OTHER NETWORK;
    static const char whole[] =
        "chain: { file: other.yaml }\nlink: { key: pair.key }\nnodes:\n" NODE("alpha", "primary", "1", SPARE)
            NODE("beta", "standby", "2", SPARE);
    struct nd_config *config = NULL;
    struct ft_fault fault = {""};
    bool pair = size && data[0] & 5, pushed = size && data[0] & 4;
    const void *file = data + (size > 0);
    char path[128];

    fuzz_file("firewall.rules", rules, sizeof(rules) - 1);
    if (pushed)
        fuzz_file("other.yaml", file, size - 1);
    else
        fuzz_file("other.yaml", chain, size && data[0] & 2 ? sizeof(chain) - 1 : sizeof(OTHER) - 1);
    snprintf(path, sizeof(path), "%s",
             pushed ? fuzz_file("file.yaml", whole, sizeof(whole) - 1)
                    : fuzz_file("file.yaml", file, size ? size - 1 : 0));
    int error = nd_config_read(&config, path, pair, &fault);

    if (error) {
        FUZZ_MUST(!config && strncmp(fault.text, fuzz_dir(), strlen(fuzz_dir())) == 0, "no file in '%s'",
                  fault.text);
        FUZZ_MUST(!strchr(fault.text, '\n'), "two lines: '%s'", fault.text);
        return;
    }
    FUZZ_MUST(config && !fault.text[0], "read, and a fault: '%s'", fault.text);
    check_config(config, pair);
    nd_config_free(config);
}

static const char chain_text[] =
    "\0chain:\n  name: edge\n  lanes: 2\n  shared_mb: 8\n  nfs:\n"
    "    - nat: { inside: [10.0.0.0/8, 192.168.0.0/16], outside: 203.0.113.1, ports: 1024-65535 }\n"
    "    - firewall: { rules: firewall.rules, max_flows: 100, loose: false }\n    - monitor\n"
    "protect: { mode: log, capture: full, tail: suppress, strict: true, log_mb: 1 }\n"
    "timing: { detect_ms: 50, resync_mbps: 100 }\n";

static const char pair_text[] =
    "\1chain: { file: other.yaml }\n" NETWORK "record: { dir: recordings, file_mb: 2, files: 3 }\n"
    "drill: { permit: true }\nlink: { key: pair.key }\n"
    "nodes:\n  alpha:\n    role: primary\n    ports: { inside: \"net_af_packet0,iface=a\", outside: "
    "\"0000:3b:00.1\" }\n"
    "    replication: 192.0.2.1:4700\n    control: /run/alpha.sock\n    hugepages: true\n    eal: "
    "[\"--lcores\", \"0@1\"]\n"
    "  beta:\n    role: standby\n    ports: { inside: \"net_af_packet0,iface=b\", outside: \"0000:3b:00.0\" "
    "}\n"
    "    replication: 192.0.2.2:4700\n    control: /run/beta.sock\n    state: /var/lib/us\n    mbufs: 8192\n";

static const char routed_text[] =
    "\3chain: { file: other.yaml }\nlink: { key: pair.key }\nnodes:\n" NODE("alpha", "primary", "1", SPARE)
        NODE("beta", "standby", "2", SPARE);

static const char pushed_text[] =
    "\4" OTHER NETWORK "neighbours: [ { address: 10.0.0.8, mac: \"02:00:00:00:00:08\" } ]\n";

static const char balancer_text[] = "\0chain:\n  name: race\n  nfs:\n    - rate_limiter: { clients: both, "
                                    "pps: 200, bps: 1000000, timeout: 10 }\n"
                                    "    - load_balancer: { vip: 203.0.113.10, port: 80, backends: "
                                    "\"172.16.0.11 172.16.0.13:8080\", policy: random }\n"
                                    "    - forward: { read: true }\n";

static const char times_text[] =
    "\0chain:\n  name: t\n  nfs:\n    - forward\ntiming: { heartbeat_ms: 5, lease_ms: 60, detect_ms: 50 }\n";

static void seeds(void)
{
    fuzz_seed("times", times_text, sizeof(times_text) - 1);
    fuzz_seed("chain", chain_text, sizeof(chain_text) - 1);
    fuzz_seed("pair", pair_text, sizeof(pair_text) - 1);
    fuzz_seed("routed", routed_text, sizeof(routed_text) - 1);
    fuzz_seed("pushed", pushed_text, sizeof(pushed_text) - 1);
    fuzz_seed("balancer", balancer_text, sizeof(balancer_text) - 1);
    fuzz_seed("cut", pair_text, 300);
}

FUZZ_TARGET(config, "chain files and pair files", 4096)
