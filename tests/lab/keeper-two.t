#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair behind two input keepers, each in a namespace of its own between learning bridges. Numbered datagrams both ways and
# a download by TCP: the active keeper is killed, stopped and woken, ended in order, killed together with the primary, cut off from
# the primary alone, and loses a port's carrier. Each time the other one is active, what is lost was sent
# before the switches knew its place, nothing comes twice or out of order, and the download is whole.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
command -v nft >/dev/null || skip_all "nftables is not installed"
plan 26
export LAB_KEEPER=two

ok "the pair is PROTECTED behind two keepers" "$lab" up || exit 1
# Which one it is depends on whom the primary heard within 100 ms of its beginning (docs/keeper.md).
find_active || exit 1
ok "the other one waits, and knows the primary" soon knows
web_files "$work/web" 24000000
WEB_RATE=600000 web_serve "$work/web"
web_fetch "$work/web" "$work/out" 1 1 &
download=$!

begin
find_active
victim=$(keeper $active pid) since=$(date +%s%3N)
ok "the active one is killed" kill -KILL "$victim"
ok "the other one feeds" is_active $waiting
ms=$(took $waiting $since)
end
ok "nothing twice or out of order, and nothing lost since the switches know" no_harm $ms
diag "killed: the other one was active after $(said_active $waiting $since) ms, its place known after $ms; $(lost) lost"
ok "both switches know where the chain's addresses are now" learned $waiting
ok "status says to people who is not heard" soon eval 'us status | grep -qx "keeper $active is not heard"'
"$lab" start $active
ok "the dead one comes back, and waits" waits $active
goes_on() { # the one that is active now, in a later keeper view that both know
    [ "$(keeper k keeper_view)" = "$(keeper l keeper_view)" ] && [ "$(highest)" -gt "$before" ] && { [ "$(who)" = $waiting ] || [ "$(stood)" -gt 0 ]; } ||
        { echo "$(who), k $(keeper k keeper_view), l $(keeper l keeper_view), before $before"; return 1; }
}
ok "in the keeper view of the other one, which goes on" soon goes_on

begin
find_active
victim=$(keeper $active pid) since=$(date +%s%3N)
kill -STOP "$victim"
ok "the active one is stopped: the other one feeds" is_active $waiting
ms=$(took $waiting $since)
sleep 2
mark # what it had given to a port shows the switches its own place for a moment
kill -CONT "$victim"
ok "it wakes, and waits" waits $active
left=$(keeper $active released)
end
ok "nothing twice or out of order, and nothing lost since the switches know" no_harm $ms 1
idle() { [ "$(keeper $active released) $(keeper $active feeds)" = "$left false" ] || [ "$(stood)" -gt 0 ]; }
ok "nothing has left by it since, and its own numbers are forgotten" idle
diag "stopped for 2 s: the other one was active after $(said_active $waiting $since) ms, its place known after $ms; $(lost) lost"

begin
find_active
victim=$(keeper $active pid) since=$(date +%s%3N)
kill -TERM "$victim"
ok "the active one is ended: the other one feeds" is_active $waiting
ms=$(took $waiting $since)
end
ok "nothing twice or out of order, and nothing lost since the switches know" no_harm $ms
diag "ended in order: the other one was active after $(said_active $waiting $since) ms, its place known after $ms; $(lost) lost"
"$lab" start $active
ok "it comes back, and waits" waits $active

begin
find_active
primary=$(keeper $active primary)
victim=$(keeper $active pid) node=$(field $primary pid) since=$(date +%s%3N)
kill -KILL "$victim" "$node"
ok "the active one is killed, and the primary with it: the other one feeds" is_active $waiting
ms=$(took $waiting $since)
end
ok "nothing twice or out of order, and nothing lost since the switches know" no_harm $ms
# Outputs of the tail are lost with keeper and primary at once (docs/keeper.md). Who becomes active then begins behind them. Who was active
# already, since the other one stood before it died, goes on with its numbers, and counts them.
survivor=$waiting tail=$(keeper $waiting lost) early=$(said_active $waiting $since)
diag "killed together with the primary: the other one was active after $early ms, its place known after $ms; $(lost) lost, of its numbers $tail"
"$lab" start $active
"$lab" start "$primary"
ok "both are back" is_protected

begin
find_active
primary=$(keeper $active primary)
"$lab" exec $active nft add table netdev cut
"$lab" exec $active nft add chain netdev cut in "{ type filter hook ingress device $active-keep priority 0; }"
since=$(date +%s%3N)
"$lab" exec $active nft add rule netdev cut in ip saddr 10.97.0.$([ "$primary" = a ] && echo 1 || echo 2) drop
ok "the active one does not hear the primary: the other one feeds" is_active $waiting
ms=$(took $waiting $since)
"$lab" exec $active nft delete table netdev cut
ok "it hears the primary again, and waits" waits $active
end
ok "nothing twice or out of order, and nothing lost since the switches know" no_harm $ms
diag "cut off from the primary: the other one was active after $(said_active $waiting $since) ms, its place known after $ms; $(lost) lost"

begin
find_active
since=$(date +%s%3N)
ip -n "${LAB_PREFIX}fabric" link set $active-out down
ok "the active one's port has no carrier: the other one feeds" is_active $waiting
ms=$(took $waiting $since)
mark # as behind the stop
ip -n "${LAB_PREFIX}fabric" link set $active-out up
end
# What its driver kept of an interface without carrier leaves when that has one again (docs/keeper.md), so order is not asked for here.
ok "nothing lost since the switches know" little_lost $ms
diag "without carrier: the other one was active after $(said_active $waiting $since) ms, its place known after $ms; $(way client server), $(way server client)"
[ "$early" -lt 0 ] || tail=0
is "the numbers went on all the time, of one state" "$(field "$primary" role) $(keeper $survivor lost) $(keeper "$(other $survivor)" lost)" "primary $tail 0"

wait $download
is "the download is whole" "$(web_count "$work/web" intact)" 1
