/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NFs through the real lane, each in a chain whose tables are small and fill up: the targets that need no
 * more than a chain and the inputs that all of them begin with.
 */
#include "tests/fuzz/stream.h"

#define STREAM_TARGET(id, text)                                                                              \
    static void run_##id(const uint8_t *data, size_t size)                                                   \
    {                                                                                                        \
        stream_run(&(id), data, size);                                                                       \
    }                                                                                                        \
    __attribute__((constructor)) static void register_##id(void)                                             \
    {                                                                                                        \
        static struct fuzz_target target = {                                                                 \
            .name = #id, .what = (text), .most = 1024, .run = run_##id, .seeds = stream_seeds};              \
        fuzz_register(&target);                                                                              \
    }

/* Counting in shared and merged numbers through the real lane; what is read is in the record. */
static const struct stream_chain forward = {
    .nfs = "    - forward: { read: true }\n",
    .name = "forward",
};
STREAM_TARGET(forward, "the forwarder")

/* The monitor through the real lane. */
static const struct stream_chain monitor = {
    .nfs = "    - monitor: { max_flows: 8, ipv6: true }\n",
    .name = "monitor",
    .commands = (const char *const[]){"clear", "set timeout=2", "clear 10.0.0.2", NULL},
};
STREAM_TARGET(monitor, "the monitor")

/* The NAT through the real lane: eight mappings and ten ports, so that both run out. */
static const struct stream_chain nat = {
    .nfs = "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 2000-2009, max_flows: 8, "
           "max_fragments: 2 }\n",
    .name = "nat",
    .commands = (const char *const[]){"clear", "set udp=5", "set tcp_transitory=1", "clear udp/2003", NULL},
};
STREAM_TARGET(nat, "the NAT")

/* The log of mappings and flows: 256 events, which nobody exports, so that it is full soon. */
static const struct stream_chain flow_log = {
    .nfs = "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 2000-2009, max_flows: 8, "
           "max_fragments: 2 }\n"
           "    - monitor: { max_flows: 8 }\n"
           "    - flow_log: { events: 256 }\n",
    .name = "flow_log",
    .commands = (const char *const[]){"set events=512", "set events=256", NULL},
};
STREAM_TARGET(flow_log, "the log of mappings and flows")

/* The NAT with a port for each end inside, open to all, hairpins, and what has no ports: few of each. */
static const struct stream_chain nat_mapping = {
    .nfs = "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 2000-2009, max_flows: 8, "
           "max_fragments: 2, mapping: endpoint_independent, filtering: endpoint_independent, unsupported: "
           "by_address, "
           "hairpin: true, forward: \"tcp/80=10.0.0.2:80, udp/53=10.0.0.3:53\" }\n",
    .name = "nat",
    .commands = (const char *const[]){"clear", "set udp=5", "set tcp_transitory=1", "clear udp/2003", NULL},
};
STREAM_TARGET(nat_mapping, "the NAT by choice")

/* The NAT64 through the real lane, with sessions on both sides of it, of one family each; eight mappings and
 * ten ports, so that both run out. */
static const struct stream_chain nat64 = {
    .nfs =
        "    - monitor: { max_flows: 8, ipv6: true }\n"
        "    - nat64: { prefix: \"2001:db8:9::/96\", outside: 203.0.113.1, ports: 2000-2009, max_flows: 8, "
        "max_fragments: 2 }\n"
        "    - firewall: { rules: firewall.rules, max_flows: 8 }\n",
    .rules = "default allow\n",
    .name = "nat64",
    .commands = (const char *const[]){"clear", "set udp=5", "set tcp_transitory=1", "clear udp/2003", NULL},
};
STREAM_TARGET(nat64, "the NAT64")

/* Prefix translation through the real lane, with sessions behind it. */
static const struct stream_chain nptv6 = {
    .nfs = "    - monitor: { max_flows: 8, ipv6: true }\n"
           "    - nptv6: { inside: \"fd00:1:2::/48\", outside: \"2001:db8:8::/48\" }\n"
           "    - firewall: { rules: firewall.rules, max_flows: 8, ipv6: true }\n",
    .rules = "default allow\n",
    .name = "monitor",
};
STREAM_TARGET(nptv6, "prefix translation of IPv6")

/* The firewall through the real lane. */
static const struct stream_chain firewall = {
    .nfs = "    - firewall: { rules: firewall.rules, max_flows: 8, max_fragments: 2, ipv6: true, "
           "unsupported: pass }\n",
    .rules = "allow out tcp from 10.0.0.0/8 to any port 80,443\n"
             "allow out udp from any to any port 53,1024-2000\n"
             "allow in tcp from any port 80 to 10.0.0.2\n"
             "deny in tcp from any to any port 22\n"
             "allow icmp from any to any\n"
             "allow out icmpv6\n"
             "allow in icmpv6 to 2001:db8:1::/64 type 128\n"
             "allow in tcp from 2001:db8:9::/48 to 2001:db8:1::2\n"
             "default deny\n",
    .name = "firewall",
    .commands = (const char *const[]){"clear", "set udp=5", "set tcp_established=10", "clear 10.0.0.2", NULL},
};
STREAM_TARGET(firewall, "the firewall")

/* The load balancer through the real lane: backends come, drain and go by command. */
static const struct stream_chain load_balancer = {
    .nfs = "    - load_balancer: { vip: 203.0.113.10, vip6: \"::\", proto: both, backends: \"172.16.0.11 "
           "172.16.0.13:8080 fd00::2 [fd00::3]:8080\", policy: least_connections, max_flows: 8, "
           "max_fragments: 2 }\n",
    .name = "load_balancer",
    .commands = (const char *const[]){"clear", "set backends=+172.16.0.12", "set backend.172.16.0.11=drain",
                                      "set backend.172.16.0.13:8080=down", "set backends=-172.16.0.12",
                                      "set backend.172.16.0.11=up", "set backend.fd00::2=down",
                                      "set backends=+[fd00::1]:80", NULL},
};
STREAM_TARGET(load_balancer, "the load balancer")

/* The load balancer for any service, backends by chance: randomness in the region. */
static const struct stream_chain balancer_any = {
    .nfs = "    - load_balancer: { vip: 0.0.0.0, proto: both, clients: inside, backends: \"198.18.0.1 "
           "198.18.0.2\", policy: random, max_flows: 8 }\n"
           "    - forward: { read: true }\n",
    .name = "load_balancer",
    .commands = (const char *const[]){"clear", "set backend.198.18.0.2=up", "set backend.198.18.0.1=drain",
                                      "set backend.198.18.0.2=down", NULL},
};
STREAM_TARGET(balancer_any, "the load balancer for all, by chance")

/* The rate limiter through the real lane: few clients, low rates. */
static const struct stream_chain rate_limiter = {
    .nfs = "    - rate_limiter: { clients: both, pps: 10, burst_packets: 4, bps: 1000000, max_connections: "
           "2, max_clients: 4, max_flows: 8, ipv6: 64 }\n",
    .name = "rate_limiter",
    .commands = (const char *const[]){"clear", "set pps=5", "set bps=100000", "set max_connections=1",
                                      "clear 10.0.0.2", NULL},
};
STREAM_TARGET(rate_limiter, "the rate limiter")

/* The policer through the real lane, low rates, behind what gives packets their DSCP. */
static const struct stream_chain policer = {
    .nfs = "    - policer: { classes: firewall.rules }\n",
    .rules = "class zero out dscp 0 rate 4 pps burst 3 exceed dscp ef\n"
             "class ten dscp 0,10 rate 8000 bps burst 73728 peak 16000 burst 73728 exceed dscp 3\n"
             "class rest dscp any rate 5 pps burst 2 peak 9 burst 4\n",
    .name = "policer",
    .commands = (const char *const[]){"clear", "clear zero", "set zero.rate=2", "set ten.peak_burst=74000",
                                      "set ten.peak=1", NULL},
};
STREAM_TARGET(policer, "rates of classes")

/* Classes of flows through the real lane, over frames with and without tags; full tables. */
static const struct stream_chain vlan_qos = {
    .nfs = "    - vlan_qos: { rules: firewall.rules, max_flows: 8, timeout: 20 }\n",
    .rules = "class voice dscp ef pcp 5\n"
             "class bulk dscp 8\n"
             "class tagged pcp 2\n"
             "match voice in udp to any port 53,1024-2000\n"
             "match bulk out dscp any tcp from 10.0.0.0/8 to any port 80\n"
             "match tagged vlan 100 pcp 0 icmp\n"
             "match bulk icmp type 8\n"
             "match voice tcp to 2001:db8:1::/64\n"
             "match tagged vlan 100\n",
    .name = "vlan_qos",
    .commands = (const char *const[]){"clear", "set timeout=5", "set timeout=0", "clear voice", NULL},
};
STREAM_TARGET(vlan_qos, "classes of flows, and their marks")

/* portscan through the real lane, with thresholds so near that hosts become scanners and are released. */
static const struct stream_chain portscan = {
    .nfs = "    - portscan: { action: drop, destinations: ports, theta0: 600, theta1: 400, alpha: 400, "
           "beta: 600, answer: 1, remember: 4, hold: 3, max_hosts: 4, max_contacts: 8 }\n",
    .name = "portscan",
    .commands = (const char *const[]){"clear", "set action=drop", "set action=alert", "clear 10.0.0.2",
                                      "clear 203.0.113.250", NULL},
};
STREAM_TARGET(portscan, "the detector of scans")

/* ips through the real lane, its tables small. Payload of the stream's frames counts up, so rules match. */
static const struct stream_chain ips = {
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
    .commands = (const char *const[]){"clear", "set udp=5", "set rule.1=off", "set rule.2=reject",
                                      "set rule.9=drop", NULL},
};
STREAM_TARGET(ips, "ips")

/* ARP, neighbour discovery, ICMP of both families, routes and neighbours: the chain's own L3 around an NF
 * that passes everything. */
static const struct stream_chain l3 = {
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
STREAM_TARGET(l3, "ARP, neighbour discovery, ICMP, routes, neighbours")

/* A whole site: NAT, firewall and monitor behind addresses, routes and a neighbour table. */
static const struct stream_chain edge = {
    .nfs = "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 2000-2031, max_flows: 16, "
           "max_fragments: 4 }\n"
           "    - firewall: { rules: firewall.rules, max_flows: 16, max_fragments: 4 }\n"
           "    - monitor: { max_flows: 16 }\n",
    .rules = "allow out from any to any\n"
             "allow in icmp from any to any\n"
             "default deny\n",
    .network = "interfaces:\n"
               "  - { name: inside, side: inside, address: 10.0.0.1/24, mac: \"02:00:00:00:00:01\" }\n"
               "  - { name: outside, side: outside, address: 203.0.113.1/24, mac: \"02:00:00:00:00:11\" }\n"
               "routes:\n"
               "  - { to: 0.0.0.0/0, via: 203.0.113.254 }\n"
               "  - { to: 192.168.0.0/16, via: 10.0.0.3 }\n"
               "next_hops: [203.0.113.254]\n",
    .name = "nat",
    .commands = (const char *const[]){"clear", "set udp=5", NULL},
};
STREAM_TARGET(edge, "a site: L3, NAT, firewall, monitor")
