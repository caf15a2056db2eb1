#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another node takes the standby's place where nodes have two ways, and one of them is cut meanwhile; afterwards each is cut in
# turn. The pair stays PROTECTED, nobody is resynced for it, and clients keep their connections.
export LAB_SPARES="c" LAB_WAYS=2 LAB_PROTECT="strict: true"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ways.sh"
need_lab
command -v nft >/dev/null || skip_all "nftables is not installed"
plan 23
export LAB_TIMING="heartbeat_ms: 2, detect_ms: 2000"

refused() { field "$1" 'lanes | map(.heartbeats_refused) | add'; }

ok "a lab without nodes" "$lab" up --no-nodes || exit 1
joined=(a b c)
filters
for n in a b c; do "$lab" start $n; done
ok "the pair is PROTECTED" is_protected || exit 1
ok "both ways stand" both_stand
ok "the spare is no member" await c member false
asked=$(python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"{\"cmd\": \"status\", \"peer\": true}\n")
print(s.recv(4096).decode())' "$LAB_DIR/c.sock.look")
is_like "and has no peer that could be asked" "$asked" "*node c has no peer*"
ok "a has heard it" await a visitor.node c
before="$(refused a) $(refused b)"
sleep 1
is "a spare is no reason for heartbeats to be refused" "$(refused a) $(refused b)" "$before"
probing 7007 4

cut 0
ok "a way is cut: the other one carries" await a 'link.ways | map(.stands) | join(" ")' "false true"
is "status says so to people" "$(us status | grep 'is lost')" "way 10.99.0.1 is lost"
ok "c takes b's place over the way that is left" us re-pair c
ok "the pair is PROTECTED" is_protected
is "it is a and c" "$(field a 'members | tostring')" '["a","c"]'
second=c
is "by the one way" "$(stands a) $(stands c)" "false true false true"
mend 0
ok "the other one is there again, with c" both_stand
before="$(course a) $(course c)"
for way in 1 0; do
    cut $way
    ok "way $way is cut afterwards: the other one carries" await a 'link.ways | map(.carries) | index(true)' $((1 - way))
    sleep 1
    ok "the pair stays PROTECTED, nobody is resynced" unchanged
    mend $way
    ok "both stand again" both_stand
done
ok "digests are equal" test "$(us verify -o json | jq .equal)" = true
ok "c takes over what it was given" us drain
probing_ends
is "clients keep their connections" "$(seen '.flows_broken + .contradicted')" 0
