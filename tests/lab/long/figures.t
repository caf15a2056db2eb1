#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The figures of docs/results.md, measured again: ten kills under load, ten losses of the server, ten handovers.
. "$(dirname "$0")/../lib.sh"
need_lab
plan 13

within() { # DESCRIPTION VALUE LIMIT
    ok "$1: $2, at most $3" jq -en "$2 != null and $2 <= $3"
}

stream() { # SECONDS of four TCP flows of 60 Mbit/s: load that leaves the machine some air
    "$lab" exec server iperf3 -s -1 -D >/dev/null
    sleep 0.3
    "$lab" exec client iperf3 -c 203.0.113.100 -t "$1" -P 4 -b 60M >/dev/null
}

load() { # SECONDS of downloads beside the drill, as many as the machine can do
    local end=$((SECONDS + $1))
    while [ $SECONDS -lt $end ]; do web_fetch "$work" "$work/out" 200 50; cat "$work/results" >>"$work/all"; done
}

figures() { # KIND LOAD
    : >"$work/all"
    "$2" 45 &
    local loading=$!
    sleep 1
    ok "$1, ten times under load" drill "$1" --repeat 10
    wait $loading
    is "$1: downloads broken" "$(grep -c ^broken "$work/all")" 0
    diag "$(drilled '[.kind, (.median | to_entries[] | "\(.key) \(.value)"), "baseline \(.baseline_gap_ms) in \(.baseline_s) s"] | join(", ")')"
    diag "of $(wc -l <"$work/all") downloads; false takeovers $(drilled '[.runs[].false_takeovers] | add')"
}

ok "the pair is PROTECTED" "$lab" up || exit 1
web_files "$work" 100000 500000 2000000 5000000
web_serve "$work" || exit 1
figures kill load
within "kill: outage, ms" "$(drilled .median.outage_ms)" 20
within "kill: detected to first packet, ms" "$(drilled .median.first_packet_ms)" 5
within "kill: longest silence of the median TCP flow, ms" "$(drilled .median.flow_silence_ms)" 60
figures planned stream
is "planned: probes lost" "$(drilled '[.runs[].lost] | add')" 0
"$lab" down

LAB_TIMING="detect_ms: 10, promote_within_ms: 500, solo_after_ms: 1000" "$lab" up
ok "a pair with detect_ms: 10 is PROTECTED" is_protected
web_serve "$work" || exit 1
figures server-loss stream
within "server-loss: outage, ms" "$(drilled .median.outage_ms)" 30
