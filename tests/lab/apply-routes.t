#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Interfaces, routes and next hops stand in the chain's file, and change while the pair runs, beside downloads: a further
# address, the default route to another router, a VLAN interface in the middle of the others that comes and goes, a network on
# a port that was free. Hosts and routers are Linux's, each in a namespace. What cannot be is refused before anything changes,
# what nobody confirms goes back, and a standby whose primary dies goes on with what was changed last.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
[ -c /dev/net/tun ] || skip_all "no /dev/net/tun"
plan 45

mine=$LAB_DIR/pair.yaml theirs=$work/b/pair.yaml chain=$LAB_DIR/chain.yaml
at() { ip netns exec "$LAB_PREFIX$1" timeout 60 "${@:2}"; } # HOST COMMAND…
pings() { at "$1" ping -n -q -c 3 -i 0.2 -W 2 "$2"; } # HOST ADDRESS
ttl() { at client ping -n -c 1 -W 1 192.0.2.10 | grep -o 'ttl=[0-9]*'; }
refusal() { ! us "${@:2}" >"$work/refusal" 2>&1 && grep -q -- "$1" "$work/refusal" || { cat "$work/refusal"; return 1; }; }
interfaces() { field "$1" 'ports | map(.port) | join(" ")'; } # NODE
is_ttl() { [ "$(ttl)" = "ttl=$1" ] || { ttl; return 1; }; }
heard() { field a 'ports | map(.peer_heard) | all'; }
is_heard() { [ "$(heard)" = true ] || { field a ports; return 1; }; }
fetch() { "$lab" exec client curl -q -sS --limit-rate 3M -o "$work/got.$1" http://203.0.113.100/0 2>"$work/err.$1" & }
intact() { [ "$(sha256sum <"$work/got.$1" | cut -d' ' -f1)" = "$(awk 'NR == 1 { print $2 }' "$work/sums")" ]; }

a= b= vlans= download= listening=()
start() { # NODE
    local file=$mine
    [ "$1" = a ] || file=$theirs
    ip netns exec "$LAB_PREFIX$1" setsid nohup "$UNDERSTUDY" run -c "$file" -n "$1" </dev/null >>"$work/$1.log" 2>&1 &
    eval "$1=\$!"
}
end_hosts() { for h in h100 dmz router; do [ ! -e "/run/netns/$LAB_PREFIX$h" ] || ip netns del "$LAB_PREFIX$h"; done; }
release() {
    local p
    [ $bad = 0 ] || diag "$(tail -n 30 "$work/a.log" "$work/b.log")"
    for p in $a $b $vlans $download "${listening[@]}"; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
    end_hosts
    cleanup
}
trap release EXIT
end_hosts # of a test that was killed

# ── hosts and routers ──
host() { # NAME ADDRESS GATEWAY
    ip -n "$LAB_PREFIX$1" link set lo up && ip -n "$LAB_PREFIX$1" address add "$2" dev eth0 &&
        ip -n "$LAB_PREFIX$1" link set eth0 up && ip -n "$LAB_PREFIX$1" route add default via "$3"
}
cable() { # NAME BRIDGE NAMESPACE DEVICE: in the namespace, a device that is on the bridge
    ip -n "${LAB_PREFIX}fabric" link add "$1" type veth peer name "$4" netns "$LAB_PREFIX$3" &&
        ip -n "${LAB_PREFIX}fabric" link set "$1" master "$2" up &&
        "$lab" exec fabric ethtool -K "$1" tx off rx off sg off tso off gso off gro off >/dev/null 2>&1
    "$lab" exec fabric ethtool -K "$1" txvlan off rxvlan off >/dev/null 2>&1
    ip netns exec "$LAB_PREFIX$3" ethtool -K "$4" tx off rx off sg off tso off gso off gro off >/dev/null 2>&1
    ip -n "$LAB_PREFIX$3" link set "$4" up
}
"$lab" up --no-nodes || exit 1
for h in dmz router; do ip netns add "$LAB_PREFIX$h"; done
ip -n "${LAB_PREFIX}fabric" link add br-dmz type bridge stp_state 0 forward_delay 0 mcast_snooping 0
ip -n "${LAB_PREFIX}fabric" link set br-dmz up
cable dmz br-dmz dmz eth0
cable router br-out router eth0
for s in a b; do
    cable $s-dmz br-dmz $s $s-dmz
    ip -n "$LAB_PREFIX$s" link set $s-dmz promisc on
done
host dmz 10.7.0.100/24 10.7.0.1
host router 203.0.113.200/24 203.0.113.1
# Both routers have the far host; what it answers by the second one has another time to live.
for h in server router; do ip -n "$LAB_PREFIX$h" address add 192.0.2.10/32 dev lo; done
at router sysctl -qw net.ipv4.ip_default_ttl=77
at server sysctl -qw net.ipv4.conf.eth0.arp_accept=1
"$lab" exec client python3 "$root/tests/lab/vlans.py" eth0 "$work/trunk.pcap" h100=100 >"$work/vlans" 2>&1 &
vlans=$!
soon grep -q ready "$work/vlans"
ip netns add "${LAB_PREFIX}h100" && ip -n "${LAB_PREFIX}client" link set h100 netns "${LAB_PREFIX}h100" name eth0 && host h100 10.1.0.100/24 10.1.0.1

# ── files: the chain's, in which the interfaces stand, and each node's own ──
mkdir -p "$work/b"
sed -i 's/^chain:$/chain: { file: chain.yaml }\nmoved:/; s/^drill:$/push: { permit: true }\ndrill:/' "$mine"
{
    echo chain:
    sed -n '/^moved:/,/^protect:/p' "$mine" | sed '1d;$d'
    cat <<'END'
interfaces:
  - { name: inside, side: inside, address: 10.0.0.1/24 }
  - { name: outside, side: outside, address: 203.0.113.1/24 }
routes:
  - { to: 0.0.0.0/0, via: 203.0.113.100 }
next_hops: [ 203.0.113.100, 10.0.0.100 ]
END
} >"$chain"
sed -i '/^moved:/,/^protect:/{/^protect:/!d}; /^interfaces:/,/^nodes:/{/^nodes:/!d}' "$mine"
for s in a b; do sed -i "s/\(iface=$s-out[^\"]*\"\) }/\1, dmz: \"net_af_packet2,iface=$s-dmz,blocksz=65536,framesz=2048,framecnt=512\" }/" "$mine"; done
cp "$mine" "$theirs"
cp "$chain" "$LAB_DIR/firewall.rules" "$LAB_DIR/pair.key" "$work/b"
cp "$chain" "$work/chain.first"
ok "such files are read" "$UNDERSTUDY" check -c "$mine"
start a
start b
ok "PROTECTED" is_protected
web_files "$work" 60000000
ok "a web server behind the chain" web_serve "$work"
soon is_ttl 63
fetch one
download=$!
sleep 1

# ── a further address ──
sed -i 's|address: 203.0.113.1/24|&, extra: [ 203.0.113.77 ]|' "$chain"
us apply --dry-run >"$work/out" 2>&1
is "a dry run tells the address that would come" "$? $(grep -A1 '^address 203.0.113.77  begins' "$work/out" | tail -n 1 | xargs) $(grep -c '^interface\|^route\|^next hop' "$work/out")" "0 of outside 0"
is "and nobody has it" "$(at server ping -n -q -c 1 -W 1 203.0.113.77 >/dev/null; at server ip neigh show 203.0.113.77 | grep -c lladdr)" 0
at server ip neigh flush all
# Gratuitous ARP that comes from a node's port: of a alone.
claims() { # NODE
    ip netns exec "${LAB_PREFIX}fabric" python3 -u -c '
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 3)) # the bridge takes what is of a type
print("listens")
while True:
    frame, where = s.recvfrom(2048)
    if where[2] != 4 and frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42]: print(socket.inet_ntoa(frame[28:32]))' "$1-out" >"$work/claims.$1" &
    listening+=($!)
    soon grep -q listens "$work/claims.$1"
}
claims a
claims b
# The client answers no ARP meanwhile, and asks for nothing: who forgot it does not find it.
at client sysctl -qw net.ipv4.conf.all.arp_ignore=8
at client ip neigh replace 10.0.0.1 dev eth0 lladdr "$(at client ip neigh show 10.0.0.1 | grep -o '..:..:..:..:..:..')" nud permanent
ok "it comes" us apply
ok "a host that cannot be asked is known as before" pings client 203.0.113.100
at client sysctl -qw net.ipv4.conf.all.arp_ignore=0
at client ip neigh del 10.0.0.1 dev eth0
ok "it is announced to hosts that have not asked" soon eval 'at server ip neigh show 203.0.113.77 | grep -q lladdr'
at server ip neigh flush all
at server ping -n -q -c 1 -W 1 203.0.113.77 >/dev/null
ok "and answered for" eval 'at server ip neigh show 203.0.113.77 | grep -q lladdr'
ok "digests are equal" equal
is "by the primary, and by nobody else" "$(sort -u "$work/claims.a" | xargs), $(sort -u "$work/claims.b" | xargs)" \
    "203.0.113.1 203.0.113.77 listens, listens"
kill "${listening[@]}"
ok "the file is on the standby" soon cmp "$chain" "$work/b/chain.yaml"

# ── another router ──
ip netns exec "${LAB_PREFIX}client" stdbuf -oL ping -n -i 0.1 192.0.2.10 >"$work/pings" &
pinging=$!
soon grep -q ttl=63 "$work/pings"
sed -i 's/via: 203.0.113.100 }/via: 203.0.113.200 }/' "$chain"
is "a dry run tells the route" "$(us apply --dry-run | grep -A1 '^route 0.0.0.0/0  changes' | tail -n 1 | xargs)" \
    "via 203.0.113.100 on outside, then via 203.0.113.200 on outside"
ok "it changes" us apply
ok "the next packets go to the other router" is_ttl 76
soon grep -q ttl=76 "$work/pings"
kill -INT $pinging
wait $pinging
is "those of a host that went on, too" "$(grep -o 'ttl=[0-9]*' "$work/pings" | uniq | xargs)" "ttl=63 ttl=76"
ok "digests are equal" equal

# ── a VLAN between the two, so that the outside has another number ──
sed -i 's|^  - { name: outside|  - { name: guests, port: inside, vlan: 100, side: inside, address: 10.1.0.1/24 }\n&|' "$chain"
is "a dry run tells the interface" "$(us apply --dry-run | grep -A1 '^interface guests  begins' | tail -n 1 | cut -d, -f1-4 | xargs)" \
    "inside, port inside, VLAN 100 (8100), mtu 1500"
ok "it comes" us apply
ok "status has it, on both nodes" soon eval '[ "$(interfaces a), $(interfaces b)" = "inside guests outside, inside guests outside" ]'
ok "each is heard by the other node" soon is_heard
ok "a host in the VLAN reaches the server" pings h100 203.0.113.100
ok "and the client reaches it" pings client 10.1.0.100
ok "the other router is still the way out" is_ttl 76
ok "digests are equal" equal
ok "a handover" drain
ok "the host in the VLAN goes on" pings h100 203.0.113.100
is_protected
ok "and back" drain
cp "$chain" "$work/chain.guests"
sed -i '/name: guests/d' "$chain"
ok "it goes" us apply
ok "from both nodes" soon eval '[ "$(interfaces a), $(interfaces b)" = "inside outside, inside outside" ]'
is "a host there reaches nobody" "$(pings h100 203.0.113.100 | grep -o '[0-9]* received')" "0 received"
wait $download
is "a download beside all that is whole" "$? $(intact one && echo intact)" "0 intact"

# ── a network on a port that no interface had ──
fetch two
download=$!
dmz='s|^routes:|  - { name: dmz, side: inside, address: 10.7.0.1/24 }\n&|'
sed -i "$dmz" "$chain"
cp "$theirs" "$work/pair.b"
sed -i 's/, dmz: "[^"]*"//' "$theirs"
ok "a node whose file has no such port refuses it" refusal 'ports dmz is missing' apply
is "and nothing has changed" "$(interfaces a), $(interfaces b)" "inside outside, inside outside"
cp "$work/pair.b" "$theirs"
sed -i 's/name: dmz,/name: dmz, port: nowhere,/' "$chain"
ok "nor does a node have a port that nobody's file names" refusal 'ports nowhere is missing' apply
ok "check says the same" eval '! "$UNDERSTUDY" check -c "$mine" >"$work/check" 2>&1 && grep -q "ports nowhere is missing" "$work/check"'
sed -i 's/name: dmz, port: nowhere,/name: dmz,/' "$chain"
ok "with the port on both it comes, until somebody confirms" us apply --confirm 10
ok "a host there reaches the server" pings dmz 203.0.113.100
ok "it goes back by itself" soon eval '[ "$(interfaces a), $(interfaces b)" = "inside outside, inside outside" ]'
ok "PROTECTED" is_protected
ok "and so are the files" soon eval '! grep -q dmz "$chain" "$work/b/chain.yaml"'

# ── the primary dies just behind a change ──
sed -i 's/via: 203.0.113.200 }/via: 203.0.113.100 }/' "$chain"
us apply >"$work/out" 2>&1 && kill -KILL "$(field a pid)" && wait "$a" 2>/dev/null
ok "a standby whose primary has died goes on with the new route" soon is_ttl 63
start a
ok "PROTECTED again" is_protected
ok "digests are equal" equal
wait $download
is "the download is whole" "$? $(intact two && echo intact)" "0 intact"
