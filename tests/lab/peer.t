#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One look at both: of two servers, each of whose pair files names a socket of the other node that is not there, either
# shows both nodes, the other one through its own, over the link. What acts does not go that way.
. "$(dirname "$0")/lib.sh"
need_lab
plan 19

from() { timeout 60 "$UNDERSTUDY" "$2" -c "$LAB_DIR/pair-$1.yaml" "${@:3}"; } # SERVER SUBCOMMAND…
ask() { # NODE REQUEST: a line of JSON, at its socket
    python3 - "$LAB_DIR" "$pair" "$1" "$2" <<'END'
import re, socket, sys
path = re.search(r"control: *\"?([^\s,}\"]*/%s\.sock)" % sys.argv[3], open(sys.argv[2]).read()).group(1)
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(path)
s.sendall(sys.argv[4].encode() + b"\n")
print(s.makefile().readline(), end="")
END
}

ok "the pair is PROTECTED" "$lab" up || exit 1
for node in a b; do
    other=$([ $node = a ] && echo b || echo a)
    sed "s|control: .*/$other.sock|control: $LAB_DIR/elsewhere.sock|" "$pair" >"$LAB_DIR/pair-$node.yaml"
done
"$lab" exec client bash -c 'for p in $(seq 3000 3400); do echo x >/dev/udp/203.0.113.100/$p; done'

from b status >"$work/b" 2>&1
is "the standby's server knows that the pair is PROTECTED" "$? $(head -n 1 "$work/b" | cut -d' ' -f1)" "0 PROTECTED"
ok "and what the primary says, through its own node, and how old that is" grep -qE '^a +primary +PROTECTED .*; said through node b, [0-9]+ ms ago$' "$work/b"
ok "its own node says so itself" sh -c "grep -E '^b +standby +READY' '$work/b' | grep -qv through"
is "the primary's server knows the standby" "$(from a status -o json | jq -r '[.state, .other.state, .other.asked_through] | join(" ")')" "PROTECTED READY a"
is "one node, through the other one" "$(from b status -n a -o json | jq -r '[.role, .asked_through] | join(" ")')" "primary b"
is "what it says is what it says itself" "$(from b status -n a -o json | jq -r '.pid, .incarnation, .chain.hash')" "$(us status -n a -o json | jq -r '.pid, .incarnation, .chain.hash')"
has_them() { us show nat -o json | jq -c '[.rows[] | .port // .mapped // .] | length' | tee "$work/rows.a" | grep -qE '^(4[0-9]{2}|[5-9][0-9]{2})$'; }
ok "the flows are there" soon 10 has_them
is "a long table comes whole" "$(from b show nat -o json | jq -c '[.rows[] | .port // .mapped // .] | length')" "$(cat "$work/rows.a")"
is "the counters as well" "$(from b show counters -o json | jq -r 'has("nat")')" true
is "events of both" "$(from b watch --past -o json 2>/dev/null | jq -r .node | sort -u | tr '\n' ' ')" "a b "
is "the history of either" "$(from b history -n a -o json | jq -r '.sets[0].how')" start
is "top has both" "$(from b top 2>&1 | grep -cE '^[ab] +(primary|standby) +(PROTECTED|READY)')" 2

is "what acts does not go by the link" "$(from b set -n a nat udp=60 2>&1 | grep -c 'no node listens')" 1
is "nor does it when it is asked so" "$(ask b '{"cmd":"set","nf":"nat","key":"udp","value":"60","peer":true}' | jq -r .error.code)" invalid
is "and it did nothing" "$(us show nat -o json | jq -r .timeouts.udp)" 300
is "a command of the operator's finds its node as before" "$(from b hold 2>&1)" "hold: the role is held; both nodes know it"

kill -KILL "$(field a pid)"
await 10 b state SOLO
from b status >"$work/b" 2>&1
is "a peer that is dead has no answer, and nobody waits for it" "$? $(grep -c '^a .*no answer: .*no node listens' "$work/b")" "2 1"
"$lab" start a
ok "PROTECTED, and seen from both" eval 'is_protected && from a status >/dev/null && from b status >/dev/null'
