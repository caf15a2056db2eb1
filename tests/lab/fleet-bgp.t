#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Shards whose outside addresses are announced by FRR, as docs/examples/frr has it, from real nodes to a real router: always by the
# server of the primary and never by another one, wherever the shard goes and whoever dies, with a connection that stays.
FLEET_SERVERS=3 FLEET_SHARDS=3 FLEET_SPACES=router FLEET_WIRES=bgp
. "$(dirname "$0")/lib.sh"
need_lab
need_root # FRR becomes a user of its own
. "$root/tests/lab/fleet.sh"
. "$root/tests/lab/frr.sh"
plan 40

# ── the outside: servers and a router on one network, a host behind the router ────────────────────────

#   n1-out, n2-out … and bgp of each server ──[ br-out ]── 203.0.113.254 router 192.0.2.254 ──[ br-far ]── server 192.0.2.(100 + K)
#   the router knows 198.51.100.K, the outside address of shard K, by BGP alone
outside_network() {
    local s n k
    net_bridge fabric br-far
    cable router out br-out
    cable router far br-far
    address router out 203.0.113.254/24
    address router far 192.0.2.254/24
    in_space router sysctl -q -w net.ipv4.ip_forward=1
    net_dress fabric link set server-eth0 master br-far
    net_dress server address flush dev eth0
    for n in $shards; do
        k=$(number "$n")
        address server eth0 "192.0.2.$((100 + k))/24"
        net_dress client route add "192.0.2.$((100 + k))/32" via "10.$k.0.1"
        # Each of the client's addresses is a host of one shard.
        net_dress client rule add from "10.$k.0.100" table $((100 + k))
        net_dress client route add default via "10.$k.0.1" table $((100 + k))
    done
    net_dress server route add default via 192.0.2.254
    for s in $servers; do
        in_space "$s" sysctl -q -w net.ipv4.conf.all.arp_ignore=1
        cable "$s" bgp br-out
        address "$s" bgp "203.0.113.20$(number "$s")/24"
    done
    net_lay
}

outside_files() {
    local s n k
    for s in $servers; do
        sed -i -e 's|outside: "203.0.113.$(k)"|outside: "198.51.100.$(k)", forward: "tcp/80=10.$(k).0.100:8080"|' \
            -e 's|via: 203.0.113.100|via: 203.0.113.254|; s|next_hops: \[ 203.0.113.100|next_hops: [ 203.0.113.254|' \
            -e "s|^node:|&\n  hooks: [ { socket: $LAB_DIR/$s/bell, events: [ state, takeover, standby_lost, fenced ] } ]|" "$LAB_DIR/fleet-$s.yaml"
        for n in $shards; do
            k=$(number "$n")
            echo "$LAB_DIR/run/$n-$s.*look 198.51.100.$k/32 203.0.113.$k"
        done >"$LAB_DIR/steer-$s"
    done
}

# ── what steers ──────────────────────────────────────────────────────────────────────────────────

declare -A steer
steer_start() { # SERVER
    ip netns exec "$LAB_PREFIX$1" python3 "$root/docs/examples/frr/understudy-steer" "$LAB_DIR/steer-$1" "$LAB_DIR/$1/bell" \
        >>"$work/steer-$1.log" 2>&1 9>&- &
    steer[$1]=$!
    go_first $! # as FRR: each would be on a server of its own
}

# ── what the router knows ────────────────────────────────────────────────────────────────────────────

# The nodes are asked, not etcd.
of_primary() { local s; for s in $servers; do node_says "$1" "$s" "| select(.state == \"PROTECTED\" or .state == \"SOLO\") | $2" | sed 's/.*-//'; done; }
primary() { of_primary "$1" .node; }           # SHARD: its server; two, if there are two
standby() { of_primary "$1" .peer.node; }
announcers() { # SHARD: the servers that announce its address, the one that is believed first
    vty router "show bgp ipv4 unicast 198.51.100.$(number "$1")/32 json" 2>/dev/null |
        jq -r '[.paths[]?] | sort_by(.bestpath.overall != true) | map(.peer.peerId | sub("203.0.113.20"; "s")) | join(" ")'
}
# Where the router's frames for the next hop go: its neighbour's MAC, and the port at which the switch has that.
leads_to() { # SHARD
    local mac
    mac=$(ip -n "${LAB_PREFIX}router" -j neigh show "203.0.113.$(number "$1")" dev out | jq -r '.[0].lladdr')
    in_space fabric bridge -j fdb show br br-out | jq -r --arg mac "$mac" '.[] | select(.mac == $mac) | .ifname' | sed 's/-n.*//'
}
route() { ip -n "${LAB_PREFIX}router" route show "198.51.100.$(number "$1")"; }
is_steered() { # SHARD
    local at k
    at=$(primary "$1") k=$(number "$1")
    [ "$(announcers "$1")" = "$at" ] || { echo "$1: primary on $at, announced by: $(announcers "$1")"; return 1; }
    [ "$(leads_to "$1")" = "$at" ] || { echo "$1: primary on $at, its frames go to: $(leads_to "$1")"; return 1; }
    case $(route "$1") in
    *"via 203.0.113.$k dev out proto bgp"*) ;;
    *) echo "$1: the router's route: $(route "$1")"; return 1 ;;
    esac
}
steered() { # all are, by the servers of their primaries and nobody else
    local left=$(polls) n wrong
    while :; do
        wrong=$(for n in $shards; do is_steered "$n"; done)
        [ -n "$wrong" ] || return 0
        poll || { echo "$wrong"; return 1; }
    done
}
awaits() { # WANTED COMMAND…
    local left=$(polls)
    until [ "$("${@:2}")" = "$1" ]; do
        poll || { echo "$("${@:2}"), expected $1"; return 1; }
    done
}
# TIME SERVER ADDRESS MED of each announcement that the router has heard, in seconds since 1970.
heard() {
    sed -nE -e 's|^([0-9/]+ [0-9:.]+) .* 203\.0\.113\.20([0-9])\([^)]*\) rcvd UPDATE w/ attr:.* metric ([0-9]+).*|\1 attr \2 \3|p' \
        -e 's|^([0-9/]+ [0-9:.]+) .* 203\.0\.113\.20([0-9])\([^)]*\) rcvd (198[0-9.]+)/32.*|\1 net \2 \3|p' "$LAB_DIR/frr-router/bgpd.log" |
        while read -r day time kind server what; do
            [ "$kind" = net ] || { med[server]=$what; continue; }
            echo "$(date -d "$day $time" +%s.%3N) s$server $what ${med[server]}"
        done
}
began() { since=$(date +%s.%3N); }
figures() { # SHARD WHAT: since then, and in the five seconds before, since others may use this machine as well
    local n=$1 at
    at=$(primary "$1")
    diag "$2: $(awk -v since="$since" '$2 >= since && $3 > max[$1] { max[$1] = $3 } $2 < since && $2 > since - 5 && $3 > rest { rest = $3 }
        END { printf "no answer for %d ms by UDP, %d ms by TCP (before: %d ms)", max["udp"], max["tcp"], rest }' "$work/flow-$n")$(heard |
        awk -v since="$since" -v at="$at" -v to="198.51.100.$(number "$n")" '$1 >= since && $2 == at && $3 == to && !done++ {
            printf "; the router heard of it from %s after %d ms", at, 1000 * ($1 - since) }')"
}

# ── it comes up ──────────────────────────────────────────────────────────────────────────────────

fleet_network && outside_network && fleet_files && outside_files || exit 1
ok "FRR runs on the router" frr_start router "$root/docs/examples/frr/frr-router.conf" || exit 1
in_space router vtysh --vty_socket "$LAB_DIR/frr-router" -d bgpd -c 'configure terminal' -c 'log timestamp precision 3' \
    -c "log file $LAB_DIR/frr-router/bgpd.log" -c 'debug bgp updates in'
all_frr() { local s; for s in $servers; do frr_start "$s" "$root/docs/examples/frr/frr-server.conf" || return 1; done; }
ok "and on each server" all_frr || exit 1
is "a steering file with a prefix twice is refused" "$(printf 'x 198.51.100.1/32 203.0.113.1\ny 198.51.100.1/32 203.0.113.1\n' >"$work/twice" &&
    timeout 5 python3 "$root/docs/examples/frr/understudy-steer" "$work/twice" "$work/bell" 2>&1)" \
    "$work/twice:2: 198.51.100.1/32 for a second time, expected SOCKETS PREFIX NEXT-HOP, and each prefix once"
etcd_start
ok "etcd answers" etcd_answers || exit 1
ok "the fleet's file is whole" fleet check
for s in $servers; do steer_start "$s"; agent_start "$s"; done
ok "all shards are PROTECTED" all_protected || exit 1
for n in $shards; do
    k=$(number "$n")
    ip netns exec "${LAB_PREFIX}server" python3 "$root/tests/lab/flow.py" serve "192.0.2.$((100 + k))" $((7000 + k)) 9>&- &
    ip netns exec "${LAB_PREFIX}client" ping -c 3 -i 0.2 -W 2 "192.0.2.$((100 + k))" >/dev/null
done
ok "each is announced by its primary's server alone, and the route leads there" steered
speakers=()
for n in $shards; do
    k=$(number "$n")
    ip netns exec "${LAB_PREFIX}client" python3 "$root/tests/lab/flow.py" ask "192.0.2.$((100 + k))" $((7000 + k)) "$work/flow-$n" \
        2>"$work/flow-$n.err" 9>&- &
    speakers+=($!)
done

# ── a shard's client asks another shard's outside address ──────────────────────────────────────────

# n2 has its standby where n1 is primary.
mkdir "$work/www" && head -c 300000 /dev/urandom >"$work/www/file"
ip netns exec "${LAB_PREFIX}client" python3 -m http.server --bind 10.2.0.100 --directory "$work/www" 8080 >/dev/null 2>&1 9>&- &
crosses() { in_space client curl -s --interface 10.1.0.100 --max-time 10 -o "$work/got" http://198.51.100.2/file && cmp "$work/got" "$work/www/file"; }
at=$(primary n1)
[ "$(primary n2)" = "$at" ] || fleet move n2 "$at" >/dev/null
ok "two shards have their primaries on one server" awaits "$at" primary n2
ok "and are PROTECTED" all_protected
ok "a client of the one is served by a host of the other, at its outside address" crosses
other=$(standby n2)
began
ok "the other one is handed over" fleet move n2 "$other"
ok "and is primary elsewhere" awaits "$other" primary n2
ok "the address is announced from there" steered
figures n2 "handed over"
is "its standby is on the server of the first one" "$(standby n2) $(primary n1)" "$at $at" || diag "$(grep -h "shard n2" "$work"/agent-*.log)"
ok "all are PROTECTED" all_protected
ok "the client is served still" crosses

# ── a process dies ───────────────────────────────────────────────────────────────────────────────

at=$(primary n1) other=$(standby n1)
began
kill -KILL "$(cat "$LAB_DIR/units/n1-$at.pid")"
ok "a primary's process dies: it is primary elsewhere" awaits "$other" primary n1
ok "and announced from there alone" steered
figures n1 "process killed"
ok "all are PROTECTED" all_protected

# ── what steers is late, or dies ─────────────────────────────────────────────────────────────────────

at=$(primary n1) other=$(standby n1)
kill -STOP "${steer[$at]}"
fleet move n1 "$other" >/dev/null
ok "a server does not withdraw: the later view is believed" awaits "$other $at" announcers n1
is "and what is for the address goes to the primary" "$(leads_to n1)" "$other"
kill -CONT "${steer[$at]}"
ok "it withdraws" steered
all_protected >/dev/null
at=$(primary n1)
kill -KILL "$(cat "$LAB_DIR/frr-$at/bgpd.pid")"
ok "bgpd dies: its server announces nothing" awaits "" route n1
frr_daemon "$at" bgpd
again() { local left=$(polls); until in_space "$at" vtysh --vty_socket "$LAB_DIR/frr-$at" --config_dir "$LAB_DIR/frr-$at" -b -d bgpd >/dev/null 2>&1; do poll || return 1; done; }
ok "it is started again" again
ok "and announces what the kernel has, though no node says a word" steered
before=$(heard | wc -l)
kill -KILL "${steer[$at]}"
steer_start "$at"
sleep 2
is "what steers dies and is started: nothing is announced anew" "$(heard | wc -l)" "$before" || diag "$(heard; grep -h "shard n" "$work"/agent-*.log)"
ok "all is as it was" steered

# ── a server is cut off, with all that runs there ───────────────────────────────────────────────────────

at=$(primary n1) other=$(standby n1)
began
wires "$at" down
ok "a server is cut off: its shard is primary elsewhere" awaits "$other" primary n1
ok "and announced from there alone" steered
figures n1 "server cut off"
sleep 3
wires "$at" up
ok "it is back: it announces nothing of it" steered
ok "all are PROTECTED" all_protected

# ── a server dies ────────────────────────────────────────────────────────────────────────────────

at=$(primary n1) other=$(standby n1)
began
server_dies "$at"
ok "a server dies: its shard is primary elsewhere" awaits "$other" primary n1
ok "and announced from there alone" steered
figures n1 "server died"
ok "all are PROTECTED without it" all_protected

# ── a primary that holds ─────────────────────────────────────────────────────────────────────────────

at=$(primary n1) other=$(standby n1)
kill -KILL "${etcd[0]}"
server_dies "$other"
ok "its standby's server dies while etcd is away: a primary holds" awaits DEGRADED node_says n1 "$at" state
ok "and its address is withdrawn" awaits "" route n1
etcd_start
ok "etcd is back: it goes on alone" awaits SOLO node_says n1 "$at" state
announced() { case $(route n1) in *"via 203.0.113.1 dev out proto bgp"*) [ "$(announcers n1)" = "$at" ] ;; *) return 1 ;; esac; }
ok "and its address is announced" soon announced

# ── whoever announced was primary ──────────────────────────────────────────────────────────────────────

sleep 1
kill -TERM "${speakers[@]}"
for p in "${speakers[@]}"; do wait "$p"; done
is "all connections are intact" "$(for n in $shards; do grep -q intact "$work/flow-$n" || echo "$n: $(cat "$work/flow-$n.err")"; done)" ""
of_primaries() {
    local s address med n view count=0
    while read -r _ s address med; do
        n=n${address##*.} view=$((16777215 - med)) count=$((count + 1))
        grep -aqE "(SOLO|PROTECTED|DEGRADED), view $view[^0-9]" "$LAB_DIR/units/$n-$s.log" || { echo "$n by $s in view $view"; return 1; }
    done < <(heard)
    [ $count -gt 10 ] || { echo "$count announcements"; return 1; }
}
ok "each announcement was of a view in which that server's node was primary" of_primaries
[ $bad = 0 ]
