#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A fleet whose etcd has three members: each of them dies, its leader stands, all stand for longer than a lease, all leases end at once, all die. No shard
# moves, no node ends, what passes goes on, and people are told.
FLEET_SERVERS=4 FLEET_SHARDS=3 FLEET_ETCDS=3
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
plan 42

fleet_network && fleet_files || exit 1
for m in $etcds; do etcd_start "$m"; done
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do agent_start "$s"; done
ok "all shards are PROTECTED" all_protected || exit 1
status_ends() { # CODE: `fleet status` ends with it
    local left=$(polls) code
    until fleet status >"$work/status" 2>&1; code=$?; [ $code = "$1" ]; do
        poll || { echo "$code"; cat "$work/status"; return 1; }
    done
}
ok "and nothing more is to be done" status_ends 0

# ── what must stay ───────────────────────────────────────────────────────────────────────────────

speakers=()
for n in $shards; do
    k=$(number "$n")
    ip netns exec "${LAB_PREFIX}server" python3 "$root/tests/lab/flow.py" serve "203.0.113.$((100 + k))" $((7000 + k)) 9>&- &
    ip netns exec "${LAB_PREFIX}client" python3 "$root/tests/lab/flow.py" ask "203.0.113.$((100 + k))" $((7000 + k)) "$work/flow-$n" \
        2>"$work/flow-$n.err" 9>&- &
    speakers+=($!)
done
# Of each node: its process, in which view it is, and as what. It is the nodes that are asked, not etcd.
nodes() {
    local n s says
    for n in $shards; do
        for s in $servers; do
            says=$(node_says "$n" "$s" '| "\(.pid) \(.role) \(.state) \(.view)"')
            [ -z "$says" ] || echo "$n-$s $says"
        done
    done
}
as_before() { # nodes are as they were
    local left=$(polls)
    until [ "$(nodes)" = "$before" ]; do
        poll || { diff <(echo "$before") <(nodes); return 1; }
    done
}
passes() { # who asks does so still, and since $since no answer stayed away for 3 s
    local late
    kill -0 "${speakers[@]}" || return 1
    late=$(awk -v since="$since" '$2 >= since && $3 >= 3000 { print FILENAME ": " $0 }' "$work"/flow-n?)
    [ -z "$late" ] || { echo "$late"; return 1; }
}
longest() { awk -v since="$since" '$2 >= since && $3 > max { max = $3 } END { print max + 0 }' "$work"/flow-n?; }
begin() { before=$(nodes) since=$(date +%s.%3N) lost=$(leases_lost); }
leases_lost() { cat "$work"/agent-*.log | grep -c 'the lease of server .* is gone'; }
say() { diag "$1: leases that a leader saw go: $(($(leases_lost) - lost)); longest silence through a shard: $(longest) ms"; }
leader() { # number of the member
    in_etcd endpoint status -w json 2>/dev/null | jq -r '.[] | select(.Status.leader == .Status.header.member_id) | .Endpoint | capture("97.0.1(?<m>[0-9]+):").m | tonumber'
}

# ── one member dies ──────────────────────────────────────────────────────────────────────────────────

for m in $etcds; do
    was=$(leader)
    begin
    kill -KILL "${etcd[m]}"
    what="member $m of etcd dies$([ "$was" != "$m" ] || echo ", the leader")"
    sleep 5
    ok "$what: no node has moved or ended" as_before
    ok "status tells all is well" status_ends 0
    ok "and what passes goes on" passes
    say "$what"
    etcd_start "$m"
    ok "it comes back" etcd_answers
done
begin
kill -KILL "${etcd[0]}"
to=$(said '.shards[0] | .members - [.primary] | .[0]')
ok "while the first member is dead a person moves a shard" fleet move n1 "$to"
ok "and it goes there" await_fleet '.shards[0].primary' "$to"
ok "and is PROTECTED" all_protected
etcd_start 0
ok "the member comes back" etcd_answers
ok "nothing more is to be done" status_ends 0

# ── elections ────────────────────────────────────────────────────────────────────────────────────

m=$(leader)
begin
kill -STOP "${etcd[m]}"
sleep 6
ok "etcd's leader stands for 6 s, three times a lease: no node has moved or ended" as_before
isnt_leader() { local now; now=$(leader); [ -n "$now" ] && [ "$now" != "$m" ] || { echo "$now"; return 1; }; }
ok "another member leads" isnt_leader
kill -CONT "${etcd[m]}"
ok "status tells all is well" status_ends 0
ok "as before" as_before
ok "and what passes goes on" passes
say "etcd's leader stood"

begin
kill -STOP "${etcd[@]}"
sleep 6
ok "all members stand for 6 s: status says that etcd does not answer" status_ends 69
kill -CONT "${etcd[@]}"
ok "they go on: status tells all is well" status_ends 0
sleep 5
ok "no node has moved or ended" as_before
ok "and what passes goes on" passes
say "all members stood"

# Neither of both has ended a lease: an etcd that begins to lead again gives each its whole time. So they are ended by hand.
leases() { in_etcd lease list | sed 1d | sort; }
begin
old=$(leases)
(for l in $old; do in_etcd lease revoke "$l" >/dev/null & done; wait)
sleep 5
is "all leases end at once: each server has another one" "$(comm -12 <(echo "$old") <(leases)) $(leases | wc -l)" " $(wc -w <<<"$servers")"
ok "status tells all is well" status_ends 0
ok "no node has moved or ended" as_before
ok "and what passes goes on" passes
say "all leases ended"

# ── all die ──────────────────────────────────────────────────────────────────────────────────────

begin
kill -KILL "${etcd[@]}"
ok "all members die: status says that etcd does not answer" status_ends 69
is_like "in one line" "$(cat "$work/status")" "understudy: http://10.97.0.10?:2379*"
sleep 5
ok "no node has moved or ended" as_before
ok "and what passes goes on" passes
for m in $etcds; do etcd_start "$m"; done
ok "they come back" etcd_answers
ok "status tells all is well" status_ends 0
sleep 5
ok "no node has moved or ended" as_before
ok "and what passes goes on" passes
say "all members died"

kill -TERM "${speakers[@]}"
for p in "${speakers[@]}"; do wait "$p"; done
is "all connections are intact" "$(for n in $shards; do grep -q intact "$work/flow-$n" || echo "$n: $(cat "$work/flow-$n.err")"; done)" ""
[ $bad = 0 ]
