#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tricks by which a sender has its receiver read what somebody on the way does not, for ips-evasion.t.

evade.py serve ADDRESS PORT FILE      writes for each connection: its peer's port, what was read
evade.py send DEV FROM VIA TO PORT    tries each trick from FROM, an address that no kernel has; prints PORT NAME

Each connection carries `attack` if its trick works. DEV's link has to be Ethernet; VIA is who takes frames.
"""
import os
import socket
import struct
import sys
import threading
import time

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
WAIT = 0.15


def serve(address, port, path):
    def read(conn, peer):
        conn.settimeout(8)
        data = b""
        try:
            while b"\n" not in data and (part := conn.recv(4096)):
                data += part
        except OSError:
            pass
        with open(path, "a") as f:
            f.write(f"{peer} {data.decode('latin1').strip()}\n")

    s = socket.create_server((address, port), backlog=64)
    while True:
        conn, peer = s.accept()
        threading.Thread(target=read, args=(conn, peer[1]), daemon=True).start()


def sum16(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Link:
    def __init__(self, dev, mine, via):
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.s.bind((dev, 0))
        self.mac = b"\x02\0\0\0\0\x4d"
        self.mine, self.got, self.via = socket.inet_aton(mine), [], None
        fcntl_promisc = struct.pack("IHH8s", socket.if_nametoindex(dev), 1, 0, b"")
        self.s.setsockopt(263, 1, fcntl_promisc)
        threading.Thread(target=self.listen, daemon=True).start()
        ask = struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + self.mac + self.mine + bytes(6) + socket.inet_aton(via)
        for _ in range(50):
            self.s.send(b"\xff" * 6 + self.mac + b"\x08\x06" + ask)
            time.sleep(0.1)
            if self.via:
                return
        sys.exit(f"evade: nobody has {via}")

    def listen(self):
        while True:
            f = self.s.recv(4096)
            if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and f[38:42] == self.mine:
                self.via = f[6:12]
            elif f[12:14] == b"\x08\x06" and f[20:22] == b"\0\1" and f[38:42] == self.mine:
                say = f[14:20] + b"\0\2" + self.mac + self.mine + f[22:32]
                self.s.send(f[6:12] + self.mac + b"\x08\x06" + say)
            elif f[12:14] == b"\x08\0" and f[30:34] == self.mine and f[23] == 6:
                self.got.append(f)


class Connection:
    """From a port of its own; `at` is the next number, of what is sent as usual."""

    def __init__(self, link, to, port, mine, stamps=False, data=b""):
        self.link, self.to, self.port, self.mine, self.stamps = link, socket.inet_aton(to), port, mine, stamps
        self.at, self.ack, self.now, self.echo = 1000 * mine, 0, 50000, 0
        self.send(data, flags=SYN)
        self.at += 1
        for _ in range(40):
            time.sleep(0.05)
            for f in link.got:
                if f[36:38] == struct.pack("!H", mine) and f[47] == SYN | ACK:
                    self.ack = struct.unpack("!I", f[38:42])[0] + 1
                    options = f[54 : 34 + (f[46] >> 4) * 4]
                    self.echo = struct.unpack("!I", options.split(b"\x08\x0a")[1][:4])[0] if stamps else 0
                    self.send(b"")
                    return
        sys.exit(f"evade: no answer to a SYN from port {mine}")

    def send(self, data, flags=ACK, seq=None, ack=None, options=b"", ip_options=b"", urgent=0, wrong=0, old=0):
        if self.stamps:
            options += b"\1\1\x08\x0a" + struct.pack("!II", self.now - old, self.echo)
            self.now += 10
        options += b"\1" * (-len(options) % 4)
        seq, ack = self.at if seq is None else seq, self.ack if ack is None else ack
        tcp = struct.pack("!HHIIBBHHH", self.mine, self.port, seq % 2**32, ack % 2**32,
                          (20 + len(options)) // 4 << 4, flags, 64240, 0, urgent) + options + data
        pseudo = self.link.mine + self.to + struct.pack("!HH", 6, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", sum16(pseudo + tcp) ^ wrong) + tcp[18:]
        size = 20 + len(ip_options)
        head = struct.pack("!BBHHHBBH4s4s", 0x40 | size // 4, 0, size + len(tcp), 7, 0, 64, 6, 0, self.link.mine,
                           self.to) + ip_options
        head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
        self.link.s.send(self.link.via + self.link.mac + b"\x08\0" + head + tcp)

    def twice(self, **how):
        """What the receiver does not take, then something else in its place."""
        self.send(b"xxxxxx", **how)
        time.sleep(WAIT)
        self.say(b"attack")

    def say(self, data, **how):
        self.send(data, PSH | ACK, **how)
        self.at += len(data)
        time.sleep(WAIT)


SIGNATURE = b"\x13\x12" + bytes(16)
SOURCE_ROUTE = b"\x83\x07\x04" + bytes((192, 0, 2, 77)) + b"\0"
# Each gets what makes a connection, and returns it.
TRICKS = {}


def trick(f):
    TRICKS[f.__name__] = f


@trick
def plain(new):
    c = new()
    c.say(b"harmless")
    return c


@trick
def split(new):
    c = new()
    c.say(b"att")
    c.say(b"ack")
    return c


def first_not_taken(name, stamps=False, **how):
    def run(new):
        c = new(stamps=stamps)
        c.twice(**{k: v(c) if callable(v) else v for k, v in how.items()})
        return c

    TRICKS[name] = run


first_not_taken("ack_of_what_was_not_sent", ack=lambda c: c.ack + 1000)
first_not_taken("old_timestamp", stamps=True, old=40000)
first_not_taken("wrong_checksum", wrong=0x55)
first_not_taken("no_ack", flags=PSH)
first_not_taken("signature", options=SIGNATURE)
first_not_taken("source_route", ip_options=SOURCE_ROUTE)
first_not_taken("syn_fin", flags=SYN | FIN | ACK)


@trick
def in_a_syn(new):
    c = new(data=b"xxxxxx")
    c.say(b"attack")
    return c


@trick
def urgent(new):
    c = new()
    c.send(b"at.tack", PSH | ACK | URG, urgent=3)
    c.at += 7
    return c


@trick
def behind_an_end(new):
    c = new()
    c.say(b"attac")
    c.send(b"", FIN | ACK, options=SIGNATURE)
    time.sleep(WAIT)
    c.say(b"k")
    return c


def after_a_reset(name, **how):
    def run(new):
        c = new()
        c.say(b"att")
        c.send(b"", **{k: v(c) if callable(v) else v for k, v in how.items()})
        time.sleep(2.5)
        c.say(b"ack")
        return c

    TRICKS[name] = run


after_a_reset("reset_ahead", flags=RST, seq=lambda c: c.at + 9)
after_a_reset("reset_behind", flags=RST, seq=lambda c: c.at - 1)
after_a_reset("reset_with_a_signature", flags=RST, options=SIGNATURE)
after_a_reset("reset_with_a_source_route", flags=RST, ip_options=SOURCE_ROUTE)
after_a_reset("reset_with_a_wrong_checksum", flags=RST, wrong=0x55)


def send(dev, mine, via, to, port):
    link = Link(dev, mine, via)
    for i, (name, run) in enumerate(TRICKS.items()):
        source = 20000 + os.getpid() % 1000 * 20 + i
        c = run(lambda **how: Connection(link, to, port, source, **how))
        c.say(b"\n")
        print(source, name, flush=True)


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    send(*sys.argv[2:6], int(sys.argv[6]))
