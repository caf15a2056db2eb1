#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A day of a pair, compressed: random faults under real clients, with metrics scraped and alerts evaluated.

    tests/day/day.py [--seconds N] [--seed N] [--only FAULT]... [--program FILE] [--next FILE]

Every fault comes at least once when there is time; their order and moments follow from the seed. It passes when no download
and no idle connection broke, the role moved as each fault says, each alert that had to fire did and no other, and each warning
of the logs is explained by a fault. Figures go to build/day/day.json, and as a table to day.md beside it; all lines of both logs are in events.json."""
import argparse, hashlib, json, os, random, shutil, subprocess, sys, time

import alerts, arbiter, collector, faults, report
import processes, networks, files, operators  # their faults
from pair import BACKENDS, SERVICE, Failure, Pair

EXPLAINED_S = 3  # after the end of a fault, for the last lines of it
REST_S = (2, 8)  # between two faults


class Day:
    def __init__(self, options):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.draw = random.Random(options.seed)
        self.out = os.path.join(root, "build", "day")
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        sections = {"LAB_NODE": "mbufs: 32768, memory_mb: 512, realtime: true, metrics: 0.0.0.0:9470, export: { %s }" % collector.SECTION,
                    "LAB_ARBITER": arbiter.SECTION, "LAB_WAYS": "2"}
        if options.timing:
            sections["LAB_TIMING"] = options.timing
        programs = [os.path.abspath(p) for p in (options.program, options.next)]
        self.pair = Pair(root, *programs, os.path.join(root, "build", "lab-day"), sections)
        self.prometheus = alerts.Prometheus(self.pair, self.out)
        self.arbiter = arbiter.Arbiter(self.pair, self.out)
        self.collector = collector.Collector(self.pair, self.out)
        self.windows, self.loads, self.lines, self.totals = [], {}, [], {}

    # ── clients ──────────────────────────────────────────────────────────────────────────────────

    def serve(self):
        """nginx and its files; the sums come from here, not from the chain."""
        www = self.out + "/www"
        os.makedirs(www)
        self.files = {}
        for name, size in (("a-small", 10_000), ("b-page", 300_000), ("c-image", 4_000_000), ("d-disk", 20_000_000)):
            body = random.Random(name).randbytes(size)
            with open(www + "/" + name, "wb") as f:
                f.write(body)
            self.files[name] = hashlib.sha256(body).hexdigest()
        self.servers = [self.pair.in_space("server", sys.executable, here("traffic.py"), "echo", "7777")]
        self.serve_files("server", "203.0.113.100")
        self.serve_files("client", *BACKENDS)

    def serve_files(self, space, *addresses):
        file = "%s/nginx-%s" % (self.out, space)
        with open(file + ".conf", "w") as f:
            f.write("user root; daemon off; worker_processes 1; pid %s.pid; error_log stderr;\n"
                    "events { worker_connections 1024; }\n"
                    "http { access_log off; sendfile on; server { %s root %s/www; } }\n" % (
                        file, " ".join("listen %s:80;" % a for a in addresses), self.out))
        self.servers.append(self.pair.in_space(space, "nginx", "-c", file + ".conf", stderr=open(file + ".log", "w")))

    def begin_load(self):
        """From inside to a server, through the NAT; from outside to the service, through the balancer."""
        for space, host, downloads, echo in (("client", "203.0.113.100", 4, 7777), ("server", SERVICE, 1, 0)):
            self.loads[space] = self.pair.in_space(
                space, sys.executable, here("traffic.py"), "load", host, str(downloads), str(echo),
                *("%s=%s" % pair for pair in self.files.items()), stdin=subprocess.PIPE,
                stdout=open("%s/load-%s.log" % (self.out, space), "w"))

    def end_load(self):
        for space, load in self.loads.items():
            load.stdin.close()
            load.wait(120)
            lines = open("%s/load-%s.log" % (self.out, space)).read().splitlines()
            self.lines += [space + " " + line for line in lines[:-1]]
            for name, count in json.loads(lines[-1]).items():
                self.totals[name] = self.totals.get(name, 0) + count

    # ── the schedule ─────────────────────────────────────────────────────────────────────────────

    def meet(self, fault):
        before, began, ended = self.pair.primary().name, time.time(), None
        say("%s: %s" % (alerts.stamp(began), fault.__name__))
        try:
            fault(self)
            ended = time.time()
            self.pair.wait_protected()
        finally:
            now = time.time()
            self.windows.append(report.Window(fault, began, now, now - ended if ended else None))
        after = self.pair.primary().name
        if fault.moves is not None and fault.moves != (before != after):
            raise Failure("%s: the primary was %s and is %s" % (fault.__name__, before, after))

    def live(self, seconds, chosen):
        end = time.monotonic() + seconds
        deck = []
        while time.monotonic() < end:
            if not deck:
                deck = self.draw.sample(chosen, len(chosen))
            time.sleep(self.draw.uniform(*REST_S))
            self.meet(deck.pop())
        time.sleep(alerts.ENDS_S)

    # ── the verdict ──────────────────────────────────────────────────────────────────────────────

    def unexplained(self):
        lines = []
        for entry in self.pair.lines:
            if entry["level"] not in ("warning", "error"):
                continue
            if not any(b <= entry["came"] <= m + EXPLAINED_S and entry["event"] in f.events for f, b, m, _ in self.windows):
                lines.append("%s %s %s %s: %s" % (alerts.stamp(entry["came"]), entry["level"], entry["event"], entry["node"],
                                                  entry["message"]))
        return lines

    def verdict(self, since):
        fired, labels = self.prometheus.fired(since, time.time())
        failures = [line for line in self.lines if " broken " in line]
        failures += alerts.judge(fired, labels, self.windows)
        failures += ["unexplained: " + line for line in self.unexplained()]
        slow = [(float(began), float(took)) for _, kind, began, took, *_ in map(str.split, self.lines) if kind == "slow"]
        return report.figures(self.windows[1:], slow, self.totals, fired, len(self.pair.lines), failures)

    def run(self, options):
        chosen = [f for f in faults.ALL if not options.only or f.__name__ in options.only]
        if not chosen:
            raise Failure("no such fault; there are: " + " ".join(f.__name__ for f in faults.ALL))
        began = time.time()
        self.pair.up()
        self.arbiter.start()
        self.collector.start()
        for node in self.pair.nodes.values():
            node.start()
        self.pair.wait_protected()
        self.pair.wait("the arbiter", 30, self.arbiter.answers)
        self.serve()
        self.prometheus.start()
        self.begin_load()
        time.sleep(10)
        since = time.time()
        self.windows.append(report.Window(faults.start, began, since, 0))
        self.live(options.seconds, chosen)
        self.end_load()
        return self.verdict(since)


def here(name):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


def say(text):
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--only", action="append", metavar="FAULT")
    parser.add_argument("--timing", help="of the pair file, in the place of the defaults")
    parser.add_argument("--program", default="build/understudy")
    parser.add_argument("--next", default="build/understudy-next", help="the program of the next format, for the upgrade")
    options = parser.parse_args()
    say("a day of %d s, seed %d" % (options.seconds, options.seed))
    day = Day(options)
    try:
        figures = day.run(options)
    except Failure as failure:
        figures = {"failures": [str(failure)]}
        for line in list(day.pair.lines)[-40:]:
            say("%s %s %s: %s" % (alerts.stamp(line["came"]), line["event"], line["node"], line["message"]))
    finally:
        day.pair.down()
        with open(day.out + "/events.json", "w") as out:
            out.writelines(json.dumps(line) + "\n" for line in day.pair.lines)
    report.write(day.out, figures, options)
    for line in figures["failures"]:
        say("not as it should be: " + line)
    if not figures["failures"]:
        say(report.sentence(figures))
    sys.exit(1 if figures["failures"] else 0)


if __name__ == "__main__":
    main()
