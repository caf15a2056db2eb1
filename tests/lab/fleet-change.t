#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another file for a fleet that runs, as docs/fleet.md says it, with a connection through each shard: a chain that apply takes;
# addresses of one shard, which apply refuses; a shard that is added, and one that is taken out.
FLEET_SERVERS=2 FLEET_SHARDS=3 FLEET_HOLD_DOWN=86400 FLEET_ON="s1, s2"
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
plan 26

# The file on each server is another one, and the agents are restarted, one after the other.
change() { # PERL, OPTIONS AND PROGRAM: of each line of the file
    local s
    perl -i "$@" "$LAB_DIR"/fleet-s?.yaml
    for s in $servers; do agent_restart "$s"; done
}
both_have() { grep -q -- "$2" "$LAB_DIR/s1/$1-s1.yaml" && grep -q -- "$2" "$LAB_DIR/s2/$1-s2.yaml"; } # SHARD TEXT
apply() { in_space "$1" timeout 60 "$UNDERSTUDY" apply -c "$LAB_DIR/$1/$2-$1.yaml" -n "$2-$1"; } # SERVER SHARD

# The third shard has its network already.
fleet_network || exit 1
shards="n1 n2"
fleet_files && etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do agent_start "$s"; done
ok "two shards are PROTECTED" all_protected || exit 1
for n in $shards; do speak "$n"; done
sleep 2

# ── a chain that apply takes ─────────────────────────────────────────────────────────────────────

change -pe 's/monitor: \{ max_flows: 4000/monitor: { max_flows: 5000/'
ok "agents write the nodes' files anew" soon both_have n1 'max_flows": 5000'
ok "no node was restarted by that" await_fleet '[.shards[] | .view == 1 and .protected] | all' true
ok "apply" apply s1 n1
is_like "the chain has it" "$("$UNDERSTUDY" status -c "$LAB_DIR/s1/n1-s1.yaml" -n n1-s1)" '*monitor.flows * 5000 *'
ok "it is PROTECTED, in the same view" await_fleet '[.shards[] | .view == 1 and .protected] | all' true

# ── what apply refuses ───────────────────────────────────────────────────────────────────────────

ends_intact "the first shard's connection is intact" n1
change -pe 's/"203.0.113.\$\(k\)/"203.0.113.5\$(k)/'
ok "another address of the shards: agents write the files anew" soon both_have n1 203.0.113.51
is_like "apply refuses it, and says what it is" "$(apply s1 n1 2>&1)" '*outside*cannot be changed while the pair runs; the chain is as it was'
for s in s2 s1; do kill -TERM "$(cat "$LAB_DIR/units/n1-$s.pid")"; done # systemctl restart understudy@n1-s2, then n1-s1
ok "both nodes of the first shard are restarted, the standby first: PROTECTED" await_fleet '.shards[0] | .view > 1 and .protected' true
speak n1
sleep 2

# ── a shard is added, and taken out ──────────────────────────────────────────────────────────────

change -pe 's/^(\s+n2: .*)$/$1\n  n3: { port: 4703, with: { k: 3 }, on: [ s1, s2 ] }/'
shards="n1 n2 n3"
ok "a shard is added: it is PROTECTED" await_fleet '.shards[2].protected' true
speak n3
speaks() { in_space client ss -Htn state established "( dport = :$((7000 + $(number "$1"))) )" | grep -q .; } # SHARD
ok "a connection goes through it" soon speaks n3
ends_intact "its connection is intact" n3
change -ne 'print unless /^\s+n3:/'
shards="n1 n2"
ok "it is taken out of the file" await_fleet '.shards | length' 2
is "and goes on" "$(node_says n3 s1 state)" PROTECTED
ok "status says so" await_fleet '.strays | tostring' '[{"shard":"n3","on":{"s1":"PROTECTED","s2":"READY"},"removing":false}]'
is_like "so does check" "$(fleet check 2>&1)" '*shard n3 is not in this file, and was run here*'
is_like "what the file has is not removed" "$(fleet remove n2 2>&1)" '*shard n2 is in this file*'
is "it is removed" "$(fleet remove n3 --wait 50 2>&1)" "understudy: shard n3 is to be removed"
gone() { ! pgrep -f "run -c $LAB_DIR/s[12]/n3-" >/dev/null; }
ok "its nodes are stopped" soon gone
sleep 4
ok "none comes back" gone
is "nothing of it is on the disks" "$(find "$LAB_DIR"/s? -name '*n3*' | wc -l)" 0
is "and nothing of it is in etcd" "$(in_etcd get --prefix understudy/lab --keys-only | grep -c n3)" 0
ends_intact "the first shard's connection is intact" n1
ends_intact "the second shard's, which nobody touched, is" n2
