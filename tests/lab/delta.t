#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policies of a running pair, one after the other: deltas to a hot standby; the log and checkpoints to a warm one;
# deltas between nodes of two lanes. In each, the primary is killed with downloads under way, and every byte arrives.
. "$(dirname "$0")/lib.sh"
need_lab
plan 25

web_files "$work" 10 4000 300000 2000000 3000000

policy() { # WORD PROTECT LANES
    export LAB_PROTECT=$2 LAB_LANES=$3
    ok "$1: the pair is PROTECTED" "$lab" up || exit 1
    web_serve "$work" || { diag "no web server"; exit 1; }
    rm -f "$work/ended"
    web_fetch "$work" "$work/out" 40 10 &
    under_way
    ok "$1: killed twice" drill kill --repeat 2
    wait $!
    is "$1: all downloads intact" "$(web_count "$work" intact)" 40
    is "$1: digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
    is "$1: nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
    ok "$1: the pair is PROTECTED again" is_protected
    ok "$1: a planned handover" us drain
    ok "$1: the pair is PROTECTED once more" is_protected
}

primary() { us status -o json 2>/dev/null | jq -r '.. | objects | select(.state? == "PROTECTED") | .node' | head -n 1; }

policy "delta" "mode: delta" 1
is "what goes to the standby are deltas" "$(field "$(primary)" mode)" delta
"$lab" down
policy "log, warm" "mode: log, standby: warm" 1
"$lab" down
policy "delta, two lanes, warm" "mode: delta, standby: warm" 2
