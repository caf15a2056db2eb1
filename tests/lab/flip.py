#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flips one bit in the region of a running node, as memory that fails would: flip.py PID lowest|highest

The bit is in a line of zeros between two lines that are not, within 256 KiB that are of one arena: of the lowest such
place behind the first lane's own state, or of the highest one in the region. Prints its offset in the region."""
import re
import sys

BASE, BLOCK, LINE = 0x200000000000, 256 << 10, 64
ZERO = bytes(LINE)


def longest(block):
    """The middle line of the longest run of zero lines that has others before and behind it; None: there is none."""
    best, begin = (0, None), None
    for i in range(len(block) // LINE):
        if block[i * LINE:(i + 1) * LINE] == ZERO:
            continue
        if begin is not None and i - begin - 1 > best[0]:
            best = (i - begin - 1, (begin + i) // 2)
        begin = i
    return best[1]


pid, which = sys.argv[1:]
with open(f"/proc/{pid}/maps") as maps:
    end = max(int(m[1], 16) for m in re.finditer(r"^2[0-9a-f]{11}-(2[0-9a-f]{11}) rw", maps.read(), re.M))
with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
    starts = range(BLOCK, end - BASE, BLOCK)
    for start in starts if which == "lowest" else reversed(starts):
        memory.seek(BASE + start)
        line = longest(memory.read(BLOCK))
        if line is None:
            continue
        at = start + line * LINE + 13
        memory.seek(BASE + at)
        memory.write(b"\x04")
        print(at)
        sys.exit(0)
sys.exit("no such place")
