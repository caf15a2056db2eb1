#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `trace` tells what each NF did to packets: translated, dropped with the reason that is counted, answered; under load, and
# with filters that are none.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 17

trace() { timeout 30 "$UNDERSTUDY" trace -c "$pair" "$@"; }
traced() { jq -r "$1" "$work/traced"; }

# Runs a command in a namespace while a trace with the given options is on.
during() { # SPACE COMMAND -- OPTIONS
    local space=$1 command=$2
    shift 3
    trace -o json "$@" >"$work/traced" &
    local tracing=$!
    sleep 0.5
    "$lab" exec "$space" bash -c "$command" >/dev/null 2>&1
    wait $tracing
}

# One request to the node's socket, as it is.
say() { python3 - "$LAB_DIR/a.sock" "$1" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
print(s.makefile().readline())
END
}

ok "the pair is PROTECTED" "$lab" up || exit 1
during client "ping -c 1 -W 2 203.0.113.100" -- --packets 2 icmp
is "an echo and its answer" "$(traced '.packets | length')" 2
is "the echo passes the NFs in their order" "$(traced '[.packets[0].steps[].nf] | join(" ")')" "l3 nat firewall monitor l3"
is "the translation is in its step" "$(traced '.packets[0] | .source + " " + .steps[0].source + " " + .steps[1].source')" \
    "10.0.0.100 10.0.0.100 203.0.113.1"
is "the answer passes them the other way" "$(traced '[.packets[1].steps[].nf] | join(" ")')" "l3 monitor firewall nat l3"
is "and is translated back" "$(traced '.packets[1] | .destination + " " + .steps[3].destination')" "203.0.113.1 10.0.0.100"
is "both left" "$(traced '[.packets[] | .outcome + " " + .out] | join(", ")')" "passed outside, passed inside"

dropped() { "$UNDERSTUDY" status -c "$pair" -o json | jq "[.nfs[].$1 // 0] | add"; }
udp="python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes(9), (\"203.0.113.1\", 40404))'"
during server "$udp" -- --packets 1 udp and dst port 40404
reason=$(traced '.packets[0].steps[-1].drop')
is "a datagram that nobody asked for is dropped, and nothing follows" \
    "$(traced '.packets[0] | .outcome + " " + ([.steps[] | select(.drop)] | length | tostring) + " " + .destination')" \
    "dropped 1 203.0.113.1:40404"
before=$(dropped "$reason")
"$lab" exec server bash -c "$udp"
sleep 0.3
is "for the reason that is counted" "$(($(dropped "$reason") - before))" 1
during client "ping -c 1 -W 2 10.0.0.1" -- --packets 1 icmp
is "an echo to the chain is answered by it" "$(traced '.packets[0] | .outcome + " " + .out')" "answered inside"

is "without packets it ends in time" "$(trace --seconds 0.5 --packets 3 tcp port 9)" "0 of 3 packets came within 0.5 s"
trace -n b >"$work/out" 2>&1
is "a standby has nothing to trace" "$(cat "$work/out")" \
    "understudy: node b: node b is not primary: no packet passes its chain"
is "a filter that is none is refused where it is typed" \
    "$(trace nonsense 2>&1 | grep -c '^understudy trace: filter .nonsense.: ')" 1
# A jump backwards, one beyond the end, no return, an unknown instruction, and what is no program at all.
refused=0
for filter in '[[5,0,0,4294967295],[6,0,0,1]]' '[[21,200,200,1],[6,0,0,1]]' '[[0,0,0,1]]' '[[65535,0,0,0]]' '[[1]]' '[]' '"x"' '[[6,0,0,-1]]'; do
    say "{\"cmd\": \"trace\", \"packets\": 1, \"seconds\": 0.1, \"filter\": $filter}" | grep -q '"invalid"' && refused=$((refused + 1))
done
is "programs that are none are refused by the node" $refused 8

"$lab" exec client timeout 20 ping -f -c 20000 -i 0.0005 203.0.113.100 >"$work/flood" &
flood=$!
sleep 1
for ((i = 0; i < 5; i++)); do trace -o json --packets 100 icmp | jq '.packets | length'; done >"$work/counts"
wait $flood
is "under load each trace has its 100 packets" "$(sort "$work/counts" | uniq -c | tr -s ' ')" " 5 100"
is "and no echo is lost" "$(sed -n 's/.* \([0-9]*\) received.*/\1/p' "$work/flood")" 20000
is "both nodes have the same state" "$("$UNDERSTUDY" verify -c "$pair" -o json | jq .equal)" true
