#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two hosts whose links carry 9,000 bytes, across a chain whose do not: both are told, and what they send arrives.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 9

jumbo() { # SPACE DEV…
    local dev
    for dev in "${@:2}"; do ip -n "$LAB_PREFIX$1" link set "$dev" mtu 9000 || exit 1; done
}

counted() { "$UNDERSTUDY" show l3 -c "$pair" -o json 2>/dev/null | jq '[.. | .l3_too_big? // empty] | add'; }
told_mtu() { ip -n "$LAB_PREFIX$1" route get "$2" | sed -n 's/.* mtu \([0-9]*\).*/\1/p'; }

# 2 MiB to the server, which sends them back.
echoed() {
    "$lab" exec server timeout 60 python3 - <<'END' &
import socket
s = socket.create_server(("203.0.113.100", 7200))
c, _ = s.accept()
data = b""
while len(data) < 1 << 21:
    data += c.recv(65536)
c.sendall(data)
c.close()
END
    local server=$!
    listens server tcp 7200
    "$lab" exec client timeout 60 python3 - <<'END'
import random, socket
data = random.Random(5).randbytes(1 << 21)
s = socket.create_connection(("203.0.113.100", 7200))
s.sendall(data)
back = b""
while True:
    part = s.recv(65536)
    if not part:
        break
    back += part
print(back == data, s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
END
    wait $server
}

ok "the pair is PROTECTED" "$lab" up || exit 1
jumbo client eth0
jumbo server eth0
jumbo fabric client server a-in a-out b-in b-out br-in br-out
jumbo a a-in a-out
jumbo b b-in b-out
is "2 MiB arrive at the server and come back, in segments that fit" "$(echoed)" "True 1448"
is "the client knows the way's MTU" "$(told_mtu client 203.0.113.100)" 1500
is "and the server the way's to the chain's address" "$(told_mtu server 203.0.113.1)" 1500
ok "what was too big is counted" [ "$(counted)" -ge 2 ]
ok "a takeover" drill kill
is "digests equal" "$(drilled '[.runs[].digests_equal] | all')" true
for s in client server; do ip -n "$LAB_PREFIX$s" route flush cache; done
is "another 2 MiB, by hosts that have forgotten it" "$(echoed)" "True 1448"
ok "the pair is PROTECTED again" is_protected
