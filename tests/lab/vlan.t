#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sub-interfaces: one port of each node carries an untagged network, one of VLAN 100, one of VLAN 7 in VLAN 200, and VLAN
# 300, which is outside. Hosts in each of them speak with each other and with the server, through kills.
. "$(dirname "$0")/lib.sh"
need_lab
for tool in python3 tshark; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
[ -c /dev/net/tun ] || skip_all "no /dev/net/tun"
plan 30

export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 2000, unsupported: pass } },
           { firewall: { rules: firewall.rules, ipv6: true, max_flows: 2000 } }, { monitor: { max_flows: 2000, ipv6: true }"
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24 }, { name: outside, side: outside, address: 203.0.113.1/24 },
  { name: v100, port: inside, vlan: 100, pcp: dscp, side: inside, address: 10.1.0.1/24, address6: 2001:db8:1::1/64 },
  { name: v200-7, port: inside, vlan: [200, 7], side: inside, address: 10.2.0.1/24 },
  { name: v300, port: inside, vlan: 300, side: outside, address: 198.51.100.1/24, mtu: 1400 }"

in_a() { "$lab" exec a "$@"; }
at() { ip netns exec "$LAB_PREFIX$1" timeout 60 "${@:2}"; } # HOST COMMAND…
pings() { at "$1" ping -n -c "${3:-3}" -i 0.2 -W 2 "$2"; } # HOST ADDRESS [COUNT]
frames() { tshark -r "$work/trunk.pcap" -n -Y "$1" "${@:2}" 2>/dev/null; }
vlan_unknown() { field a frames_unknown_vlan; }

host() { # NAME ADDRESS GATEWAY TAGS
    ip netns add "$LAB_PREFIX$1" && ip -n "${LAB_PREFIX}client" link set "$1" netns "$LAB_PREFIX$1" &&
        ip -n "$LAB_PREFIX$1" address add "$2" dev "$1" && ip -n "$LAB_PREFIX$1" link set "$1" up &&
        ip -n "$LAB_PREFIX$1" link set lo up && ip -n "$LAB_PREFIX$1" route add default via "$3"
}
hosts=(h0 h100 h200 h300)
end_hosts() {
    [ -z "${vlans:-}" ] || kill "$vlans" 2>/dev/null
    for h in "${hosts[@]}"; do [ ! -e "/run/netns/$LAB_PREFIX$h" ] || ip netns del "$LAB_PREFIX$h"; done
}
end_hosts # of a test that was killed
trap 'end_hosts; cleanup' EXIT

ok "a network, no nodes" "$lab" up --no-nodes || exit 1
is "the MTU that two tags need is told" "$(in_a timeout 60 "$UNDERSTUDY" check -c "$pair" 2>&1 >/dev/null | sed 's/.*node a: //')" \
    "a-in: MTU 1500: packets of up to 1508 bytes are let pass and dropped here, run: ip link set a-in mtu 1508"
for s in a b; do ip -n "$LAB_PREFIX$s" link set $s-in mtu 1508; done
for s in client a-in b-in br-in; do ip -n "${LAB_PREFIX}fabric" link set $s mtu 1508; done
ip -n "${LAB_PREFIX}client" link set eth0 mtu 1508
is "nothing is amiss then" "$(in_a timeout 60 "$UNDERSTUDY" check -c "$pair" 2>&1 >/dev/null)" ""
"$lab" exec client python3 "$root/tests/lab/vlans.py" eth0 "$work/trunk.pcap" h0=0 h100=100 h200=200.7 h300=300 >"$work/vlans" 2>&1 &
vlans=$!
for ((i = 0; i < 100; i++)); do grep -q ready "$work/vlans" && break; sleep 0.05; done
host h0 10.0.0.101/24 10.0.0.1
host h100 10.1.0.100/24 10.1.0.1
host h200 10.2.0.100/24 10.2.0.1
host h300 198.51.100.100/24 198.51.100.1
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected
is "each interface is heard by the other node, in its VLAN" "$(field a 'ports | map("\(.port) \(.peer_heard)") | join(", ")')" \
    "inside true, outside true, v100 true, v200-7 true, v300 true"
for h in h0:10.0.0.1 h100:10.1.0.1 h200:10.2.0.1 h300:198.51.100.1; do
    ok "${h%:*} reaches the chain's address in its network" pings "${h%:*}" "${h#*:}"
done
ok "from VLAN 7 in 200 outside, to the server" pings h200 203.0.113.100
ok "and from the untagged network into VLAN 300" pings h0 198.51.100.100
ok "from VLAN 100 outside, to the server" pings h100 203.0.113.100
ok "the same with a DSCP, which answers have too" at h100 ping -n -c 3 -i 0.2 -W 2 -Q 0xb8 203.0.113.100
ip -n "${LAB_PREFIX}h100" address add 2001:db8:1::100/64 dev h100 nodad
ok "of IPv6 the chain itself answers so" at h100 ping -n -c 3 -i 0.2 -W 2 -Q 0xb8 2001:db8:1::1
ok "and into VLAN 300, which is outside on the same port" pings h100 198.51.100.100
is "in its MTU, which its sender is told" "$(pings h100 198.51.100.100 1 >/dev/null; at h100 ping -n -M do -c 1 -s 1400 -W 2 198.51.100.100 |
    grep -o 'From 10.1.0.1 .*mtu = [0-9]*')" "From 10.1.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400"
ok "others' is larger" at h200 ping -n -M do -c 2 -i 0.2 -s 1472 -W 2 203.0.113.100
ok "datagrams larger than any come in fragments" at h200 ping -n -c 2 -i 0.2 -s 20000 -W 2 203.0.113.100
before=$(vlan_unknown)
"$lab" exec client python3 -c 'import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 3))
for tags in ("8100012c8100012c", "810003e7", "88a800c8", "8100012d"):
    for i in range(5):
        s.send(bytes.fromhex("ffffffffffff020000000009" + tags + "0800") + bytes(60))'
sleep 0.5
is "frames with tags that no interface has are dropped and counted" $(($(vlan_unknown) - before)) 20

web_files "$work" 3000 40000 300000 1000000
ok "a web server behind the chain" web_serve "$work"
fetch() { # HOST: so many downloads that are whole
    local i n=0
    for ((i = 0; i < 20; i++)); do
        [ "$(at "$1" curl -q -s --max-time 30 "http://203.0.113.100/$((i % 4))" | sha256sum | cut -d' ' -f1)" = \
            "$(awk -v f=$((i % 4)) '$1 == f { print $2 }' "$work/sums")" ] && n=$((n + 1))
    done
    echo $n >"$work/fetched.$1"
}
marks=$(date +%s.%N)
for h in h0 h100 h200; do fetch $h & fetching+=($!); done
sleep 1
ok "two kills in a row" drill kill --repeat 2
wait "${fetching[@]}"
is "all downloads intact" "$(cat "$work"/fetched.*| xargs)" "20 20 20"
is "digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
since="frame.time_epoch >= $marks"
is "the successors say whose the addresses are, in each VLAN" \
    "$(frames "$since && arp.isgratuitous" -T fields -e ieee8021ad.id -e vlan.id -e arp.src.proto_ipv4 -E separator=- | sort -u | xargs)" \
    "--10.0.0.1 -100-10.1.0.1 -300-198.51.100.1 -300-203.0.113.1 200-7-10.2.0.1"
is "of IPv6, too" "$(frames "$since && icmpv6.type == 136" -T fields -e vlan.id -e icmpv6.nd.na.target_address -E separator=- | sed 's/fe80::.*/fe80::/' | sort -u | xargs)" \
    "100-2001:db8:1::1 100-fe80::"
is "tags have no priority" "$(frames "vlan && vlan.id != 100" -T fields -e vlan.priority | sort -u | xargs)" 0
is "but that of the packet's DSCP, where the file says so" "$(frames 'icmp.type == 0 && ip.dsfield.dscp == 46' -T fields -e vlan.id -e vlan.priority -E separator=- | sort -u | xargs)" \
    "100-5"
is "and of IPv6" "$(frames 'icmpv6.type == 129 && ipv6.tclass.dscp == 46' -T fields -e vlan.id -e vlan.priority -E separator=- | sort -u | xargs)" "100-5"
ok "the pair is PROTECTED again" is_protected
