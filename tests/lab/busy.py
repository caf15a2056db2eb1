#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A machine that stands still: busy.py SEED SECONDS [COMMAND...]

Takes every processor at once, before all that runs at a real-time priority of less than 99: for 20 to 80 ms in each second, and for
400 ms in each eight. SEED decides the moments. Ends after SECONDS, with its parent, or with COMMAND, whose exit code it then has:

    tests/lab/busy.py 7 600 prove -j3 --shuffle --exec bash tests/lab/*.t
"""
import ctypes, os, random, signal, subprocess, sys, time

seed, seconds, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]


def with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def stand(begun):
    dice = random.Random(seed)
    for second in range(int(seconds)):
        ms = 400 if second % 8 == 7 else dice.randint(20, 80)
        at = begun + second + dice.random() * (1 - ms / 1000)
        while (left := at - time.monotonic()) > 0:
            time.sleep(left)
        while time.monotonic() < at + ms / 1000:
            pass


with_parent()
begun = time.monotonic()
for processor in os.sched_getaffinity(0):
    if os.fork() == 0:
        with_parent()
        os.sched_setaffinity(0, {processor})
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
        except PermissionError:
            print("busy.py: no real-time priority is to be had", file=sys.stderr)
            os._exit(1)
        stand(begun)
        os._exit(0)
if command:
    sys.exit(subprocess.call(command))
worst = 0
for _ in os.sched_getaffinity(0):
    worst = max(worst, os.wait()[1])
sys.exit(1 if worst else 0)
