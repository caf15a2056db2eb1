#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ports of the af_xdp driver: a pair on them is PROTECTED, carries downloads over a kill, and a node that is started again finds the
# program that the one before left on its interfaces. AFXDP_ROUNDS=N: one TCP flow of iperf3 over af_packet and over af_xdp in turn, N times, for comparison.
. "$(dirname "$0")/lib.sh"
need_lab
need_root
python3 -c 'import socket; socket.socket(44, socket.SOCK_RAW)' 2>/dev/null || skip_all "this kernel has no AF_XDP"
ls "$(pkg-config --variable=libdir libdpdk 2>/dev/null || echo /usr/lib/x86_64-linux-gnu)"/dpdk/pmds-*/librte_net_af_xdp.so >/dev/null 2>&1 ||
    skip_all "DPDK's af_xdp driver is not installed"
command -v iperf3 >/dev/null || skip_all "iperf3 is not installed"
rounds=${AFXDP_ROUNDS:-0}
plan 17
export LAB_DRIVER=af_xdp

program() { "$lab" exec "$1" ip link show "$1-in" | grep -q 'xdp'; }

ok "a pair on af_xdp ports is PROTECTED" "$lab" up || exit 1
ok "the kernel runs a program for its interfaces" program a
caps() { grep -h '^Cap\(Prm\|Eff\)' /proc/"$1"/task/*/status | sort -u | awk '{ print $2 }' | sort -u; }
is "no thread of it has a capability" "$(caps "$(field a pid)")" 0000000000000000
ok "check has nothing to say of them" sh -c "! '$lab' exec a '$UNDERSTUDY' check -c '$pair' 2>&1 | grep -i 'warning.*a-\(in\|out\)'"
web_files "$work" 100000 1000000
WEB_RATE=400000 ok "a web server behind the chain" web_serve "$work"
web_fetch "$work" "$work/out" 40 8 &
under_way
ok "kill" drill kill
wait
is "told by the guardian" "$(drilled '.runs[0].reason')" "the death notice"
is "all downloads intact" "$(web_count "$work" intact)" 40
is "digests equal" "$(drilled '.runs[0].digests_equal')" true
ok "the node that was killed is started on the program that it left" is_protected
ok "and nothing is said of it" sh -c "! grep -E 'xdp_|libxdp|libbpf' '$LAB_DIR/a.log' '$LAB_DIR/b.log'"
ok "planned, too" drill planned
# Buffers that the kernel does not know were lost one by one: a fifth of a flow's frames, until none came in any more.
"$lab" exec server iperf3 -s -1 -D >/dev/null
listens server tcp 5201
ok "a TCP flow of 5 s goes on to its end" \
    sh -c "'$lab' exec client timeout 60 iperf3 -c 203.0.113.100 -t 5 -J >'$work/flow' && jq -e '.intervals[-1].sum.bytes > 0' '$work/flow'"
diag "$(jq -r '"\(.end.sum_received.bits_per_second / 1e6 | floor) Mbit/s, \(.end.sum_sent.retransmits) sent again"' "$work/flow")"
primary=$(us status -o json | jq -r '[.. | objects | select(.role? == "primary") | .node] | first')
ok "less than a twentieth of its frames is missed" \
    jq -e '([.ports[].rx_missed] | add) < .lanes[0].received / 20' <(us status -n "$primary" -o json)
pid=$(field a pid)
kill "$pid"
gone() { ! kill -0 "$pid" 2>/dev/null; }
soon gone
ok "a node that ends in order says nothing of it either" sh -c "! grep -E 'xdp_|libxdp|libbpf' '$LAB_DIR/a.log'"
ok "what it left can be taken off" "$lab" exec a ip link set a-in xdp off
sed 's/iface=a-in/iface=nonesuch/' "$pair" >"$LAB_DIR/none.yaml"
"$lab" exec a timeout 60 "$UNDERSTUDY" run -c "$LAB_DIR/none.yaml" -n a >"$work/none" 2>&1
ok "an interface that is not there is refused with the reason" \
    grep -q "port inside: 'net_af_xdp0,iface=nonesuch' cannot be opened: No such device" "$work/none"
diag "$(tail -n 1 "$work/none")"
rm -f "$LAB_DIR/none.yaml"

# ---- beside af_packet ---------------------------------------------------------------------------------------------

flow() { # DRIVER: megabits a second of one TCP flow over a PROTECTED pair
    "$lab" down 2>/dev/null
    LAB_DRIVER=$1 "$lab" up >/dev/null 2>&1 || return 1
    "$lab" exec server iperf3 -s -1 -D >/dev/null
    listens server tcp 5201
    "$lab" exec client timeout 30 iperf3 -c 203.0.113.100 -t 8 -J | jq '.end.sum_received.bits_per_second / 1e6 | floor'
}
for ((round = 0; round < rounds; round++)); do
    diag "one TCP flow, Mbit/s: af_packet $(flow af_packet), af_xdp $(flow af_xdp)"
done
