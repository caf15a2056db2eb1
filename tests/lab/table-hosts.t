#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table (table.sh), of warm standbys, with the log, and with deltas of two lanes. And of two lanes a NAT with two outside addresses, by the
# second of which hosts inside reach one of their own; and a greedy host.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/table.sh"
need_lab


# ── warm ─────────────────────────────────────────────────────────────────────────────────────────

policy "log, warm" "mode: log, standby: warm" 1
ends
policy "delta, two lanes, warm" "mode: delta, standby: warm" 2
ends

# ── two lanes, two outside addresses ─────────────────────────────────────────────────────────────

policy "log, two lanes, two addresses" "mode: log" 2 'outside: [203.0.113.1, 203.0.113.3], hairpin: true, forward: "tcp/203.0.113.3:80=10.0.0.100:8080"'

# Hosts inside reach one of their own by the second outside address; hosts that have different addresses reach a server outside.
mkdir "$work/www"
head -c 3000000 /dev/urandom >"$work/www/file"
head -c 20000 /dev/urandom >"$work/www/small"
"$lab" exec client ip addr add 10.0.0.101/24 dev eth0
# Python asks for its host's name, which nobody answers here.
serve() { RES_OPTIONS="timeout:1 attempts:1" "$lab" exec "$1" python3 -u -m http.server --bind "$2" --directory "$work/www" 8080 >/dev/null 2>"$work/seen.$1" & }
serve client 10.0.0.100
serve server 203.0.113.100
from() { # HOST RATE ADDRESS FILE: the whole of it
    "$lab" exec client curl -s --interface "$1" --max-time 60 --limit-rate "$2" -o "$work/got.$BASHPID" "http://$3/$4" && cmp -s "$work/got.$BASHPID" "$work/www/${4%\?*}"
}
second=203.0.113.3 outside=203.0.113.100:8080
# Whom a server saw ask for what.
saw() { sed -n "s|^\([0-9.]*\) .*GET /file$2 .*|\1|p" "$work/seen.$1" | sort -u | xargs; }
listens client tcp 8080
listens server tcp 8080
ok "the host inside gets the file by the second outside address" from 10.0.0.100 100M $second file
ok "again, in another connection" from 10.0.0.100 100M $second file
ok "another host inside, too" from 10.0.0.101 100M $second 'file?other'
is "all three were turned round" "$(us show nat -o json | jq .counters.forwarded)" 3
is "the one has the first outside address" "$(saw client '')" 203.0.113.1
is "the other one has the second" "$(saw client '?other')" 203.0.113.3
downloads=()
from 10.0.0.100 1M $outside 'file?a' & downloads+=($!)
from 10.0.0.101 1M $outside 'file?b' & downloads+=($!)
from 10.0.0.100 1M $second file & downloads+=($!)
asked() { [ -n "$(saw server '?a')" ] && [ -n "$(saw server '?b')" ]; }
ok "three downloads begin" soon asked
kill_row 1
intact=0
for download in "${downloads[@]}"; do wait "$download" && intact=$((intact + 1)); done
is "which are whole behind it" "$intact" 3
ok "and so is the next" from 10.0.0.100 100M $second file
ok "a host's next connection to the server" from 10.0.0.100 100M $outside 'file?a'
ok "and the other host's" from 10.0.0.101 100M $outside 'file?b'
is "the server saw the one by the first address alone" "$(saw server '?a')" 203.0.113.1
is "and the other by the second" "$(saw server '?b')" 203.0.113.3
is "ports are counted by address" "$(us status -o json | jq -r '[.. | objects | .tables? // empty | keys[] | select(startswith("nat.tcp_ports"))] | unique | join(" ")')" \
    "nat.tcp_ports/203.0.113.1 nat.tcp_ports/203.0.113.3"

# One host sends from as many ports as it can; others begin connections meanwhile and afterwards.
fetches() { # N: how many of so many came whole
    local n=0 i
    for ((i = 0; i < $1; i++)); do from 10.0.0.100 100M $outside small && n=$((n + 1)); done
    echo $n
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
created() { us status -n "$(primary)" -o json | jq '[.. | .mappings_created? // empty] | add'; }
is "the others' connections, before" "$(fetches 20)" 20
before=$(created)
flood 20000 39999 &
flooding=$!
is "and while 20,000 flows of one host begin" "$(fetches 40)" 40
wait $flooding
is "which was not held up" $? 0
ok "and has begun most of them" test $(($(created) - before)) -gt 15000
is "connections of others afterwards" "$(fetches 20)" 20
is "none was refused" "$(us status -o json | jq '[.. | objects | (.table_full? // empty), (.host_full? // empty), (.ports_exhausted? // empty)] | add')" 0
flood 20000 20499 # flows that nobody answers end after 30 s, in which a slow machine may not have come so far
show_flows() { us show nat -o json >"$work/flows"; }
ok "flows are shown" show_flows
grep -o '"outside_port":[0-9]*' "$work/flows" | cut -d: -f2 | head -n 200 >"$work/ports"
in_sequence() { # how many, of how many
    awk 'NR > 1 && $1 == last + 1 { near++ } { last = $1 } END { print near + 0, "of", NR; exit !(NR > 100 && near < 5) }' "$work/ports"
}
ok "ports are no sequence" in_sequence
kill_row 1
is "and connections of others behind a kill" "$(fetches 20)" 20
ends

plan $tests
