#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A fleet's agents with a user of their own, nodes with another one: who hears etcd and who reads the file has no right, root's steward beside
# them starts the nodes, and all goes as with root: a shard begins, takes over from a server that dies, is healed, and ends when a person says so.
FLEET_SERVERS=3 FLEET_SHARDS=2 FLEET_USER=lab-agent FLEET_NODES_USER=lab-nodes FLEET_ON="s1, s2"
FLEET_HOLD_DOWN=86400 # nothing is moved for balance
# Both are users of this test alone.
if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || { echo "1..0 # SKIP wants root"; exit 0; }
    exec unshare -m --propagation private bash "$0" inside
fi
users=$(mktemp -d)
{ cat /etc/passwd; echo 'lab-nodes:x:64101:64101::/:/bin/false'; echo 'lab-agent:x:64102:64102::/:/bin/false'; } >"$users/passwd"
{ cat /etc/group; echo 'lab-nodes:x:64101:lab-agent'; echo 'lab-agent:x:64102:'; } >"$users/group"
mount --bind "$users/passwd" /etc/passwd && mount --bind "$users/group" /etc/group || exit 1
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
trap 'fleet_down; rm -rf "$users"' EXIT
plan 22

# Of all threads of PID: its user, whether one has a capability, whether they may get one, their filters of system calls.
may() { # PID
    awk '/^Uid:/ { uid[$2 " " $3 " " $4 " " $5] }
        /^Cap(Inh|Prm|Eff|Amb):/ && $2 !~ /^0+$/ { some = 1 }
        /^NoNewPrivs:/ { fixed[$2] }
        /^Seccomp:/ { filter[$2] }
        END {
            for (i in uid) printf "uid %s, ", i
            printf "%s capabilities, ", some ? "some" : "no"
            for (i in fixed) printf "no new ones %s, ", i
            for (i in filter) printf "filter %s", i
        }' /proc/"$1"/task/*/status
}
child() { sed 's/ .*//' "/proc/$1/task/$1/children"; }

fleet_network && fleet_files || exit 1
chown lab-nodes: "$LAB_DIR/pair.key" "$LAB_DIR/run"
etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do agent_start "$s"; done
ok "both shards are PROTECTED" all_protected || { tail -n 20 "$work"/agent-*.log "$LAB_DIR"/units/*.log; exit 1; }
none="uid 64102 64102 64102 64102, no capabilities, no new ones 1, filter 2"
steward=$(child "${agent[s1]}")
reader=$(child "$steward")
is "the agent, which hears etcd, has no right" "$(may "${agent[s1]}")" "$none"
is "nor has the reader of the fleet's file" "$(cat "/proc/$reader/comm"): $(may "$reader")" "reader: $none"
is "the steward is root's" "$(cat "/proc/$steward/comm"): $(may "$steward" | sed 's/,.*//')" "steward: uid 0 0 0 0"
sockets() { ls -l "/proc/$1/fd" 2>/dev/null | grep -c socket; }
is "the steward has two sockets, to the agent and to the reader" "$(sockets "$steward")" 2
is "the reader has one" "$(sockets "$reader")" 1
# What is on its way has .new behind its name until it is whole: a shard that has become PROTECTED is told once more.
is "pair files and what was told are root's" "$(find "$LAB_DIR/s1" -maxdepth 1 -type f ! -name '*.new' -printf '%u:%m %f\n' | sort)" \
    "$(printf 'root:%s\n' "600 agent.lock" "644 n1-s1.env" "644 n1-s1.yaml" "644 n1.told" "644 n2-s1.env" "644 n2-s1.yaml" "644 n2.told")"
is "a node's directory is the nodes' user's" "$(stat -c %U:%a "$LAB_DIR/s1/n1-s1")" lab-nodes:750
speak n1
lease_of() { in_etcd get -w json "understudy/lab/servers/$1" | grep -o '"lease":[0-9]*'; } # SERVER: of the agent that speaks for it
goes_on() { # SERVER LEASE: another agent speaks for it than the one with that lease, which outlives its agent
    local now
    now=$(lease_of "$1")
    [ -n "$now" ] && [ "$now" != "$2" ] && fleet status
}
before=$(lease_of s1)
disown "${agent[s1]}" # else the shell tells of its end
ok "an agent that is killed" kill -KILL "${agent[s1]}"
ends() { ! kill -0 "$steward" 2>/dev/null && ! kill -0 "$reader" 2>/dev/null; }
ok "takes its steward and its reader with it" soon ends
agent_start s1
ok "and the next one goes on" soon goes_on s1 "$before"
before=$(lease_of s2)
kill -KILL "$(child "${agent[s2]}")"
wait "${agent[s2]}"
is "an agent whose steward is gone ends, for its unit to start it anew" "$? $(grep -c 'the steward has ended' "$work/agent-s2.log")" "69 1"
agent_start s2
ok "and the next one goes on" soon goes_on s2 "$before"
server_dies s1
# As long as its lease lasts, status has the dead server's last word: only a heal makes it a member no more.
healed() { await_fleet '[.shards[] | select((.members | index("s1")) or .state != "PROTECTED" or (.protected | not))] | length' 0; }
ok "a server dies: the shards are healed on s3" healed
ends_intact "the connection has stayed" n1
server_returns s1 # what a server that is away has of a shard is not ended
is_back() { await_fleet '[.servers[] | select(.server == "s1")][0].lease' true && soon fleet status; }
ok "the server is back, and nothing is to be done" is_back
shards=n1
fleet_list $servers
ok "a shard that is not in the file any more ends when it is to" fleet remove n2 --wait 40
is "nothing of it is left" "$(ls "$LAB_DIR"/s? | grep -c n2)" 0
is "nor its key of the arbiter" "$(in_etcd get --keys-only understudy/lab/arbiter/n2)" ""
ok "the other one stays PROTECTED" all_protected
is "no steward was asked for what an agent may not" "$(cat "$work"/agent-*.log | grep -c refuses)" 0
