#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A standby whose process is stopped for half of each 200 ms keeps its primary waiting: it is given up, the line says why, and it is not taken
# back for as long as it does not keep up, though its back-off is over; then it is, without a word by a person. With strict it is kept, and told.
# A healthy standby whose processor somebody else wants as well is not given up.
LAB_SLOW=
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/stutter.sh"
need_lab
plan 22

# Not ping, for which the one that is under way when it is ended is lost.
probes() { probing 7007 1 --interval-us 5000; }
cleanup_processes() { kill "${stuttering:-}" "${prober:-}" "${looping[@]}" 2>/dev/null; }
trap 'cleanup_processes; cleanup' EXIT
looping=()

gives_up() { [ "$(field a slow.count)" -ge 1 ]; }
is_late() { [ "$(field a 'lanes[0].waited_ms')" -gt "$1" ]; }
says() { grep -q "$1" "$LAB_DIR/a.log"; }
proves() { [ "$(field a resync.phase)" = catch-up ]; }
failed_to_prove() { [ "$(field a damping.losses)" -ge 2 ]; }

# ── half of each 200 ms ────────────────────────────────────────────────────────────────────────────

LAB_PROTECT="mode: log, slow_percent: 20, slow_ms: 15" LAB_TIMING="detect_ms: 500, resync_deadline_ms: 3000" "$lab" up ||
    { ok "the pair is PROTECTED" false; exit 1; }
ok "the pair is PROTECTED" is_protected
is "nobody has waited for a second" "$(field a slow.count) $(field a slow.cause)" "0 null"
probes
stutter "$(field b pid)" 100
ok "its standby is given up" soon gives_up
ok "it is SOLO" await a state SOLO
is_like "for this reason" "$(field a standby_lost.why)" \
    "standby b lost: slow: waited for * % of a second (allowed: 20), its process stands at times; taken back in 10 s"
ok "the log has it, as a loss" soon says "warning standby_lost a: .*slow: waited for [0-9]* % of a second"
is "the cause is told" "$(field a slow.cause)" "its process stands at times"
is "and what was waited for" "$(field a '| .lanes[0].waited | .output_s > 0')" true
before=$(field a 'lanes[0].waited_ms')
ok "it is to show that it keeps up" soon proves
ok "which it does not" soon failed_to_prove
is "so it is still SOLO" "$(field a state)" SOLO
is "and nothing was held meanwhile" "$(field a 'lanes[0].waited_ms')" "$before"
stutter_ends
ok "when it goes on it is taken back" is_protected
probing_ends
is "no probe is lost" "$(seen .lost)" 0
ok "digests equal" equal
"$lab" down

# ── strict ─────────────────────────────────────────────────────────────────────────────────────────

LAB_PROTECT="mode: log, strict: true, slow_ms: 15" "$lab" up || { ok "a strict pair is PROTECTED" false; exit 1; }
ok "a strict pair is PROTECTED" is_protected
probes
stutter "$(field b pid)" 50
ok "that its standby is slow is told" soon says "warning slow .*a: .*the standby is slow: waited for"
stutter_ends
is "it is kept" "$(field a standby_lost.count) $(field a solos)" "null 0"
ok "and PROTECTED" is_protected
probing_ends
"$lab" down

# ── beside a busy loop ─────────────────────────────────────────────────────────────────────────────

LAB_PROTECT="mode: log" "$lab" up || { ok "a pair of the default is PROTECTED" false; exit 1; }
for ((i = 0; i < $(nproc); i++)); do
    python3 -c 'while True: pass' &
    looping+=($!)
done
web_files "$work" 10 4000 300000 3000000
web_serve "$work" || exit 1
probes
for round in 1 2 3; do web_fetch "$work" "$work/out-$round" 10 5 || break; done
is "all downloads intact" "$(web_count "$work" intact)" 10
probing_ends
count=$(field a slow.count)
stood() { [ "$(field b '| [.damping.longest_stall_ms, .lanes[0].turns.longest_ms] | max > 200')" = true ]; }
if [ "$count" != 0 ] && stood; then
    skip "a healthy standby is not given up beside busy loops" "the machine gave it no processor for 200 ms of a second: so it was slow"
else
    is "a healthy standby is not given up beside busy loops" "$count" 0
fi
ok "and the pair is PROTECTED" is_protected
diag "$(seen '{ sent, lost, silence_ms } | tostring')"
