# SPDX-License-Identifier: Apache-2.0
"""
VLAN interfaces for hosts of the lab, on kernels that have none. Until it is ended:

    vlans.py LINK CAPTURE NAME=TAGS...

makes a TAP device for each NAME in this network namespace. What is sent by it leaves by LINK with its tags; frames with
exactly these tags, whatever their priority, that come in by LINK are received by it. TAGS: "" none, "100", "200.7" (the outer one of 802.1ad, the
inner one of 802.1Q), "0" (a tag without a VLAN in what is sent; none in what is received). What comes in by LINK goes to
the file CAPTURE (pcap), tags included; of long frames the beginning. Devices may be moved to other namespaces once "ready" is printed.
"""
import fcntl, os, select, socket, struct, sys, time

TUNSETIFF, IFF_TAP_NO_PI = 0x400454CA, 0x1002
SOL_PACKET, PACKET_AUXDATA, VLAN_VALID, VLAN_TPID_VALID = 263, 8, 1 << 4, 1 << 6
OUTGOING = 4

link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind((sys.argv[1], 3))
link.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
capture = open(sys.argv[2], "wb", buffering=0)
capture.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))


def tags(text):
    vids = [int(v) for v in text.split(".")] if text else []
    types = [0x88A8, 0x8100] if len(vids) == 2 else [0x8100] * len(vids)
    return b"".join(struct.pack("!HH", t, v) for t, v in zip(types, vids))


taps, by_tags = {}, {}
for word in sys.argv[3:]:
    name, text = word.split("=")
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    taps[tap] = tags(text)
    by_tags[b"" if text == "0" else tags(text)] = tap
print("ready", flush=True)


def received():
    """A frame with its tags, as it was on the wire; the kernel has taken the first one off."""
    frame, about, _, sender = link.recvmsg(65535, 256)
    for level, kind, data in about:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
            if status & VLAN_VALID:
                frame = frame[:12] + struct.pack("!HH", tpid if status & VLAN_TPID_VALID else 0x8100, tci) + frame[12:]
    return frame, sender[2]


def take():
    frame, kind = received()
    if kind == OUTGOING:
        return
    now = time.time()
    kept = frame[:128]
    capture.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(kept), len(frame)) + kept)
    at, known = 12, b""
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        known += frame[at : at + 2] + bytes((frame[at + 2] & 0x0F, frame[at + 3]))
        at += 4
    tap = by_tags.get(known)
    if tap is not None:
        try:
            os.write(tap, frame[:12] + frame[at:])
        except OSError:
            pass  # the device is down


while True:
    for ready in select.select([link, *taps], [], [])[0]:
        if ready is link:
            take()
            continue
        try:
            frame = os.read(ready, 65535)
            link.send(frame[:12] + taps[ready] + frame[12:])
        except OSError:
            pass
