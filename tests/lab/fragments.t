#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Datagrams larger than a frame pass a pair in fragments, both ways, before and after a takeover in which their flows live on;
# also those whose fragments come last first.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 11

# Sends back what it gets, for as long as this test runs.
echo_server() {
    "$lab" exec server python3 - <<'END' &
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("203.0.113.100", 7100))
while True:
    data, peer = s.recvfrom(65535)
    s.sendto(data, peer)
END
    server=$!
}

# From one socket, so all are of one flow: answers come when this side is told to go on.
echo_client() {
    "$lab" exec client python3 - "$work/first" "$work/go" >"$work/echoed" <<'END'
import os, random, socket, sys, time
draw = random.Random(7)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.bind(("10.0.0.100", 7101))
for part in (1, 2):
    whole = 0
    for size in (1472, 1473, 1600, 1900, 2100, 3000, 8000, 20000):
        data = draw.randbytes(size)
        s.sendto(data, ("203.0.113.100", 7100))
        try:
            whole += s.recv(65535) == data
        except TimeoutError:
            pass
    print(whole, flush=True)
    open(sys.argv[1], "w").close()
    while part == 1 and not os.path.exists(sys.argv[2]):
        time.sleep(0.05)
END
}

# Python: a datagram in fragments of 1,480 bytes at most, the last one first.
backwards='
import socket, struct, time

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

def checksum(data):
    total = sum(struct.unpack("!%dH" % ((len(data) + 1) // 2), data + bytes(len(data) % 2)))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

def send_backwards(number, source, to, data):
    ends = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
    udp = struct.pack("!HHHH", source[1], to[1], 8 + len(data), 0) + data
    udp = udp[:6] + struct.pack("!H", checksum(ends + struct.pack("!HH", 17, len(udp)) + udp) or 0xffff) + udp[8:]
    # A node waits 100 ms for the first one: whoever had no processor in between sends them again, as another datagram.
    for turn in range(100):
        began = time.monotonic()
        for at in reversed(range(0, len(udp), 1480)):
            part = udp[at:at + 1480]
            more = 0x2000 if at + len(part) < len(udp) else 0
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), (number + 256 * turn) % 65536, more | at // 8, 64, 17, 0) + ends
            raw.sendto(head + part, (to[0], 0))
        if time.monotonic() - began < 0.05:
            return
'

# Answers what it gets, in fragments that are sent last first.
backwards_server() {
    "$lab" exec server python3 - <<END &
$backwards
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("203.0.113.100", 7200))
number = 1
while True:
    data, peer = s.recvfrom(65535)
    send_backwards(number, ("203.0.113.100", 7200), peer, data)
    number += 1
END
    backwards_server=$!
}

# Of eight flows, each with a datagram of 4,000 bytes to PORT: how many come back whole.
backwards_client() { # PORT
    "$lab" exec client python3 - <<END
$backwards
import random
draw = random.Random(7)
whole = 0
for port in range($1 + 11, $1 + 19):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.bind(("10.0.0.100", port))
    data = draw.randbytes(4000)
    send_backwards(port, ("10.0.0.100", port), ("203.0.113.100", $1), data)
    try:
        whole += s.recv(65535) == data
    except TimeoutError:
        pass
print(whole)
END
}

pings() { # SPACE ADDRESS: answers of 5 to echoes of 3,000 bytes
    "$lab" exec "$1" ping -c 5 -i 0.2 -W 2 -s 3000 "$2" | sed -n 's/.* \([0-9]*\) received.*/\1/p'
}

ok "the pair is PROTECTED" "$lab" up || exit 1
echo_server
backwards_server
trap 'kill $server $backwards_server 2>/dev/null; cleanup' EXIT
listens server udp 7100 7200
is "echoes of 3,000 bytes, each answered" "$(pings client 203.0.113.100)" 5
echo_client &
client=$!
for ((i = 0; i < 600; i++)); do [ -e "$work/first" ] && break; sleep 0.05; done
is "datagrams of 1,472 to 20,000 bytes come back whole" "$(sed -n 1p "$work/echoed")" 8
is "datagrams whose fragments are sent last first arrive whole" "$(backwards_client 7100)" 8
is "and so do answers whose fragments are" "$(backwards_client 7200)" 8
ok "a takeover" drill kill
touch "$work/go"
wait $client
is "those of the same flow do so after it" "$(sed -n 2p "$work/echoed")" 8
is "and echoes" "$(pings client 203.0.113.100)" 5
is "digests equal" "$(drilled '[.runs[].digests_equal] | all')" true
is "no flow broken" "$(drilled '[.runs[].flows_broken] | add')" 0
ok "the pair is PROTECTED again" is_protected
