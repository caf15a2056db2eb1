# SPDX-License-Identifier: Apache-2.0
"""Faults of a day: the link and its ways, data ports, the arbiter, the collector."""
import json, signal, time

from faults import LOST, MOVED, SHORT, fault
from pair import Failure

WAYS = ("repl", "repl2")


@fault(events=LOST | {"way"}, may=SHORT)
def link_cut(day):
    """Both ways of it. The data ports hear the peer, so the role stays."""
    day.pair.cut(*WAYS)
    time.sleep(day.draw.uniform(1, 5))
    day.pair.join(*WAYS)


@fault(events={"way"}, must={"UnderstudyWayLost"})
def one_way_cut(day):
    """Nothing happens to a pair that has the other one."""
    way, before = day.draw.choice(WAYS), well(day)
    day.pair.cut(way)
    end = time.monotonic() + 18
    while time.monotonic() < end:
        if well(day) != before:
            raise Failure("with one way: %s, before: %s" % (well(day), before))
        time.sleep(0.5)
    day.pair.join(way)
    day.pair.wait("both ways", 10, lambda: all(w["stands"] for n in day.pair.nodes for w in day.pair.status(n)["link"]["ways"]))


@fault(events={"export"}, must={"UnderstudyExport"})
def collector_dead(day):
    """What the log of flows is exported to. Its events wait, and none is lost."""
    before = well(day)
    day.collector.end()
    time.sleep(80)
    if well(day) != before:
        raise Failure("without the collector: %s, before: %s" % (well(day), before))
    day.collector.start()
    day.pair.wait("all events exported", 30, lambda: log_of_flows(day, "waiting") == 0)
    if log_of_flows(day, "lost"):
        raise Failure("%d events of the log of flows are lost" % log_of_flows(day, "lost"))


def log_of_flows(day, counter):
    """Of the primary's lanes together."""
    code, out = day.pair.command("show", "flow_log", "-n", day.pair.primary().name, "-o", "json")
    if code != 0:
        raise Failure("show flow_log: exit %d: %s" % (code, out))
    return sum(row.get(counter, 0) for row in json.loads(out)["rows"])


@fault(events={"port", "track"}, must={"UnderstudyPort"})
def standby_port_down(day):
    name = day.pair.standby().name
    port = name + day.draw.choice(["-in", "-out"])
    day.pair.ip("fabric", "link", "set", port, "down")
    day.pair.wait("exit 1 of status", 10, lambda: day.pair.command("status")[0] == 1)
    time.sleep(16)
    day.pair.ip("fabric", "link", "set", port, "up")


@fault(moves=True, events=MOVED | {"authority", "port", "track"}, must={"UnderstudyPort"}, may=SHORT)
def primary_port_down(day):
    """The role leaves a node that cannot serve, without a takeover; not sooner than hold_down_s after the last move."""
    old, new = day.pair.primary(), day.pair.standby()
    port = old.name + day.draw.choice(["-in", "-out"])
    day.pair.ip("fabric", "link", "set", port, "down")
    day.pair.wait("the planned handover", 15, lambda: day.pair.status(new.name).get("role") == "primary")
    reason = day.pair.status(new.name)["takeover"]["reason"]
    if reason != "planned":
        raise Failure("the role moved by: " + reason)
    time.sleep(16)
    day.pair.ip("fabric", "link", "set", port, "up")


@fault(events={"arbiter"}, must={"UnderstudyArbiter"})
def etcd_lost(day):
    """It dies, or takes questions and gives no answers. Nothing happens to a pair that is well."""
    dies = day.draw.random() < 0.5
    before = well(day)
    if dies:
        day.arbiter.end()
    else:
        day.arbiter.send(signal.SIGSTOP)
    day.pair.wait("an arbiter that answers neither", 20, lambda: day.arbiter.answers() is False)
    end = time.monotonic() + 36
    while time.monotonic() < end:
        if well(day) != before:
            raise Failure("without the arbiter: %s, before: %s" % (well(day), before))
        time.sleep(0.5)
    if dies:
        day.arbiter.start()
    else:
        day.arbiter.send(signal.SIGCONT)
    day.pair.wait("an arbiter that answers both", 30, day.arbiter.answers)


@fault(moves=None, events=MOVED | {"fenced", "port", "arbiter", "detection", "way"}, may=SHORT)
def partition(day):
    """The link and frames between the nodes' ports are cut, the clients' ways to both are not: one node goes on."""
    ports = [n + side for n in day.pair.nodes for side in ("-in", "-out")]
    for port in ports:
        day.pair.isolate(port, True)
    day.pair.cut(*WAYS)
    time.sleep(1)
    end = time.monotonic() + day.draw.uniform(2, 5)
    while time.monotonic() < end:
        releases = [n for n in day.pair.nodes if day.pair.status(n)["state"] in ("SOLO", "PROTECTED")]
        if len(releases) != 1:
            raise Failure("in a partition these release: %s" % releases)
        time.sleep(0.1)
    day.pair.join(*WAYS)
    for port in ports:
        day.pair.isolate(port, False)


def well(day):
    """What a fault that does nothing to the pair leaves as it is."""
    status = [day.pair.status(n) for n in day.pair.nodes]
    return day.pair.command("status")[0], [(s.get("state"), s.get("view"), s.get("pid")) for s in status]
