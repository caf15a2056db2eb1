# SPDX-License-Identifier: Apache-2.0
"""
Numbered datagrams both ways through a chain, and what became of each:

    numbered.py serve ADDRESS PORT FLOWS RATE FILE     answers each flow that comes with datagrams of its own
    numbered.py ask ADDRESS PORT FLOWS RATE FILE       begins them

Each sends RATE datagrams a second, of all flows in turn, until SIGUSR1; SIGTERM ends it. FILE gets a JSON object: "sent",
how many of each flow, and "got": of each flow the number of different ones, of those that came twice, after a later one,
and with other bytes than they were sent with. Sizes are from 40 to 1239 bytes.
"""
import json, random, select, signal, socket, struct, sys, time

role, at, flows, rate, file = sys.argv[1], (sys.argv[2], int(sys.argv[3])), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
sending, running = True, True
noise = random.Random(1).randbytes(4096)


def stop_sending(*_):
    global sending
    sending = False


def stop(*_):
    global running
    running = False


def datagram(way, flow, n):
    seed = (n * 7919 + flow * 31 + way * 17) % 2048
    return struct.pack("!BIQ", way, flow, n) + noise[seed : seed + 27 + n * 37 % 1200]


class Got:
    def __init__(self):
        self.seen, self.highest, self.twice, self.reordered, self.altered = set(), 0, 0, 0, 0

    def take(self, way, flow, n, said):
        self.altered += said != datagram(way, flow, n)
        self.twice += n in self.seen
        self.reordered += n < self.highest and n not in self.seen
        self.seen.add(n)
        self.highest = max(self.highest, n)


signal.signal(signal.SIGUSR1, stop_sending)
signal.signal(signal.SIGTERM, stop)
way = 0 if role == "ask" else 1
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(flows if role == "ask" else 1)]
for s in sockets:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.setblocking(False)
    if role == "ask":
        s.connect(at)
    else:
        s.bind(at)
where = {flow: (sockets[flow], None) for flow in range(flows)} if role == "ask" else {}
sent, got = [0] * flows, [Got() for _ in range(flows)]
poll = select.poll()
for s in sockets:
    poll.register(s, select.POLLIN)
by_fd = {s.fileno(): s for s in sockets}
turn, begun, count = 0, None, 0
while running:
    for fd, _ in poll.poll(1):
        for _ in range(200):
            try:
                said, who = by_fd[fd].recvfrom(2048)
            except OSError:
                break
            their, flow, n = struct.unpack_from("!BIQ", said)
            got[flow].take(their, flow, n, said)
            if role == "serve" and flow not in where:
                where[flow] = (sockets[0], who)
    if not where or not sending:
        continue
    begun = begun or time.monotonic()
    while count < (time.monotonic() - begun) * rate and running:
        flow = list(where)[turn % len(where)]
        s, to = where[flow]
        turn += 1
        count += 1
        try:
            said = datagram(way, flow, sent[flow] + 1)
            s.sendto(said, to) if to else s.send(said)
            sent[flow] += 1
        except OSError:
            pass
        if turn % 16 == 0:
            break
with open(file, "w") as out:
    json.dump({"sent": sent, "got": [[len(g.seen), g.twice, g.reordered, g.altered] for g in got]}, out)
