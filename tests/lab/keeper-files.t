#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A keeper whose file is not the nodes' feeds nothing, and one line of the primary says why. It could feed them until the first
# frame that they cannot take, and would send that again for ever. Where the key differs, the keeper says so.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
plan 17

ok "the pair is PROTECTED behind its keeper" "$lab" up || exit 1
kill "$(ip netns pids "${LAB_PREFIX}k")"
other=$LAB_DIR/other.yaml
said() { cat "$LAB_DIR"/[ab].log | grep -c "keeper k has another file"; }
differs() { # WHAT SED...: a keeper runs with the file as sed changes it
    local what=$1 before pid
    shift
    sed "$@" "$pair" >"$other"
    before=$(said)
    ip netns exec "${LAB_PREFIX}k" "$UNDERSTUDY" keeper -c "$other" -n k 2>>"$LAB_DIR/other.log" &
    pid=$!
    ok "$what: each node says that the file is another one" soon eval "[ \$(said) -ge $((before + 2)) ]"
    sleep 1
    timeout 60 "$UNDERSTUDY" keeper -c "$other" -n k status >/dev/null
    is "once, and nobody is fed" "$? $(($(said) - before))" "2 2"
    kill $pid
    wait $pid
    is "the keeper ends in order" $? 0
}
differs "longer frames" -e 's/^  lanes:/  frame_max: 4096\n  lanes:/' -e '/^  k:/s/blocksz=65536,framesz=2048,framecnt=4096/blocksz=266240,framesz=4160,framecnt=2048/g'
differs "two keepers" -e '/^  k:/{p;s/^  k:/  l:/;s/k-in/l-in/;s/k-out/l-out/;s/10.97.0.11/10.97.0.12/;s/k\.sock/l.sock/}'

differs "another VLAN" -e 's/name: outside, /name: outside, vlan: 7, /'

rm -f "$LAB_DIR/other.key"
"$UNDERSTUDY" key "$LAB_DIR/other.key"
sed 's/key: pair.key/key: other.key/' "$pair" >"$other"
ip netns exec "${LAB_PREFIX}k" "$UNDERSTUDY" keeper -c "$other" -n k 2>"$LAB_DIR/other.log" &
stranger=$!
ok "another key: the keeper says that what it hears is made without its own" soon grep "no node is heard; .* datagrams came from elsewhere, without a key" "$LAB_DIR/other.log"
is "its status says so" "$("$UNDERSTUDY" keeper -c "$other" -n k status | head -n 1)" "keeper k: feeds nobody: no node is heard"
ok "a node says that it hears no keeper" soon grep "no keeper is heard (k at 10.97.0.11:6081)" "$LAB_DIR/a.log"
kill $stranger
wait $stranger
"$lab" start k
ok "with its own file it feeds" soon us keeper status
ok "the pair is PROTECTED" is_protected
ok "packets pass" "$lab" exec client ping -q -c 20 -i 0.05 -W 1 203.0.113.100
is "the state was never lost" "$(us keeper status -o json | jq -r '[.begun, .lost_inputs] | join(" ")')" "1 0"
