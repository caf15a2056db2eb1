# SPDX-License-Identifier: Apache-2.0
"""Faults of a day: disks, logs, keys."""
import os, signal, subprocess, time

from faults import MOVED, SHORT, fault
from pair import Failure
from processes import primary_killed


@fault(moves=True, events=MOVED | {"view_file"}, must={"UnderstudyViewNotOnDisk"}, may=SHORT)
def disk_full(day):
    """Of the node that takes over: no takeover waits for it."""
    old, new = day.pair.primary(), day.pair.standby()
    full = "%s/%s/full" % (day.pair.directory, new.name)
    with open(full, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(1024))
        except OSError:
            pass
    old.end()
    time.sleep(12)
    os.unlink(full)
    old.start()


@fault(moves=True, events=MOVED, may=SHORT)
def log_blocked(day):
    """Nobody reads the log of either node while the role moves."""
    for node in day.pair.nodes.values():
        node.reads.clear()
    try:
        node = day.pair.primary()
        node.end()
        time.sleep(1)
        node.start()
        day.pair.wait_protected()
    finally:
        for node in day.pair.nodes.values():
            node.reads.set()


@fault(moves=True, events=MOVED, may=SHORT)
def key_changed(day):
    """In the three steps of docs/security.md; then a kill, so that nothing rests on the old connection."""
    old = open(day.pair.nodes["a"].file("pair.key")).read()
    subprocess.run([day.pair.program, "key", day.out + "/new.key"], check=True, capture_output=True)
    new = open(day.out + "/new.key").read()
    os.unlink(day.out + "/new.key")
    for text in (old + new, new + old, new):
        for node in day.pair.nodes.values():
            with open(node.file("pair.key"), "w") as f:
                f.write(text)
            node.send(signal.SIGHUP)
        time.sleep(0.5)
        if day.pair.command("status")[0] != 0:
            raise Failure("a reload of the key ended the protection")
    primary_killed(day)
