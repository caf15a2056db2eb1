#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A host inside reaches a forwarded port by the outside address, with two lanes, through a kill: the host that serves is the one that
# asks, so both ways of each connection come in on one interface.
. "$(dirname "$0")/lib.sh"
export LAB_LANES=2
export LAB_NFS='nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 2000, hairpin: true, mapping: endpoint_independent, forward: "tcp/80=10.0.0.100:8080" } }, { monitor: { max_flows: 2000 }'
need_lab
plan 9

ok "the pair is PROTECTED" "$lab" up || exit 1
mkdir "$work/www"
head -c 3000000 /dev/urandom >"$work/www/file"
"$lab" exec client python3 -m http.server --bind 10.0.0.100 --directory "$work/www" 8080 >/dev/null 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
fetch() { "$lab" exec client curl -s --max-time 20 --limit-rate "$1" -o "$work/got" http://203.0.113.1/file && cmp -s "$work/got" "$work/www/file"; }
until "$lab" exec client curl -s -o /dev/null http://10.0.0.100:8080/; do sleep 0.1; done

ok "the host inside gets the file by the outside address" fetch 100M
ok "again, in another connection" fetch 100M
is "both were turned round" "$(us show nat -o json | jq .counters.forwarded)" 2
fetch 1M &
download=$!
sleep 0.7
ok "a kill in the middle of a download" drill kill
wait $download
is "which is whole" $? 0
ok "and so is the next" fetch 100M
ok "the pair is PROTECTED again" is_protected
ok "the states are equal" eval 'us verify -o json | jq -e .equal'
