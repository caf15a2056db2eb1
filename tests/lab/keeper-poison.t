#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A packet of death behind an input keeper, which feeds the successor what killed at once, and as an ordinary client's TCP
# sends it again: one node dies of it, the other one sets it aside and serves, nodes and keeper agree on the numbers, and
# numbered datagrams both ways arrive once and in order, but for those that a quarantine has set aside and tells of. Then a
# kill -9, a release by the operator, and a death of which nobody knows the packet. The NF is tests/lab/poison.c.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
. "$(dirname "$0")/dying.sh"
need_lab
command -v tshark >/dev/null || skip_all "tshark is not installed"
plan 28

rate=500 # so that a busy machine carries it
export LAB_MODULES=$work/poison.so LAB_PROTECT="mode: log, quarantine_s: 600, gather_us: 1000"
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } }, { poison: {} }, { monitor: { max_flows: 20000 }"

ok "an NF that dies of a word" gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" -shared \
    -o "$work/poison.so" tests/lab/poison.c
ok "the pair is PROTECTED behind its keeper" "$lab" up || exit 1
web_files "$work" 1 4000 4000 4000
ok "a web server behind the chain" web_serve "$work"

# One connection, on which the kernel sends the request again as often as it likes meanwhile.
deadly_request() { # WORD SECONDS
    "$lab" exec client curl -q --silent --max-time "$2" -H "X-Word: $1" http://203.0.113.100/0 >/dev/null
}
deaths() { us incidents -o json | jq -r '.incidents | length'; }
died() { [ "$(deaths)" = "$1" ]; } # a reporter tells of it behind the node's end
keeper() { us keeper status -o json | jq -r "[.$1] | join(\" \")"; }
begun="begun, .lost, .lost_inputs, .incomplete"
# Of what quarantines have set aside: numbered datagrams.
aside() { for n in a b; do [ ! -e "$LAB_DIR/$n/$n.quarantine.pcapng" ] || tshark -r "$LAB_DIR/$n/$n.quarantine.pcapng" -Y 'udp.port == 7000' 2>/dev/null; done | wc -l; }
lost() { jq -s '([.[].sent | add] | add) - ([.[].got[][0]] | add)' "$work/client.json" "$work/server.json"; }
# Each way: sent enough; twice, reordered, altered. What is lost beside is told apart.
exact() { for w in "client server" "server client"; do way $w | cut -d' ' -f1,3-; done | paste -sd' '; }

# What the client's kernel would send again, of a connection that nobody has any more, would kill as soon as the packet is released: from
# here on the client asks nothing more, until it may again.
quiet() {
    "$lab" exec client nft add table inet quiet
    "$lab" exec client nft add chain inet quiet out "{ type filter hook output priority 0; }"
    "$lab" exec client nft add rule inet quiet out tcp dport 80 drop
}

explain() {
    diag "$(us keeper status -o json | jq -c .)"
    for d in k-in k-out; do diag "$("$lab" exec k ip -j -s -s link show $d | jq -c '.[].stats64')"; done
    for n in client server; do diag "$n $(jq -c '[(.sent|add), ([.got[][0]]|add), ([.got[][1]]|add)]' $work/$n.json) $("$lab" exec $n nstat -az 2>/dev/null | grep -E "UdpInErrors|UdpRcvbufErrors|UdpInDatagrams|UdpOut|UdpSndbuf" | tr -s ' \n' ' ')"; done
    diag "$(cat $LAB_DIR/[abk].log | sort | grep -v warning.*takes)"
}

# ---- a packet that is known ----
begin
ok "a packet that kills is fed again, and sent again, and set aside" deadly_until_dropped KILL-KNOWN b 3
dropped=$(field b quarantine.dropped)
is "the successor serves" "$(field b role)" primary
ok "one death" soon died 1
is "the other node's log tells of it" "$(grep -c 'come again, and are dropped' "$LAB_DIR/b.log")" 1
"$lab" start a
ok "both nodes are back, and PROTECTED" is_protected
is "the keeper has the nodes' numbers" "$(keeper "$begun")" "1 0 0 0"
kill -KILL "$(field b pid)"
ok "after a kill -9 the first one takes over" await a role primary
deadly_until_dropped KILL-KNOWN a 1
soon died 2
is "which knows the request" "$(field a role) $(deaths)" "primary 2"
"$lab" start b
ok "and the pair is PROTECTED" is_protected
end
is "nothing was twice, out of order or altered" "$(exact)" "true 0 0 0 true 0 0 0"
is "what is lost was set aside" "$(lost)" "$(aside)" || explain
is "the keeper has had the nodes' numbers all along" "$(keeper "$begun")" "1 0 0 0"
diag "set aside: $dropped frames, $(aside) numbered datagrams; lost $(lost)"
tshark -r "$LAB_DIR/b/b.quarantine.pcapng" -T fields -e frame.comment -e tcp.payload 2>/dev/null >"$work/packets"
word=$(printf KILL-KNOWN | od -An -tx1 | tr -d ' \n')
ok "it lies in a pcapng with the numbers of its burst and its input" \
    grep -qE "^dropped in lane 0, burst [0-9]+, input [0-9]+	[0-9a-f]*$word" "$work/packets"
ok "and Prometheus counts it" test "$(us status -n a -o json | jq '.quarantine.dropped')" -ge 1

# ---- released ----
quiet
ok "an operator releases it" us clear quarantine
is "nothing is dropped" "$(us status -n a -o json | jq -c '.quarantine.nf')" null
"$lab" exec client nft delete table inet quiet
deadly_request KILL-KNOWN 120 &
request=$!
soon died 3
kill "$(pgrep -P $request curl || echo $request)"
wait $request
is "so it kills once more" "$(field b role) $(deaths)" "primary 3"
"$lab" start a
ok "the pair is PROTECTED" is_protected

# ---- a packet that is not known: the whole burst is suspected ----
rm -f "$LAB_DIR"/[ab]/*.quarantine.pcapng
begin
touch "$work/asks"
# Two segments at once, of which the second one kills, again and again.
while [ -e "$work/asks" ]; do
    "$lab" exec client timeout 3 python3 -c '
import socket, time
end = socket.create_connection(("203.0.113.100", 80))
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
end.sendall(b"POST /0 HTTP/1.1\r\nHost: one\r\nContent-Length: 9000\r\n\r\n" + b"f" * 1440 + b"KILL-UNKNOWN")
time.sleep(3)' 2>/dev/null
done &
request=$!
ok "the other one takes over" await a role primary
"$lab" start b
# Once the pair is PROTECTED the suspects pass, one in a burst, with what is not suspected.
ok "which meets the packet once more, and tells which it was" await b role primary ||
    diag "$(grep -h uspect "$LAB_DIR/a.log" "$LAB_DIR/b.log")"
rm "$work/asks"
soon died 5
is "by one fingerprint" "$(us incidents -o json | jq -r '.incidents | max_by(.directory | sub(".*crash-"; "")) | .report.packets | length')" 1
"$lab" start a
wait $request
ok "the pair is PROTECTED" is_protected
end
is "five deaths in all, one by kill -9, and the keeper has the nodes' numbers" "$(deaths) $(keeper "$begun")" "5 1 0 0 0"
is "nothing was twice, out of order or altered" "$(exact)" "true 0 0 0 true 0 0 0"
quiet
us clear quarantine >/dev/null
lost_is_aside() { [ "$(lost)" = "$(aside)" ] || { echo "lost $(lost), set aside $(aside)"; return 1; }; }
ok "what is lost was set aside" soon lost_is_aside || explain
diag "lost $(lost)"
