#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `show` tells of the flows of a chain: which of them, how many, how old they are, what becomes of them; counters of
# all NFs, and clearing them. No root: a node without protection that reads a capture again and again. Its flows are known.
. "$(dirname "$0")/lib.sh"
plan 29

need_work
# Six flows from inside: UDP of three clients to port 53 of two servers.
perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);
    my @flows = ([1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 2]);
    for my $i (0 .. $#flows) {
        my ($client, $server) = @{$flows[$i]};
        my $ip = pack("CCnnnCCnC8", 0x45, 0, 46, $i, 0, 64, 17, 0, 10, 0, 0, $client, 192, 0, 2, $server);
        my $sum = 0;
        $sum += $_ for unpack("n*", $ip);
        $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
        substr($ip, 10, 2) = pack("n", ~$sum & 0xffff);
        my $frame = pack("H*", "0200000000aa0200000000bb0800") . $ip . pack("nnnn", 1000 + $client, 53, 26, 0) . "x" x 18;
        print pack("LLLL", $i, 0, length $frame, length $frame) . $frame;
    }' >"$work/in.pcap"
head -c 24 "$work/in.pcap" >"$work/none.pcap"
echo "allow out udp from any to any
default deny in
default deny out" >"$work/firewall.rules"
cat >"$work/pair.yaml" <<END
chain: { name: show, nfs: [ { firewall: { rules: firewall.rules } }, monitor ] }
protect: { mode: off }
nodes:
  one: { role: primary, ports: { inside: "net_pcap0,rx_pcap=in.pcap,infinite_rx=1,tx_pcap=inside.pcap", outside: "net_pcap1,rx_pcap=none.pcap,tx_pcap=outside.pcap" }, replication: "127.0.0.1:4701", control: one.sock, mbufs: 2048, memory_mb: 128 }
  two: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4702", control: two.sock }
END
pair=$work/pair.yaml
(cd "$work" && exec "$UNDERSTUDY" run -c pair.yaml -n one 2>log) & # a device is at most 127 bytes: short paths
node=$!
seen() { # COMMAND… TEXT: waits until it prints that
    local left=$(polls) got=
    until got=$("${@:1:$#-1}" 2>&1) && [ "$got" = "${!#}" ]; do
        poll || { echo "got: $got"; cat "$work/log"; return 1; }
    done
}
ends() { us show "$@" 2>/dev/null | awk 'NF == 8 { print $2, $3 }' | tail -n +2; }

ok "six flows are counted" seen us show monitor --count 6
is "those of one client" "$(us show monitor -s 10.0.0.2 --count)" 2
is "those to one server" "$(us show monitor -d 192.0.2.1 --count)" 3
is "both" "$(us show monitor -s 10.0.0.3 -d 192.0.2.2 --count)" 1
is "of a network" "$(us show monitor -s 10.0.0.2/31 --count)" 4
is "of a port" "$(us show monitor -s 10.0.0.1:1001 --count) $(us show monitor -s 10.0.0.1:1002 --count)" "2 0"
is "of a protocol, by name and by number" "$(us show monitor -p UDP --count) $(us show monitor -p 17 --count) $(us show monitor -p tcp --count)" "6 6 0"
is "a count as JSON" "$(us show monitor -d 192.0.2.2 --count -o json)" '{"count":3}'
is "rows of the two, and no rules or counters, which have no such ends" \
    "$(us show firewall -s 10.0.0.3 | awk '{ print $2, $3 }' | xargs)" "from to 10.0.0.3:1003 192.0.2.1:53 10.0.0.3:1003 192.0.2.2:53"
is "without a filter the counters come too" "$(us show firewall | grep '^connections_created' | xargs)" "connections_created 6"

# From here on the firewall lets nothing through, so the monitor has no new flows.
us set firewall rule.1=deny >/dev/null && us clear firewall >/dev/null
ages() { us show monitor -o json | jq '[.rows[].first_age_s] | "\(min) \(max)"' -r; }
first=$(ages)
sleep 1
ok "ages of flows grow with the clock" awk -v a="$first" -v b="$(ages)" -v test="$((SECONDS + 1))" 'BEGIN {
    split(a, x); split(b, y); d = y[1] - x[1]; exit !(x[1] >= 0 && x[2] < test && d >= 1 && d < test) }'

rests() { grep -q nanosleep "/proc/$watcher/wchan"; } # it has looked, and will look again in a second
"$UNDERSTUDY" show -c "$pair" -E monitor -s 10.0.0.1 >"$work/events" 2>"$work/errors" &
watcher=$!
ok "events: it has looked, and rests" soon rests
us clear monitor >/dev/null
gone() { [ "$(sed 's/^[^ ]* *//' "$work/events" | cut -d' ' -f-4 | sort)" = "[DESTROY] proto=udp from=10.0.0.1:1001 to=192.0.2.1:53
[DESTROY] proto=udp from=10.0.0.1:1001 to=192.0.2.2:53" ]; }
ok "events: the flows of that client that go, and no others" soon gone
kill -INT $watcher
wait $watcher
is "and it ends well" $? 0

packets() { us show counters -o json | jq '.monitor.packets'; }
known() { us show counters -o json | jq '.firewall.known'; }
sum=$(us show counters | awk '$1 == "firewall" && ($2 == "known" || $2 == "allowed") { n += $3 } END { print n + 0 }')
ok "counters of all NFs: what one let through the other has counted" [ "$sum" -gt 6 -a "$sum" = "$(packets)" ]
ok "those of one are cleared" us clear counters monitor
is "and of no other" "$(packets) $(($(known) > 0))" "0 1"
us clear counters >/dev/null
is "those of all" "$(known)" 0
kill -TERM $node
wait $node
node=

# ── both nodes of a pair on this host ────────────────────────────────────────────────────────────

# Neither how long a silence may last is a subject here, nor whether a standby that has no processor keeps up.
sed -i 's/^protect:.*/protect: { slow_percent: 0 }\nlink: { insecure: true }\ntiming: { heartbeat_ms: 50, lease_ms: 400, detect_ms: 1000, promote_within_ms: 3000, solo_after_ms: 5000 }/; s/net_null\([01]\)/"net_null\1,no-rx=1"/g; s/control: two.sock/&, mbufs: 2048, memory_mb: 128/' "$work/pair.yaml"
(cd "$work" && exec "$UNDERSTUDY" run -c pair.yaml -n one 2>log) & one=$!
(cd "$work" && exec "$UNDERSTUDY" run -c pair.yaml -n two 2>log2) & two=$!
trap 'kill -KILL $one $two 2>/dev/null; rm -rf "$work"' EXIT
ok "a pair is PROTECTED" is_protected
is "status as JSON has what both say" "$(us status -o json | jq -r '"\(.node) \(.state) \(.other.node) \(.other.state)"')" "one PROTECTED two READY"
is "and with -n one alone" "$(us status -n two -o json | jq -r '"\(.node) \(has("other"))"')" "two false"
ok "counters are cleared" us clear counters
is "on both: their states are equal" "$(us verify | cut -d' ' -f1)" EQUAL
"$UNDERSTUDY" show -c "$pair" -E monitor >"$work/events" 2>"$work/errors" &
watcher=$!
ok "events: it has looked, and rests" soon rests
kill -KILL $one
wait $one 2>/dev/null
waits_for() { local left=$(polls); until [ "$(field two state)" = SOLO ]; do poll || { us status; cat "$work/log2"; return 1; }; done; }
ok "the standby has taken over" waits_for
us clear monitor >/dev/null
all_gone() { [ "$(grep -c '\[DESTROY\]' "$work/events")" = 6 ]; }
ok "events go on from it: it had the six flows of the one before" soon all_gone
is "and nothing else has come or gone" "$(grep -vc '\[DESTROY\]' "$work/events")" 0
kill -INT $watcher
wait $watcher
kill -TERM $two
wait $two

# Of two servers, this one has the standby: it is asked, and says why it cannot.
sed -i 's/127.0.0.1:4701/203.0.113.250:4701/' "$work/pair.yaml"
rm -f "$work"/*.view
(cd "$work" && exec "$UNDERSTUDY" run -c pair.yaml 2>log) & two=$! # without -n: the node that is of this host
joining() { local left=$(polls); until [ "$(field two state)" = JOINING ]; do poll || { cat "$work"/log*; return 1; }; done; }
ok "without -n the node of this host runs" joining
us drain >"$work/out" 2>&1
is "and is asked where no primary answers" "$? $(cat "$work/out")" "1 understudy: node two: JOINING: only a PROTECTED primary can hand over"
kill -TERM $two
wait $two
