#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Lanes that speak to each other by a port of the link, of memif. While packets come densely the port carries the records.
# Downloads are intact when a primary is killed, and when the next one's standby is.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/link-port.sh"
need_lab
plan 11

is_open() { [ "$(field "$1" link.port)" = open ]; }

port_carries memif
web_fetch "$work" "$work/out" 40 20 &
fetching=$!
under_way
ok "a kill" drill kill
is "digests equal" "$(drilled '[.runs[].digests_equal] | all')" true
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"
ok "the port carries again, the other way" soon 30 carries b
kill -KILL "$(field a pid)"
ok "without a standby it does not" soon 30 is_open b
"$lab" start a
ok "with one it does" soon 30 carries b
wait $fetching
is "all downloads intact" "$(web_count "$work" intact)" 40
is "digests equal" "$(us verify -o json 2>/dev/null | jq .equal)" true
kill $denser
