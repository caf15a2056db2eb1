#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A NAT with two outside addresses and two lanes. Hosts inside reach a forwarded port of the second address, through a kill: the host
# that serves is one of those that ask, so both ways of each connection come in on one interface. And two hosts that have different
# addresses reach a server outside, which sees each by the same address before and after a kill.
. "$(dirname "$0")/lib.sh"
export LAB_LANES=2
export LAB_NFS='nat: { inside: [10.0.0.0/8], outside: [203.0.113.1, 203.0.113.3], ports: 1024-65535, max_flows: 2000, hairpin: true, forward: "tcp/203.0.113.3:80=10.0.0.100:8080" } }, { monitor: { max_flows: 2000 }'
need_lab
plan 17

ok "the pair is PROTECTED" "$lab" up || exit 1
mkdir "$work/www"
head -c 3000000 /dev/urandom >"$work/www/file"
"$lab" exec client ip addr add 10.0.0.101/24 dev eth0
serve() { "$lab" exec "$1" python3 -u -m http.server --bind "$2" --directory "$work/www" 8080 >/dev/null 2>"$work/seen.$1" & }
serve client 10.0.0.100
servers=$!
serve server 203.0.113.100
servers="$servers $!"
# shellcheck disable=SC2086
trap 'kill $servers 2>/dev/null; cleanup' EXIT
from() { # HOST RATE URL: the whole file
    "$lab" exec client curl -s --interface "$1" --max-time 60 --limit-rate "$2" -o "$work/got.$BASHPID" "$3" && cmp -s "$work/got.$BASHPID" "$work/www/file"
}
fetch() { from 10.0.0.100 "$1" http://203.0.113.3/file; }
listens client tcp 8080
listens server tcp 8080
# Whom a server saw ask for what.
saw() { sed -n "s|^\([0-9.]*\) .*GET /file$2 .*|\1|p" "$work/seen.$1" | sort -u | xargs; }

ok "the host inside gets the file by the second outside address" fetch 100M
ok "again, in another connection" fetch 100M
ok "another host inside, too" from 10.0.0.101 100M http://203.0.113.3/file?other
is "all three were turned round" "$(us show nat -o json | jq .counters.forwarded)" 3
is "the one has the first outside address" "$(saw client '')" 203.0.113.1
is "the other one has the second" "$(saw client '?other')" 203.0.113.3
from 10.0.0.100 1M http://203.0.113.100:8080/file?a &
downloads=$!
from 10.0.0.101 1M http://203.0.113.100:8080/file?b &
downloads="$downloads $!"
fetch 1M &
downloads="$downloads $!"
sleep 0.7
ok "a kill in the middle of three downloads" drill kill
whole=0
for download in $downloads; do wait "$download" && whole=$((whole + 1)); done
is "which are whole" "$whole" 3
ok "and so is the next" fetch 100M
ok "a host's next connection to the server" from 10.0.0.100 100M http://203.0.113.100:8080/file?a
ok "and the other host's" from 10.0.0.101 100M http://203.0.113.100:8080/file?b
is "the server saw the one by the first address alone" "$(saw server '?a')" 203.0.113.1
is "and the other by the second" "$(saw server '?b')" 203.0.113.3
is "ports are counted by address" "$(us status -o json | jq -r '[.. | objects | .tables? // empty | keys[] | select(startswith("nat.tcp_ports"))] | unique | join(" ")')" \
    "nat.tcp_ports/203.0.113.1 nat.tcp_ports/203.0.113.3"
ok "the pair is PROTECTED again" is_protected
ok "the states are equal" eval 'us verify -o json | jq -e .equal'
