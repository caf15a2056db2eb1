#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a capture for syn_proxy: connections of clients inside to a server outside, and a flood of SYNs between. Every other
connection is of IPv6. Resets that know no number are forged into each, one from either side.

mksyn.py OUT.pcap [LEFT.pcap]. Without LEFT cookies are not known, and are 0. LEFT is what left a chain when that capture
went in: its SYN-ACKs have the cookies, which are the same when the chain runs again with the same seed. Then every
connection is acknowledged, accepted by the server, and carries data both ways.
"""
import random
import struct
import sys

CONNECTIONS, FLOOD, WORDS = 120, 12, 6
SYN, ACK, FIN, PSH, RST = 2, 16, 1, 8, 4
SERVER, SERVER6 = bytes((203, 0, 113, 100)), bytes.fromhex("20010db8000900000000000000000100")


def sum16(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(a, b, sport, dport, flags, seq, ack, payload=b"", options=b""):
    offset = (20 + len(options)) // 4 << 4
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, offset, flags, 64240, 0, 0) + options + payload
    pseudo = a + b + struct.pack("!HH", 6, len(tcp)) # of IPv6 the same words, with zeros between them
    tcp = tcp[:16] + struct.pack("!H", sum16(pseudo + tcp)) + tcp[18:]
    if len(a) == 16:
        head = struct.pack("!IHBB16s16s", 6 << 28, len(tcp), 6, 64, a, b)
        macs = (b"\2\0\0\0\0\1", b"\2\0\0\0\0\2") # of IPv6 who began is known by these
        return b"".join(macs[::-1] if a == SERVER6 else macs) + b"\x86\xdd" + head + tcp
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, a, b)
    head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
    whole = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + head + tcp
    return whole + b"\0" * (60 - len(whole))


def cookies_in(path):
    found = {}
    with open(path, "rb") as f:
        data = f.read()
    at = 24
    while at < len(data):
        n = struct.unpack_from("<I", data, at + 8)[0]
        f = data[at + 16 : at + 16 + n]
        at += 16 + n
        tcp, to = (f[54:], f[38:54]) if f[12:14] == b"\x86\xdd" else (f[34:], f[30:34])
        if tcp[13] & (SYN | ACK) == SYN | ACK and tcp[14:16] == b"\0\0":
            found.setdefault((to, struct.unpack("!H", tcp[2:4])[0]), struct.unpack("!I", tcp[4:8])[0])
    return found


cookies = cookies_in(sys.argv[2]) if len(sys.argv) > 2 else {}
draw = random.Random(7)
frames = []
for c in range(CONNECTIONS):
    ipv6, port, isn = c % 2, 2000 + c, draw.randrange(2**32)
    to = SERVER6 if ipv6 else SERVER
    client = bytes.fromhex("20010db80001000000000000000000%02x" % (c % 3)) if ipv6 else bytes((10, 0, c % 3, 5))
    for _ in range(FLOOD):
        forged = (client[:8] + draw.randbytes(8)) if ipv6 else bytes((10, 9, draw.randrange(256), draw.randrange(256)))
        frames.append([frame(forged, to, draw.randrange(1024, 65536), 80, SYN, draw.randrange(2**32), 0)])
    mine = [frame(client, to, port, 80, SYN, isn, 0, options=b"\2\4\5\xb4")]
    cookie = cookies.get((client, port), 0)
    server = draw.randrange(2**32)
    mine.append(frame(client, to, port, 80, ACK, isn + 1, cookie + 1))
    mine.append(frame(to, client, 80, port, SYN | ACK, server, isn + 1, options=b"\2\4\5\xb4"))
    mine.append(frame(client, to, port, 80, ACK, isn + 1, cookie + 1))
    mine.append(frame(client, to, port, 80, RST, isn + 0x50000000, 0))
    mine.append(frame(to, client, 80, port, RST, server + 0x50000000, 0))
    sent = got = 1
    for w in range(WORDS):
        words = b"%d asks %d " % (c, w) * 5
        mine.append(frame(client, to, port, 80, ACK | PSH, isn + sent, cookie + got, words))
        sent += len(words)
        answer = b"%d says %d " % (c, w) * 30
        mine.append(frame(to, client, 80, port, ACK | PSH, server + got, isn + sent, answer))
        got += len(answer)
    mine.append(frame(client, to, port, 80, FIN | ACK, isn + sent, cookie + got))
    mine.append(frame(to, client, 80, port, FIN | ACK, server + got, isn + sent + 1))
    mine.append(frame(client, to, port, 80, ACK, isn + sent + 1, cookie + got + 1))
    frames.append(mine)

# SYNs of a flood between the packets of some connections at a time; the order does not depend on cookies.
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    time, open_ones, waiting = 0, [], frames[::-1]
    while open_ones or waiting:
        while waiting and len(open_ones) < 20:
            open_ones.append(waiting.pop())
        one = draw.choice(open_ones)
        f = one.pop(0)
        open_ones = [o for o in open_ones if o]
        time += 2000 # a burst for each: an answer never overtakes what it answers
        out.write(struct.pack("<IIII", 1600000000 + time // 1000000, time % 1000000, len(f), len(f)) + f)
