#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The control sockets of a node whose lane stands: whoever asks the lane is told so, everybody else is answered meanwhile.
# And of a node with several lanes, which all are asked to clear an entry that one of them has. Who may do what at which of
# three sockets, and that each command which acts is an event with its user.
# No root: a node without protection, without traffic.
. "$(dirname "$0")/lib.sh"
plan 26

need_work

# A node that runs without a peer has exit code 2.
answers() { us status -n one >/dev/null 2>&1; [ $? = 2 ]; }
await_rows() { # the lane shows its state again
    local left=$(polls)
    until us show -n one stand >/dev/null 2>&1; do
        poll || return 1
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
ok "the node begins alone" await one state SOLO
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
ok "a node with three lanes begins" await one state SOLO
for lane in 0 1 2; do
    is "an entry of lane $lane is cleared" "$(us clear -n one stand $lane 2>&1)" "clear stand $lane: done"
done
is "no lane has the entry: said once all were asked" "$(refused 3)" "understudy: node one: 3: no such entry
65"
is "another refusal ends it" "$(refused x)" "understudy: node one: x: expected a number
65"
is "an entry is cleared after a refusal" "$(us clear -n one stand 2 2>&1)" "clear stand 2: done"
is "a clear of everything is every lane's" "$(us clear -n one stand 2>&1)" "clear stand: done"

# The three sockets, in a directory that everybody may enter. Root asks as another user, who is in the group, or is not;
# who is not root closes the others to himself.
kill -TERM $node
wait $node
sockets=$(mktemp -d /tmp/us-control-XXXXXX)
chmod 755 "$sockets"
trap '[ -z "$node" ] || kill -KILL "$node" 2>/dev/null; rm -rf "$work" "$sockets"' EXIT
group=$(id -gn) with=
[ "$(id -u)" != 0 ] || { group=nogroup with="setpriv --groups 0,65534"; } # as a unit's SupplementaryGroups
sed "s|control: one.sock,|control: $sockets/one.sock, operators: $group,|" "$work/pair.yaml" >"$work/roles.yaml"
pair=$work/roles.yaml
$with "$UNDERSTUDY" run -c "$pair" -n one 2>"$work/log" &
node=$!
# Says a request at a socket, as a member of the group or of none: the code of a refusal, or what was done.
says() { # member|stranger SUFFIX REQUEST
    local as=()
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid 1 --regid "$([ "$1" = member ] && echo nogroup || echo daemon)" --clear-groups)
    "${as[@]}" /usr/bin/python3 - "$sockets/one.sock$2" "$3" <<'END'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
try:
    s.connect(sys.argv[1])
except PermissionError:
    print("denied")
    sys.exit()
s.sendall(sys.argv[2].encode() + b"\n")
a = json.loads(s.makefile().readline())
print(a["error"]["code"] if "error" in a else a.get("role") or a.get("change") or "looks")
END
}
ok "a node with operators begins" await one state SOLO
is "the sockets' modes" "$(stat -c '%a %n' "$sockets"/one.sock* | sed "s|$sockets/one.sock||" | tr '\n' ' ')" "660  666 .look 660 .operate "
is "who operates holds and looks, and changes no state" "$(says member .operate '{"cmd":"hold"}'; says member .operate '{"cmd":"show","nf":"stand"}'; says member .operate '{"cmd":"set","nf":"stand","key":"soon","value":"1"}'; says member .operate '{"cmd":"apply"}'; says member .operate '{"cmd":"promote"}')" "held
looks
no permission
no permission
no permission"
is "who looks does not operate" "$(says stranger .look '{"cmd":"unpin"}'; says stranger .look '{"cmd":"history"}')" "no permission
looks"
if [ "$(id -u)" = 0 ]; then
    is "others reach neither of those that act" "$(says member '' '{"cmd":"hold"}'; says stranger '' '{"cmd":"hold"}'; says stranger .operate '{"cmd":"hold"}')" "denied
denied
denied"
else
    skip "others reach neither of those that act" "not root"
fi
is "the program finds the socket that it may use" "$([ "$(id -u)" = 0 ] || chmod 0 "$sockets/one.sock"; us unpin -n one)" "unpin: the role is free; node one knows it, and tells node two when they meet"
[ "$(id -u)" = 0 ] || chmod 660 "$sockets/one.sock"
us set -n one stand soon=1 >/dev/null
us clear -n one stand 9 >/dev/null 2>&1
# A thread of its own makes lines of events, behind the answer to the command.
has_events() { us watch --past --event command -n one -o json 2>/dev/null >"$work/events"; [ "$(wc -l <"$work/events")" -ge 4 ]; }
soon has_events
as=$(id -un)
[ "$(id -u)" != 0 ] || as=daemon
is "each that acts is an event: who, what, and what came of it" "$(jq -r '.fields | "\(.user) \(.command): \(.outcome)"' "$work/events")" "$as hold: done
$(id -un) unpin: done
$(id -un) set stand soon=1: done
$(id -un) clear stand 9: 9: no such entry"
ok "with the process that asked" jq -se 'length == 4 and all(.[]; .fields.pid > 1)' "$work/events"
