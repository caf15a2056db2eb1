#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Alone: it takes all processors at once, before all else, for up to 400 ms again and again (tests/lab/busy.py).
# A pair on a machine that stands still: kill, hang and planned handovers under downloads, of which none breaks. What no node does
# then is not judged: a machine that stands is silent.
. "$(dirname "$0")/lib.sh"
need_lab
"$root/tests/lab/busy.py" 1 0 2>/dev/null || skip_all "no real-time priority is to be had"
plan 18

"$root/tests/lab/busy.py" "${MACHINE_SEED:-1}" 600 &
busy=$!
machine_stands=yes
trap 'kill $busy 2>/dev/null; cleanup' EXIT
ok "the pair is PROTECTED" "$lab" up || exit 1
web_files "$work" 10 4000 300000 2000000 8000000
ok "a web server behind the chain" web_serve "$work"
for kind in kill hang planned standby-kill; do strike $kind 60 15 $kind; done
