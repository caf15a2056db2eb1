#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair with an arbiter, a real etcd in a namespace that both nodes reach by ways of their own. The link and the data ports
# between the nodes are cut, the clients' ways to both stay: exactly one node goes on, and clients with it.
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/arbiter.sh"
plan 27

LAB_ARBITER="etcd: [ http://10.98.0.1:2379 ]" "$lab" up --no-nodes && ways || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected || exit 1
ok "the arbiter answers a" await a arbiter.answers true
ok "the arbiter answers b" await b arbiter.answers true
probing 7007 4

end_etcd
sleep 2
is "etcd dies while the pair is well: nothing happens" "$(field a state) $(field b state)" "PROTECTED READY"
ok "status says that it does not answer" await a arbiter.answers false
etcd_up
ok "etcd is back" etcd_answers
ok "and answers" await a arbiter.answers true

part
ok "a full partition: exactly one goes on" one_of_two
won=$(releases a && echo a || echo b)
held=$([ "$won" = a ] && echo b || echo a)
diag "$won goes on: $(field $won why)"
diag "$held holds: $(field $held why)"
is_like "because the arbiter decided so" "$(field "$won" why)" "*the arbiter decided for $won"
is "clients go on" "$(answers && echo yes)" yes
way "$won" down
sleep 1
is "the arbiter is cut off from who goes on: it goes on" "$(field "$won" state)" SOLO
way "$won" up
heal
ok "the partition heals: the other one joins" is_protected
is "who won is still primary" "$(field "$won" role)" primary

first=$won
second=$held
way "$second" down
part
ok "the standby does not reach the arbiter: the primary goes on" await "$first" state SOLO
is "and the standby holds" "$(field "$second" state)" READY
way "$second" up
ok "when it reaches the arbiter it learns that it lost" await "$second" state JOINING
heal
ok "the pair is PROTECTED again" is_protected

end_etcd
part
sleep 1
ok "etcd dead in a partition: both hold" neither
is_like "the primary says so" "$(field "$first" why)" "*the arbiter does not answer: holding"
etcd_up
etcd_answers
ok "etcd is back: exactly one goes on" one_of_two
diag "a: $(field a why); b: $(field b why)"
is "clients go on" "$(answers && echo yes)" yes
heal
ok "the pair is PROTECTED again" is_protected

primary=$(primary)
standby=$([ "$primary" = a ] && echo b || echo a)
end_etcd
kill -KILL "$(field "$primary" pid)"
ok "a death that is certain needs no arbiter" await "$standby" state SOLO
"$lab" start "$primary"
ok "the pair is PROTECTED again" is_protected
probing_ends
is "nothing that clients saw is contradicted" "$(seen .contradicted)" 0
is "digests equal" "$(us verify -o json 2>/dev/null | jq .equal)" true
