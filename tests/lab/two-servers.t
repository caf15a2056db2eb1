#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair on two servers: each pair file names a socket of the other node that is not there. Either shows both nodes, the other
# one through its own, over the link; what acts does not go that way. Drills: the standby's server can have the primary killed,
# and the primary's the standby; what cannot be judged from a side is refused at once, and so is told what a drill waits for.
. "$(dirname "$0")/lib.sh"
need_lab
plan 39

ok "the pair is PROTECTED" "$lab" up || exit 1
for node in a b; do # pair-a.yaml is that of a's server
    other=$([ $node = a ] && echo b || echo a)
    sed "s|control: .*/$other.sock|control: $LAB_DIR/elsewhere.sock|" "$pair" >"$LAB_DIR/pair-$node.yaml"
done

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

"$lab" exec client bash -c 'for p in $(seq 3000 3400); do echo x >/dev/udp/203.0.113.100/$p; done'

knows() { from b status >"$work/b" 2>&1; }
is "the standby's server knows that the pair is PROTECTED" "$(soon knows; echo $?) $(head -n 1 "$work/b" | cut -d' ' -f1)" "0 PROTECTED"
ok "and what the primary says, through its own node, and how old that is" grep -qE '^a +primary +PROTECTED .*; said through node b, [0-9]+ ms ago$' "$work/b"
ok "its own node says so itself" sh -c "grep -E '^b +standby +READY' '$work/b' | grep -qv through"
from_a() { [ "$(from a status -o json | jq -r '[.state, .other.state, .other.asked_through] | join(" ")')" = "PROTECTED READY a" ]; }
ok "the primary's server knows the standby" soon from_a
is "one node, through the other one" "$(from b status -n a -o json | jq -r '[.role, .asked_through] | join(" ")')" "primary b"
is "what it says is what it says itself" "$(from b status -n a -o json | jq -r '.pid, .incarnation, .chain.hash')" "$(us status -n a -o json | jq -r '.pid, .incarnation, .chain.hash')"
has_them() { us show nat -o json | jq -c '[.rows[] | .port // .mapped // .] | length' | tee "$work/rows.a" | grep -qE '^(4[0-9]{2}|[5-9][0-9]{2})$'; }
ok "the flows are there" soon has_them
is "a long table comes whole" "$(from b show nat -o json | jq -c '[.rows[] | .port // .mapped // .] | length')" "$(cat "$work/rows.a")"
is "the counters as well" "$(from b show counters -o json | jq -r 'has("nat")')" true
both_tell() { [ "$(from b watch --past -o json 2>/dev/null | jq -r .node | sort -u | tr '\n' ' ')" = "a b " ]; } # it waits for half a second
ok "events of both" soon both_tell
is "the history of either" "$(from b history -n a -o json | jq -r '.sets[0].how')" start
top_has_both() { [ "$(from b top 2>&1 | grep -cE '^[ab] +(primary|standby) +(PROTECTED|READY)')" = 2 ]; }
ok "top has both" soon top_has_both

is "what acts does not go by the link" "$(from b set -n a nat udp=60 2>&1 | grep -c 'no node listens')" 1
is "nor does it when it is asked so" "$(ask b '{"cmd":"set","nf":"nat","key":"udp","value":"60","peer":true}' | jq -r .error.code)" invalid
is "and it did nothing" "$(us show nat -o json | jq -r .timeouts.udp)" 300
is_like "a command of the operator's finds its node as before" "$(from b hold 2>&1)" "hold: the role is held; *"
ok "and both nodes know it" await a authority.peer_knows true
us unpin >/dev/null

# ── drills ───────────────────────────────────────────────────────────────────────────────────────

# A supervisor: starts the node again once its process is gone.
restart() { # NODE PID
    local left=$(polls)
    while kill -0 "$2" 2>/dev/null; do poll || return; done
    sleep 1
    "$lab" start "$1"
}
drill_from() { # SERVER KIND
    local pair=$LAB_DIR/pair-$1.yaml
    drill "$2" --no-probe
}
# Exit code of a drill that is to be over before it would have waited for 30 s.
refused() { # SERVER KIND
    timeout 25 "$UNDERSTUDY" drill -c "$LAB_DIR/pair-$1.yaml" "$2" --no-probe >"$work/out" 2>"$work/err"
    echo $?
}

pids="$(field a pid) $(field b pid)"
is "the primary's server refuses kill at once: no answer" "$(refused a kill)" 69
ok "and says whom it has to reach" grep -q 'a drill "kill" has to reach node b, which is to go on: .*elsewhere.sock' "$work/err"
is "it says nothing else" "$(grep -vc '^understudy: waiting up to 30 s for PROTECTED' "$work/err")" 1
is "planned is refused" "$(refused a planned)" 69
is "the standby's server refuses hang at once" "$(refused b hang)" 69
ok "and says whom it has to reach" grep -q 'a drill "hang" has to reach node a, which it hurts: ' "$work/err"
is "standby-kill is refused" "$(refused b standby-kill)" 69
is "nobody was hurt" "$(is_protected && echo "$(field a pid) $(field b pid)")" "$pids"

restart a "$(field a pid)" &
ok "the standby's server has the primary killed" drill_from b kill
wait
is "it took over" "$(field b role)" primary
is "by the word of the guardian" "$(drilled '.runs[0].reason')" "the death notice"
ok "the times are known" jq -e '.runs[0] | .detect_ms >= 0 and .protected_ms > 0' "$work/drill.json"
is "what the primary held is not" "$(drilled '.runs[0].held')" null
is "digests equal" "$(drilled '.runs[0] | .digests_equal, (.digests.a == .digests.b)' | tr '\n' ' ')" "true true "

restart a "$(field a pid)" &
ok "the primary's server has the standby killed" drill_from b standby-kill
wait
is "digests equal" "$(drilled '.runs[0].digests_equal')" true
is "the primary stayed the primary" "$(field b role)" primary

kill -KILL "$(field a pid)"
ok "without its standby it is SOLO" await b state SOLO
from b status >"$work/b" 2>&1
is "a peer that is dead has no answer, and nobody waits for it" "$? $(grep -c '^a .*no answer: .*no node listens' "$work/b")" "2 1"
timeout -k 3 10 "$UNDERSTUDY" drill -c "$pair" kill --no-probe >"$work/out" 2>"$work/err"
is "a drill waits, and can be ended meanwhile" $? 124
is "and tells at once for what" \
    "$(sed 's/(.*)/(why)/; q' "$work/err")" "understudy: waiting up to 30 s for PROTECTED: a no answer, b SOLO (why)"
