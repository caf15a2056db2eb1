#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair behind an input keeper, numbered datagrams both ways through a NAT, and kills of the primary and of the standby in
# turn: each datagram arrives once, whole, and in the order of its flow. Then a handover. Then the keeper itself is killed:
# what was in it is lost, nothing comes twice, and the pair goes on as it was.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
plan 17

ok "the pair is PROTECTED behind its keeper" "$lab" up || exit 1
is "the keeper feeds the primary" "$(us keeper status -o json | jq -r .primary)" a
begin
for i in 1 2 3; do
    ok "kill $i of the primary" kill_node primary
    ok "kill $i of the standby" kill_node standby
done
ok "a handover" us drain
end
is "from inside: enough sent; lost, twice, reordered, altered" "$(way client server)" "true 0 0 0 0"
is "from outside: the same" "$(way server client)" "true 0 0 0 0"
is "four times another primary, and the state was never lost" "$(us keeper status -o json | jq -r "[.takeovers, .begun, .lost, .lost_inputs, .incomplete] | join(\" \")")" "4 1 0 0 0"
diag "$(us keeper status -o json)"

view=$(field a view)
begin
ok "the keeper is killed" kill -KILL "$(ip netns pids "${LAB_PREFIX}k")"
sleep 0.5
"$lab" start k
ok "it comes back, and the pair is PROTECTED" is_protected 20
sleep 1
end
is "nothing is twice, reordered or altered" "$(way client server | cut -d' ' -f3-) $(way server client | cut -d' ' -f3-)" "0 0 0 0 0 0"
is "it goes on where the primary is" "$(us keeper status -o json | jq -r '[.primary, .takeovers, .begun, .lost, .view] | join(" ")')" "a 0 1 0 $view"
before=$(us keeper status -o json | jq .released)
ok "datagrams pass again" "$lab" exec client ping -q -c 20 -i 0.05 -W 1 203.0.113.100
diag "lost while it was away: $(way client server | cut -d' ' -f2) and $(way server client | cut -d' ' -f2); $before released"
