#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table (table.sh), of policies and lanes: deltas to a hot standby; the log and checkpoints to a warm one; deltas between nodes of two
# lanes; and the log of two lanes, behind ports with one queue: frames are dealt out in software, and answers find the lane whose NAT gave
# out the port. In each primaries are killed, hand over and hang; behind the NAT dpi knows flows on the node that has taken over. What operators
# ask of lanes. A NAT with two outside addresses, by the second of which hosts inside reach one of their own. A greedy host.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/table.sh"
need_lab

export LAB_MODULES=$BUILD/lib/understudy/dpi.so
policy() { # CONFIGURATION PROTECT LANES [OF NAT]
    export LAB_PROTECT=$2 LAB_LANES=$3
    export LAB_NFS="nat: { inside: [10.0.0.0/8], ${4:-outside: 203.0.113.1}, ports: 1024-65535, max_flows: 4000 } },
      { firewall: { rules: firewall.rules, max_flows: 40000 } }, { dpi: { heap_mb: 4, max_flows: 4000 } }, { monitor: { max_flows: 4000 }"
    begins "$1"
    web_begins
    kill_row 2
    us show dpi -o json >"$work/shown" 2>/dev/null
    ok "$1, kill: flows of HTTP are known" grep -q '"protocol": *"HTTP"' "$work/shown"
    handover_row
}
refusal() { ! us apply >"$work/refusal" 2>&1 && grep -q -- "$1" "$work/refusal" || { cat "$work/refusal"; return 1; }; }

# ── delta ────────────────────────────────────────────────────────────────────────────────────────

policy "delta" "mode: delta" 1
is "what goes to the standby are deltas" "$(field "$(primary)" mode)" delta
hang_row
# The heap of dpi goes on where it lies; a change that would move it is refused, and the pair goes on as it was.
sed -i 's/heap_mb: 4,/heap_mb: 4, packets: 8,/' "$pair"
ok "apply: another number of packets" us apply
whole "apply"
sed -i 's/monitor: { max_flows: 4000/monitor: { max_flows: 90000/' "$pair"
ok "apply: a change that would move the heap is refused" refusal "dpi: its heap would lie at another address"
sed -i 's/max_flows: 90000/max_flows: 4000/' "$pair"
whole "apply refused"
ends

# ── warm ─────────────────────────────────────────────────────────────────────────────────────────

policy "log, warm" "mode: log, standby: warm" 1
ends
policy "delta, two lanes, warm" "mode: delta, standby: warm" 2
ends

# ── log, two lanes ───────────────────────────────────────────────────────────────────────────────

policy "log, two lanes" "mode: log" 2 'outside: [203.0.113.1, 203.0.113.3], hairpin: true, forward: "tcp/203.0.113.3:80=10.0.0.100:8080"'
moved() { # every lane of the primary has had packets
    [ "$(field "$1" 'lanes | map(select(.received > 20)) | length')" = 2 ] || { field "$1" lanes; return 1; }
}
ok "all lanes of the primary took part" moved "$(primary)"

# What operators ask of lanes.
ok "a change reaches every lane" us set nat udp=200
said() { cat "$LAB_DIR"/[ab].log | grep -c "an operator has said: set nat udp=200"; }
ok "the log says so" soon said
ok "and the standby goes along" equal
is "it was said once" "$(said)" 1
ok "show goes through every lane" us show nat -o json
is "and has the timeout as it is now" "$(us show nat -o json | jq .timeouts.udp)" 200
"$lab" exec client python3 -c 'import socket
for port in range(9000, 9016):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.0.0.100", port))
    s.sendto(b"x", ("203.0.113.100", 9))'
us show nat -o json | jq -r '.rows[] | select(.proto == "udp" and (.inside | tostring | test(":90[01][0-9]$"))) | "\(.proto)/\(.outside_port)"' >"$work/mappings"
first=$(head -n 1 "$work/mappings") last=$(tail -n 1 "$work/mappings")
is "a mapping of the first lane is cleared" "$(us clear nat "$first" 2>&1)" "clear nat $first: done"
is "one of the last lane, too" "$(us clear nat "$last" 2>&1)" "clear nat $last: done"
us clear nat "$last" 2>/dev/null
is "then no lane has it" $? 65
whole "operators"

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
