#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table (table.sh), of lanes that speak to each other by a port of the link: by memif, in which each lane has a queue of its own, and by
# af_packet, whose one queue lanes share. While packets come densely the port carries the records; behind each fault it does again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/link-port.sh"
. "$(dirname "$0")/table.sh"
need_lab

port() { # CONFIGURATION PORT LANES ROW…
    local row
    export LAB_PORT=$2 LAB_LANES=$3
    begins "$1"
    web_begins
    dense
    ok "$1: the port carries the records" soon carries "$(primary)"
    says
    for row in "${@:4}"; do
        $row
        ok "$1, ${row%%_row*}: the port carries again" soon carries "$(primary)"
    done
    kill $denser
    ends
}
apply_row() {
    sed -i 's/monitor: { max_flows: 4000/monitor: { max_flows: 5000/' "$pair"
    ok "$configuration, apply: a larger table" us apply
    whole apply
}
# What people and programs are told while the port carries.
logs() { grep -q "link_port .*: $2" "$LAB_DIR/$1.log"; } # NODE TEXT
told() { soon logs "$@"; }
# Of a port that fell silent before its first line the log says that alone, until the port was heard for 10 s.
logs_which_way() {
    logs "$1" "the lanes' port net_.*8 carries the log" ||
        { [ "$(field "$1" link.port_losses)" -gt 0 ] && logs "$1" "the lanes' port net_.*8 is silent"; }
}
shows() { grep -q "$1" <(us status); }
log_grows() { # NODE: by the port alone, so in half a second throughout which it carried
    local log grown switches left=$(polls)
    while :; do
        switches=$(field "$1" link.port_switches) log=$(field "$1" log_bytes)
        sleep 0.5
        grown=$(field "$1" log_bytes)
        carries "$1" && [ "$(field "$1" link.port_switches)" = "$switches" ] && break
        poll || { echo "it never carried for half a second: $switches switches, then $(field "$1" link.port_switches)"; return 1; }
    done
    [ "$grown" -gt "$log" ]
}
says() {
    local first
    first=$(primary)
    ok "$configuration: the standby says that it carries, too" soon carries "$(standby)"
    ok "$configuration: status says which way the log goes" soon shows "^the log goes by the lanes' port net_[a-z_]*8$"
    ok "$configuration: and the log" soon logs_which_way "$first"
    ok "$configuration: bytes of the log are counted" soon log_grows "$first"
}
# Frames of somebody else on the cable.
strange_row() {
    local first
    first=$(primary)
    "$lab" exec "$(standby)" python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
end = time.monotonic() + 4
while time.monotonic() < end:
    s.send(bytes.fromhex("0375736c6e6b02000000000188b6") + bytes(100))
    time.sleep(0.01)' "$(standby)-repl"
    ok "$configuration, strange: the log says so" told "$first" "frames that come by the lanes' port net_af_packet8 are not $(standby)'s"
}
# The frames of the lane's own are lost, and the link's TCP, on the same interface, is not.
dead_row() {
    local first before
    first=$(primary) before="$(field "$first" slow.count) $(field "$first" damping.losses)"
    carries_no_more() { ! carries "$first"; }
    for node in a b; do
        "$lab" exec $node nft "add table netdev dead; add chain netdev dead out { type filter hook egress device $node-repl priority 0; }; add rule netdev dead out ether type 0x88b6 drop"
    done
    ok "$configuration, dead: the connection has the records again" soon carries_no_more
    is_silent() { [ "$(field "$1" link.port)" = silent ]; }
    for node in a b; do ok "$configuration, dead: node $node says that the port is silent" soon is_silent $node; done
    ok "$configuration, dead: so does status" shows "^the log goes by the link: the lanes' port net_af_packet8 is silent$"
    for node in a b; do ok "$configuration, dead: and the log of node $node" told $node "the lanes' port net_af_packet8 is silent"; done
    for node in a b; do "$lab" exec $node nft delete table netdev dead; done
    is "$configuration, dead: nobody was slow, and the standby was kept" "$(field "$first" slow.count) $(field "$first" damping.losses)" "$before"
    diag "fell silent $(field "$first" link.port_losses) times"
    whole dead
}

# The link's TCP is cut off, and a port of memif is not: without a connection it does not count.
cut_row() {
    local first
    first=$(primary)
    "$lab" exec "$first" ip link set "$first-repl" down
    ok "$configuration, cut: the primary goes on alone" await "$first" state SOLO
    [ "$LAB_PORT" = memif ] || ok "$configuration, cut: frames that the port could not send are counted" test "$(field "$first" link.port_tx_lost)" -gt 0
    "$lab" exec "$first" ip link set "$first-repl" up
    whole cut
    is "$configuration, cut: the roles are as before" "$(primary)" "$first"
}

# One of two ways of the link goes.
way_row() {
    local first losses
    first=$(primary) losses=$(field "$first" damping.losses)
    "$lab" exec "$first" ip link set "$first-repl" down
    one_way() { [ "$(field "$first" 'link.ways | map(select(.stands)) | length')" = 1 ]; }
    ok "$configuration, way: one way is lost" soon one_way
    "$lab" exec "$first" ip link set "$first-repl" up
    is "$configuration, way: the standby was kept" "$(field "$first" damping.losses)" "$losses"
    whole way
}

export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 4000 } },
  { firewall: { rules: firewall.rules, max_flows: 4000 } }, { monitor: { max_flows: 4000 }"
port "memif, two lanes" memif 2 "kill_row 2" hang_row planned_row handover_row standby_kill_row apply_row
port "af_packet, two lanes" af_packet 2 "kill_row 2"
LAB_SLOW="slow_percent: 60" port "af_packet, one lane" af_packet 1 strange_row dead_row cut_row
port "memif, one lane" memif 1 "kill_row 2" handover_row cut_row
LAB_WAYS=2 port "memif, two ways" memif 1 way_row "kill_row 1"

plan $tests
