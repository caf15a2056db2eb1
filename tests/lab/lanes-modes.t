#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair of two lanes whose stream is not a log alone: in deltas, and with checkpoints to a warm standby. Each node is
# stopped and woken under downloads, changes are made live, the primary hands over, and verify is asked again and again on
# a pair that has nothing to do. What the nodes recorded meanwhile is executed again.
. "$(dirname "$0")/lib.sh"
export LAB_LANES=${LAB_LANES:-2}
export LAB_NFS="rate_limiter: { clients: inside, pps: 1000000, burst_packets: 100000, max_clients: 1000, max_flows: 20000 } },
           { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } },
           { forward: { read: true }"
need_lab
plan 44

verified() { # TIMES: how often verify says that digests are equal
    local n=0
    for _ in $(seq "$1"); do us verify >/dev/null && n=$((n + 1)); done
    echo $n
}
while_fetching() { # DIRECTORY COMMAND…: hurts in the middle of downloads
    local name=$1 fetching
    shift
    web_fetch "$work" "$work/$name" 30 10 &
    fetching=$!
    sleep 0.3
    "$@"
    wait $fetching
    is "$name: downloads are intact" "$(web_count "$work" intact)" 30
    ok "$name: PROTECTED" is_protected
    ok "$name: digests equal" us verify
}
hang() { # NODE: longer than solo_after_ms
    local pid
    pid=$(field "$1" pid)
    kill -STOP "$pid"
    sleep 1
    kill -CONT "$pid"
}
replayed() { # NODE: what it recorded comes to the same
    timeout 900 "$UNDERSTUDY" replay -c "$pair" --log "$work/rec/$1" -o json >"$work/out.txt" 2>"$work/err.txt"
    is "$1's recording is executed to the same state" "$? $(jq .equal "$work/out.txt")" "0 true"
    diag "$(cat "$work/err.txt")"
}

# Of what was recorded across takeovers each file is executed, or says that it is not whole. None has a hole.
with_holes() {
    local n=0
    for file in "$work"/rec/*/*.rec; do
        timeout 900 "$UNDERSTUDY" replay -c "$pair" --log "$file" >"$work/out.txt" 2>"$work/err.txt"
        case $? in
        0) ;;
        65) if grep -q "expected burst" "$work"/{out,err}.txt; then n=$((n + 1)) && diag "$(cat "$work/err.txt")"; fi ;;
        *) n=$((n + 1)) && diag "$file: $(cat "$work"/{out,err}.txt)" ;;
        esac
    done
    echo $n
}

web_files "$work" 10 4000 300000 2000000
for protect in "mode: delta" "mode: log, standby: warm"; do
    export LAB_PROTECT=$protect LAB_RECORD="dir: $work/rec, file_mb: 8, files: 4"
    rm -rf "$work/rec"
    ok "$protect: PROTECTED" "$lab" up || exit 1
    ok "a web server behind the chain" web_serve "$work"
    is "verify, with nothing to do" "$(verified 20)" 20
    while_fetching standby-hangs hang "$(standby)"
    ok "set" us set nat udp=77
    ok "clear" us clear rate_limiter
    is "verify after them" "$(verified 5)" 5
    was=$(primary)
    while_fetching primary-hangs hang "$was"
    is "it was replaced" "$(standby)" "$was"
    while_fetching "drain" us drain
    is "it is primary again" "$(primary)" "$was"
    replayed "$was"
    ok "primaries are killed" timeout 120 "$UNDERSTUDY" drill kill -c "$pair" --repeat 3
    is "recordings with a hole" "$(with_holes)" 0
    is "no replay diverged" "$(cat "$LAB_DIR"/*.log | grep -c diverged)" 0
    is "recorders write" "$(field a recorder.failures) $(field b recorder.failures)" "0 0"
    "$lab" down
done
