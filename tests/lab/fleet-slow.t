#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A fleet with a real etcd and real nodes: a standby whose process stands for 80 of each 100 ms is moved to another server, the primary and the
# other shard stay where they are, and the server that the slow one has left gets none back while its ten minutes last.
FLEET_SERVERS=4 FLEET_SHARDS=2 FLEET_SLOW=45 FLEET_PROTECT="slow_ms: 15" FLEET_HOLD_DOWN=1
FLEET_ON_n1="s1, s2" FLEET_ON_n2="s3, s4"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/stutter.sh"
need_lab
. "$root/tests/lab/fleet.sh"
plan 12
trap 'kill "${stuttering:-}" "${pinging:-}" 2>/dev/null; fleet_down' EXIT

fleet_network && fleet_files || exit 1
etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do agent_start "$s"; done
ok "both shards are PROTECTED" all_protected || exit 1
speak n1
speak n2
primary=$(said '.shards[0].primary') slow=$(said '.shards[0] | (.members - [.primary])[0]')
other=$(said '.shards[1] | "\(.members | sort) \(.view)"')

in_space client ping -q -i 0.005 203.0.113.101 >"$work/pings" 2>&1 9>&- &
pinging=$!
stutter "$(cat "$LAB_DIR/units/n1-$slow.pid")" 80 20
ok "its standby is moved away" await_fleet ".shards[0].members | index(\"$slow\")" null
ok "and the shard is PROTECTED" all_protected
is "its primary is where it was" "$(said '.shards[0].primary')" "$primary"
is "the other shard as well, in its view" "$(said '.shards[1] | "\(.members | sort) \(.view)"')" "$other"
ok "an agent says why" grep -qh "shard n1: re-pair with s[34]: its standby on $slow is slow: its process stands at times$" "$work"/agent-*.log
stutter_ends
is "nobody was given up twice" "$(node_says n1 "$primary" slow.count)" 1

# Drained, a server's standby goes anywhere else, but not to where it was slow.
to=$(said '.shards[0] | (.members - [.primary])[0]')
fleet drain "$to"
ok "the server that it has come to is drained" await_fleet ".shards[0].members | index(\"$to\")" null
ok "and all are PROTECTED" all_protected
is "it does not go back to where it was slow" "$(said ".shards[0].members | index(\"$slow\")")" null
kill -INT "$(pgrep -x -P $pinging ping || echo $pinging)"
wait $pinging
ends_intact "the shard's connection was never broken" n1
