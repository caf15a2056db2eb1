#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Drills of a pair on two servers: each pair file names a socket of the other node that is not there. The standby's server
# can have the primary killed, and the primary's the standby; what cannot be judged from a side is refused at once, and
# so is told what a drill waits for.
. "$(dirname "$0")/lib.sh"
need_lab
plan 21

ok "the pair is PROTECTED" env LAB_TIMING="solo_after_ms: 400" "$lab" up || exit 1
for node in a b; do # pair-a.yaml is that of a's server
    other=$([ $node = a ] && echo b || echo a)
    sed "s|control: .*/$other.sock|control: $LAB_DIR/elsewhere.sock|" "$pair" >"$LAB_DIR/pair-$node.yaml"
done

# A supervisor: starts the node again once its process is gone.
restart() { # NODE PID
    local i
    for ((i = 0; i < 200; i++)); do
        kill -0 "$2" 2>/dev/null || { sleep 1; "$lab" start "$1"; return; }
        sleep 0.1
    done
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

is "the primary's server refuses kill at once: no answer" "$(refused a kill)" 69
ok "and says whom it has to reach" grep -q 'a drill "kill" has to reach node b, which is to go on: .*elsewhere.sock' "$work/err"
is "it says nothing else" "$(wc -l <"$work/err")" 1
is "planned is refused" "$(refused a planned)" 69
is "the standby's server refuses hang at once" "$(refused b hang)" 69
ok "and says whom it has to reach" grep -q 'a drill "hang" has to reach node a, which it hurts: ' "$work/err"
is "standby-kill is refused" "$(refused b standby-kill)" 69
is "nobody was hurt" "$(field a state) $(field b state)" "PROTECTED READY"

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
ok "without its standby it is SOLO" await 5 b state SOLO
timeout -k 3 10 "$UNDERSTUDY" drill -c "$pair" kill --no-probe >"$work/out" 2>"$work/err"
is "a drill waits, and can be ended meanwhile" $? 124
is "and tells at once for what" \
    "$(sed 's/(.*)/(why)/; q' "$work/err")" "understudy: waiting up to 30 s for PROTECTED: a no answer, b SOLO (why)"
