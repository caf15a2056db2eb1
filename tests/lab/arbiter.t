#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair with an arbiter, a real etcd in a namespace that both nodes reach by ways of their own. The link and the data ports
# between the nodes are cut, the clients' ways to both stay: exactly one node goes on, and clients with it.
. "$(dirname "$0")/lib.sh"
need_lab
for tool in etcd etcdctl bridge; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
plan 27

space=${LAB_PREFIX}w
server=0
end_etcd() { [ $server = 0 ] || kill -KILL $server 2>/dev/null; wait $server 2>/dev/null; server=0; }
clean_all() {
    end_etcd
    cleanup
    ip netns del "$space" 2>/dev/null
}
trap clean_all EXIT

# ── the arbiter and its ways ─────────────────────────────────────────────────────────────────────

etcd_up() {
    ip netns exec "$space" etcd --name w --data-dir "$work/etcd" --listen-client-urls http://10.98.0.1:2379 \
        --advertise-client-urls http://10.98.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
        --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster w=http://127.0.0.1:2380 \
        --heartbeat-interval 500 --election-timeout 5000 >>"$work/etcd.log" 2>&1 9>&- &
    server=$!
}
in_etcd() { ip netns exec "$space" env ETCDCTL_API=3 etcdctl --endpoints http://10.98.0.1:2379 "$@"; }
etcd_answers() {
    local end=$((SECONDS + 40))
    until in_etcd endpoint health >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { tail -n 5 "$work/etcd.log"; return 1; }
        sleep 0.2
    done
}
way() { # NODE up|down
    ip -n "$space" link set "w-$1" "$2"
    [ "$2" = down ] || ip -n "${LAB_PREFIX}$1" route replace 10.98.0.1 via 10.98.$([ "$1" = a ] && echo 1 || echo 2).1
}
ways() {
    local s n=0
    ip netns add "$space" && ip -n "$space" link set lo up && ip -n "$space" address add 10.98.0.1/32 dev lo
    for s in a b; do
        n=$((n + 1))
        ip -n "$space" link add w-$s type veth peer name $s-w netns "${LAB_PREFIX}$s" &&
            ip -n "$space" address add 10.98.$n.1/30 dev w-$s && ip -n "$space" link set w-$s up &&
            ip -n "${LAB_PREFIX}$s" address add 10.98.$n.2/30 dev $s-w &&
            ip -n "${LAB_PREFIX}$s" link set $s-w up && way $s up || return 1
    done
}

# ── what is cut between the nodes: the link, and frames from one node's ports to the other's ───────

part() {
    local p
    for p in a-in b-in a-out b-out; do ip netns exec "${LAB_PREFIX}fabric" bridge link set dev $p isolated on; done
    ip -n "${LAB_PREFIX}a" link set a-repl down
}
heal() {
    local p
    ip -n "${LAB_PREFIX}a" link set a-repl up
    for p in a-in b-in a-out b-out; do ip netns exec "${LAB_PREFIX}fabric" bridge link set dev $p isolated off; done
}
releases() { [ "$(field "$1" state)" = SOLO ] || [ "$(field "$1" state)" = PROTECTED ]; }
one_of_two() { # for three seconds
    local end=$((SECONDS + 3))
    while [ $SECONDS -lt $end ]; do
        if releases a && releases b; then echo "both release"; return 1; fi
        sleep 0.05
    done
    releases a || releases b || { echo "a: $(field a why); b: $(field b why)"; return 1; }
}
neither() {
    local end=$((SECONDS + 3))
    while [ $SECONDS -lt $end ]; do
        if releases a || releases b; then echo "a: $(field a why); b: $(field b why)"; return 1; fi
        sleep 0.1
    done
}
is_like() { # DESCRIPTION TEXT PATTERN
    case $2 in $3) is "$1" yes yes ;; *) is "$1" "$2" "$3" ;; esac
}
answers() { ip netns exec "${LAB_PREFIX}client" ping -c 5 -i 0.2 -W 2 203.0.113.100 >/dev/null; }

LAB_ARBITER="etcd: [ http://10.98.0.1:2379 ]" "$lab" up --no-nodes && ways || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected || exit 1
ok "the arbiter answers a" await 10 a arbiter.answers true
ok "the arbiter answers b" await 10 b arbiter.answers true
"$probe" run 203.0.113.100 7007 --seconds 240 --flows 4 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" \
    -o json >"$work/probe.json" 9>&- &
prober=$!

end_etcd
sleep 2
is "etcd dies while the pair is well: nothing happens" "$(field a state) $(field b state)" "PROTECTED READY"
ok "status says that it does not answer" await 15 a arbiter.answers false
etcd_up
ok "etcd is back" etcd_answers
ok "and answers" await 15 a arbiter.answers true

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
ok "the standby does not reach the arbiter: the primary goes on" await 10 "$first" state SOLO
is "and the standby holds" "$(field "$second" state)" READY
way "$second" up
ok "when it reaches the arbiter it learns that it lost" await 10 "$second" state JOINING
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

primary=$([ "$(field a role)" = primary ] && echo a || echo b)
standby=$([ "$primary" = a ] && echo b || echo a)
end_etcd
kill -KILL "$(field "$primary" pid)"
ok "a death that is certain needs no arbiter" await 10 "$standby" state SOLO
"$lab" start "$primary"
ok "the pair is PROTECTED again" is_protected
kill -TERM $prober
wait $prober
is "nothing that clients saw is contradicted" "$(jq .contradicted "$work/probe.json")" 0
is "digests equal" "$(us verify -o json 2>/dev/null | jq .equal)" true
