# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What tests of a pair with an arbiter share; sourced behind lib.sh. A real etcd in a namespace of its own, which both nodes
# reach by ways of their own, and what is cut between the nodes.

for tool in etcd etcdctl bridge; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done

space=${LAB_PREFIX}w
server=0
scheme=http
etcd_args=()
end_etcd() { [ $server = 0 ] || kill -KILL $server 2>/dev/null; wait $server 2>/dev/null; server=0; }
clean_all() {
    end_etcd
    cleanup
    ip netns del "$space" 2>/dev/null
}
trap clean_all EXIT

# ── the arbiter and its ways ─────────────────────────────────────────────────────────────────────

etcd_up() {
    ip netns exec "$space" etcd --name w --data-dir "$work/etcd" --listen-client-urls $scheme://10.98.0.1:2379 \
        --advertise-client-urls $scheme://10.98.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
        --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster w=http://127.0.0.1:2380 \
        --heartbeat-interval 500 --election-timeout 5000 "${etcd_args[@]}" >>"$work/etcd.log" 2>&1 9>&- &
    server=$!
}
in_etcd() { ip netns exec "$space" env ETCDCTL_API=3 etcdctl --endpoints $scheme://10.98.0.1:2379 "$@"; }
etcd_answers() { soon in_etcd endpoint health || { tail -n 5 "$work/etcd.log"; return 1; }; }
way() { # NODE up|down
    ip -n "$space" link set "w-$1" "$2"
    [ "$2" = down ] || ip -n "${LAB_PREFIX}$1" route replace 10.98.0.1 via 10.98.$(($(printf '%d' "'$1") - 96)).1
}
ways() {
    local s n=0
    ip netns add "$space" && ip -n "$space" link set lo up && ip -n "$space" address add 10.98.0.1/32 dev lo
    for s in a b ${LAB_SPARES:-}; do
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
releases() { case $(field "$1" state) in SOLO | PROTECTED) ;; *) return 1 ;; esac; }
holds() { # SECONDS COMMAND…: it is so at each look, of which a second has five
    local looks=$(($1 * 5)) n
    while [ $((looks--)) -gt 0 ]; do
        "${@:2}" || { for n in a b ${LAB_SPARES:-}; do echo "$n: $(field $n state), $(field $n why)"; done; return 1; }
        sleep 0.2
    done
}
none_releases() { local n; for n in "$@"; do ! releases "$n" || return 1; done; }
not_both() { ! releases a || ! releases b; }
quiet() { holds 4 none_releases "$@"; } # NODES
one_of_two() { holds 3 not_both && { releases a || releases b || { echo "a: $(field a why); b: $(field b why)"; return 1; }; }; }
neither() { holds 3 none_releases a b; }
answers() { ip netns exec "${LAB_PREFIX}client" ping -c 5 -i 0.2 -W 2 203.0.113.100 >/dev/null; }
