# SPDX-License-Identifier: Apache-2.0
"""The arbiter of a day's pair: a real etcd of one server, which both nodes reach by the network of who watches."""
import signal, subprocess

from pair import MANAGEMENT

URL = "http://%s:2379" % MANAGEMENT["fabric"]
SECTION = "etcd: [ %s ]" % URL


class Arbiter:
    def __init__(self, pair, directory):
        self.pair, self.directory = pair, directory
        self.process = None

    def start(self):
        peers = "http://127.0.0.1:2380"
        self.process = self.pair.in_space(
            "fabric", "etcd", "--name", "w", "--data-dir", self.directory + "/etcd", "--listen-client-urls", URL,
            "--advertise-client-urls", URL, "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
            "--initial-cluster", "w=" + peers, "--heartbeat-interval", "500", "--election-timeout", "5000",
            stdout=subprocess.DEVNULL, stderr=open(self.directory + "/etcd.log", "a"))

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        self.send(signal.SIGKILL)
        self.process.wait()

    def answers(self):
        """To both nodes: True, False, or None where they do not agree, or one does not answer itself."""
        said = {self.pair.status(n).get("arbiter", {}).get("answers") for n in self.pair.nodes}
        return said.pop() if len(said) == 1 else None
