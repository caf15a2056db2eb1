# SPDX-License-Identifier: Apache-2.0
"""What the log of flows is exported to: a collector of IPFIX by TCP, on the network of who watches. It keeps nothing."""
import signal, subprocess, sys

from pair import MANAGEMENT

PORT = 4739
SECTION = "tcp: %s:%d" % (MANAGEMENT["fabric"], PORT)
READS = """import socket, sys, threading
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
def read(end):
    while end.recv(65536):
        pass
while True:
    threading.Thread(target=read, args=(listener.accept()[0],), daemon=True).start()
"""


class Collector:
    def __init__(self, pair, directory):
        self.pair, self.directory = pair, directory
        self.process = None

    def start(self):
        self.process = self.pair.in_space("fabric", sys.executable, "-c", READS, MANAGEMENT["fabric"], str(PORT),
                                          stderr=open(self.directory + "/collector.log", "a"))

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
