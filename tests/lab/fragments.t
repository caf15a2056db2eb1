#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Datagrams larger than a frame pass a pair in fragments, both ways, before and after a takeover in which their flows live on.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 9

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

pings() { # SPACE ADDRESS: answers of 5 to echoes of 3,000 bytes
    "$lab" exec "$1" ping -c 5 -i 0.2 -W 2 -s 3000 "$2" | sed -n 's/.* \([0-9]*\) received.*/\1/p'
}

ok "the pair is PROTECTED" "$lab" up || exit 1
echo_server
trap 'kill $server 2>/dev/null; cleanup' EXIT
is "echoes of 3,000 bytes, each answered" "$(pings client 203.0.113.100)" 5
echo_client &
client=$!
for ((i = 0; i < 600; i++)); do [ -e "$work/first" ] && break; sleep 0.05; done
is "datagrams of 1,472 to 20,000 bytes come back whole" "$(sed -n 1p "$work/echoed")" 8
ok "a takeover" drill kill
touch "$work/go"
wait $client
is "those of the same flow do so after it" "$(sed -n 2p "$work/echoed")" 8
is "and echoes" "$(pings client 203.0.113.100)" 5
is "digests equal" "$(drilled '[.runs[].digests_equal] | all')" true
is "no flow broken" "$(drilled '[.runs[].flows_broken] | add')" 0
ok "the pair is PROTECTED again" is_protected
