#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another host on the clients' link says that it has the chain's address, in one frame and again and again: clients lose
# their gateway for a moment, and the log names the host. Of both families.
. "$(dirname "$0")/lib.sh"
need_lab
plan 8
exec 3>&1

six=2001:db8:1 thief=02:06:06:06:06:06
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, address6: $six::1/64 },
  { name: outside, side: outside, address: 203.0.113.1/24 }"
ok "the pair is PROTECTED" "$lab" up || exit 1
"$lab" exec client sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=0
ip -n "${LAB_PREFIX}client" address add $six::100/64 dev eth0 nodad
ip -n "${LAB_PREFIX}fabric" link add thief type veth peer name thief-in
ip -n "${LAB_PREFIX}fabric" link set thief-in master br-in up
ip -n "${LAB_PREFIX}fabric" link set thief up

# N frames, a second and a half from one to the next.
cat >"$work/claim.py" <<'END'
import ipaddress, socket, struct, sys, time

mac, addr, n = bytes.fromhex(sys.argv[1].replace(":", "")), ipaddress.ip_address(sys.argv[2]), int(sys.argv[3])
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("thief", 0))
if addr.version == 4:
    frame = b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x806, 1, 0x800, 6, 4, 1) + mac + addr.packed + bytes(6) + addr.packed
else:
    nodes = ipaddress.ip_address("ff02::1").packed
    said = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + addr.packed + b"\x02\x01" + mac
    whole = addr.packed + nodes + struct.pack("!II", len(said), 58) + said
    total = sum(struct.unpack("!%dH" % (len(whole) // 2), whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    said = said[:2] + struct.pack("!H", ~total & 0xFFFF) + said[4:]
    frame = b"\x33\x33\0\0\0\1" + mac + struct.pack("!HIHBB", 0x86DD, 0x60000000, len(said), 58, 255) + addr.packed + nodes + said
for i in range(n):
    time.sleep(1.5)
    link.send(frame)
END
counter() { us show l3 -o json | jq "[.. | .$1? // empty] | add"; }
at_chain() { # ADDRESS: the client sends to the chain, and not to the thief
    [ "$(ip -n "${LAB_PREFIX}client" -j neigh show "$1" dev eth0 | jq -r '.[0].lladdr')" = "$mac" ] || { ip -n "${LAB_PREFIX}client" neigh show; return 1; }
}
# The address is claimed N times: each is answered by an announcement at once (l3_defended counts those), and clients have their gateway again.
# How long they were without it is told: by the echoes in a row that were lost, 20 ms each.
defended() { # ADDRESS N
    local before
    before=$(counter l3_defended)
    "$lab" exec client ping -n -i 0.02 -w $((2 * $2 + 2)) "$1" >"$work/pings" &
    local pings=$!
    "$lab" exec fabric python3 "$work/claim.py" "$thief" "$1" "$2" || return
    wait $pings
    awk '/bytes from/ { n = $0; sub(/.*icmp_seq=/, "", n); n += 0; if (n - last - 1 > most) most = n - last - 1; if (n > last) last = n }
        / packets transmitted/ { if ($1 - last > most) most = $1 - last }
        END { printf "# '"$1"', claimed '"$2"' times: at most %d ms without an answer\n", most * 20 }' "$work/pings" >&3
    [ $(($(counter l3_defended) - before)) = "$2" ] || { echo "$(counter l3_defended) announcements, $before before"; return 1; }
    soon at_chain "$1"
}
says() { grep -q "warning conflict .*$thief, another host.s, has $1, an address of the chain, on inside" "$LAB_DIR/a.log"; }

ok "a client reaches the chain" "$lab" exec client ping -q -c 1 -W 10 10.0.0.1
mac=$(ip -n "${LAB_PREFIX}client" -j neigh show 10.0.0.1 dev eth0 | jq -r '.[0].lladdr')
ok "one gratuitous ARP is answered by an announcement, and the client has its gateway" defended 10.0.0.1 1
ok "the log names the address and the MAC" says 10.0.0.1
ok "so are five" defended 10.0.0.1 5
ok "and unsolicited advertisements of IPv6" defended $six::1 3
is "each was counted" "$(counter l3_arp_conflict) $(counter l3_nd_conflict)" "6 3"
ok "the states are the same" equal
