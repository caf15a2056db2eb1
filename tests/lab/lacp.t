#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A port of two links, by LACP, to a switch that is DPDK's testpmd with its bonding driver: tshark says what both agree on. One
# link is cut, then the other one: packets go on by what is left, and a port without any is not whole.
. "$(dirname "$0")/lib.sh"
need_lab
for tool in dpdk-testpmd tshark; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
plan 11

spaces="box switch client server"
in_space() { ip netns exec "$LAB_PREFIX$1" "${@:2}"; }
lacp_down() {
    local s pids
    for s in $spaces; do
        pids=$(ip netns pids "$LAB_PREFIX$s" 2>/dev/null)
        [ -z "$pids" ] || kill -KILL $pids
        ip netns del "$LAB_PREFIX$s" 2>/dev/null
    done
    rm -rf "$work"
}
trap lacp_down EXIT
wire() { # SPACE DEVICE SPACE DEVICE
    ip -n "$LAB_PREFIX$1" link add "$2" type veth peer name "$4" netns "$LAB_PREFIX$3" || return 1
    for one in "$1 $2" "$3 $4"; do
        set -- $one
        in_space "$1" ethtool -K "$2" tx off rx off sg off tso off gso off gro off rxvlan off txvlan off >/dev/null 2>&1
        ip -n "$LAB_PREFIX$1" link set "$2" up promisc on || return 1
    done
}
wires() {
    local s
    for s in $spaces; do ip netns add "$LAB_PREFIX$s" && ip -n "$LAB_PREFIX$s" link set lo up || return 1; done
    wire client c0 box in && wire box o1 switch s1 && wire box o2 switch s2 && wire switch s3 server v0 &&
        ip -n "${LAB_PREFIX}client" address add 10.0.0.100/24 dev c0 &&
        ip -n "${LAB_PREFIX}client" route add default via 10.0.0.1 && ip -n "${LAB_PREFIX}server" address add 203.0.113.100/24 dev v0
}
ok "two links to a switch" wires || exit 1
ring="blocksz=65536,framesz=2048,framecnt=512,qpairs=1"
(exec ip netns exec "${LAB_PREFIX}switch" dpdk-testpmd --no-huge -m 192 --no-pci --file-prefix="$LAB_PREFIX" -l 0,1 --vdev "net_af_packet0,iface=s1,$ring" \
    --vdev "net_af_packet1,iface=s2,$ring" --vdev "net_af_packet2,iface=s3,$ring" \
    --vdev net_bonding0,mode=4,slave=net_af_packet0,slave=net_af_packet1,xmit_policy=l34 \
    -- --portlist=2,3 --forward-mode=io --total-num-mbufs=8192 --auto-start --nb-cores=1 < <(sleep 300) >"$work/testpmd.log" 2>&1 9>&-) &

pair=$work/pair.yaml
cat >"$pair" <<END
chain: { name: lacp, nfs: [ { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 2000 } } ] }
protect: { mode: off }
interfaces: [ { name: inside, side: inside, address: 10.0.0.1/24 }, { name: outside, side: outside, address: 203.0.113.1/24 } ]
routes: [ { to: 0.0.0.0/0, via: 203.0.113.100 } ]
nodes:
  a:
    role: primary
    ports: { inside: "net_af_packet0,iface=in,$ring", outside: "net_af_packet1,iface=o1,$ring + net_af_packet2,iface=o2,$ring" }
    replication: 127.0.0.1:4790
    control: $work/a.sock
    mbufs: 8192
    memory_mb: 128
  b: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4791", control: $work/b.sock }
END
ok "the file is good" in_space box "$UNDERSTUDY" check -c "$pair"
for link in s1 s2; do ip netns exec "${LAB_PREFIX}switch" tcpdump -q -U -i $link -w "$work/$link.pcap" ether proto 0x8809 >"$work/$link.log" 2>&1 9>&- & done
sleep 1
ip netns exec "${LAB_PREFIX}box" "$UNDERSTUDY" run -c "$pair" -n a </dev/null >"$work/a.log" 2>&1 9>&- &

ping_one() { in_space client ping -q -c 1 -W 0.2 203.0.113.100 >/dev/null; }
passes() { # SECONDS: within these, and then ten in a row
    local end=$((SECONDS + $1)) row=0
    while [ $row -lt 10 ]; do
        [ $SECONDS -lt $end ] || { tail -n 5 "$work/a.log" "$work/testpmd.log"; return 1; }
        if ping_one; then row=$((row + 1)); else row=0; fi
    done
}
ok "packets pass, there and back" passes 40
# What the node said last of itself and of the switch since a time, on one link: both distribute. It says so every 30 s, or when
# something changes.
agree() { # DEVICE of the switch, SINCE
    local end=$((SECONDS + 80))
    until tshark -r "$work/$1.pcap" -Y "frame.time_epoch > $2" -T fields -e eth.src -e lacp.flags.a.distrib -e lacp.flags.p.distrib 2>/dev/null |
        awk '{ last[$1] = $2 " " $3 } END { for (s in last) n += last[s] ~ /^(1 1|True True)$/; exit n != 1 }'; do
        [ $SECONDS -lt $end ] || { tshark -r "$work/$1.pcap" 2>/dev/null | tail -n 8; return 1; }
        sleep 0.5
    done
}
ok "both ends of the first link distribute, says tshark" agree s1 0
ok "and of the second" agree s2 0
whole() { us status -n a -o json | jq -r '.ports[] | select(.port == "outside").up'; }
ip -n "${LAB_PREFIX}switch" link set s1 down
ok "the first link is cut: packets pass by the second" passes 20
is "and the port has carrier" "$(whole)" true
back=$(date +%s.%N)
ip -n "${LAB_PREFIX}switch" link set s1 up
ok "it is back" agree s1 "$back"
ip -n "${LAB_PREFIX}switch" link set s2 down
ok "the second is cut: packets pass by the first" passes 20
ip -n "${LAB_PREFIX}switch" link set s1 down
none() { local end=$((SECONDS + 5)); until [ "$(whole)" = false ]; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done; }
ok "both are cut: the port has no carrier" none
ip -n "${LAB_PREFIX}switch" link set s2 up
ok "one is back: packets pass" passes 40
[ $bad = 0 ]
