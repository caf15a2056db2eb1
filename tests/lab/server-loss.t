#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The primary's links go first, then the processes: no closing packet gets out, only silence tells.
. "$(dirname "$0")/lib.sh"
need_lab
plan 6

ok "the pair is PROTECTED" "$lab" up || exit 1
web_files "$work" 1000000 4000000
ok "a web server behind the chain" web_serve "$work"
web_fetch "$work" "$work/out" 60 20 &
sleep 0.5
ok "server-loss" drill server-loss
wait
is "all downloads intact" "$(web_count "$work" intact)" 60
is "digests equal" "$(drilled '.runs[0].digests_equal')" true
ok "noticed by silence, not sooner than detect_ms allows a false alarm" \
    test "$(drilled '.runs[0].detect_ms | floor')" -ge 5
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"
