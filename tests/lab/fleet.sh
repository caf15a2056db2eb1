# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A fleet in the lab; sourced behind lib.sh, or scripts/wait.sh. Servers s1, s2 …, each a network namespace with an agent and the nodes that it
# starts, shards n1, n2 …, and a real etcd:
#
#   client 10.K.0.100 ──[ br-in ]── n1-in, n2-in …  s1 …  n1-out, n2-out … ──[ br-out ]── server 203.0.113.100
#                                                    └─ 10.97.0.1 ──[ br-repl ]── etcd 10.97.0.100
#   shard K: 10.K.0.1/24 inside, 203.0.113.K/24 outside; by it the client reaches 203.0.113.(100 + K)
#
# FLEET_SERVERS, FLEET_SHARDS: how many (4, 4); `listed`: the servers that the file has, all unless said. FLEET_ZONES: a zone for
# each server, "a a b b". FLEET_ROOM, FLEET_ON: see for_it. FLEET_HOLD_DOWN: hold_down_s (60). FLEET_METRICS: agents tell Prometheus
# at port 9469. FLEET_TIMING: a pair's `timing` (as in lib.sh), FLEET_PROTECT: more of its `protect`, FLEET_SLOW: slow_percent (0: a busy
# machine is no fault of a standby's). FLEET_FLOWS: how many a shard has room for (4000), of one host as well if said.
# FLEET_NF: one more NF of the chain, "name: {}", FLEET_MODULES: the paths of its modules.
# FLEET_USER: of the system, whose the agents are, FLEET_NODES_USER: whose the nodes are.
# FLEET_ETCDS: members of etcd (1), of which the next ones are 10.97.0.101 and so on. FLEET_SCHEME: https in place of http;
# then FLEET_ARBITER and FLEET_SHARD_ETCD have the file's keys for it, and etcd_args those of etcd. FLEET_SPACES: further namespaces, FLEET_WIRES:
# further devices of each server, which a test gives their cables. What is made lies in $LAB_DIR.

for tool in etcd etcdctl bridge; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done

# shellcheck source=scripts/net.sh
. "$root/scripts/net.sh"

FLEET_TIMING=${FLEET_TIMING-${LAB_TIMING:+"{ $LAB_TIMING }"}}
servers=$(seq -f s%g "${FLEET_SERVERS:-4}")
shards=$(seq -f n%g "${FLEET_SHARDS:-4}")
read -ra zones <<<"${FLEET_ZONES:-}"
etcds=$(seq 0 $((${FLEET_ETCDS:-1} - 1)))
spaces="client server fabric w ${FLEET_SPACES:-} $servers"
in_space() { ip netns exec "$LAB_PREFIX$1" "${@:2}"; }

fleet_down() {
    local s signal pids tries
    for signal in TERM CONT KILL; do
        pids=$(for s in $spaces; do ip netns pids "$LAB_PREFIX$s" 2>/dev/null; done)
        [ -n "$pids" ] || break
        kill -$signal $pids 2>/dev/null
        for ((tries = 0; tries < 10; tries++)); do
            [ $signal != CONT ] || break
            sleep 0.1
            pids=$(for s in $spaces; do ip netns pids "$LAB_PREFIX$s" 2>/dev/null; done)
            [ -n "$pids" ] || break
        done
    done
    for s in $spaces; do ip netns del "$LAB_PREFIX$s" 2>/dev/null; done
}
trap fleet_down EXIT

# ── network ──────────────────────────────────────────────────────────────────────────────────────

cable() { # SPACE DEV BRIDGE: an end in SPACE, the other one at the bridge
    net_cable "$1" "$2" fabric "$1-$2"
    net_dress fabric link set "$1-$2" master "$3"
}
address() { net_dress "$1" address add "$3" dev "$2"; }
number() { echo "${1#?}"; }
of_etcds() { local m out=; for m in $etcds; do out+=${out:+,}${1//%/$((100 + m))}; done; echo "$out"; } # TEXT, % for 100, 101 …

fleet_network() {
    local s n k
    for s in $spaces; do
        ip netns add "$LAB_PREFIX$s" || return
        net_dress "$s" link set lo up
    done
    for n in br-in br-out br-repl; do net_bridge fabric $n; done
    cable client eth0 br-in
    cable server eth0 br-out
    cable w repl br-repl
    for s in $etcds; do address w repl 10.97.0.$((100 + s))/24; done
    address server eth0 203.0.113.100/24
    for s in $servers; do
        cable "$s" repl br-repl
        address "$s" repl "10.97.0.$(number "$s")/24"
        for n in $shards; do
            cable "$s" "$n-in" br-in
            cable "$s" "$n-out" br-out
            net_dress "$s" link set "$n-in" promisc on
            net_dress "$s" link set "$n-out" promisc on
        done
    done
    for n in $shards; do
        k=$(number "$n")
        address client eth0 "10.$k.0.100/24"
        address server eth0 "203.0.113.$((100 + k))/24"
        net_dress client route add "203.0.113.$((100 + k))/32" via "10.$k.0.1"
    done
    net_lay
}

# ── files ────────────────────────────────────────────────────────────────────────────────────────

# What FLEET_WHAT_NAME says, or FLEET_WHAT for all: FLEET_ROOM, capacities of a server ("cores: 1"), and FLEET_ON, where a shard
# begins ("s1, s2").
for_it() { # room|on NAME PRESET [FORM]
    local one=FLEET_${1^^}_$2 all=FLEET_${1^^} said
    said=${!one:-${!all:-$3}}
    [ -z "$said" ] || printf "${4:-%s}" "$said"
}

fleet_file() { # SERVER: as it lies there; it differs by its directories alone, which on servers are the same
    local s n i=0
    cat <<END
fleet: lab
arbiter: { etcd: [ $(of_etcds "${FLEET_SCHEME:-http}://10.97.0.%:2379") ]${FLEET_ARBITER:+, $FLEET_ARBITER} }
${FLEET_SHARD_ETCD:+shard_etcd: { $FLEET_SHARD_ETCD \}}
state: $LAB_DIR/$1
run: $LAB_DIR/run
${FLEET_NODES_USER:+user: $FLEET_NODES_USER}
heals: 8
hold_down_s: ${FLEET_HOLD_DOWN:-60}
servers:
$(for s in ${listed:-$servers}; do echo "  $s: { host: 10.97.0.$(number "$s"),${FLEET_METRICS:+ metrics: \"10.97.0.$(number "$s"):9469\",} $(for_it room "$s" "nodes: 8")${zones[i]:+, zone: ${zones[i]}} }"; i=$((i + 1)); done)
shards:
$(for n in $shards; do echo "  $n: { port: $((4700 + $(number "$n"))), with: { k: $(number "$n") }$(for_it on "$n" "" ", on: [ %s ]") }"; done)
pair:
  chain:
    name: \$(shard)
    nfs:
      - nat: { inside: [10.0.0.0/8], outside: "203.0.113.\$(k)", max_flows: ${FLEET_FLOWS:-4000}${FLEET_FLOWS:+, max_flows_per_host: $FLEET_FLOWS} }
      - monitor: { max_flows: ${FLEET_FLOWS:-4000} }
${FLEET_NF:+      - $FLEET_NF}
${FLEET_MODULES:+    modules: [ $FLEET_MODULES ]}
  protect: { mode: log, slow_percent: ${FLEET_SLOW:-0}${FLEET_PROTECT:+, $FLEET_PROTECT} }
${FLEET_TIMING:+  timing: $FLEET_TIMING}
  link: { key: \$(dir)/pair.key }
  interfaces:
    - { name: inside, side: inside, address: "10.\$(k).0.1/24" }
    - { name: outside, side: outside, address: "203.0.113.\$(k)/24" }
  routes: [ { to: 0.0.0.0/0, via: 203.0.113.100 } ]
  next_hops: [ 203.0.113.100, "10.\$(k).0.100" ]
node:
  mbufs: 2048
  memory_mb: 64
${FLEET_NODES_USER:+  user: $FLEET_NODES_USER}
  ports:
    inside: "net_af_packet0,iface=\$(shard)-in,blocksz=65536,framesz=2048,framecnt=512,qpairs=1"
    outside: "net_af_packet1,iface=\$(shard)-out,blocksz=65536,framesz=2048,framecnt=512,qpairs=1"
END
}

# Stands in for systemctl: starts what the unit says, again whenever it ends, until it is stopped.
stand_in() {
    cat <<'END'
#!/bin/bash
[ "$1" != --no-block ] || shift
node=${2#understudy@}
case $1 in
start)
    [ ! -e "$UNITS/$node.stop" ] || rm -f "$UNITS/$node.stop"
    [ ! -e "$UNITS/$node.loop" ] || ! kill -0 "$(cat "$UNITS/$node.loop")" 2>/dev/null || exit 0
    setsid nohup bash -c '
        echo $$ >"$UNITS/$1.loop"
        . "$STATE/$1.env"
        until [ -e "$UNITS/$1.stop" ]; do
            "$UNDERSTUDY" run -c "$PAIR" -n "$1" </dev/null >>"$UNITS/$1.log" 2>&1 9>&- &
            echo $! >"$UNITS/$1.pid"
            wait $!
            [ -e "$UNITS/$1.stop" ] || sleep 1
        done' - "$node" </dev/null >/dev/null 2>&1 9>&- &
    ;;
restart) kill -TERM "$(cat "$UNITS/$node.pid")" 2>/dev/null ;;
stop)
    touch "$UNITS/$node.stop"
    kill -TERM "$(cat "$UNITS/$node.pid")" 2>/dev/null
    ;;
esac
exit 0
END
}

fleet_files() {
    local s
    rm -rf "$LAB_DIR" "$work"
    mkdir -p "$LAB_DIR/run" "$LAB_DIR/units" "$LAB_DIR/bin" "$work" || return 1
    stand_in >"$LAB_DIR/bin/systemctl" && chmod +x "$LAB_DIR/bin/systemctl"
    "$UNDERSTUDY" key "$LAB_DIR/pair.key"
    for s in $servers; do
        mkdir -p "$LAB_DIR/$s"
        fleet_file "$s" >"$LAB_DIR/fleet-$s.yaml"
    done
}

# ── what runs ────────────────────────────────────────────────────────────────────────────────────

# Nodes go first on their processors, where the kernel permits it: what leases depend on is not to wait behind all of them.
go_first() { renice -n -10 -p "$1" >/dev/null 2>&1; } # PID
etcd=() # process of each member
etcd_keeps=(--auto-compaction-mode=periodic --auto-compaction-retention=10m --quota-backend-bytes=8589934592) # as docs/fleet.md has it
etcd_args=()
etcd_start() { # [MEMBER]: 0 is the first
    local m=$((100 + ${1:-0})) at=10.97.0.$((100 + ${1:-0})) url
    url=${FLEET_SCHEME:-http}://$at:2379
    ip netns exec "${LAB_PREFIX}w" etcd --name "w$m" --data-dir "$work/etcd-$m" "${etcd_keeps[@]}" "${etcd_args[@]}" --listen-client-urls "$url" \
        --advertise-client-urls "$url" --listen-peer-urls "http://$at:2380" --initial-advertise-peer-urls "http://$at:2380" \
        --initial-cluster "$(of_etcds w%=http://10.97.0.%:2380)" >>"$work/etcd-$m.log" 2>&1 9>&- &
    etcd[m - 100]=$!
    go_first $! # it would be on servers of its own
}
in_etcd() { in_space w env ETCDCTL_API=3 etcdctl --endpoints "$(of_etcds "${FLEET_SCHEME:-http}://10.97.0.%:2379")" "$@"; }
etcd_answers() { soon in_etcd endpoint health || { tail -n 5 "$work"/etcd-*.log; return 1; }; }
# A function in the background has the number of a shell, and what is killed here are programs.
declare -A agent
agent_start() { # SERVER [a program that starts it, with its arguments]
    ip netns exec "$LAB_PREFIX$1" env PATH="$LAB_DIR/bin:$PATH" UNITS="$LAB_DIR/units" STATE="$LAB_DIR/$1" UNDERSTUDY="$UNDERSTUDY" \
        "${@:2}" "$UNDERSTUDY" fleet agent -c "$LAB_DIR/fleet-$1.yaml" -n "$1" ${FLEET_USER:+--user "$FLEET_USER"} >>"$work/agent-$1.log" 2>&1 9>&- &
    agent[$1]=$!
    go_first "${agent[$1]}" # as its unit says
}
# All at once, and the link last: a standby that hears its primary by the ports and not by the link gives up.
wires() { # SERVER up|down
    local n
    for n in $shards; do printf 'link set %s %s\n' "$n-in" "$2" "$n-out" "$2"; done |
        cat - <(for n in ${FLEET_WIRES:-} repl; do echo "link set $n $2"; done) | ip -n "$LAB_PREFIX$1" -batch -
}
# A server dies: all that runs there stands at once, its guardians as well, and nobody is told.
server_dies() { # SERVER
    local pids n
    pids=$(ip netns pids "$LAB_PREFIX$1")
    kill -STOP $pids
    wires "$1" down
    disown "${agent[$1]}" 2>/dev/null # else the shell tells of its end, in the middle of what a demo says
    kill -KILL $pids
    # Who was forked meanwhile goes, too. What comes there next finds its locks and sockets free.
    while pids=$(ip netns pids "$LAB_PREFIX$1") && [ -n "$pids" ]; do
        # shellcheck disable=SC2086 # words
        kill -KILL $pids 2>/dev/null
        sleep 0.02
    done
    unset "agent[$1]"
}
agent_restart() { # SERVER [SIGNAL]
    kill "-${2:-TERM}" "${agent[$1]}"
    wait "${agent[$1]}" 2>/dev/null
    agent_start "$1"
}
# The file has these servers from now on: it is written anew on each, and the agents that run are started anew with it.
fleet_list() { # SERVER…
    local s
    listed=$*
    for s in $servers; do fleet_file "$s" >"$LAB_DIR/fleet-$s.yaml"; done
    for s in "${!agent[@]}"; do agent_restart "$s"; done
}
server_returns() { # SERVER
    wires "$1" up
    agent_start "$1"
}

# A connection through the shard, which says something once a second and has had its first answer; what it came to is in
# $work/steady-SHARD when it has ended (ends_intact).
declare -A speaker listener
speak() { # SHARD
    local at=203.0.113.$((100 + $(number "$1"))) port=$((7000 + $(number "$1")))
    if [ -z "${listener[$1]:-}" ]; then
        ip netns exec "${LAB_PREFIX}server" python3 "$root/tests/lab/flow.py" serve "$at" "$port" 9>&- &
        listener[$1]=$!
    fi
    rm -f "$work/steady-$1.began"
    ip netns exec "${LAB_PREFIX}client" python3 "$root/tests/lab/flow.py" ask "$at" "$port" "$work/steady-$1" 1 2>"$work/steady-$1.err" 9>&- &
    speaker[$1]=$!
    soon test -e "$work/steady-$1.began" || diag "no answer through $1"
}

ends_intact() { # WHAT SHARD: its connection ends, and was never broken
    kill -TERM "${speaker[$2]}"
    wait "${speaker[$2]}"
    is_like "$1" "$(cat "$work/steady-$2" "$work/steady-$2.err")" '*intact *'
}

fleet() { in_space w timeout 60 "$UNDERSTUDY" fleet "$1" -c "$LAB_DIR/fleet-s1.yaml" "${@:2}"; }
said() { fleet status -o json 2>/dev/null | jq -r "$1"; }
node_says() { of_socket "$LAB_DIR/run/$1-$2.sock" "$3" 2>/dev/null | grep .; } # SHARD SERVER PATH; no line from one that does not run
await_fleet() { # FILTER VALUE
    local left=$(polls) is
    until is=$(said "$1"); [ "$is" = "$2" ]; do
        poll || { fleet status; return 1; }
        [ -z "${at_look:-}" ] || $at_look "$is"
    done
}
all_protected() { await_fleet '[.shards[] | select(.state == "PROTECTED" and .protected)] | length' "$(wc -w <<<"$shards")"; }
