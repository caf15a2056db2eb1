#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A standby dies and comes back while the primary has a million flows and half of the load that the ports of this lab carry: how long the pair is
# not protected, and how many datagrams are lost meanwhile, is told beside the same time without a resync, not judged; so is the time of the first
# resync, whose tables are empty. States are equal. RESYNC_FLOWS, RESYNC_RATE: others.
. "$(dirname "$0")/../lib.sh"
need_lab
plan 7
flows=${RESYNC_FLOWS:-1000000} rate=${RESYNC_RATE:-40000}
export LAB_NFS="firewall: { rules: firewall.rules, max_flows: $((flows + 100000)) } }, { monitor: { max_flows: $((flows + 100000)) }"
export LAB_PROTECT="mode: log"
trap 'kill ${spray:-} ${sink:-} 2>/dev/null; cleanup' EXIT

# Datagrams that the client has sent by its interface, and that have reached the server's socket, which nobody reads.
sends() { ip netns exec "${LAB_PREFIX}client" cat /sys/class/net/eth0/statistics/tx_packets; }
gets() { ip netns exec "${LAB_PREFIX}server" awk '$1 == "Udp:" && $2 ~ /[0-9]/ { print $2 + $4 }' /proc/net/snmp; }
# How many of those that were sent since `from_now` have not come; the last ones are on their way.
from_now() { sent=$(sends) came=$(gets) began=$(date +%s.%N); }
lost() {
    local s=$(($(sends) - sent)) r=$(($(gets) - came))
    awk -v s=$s -v r=$r -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%d of %d in %.1f s, %.0f a second: %.2f %%", s - r, s, b - a, s / (b - a), 100 * (s - r) / s }'
}
has_all() { us show monitor --count -o json 2>/dev/null | jq -e ".count >= $flows"; }

mkdir -p "$work"
ok "a program that sends datagrams of many flows" gcc -std=gnu11 -O2 -Wall -Wextra -Werror -o "$work/spray" "$root/tests/lab/spray.c"
ok "the pair is PROTECTED" "$lab" up || exit 1
diag "with empty tables: $(field a resync.outcome)"
ip netns exec "${LAB_PREFIX}server" python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("203.0.113.100", 7000)); time.sleep(100000)' 9>&- &
sink=$!
ip netns exec "${LAB_PREFIX}client" "$work/spray" 203.0.113.100 7000 "$flows" "$rate" 9>&- &
spray=$!
ok "the primary has all flows" soon has_all
from_now
sleep 5
diag "without a resync lost: $(lost)"
kill -KILL "$(field b pid)"
ok "the primary is alone" await a state SOLO
from_now
"$lab" start b
begun=$(date +%s.%N)
ok "the pair is PROTECTED again" is_protected
diag "PROTECTED $(awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }') s after its standby was started, $(field a resync.outcome); snapshots of $(field a resync.snapshot_bytes) bytes; lost: $(lost)"
kill $spray
wait $spray
ok "states are equal" equal
ok "the standby takes over" us promote
