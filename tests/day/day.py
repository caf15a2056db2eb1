#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A day of a pair, compressed: random faults under real clients, with metrics scraped and alerts evaluated.

    tests/day/day.py [--seconds N] [--seed N] [--only FAULT]... [--program FILE]

Every fault comes at least once when there is time; their order and moments follow from the seed. It passes when no download
and no idle connection broke, the role moved as each fault says, each alert that had to fire did and no other, and each warning
of the logs is explained by a fault. Figures go to OUT/day.json."""
import argparse, hashlib, json, os, random, shutil, subprocess, sys, time

import alerts, faults
from pair import Failure, Pair

EXPLAINED_S = 3  # after the end of a fault, for the last lines of it
REST_S = (2, 8)  # between two faults


class Day:
    def __init__(self, options):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.draw = random.Random(options.seed)
        self.out = os.path.join(root, "build", "day")
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        sections = {"LAB_NODE": "mbufs: 32768, memory_mb: 512, realtime: true, metrics: 0.0.0.0:9470"}
        if options.timing:
            sections["LAB_TIMING"] = options.timing
        self.pair = Pair(root, os.path.abspath(options.program), os.path.join(root, "build", "lab-day"), sections)
        self.prometheus = alerts.Prometheus(self.pair, self.out)
        self.windows, self.broken, self.totals = [], [], {}
        self.load = None

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
        with open(self.out + "/nginx.conf", "w") as f:
            f.write("user root; daemon off; worker_processes 1; pid %s/nginx.pid; error_log stderr;\n"
                    "events { worker_connections 1024; }\n"
                    "http { access_log off; sendfile on; server { listen 203.0.113.100:80; root %s; } }\n" % (self.out, www))
        self.servers = [
            self.pair.in_space("server", "nginx", "-c", self.out + "/nginx.conf", stderr=open(self.out + "/nginx.log", "w")),
            self.pair.in_space("server", sys.executable, here("traffic.py"), "echo", "7777")]

    def begin_load(self):
        self.load = self.pair.in_space(
            "client", sys.executable, here("traffic.py"), "load", "203.0.113.100", "7777",
            *("%s=%s" % pair for pair in self.files.items()), stdin=subprocess.PIPE, stdout=open(self.out + "/load.log", "w"))

    def end_load(self):
        self.load.stdin.close()
        self.load.wait(120)
        lines = open(self.out + "/load.log").read().splitlines()
        self.broken = [line for line in lines if line.startswith("broken ")]
        self.totals = json.loads(lines[-1])

    # ── the schedule ─────────────────────────────────────────────────────────────────────────────

    def meet(self, fault):
        before, began = self.pair.primary().name, time.time()
        say("%s: %s" % (alerts.stamp(began), fault.__name__))
        try:
            fault(self)
            self.pair.wait_protected()
        finally:
            self.windows.append((fault, began, time.time()))
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
            if not any(b <= entry["came"] <= m + EXPLAINED_S and entry["event"] in f.events for f, b, m in self.windows):
                lines.append("%s %s %s %s: %s" % (alerts.stamp(entry["came"]), entry["level"], entry["event"], entry["node"],
                                                  entry["message"]))
        return lines

    def verdict(self, since):
        fired, labels = self.prometheus.fired(since, time.time())
        failures = list(self.broken)
        failures += alerts.judge(fired, labels, self.windows)
        failures += ["unexplained: " + line for line in self.unexplained()]
        counts = {}
        for fault, _, _ in self.windows:
            counts[fault.__name__] = counts.get(fault.__name__, 0) + 1
        figures = dict(self.totals, faults=counts, alerts={a: len(t) for a, t in sorted(fired.items())},
                       lines=len(self.pair.lines), failures=failures)
        return figures

    def run(self, options):
        chosen = [f for f in faults.ALL if not options.only or f.__name__ in options.only]
        if not chosen:
            raise Failure("no such fault; there are: " + " ".join(f.__name__ for f in faults.ALL))
        began = time.time()
        self.pair.up()
        self.pair.wait_protected()
        self.serve()
        self.prometheus.start()
        self.begin_load()
        time.sleep(10)
        since = time.time()
        self.windows.append((faults.start, began, since))
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
    with open(day.out + "/day.json", "w") as f:
        json.dump(figures, f, indent=1)
    for line in figures["failures"]:
        say("not as it should be: " + line)
    if not figures["failures"]:
        say("%d faults, %d downloads, %d requests and %d echoes of %d idle connections: 0 broken; alerts as they should be; "
            "every warning explained" % (sum(figures["faults"].values()), figures["downloads"], figures["requests"],
                                         figures["echoes"], figures["idle"]))
    sys.exit(1 if figures["failures"] else 0)


if __name__ == "__main__":
    main()
