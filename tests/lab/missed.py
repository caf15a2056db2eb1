#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many frames the kernel had no room for in the receive rings of a process' packet sockets, since it was asked last.

    missed.py PID…      prints the sum, or "?" where the kernel does not say

DPDK's af_packet driver reads its frames from a ring that the kernel fills. On a machine that gives a node no processor for
a while the ring is full, and the kernel drops what comes then. The driver does not count these frames.
"""
import ctypes
import os
import socket
import struct
import sys

PIDFD_GETFD, SOL_PACKET, PACKET_STATISTICS = 438, 263, 6


def missed(pid):
    total = 0
    process = os.pidfd_open(pid)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
                continue
        except FileNotFoundError:
            continue
        copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, int(fd), 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        with socket.socket(fileno=copy) as s:
            if s.family == socket.AF_PACKET:
                total += struct.unpack_from("II", s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))[1]
    return total


try:
    print(sum(missed(int(pid)) for pid in sys.argv[1:]))
except OSError:
    print("?")
