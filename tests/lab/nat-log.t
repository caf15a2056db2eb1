#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The log of mappings (flow_log, `export`) with real collectors: nfcapd by UDP, and by TCP one whose bytes tshark decodes. What
# they kept is compared with a capture of the outside port, through kills: every mapping that left is there once.
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/nat-log.sh"
plan 19
kills=${NAT_LOG_KILLS:-2}

# A log that is full loses the same events on both nodes, and in a run without any.
python3 "$root/tests/lab/mkpcap.py" "$work/in.pcap" 4000 600
sed 's/events: .* }/events: 256 }/; s/monitor: {/& timeout: 3,/; s/lanes: 1/lanes: 2/' "$root/nfs/chains/logged.yaml" >"$work/logged.yaml"
ok "a pair that logs ends in the state of a run without replication" \
    timeout 900 "$UNDERSTUDY" replay -c "$work/logged.yaml" --kill primary@1000 --kill primary@3000 "$work/in.pcap"

export_by "udp: 10.98.0.1:4739"
"$lab" up --no-nodes && ways && collect udp || exit 1
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected || exit 1
ok "check says nothing against its file" bash -c "! '$UNDERSTUDY' check -c '$pair' 2>&1 >/dev/null | grep 'flow_log\|export'"
sed '/^ *export:/d' "$pair" >"$pair.none"
is "and warns of nodes that do not export" "$("$UNDERSTUDY" check -c "$pair.none" 2>&1 | grep -c 'the chain has flow_log and the node no export')" 2
rm "$pair.none"
capture "${LAB_PREFIX}server" eth0 left.pcap "tcp"
ok "a web server" serve
connections $((kills * 4 + 2))
ok "$kills kills" kills "$kills"
wait %?connect
diag "$(cat "$work/whole") connections"
ok "connections were whole" [ "$(cat "$work/whole")" -gt 20 ]
ok "all is exported" all_exported
is "nothing was lost" "$(us show flow_log -n a -o json | jq '[.. | .lost? // empty] | add')" 0
soon captured "${LAB_PREFIX}server" left.pcap 203.0.113.1 9
soon taken_in
end_all
ok "nfcapd's files can be read" kept_by_nfcapd udp
ok "what nfcapd kept is what left, each once" python3 "$judge" judge "$work/left.pcap" 203.0.113.1 $((kills * 100)) "$work/udp.kept"
diag "$(python3 "$judge" judge "$work/left.pcap" 203.0.113.1 $((kills * 100)) "$work/udp.kept" | tail -1)"
is "flows of monitor are there with both directions" "$(nfdump -q -R "$work/udp" -o raw 2>/dev/null |
    grep -c '^  in packets   = *[1-9]')" "$(nfdump -q -R "$work/udp" -o raw 2>/dev/null | grep -c '^  Elements .*: 1 2 4')"
"$lab" down

# The same over TCP; the collector dies as well, and comes back.
ip netns del "$space"
export_by "tcp: 10.98.0.1:4739"
"$lab" up --no-nodes && ways || exit 1
capture "$space" any tcp.pcap "tcp port 4739"
"$lab" start a
"$lab" start b
ok "a pair that exports by TCP is PROTECTED" is_protected
capture "${LAB_PREFIX}server" eth0 tcp-left.pcap "tcp"
ok "a web server" serve
connections 7
sleep 2
is "nobody is there to take it" "$(field a export.open)" false
many_wait() { [ "$(waiting a)" -gt 10 ]; }
ok "events wait" soon many_wait
collect_tcp
ok "a kill meanwhile" kills 1
wait %?connect
ok "all is exported" all_exported
soon captured "${LAB_PREFIX}server" tcp-left.pcap 203.0.113.1 9
soon captured "$space" tcp.pcap 10.98.0.1 4739
end_all
kept_by_tshark tcp.pcap
ok "what came by TCP is what left, each once, by its numbers" python3 "$judge" judge "$work/tcp-left.pcap" 203.0.113.1 500 "$work/tcp.pcap.kept"
diag "$(python3 "$judge" judge "$work/tcp-left.pcap" 203.0.113.1 500 "$work/tcp.pcap.kept" | tail -1)"
