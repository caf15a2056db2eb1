#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Writes a capture of clients with IPv6 and servers with IPv4, as it comes to nat64, for the replay tool:
#
#   mknat64.py OUT.pcap PACKETS FLOWS [SEED [inside]]
#
# Clients 2001:db8:1::/64 to 64:ff9b::198.51.100.0/120, answers to 203.0.113.1 at the port that a flow has where
# ports from 1024 on are given out one after the other (one lane); echoes, fragments, errors about both, UDP
# without a checksum, 60 to 1500 bytes; `inside`: from there alone. Facts a test may rely on: every checksum is right; times never go back.
import ipaddress
import random
import struct
import sys

OUT = ipaddress.ip_address("203.0.113.1").packed
PREFIX = ipaddress.ip_address("64:ff9b::").packed[:12]
MACS = b"\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def l4(proto, addresses, a, b, body, flags=0x10, no_sum=False):
    """With its checksum; `a` and `b` are ports, or of ICMP type and code in one, and the second word."""
    if proto == 6:
        head, at = struct.pack("!HHIIBBHHH", a, b, 1, 1, 0x50, flags, 8192, 0, 0), 16
    elif proto == 17:
        head, at = struct.pack("!HHHH", a, b, 8 + len(body), 0), 6
    else:
        head, at = struct.pack("!HHI", a, 0, b), 2
    message = head + body
    if no_sum:
        return message
    pseudo = b"" if proto == 1 else addresses + struct.pack("!II", len(message), proto)
    value = checksum(pseudo + message) or 0xFFFF
    return message[:at] + struct.pack("!H", value) + message[at + 2:]


def ip6(a, b, proto, body, fragment=None):
    if fragment is not None:
        body = struct.pack("!BBHI", proto, 0, *fragment) + body
        proto = 44
    return struct.pack("!IHBB", 6 << 28 | 0x5 << 20, len(body), proto, 61) + a + b + body


def ip4(a, b, proto, body, number=7, fragment=0x4000):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0x14, 20 + len(body), number, fragment, 57, proto, 0, a, b)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


class Flow:
    def __init__(self, i):
        self.proto = (6, 17, 58)[i % 3]
        self.client = ipaddress.ip_address(f"2001:db8:1::{i % 500 + 1:x}").packed
        self.server = ipaddress.ip_address(f"198.51.100.{1 + i % 250}").packed
        self.six = PREFIX + self.server
        self.a, self.b = 1024 + i, 4433 if i % 2 else 8053
        self.port = None
        self.step = 0

    def to_client(self):
        return PREFIX + self.server, self.client

    def out(self, n, flags=0x10, raw=False):
        pair = self.client + self.six
        if self.proto == 58:
            return l4(58, pair, 128 << 8, self.a << 16 | 1, b"e" * n)
        return l4(self.proto, pair, self.a, self.b, b"o" * n, flags)

    def back(self, n, flags=0x10, no_sum=False):
        pair = self.server + OUT
        if self.proto == 58:
            return l4(1, pair, 0, self.port << 16 | 1, b"e" * n)
        return l4(self.proto, pair, self.b, self.port, b"i" * n, flags, no_sum)


def send(draw, f):
    """Frames' IP packets of the flow, one or some."""
    n = draw.choice((0, 1, 30, 200, 1400, 1432))
    f.step += 1
    kind = draw.randrange(14)
    proto4 = 1 if f.proto == 58 else f.proto
    if f.step == 1 or kind < 5:
        return [ip6(f.client, f.six, f.proto, f.out(n, 2 if f.step == 1 else 0x10))]
    if kind < 10:
        flags = 0x12 if f.step == 2 else 0x10
        return [ip4(f.server, OUT, proto4, f.back(n, flags, f.proto == 17 and kind == 9))]
    if kind == 10 and f.proto == 17:
        whole, number = f.out(1400), draw.getrandbits(32)
        return [ip6(f.client, f.six, 17, whole[:800], (1, number)),
                ip6(f.client, f.six, 17, whole[800:], (800, number))]
    if kind == 11 and f.proto == 17:
        whole, number = f.back(1400), draw.getrandbits(16)
        return [ip4(f.server, OUT, 17, whole[:800], number, 0x2000),
                ip4(f.server, OUT, 17, whole[800:], number, 100)]
    if kind == 12:  # a router outside, about what left
        left = l4(1, b"", 8 << 8, f.port << 16 | 1, b"e") if f.proto == 58 else \
            l4(f.proto, OUT + f.server, f.port, f.b, b"o" * 40)
        what = draw.choice(((11 << 8, 0), (3 << 8 | 4, 1400), (3 << 8 | 1, 0), (3 << 8 | 3, 0), (3 << 8 | 14, 0)))
        quoted = ip4(OUT, f.server, proto4, left)[:draw.choice((28, 60, 200))]
        return [ip4(b"\xc0\x00\x02\x07", OUT, 1, l4(1, b"", what[0], what[1], quoted), fragment=0)]
    if kind == 13:  # the client, about what came
        pair = f.six + f.client
        came = l4(58, pair, 129 << 8, f.a << 16 | 1, b"e") if f.proto == 58 else \
            l4(f.proto, pair, f.b, f.a, b"i" * 40)
        what = draw.choice(((1 << 8 | 4, 0), (2 << 8, 1300), (3 << 8, 0), (4 << 8, 6)))
        quoted = ip6(f.six, f.client, f.proto, came)[:draw.choice((48, 80, 300))]
        return [ip6(f.client, f.six, 58, l4(58, f.client + f.six, what[0], what[1], quoted))]
    return [ip6(f.client, f.six, f.proto, f.out(n))]


def main():
    path, packets, flows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    every, given, time = [Flow(i) for i in range(flows)], {}, 1600000000 * 10**9
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        while packets > 0:
            f = every[draw.randrange(flows)]
            if f.port is None:
                f.port = 1024 + given.setdefault(f.proto, 0)
                given[f.proto] += 1
            for packet in send(draw, f):
                if packet[0] >> 4 == 4 and sys.argv[5:] == ["inside"]:
                    continue
                time += draw.randrange(1, 40000)
                frame = MACS + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet
                out.write(struct.pack("<IIII", time // 10**9, time % 10**9, len(frame), len(frame)) + frame)
                packets -= 1


main()
