#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Links of 9,000 bytes across a pair: pings, downloads and datagrams through kills, for which nothing is cut; what is larger
# than the chain's MTU on one side is told.
. "$(dirname "$0")/lib.sh"
need_lab
plan 22

export LAB_FRAMES=9216
export LAB_NODE="mbufs: 32768, memory_mb: 768, realtime: true"
export LAB_RECORD="dir: $work/record"
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, mtu: 9000 }, { name: outside, side: outside, address: 203.0.113.1/24, mtu: 9000 }"

jumbo() { # SPACE MTU DEV…
    local dev
    for dev in "${@:3}"; do ip -n "$LAB_PREFIX$1" link set "$dev" mtu "$2" || exit 1; done
}
in_a() { "$lab" exec a "$@"; }
warnings() { in_a timeout 900 "$UNDERSTUDY" check -c "$pair" 2>&1 >/dev/null | sed 's/.*node a: //'; }
pings() { "$lab" exec "${3:-client}" ping -n -M "$2" -c 4 -i 0.2 -W 2 -s "$1" "${4:-203.0.113.100}" | sed -n 's/.* \([0-9]*\) received.*/\1/p'; }
counters() { "$UNDERSTUDY" show l3 -c "$pair" -o json 2>/dev/null | jq "[.. | .$1? // empty] | add"; }

ok "a network, no nodes" "$lab" up --no-nodes || exit 1
is "ports of 1,500 bytes are warned of" "$(warnings)" "a-in: MTU 1500: packets of up to 9000 bytes are let pass and dropped here, run: ip link set a-in mtu 9000
a-out: MTU 1500: packets of up to 9000 bytes are let pass and dropped here, run: ip link set a-out mtu 9000"
for s in a b; do jumbo $s 9000 $s-in $s-out; done
jumbo fabric 9000 client server a-in a-out b-in b-out br-in br-out
jumbo client 9000 eth0
jumbo server 9000 eth0
is "nothing is amiss then" "$(warnings)" ""
is "but rings whose places are too small are" "$(sed -i.whole 's/blocksz=[0-9]*,framesz=9280/blocksz=65536,framesz=2048/g' "$pair"; warnings; mv "$pair.whole" "$pair")" \
    "a-in: framesz=2048: frames above 1982 bytes are cut off, expected framesz=9088 or more
a-out: framesz=2048: frames above 1982 bytes are cut off, expected framesz=9088 or more"
is "and blocks with a rest, in which the driver would lose places" "$(sed -i.whole 's/blocksz=[0-9]*,/blocksz=65536,/g' "$pair"; warnings; mv "$pair.whole" "$pair")" \
    "a-in: blocksz=65536 is no multiple of framesz=9280: frames are lost, expected blocksz=593920
a-out: blocksz=65536 is no multiple of framesz=9280: frames are lost, expected blocksz=593920"
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected
is "echoes of 8,972 bytes that must not be fragmented are answered" "$(pings 8972 do)" 4
is "by the chain, too" "$(pings 8972 do client 10.0.0.1)" 4
is "datagrams of 20,000 bytes come in fragments" "$(pings 20000 dont)" 4
web_files "$work" 4000 300000 3000000 9000000
ok "a web server behind the chain" web_serve "$work"
web_fetch "$work" "$work/out" 80 20 &
fetching=$!
"$lab" exec client ping -n -M do -i 0.01 -c 1000 -s 8972 -W 1 203.0.113.100 >"$work/ping" 2>&1 &
pinging=$!
sleep 0.7
ok "two kills in a row" drill kill --repeat 2
wait $fetching
is "all downloads intact" "$(web_count "$work" intact)" 80
kill -INT $pinging 2>/dev/null
wait $pinging
is "digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
ok "large packets went through both takeovers" test "$(sed -n 's/.* \([0-9]*\) received.*/\1/p' "$work/ping")" -gt 100
is "no frame was refused or cut" "$(field a frames_refused) $(field b frames_refused) $(counters l3_too_big)" "0 0 0"
ok "a trace has a large packet's length" bash -c "'$UNDERSTUDY' trace -c '$pair' --packets 4 --seconds 10 -o json >'$work/trace' & sleep 1
    '$lab' exec client ping -n -M do -c 4 -i 0.2 -s 8972 203.0.113.100 >/dev/null; wait; jq -e '[.. | .bytes? // empty] | max == 9014' '$work/trace'"
ok "the pair is PROTECTED again" is_protected
ok "the recording replays to the same state" timeout 900 "$UNDERSTUDY" replay -c "$pair" --log "$work/record/a" -o json

for s in client a-in b-in br-in; do jumbo fabric 9400 $s; done
for s in a b; do jumbo $s 9400 $s-in; done
jumbo client 9400 eth0
is "MTUs beyond the buffers are warned of" "$(warnings)" "a-in: MTU 9400: frames above 9216 bytes are dropped, run: ip link set a-in mtu 9000"
is "and what is larger than they are is told" "$("$lab" exec client ping -n -M do -c 1 -s 9300 -W 2 203.0.113.100 | grep -o 'Frag needed and DF set (mtu = [0-9]*')" \
    "Frag needed and DF set (mtu = 9000"
is "an MTU that is too large for the frames is refused" \
    "$(sed 's/frame_max: 9216/frame_max: 9000/' "$pair" >"$LAB_DIR/less.yaml"; "$UNDERSTUDY" check -c "$LAB_DIR/less.yaml" 2>&1 | sed 's/.*yaml:[0-9]*: //')" \
    "interface inside mtu is 9000, expected 8986 or less with frame_max 9000"
rm "$LAB_DIR/less.yaml"
