#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Alone: with the times of a file without any, silence of a quarter of a second is a failure, also where other tests are its cause.
# The primary is stopped, its links go, then the processes: no closing packet gets out, only silence tells. With the times
# that a file without any has: the standby measures how long a silence is a failure.
. "$(dirname "$0")/lib.sh"
need_lab
plan 15

export LAB_TIMING=
ok "the pair is PROTECTED" "$lab" up || exit 1
# 50 ms, or more by what it has seen so far: three times the longest silence, its own longest wait, 100 ms at most. One answer has them all.
is "the standby has measured nothing yet: it waits for 50 ms, or as long as what it has seen asks for" \
    "$(field b '| .damping.longest_stall_ms as $stall | .detection | ([50, 3 * .longest_silence_ms, $stall] | max | [., 100] | min) as $wanted | "\((.ms - $wanted) | fabs < 0.001) \(.measured)"')" "true false"
is "and a primary is no standby" "$(field a detection)" null
web_files "$work" 1000000 4000000
ok "a web server behind the chain" web_serve "$work"
ok "ten seconds later it has measured" await b detection.measured true
strike "server-loss" 60 20 server-loss
is "noticed by silence" "$(drilled '.runs[0].reason')" silence
ok "and by what the standby had measured" grep -q 'detection.*the longest silence measured is' "$LAB_DIR/b.log"
is "no takeover was false" "$(field b false_takeovers)" 0
ok "the new standby measures, too" await a detection.measured true
ok "from two leases to 50 ms before its right ends" jq -en "$(field a detection.ms) | . >= 20 and . <= 100"
ok "status says so" grep -q 'detect [0-9]* ms (measured; longest silence [0-9]* ms)' <(us status)
