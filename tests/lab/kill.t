#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Primaries killed one after the other with downloads under way: every byte arrives. The third kill is of a node that
# was started again: its guardian speaks as the first one's did. One that is back at once, empty, becomes the standby of the
# one that holds the state. Planned handovers, there and back, alone and beside a download: no packet lost, no flow broken.
# The standby is killed, or stopped, of which the primary is told: it goes on alone.
. "$(dirname "$0")/lib.sh"
need_lab
plan 39

ok "the pair is PROTECTED" "$lab" up || exit 1
web_files "$work" 10 4000 300000 2000000 8000000 3000000
ok "a web server behind the chain" web_serve "$work"
strike "three kills in a row" 120 30 kill --repeat 3
is "another node each time" "$(drilled '[.runs[].victim] | join(" ")')" "a b a"
is "by the word of the guardian each time" "$(drilled '[.runs[].reason] | unique | join(", ")')" "the death notice"
is "no takeover that nobody asked for" "$(drilled '[.runs[].false_takeovers] | add')" 0
# Zero on the time axis of a drill's report is the kill: the kernel, asked beside it, saw the victim end behind it.
python3 -c 'import sys, time
exiting = 4 # of the flags in /proc/PID/stat: its memory goes for a while longer
try:
    while not int(open("/proc/%s/stat" % sys.argv[1]).read().rsplit(")", 1)[1].split()[6]) & exiting:
        time.sleep(0.001)
except (FileNotFoundError, ProcessLookupError):
    pass # this one was not run for as long as that took
print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))' "$(field b pid)" >"$work/ended" &
watching=$!
begun=$(python3 -c 'import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))')
ok "another kill, with a report" drill kill --report "$work/drill.html" || kill $watching # nobody may have died
wait $watching
at=$(drilled '.runs[0].at_ns') ended=$(cat "$work/ended")
ok "the run begins with the kill: behind the command, before the victim's end" [ "$begun" -lt "$at" -a "$at" -le "$ended" ]
diag "the victim's end was seen $(((ended - at) / 1000000)) ms behind the kill"
sed -n 's|^<script type="application/json" id="report">\(.*\)</script>$|\1|p' "$work/drill.html" >"$work/report.json"
is "which is the zero of its timeline: the last answer came before it, the next one after the silence" "$(jq -c \
    '.runs[0].at_ns as $at | .drawn[0] | .arrivals[0] as $probe | ($probe.silence_ms[0] * 1000) as $from | ($from + $probe.silence_ms[1] * 1000) as $to |
    [.fault, ([$probe.at[] | select(. > $from + 1 and . < $to - 1)] | length), any($probe.at[]; . < 0), any($probe.at[]; . > 0)]' "$work/report.json")" \
    '["kill",0,true,true]'
is "and its run the one that was printed" "$(jq .runs[0].at_ns "$work/report.json")" "$(drilled '.runs[0].at_ns')"
is "no death looks like a wrong key" "$(field a 'link.turned_away | add // 0')" 0
ok "the pair is PROTECTED again" is_protected

# ── a primary that is back at once ───────────────────────────────────────────────────────────────

"$probe" run 203.0.113.100 7017 --seconds 60 --flows 4 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" \
    -o json >"$work/probe.json" &
prober=$!
flows() { [ "$(us show -n "$1" monitor -p tcp -d 203.0.113.100:7017 --count)" = 4 ]; }
ok "flows begin" soon 20 flows a
view=$(field a view)
pid=$(field a pid)
kill -KILL "$pid"
while kill -0 "$pid" 2>/dev/null; do :; done # as a supervisor does, which waits for its child
"$lab" start a
ok "b takes over" await 5 b role primary
ok "the pair is PROTECTED again" is_protected
is "the one that was back at once is the standby" "$(field a role)" standby
is "one view later" "$(field b view)" $((view + 1))
ok "the flows are in the chain of the new primary" flows b
kill -TERM $prober
wait $prober
is "no flow broken, nothing contradicted" "$(jq '.flows_broken + .contradicted' "$work/probe.json")" 0
is "digests equal" "$(us verify -o json 2>/dev/null | jq .equal)" true
diag "longest silence $(jq .silence_ms "$work/probe.json") ms"

# ── planned handovers ────────────────────────────────────────────────────────────────────────────

ok "there and back" drill planned --repeat 2
is "no probe lost" "$(drilled '[.runs[].lost] | add')" 0
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
is "digests equal" "$(drilled '[.runs[].digests_equal] | all')" true
is "the first is primary again" "$(field b role)" primary
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"

# One download of 80 MB in 10 s, whose last quarter waits for the end of the drill.
web_files "$work" 80000000
"$lab" exec client python3 -c 'import hashlib, os, sys, time, urllib.request
answer, whole, got, over = urllib.request.urlopen("http://203.0.113.100/0"), hashlib.sha256(), 0, sys.argv[1]
while data := answer.read(65536):
    whole.update(data)
    got += len(data)
    print(got, file=sys.stderr, flush=True)
    while not os.path.exists(over) and got > 60000000: # the sockets between hold far less than what is left
        time.sleep(0.01)
    time.sleep(0.008)
print(whole.hexdigest())' "$work/over" >"$work/got" 2>"$work/progress" &
fetch=$!
ok "a download begins" soon 20 test -s "$work/progress"
ok "there and back beside a download" drill planned --repeat 2
is "no probe lost" "$(drilled '[.runs[].lost] | add')" 0
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
touch "$work/over"
wait $fetch
is "the download, under way until then, is intact" "$? $(cat "$work/got")" "0 $(awk '$1 == 0 { print $2 }' "$work/sums")"
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"

# ── the standby ──────────────────────────────────────────────────────────────────────────────────

ok "the standby is killed" drill standby-kill
is "no flow broken, nothing contradicted" "$(drilled '.runs[0] | .contradicted + .flows_broken')" 0
is "the primary stayed the primary" "$(field b role)" primary
diag "longest silence $(drilled '.runs[0].outage_ms') ms"
ok "the pair is PROTECTED again" is_protected
kill -TERM "$(field a pid)"
ok "the standby is stopped: the primary is SOLO" await 20 b state SOLO
is_like "because it was told, and not because nobody answered for solo_after_ms" "$(field b why)" "standby a lost: *"
diag "$(field b why)"
