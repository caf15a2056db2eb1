# SPDX-License-Identifier: Apache-2.0
"""The faults of a day. Each is begun while the pair is PROTECTED, and returns when it is mended; then the pair has to become
PROTECTED by itself. What it may cause is beside it: whether the role moves, the alerts that have to fire and those that may,
and the events of the log (of level warning or error) that it explains."""
import os, signal, subprocess, time

from pair import Failure

ALL = []
MOVED, LOST = {"takeover", "state", "standby_lost"}, {"standby_lost", "state"}
SHORT = {"UnderstudyFalseAlarm"}  # of any fault in which a node stands or falls silent


def fault(moves=False, must=(), may=(), events=()):
    """`moves`: True, False, or None for either."""

    def add(function):
        function.moves, function.must = moves, set(must)
        function.may = set(may) | ({"UnderstudyTookOver"} if moves is not False else set())
        function.events = set(events)
        if moves:
            function.must.add("UnderstudyTookOver")
        ALL.append(function)
        return function

    return add


def start(day):
    """Not a fault, and not drawn: what the start of the pair, of Prometheus and of the clients may cause."""


fault(moves=None, events=MOVED | {"port"}, may=SHORT)(start)
ALL.remove(start)


# ── processes ────────────────────────────────────────────────────────────────────────────────────


@fault(moves=True, events=MOVED, may=SHORT)
def primary_killed(day):
    node = day.pair.primary()
    node.end()
    time.sleep(day.draw.uniform(0.2, 4))
    node.start()


@fault(events=LOST, may=SHORT)
def standby_killed(day):
    node = day.pair.standby()
    node.end()
    time.sleep(day.draw.uniform(0.2, 4))
    node.start()


@fault(events=LOST, must={"UnderstudyDown", "UnderstudyUnprotected"}, may=SHORT)
def standby_away(day):
    """For longer than an alert waits."""
    node = day.pair.standby()
    node.end(signal.SIGTERM)
    time.sleep(75)
    node.start()


@fault(moves=True, events=MOVED | {"fenced"}, may=SHORT)
def primary_hangs(day):
    node = day.pair.primary()
    node.send(signal.SIGSTOP)
    time.sleep(day.draw.uniform(2, 5))
    node.send(signal.SIGCONT)


@fault(events=LOST, may=SHORT)
def standby_hangs(day):
    node = day.pair.standby()
    node.send(signal.SIGSTOP)
    time.sleep(day.draw.uniform(2, 5))
    node.send(signal.SIGCONT)


@fault(events=LOST | {"port"}, may=SHORT)
def guardian_killed(day):
    """The node goes on; who restarts it when it is the standby is the operator."""
    node = day.pair.standby()
    guardian = day.pair.status(node.name)["guardian_pid"]
    os.kill(guardian, signal.SIGKILL)
    time.sleep(2)
    if day.pair.command("status")[0] != 0:
        raise Failure("without the standby's guardian the pair is not PROTECTED")
    node.end(signal.SIGTERM)
    node.start()


# ── networks ─────────────────────────────────────────────────────────────────────────────────────


@fault(events=LOST, may=SHORT)
def link_cut(day):
    """The data ports hear the peer, so the role stays."""
    day.pair.ip("a", "link", "set", "a-repl", "down")
    time.sleep(day.draw.uniform(1, 5))
    day.pair.ip("a", "link", "set", "a-repl", "up")


@fault(events={"port"}, must={"UnderstudyPort"})
def standby_port_down(day):
    name = day.pair.standby().name
    port = name + day.draw.choice(["-in", "-out"])
    day.pair.ip("fabric", "link", "set", port, "down")
    day.pair.wait("exit 1 of status", 10, lambda: day.pair.command("status")[0] == 1)
    time.sleep(16)
    day.pair.ip("fabric", "link", "set", port, "up")


# ── disks, logs, keys ────────────────────────────────────────────────────────────────────────────


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
    key = day.pair.directory + "/pair.key"
    old = open(key).read()
    subprocess.run([day.pair.program, "key", key + ".new"], check=True, capture_output=True)
    new = open(key + ".new").read()
    os.unlink(key + ".new")
    for text in (old + new, new + old, new):
        with open(key, "w") as f:
            f.write(text)
        for node in day.pair.nodes.values():
            node.send(signal.SIGHUP)
        time.sleep(0.5)
        if day.pair.command("status")[0] != 0:
            raise Failure("a reload of the key ended the protection")
    primary_killed(day)


# ── operators ────────────────────────────────────────────────────────────────────────────────────


@fault(moves=True, events=MOVED, may=SHORT)
def handover(day):
    code, out = day.pair.command("drain")
    if code != 0:
        raise Failure("drain: exit %d: %s" % (code, out))


@fault(moves=None, events=MOVED | {"fenced"}, may=SHORT)
def upgrade(day):
    """The standby is restarted, takes over by drain, and the other one is restarted."""
    for _ in range(2):
        node = day.pair.standby()
        node.end(signal.SIGTERM)
        node.start()
        day.pair.wait_protected()
        code, out = day.pair.command("drain")
        if code != 0:
            raise Failure("drain: exit %d: %s" % (code, out))
        day.pair.wait_protected()


@fault(moves=None, events=MOVED | {"fenced", "drill"}, may=SHORT)
def commands_in_bad_order(day):
    """Two at once, to the wrong node, twice. Whatever they answer, they answer, and the pair stands."""
    words = ["drain", "drain", "promote", "failback", "resync", "resync", "verify", "show nat", "clear nat tcp/1", "set nat a=b",
             "trace 5", "set no-such-nf x=1", "clear monitor"]
    for _ in range(12):
        running = []
        for word in day.draw.sample(words, 2):
            command = word.split()
            where = ["-n", day.draw.choice("ab")] if day.draw.random() < 0.5 else []
            running.append(subprocess.Popen([day.pair.program, command[0], "-c", day.pair.file, *where, *command[1:]],
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for process in running:
            try:
                process.wait(70)
            except subprocess.TimeoutExpired:
                process.kill()
                raise Failure("a command did not end: %s" % process.args) from None
        time.sleep(day.draw.uniform(0, 0.5))
