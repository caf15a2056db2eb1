#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Primaries killed one after the other with downloads under way: every byte arrives. The third kill is of a node that
# was started again: its guardian speaks as the first one's did.
. "$(dirname "$0")/lib.sh"
need_lab
plan 11

ok "the pair is PROTECTED" "$lab" up || exit 1
web_files "$work" 10 4000 300000 2000000 8000000 3000000
ok "a web server behind the chain" web_serve "$work"
web_fetch "$work" "$work/out" 120 30 &
sleep 0.7
ok "three kills in a row" drill kill --repeat 3
wait
is "all downloads intact" "$(web_count "$work" intact)" 120
is "another node each time" "$(drilled '[.runs[].victim] | join(" ")')" "a b a"
is "by the word of the guardian each time" "$(drilled '[.runs[].reason] | unique | join(", ")')" "the death notice"
is "digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
is "no takeover that nobody asked for" "$(drilled '[.runs[].false_takeovers] | add')" 0
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")'), baseline $(drilled .baseline_gap_ms) ms"
is "no death looks like a wrong key" "$(field b 'link.turned_away | add // 0')" 0
ok "the pair is PROTECTED again" is_protected
