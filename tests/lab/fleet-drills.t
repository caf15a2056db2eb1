#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What may happen to a fleet, with a real etcd and real nodes, while a connection passes through each shard: servers are drained,
# die one after the other, agents are killed in the middle of moves, power goes everywhere, and the shards' keys are lost.
FLEET_SERVERS=4 FLEET_SHARDS=3 FLEET_HOLD_DOWN=86400
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
plan 48

fleet_network && fleet_files || exit 1
etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do agent_start "$s"; done
ok "all shards are PROTECTED" all_protected || exit 1

# A connection through each shard, which says something once a second and must outlive all that follows.
for n in $shards; do speak "$n"; done

# ── a node's process dies ────────────────────────────────────────────────────────────────────────

server=$(said '.shards[0].primary') view=$(said '.shards[0].view')
kill -KILL "$(cat "$LAB_DIR/units/n1-$server.pid")"
ok "a primary's process dies: its standby serves" await_fleet ".shards[0] | .view > $view and .state != \"silent\"" true
ok "it is started again, and is standby" all_protected
is "where it was" "$(said ".shards[0].members | index(\"$server\") != null")" true

# ── a server is drained, and comes back ──────────────────────────────────────────────────────────

server=$(said '[.servers[] | select(.primaries > 0)][0].server')
ok "a server is drained" fleet drain "$server"
ok "it is empty" await_fleet "[.servers[] | select(.server == \"$server\")][0].nodes" 0
ok "and all are PROTECTED" all_protected
gone() { local left=$(polls); while pgrep -f "run -c $LAB_DIR/$server/" >/dev/null; do poll || return 1; done; }
ok "no node runs there" gone
ok "it is to be used again" fleet undrain "$server"

# ── a person moves a shard, and starts all nodes anew ────────────────────────────────────────────

to=$(said '.shards[0] as $n | [.servers[].server | select(. as $s | $n.members | index($s) | not)][0]')
ok "a shard is moved to a server that has no node of it" fleet move n1 "$to"
ok "its primary is there" await_fleet '.shards[0].primary' "$to"
ok "and all are PROTECTED" all_protected
before=$(for f in "$LAB_DIR"/units/*.pid; do p=$(cat "$f"); kill -0 "$p" 2>/dev/null && echo "$p"; done)
ok "all nodes are to be started anew" fleet upgrade
anew() { local left=$(polls) p old; while :; do old=; for p in $before; do kill -0 "$p" 2>/dev/null && old+=" $p"; done; [ -n "$old" ] || return 0; poll || { echo "still there:$old"; fleet status; return 1; }; done; }
ok "each was" anew
ok "and all are PROTECTED" all_protected
is "an agent of a server that is another machine is refused" "$(timeout 60 "$UNDERSTUDY" fleet agent -c "$LAB_DIR/fleet-s1.yaml" -n s1 2>&1 | grep -c 'expected the host of server s1')" 1
is "a second agent of a server is refused" "$(in_space s1 timeout 60 "$UNDERSTUDY" fleet agent -c "$LAB_DIR/fleet-s1.yaml" -n s1 2>&1 | grep -c 'another agent of this server runs')" 1

# ── a server where no node comes up ──────────────────────────────────────────────────────────────

# The move waits for a node there; the standby that there is stays meanwhile.
to=$(said '.shards[0] as $n | [.servers[].server | select(. as $s | $n.members | index($s) | not)][0]')
view=$(said '.shards[0].view')
rename() { ip -n "$LAB_PREFIX$to" -batch - <<<"link set $1 down"$'\n'"link set $1 name $2"$'\n'"link set $2 up promisc on"; }
rename n1-in away
fleet move n1 "$to"
sleep 8
ok "a shard is moved to where its node does not come up: it keeps the standby that it has" \
    await_fleet '.shards[0] | "\(.state) \(.protected) \(.view)"' "PROTECTED true $view"
undone() { fleet status; [ $? = 1 ]; }
ok "and status says that this is not done" soon undone
rename away n1-in
ok "its node comes up there: it is moved" await_fleet '.shards[0].primary' "$to"
all_protected

# ── agents are killed in the middle of a move ────────────────────────────────────────────────────

server=$(said '[.servers[] | select(.nodes > 0)][0].server')
ok "another one is drained" fleet drain "$server"
for s in $servers; do sleep 0.3; agent_restart "$s" KILL; done
ok "agents are killed meanwhile, one after the other: it is empty all the same" await_fleet "[.servers[] | select(.server == \"$server\")][0].nodes" 0
ok "and all are PROTECTED" all_protected
fleet undrain "$server"

# ── an agent is away while a move goes on and the world changes ──────────────────────────────────

# The move is ordered, and its node may not come up before the agent of n1's primary is away. What that agent then finds in its
# connections is an order that stands, and that it was withdrawn; etcd has dropped them, and compacted what they would go on with.
to=$(said '.shards[0] as $n | [.servers[].server | select(. as $s | $n.members | index($s) | not)][0]')
away=$(said '.shards[0].primary')
key() { in_etcd get --print-value-only understudy/lab/shards/n1 | jq -r "$1"; }
await_key() { local left=$(polls); until [ "$(key "$1")" = "$2" ]; do poll || { key .; return 1; }; done; }
rename n1-in gone
fleet move n1 "$to"
ok "a shard is to be moved" await_key .order.to "$to"
kill -STOP "${agent[$away]}"
rename gone n1-in
ok "its primary's agent is away: the new node comes up, and nobody has it taken" await_key .order.there true
ok "its lease is gone" await_fleet "[.servers[] | select(.server == \"$away\")][0].lease" false
fleet unmove n1
ok "the move is taken back, and its order with it" await_key .order null
touch "$LAB_DIR/units/n1-$away.stop"
kill -KILL "$(cat "$LAB_DIR/units/n1-$away.pid")"
ok "the primary dies: the shard is healed without that server" await_fleet ".shards[0] | .protected and (.members | index(\"$away\") == null)" true
kill -KILL $etcd
wait $etcd 2>/dev/null
etcd_start
etcd_answers
in_etcd put understudy/lab/other 1 >/dev/null
in_etcd compact "$(in_etcd endpoint status -w json | jq '.[0].Status.header.revision')" >/dev/null
all_protected
in_space "$away" env UNITS="$LAB_DIR/units" STATE="$LAB_DIR/$away" UNDERSTUDY="$UNDERSTUDY" "$LAB_DIR/bin/systemctl" start "understudy@n1-$away"
runs() { local left=$(polls); until [ -n "$(node_says n1 "$away" state)" ]; do poll || return 1; done; }
ok "the node there comes up again" runs
is_there=$(said '.shards[0] | "\(.members | sort) \(.view)"')
kill -CONT "${agent[$away]}"
ok "the agent goes on" await_fleet "[.servers[] | select(.server == \"$away\")][0].lease" true
stopped() { local left=$(polls); while [ -n "$(node_says n1 "$away" state)" ]; do poll || return 1; done; }
ok "it stops its node, which is a member no more" stopped
sleep 2
is "and nothing else has come of what it knew" "$(said '.shards[0] | "\(.members | sort) \(.view)"')" "$is_there"
ok "all are PROTECTED" all_protected

# ── a server dies, and another one while its shards heal ─────────────────────────────────────────

first=$(said '[.servers[] | select(.primaries > 0)][0].server')
second=$(said "[.servers[] | select(.server != \"$first\" and .nodes > 0)][-1].server")
server_dies "$first"
await_fleet .gone 1 # the leader has noted when: what goes 3 s later and more did not go at once
sleep 2             # a lease goes a second after its server's death, or later
# Who has a member that lives, and is primary or had all of the state, is not lost.
survive=$(said "[.shards[] | select((.primary | IN(\"$first\", \"$second\") | not) or (.protected and (.members - [\"$first\", \"$second\"] != []))) | .shard] | tostring")
server_dies "$second"
left() { await_fleet "[.shards[] | select(.shard as \$s | $survive | index(\$s)) | .protected and (.members - [\"$first\", \"$second\"] | length == 2)] | all" true; }
ok "two servers die, one while the other one's shards heal: who has a member that lives is PROTECTED again" left
diag "had one: $survive"
server_returns "$first"
server_returns "$second"
ok "they come back: all are PROTECTED" all_protected

# ── power goes everywhere, and comes back, at etcd last ──────────────────────────────────────────

kill -TERM "${speaker[@]}"
for p in "${speaker[@]}"; do wait "$p"; done
diag "$(grep -h . "$work"/steady-*.err; grep -h intact "$work"/steady-*)"
broken=$(for n in $(jq -r '.[]' <<<"$survive"); do grep -q intact "$work/steady-$n" || echo "$n"; done)
is "all their connections are intact" "$broken" ""
where=$(said '[.shards[] | .members | sort] | tostring')
kill -KILL $etcd
for s in $servers; do server_dies "$s"; done
for s in $servers; do server_returns "$s"; done
states() { local n s; for n in $shards; do for s in $servers; do node_says "$n" "$s" state; done; done | sort | uniq -c | xargs; }
wait_all() { # both nodes of each shard wait, and go on waiting
    local left=$(polls) wanted="$((2 * $(wc -w <<<"$shards"))) JOINING"
    until [ "$(states)" = "$wanted" ]; do poll || { states; return 1; }; done
    sleep 3
    [ "$(states)" = "$wanted" ] || { states; return 1; }
}
ok "without etcd nobody begins empty" wait_all
etcd_start
ok "etcd answers" etcd_answers
ok "all are PROTECTED again" all_protected
is "where they were" "$(said '[.shards[] | .members | sort] | tostring')" "$where"

# ── etcd has lost everything ─────────────────────────────────────────────────────────────────────

views=$(said '[.shards[] | .view] | tostring')
in_etcd del --prefix understudy/lab/shards/ >/dev/null
keys() { in_etcd get --prefix understudy/lab/shards/ --keys-only | grep -c shards; }
written() { local left=$(polls); until [ "$(keys)" = "$(wc -w <<<"$shards")" ]; do poll || { keys; return 1; }; done; }
ok "the shards' keys are deleted: they are written anew" written
is "as the nodes say, and nothing was begun anew" "$(said '[.shards[] | .view] | tostring')" "$views"
is "all are as they were" "$(said '[.shards[] | .members | sort] | tostring')" "$where"

# ── a person looks ───────────────────────────────────────────────────────────────────────────────

is_like "who names no server is told" "$(fleet drain s9 2>&1)" '*no server "s9" in this file, did you mean s1?'
in_etcd put understudy/lab/wishes/drain/s9 1 >/dev/null
is "what is wished of a server that the file has no more can be taken away" "$(fleet undrain s9; echo $?; in_etcd get understudy/lab/wishes/drain/s9)" 0
is_like "once" "$(fleet undrain s9 2>&1)" '*no server "s9" in this file, did you mean s1?'
is_like "who gives no verb as well" "$(fleet dance 2>&1 | head -n 1)" '*unknown verb "dance"*'
[ $bad = 0 ]
