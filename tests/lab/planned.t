#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Planned handovers, there and back, alone and beside a download: no packet lost, no flow broken.
. "$(dirname "$0")/lib.sh"
need_lab
plan 12

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "there and back" drill planned --repeat 2
is "no probe lost" "$(drilled '[.runs[].lost] | add')" 0
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
is "digests equal" "$(drilled '[.runs[].digests_equal] | all')" true
is "the first is primary again" "$(field a role)" primary
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"

# One download of 80 MB in 10 s, and handovers for as long as it lasts.
web_files "$work" 80000000
ok "a web server behind the chain" web_serve "$work"
fetch() {
    local code
    "$lab" exec client curl -q -sS --limit-rate 8M -o "$work/got" http://203.0.113.100/0 2>"$work/curl.err"
    code=$?
    python3 -c 'import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))' >"$work/over"
    return $code
}
fetch &
fetch=$!
sleep 1
ok "there and back beside a download" drill planned --repeat 2
is "no probe lost" "$(drilled '[.runs[].lost] | add')" 0
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
wait $fetch
code=$?
ok "the download was still under way at the last one" test "$(cat "$work/over")" -gt "$(drilled '.runs[-1].at_ns')"
is "the download is intact" "$code $(sha256sum <"$work/got" | cut -d' ' -f1)" "0 $(awk '{ print $2 }' "$work/sums")"
diag "$(cat "$work/curl.err") $(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"
