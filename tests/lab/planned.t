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
"$lab" exec client curl -q -sS --limit-rate 8M -o "$work/got" http://203.0.113.100/0 2>"$work/curl.err" &
fetch=$!
sleep 1
ok "there and back beside a download" drill planned --repeat 2
is "the download was still under way" "$(kill -0 $fetch 2>/dev/null && echo yes)" yes
is "no probe lost" "$(drilled '[.runs[].lost] | add')" 0
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
wait $fetch
is "the download is intact" "$? $(sha256sum <"$work/got" | cut -d' ' -f1)" "0 $(awk '{ print $2 }' "$work/sums")"
diag "$(cat "$work/curl.err") $(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"
