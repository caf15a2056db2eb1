#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A cable that delays each frame by its own time, so that they pass one another. delays.py INTERFACE INTERFACE MOST_MS SEED

Both interfaces have no other master; what comes in by one leaves by the other, 0 to MOST_MS later. Until SIGTERM.
"""
import heapq
import random
import select
import socket
import sys
import time

ends = []
for name in sys.argv[1:3]:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.bind((name, 0))
    end.setsockopt(263, 1, (socket.if_nametoindex(name)).to_bytes(4, "little") + b"\1\0" + bytes(10))  # promiscuous
    end.setblocking(False)
    ends.append(end)
most, draw = float(sys.argv[3]) / 1000, random.Random(int(sys.argv[4]))
waiting, number = [], 0
while True:
    pause = max(0, waiting[0][0] - time.monotonic()) if waiting else 1
    for end in select.select(ends, [], [], pause)[0]:
        for _ in range(64):
            try:
                frame, origin = end.recvfrom(65536)
            except BlockingIOError:
                break
            if origin[2] != socket.PACKET_OUTGOING:
                number += 1
                heapq.heappush(waiting, (time.monotonic() + most * draw.random(), number, ends[1 - ends.index(end)], frame))
    while waiting and waiting[0][0] <= time.monotonic():
        _, _, to, frame = heapq.heappop(waiting)
        to.send(frame)
