#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A killed primary that is back at once, empty, becomes the standby of the one that holds the state.
. "$(dirname "$0")/lib.sh"
need_lab
plan 8

ok "the pair is PROTECTED" "$lab" up || exit 1
"$probe" run 203.0.113.100 7007 --seconds 30 --flows 4 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" \
    -o json >"$work/probe.json" &
prober=$!
sleep 0.5
view=$(field a view)
pid=$(field a pid)
kill -KILL "$pid"
while kill -0 "$pid" 2>/dev/null; do :; done # as a supervisor does, which waits for its child
"$lab" start a
ok "b takes over" await 5 b role primary
ok "the pair is PROTECTED again" is_protected
is "the one that was back at once is the standby" "$(field a role)" standby
is "one view later" "$(field b view)" $((view + 1))
kill -TERM $prober
wait $prober
is "no flow broken, nothing contradicted" "$(jq '.flows_broken + .contradicted' "$work/probe.json")" 0
is "digests equal" "$(us verify -o json 2>/dev/null | jq .equal)" true
ok "the flows are in the chain of the new primary" sh -c "'$UNDERSTUDY' show -c '$pair' -n b nat -o json | grep -q 10.0.0.100"
diag "longest silence $(jq .silence_ms "$work/probe.json") ms"
