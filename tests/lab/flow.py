# SPDX-License-Identifier: Apache-2.0
"""
Traffic through a shard, and how long answers stayed away:

    flow.py serve ADDRESS PORT           answers by TCP and by UDP, until it is ended
    flow.py ask ADDRESS PORT FILE [S]    one connection of TCP, and datagrams, a question of each every S seconds (0.005), until
                                         SIGTERM; it waits for 20 s until somebody listens

FILE gets a line KIND TIME MS for each time that no answer came for more than S + 15 ms: when one came again, in seconds since
1970, and for how long there was none; and where none has come for a second, a line like it each second until one does. At
its end stands "intact N" where N answers of the connection were right, in order. FILE.began is there once the first one was.
"""
import signal, socket, sys, threading, time

what, at = sys.argv[1], (sys.argv[2], int(sys.argv[3]))
EVERY = float(sys.argv[5]) if len(sys.argv) > 5 else 0.005


def serve():
    def echo(connection):
        with connection:
            while said := connection.recv(8):
                connection.sendall(said)

    def listen():
        listener = socket.create_server(at)
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(at)
    while True:
        said, who = s.recvfrom(64)
        s.sendto(said, who)


class Gaps:
    def __init__(self, kind, file):
        self.kind, self.file, self.last = kind, file, time.time()
        threading.Thread(target=self.watch, daemon=True).start()

    def note(self, least):
        now = time.time()
        if now - self.last > least:
            self.file.write("%s %.3f %d\n" % (self.kind, now, 1000 * (now - self.last)))
        return now

    def answered(self):
        self.last = self.note(EVERY + 0.015)

    def watch(self):
        while True:
            time.sleep(1)
            self.note(max(1, 2 * EVERY))


def ask_datagrams(file):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(at)
    s.settimeout(EVERY)
    gaps, due = Gaps("udp", file), time.time()
    while True:
        try:
            if time.time() >= due:
                s.send(b"%08d" % 0)
                due = max(due + EVERY, time.time() - EVERY)
            s.recv(64)
            gaps.answered()
        except OSError:  # none came yet, or an error about one
            pass


def ask(path):
    ends = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ends.set())
    file = open(path, "w", 1)
    threading.Thread(target=ask_datagrams, args=(file,), daemon=True).start()
    c, n, until = None, 0, time.time() + 20
    while c is None:
        try:
            c = socket.create_connection(at, 20)
        except ConnectionRefusedError:  # nobody listens yet
            if time.time() > until:
                raise
            time.sleep(0.1)
    c.settimeout(120)
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    gaps = Gaps("tcp", file)
    while not ends.is_set():
        said, back = b"%08d" % n, b""
        c.sendall(said)
        while len(back) < 8:
            more = c.recv(8 - len(back))
            if not more:
                sys.exit("broken after %d" % n)
            back += more
        if back != said:
            sys.exit("%s came back for %s" % (back, said))
        gaps.answered()
        n += 1
        if n == 1:
            open(path + ".began", "w").close()
        time.sleep(EVERY)
    file.write("intact %d\n" % n)


serve() if what == "serve" else ask(sys.argv[4])
