#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair behind an input keeper under numbered datagrams both ways, KEEPER_RATE a second each: 100 kills, of the primary, the
# standby, and both in turn; each datagram arrives once, whole, and in the order of its flow. Then 20 kills of the keeper, each
# in traffic of its own: nothing comes twice or out of order, and what is lost is no more than what was sent while it was away,
# and what was in it. Then as many of two keepers in turn. As part of make check-long.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../keeper.sh"
need_lab
kills=${KEEPER_KILLS:-100} deaths=${KEEPER_DEATHS:-20}
plan 12

rate=${KEEPER_RATE:-6000}
ok "the pair is PROTECTED behind its keeper" "$lab" up || exit 1
kill_all() {
    local i
    for ((i = 0; i < kills; i++)); do
        case $((i * 3 / kills)) in 0) kill_node primary ;; 1) kill_node standby ;; *) kill_node "$([ $((i % 2)) = 0 ] && echo primary || echo standby)" ;; esac || { echo "kill $i"; return 1; }
    done
}
begin
ok "$kills kills" kill_all
end
ok "enough was sent, and each arrives once, whole and in order" each_once
primaries=$(((kills + 2) / 3 + kills / 6))
is "the state was never lost" "$(us keeper status -o json | jq -r '[.begun, .lost, .lost_inputs, .incomplete] | join(" ")')" "1 0 0 0"
ok "and another primary each time" test "$(us keeper status -o json | jq .takeovers)" -ge $primaries
diag "$(jq -s 'map(.sent | add) | add' "$work/client.json" "$work/server.json") datagrams; $(us keeper status -o json | jq -c 'del(.nodes)')"

# What may be lost: what the keeper holds, its rings being what they are, and what comes from the kill until it feeds again.
worst=0 wrong=
die_all() {
    local i k begun ended lost
    for ((i = 0; i < deaths; i++)); do
        k=$(ip netns pids "${LAB_PREFIX}k")
        begin
        begun=$(date +%s%N)
        kill -KILL "$k"
        "$lab" start k
        until [ "$(us keeper status -o json 2>/dev/null | jq -r .primary)" != null ] && us keeper status >/dev/null 2>&1; do sleep 0.02; done
        ended=$(date +%s%N)
        sleep 0.5
        end
        lost=$(($(way client server | cut -d' ' -f2) + $(way server client | cut -d' ' -f2)))
        [ $lost -le $worst ] || worst=$lost
        most=$((2 * rate * ((ended - begun) / 1000000 + 100) / 1000))
        [ $lost -le $most ] || wrong="$wrong death $i: $lost lost, $most at most;"
        [ "$(way client server | cut -d' ' -f3-) $(way server client | cut -d' ' -f3-)" = "0 0 0 0 0 0" ] || wrong="$wrong death $i: $(way client server) $(way server client);"
    done
}
die_all
is "$deaths deaths of the keeper: nothing twice, reordered or altered, no more lost than came while it was away" "$wrong" ""
is "and the pair's state went on" "$(us keeper status -o json | jq -r '[.begun, .lost] | join(" ")')" "1 0"
diag "most that a death lost: $worst"
ok "the pair is PROTECTED" is_protected
ok "datagrams pass" "$lab" exec client ping -q -c 20 -i 0.05 -W 1 203.0.113.100

# Two of them, which die in turn: the dead one is back, and waits, before the next one dies.
"$lab" down
export LAB_KEEPER=two
ok "the pair is PROTECTED behind two keepers" "$lab" up
worst=0 wrong= slowest=0
die_in_turn() {
    local i active waiting before victim since ms lost
    for ((i = 0; i < deaths; i++)); do
        begin
        find_active || { wrong="$wrong death $i: not one is active;"; return; }
        victim=$(keeper "$active" pid)
        since=$(date +%s%3N)
        kill -KILL "$victim"
        is_active "$waiting" || { wrong="$wrong death $i;"; return; }
        ms=$(took "$waiting" "$since")
        "$lab" start "$active"
        sleep 0.5
        end
        lost=$(($(way client server | cut -d' ' -f2) + $(way server client | cut -d' ' -f2)))
        [ $lost -le $worst ] || worst=$lost
        [ $ms -le $slowest ] || slowest=$ms
        no_harm $ms >"$work/harm" || wrong="$wrong death $i: $(cat "$work/harm");"
        waits "$active" >/dev/null || wrong="$wrong death $i: $active does not wait;"
    done
}
die_in_turn
is "$deaths deaths of two keepers in turn: nothing twice, reordered or altered, nothing lost since the switches know" "$wrong" ""
diag "most that a death lost: $worst; the slowest: $slowest ms"
is "and the pair's state went on" "$(keeper "$(who)" lost) $(us status >/dev/null && echo protected)" "0 protected"
