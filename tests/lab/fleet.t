#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Shards on several servers, with a real etcd and real nodes: they are placed, and heal when a server dies, by themselves.
FLEET_HOLD_DOWN=86400 # nothing is moved for balance, however long this takes
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
plan 18

fleet_network && fleet_files || exit 1
etcd_start
ok "etcd answers" etcd_answers || exit 1
ok "the fleet's file is whole" fleet check
for s in $servers; do agent_start "$s"; done
ok "all shards are PROTECTED" all_protected
# The nodes are asked: no reader of keys takes one server for both members.
two_nodes() {
    local n s count
    for n in $shards; do
        count=0
        for s in $servers; do [ -z "$(node_says "$n" "$s" state)" ] || count=$((count + 1)); done
        [ $count = 2 ] || { echo "$n has $count nodes"; return 1; }
    done
}
ok "each shard has two nodes, on two servers" two_nodes
is "a leader was elected" "$(said '.leader != null')" true
ok "nothing more is to be done" soon fleet status

for n in $shards; do
    k=$(number "$n")
    ip netns exec "${LAB_PREFIX}client" ping -c 2 -i 0.2 -W 2 "203.0.113.$((100 + k))" >/dev/null 2>&1 && pinged+=" $n"
done
is "each shard carries traffic" "$(echo $pinged)" "$(echo $shards)"

# ── a server dies ────────────────────────────────────────────────────────────────────────────────

victim=$(said '[.servers[] | select(.primaries > 0)][-1].server')
before=$(said '[.shards[] | .view] | add')
died=$(date +%s.%N)
server_dies "$victim"
healed() { await_fleet "[.shards[] | select((.members | index(\"$victim\")) or (.protected | not))] | length" 0; }
ok "a server dies: all shards are PROTECTED again without it, and no person did anything" healed
diag "$victim died; all PROTECTED again after $(echo "$(date +%s.%N) - $died" | bc) s"
is "views went on" "$([ "$(said '[.shards[] | .view] | add')" -gt "$before" ] && echo yes)" yes

# ── it comes back ────────────────────────────────────────────────────────────────────────────────

server_returns "$victim"
ok "it comes back" await_fleet "[.servers[] | select(.server == \"$victim\")][0].lease" true
ok "its shards stay protected" all_protected

# ── an agent hangs ───────────────────────────────────────────────────────────────────────────────

. tests/lab/supervised.sh
says=$work/words
kill "${agent[s1]}"
wait "${agent[s1]}" 2>/dev/null
agent_start s1 "$PWD/tests/lab/supervisor.py" "$says" 1500
ok "the agent tells who started it that it is ready, and goes on" feeds 3
kill -USR1 "${agent[s1]}"
ok "its main thread hangs" heard "thread stopped"
is "and its watchdog is fed no more, for three times its time" "$(sleep 4.5; fed_since "thread stopped")" 0
is "though its lease is kept" "$(said '[.servers[] | select(.server == "s1")][0].lease')" true
kill -USR2 "${agent[s1]}"
ok "it goes on" all_protected

# ── etcd dies ────────────────────────────────────────────────────────────────────────────────────

views=$(said '[.shards[] | .view] | tostring')
kill -KILL $etcd
sleep 4
still() {
    local n s
    for n in $shards; do
        for s in $servers; do [ "$(node_says "$n" "$s" state)" != PROTECTED ] || continue 2; done
        echo "$n is not PROTECTED"
        return 1
    done
}
ok "etcd dies: all go on" soon still
etcd_start
etcd_answers
all_protected >/dev/null
is "and nothing moved" "$(said '[.shards[] | .view] | tostring')" "$views"
[ $bad = 0 ]
