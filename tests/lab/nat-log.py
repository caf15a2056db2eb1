# SPDX-License-Identifier: Apache-2.0
"""
Judges what collectors kept of a NAT's log against what left the box.

    nat-log.py connect HOST PORT SECONDS THREADS    as a client: short connections; prints how many were whole
    nat-log.py kept raw|verbose <TEXT               KEPT of what nfdump -o raw, or tshark -V, says
    nat-log.py judge CAPTURE OUTSIDE MOST KEPT…     CAPTURE: pcap of the outside port; OUTSIDE: the NAT's address;
                                                    MOST: as many repeats are permitted

KEPT is a file of lines "KIND PROTO SOURCE SPORT TO_SOURCE TO_SPORT DESTINATION DPORT TIME NUMBER", with "-" for a number
that the collector did not keep. Repeats are equal lines: they are counted, and each mapping is to be there once without them.
"""
import collections, re, socket, struct, sys, threading, time


def connect(host, port, seconds, threads):
    whole, end, lock = [0], time.time() + seconds, threading.Lock()

    def one():
        while time.time() < end:
            try:
                with socket.create_connection((host, port), timeout=20) as s:
                    s.sendall(b"GET /0 HTTP/1.0\r\n\r\n")
                    data = b""
                    while True:
                        more = s.recv(65536)
                        if not more:
                            break
                        data += more
                if data.startswith(b"HTTP/1.1 200"):
                    with lock:
                        whole[0] += 1
            except OSError:
                pass
            # Some 300 connections a second of 8 threads: a collector's socket has 200 kB, and loses what finds it full.
            time.sleep(0.02)

    all_of_them = [threading.Thread(target=one) for _ in range(threads)]
    for t in all_of_them:
        t.start()
    for t in all_of_them:
        t.join()
    print(whole[0])


KINDS = {"4": "begin", "5": "end", "6": "begin", "7": "end"}
RAW = {"proto": "proto", "src addr": "source", "src port": "sport", "src xlt ip": "to", "src xlt port": "tport",
       "dst addr": "remote", "dst port": "rport", "nat event": "kind", "Event time": "when", "RecordCount": None}
VERBOSE = {"Protocol": "proto", "SrcAddr": "source", "SrcPort": "sport", "Post NAT Source IPv4 Address": "to",
           "Post NAPT Source Transport Port": "tport", "DstAddr": "remote", "DstPort": "rport", "Nat Event": "kind",
           "Observation Time Milliseconds": "when", "Flow Id": "number", "Flow": None}


def kept(how, lines):
    """Records that have a NAT event, as lines of KEPT."""
    names, record = (RAW, {}) if how == "raw" else (VERBOSE, {})

    def done():
        if "kind" in record:
            kind = re.search(r"\d+", record["kind"] if how == "raw" else record["kind"].rsplit("(", 1)[1]).group()
            proto = re.search(r"\d+", record["proto"].rsplit("(", 1)[-1]).group()
            when = record["when"].split()[0] if how == "raw" else record["when"].replace(" ", "_")
            print(KINDS[kind], proto, *(record[f] for f in ("source", "sport", "to", "tport", "remote", "rport")),
                  when, record.get("number", "-"))

    for line in lines:
        name, _, value = line.strip().partition("=" if how == "raw" else ":")
        name = name.strip()
        if name == "RecordCount" if how == "raw" else re.fullmatch(r"Flow \d+", name):
            done()
            record = {}
        elif name in names:
            record[names[name]] = value.strip()
    done()


def packets(path):
    """Time and frame of each packet of a pcap file; frames of Ethernet."""
    with open(path, "rb") as f:
        head = f.read(24)
        order = "<" if head[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        while True:
            h = f.read(16)
            if len(h) < 16:
                return
            have = struct.unpack(order + "IIII", h)[2]
            yield f.read(have)


def left(path, outside):
    """(protocol, port outside, remote, its port) of each TCP connection that left, with how many first numbers it had."""
    begun = collections.defaultdict(set)
    for frame in packets(path):
        if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        ip = 14 + (frame[14] & 15) * 4
        source, destination = (socket.inet_ntoa(frame[i:i + 4]) for i in (26, 30))
        sport, dport, sequence = struct.unpack(">HHI", frame[ip:ip + 8])
        if source == outside and frame[ip + 13] & 0x12 == 0x02:
            begun[6, sport, destination, dport].add(sequence)
    return begun


def judge(capture, outside, most, *kept):
    seen, repeats, wrong = {}, 0, []
    events = collections.defaultdict(list)
    for path in kept:
        for line in open(path):
            f = line.split()
            kind, proto, source, sport, to, tport, remote, rport, when, number = f
            key = number if number != "-" else line
            if key in seen:
                repeats += 1
                if seen[key] != f:
                    wrong.append("number %s is of two events: %s and %s" % (number, " ".join(seen[key]), line.strip()))
                continue
            seen[key] = f
            if proto == "6" and to == outside:
                events[int(proto), int(tport), remote, int(rport)].append((number if number != "-" else when, kind, source, sport))
    begun = left(capture, outside)
    for tuple_, numbers in begun.items():
        begins = [e for e in events.get(tuple_, ()) if e[1] == "begin"]
        if not begins:
            wrong.append("left and was never told: %s" % (tuple_,))
        elif len(begins) > len(numbers):
            wrong.append("told %u times, begun %u times: %s" % (len(begins), len(numbers), tuple_))
    for tuple_, all_ in events.items():
        if tuple_ not in begun:
            wrong.append("told and never left: %s %s" % (tuple_, all_))
        ends = sum(e[1] == "end" for e in all_)
        if not 0 <= len(all_) - 2 * ends <= 1:
            wrong.append("%u ends of %u begins: %s" % (ends, len(all_) - ends, tuple_))
    if repeats > int(most):
        wrong.append("%u repeats, %s at most" % (repeats, most))
    for w in wrong[:10]:
        print(w)
    print("mappings %u events %u repeats %u wrong %u" % (len(begun), len(seen), repeats, len(wrong)))
    return 1 if wrong or not begun else 0


if sys.argv[1] == "connect":
    connect(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
elif sys.argv[1] == "kept":
    kept(sys.argv[2], sys.stdin)
else:
    sys.exit(judge(*sys.argv[2:]))
