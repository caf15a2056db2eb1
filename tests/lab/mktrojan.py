#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a capture for trojan: hosts inside that use SSH, FTP and IRC. mktrojan.py OUT.pcap

Of 240 hosts, of which every other one has IPv6, every third does it all in the right order (80), a third begins IRC before it asks for the program, and a third
asks for the files in another order. Segments of each control connection come reordered by up to two, and some twice.
"""
import random
import struct
import sys

SYN, PSH, ACK = 2, 8, 16
FAR6 = bytes.fromhex("20010db8000900000000000000000001")
RIGHT = [b"USER anonymous\r\n", b"RETR news.html\r\n", b"NOOP\r\n", b"RETR kit.zip\r\n", b"LIST\r\n", b"RETR run.exe\r\n"]
WRONG = [b"USER anonymous\r\n", b"RETR run.exe\r\n", b"NOOP\r\n", b"RETR kit.zip\r\n", b"LIST\r\n", b"RETR news.html\r\n"]


def sum16(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(host, sport, dport, flags, seq, text=b""):
    far = bytes((198, 51, 100, host[-1] % 20 + 1)) if len(host) == 4 else FAR6[:-1] + bytes((host[-1] % 20 + 1,))
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq % 2**32, 0, 0x50, flags, 65000, 0, 0) + text
    tcp = tcp[:16] + struct.pack("!H", sum16(host + far + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
    if len(host) == 16:
        return b"\2\0\0\0\0\1\2\0\0\0\0\2\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + host + far + tcp
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, host, far)
    head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
    whole = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + head + tcp
    return whole + b"\0" * (60 - len(whole))


def main():
    draw = random.Random(3)
    waiting = []
    for h in range(240):
        ipv6 = bytes.fromhex("20010db80001000000000000000000%02x" % (h + 1))
        host, isn, sent = ipv6 if h % 2 else bytes((10, 0, h // 200, h % 200 + 1)), draw.randrange(2**32), 1
        commands = []
        for text in WRONG if h % 3 == 2 else RIGHT:
            commands.append(frame(host, 2001, 21, ACK | PSH, isn + sent, text))
            sent += len(text)
        irc = frame(host, 2002, 6667, SYN, 1)
        if h % 3 == 1:
            mixed = commands[:3] + [irc] + commands[3:]
        else:
            for i, most in ((1, 3), (4, 2)):
                j = i + draw.randrange(most)
                commands[i], commands[j] = commands[j], commands[i]
            mixed = [c for command in commands for c in [command] * draw.choice((1, 1, 2))] + [irc]
        waiting.append([frame(host, 2000, 22, SYN, 1), frame(host, 2001, 21, SYN, isn)] + mixed)
    with open(sys.argv[1], "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        time, turns = 0, []
        while waiting or turns:
            while waiting and len(turns) < 30:
                turns.append(waiting.pop())
            one = draw.choice(turns)
            f = one.pop(0)
            turns = [o for o in turns if o]
            time += 200
            out.write(struct.pack("<IIII", 1600000000 + time // 1000000, time % 1000000, len(f), len(f)) + f)


if __name__ == "__main__":
    main()
