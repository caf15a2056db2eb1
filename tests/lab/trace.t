#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `trace` tells what each NF did to packets: translated, dropped with the reason that is counted, answered; under load, and
# with filters that are none. What it writes as pcapng has the bytes that client and server saw on their own interfaces.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
command -v tshark >/dev/null && command -v tcpdump >/dev/null || skip_all "tshark or tcpdump is not installed"
plan 42

trace() { timeout 30 "$UNDERSTUDY" trace -c "$pair" "$@"; }
traced() { jq -r "$1" "$work/traced"; }

# Runs a command in a namespace while a trace with the given options is on.
during() { # SPACE COMMAND -- OPTIONS
    local space=$1 command=$2
    shift 3
    trace -o json "$@" >"$work/traced" &
    local tracing=$!
    soon is_tracing $tracing
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
place="$LAB_DIR/firewall.rules:$(grep -n '^default deny in' "$LAB_DIR/firewall.rules" | cut -d: -f1), default in"
is "and which line of the rules denied it" "$(traced '.packets[0].steps[-1] | .nf + " " + .drop + " " + .why')" "firewall denied $place"
before=$(dropped "$reason")
"$lab" exec server bash -c "$udp"
counted() { [ $(($(dropped "$reason") - before)) = 1 ]; }
ok "for the reason that is counted" soon counted
during client "ping -c 1 -W 2 10.0.0.1" -- --packets 1 icmp
is "an echo to the chain is answered by it" "$(traced '.packets[0] | .outcome + " " + .out')" "answered inside"
asks="ip neigh flush dev eth0; ping -c 1 -W 2 10.0.0.1"
during client "$asks" -- --packets 1 arp
is "ARP is taken in by L3, and is no drop" \
    "$(traced '.packets[0] | .outcome + " " + (.steps | length | tostring) + " " + .steps[0].nf + " " + .steps[0].taken_in + " " + (.steps[0].drop | tostring)')" \
    "taken in 1 l3 l3_arp null"
lane() { "$UNDERSTUDY" status -c "$pair" -n a -o json | jq "[.lanes[].$1] | add"; }
taken=$(dropped l3_arp) lost=$(lane dropped)
for ((i = 0; i < 20; i++)); do "$lab" exec client bash -c "$asks" >/dev/null; done
all_taken() { [ $(($(dropped l3_arp) - taken)) -ge 20 ]; }
ok "it is counted as such" soon all_taken
ok "and not as dropped" test $(($(lane dropped) - lost)) -lt 20

# ── pcapng ───────────────────────────────────────────────────────────────────────────────────────

file=$work/trace.pcapng
# As during, to $file; client and server capture meanwhile.
written() { # SPACE COMMAND -- OPTIONS
    local space=$1 command=$2 s pids=()
    shift 3
    for s in client server; do
        "$lab" exec $s tcpdump --immediate-mode -U -i eth0 -w "$work/$s.pcap" >/dev/null 2>"$work/$s.err" &
        pids+=($!)
    done
    trace -w "$file" "$@" 2>"$work/err" &
    local tracing=$!
    sleep 1
    "$lab" exec "$space" bash -c "$command" >/dev/null 2>&1
    wait $tracing
    code=$?
    sleep 0.3
    kill -INT $(pgrep -f "tcpdump --immediate-mode -U -i eth0 -w $work/")
    wait "${pids[@]}"
}
rows() { tshark -r "$file" -T fields -E separator='|' "$@" 2>/dev/null; }
bytes() { tcpdump -nn -t -xx -r "$1" "$2" 2>/dev/null; } # CAPTURE FILTER

written client "ping -c 3 -i 0.1 -W 2 203.0.113.100" -- --packets 6 icmp
is "echoes and their answers are written, each as it came in and as it was let out" \
    "$code $(rows -e frame.interface_name -e frame.packet_flags_direction | sort | uniq -c | sed 's/0x0*//' | xargs)" \
    "0 3 inside|1 3 inside|2 3 outside|1 3 outside|2"
is "in order of time, in nanoseconds" "$(capinfos -o "$file" | sed -n 's/^Strict time order: *//p') $(capinfos "$file" | grep -c 'nanoseconds (9)')" "True 3"
is "with an interface for each port" "$(capinfos "$file" | sed -n 's/ *Name = //p; s/ *Description = //p' | xargs)" \
    "inside port inside of node a outside port outside of node a"
is "what came in by inside is what the client sent" "$(bytes "$file" 'src 10.0.0.100')" "$(bytes "$work/client.pcap" 'icmp and src 10.0.0.100')"
is "what left by outside is what the server received" "$(bytes "$file" 'src 203.0.113.1')" "$(bytes "$work/server.pcap" 'icmp and src 203.0.113.1')"
is "what left by inside is what the client received" "$(bytes "$file" 'dst 10.0.0.100')" "$(bytes "$work/client.pcap" 'icmp and dst 10.0.0.100')"
ok "which is something" test "$(bytes "$file" 'dst 10.0.0.100' | wc -l)" -ge 18
is "a comment says what each NF did, and what became of the packet" "$(rows -e frame.comment | head -n 3 | sed 's/ (lane.*//')" \
    "l3; nat 203.0.113.1 > 203.0.113.100; firewall; monitor; l3; verdict: passed, out by outside
frame 1 as the chain let it out
l3; monitor; firewall; nat 203.0.113.100 > 10.0.0.100; l3; verdict: passed, out by inside"

written server "$udp" -- --packets 1 udp and dst port 40404
is "a packet that was dropped is there once, with NF and reason" "$(rows -e udp.dstport -e frame.comment | sed 's/ (lane.*//')" \
    "40404|l3; monitor; verdict: dropped by firewall, $reason by $place"
written client "ping -c 1 -W 2 10.0.0.1" -- --packets 1 icmp
is "an echo to the chain and the answer" "$(rows -e frame.interface_name -e ip.src -e ip.dst -e frame.comment | sed 's/ (lane.*//')" \
    "inside|10.0.0.100|10.0.0.1|l3; l3 10.0.0.1 > 10.0.0.100; verdict: answered, out by inside
inside|10.0.0.1|10.0.0.100|frame 1 as the chain let it out"
written client "$asks" -- --packets 1 arp
is "ARP, which goes no further" "$(rows -e arp.opcode -e frame.comment | sed 's/ (lane.*//')" "1|verdict: taken in by l3, l3_arp"
(sleep 1; "$lab" exec client bash -c "$asks") >/dev/null &
trace --packets 1 arp >"$work/out"
wait $!
is "so for people" "$(sed -n '2,$p' "$work/out")" "    l3             takes it in: l3_arp"
written client "ping -f -c 100 -s 1472 203.0.113.100" -- --packets 100 icmp
is "of 100 large packets each is there as far as the answer has room" \
    "$(rows -Y 'frame.cap_len > 1300' -e frame.len | sort | uniq -c | xargs)" "200 1514"
is "to stdout" "$("$lab" exec client ping -q -i 0.05 -w 4 203.0.113.100 >/dev/null & trace -w - --packets 2 icmp | tshark -r - -T fields -e frame.number 2>/dev/null | xargs; wait)" "1 2 3 4"

trace -w "$file" --seconds 0.3 --packets 3 tcp port 9 2>"$work/err"
is "without packets the file has none, and that is no error" "$? $(capinfos -c "$file" | sed -n 's/^Number of packets: *//p') $(cat "$work/err")" \
    "0 0 0 of 3 packets came within 0.3 s"
refuses() { # CODE LINE OPTION…
    local want=$1 line=$2 got
    shift 2
    trace --seconds 0.2 "$@" >"$work/out" 2>&1
    got=$?
    [ $got = "$want" ] && grep -q "$line" "$work/out" || { echo "exit $got"; cat "$work/out"; return 1; }
}
echo "no capture" >"$work/notes"
ok "a file of other use is not replaced" refuses 64 "expected a pcapng file to replace" -w "$work/notes"
is "and stays" "$(cat "$work/notes")" "no capture"
ok "one answer, not two" refuses 64 "expected one of them" -w "$work/new" -o json
ok "a directory that is not there" refuses 65 "No such file or directory" -w "$work/none/new"
ok "a node that is not primary" refuses 1 "node b: it is not primary" -w "$work/new" -n b
ok "leaves no file" test ! -e "$work/new"

is "without packets it ends in time" "$(trace --seconds 0.5 --packets 3 tcp port 9)" "0 of 3 packets came within 0.5 s"
trace -n b >"$work/out" 2>&1
is "a standby has nothing to trace" "$(cat "$work/out")" \
    "understudy: node b: it is not primary, no packet passes its chain"
is "a filter that is none is refused where it is typed" \
    "$(trace nonsense 2>&1 | grep -c '^understudy trace: filter .nonsense.: ')" 1
# A jump backwards, one beyond the end, no return, an unknown instruction, and what is no program at all.
refused=0
for filter in '[[5,0,0,4294967295],[6,0,0,1]]' '[[21,200,200,1],[6,0,0,1]]' '[[0,0,0,1]]' '[[65535,0,0,0]]' '[[1]]' '[]' '"x"' '[[6,0,0,-1]]'; do
    say "{\"cmd\": \"trace\", \"packets\": 1, \"seconds\": 0.1, \"filter\": $filter}" | grep -q '"invalid"' && refused=$((refused + 1))
done
is "programs that are none are refused by the node" $refused 8

missed_from_now
"$lab" exec client timeout 90 ping -f -c 20000 -i 0.0005 203.0.113.100 >"$work/flood" &
flood=$!
sleep 1
for ((i = 0; i < 5; i++)); do trace -o json --packets 100 icmp | jq '.packets | length'; done >"$work/counts"
wait $flood
is "under load each trace has its 100 packets" "$(sort "$work/counts" | uniq -c | tr -s ' ')" " 5 100"
ok "and no echo is lost" none_lost $((20000 - $(sed -n 's/.* \([0-9]*\) received.*/\1/p' "$work/flood")))
is "both nodes have the same state" "$("$UNDERSTUDY" verify -c "$pair" -o json | jq .equal)" true
