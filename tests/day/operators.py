# SPDX-License-Identifier: Apache-2.0
"""Faults of a day: what operators do on purpose, and not."""
import json, re, signal, subprocess, time

from faults import LOST, MOVED, SHORT, fault
from pair import BACKENDS, Failure


@fault(moves=True, events=MOVED, may=SHORT)
def handover(day):
    day.pair.do("drain")


@fault(moves=None, events=MOVED | {"fenced"}, may=SHORT)
def upgrade(day):
    """To the program of the next format, and back: the standby first, a planned handover, then the other one."""
    for program in (day.pair.next, day.pair.program):
        for _ in range(2):
            node = day.pair.standby()
            node.program = program
            node.end(signal.SIGTERM)
            node.start()
            day.pair.wait_protected()
            day.pair.do("drain")
            day.pair.wait_protected()
        runs = [day.pair.status(n)["version"] for n in day.pair.nodes]
        if runs != [version_of(program)] * 2:
            raise Failure("both run %s, expected %s" % (runs, version_of(program)))


def version_of(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


@fault(events=LOST, may=SHORT)
def apply(day):
    """Another rule and another backend; then that one is drained and goes. The flows of the whole day go on."""
    change_rules(day.pair.primary())
    serve_from(day, BACKENDS)
    if new_backend(day)["state"] != "up":
        raise Failure("the backend is %s" % new_backend(day))
    day.pair.wait("a connection to the backend", 20, lambda: new_backend(day)["total"] > 0)
    day.pair.do("set", "load_balancer", "backend.%s=drain" % BACKENDS[-1])
    day.pair.wait("a backend without connections", 30, lambda: new_backend(day)["connections"] == 0)
    serve_from(day, BACKENDS[:-1])


def serve_from(day, backends):
    change(day.pair.primary(), "chain.yaml", r'backends: "[^"]*"', 'backends: "%s"' % " ".join(backends))
    day.pair.do("apply")
    same_files(day)


def new_backend(day):
    code, out = day.pair.command("show", "load_balancer", "-o", "json")
    rows = [r for r in json.loads(out)["rows"] if r.get("backend", "").startswith(BACKENDS[-1])] if code == 0 else []
    if not rows:
        raise Failure("show load_balancer: exit %d, and no row of %s" % (code, BACKENDS[-1]))
    return rows[-1]


@fault(moves=None, events=MOVED | {"chain"}, may=SHORT)
def confirm_runs_out(day):
    """A change that nobody confirms goes back by itself, on both nodes, also where the primary dies meanwhile."""
    primary = day.pair.primary()
    before = [open(primary.file(name)).read() for name in ("chain.yaml", "firewall.rules")]
    change_rules(primary)
    day.pair.do("apply", "--confirm", "12")
    same_files(day)
    if day.draw.random() < 0.5:
        primary.end()
        time.sleep(1)
        primary.start()
    day.pair.wait("the chain as it was", 40, lambda: all(
        [open(node.file(name)).read() for name in ("chain.yaml", "firewall.rules")] == before for node in day.pair.nodes.values()))


@fault(events=LOST | {"chain", "refused"}, may=SHORT)
def push(day):
    """The chain is changed while the standby is away: it comes back with files that do not fit, and gets the new ones."""
    primary, standby = day.pair.primary(), day.pair.standby()
    standby.end(signal.SIGTERM)
    change_rules(primary)
    day.pair.wait("SOLO", 20, lambda: day.pair.status(primary.name).get("state") == "SOLO")
    day.pair.do("apply")
    standby.start()
    day.pair.wait("a standby that does not fit", 20, lambda: "differs" in day.pair.status(standby.name).get("why", ""))
    day.pair.do("push")
    day.pair.wait_protected()
    same_files(day)


def change(node, name, pattern, text):
    with open(node.file(name)) as f:
        was = f.read()
    now = re.sub(pattern, text, was, count=1)
    if now == was:
        raise Failure("%s: nothing to change: %s" % (node.file(name), pattern))
    with open(node.file(name), "w") as f:
        f.write(now)


def change_rules(node):
    """A rule for a port that nobody uses."""
    with open(node.file("firewall.rules")) as f:
        denied = [int(line.split()[-1]) for line in f if line.startswith("deny out")]
    change(node, "firewall.rules", "^(deny out .*\n)?", "deny out tcp from any to any port %d\n" % (max(denied, default=19999) + 1))


def same_files(day):
    """The standby's main thread puts files in their places behind READY, which is what `apply` answers after."""

    def same():
        return all(len({open(node.file(name)).read() for node in day.pair.nodes.values()}) == 1 for name in ("chain.yaml", "firewall.rules"))

    day.pair.wait("the primary's files on the standby", 5, same)


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
