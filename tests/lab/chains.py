#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One chain drawn by a seed, for tests/lab/chains.sh: 2 to 6 different NFs in any order, each with parameters
drawn as well, small tables among them. DIRECTORY is where the files lie that NFs read.

    chains.py files DIRECTORY    writes those files
    chains.py SEED DIRECTORY     prints the chain file"""
import os
import random
import sys

FILES = {"firewall.rules": "default allow\n"}

BACKENDS = '"198.18.0.1 198.18.0.2 198.18.0.3 2001:2::1 [2001:2::2]:8080"'


def flows(draw):
    return f"max_flows: {draw.choice([64, 1000, 20000])}"


def one(draw, name, rules):
    pick = draw.choice
    if name == "firewall":
        return f"rules: {rules}/firewall.rules, ipv6: {pick(['true', 'false'])}, {flows(draw)}"
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
        return (f"inside: [{pick(['0.0.0.0/0', '10.0.0.0/8', '192.168.0.0/16'])}], outside: 203.0.113.1, "
                f"ports: {pick(['1024-65535', '2000-2255'])}, unsupported: {pick(['drop', 'pass', 'by_address'])}, "
                f"udp: {pick([1, 300])}, {flows(draw)}{mapping}")
    if name == "nptv6":
        return "inside: \"2001::/16\", outside: \"2a00::/16\""
    if name == "rate_limiter":
        return (f"clients: {pick(['inside', 'outside', 'both'])}, pps: {pick([50, 200, 5000])}, burst_packets: 400, "
                f"max_connections: {pick([4, 64])}, max_clients: {pick([50, 20000])}, {flows(draw)}")
    raise SystemExit(f"{name}: no parameters are known for it, expected a case of its own in one()")


ALL = ["firewall", "forward", "load_balancer", "monitor", "nat", "nptv6", "rate_limiter"]


def main():
    what, directory = sys.argv[1:]
    if what == "files":
        for name, text in FILES.items():
            with open(os.path.join(directory, name), "w", encoding="ascii") as out:
                out.write(text)
        return
    draw = random.Random(what)
    print("chain:\n  name: drawn\n  lanes: 1\n  nfs:")
    for name in draw.sample(ALL, draw.randint(2, min(6, len(ALL)))):
        print(f"    - {name}: {{ {one(draw, name, directory)} }}")


main()
