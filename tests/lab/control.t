#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The control sockets of a node whose lane stands: whoever asks the lane is told so, everybody else is answered meanwhile.
# And of a node with several lanes, which all are asked to clear an entry that one of them has.
# No root: a node without protection, without traffic.
. "$(dirname "$0")/lib.sh"
plan 18

need_work

# A node that runs without a peer has exit code 2.
answers() { us status -n one >/dev/null 2>&1; [ $? = 2 ]; }
await_rows() { # the lane shows its state again
    local end=$((SECONDS + 20))
    until us show -n one stand >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
    done
}

ok "the NF whose lane stands builds" gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" -shared \
    -o "$work/stand.so" "$root/tests/lab/stand.c"
cat >"$work/pair.yaml" <<END
chain: { name: stand, modules: [ stand.so ], nfs: [ stand: {} ] }
protect: { mode: off }
nodes:
  one: { role: primary, ports: { inside: "net_null0,no-rx=1", outside: "net_null1,no-rx=1" }, replication: "127.0.0.1:4731", control: one.sock, mbufs: 2048, memory_mb: 128 }
  two: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4732", control: two.sock }
END
pair=$work/pair.yaml
"$UNDERSTUDY" run -c "$pair" -n one 2>"$work/log" &
node=$!
ok "the node begins alone" await 20 one state SOLO
is "and can be looked at" "$(us show -n one stand -o json)" '{"nf":"stand","rows":[{"ms":0}],"tables":{},"counters":null,"timeouts":{}}'

# One connection asks for what the lane does not do now; others are answered before it is.
# A lane may stand so for less than three seconds, and says after two that it does not answer: on a busy machine it may
# have gone on before it is asked, and stands again.
ask_standing() {
    local try
    for try in 1 2 3 4 5; do
        us set -n one stand soon=2700 || return 1
        us show -n one stand >"$work/show" 2>&1 &
        show=$!
        answers || return 1
        wait $show
        grep -q understudy "$work/show" && return 0
        await_rows
    done
    return 1
}
ok "status is answered while it stands" ask_standing
is "who asks the lane is told that it does not answer" "$(cat "$work/show")" "understudy: node one: lane 0 does not answer"
ok "the lane goes on then" await_rows

us set -n one stand at_once=8000 >"$work/set" 2>&1 &
set=$!
sleep 0.5
ok "status is answered while it stands in a command" answers
wait $set
is "who gave the command is told" "$(cat "$work/set")" "understudy: node one: lane 0 takes long to answer"
is "and who asks next, too" "$(us show -n one stand 2>&1)" "understudy: node one: lane 0 is still at an earlier question"
ok "the lane goes on then" await_rows

# A node with three lanes, each of which has the entry of its own number.
kill -TERM $node
wait $node
sed 's/name: stand,/& lanes: 3,/' "$work/pair.yaml" >"$work/lanes.yaml"
pair=$work/lanes.yaml
"$UNDERSTUDY" run -c "$pair" -n one 2>"$work/log" &
node=$!
refused() { # KEY: the exit code, and what is said
    us clear -n one stand "$1" 2>&1
    echo "$?"
}
ok "a node with three lanes begins" await 20 one state SOLO
for lane in 0 1 2; do
    is "an entry of lane $lane is cleared" "$(us clear -n one stand $lane 2>&1)" "clear stand $lane: done"
done
is "no lane has the entry: said once all were asked" "$(refused 3)" "understudy: node one: 3: no such entry
65"
is "another refusal ends it" "$(refused x)" "understudy: node one: x: expected a number
65"
is "an entry is cleared after a refusal" "$(us clear -n one stand 2 2>&1)" "clear stand 2: done"
is "a clear of everything is every lane's" "$(us clear -n one stand 2>&1)" "clear stand: done"
