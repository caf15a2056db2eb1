#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A capture in several lanes: answers to a NAT go to the lane that gave out their port, and what is for a forwarded port
# where its host's answers go, as live; a firewall behind it, whose state is a lane's, knows each flow, whatever the number
# of lanes. And a warning where both directions of flows come from one side. Captures are made here. As TAP, no root.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "${BASH_SOURCE[0]}")/replay.sh"
is() { [ "$2" = "$3" ]; ok "$1" $? "got $2, expected $3"; }

# UDP: "SOURCE:PORT>DESTINATION:PORT", one a line on stdin, GAP microseconds apart (2000); into FILE. Or what left, with `read FILE`.
cat >"$dir/udp.py" <<'END'
import os, socket, struct, sys
def checksum(b):
    s = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
def end(text):
    host, port = text.rsplit(':', 1)
    return socket.inet_aton(host), int(port)
def frame(line):
    (src, sport), (dst, dport) = map(end, line.strip().split('>'))
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 32, 1, 0, 64, 17, 0) + src + dst
    return b'\2\0\0\0\0\2\2\0\0\0\0\1\x08\0' + ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:] + \
        struct.pack('!HHHH', sport, dport, 12, 0) + b'data'
if sys.argv[1] == 'read':
    b = open(sys.argv[2], 'rb').read()
    order, at = ('<' if b[:4] in (b'\xd4\xc3\xb2\xa1', b'\x4d\x3c\xb2\xa1') else '>'), 24
    while at < len(b):
        n = struct.unpack_from(order + 'I', b, at + 8)[0]
        f = b[at + 16:at + 16 + n]
        print('%s:%d>%s:%d' % (socket.inet_ntoa(f[26:30]), struct.unpack('!H', f[34:36])[0],
                               socket.inet_ntoa(f[30:34]), struct.unpack('!H', f[36:38])[0]))
        at += 16 + n
else:
    with open(sys.argv[1], 'wb') as out:
        out.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for n, line in enumerate(sys.stdin):
            f = frame(line)
            at = n * int(os.environ.get('GAP', 2000))
            out.write(struct.pack('<IIII', 1000 + at // 1000000, at % 1000000, len(f), len(f)) + f)
END
udp() { python3 "$dir/udp.py" "$@"; }
printf 'allow in udp to any port 80\ndefault allow out\ndefault deny in\n' >"$dir/nat.rules"
cat >"$dir/nat.yaml" <<END
chain:
  name: nat
  nfs:
    - firewall: { rules: nat.rules }
    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 20000-40000, forward: "udp/8080=10.0.0.80:80" }
END

# ---- answers to ports that a lane gave out ----------------------------------------------------------------------------------

# 100 flows go out; to what ports a run says; then answers to each of those, behind the same packets.
for n in $(seq 100); do echo "10.0.0.$n:$((4000 + n))>198.51.100.$((n % 7 + 1)):$((5000 + n % 11))"; done >"$dir/out.txt"
udp "$dir/out.pcap" <"$dir/out.txt"
for lanes in 1 2 4; do
    run --lanes $lanes -c "$dir/nat.yaml" -w "$dir/left.pcap" "$dir/out.pcap"
    udp read "$dir/left.pcap" | sed -E 's/(.*)>(.*)/\2>\1/' >"$dir/back.txt"
    cat "$dir/out.txt" "$dir/back.txt" | udp "$dir/both.pcap"
    run --lanes $lanes --kill primary@120 -c "$dir/nat.yaml" "$dir/both.pcap"
    is "answers to 100 flows pass in $lanes lanes, with a kill" \
        "$(fact '"\(.input) \(.dropped) \(.nfs.nat.counters.translated_inward) \(.failovers) \(.equivalent)"')" "200 0 100 1 true"
done

# All within 2 ms, so that in most bursts several lanes draw ports, of what they share.
for n in $(seq 200); do echo "10.0.1.$n:$((4000 + n))>198.51.100.$((n % 7 + 1)):$((5000 + n % 11))"; done >"$dir/out.txt"
GAP=10 udp "$dir/out.pcap" <"$dir/out.txt"
for n in 1 2 3 4; do
    run --lanes 4 -c "$dir/nat.yaml" -w "$dir/left.pcap" "$dir/out.pcap"
    udp read "$dir/left.pcap" | sort >"$dir/ports.$n"
done
is "four runs of one seed give the same ports in four lanes" "$(sort -u "$dir"/ports.[1-4] | wc -l) $(wc -l <"$dir/ports.1")" "200 200"
sed -E 's/(.*)>(.*)/\2>\1/' "$dir/ports.1" >"$dir/back.txt"
cat "$dir/out.txt" "$dir/back.txt" | GAP=10 udp "$dir/both.pcap"
run --lanes 4 --kill primary@120 -c "$dir/nat.yaml" "$dir/both.pcap"
is "answers to 200 flows pass that came at once, with a kill" \
    "$(fact '"\(.input) \(.dropped) \(.nfs.nat.counters.translated_inward) \(.failovers) \(.equivalent)"')" "400 0 200 1 true"

# ---- a forwarded port --------------------------------------------------------------------------------------------------------

# 60 clients ask a server inside, each twice, and it answers; its answers are of a flow that the firewall allowed inward, and
# of no rule outward.
printf 'allow in udp to any port 80\ndefault deny out\ndefault deny in\n' >"$dir/nat.rules"
for n in $(seq 60); do
    echo "198.51.100.$n:$((6000 + n))>203.0.113.1:8080"
    echo "10.0.0.80:80>198.51.100.$n:$((6000 + n))"
done | udp "$dir/forward.pcap"
for lanes in 1 2 4; do
    run --lanes $lanes --kill primary@60 -c "$dir/nat.yaml" "$dir/forward.pcap"
    is "a forwarded port's flows are one lane's both ways, with $lanes lanes" "$(fact '"\(.input) \(.dropped) \(.equivalent)"')" "120 0 true"
done

# The firewall in front of the NAT, on its outer side: without a rule nothing begins outside, whatever is forwarded.
sed '/firewall/d; /nat: {/a\    - firewall: { rules: outer.rules }' "$dir/nat.yaml" >"$dir/outer.yaml"
printf 'default allow out\n' >"$dir/outer.rules"
run -c "$dir/outer.yaml" "$dir/forward.pcap"
is "a forwarded port opens no firewall in front of the NAT" "$(fact '"\(.nfs.firewall.counters.denied) \(.nfs.nat.counters.translated_inward)"')" "60 0"
printf 'default allow out\nallow in udp to 203.0.113.1 port 8080\n' >"$dir/outer.rules"
run -c "$dir/outer.yaml" "$dir/forward.pcap"
is "a rule for the outside address and port does" "$(fact '"\(.dropped) \(.nfs.nat.counters.translated_inward)"')" "0 60"

# ---- both directions from one side ------------------------------------------------------------------------------------------

printf 'default allow\n' >"$dir/nat.rules"
for n in $(seq 5); do
    echo "10.1.0.$n:4000>10.2.0.9:53"
    echo "10.2.0.9:53>10.1.0.$n:4000"
    echo "10.1.0.$n:4000>198.51.100.9:53"
    echo "198.51.100.9:53>203.0.113.1:2000"
    echo "10.1.0.$n:4001>198.51.100.9:53"
done | udp "$dir/doubled.pcap"
run -c "$dir/nat.yaml" "$dir/doubled.pcap"
is "both ends in nat's inside: a warning that says of how many" "$(grep -c 'warning: of 5 flows that were captured both ways 5 have both directions from one side' "$dir/err")" 1
run --inside 10.1.0.0/16 -c "$dir/nat.yaml" "$dir/doubled.pcap"
is "with --inside there is none" "$(grep -c warning "$dir/err")" 0
run -c "$dir/nat.yaml" "$dir/forward.pcap"
is "nor where the sides are told apart" "$(grep -c warning "$dir/err")" 0
for n in $(seq 25); do echo "192.0.2.$n:4000>198.51.100.9:53"; done | udp "$dir/others.pcap"
run --inside 192.0.2.0/24 -c "$dir/nat.yaml" "$dir/others.pcap"
is "nothing left the chain: the verdict is a comparison of nothing, which is said, with the NF and its reason" \
    "$? $(fact '"\(.equivalent) \(.released)"') $(grep -c 'warning: 25 packets came in and none left the chain: .*; nat dropped 25 of them (not_inside), expected --inside' "$dir/err")" "0 true 0 1"
echo "1..$tests"
