#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A client that has IPv6 alone and a server that has IPv4 alone, with a pair between them that has nat64, the
# firewall in front of it and behind it: curl, ping, traceroute, path MTU both ways, downloads through kills.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 21

here=2001:db8:1 server=203.0.113.100
mkdir -p "$work"
cat >"$work/rules" <<END
allow out tcp from any to any
allow out udp from any to any
allow out icmp from any to any
allow in icmp to 203.0.113.64 type 8
default deny
END
export LAB_RULES=$work/rules
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, address6: $here::1/64, mtu: 1400 },
  { name: outside, side: outside, address: 203.0.113.1/24 }"
export LAB_NFS="monitor: { max_flows: 2000, ipv6: true } },
           { nat64: { outside: 203.0.113.64, max_flows: 2000 } },
           { firewall: { rules: firewall.rules, max_flows: 2000 }"

in_client() { "$lab" exec client timeout 60 "$@"; }
in_server() { "$lab" exec server timeout 60 "$@"; }
mapped() { python3 -c 'import ipaddress, sys; print(ipaddress.ip_address(int(ipaddress.ip_address("64:ff9b::")) + int(ipaddress.ip_address(sys.argv[1]))))' "$1"; }
pings() { in_client ping -6 -n -c 3 -i 0.2 -W 2 "$@"; }
counted() { us show nat64 >/dev/null; us status -o json | jq "[.. | .\"$1\"? // empty] | add"; }
told_mtu() { ip -n "$LAB_PREFIX$1" "${@:3}" route get "$2" | sed -n 's/.* mtu \([0-9]*\).*/\1/p'; }

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "check takes its file" us check
"$lab" exec client sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=0
ip -n "${LAB_PREFIX}client" address flush dev eth0 scope global
ip -n "${LAB_PREFIX}client" address add $here::100/64 dev eth0 nodad
ip -n "${LAB_PREFIX}client" -6 route add default via $here::1
there=$(mapped $server)
is "the client has no IPv4" "$(ip -n "${LAB_PREFIX}client" -4 address show dev eth0)" ""
is "and the server no IPv6" "$(ip -n "${LAB_PREFIX}server" -6 address show dev eth0)" ""
ok "the server answers pings" pings "$there"
ok "also large ones" pings -s 1300 "$there"
ok "the chain answers those to the address outside" in_server ping -n -c 2 -i 0.2 -W 2 203.0.113.64

# A router behind the server's network, one more hop away, which answers for what runs out there.
"$lab" exec server sysctl -qw net.ipv4.ip_forward=1
ip -n "${LAB_PREFIX}server" link add far type veth peer name beyond
ip -n "${LAB_PREFIX}server" address add 198.51.100.1/24 dev far
ip -n "${LAB_PREFIX}server" link set far up
ip -n "${LAB_PREFIX}server" link set beyond up
hop() { in_client ping -6 -n -c 1 -t "$1" -W 2 "$2" | grep -o 'From .*Time exceeded: Hop limit'; }
is "what runs out in the chain is told by it" "$(hop 1 "$there")" "From $here::1 icmp_seq=1 Time exceeded: Hop limit"
is "behind it, by a router of IPv4 under an address of the prefix" "$(hop 2 "$(mapped 198.51.100.9)")" \
    "From $(mapped $server) icmp_seq=1 Time exceeded: Hop limit"
ip -n "${LAB_PREFIX}server" link set far mtu 1300
too_big() { in_client ping -6 -n -M do -c 1 -s 1400 -W 2 "$1" | grep -o 'From .*Packet too big: mtu=.*'; }
is "and what is too big there, with an MTU of IPv6" "$(too_big "$(mapped 198.51.100.9)")" \
    "From $(mapped $server) icmp_seq=1 Packet too big: mtu=1320"
unreachable() { in_client curl -gs -m 3 "http://[$1]:7399/"; echo $?; }
is "a port where nobody listens refuses" "$(unreachable "$there")" 7

# A datagram of 2,000 bytes there and back, in fragments both ways.
fragments() {
    "$lab" exec server timeout 60 python3 - <<'END' &
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("203.0.113.100", 7300))
data, who = s.recvfrom(4096)
s.sendto(data[::-1][:1500], who)
END
    local pid=$!
    listens server udp 7300
    in_client python3 - "$there" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(5)
data = bytes(range(250)) * 8
s.sendto(data, (sys.argv[1], 7300))
print(s.recv(4096) == data[::-1][:1500])
END
    wait $pid
}
ip -n "${LAB_PREFIX}server" route replace 203.0.113.64 dev eth0 mtu lock 1300 src $server
is "a datagram in fragments there and back" "$(fragments)" True
ip -n "${LAB_PREFIX}server" route del 203.0.113.64
# A sender that makes no sum of UDP, as IPv4 allows.
no_sum() {
    "$lab" exec server timeout 60 python3 - <<'END' &
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 11, 1)
s.bind(("203.0.113.100", 7301))
data, who = s.recvfrom(4096)
s.sendto(data * 7, who)
END
    local pid=$!
    listens server udp 7301
    in_client python3 - "$there" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b"abc" * 33, (sys.argv[1], 7301))
print(s.recv(4096) == b"abc" * 231)
END
    wait $pid
}
is "a datagram without a checksum arrives" "$(no_sum)" True

# The primary dies and comes back as a standby, whose state is held against the other's.
killed() { kill_primary && equal; }

web_files "$work" 10 4000 300000 2000000 8000000 3000000
ok "a web server of IPv4" web_serve "$work"
export WEB_HOST="[$there]"
web_fetch "$work" "$work/out" 100 20 &
fetch=$!
under_way
ok "the primary is killed, and the nodes' states are equal" killed
ok "and once more" killed
wait $fetch
is "all downloads intact" "$(web_count "$work" intact)" 100
is "the server knows the MTU of the way, which is that of the client's less 20" "$(told_mtu server 203.0.113.64)" 1380
ok "connections have both their ends" bash -c "'$UNDERSTUDY' show nat64 -c '$pair' -o json |
    jq -e '[.. | .inside? // empty | select(startswith(\"[$here::100]:\"))] | length >= 1'"
ok "the firewall sees them as of IPv4, and the monitor as of IPv6" bash -c "
    '$UNDERSTUDY' show firewall -c '$pair' -o json | grep -q '203.0.113.64:' &&
    '$UNDERSTUDY' show monitor -c '$pair' -o json | grep -q '$there'"
ok "the pair is PROTECTED again" is_protected
