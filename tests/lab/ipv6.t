#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# IPv6 through a pair with real hosts: neighbours, ping, traceroute's and path MTU's messages, the firewall, downloads
# through kills. IPv4 goes on beside it, translated.
. "$(dirname "$0")/lib.sh"
need_lab
plan 24

here=2001:db8:1 there=2001:db8:2
mkdir -p "$work"
cat >"$work/rules" <<END
allow out tcp from any to any
allow out udp from any to any
allow out icmp from any to any
allow out icmpv6
allow in icmpv6 to $here::/64 type 128
allow in icmpv6 to $there::/64 type 128
default deny
END
export LAB_RULES=$work/rules
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, address6: $here::1/64 },
  { name: outside, side: outside, address: 203.0.113.1/24, address6: $there::1/64, mtu: 1400, extra: [ $there::7 ] }"
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 2000, unsupported: pass } },
           { firewall: { rules: firewall.rules, ipv6: true, max_flows: 2000 } },
           { monitor: { max_flows: 2000, ipv6: true }"

host() { # SPACE NETWORK
    "$lab" exec "$1" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=0 &&
        ip -n "$LAB_PREFIX$1" address add "$2::100/64" dev eth0 nodad &&
        ip -n "$LAB_PREFIX$1" -6 route add default via "$2::1"
}
in_client() { "$lab" exec client timeout 60 "$@"; }
in_server() { "$lab" exec server timeout 60 "$@"; }
pings() { in_client ping -6 -n -c "${2:-3}" -i 0.2 -W 2 "$1"; }
mac_of() { ip -n "${LAB_PREFIX}client" -6 neigh show "$1" | sed -n 's/.* lladdr \([0-9a-f:]*\).*/\1/p'; }
neighbours() { us show l3 -o json | jq -r '[.. | .addr? // empty] | unique | map(select(contains(":"))) | join(" ")'; }

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "check takes its file" us check
host client $here
host server $there
ok "the chain's address answers" pings $here::1
ok "and its address on the other side, from there" in_server ping -6 -n -c 2 -i 0.2 -W 2 $there::1
ok "and the one that is its own besides" in_server ping -6 -n -c 2 -i 0.2 -W 2 $there::7
mac=$(mac_of $here::1)
local6=$(python3 -c 'import sys
m = [int(x, 16) for x in sys.argv[1].split(":")]
e = [m[0] ^ 2, *m[1:3], 0xff, 0xfe, *m[3:]]
print("fe80::" + ":".join("%x" % (e[i] << 8 | e[i + 1]) for i in range(0, 8, 2)))' "$mac")
ok "and its link-local one, which is made of its MAC" pings "$local6%eth0"
ok "a host gets the address" bash -c "ip -n ${LAB_PREFIX}client address add $here::1/64 dev eth0"
taken() { ip -n "${LAB_PREFIX}client" -6 address show dev eth0 dadfailed | grep -q $here::1/64; }
ok "and finds it taken" soon 10 taken
ip -n "${LAB_PREFIX}client" address del $here::1/64 dev eth0
ok "the other side is reached" pings $there::100
is "a packet that runs out is told by the chain" \
    "$(in_client ping -6 -n -c 1 -t 1 -W 2 $there::100 | grep -o "From $here::1 icmp_seq=1 Time exceeded: Hop limit")" \
    "From $here::1 icmp_seq=1 Time exceeded: Hop limit"
is "one that is too big, too" \
    "$(in_client ping -6 -n -M do -c 1 -s 1400 -W 2 $there::100 | grep -o "From $here::1 icmp_seq=1 Packet too big: mtu=1400")" \
    "From $here::1 icmp_seq=1 Packet too big: mtu=1400"
is "and one to nowhere" \
    "$(in_client ping -6 -n -c 1 -W 2 2001:db8:77::1 | grep -o "From $here::1 icmp_seq=1 Destination unreachable: No route")" \
    "From $here::1 icmp_seq=1 Destination unreachable: No route"
# Three requests to an address that nobody has, a second apart; who sends on is told.
unreachable() { # ADDRESS PATTERN
    in_client ping -n -c 6 -i 1 -W 1 "$1" | grep -qE "$2"
}
ok "who does not answer on a link is unreachable, over IPv6" \
    unreachable $there::55 "From $here::1 icmp_seq=[4-6] Destination unreachable: Address unreachable"
ok "and over IPv4, where the sender is translated" \
    unreachable 203.0.113.55 "From 10.0.0.1 icmp_seq=[4-6] Destination Host Unreachable"
ok "the firewall lets pings in" in_server ping -6 -n -c 2 -i 0.2 -W 2 $here::100
# Where nobody listens a host refuses a connection that reaches it: 7. This one hears nothing: 28.
is "and nobody's connection" \
    "$(in_server curl -gs -m 2 -o "$work/out" "http://[$here::100]:7300/"; echo $?)" 28
is "the chain knows its neighbours" "$(neighbours | tr ' ' '\n' | grep -c '^2001:db8:[12]::100$')" 2

web_files "$work" 10 4000 300000 2000000 8000000 3000000
export WEB_HOST="[$there::100]"
ok "a web server over IPv6 behind the chain" web_serve "$work"
strike "two kills in a row" 100 20 kill --repeat 2
is "the chain's MAC is the same for IPv6" "$(mac_of $here::1)" "$mac"
ok "the firewall has connections of IPv6" [ "$(us show firewall -o json | grep -c "$there::100")" -ge 1 ]
