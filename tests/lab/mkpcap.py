#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Writes a capture of small packets for tests of the replay tool:
#
#   mkpcap.py OUT.pcap PACKETS FLOWS [SEED [BULK]]
#
# Flows from 10.0.0.0/16 to 198.51.100.0/24, half TCP (SYN, data, FIN), half UDP, with answers to the inside
# address one packet in eight; a pause of some seconds now and then, and one of years. Facts a test may rely on:
# every packet has 64 bytes but one in BULK (16), which has 1000; times never go back.
import random
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(source, destination, protocol, l4, length):
    total = length - 14
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, 0, 0x4000, 64, protocol, 0, source, destination)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    if protocol == 6:
        pseudo = source + destination + struct.pack("!HH", protocol, len(l4))
        l4 = l4[:16] + struct.pack("!H", checksum(pseudo + l4)) + l4[18:]
    macs = b"\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"
    return (macs + b"\x08\x00" + head + l4).ljust(length, b"x")


def flow(i):
    inside = bytes([10, 0, i >> 8 & 255, i & 255])
    outside = bytes([198, 51, 100, 1 + i % 250])
    port, service = 1024 + i % 60000, 443 if i % 2 else 4433

    def tcp(a, b, flags, length):
        return struct.pack("!HHIIBBHHH", a, b, i, 0, 0x50, flags, 8192, 0, 0).ljust(length - 34, b"y")

    def udp(a, b, length):
        return struct.pack("!HHHH", a, b, length - 34, 0).ljust(length - 34, b"z")

    if i % 2:
        return (frame(inside, outside, 6, tcp(port, service, 0x02, 64), 64),
                frame(inside, outside, 6, tcp(port, service, 0x10, 64), 64),
                frame(inside, outside, 6, tcp(port, service, 0x18, 1000), 1000),
                frame(outside, inside, 6, tcp(service, port, 0x12, 64), 64))
    return (frame(inside, outside, 17, udp(port, service, 64), 64),) * 2 + (
        frame(inside, outside, 17, udp(port, service, 1000), 1000),
        frame(outside, inside, 17, udp(service, port, 64), 64))


def main():
    path, packets, flows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    bulk = int(sys.argv[5]) if len(sys.argv) > 5 else 16
    frames = [flow(i) for i in range(flows)]
    begun = [False] * flows
    time = 1600000000 * 10**9
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for n in range(packets):
            i = int(draw.random() * flows)
            if not begun[i]:
                begun[i], kind = True, 0
            elif n % bulk == 5 % bulk:
                kind = 2
            else:
                kind = 3 if n % 8 == 3 else 1
            data = frames[i][kind]
            time += 1000
            if packets < 100000 and n % 512 == 511:
                time += int(draw.random() * 8 * 10**9)
            if packets < 100000 and n == packets // 2:
                time += 6 * 365 * 86400 * 10**9
            out.write(struct.pack("<IIII", time // 10**9, time % 10**9, len(data), len(data)))
            out.write(data)


main()
