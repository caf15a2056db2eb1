#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One chain drawn by a seed, for tests/lab/chains.sh: 2 to 6 different NFs in any order, each with parameters
drawn as well, small tables among them. DIRECTORY is where the files lie that NFs read.

    chains.py files DIRECTORY    writes those files
    chains.py SEED DIRECTORY     prints the chain file; MODULES are the modules that it needs beside what is built in
    chains.py names              prints the NFs that are drawn from"""
import os
import random
import sys

FILES = {
    "firewall.rules": "default allow\n",
    "names.list": "com\nwww.example.org\n",
    "police": """class voice dscp ef,cs6,8 rate 50 pps burst 20
class data dscp 0,4 rate 2000000 bps burst 100000 peak 8000000 burst 400000 exceed dscp af12 violate drop
class rest out dscp any rate 200 pps burst 100 exceed dscp 1
""",
    "qos.rules": """class voice dscp ef pcp 5
class bulk dscp 8
class tagged pcp 2
match voice udp to any port 53,1000-30000
match voice out dscp 4
match bulk tcp from any port 80
match tagged vlan 77
match bulk in icmp type 8
""",
    "ips.rules": """alert tcp any any -> any any (msg:"a page"; content:"HTTP/1."; sid:1;)
drop tcp any any -> any any (msg:"a shell"; content:"/bin/"; nocase; sid:2;)
reject tcp any any -> any any (msg:"ftp root"; content:"USER "; content:"root"; distance:0; within:20; sid:3;)
alert udp any any -> any any (msg:"dns"; content:"|00 01 00 01|"; threshold: type limit, track by_src, count 2, seconds 5; sid:4;)
alert tcp any any -> any any (msg:"pair"; content:"GET "; pcre:"/[a-z]+[.]php/Ri"; sid:5;)
""",
}

BACKENDS = '"198.18.0.1 198.18.0.2 198.18.0.3 2001:2::1 [2001:2::2]:8080"'


def flows(draw):
    return f"max_flows: {draw.choice([64, 1000, 20000])}"


def one(draw, name, rules):
    pick = draw.choice
    if name == "dns_guard":
        return f"list: {rules}/names.list, action: {pick(['drop', 'nxdomain'])}, clients: {pick(['inside', 'outside', 'both'])}"
    if name == "dpi":
        return f"heap_mb: {pick([1, 8])}, packets: {pick([4, 32])}, {flows(draw)}"
    if name == "ips":
        return (f"rules: {rules}/ips.rules, stream_pieces: {pick([64, 16384])}, flow_pieces: {pick([64, 2048])}, "
                f"fragments: {pick(['drop', 'pass'])}, checksums: {pick(['true', 'false'])}, {flows(draw)}")
    if name == "portscan":
        return (f"watch: {pick(['outside', 'inside'])}, destinations: {pick(['addresses', 'ports'])}, "
                f"action: {pick(['alert', 'drop'])}, answer: {pick([1, 10])}, hold: {pick([2, 3600])}, "
                f"max_hosts: {pick([16, 65536])}, max_contacts: {pick([64, 65536])}")
    if name == "firewall":
        return f"rules: {rules}/firewall.rules, ipv6: {pick(['true', 'false'])}, {flows(draw)}"
    if name == "flow_log":
        return f"events: {pick([256, 65536])}"
    if name == "forward":
        return f"read: {pick(['true', 'false'])}"
    if name == "load_balancer":
        return (f"vip: 0.0.0.0, vip6: \"::\", proto: both, clients: {pick(['inside', 'outside', 'both'])}, backends: {BACKENDS}, "
                f"policy: {pick(['least_connections', 'random', 'consistent'])}, {flows(draw)}")
    if name == "monitor":
        return f"ipv6: {pick(['true', 'false'])}, {flows(draw)}"
    if name == "nat":
        mapping = pick(["", ", mapping: endpoint_independent",
                        ", mapping: endpoint_independent, filtering: endpoint_independent"])
        return (f"inside: [{pick(['0.0.0.0/0', '10.0.0.0/8', '192.168.0.0/16'])}], "
                f"outside: {pick(['203.0.113.1', '[203.0.113.1, 203.0.113.5, 203.0.113.6]'])}, "
                f"ports: {pick(['1024-65535', '2000-2255'])}, unsupported: {pick(['drop', 'pass', 'by_address'])}, "
                f"udp: {pick([1, 300])}, {flows(draw)}{mapping}")
    if name == "nat64": # of the captures' addresses those of a prefix
        return (f"prefix: \"2606:4700::/96\", outside: {pick(['203.0.113.2', '10.0.2.15', '[203.0.113.2, 10.0.2.15]'])}, ports: {pick(['1024-65535', '2000-2255'])}, "
                f"udp: {pick([1, 300])}, {flows(draw)}{pick(['', ', mapping: endpoint_independent'])}")
    if name == "nptv6":
        return f"inside: \"2001::/16\", outside: \"2a00::/16\", hairpin: {pick(['true', 'false'])}"
    if name == "policer":
        return f"classes: {rules}/police"
    if name == "rate_limiter":
        return (f"clients: {pick(['inside', 'outside', 'both'])}, pps: {pick([50, 200, 5000])}, burst_packets: 400, "
                f"max_connections: {pick([4, 64])}, max_clients: {pick([50, 20000])}, {flows(draw)}")
    if name == "syn_proxy":
        any6 = pick(["", ', "::/0"'])
        return (f"servers: [{pick(['0.0.0.0/0', '128.0.0.0/1', '10.0.0.0/8'])}{any6}], ports: {pick(['80', '1-65535'])}, "
                f"clients: {pick(['inside', 'outside'])}, {flows(draw)}")
    if name == "trojan":
        return f"ipv6: {pick(['true', 'false'])}, irc: {pick(['6660-6669', '1-65535'])}, max_hosts: {pick([8, 65536])}, {flows(draw)}"
    if name == "vlan_qos":
        return f"rules: {rules}/qos.rules, timeout: {pick([2, 300])}, {flows(draw)}"
    raise SystemExit(f"{name}: no parameters are known for it, expected a case of its own in one()")


ALL = ["dns_guard", "dpi", "firewall", "flow_log", "forward", "ips", "load_balancer", "monitor", "nat", "nat64", "nptv6", "policer", "portscan",
       "rate_limiter", "syn_proxy", "trojan", "vlan_qos"]


def main():
    if sys.argv[1:] == ["names"]:
        print(*ALL)
        return
    what, directory = sys.argv[1:]
    if what == "files":
        for name, text in FILES.items():
            with open(os.path.join(directory, name), "w", encoding="ascii") as out:
                out.write(text)
        return
    draw = random.Random(what)
    print(f"chain:\n  name: drawn\n  lanes: 1\n  modules: [{os.environ.get('MODULES', '')}]\n  nfs:")
    for name in draw.sample(ALL, draw.randint(2, min(6, len(ALL)))):
        print(f"    - {name}: {{ {one(draw, name, directory)} }}")


main()
