#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Balance with real nodes and real load. Three servers have as much load each: of three shards that carry downloads one primary
# and one standby; n1 carries nothing. A fourth server is added: it gets a node, and of a shard with downloads, since
# that is what is measured: by the number of nodes alone n1 would have been the first. Nothing breaks.
FLEET_SERVERS=4 FLEET_SHARDS=4 FLEET_HOLD_DOWN=5
FLEET_ROOM="nodes: 190, cores: 1"
FLEET_ON_n1="s2, s1" FLEET_ON_n2="s1, s2" FLEET_ON_n3="s2, s3" FLEET_ON_n4="s3, s1"
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
. "$root/tests/lab/fleet-load.sh"
export WEB_RATE=800000
plan 8
listed="s1 s2 s3"

fleet_network && fleet_files || exit 1
etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $listed; do agent_start "$s"; done
ok "all shards are PROTECTED" all_protected || exit 1
fulls() { said '[.servers[] | "\(.server) \(.full * 1000 | round / 10) %"] | join(", ")'; }
sleep 6
idle=$(said '[.servers[].full] | add')
diag "at rest: $(fulls)"
load_serve 3000000 4000000 || exit 1
note_begin
for n in n2 n3 n4; do load_begin "$n" 30 4; done
ok "load is measured: all servers together are fuller by a fifth than at rest" await_fleet "[.servers[].full] | add > 1.2 * $idle" true
diag "under downloads: $(fulls)"
where() { said '[.shards[] | .members | sort | join(",")] | join(" ")'; }
diag "shards are on $(where)"

# ── a fourth server ──────────────────────────────────────────────────────────────────────────────

from=$(now)
fleet_list s1 s2 s3 s4
agent_start s4
there() { await_fleet '[.shards[] | .members | index("s4") != null] | any' true; }
ok "a server is added: it gets a node" there
is "not of the shard that carries nothing" "$(said '.shards[0].members | index("s4")')" null
diag "after $(echo "$(now) - $from" | bc) s: $(where)"
ok "what it carries is at least half of the mean" await_fleet "[.servers[].full] | .[3] >= 0.5 * add / 4 and add > $idle" true
diag "$(fulls)"
load_end
note_end
is "all downloads are intact" "$(load_count intact) of 90, $(load_count broken) broken" "90 of 90, 0 broken"
ok "all shards are PROTECTED" all_protected
[ $bad = 0 ]
