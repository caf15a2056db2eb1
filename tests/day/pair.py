# SPDX-License-Identifier: Apache-2.0
"""The pair of a day: the lab's network (scripts/lab), a network of its own for who watches, two nodes whose logs are read."""
import collections, json, os, shutil, signal, subprocess, threading, time

# The chain of a day: clients inside are translated, and two or three backends inside serve who is outside.
NFS = """nat: { inside: [10.0.0.100/32], outside: 203.0.113.1, ports: 1024-65535, unsupported: pass, max_flows: 20000 } },
           { firewall: { rules: firewall.rules, max_flows: 20000 } },
           { monitor: { max_flows: 20000 } },
           { flow_log: { } },
           { load_balancer: { vip: 203.0.113.10, port: 80, backends: "10.0.0.11 10.0.0.12", max_flows: 20000 }"""
SERVICE, BACKENDS = "203.0.113.10", ("10.0.0.11", "10.0.0.12", "10.0.0.13")
MANAGEMENT = {"a": "192.0.2.1", "b": "192.0.2.2", "fabric": "192.0.2.100"}


class Failure(Exception):
    """The day ends here: what has to hold does not."""


class Node:
    """One process of `understudy run`, started anew as often as it ends. Its log is a pipe, read line by line."""

    def __init__(self, pair, name):
        self.pair, self.name = pair, name
        self.process, self.reads = None, threading.Event()
        self.program = pair.program
        self.reads.set()

    def start(self):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.pair.prefix + self.name, self.program, "run", "-c", self.file("pair.yaml"), "-n", self.name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        threading.Thread(target=self.read, args=(self.process,), daemon=True).start()

    def file(self, name):
        """Each node has files of its own, as on two servers: the second one's are in a directory below the first one's."""
        return "/".join([self.pair.directory, "files-b", name] if self.name == "b" else [self.pair.directory, name])

    def read(self, process):
        for line in process.stderr:
            self.reads.wait()
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": "no-json", "level": "error", "message": line.decode(errors="replace").strip()}
            entry.update(node=self.name, came=time.time())
            self.pair.lines.append(entry)

    def send(self, number):
        os.kill(self.process.pid, number)

    def end(self, number=signal.SIGKILL):
        self.send(number)
        if number == signal.SIGKILL:
            self.send(signal.SIGCONT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            raise Failure("node %s does not end by signal %d" % (self.name, number)) from None


class Pair:
    def __init__(self, root, program, following, directory, sections):
        """`following` is the program of the next format."""
        self.root, self.program, self.next, self.prefix = root, program, following, "ut-day-"
        self.directory = directory
        self.file = directory + "/pair.yaml"
        self.lines = collections.deque()
        self.environment = dict(os.environ, LAB_PREFIX=self.prefix, LAB_DIR=directory, UNDERSTUDY=program, LAB_LOG="json",
                                LAB_NFS=NFS, **sections)
        self.nodes = {"a": Node(self, "a"), "b": Node(self, "b")}

    def lab(self, *words):
        subprocess.run([self.root + "/scripts/lab", *words], env=self.environment, stderr=subprocess.DEVNULL if words[0] == "down" else None,
                       check=words[0] == "up")

    def in_space(self, space, *words, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.prefix + space, *words], **options)

    def ip(self, space, *words):
        subprocess.run(["ip", "-n", self.prefix + space, *words], check=True)

    def cut(self, *ways):
        """Cables between the nodes: "repl", "repl2"."""
        for way in ways:
            self.ip("a", "link", "set", "a-" + way, "down")

    def join(self, *ways):
        for way in ways:
            self.ip("a", "link", "set", "a-" + way, "up")

    def isolate(self, port, isolated):
        """Frames between two such ports of the fabric's bridges do not pass."""
        subprocess.run(["bridge", "-n", self.prefix + "fabric", "link", "set", "dev", port, "isolated", "on" if isolated else "off"], check=True)

    def up(self):
        self.down()  # what a day left that was killed
        self.lab("up", "--no-nodes")
        self.ip("fabric", "link", "add", "br-mgmt", "type", "bridge")
        self.ip("fabric", "link", "set", "br-mgmt", "up")
        self.ip("fabric", "address", "add", MANAGEMENT["fabric"] + "/24", "dev", "br-mgmt")
        for name in self.nodes:
            self.ip(name, "link", "add", "mgmt", "type", "veth", "peer", "name", name + "-mgmt", "netns", self.prefix + "fabric")
            self.ip("fabric", "link", "set", name + "-mgmt", "master", "br-mgmt", "up")
            self.ip(name, "address", "add", MANAGEMENT[name] + "/24", "dev", "mgmt")
            self.ip(name, "link", "set", "mgmt", "up")
            # The view's disk, small enough to be filled.
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", self.directory + "/" + name], check=True)
        for address in BACKENDS:
            self.ip("client", "address", "add", address + "/24", "dev", "eth0")
        self.write_files()

    def write_files(self):
        with open(self.file) as f:  # the chain in a file of its own: pair files do not travel
            head, chain = f.read().split("chain:\n", 1)
        chain, tail = chain.split("protect:", 1)
        with open(self.directory + "/chain.yaml", "w") as f:
            f.write("chain:\n" + chain)
        with open(self.file, "w") as f:
            f.write(head + "chain: { file: chain.yaml }\nprotect:" + tail + "push: { permit: true }\n")
        with open(self.directory + "/firewall.rules", "a") as f:
            f.write("allow in tcp to 10.0.0.0/24 port 80\n")
        os.mkdir(self.directory + "/files-b")
        for name in ("pair.yaml", "chain.yaml", "pair.key", "firewall.rules"):
            shutil.copy(self.directory + "/" + name, self.nodes["b"].file(name))

    def down(self):
        for node in self.nodes.values():
            node.reads.set()
            if node.process and node.process.poll() is None:
                node.end()
        for name in self.nodes:
            subprocess.run(["umount", self.directory + "/" + name], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory + "/files-b", ignore_errors=True)
        self.lab("down")

    # ── what an operator does ────────────────────────────────────────────────────────────────────

    def command(self, *words, timeout=60):
        """Its exit code and what it printed."""
        done = subprocess.run([self.program, words[0], "-c", self.file, *words[1:]], capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def do(self, *words):
        """A command that has to succeed."""
        code, out = self.command(*words)
        if code != 0:
            raise Failure("%s: exit %d: %s" % (" ".join(words), code, out))

    def status(self, name):
        code, out = self.command("status", "-n", name, "-o", "json")
        try:
            return json.loads(out)
        except ValueError:
            return {}

    def wait(self, what, seconds, condition):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failure("%s did not come within %d s: %s" % (what, seconds, self.command("status")[1]))
            time.sleep(0.1)

    def wait_protected(self, seconds=60):
        self.wait("PROTECTED", seconds, lambda: self.command("status")[0] == 0)

    def primary(self):
        reigns = [n for n in self.nodes if self.status(n).get("role") == "primary"]
        if len(reigns) != 1:
            raise Failure("primaries: %s" % reigns)
        return self.nodes[reigns[0]]

    def standby(self):
        return self.nodes["b" if self.primary().name == "a" else "a"]
