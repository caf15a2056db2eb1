#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One host inside sends from as many ports as it can. Others begin connections through the same NAT meanwhile and afterwards, and all
# of them get through, before and after a kill; the ports that they get follow from no other.
. "$(dirname "$0")/lib.sh"
export LAB_NFS='nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 4000 } }, { monitor: { max_flows: 4000 }'
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 11

ok "the pair is PROTECTED" "$lab" up || exit 1
mkdir "$work/www"
head -c 20000 /dev/urandom >"$work/www/file"
"$lab" exec client ip addr add 10.0.0.101/24 dev eth0
"$lab" exec server python3 -u -m http.server --bind 203.0.113.100 --directory "$work/www" 8080 >/dev/null 2>&1 &
servers=$!
# shellcheck disable=SC2086
trap 'kill $servers 2>/dev/null; cleanup' EXIT
listens server tcp 8080
fetch() { "$lab" exec client curl -s --interface 10.0.0.100 --max-time 30 -o "$work/got" http://203.0.113.100:8080/file && cmp -s "$work/got" "$work/www/file"; }
fetches() { # N: how many of so many came whole
    local whole=0 i
    for ((i = 0; i < $1; i++)); do fetch && whole=$((whole + 1)); done
    echo $whole
}
flood() { # FIRST LAST: a datagram from each port
    "$lab" exec client python3 - "$1" "$2" <<'END'
import socket, sys, time
for port in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.0.0.101", port))
    s.sendto(b"x", ("203.0.113.100", 9))
    s.close()
    if port % 64 == 0:
        time.sleep(0.005)
END
}
created() { us status -o json | jq '[.. | .mappings_created? // empty] | add'; }

is "the others' connections, before" "$(fetches 20)" 20
flood 20000 39999 &
is "and while 20,000 flows of one host begin" "$(fetches 40)" 40
wait $!
is "which was not held up" $? 0
ok "and has begun most of them" test "$(created)" -gt 15000
is "connections of others afterwards" "$(fetches 20)" 20
is "none was refused" "$(us status -o json | jq '[.. | objects | (.table_full? // empty), (.host_full? // empty), (.ports_exhausted? // empty)] | add')" 0
ports=$(us show nat -o json | grep -o '"outside_port":[0-9]*' | cut -d: -f2 | head -n 200)
ok "ports are no sequence" awk 'NR > 1 && $1 == last + 1 { near++ } { last = $1 } END { exit !(NR > 100 && near < 5) }' <<<"$ports"
ok "a kill" drill kill
is "and connections of others behind it" "$(fetches 20)" 20
ok "the pair is PROTECTED again" is_protected
