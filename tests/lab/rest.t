#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair without traffic rests: lane and replicator of each node wake once for a heartbeat. A packet wakes the primary's lane.
. "$(dirname "$0")/lib.sh"
need_lab
plan 7

# How often a thread of a node gave up its processor by itself in 5 s or more, a second.
wakes() { # NODE THREAD
    local task
    task=$(grep -lx "$2" /proc/"$(field "$1" pid)"/task/*/comm)
    for _ in 1 2; do
        awk '/^voluntary/ { print $2 }' "${task%comm}status"
        cut -d' ' -f1 /proc/uptime
        sleep 5
    done | xargs | awk '{ printf "%d", ($3 - $1) / ($4 - $2) }'
}

# 500 heartbeats a second, and a few more for timers, digests and who asks. A lane that looked at its ports had 2,100.
rests() { # NODE THREAD
    local n
    n=$(wakes "$1" "$2")
    echo "$2 of node $1: $n wake-ups a second"
    [ "$n" -gt 0 ] && [ "$n" -lt 1100 ]
}

export LAB_TIMING="heartbeat_ms: 2, detect_ms: 2000"
ok "a pair is PROTECTED" "$lab" up || exit 1
sleep 1
is "packets wake its lanes" "$(field a 'lanes[0].woken_by_packets') $(field b 'lanes[0].woken_by_packets')" "true true"
for node in a b; do
    ok "the lane of node $node rests" rests $node rte-worker-1
    ok "its replicator rests" rests $node us-replicator
done
# Each has a rest of a second before it.
ok "a packet after a rest passes" "$lab" exec client ping -q -c 5 -i 1 -W 1 203.0.113.100
