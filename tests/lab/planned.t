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

# One download of 80 MB in 10 s, whose last quarter waits for the end of the drill.
web_files "$work" 80000000
ok "a web server behind the chain" web_serve "$work"
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
is "the download, under way until then, is intact" "$? $(cat "$work/got")" "0 $(awk '{ print $2 }' "$work/sums")"
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"
