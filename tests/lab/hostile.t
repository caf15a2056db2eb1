#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A running pair against strangers and liars: on the replication port, as guardians, and on the data ports. Nodes
# stay up, the pair stays or becomes PROTECTED, its regions are equal, and what was refused is counted.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 35

tool=$root/tests/lab/hostile.py
captures=${UNDERSTUDY_PCAPS:-$root/../shared/pcaps}
here() { timeout 60 "$lab" exec "$1" python3 "$tool" "${@:2}"; } # NAMESPACE WHAT…
refusals() { field a "link.turned_away | add // 0"; }
as_before() { # what a stranger may not change; a machine that is busy by him may have it DEGRADED for a moment
    local left=$(polls)
    until [ "$(field a state) $(field a view) $(field a link.connects) $(field b state)" = "PROTECTED $view $connects READY" ]; do
        poll || { echo "a $(field a state) ($(field a why)), view $(field a view) of $view, b $(field b state)"; return 1; }
    done
    is_protected
}
same_processes() { [ "$(field a pid) $(field b pid)" = "$pids" ] || { echo "$(field a pid) $(field b pid), not $pids"; return 1; }; }
strangers() { here b connect 10.98.0.9 10.99.0.1 4700 garbage truncated huge replay port-scan; }
liars() { # from the peer's own host
    here b connect 10.99.0.2 10.99.0.1 4700 port-scan silent truncated large garbage huge && as_before
}
hello_of_old() { # who says it cannot answer the hello that it gets
    here b connect 10.99.0.2 10.99.0.1 4700 replay replay && as_before
}
mac_of() { ip -n "$LAB_PREFIX$1" -o link show "$2" | sed 's/.*ether \([0-9a-f:]*\).*/\1/'; } # SPACE DEVICE
# The kernel of a takes packets for its link's address on any interface; who is beside a data port sends some there.
reaches_by_a_data_port() {
    "$lab" exec a sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.a-in.rp_filter=0 &&
        ip -n "${LAB_PREFIX}client" address add 10.99.0.2/32 dev eth0 &&
        ip -n "${LAB_PREFIX}client" address add 10.98.0.8/32 dev eth0 &&
        ip -n "${LAB_PREFIX}client" route add 10.99.0.1/32 dev eth0 &&
        ip -n "${LAB_PREFIX}client" neigh replace 10.99.0.1 lladdr "$(mac_of a a-in)" dev eth0 nud permanent &&
        ip -n "${LAB_PREFIX}a" route add 10.98.0.8 dev a-in &&
        ip -n "${LAB_PREFIX}a" neigh replace 10.98.0.8 lladdr "$(mac_of client eth0)" dev a-in nud permanent
}
speaks_to_link_port() { # by the data network: the kernel has nobody there
    here client word 10.99.0.2 10.99.0.1 4700 forged random short
    here client connect 10.98.0.8 10.99.0.1 4700 garbage | tee /dev/stderr | grep -q refused
}
is_open_elsewhere() { # the same connection by the same way is taken where a socket is not bound
    "$lab" exec a timeout 60 python3 -c 'import socket; s = socket.create_server(("10.99.0.1", 4701)); print(s.accept())' &
    listens a tcp 4701
    here client connect 10.98.0.8 10.99.0.1 4701 port-scan | tee /dev/stderr | grep -q closed
    wait $!
}
stays_silent() { # what takes over from a primary that hangs, beside heartbeats that nobody who lives has said
    here client heartbeats eth0 again view sent again view sent >/dev/null &
    local liar=$!
    sleep 0.3
    drill hang --no-probe
    local code=$?
    wait $liar
    return $code
}
words() { # ADDRESS KIND…
    here b word "$1" 10.99.0.1 4700 "${@:2}"
    sleep 0.2
}
counts() { local n; n=$($1); [ "$n" -ge "$2" ] || { echo "$n of $2"; return 1; }; } # WHAT N: so many at least
refused_heartbeats() { # by either: whose heartbeat it was does not matter
    echo $(($(field a 'lanes | map(.heartbeats_refused) | add') + $(field b 'lanes | map(.heartbeats_refused) | add')))
}
tells_no_secret() { # the number that tells a process from its successor is not in what it sends on a data port
    local node half
    for node in a b; do
        half=$(printf '%08x' "$(field $node incarnation)") || return 1
        half=${half:6:2}${half:4:2}${half:2:2}${half:0:2}
        [ ${#HEARTBEAT} = 156 ] && ! grep -q "$half" <<<"$HEARTBEAT" || return 1
    done
}

ok "a network" "$lab" up --no-nodes || exit 1
here a sniff a-repl hello 50 >"$work/hello" &
sniffer=$!
soon test -s "$work/hello"
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected || exit 1
wait $sniffer
HELLO=$(tail -n 1 "$work/hello")
export HELLO
ok "b's hello was overheard" test ${#HELLO} -gt 100
ip -n "${LAB_PREFIX}b" address add 10.98.0.9/32 dev b-repl
ip -n "${LAB_PREFIX}a" route add 10.98.0.9 dev a-repl
probing 7007 8
chain_mac() { ip -n "${LAB_PREFIX}client" neigh show 10.0.0.1 | sed -n 's/.*lladdr \([0-9a-f:]*\).*/\1/p' | tr -d : | grep .; }
ok "the chain has a MAC" soon chain_mac
CHAIN_MAC=$(chain_mac)
export CHAIN_MAC
pids="$(field a pid) $(field b pid)" view=$(field a view) connects=$(field a link.connects)
HEARTBEAT=$(here fabric sniff a-in heartbeats 50 | tail -n 1) # of a, the primary
export HEARTBEAT
ok "a heartbeat was overheard, and tells no secret" tells_no_secret

before=$(refusals)
ok "strangers on the replication port" strangers
ok "change nothing" as_before
ok "and are counted" soon counts refusals $((before + 5))
before=$(refusals)
ok "death notices that are forged" words 10.99.0.2 forged heartbeat random short
ok "and from elsewhere" words 10.98.0.9 forged
ok "change nothing" as_before
ok "and are counted" soon counts refusals $((before + 250))
before=$(refused_heartbeats)
ok "heartbeats that are recorded or forged" here client heartbeats eth0 again view sent
ok "change nothing" as_before
ok "and the forged ones are counted" soon counts refused_heartbeats $((before + 100))
ok "malformed frames" here client made eth0
if [ -e "$captures/badpackets.pcap" ]; then
    ok "malformed captures" here client frames eth0 "$captures"/{badpackets,ip_fragmented_garbage,tcp-truncated-header,http-qinq,bot}.pcap
else
    skip "malformed captures" "no captures in $captures"
fi
ok "change nothing" as_before
ok "digests equal" equal
ok "liars at the peer's address change nothing" liars
ok "a hello of old changes nothing" hello_of_old
ok "somebody beside a data port reaches the link's address" reaches_by_a_data_port
ok "a socket of any interface takes his connection" is_open_elsewhere
before=$(refusals)
ok "the link's take neither his connection nor his datagrams" speaks_to_link_port
is "and see none of it" "$(refusals)" "$before"
ok "change nothing" as_before
ok "the same processes all the time" same_processes
ok "digests equal" equal
probing_ends
is "no flow broken, nothing contradicted" "$(seen '.flows_broken + .contradicted')" 0
ok "no lag is left over" await a lag_packets 0
ok "a primary that hangs is replaced beside heartbeats recorded and forged" stays_silent
is "by silence" "$(drilled '.runs[0].reason')" silence
is "the standby has kept its state" "$(drilled '.runs[0].digests_equal')" true
is "one view later" "$(field b view)" $((view + 1))
ok "the pair is PROTECTED again" is_protected
diag "view $view, at the end $(field a view); refused $(field a link.refused): $(field a link.last_refused); $(field a link.turned_away | tr -d '\n')"
diag "longest silence $(seen .silence_ms) ms"
