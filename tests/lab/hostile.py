#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What hostile.t throws at a pair. Runs inside a namespace of the lab; prints one line about what it did.

  connect FROM TO PORT KIND…    TCP connections: garbage, truncated, huge, replay (a hello of old), silent, port-scan
  word FROM TO PORT KIND…      death notices: forged, heartbeat, random, short
  heartbeats DEVICE KIND…      the heartbeat that was overheard: again, view, sent
  sniff DEVICE hello|heartbeats SECONDS    "ready", then what passes by, in hex: what b says first, or a heartbeat that comes in
  frames DEVICE FILE…          every frame of the captures, sent to CHAIN_MAC, cut to what the device takes
  made DEVICE                  frames malformed by hand
"""
import os
import random
import socket
import struct
import sys
import time

MAX = 1514


def connect(source, target, port, kind):
    """Says it, waits for the other side to close (2 s at most), and tells how it ended."""
    s = socket.socket()
    s.bind((source, 0))
    s.settimeout(3)
    try:
        s.connect((target, int(port)))
    except OSError as e:
        return print("no connection:", e.strerror or e)
    said = {
        "garbage": random.Random(7).randbytes(5000),
        "truncated": struct.pack("<II", 150, 0x1234) + b"\x9a\x01\x01",
        "huge": struct.pack("<II", 0xFFFFFFFF, 0) + b"\x96\x01\x02",
        "large": struct.pack("<II", 4 << 20, 0) + bytes(100000),
        "replay": bytes.fromhex(os.environ.get("HELLO", "")),
        "silent": b"",
        "port-scan": b"",
    }[kind]
    try:
        s.sendall(said)
        if kind == "port-scan":
            return print("closed at once")
        end = time.time() + (0.5 if kind in ("silent", "truncated", "large") else 2)
        got = 0
        while time.time() < end:
            s.settimeout(max(0.01, end - time.time()))
            data = s.recv(65536)
            if not data:
                return print(f"closed by the node after {got} bytes")
            got += len(data)
        print(f"still open, {got} bytes came")
    except socket.timeout:
        print("still open")
    except OSError as e:
        print("ended:", e.strerror)
    finally:
        s.close()


def word(source, target, port, kind):
    """Death notices: of the right form with a tag that is guessed, heartbeats, noise, too short."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    for n in range(50):
        body = b"understu" + struct.pack("<IIQQ", 2, 2 if kind == "heartbeat" else 1, 0, 0)
        body += bytes(16) + random.Random(n).randbytes(16)
        if kind == "random":
            body = random.Random(n).randbytes(64)
        s.sendto(body[: 17 if kind == "short" else 64], (target, int(port)))
    time.sleep(0.05)
    print("50 datagrams", kind)


def heartbeats(device, kind):
    """The heartbeat that was overheard (HEARTBEAT), sent again, or with another view, or another time of sending."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0))
    frame = bytearray.fromhex(os.environ.get("HEARTBEAT", ""))
    if kind == "view":
        frame[14 + 16 : 14 + 24] = struct.pack("<Q", 1 << 40)
    if kind == "sent":
        frame[14 + 24 : 14 + 32] = struct.pack("<Q", 1 << 62)
    for _ in range(400):
        s.send(frame)
        time.sleep(0.002)
    print("400 heartbeats", kind)


def sniff(device, what, seconds):
    """What 10.99.0.2 says first on a connection, or a heartbeat that comes in by the device; hex."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
    s.bind((device, 0))
    print("ready", flush=True)
    end = time.time() + float(seconds)
    while time.time() < end:
        s.settimeout(max(0.01, end - time.time()))
        try:
            frame, source = s.recvfrom(65536)
        except socket.timeout:
            break
        if source[2] == socket.PACKET_OUTGOING:
            continue
        if what == "heartbeats" and frame[12:14] == b"\x88\xb5":
            return print(frame.hex())
        if what == "hello" and frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[26:30] == bytes([10, 99, 0, 2]):
            payload = frame[34 + (frame[46] >> 4) * 4 : 14 + struct.unpack(">H", frame[16:18])[0]]
            if payload:
                return print(payload.hex())


def pcap(path):
    """The frames of a classic capture file, of either byte order."""
    data = open(path, "rb").read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        have = struct.unpack(order + "I", data[at + 8 : at + 12])[0]
        yield bytes.fromhex(os.environ.get("CHAIN_MAC", "ffffffffffff")) + data[at + 22 : at + 16 + have]
        at += 16 + have


def send_all(device, frames):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0))
    sent = refused = 0
    for frame in frames:
        try:
            s.send(frame[:MAX].ljust(14, b"\0"))
            sent += 1
        except OSError:
            refused += 1
        if sent % 64 == 0:
            time.sleep(0.002)
    print(f"{sent} frames sent, {refused} refused by the device")


def made():
    """Around valid headers to the chain's own MAC and address, lengths and offsets that lie; then noise."""
    rng = random.Random(11)
    mac = bytes.fromhex(os.environ.get("CHAIN_MAC", "ffffffffffff"))
    src = bytes.fromhex("020000000001")

    def ip(length=None, ihl=5, version=4, frag=0, proto=17, payload=b"", ttl=64):
        total = 20 + len(payload) if length is None else length
        head = struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, 0, total, 1, frag, ttl, proto, 0,
                           bytes([10, 0, 0, 100]), bytes([203, 0, 113, 100]))
        carry = sum(struct.unpack("!10H", head))
        carry = (carry & 0xFFFF) + (carry >> 16)
        head = head[:10] + struct.pack("!H", ~(carry + (carry >> 16)) & 0xFFFF) + head[12:]
        return mac + src + b"\x08\x00" + head + payload

    udp = struct.pack("!HHHH", 4000, 7, 8, 0)
    tcp = struct.pack("!HHIIBBHHH", 4000, 80, 1, 1, 0x50, 2, 1000, 0, 0)
    for length in (0, 1, 19, 20, 27, 28, 1500, 65535):
        yield ip(length, payload=udp)
        yield ip(length, proto=6, payload=tcp)
    for ihl in range(16):
        yield ip(ihl=ihl, payload=udp)
    for version in (0, 5, 6, 15):
        yield ip(version=version, payload=udp)
    for offset in range(16):
        yield ip(proto=6, payload=tcp[:12] + bytes([offset << 4, 2]) + tcp[14:])
    for frag in (1, 0x1FFF, 0x2000, 0x3FFF, 0x8000, 0xFFFF):
        yield ip(frag=frag, payload=udp)
    for kind in (3, 5, 11, 12):  # errors about packets that lie
        for inner in (b"", b"\x45", b"\x4f" + bytes(19), ip(payload=udp)[14:], ip(0, payload=udp)[14:24]):
            yield ip(proto=1, payload=bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + inner)
    for ethertype in (0x0000, 0x0806, 0x8100, 0x88A8, 0x86DD, 0x88B5, 0xFFFF):
        for size in (0, 1, 4, 27, 28, 46):
            yield mac + src + struct.pack("!H", ethertype) + rng.randbytes(size)
    tag = b"\x81\x00\x00\x01"
    for depth in (1, 2, 3, 50):
        yield mac + src + tag * depth + ip(payload=udp)[12:]
        yield mac + src + tag * depth
    whole = ip(proto=6, payload=tcp + bytes(40))
    for cut in range(14, len(whole)):
        yield whole[:cut]
    for _ in range(1500):
        frame = bytearray(whole if rng.random() < 0.5 else ip(payload=udp + bytes(20)))
        for _ in range(rng.randrange(1, 5)):
            frame[rng.randrange(12, len(frame))] = rng.randrange(256)
        yield bytes(frame)
    # A heartbeat of somebody else, and torn ones.
    heartbeat = bytes.fromhex("077573626561") + src + b"\x88\xb5understu" + struct.pack("<II", 2, 2) + bytes(48)
    for cut in (14, 18, 26, 33, 61, 77, len(heartbeat)):
        yield heartbeat[:cut].ljust(60, b"\0")


if __name__ == "__main__":
    what, args = sys.argv[1], sys.argv[2:]
    if what == "connect":
        for kind in args[3:]:
            connect(*args[:3], kind)
    elif what == "word":
        for kind in args[3:]:
            word(*args[:3], kind)
    elif what == "heartbeats":
        for kind in args[1:]:
            heartbeats(args[0], kind)
    elif what == "sniff":
        sniff(*args)
    elif what == "frames":
        send_all(args[0], (f for path in args[1:] for f in pcap(path)))
    elif what == "made":
        send_all(args[0], made())
    else:
        sys.exit(__doc__)
