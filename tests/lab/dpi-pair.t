#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A running pair with dpi behind the NAT: by the log, by deltas, and by the log with a warm standby. Primaries are killed with downloads under
# way and resynced under load; every byte arrives, the states are equal, and the flows are HTTP on the node that has taken over.
. "$(dirname "$0")/lib.sh"
need_lab
plan 26

web_files "$work" 6 4000 300000 2000000
export LAB_MODULES=${BUILD:-build}/lib/understudy/dpi.so
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 4000 } }, { dpi: { heap_mb: 4, max_flows: 4000 } }, { monitor: { max_flows: 4000 }"

refusal() { ! us apply >"$work/refusal" 2>&1 && grep -q -- "$1" "$work/refusal" || { cat "$work/refusal"; return 1; }; }

# The heap goes on where it lies; a change that would move it is refused, and the pair goes on as it was.
change() {
    sed -i 's/heap_mb: 4,/heap_mb: 4, packets: 8,/' "$pair"
    ok "apply: another number of packets" us apply
    ok "apply: the pair is PROTECTED" is_protected
    ok "apply: both states are the same" us verify
    sed -i 's/monitor: { max_flows: 4000/monitor: { max_flows: 90000/' "$pair"
    ok "apply: a change that would move the heap is refused" refusal "dpi: its heap would lie at another address"
    sed -i 's/max_flows: 90000/max_flows: 4000/' "$pair"
    ok "apply: the pair is PROTECTED all the same" is_protected
}

policy() { # WORD PROTECT LANES
    export LAB_PROTECT=$2 LAB_LANES=$3
    ok "$1: the pair is PROTECTED" "$lab" up || exit 1
    web_serve "$work" || { diag "no web server"; exit 1; }
    strike "$1" 30 10 kill --repeat 2
    ok "$1: both states are the same" us verify
    us show dpi -o json >"$work/shown" 2>/dev/null
    ok "$1: flows of HTTP are known" grep -q '"protocol": *"HTTP"' "$work/shown"
    [ "$1" != delta ] || change
    "$lab" down
}

policy "log" "mode: log" 2
policy "delta" "mode: delta" 1
policy "log, warm" "mode: log, standby: warm" 1
