#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A running pair with dpi behind the NAT: by the log, by deltas, and by the log with a warm standby. Primaries are killed with downloads under
# way and resynced under load; every byte arrives, the states are equal, and the flows are HTTP on the node that has taken over.
. "$(dirname "$0")/lib.sh"
need_lab
plan 21

web_files "$work" 6 4000 300000 2000000
export LAB_MODULES=${BUILD:-build}/lib/understudy/dpi.so
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 4000 } }, { dpi: { heap_mb: 4, max_flows: 4000 } }, { monitor: { max_flows: 4000 }"

policy() { # WORD PROTECT LANES
    export LAB_PROTECT=$2 LAB_LANES=$3
    ok "$1: the pair is PROTECTED" "$lab" up || exit 1
    web_serve "$work" || { diag "no web server"; exit 1; }
    web_fetch "$work" "$work/out" 30 10 &
    sleep 0.7
    ok "$1: killed twice" drill kill --repeat 2
    wait $!
    is "$1: all downloads intact" "$(web_count "$work" intact)" 30
    is "$1: digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
    ok "$1: the pair is PROTECTED again" is_protected
    ok "$1: both states are the same" us verify
    us show dpi -o json >"$work/shown" 2>/dev/null
    ok "$1: flows of HTTP are known" grep -q '"protocol": *"HTTP"' "$work/shown"
    "$lab" down
}

policy "log" "mode: log" 2
policy "delta" "mode: delta" 1
policy "log, warm" "mode: log, standby: warm" 1
