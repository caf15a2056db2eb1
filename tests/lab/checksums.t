#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Wrong checksums, as of a capture of a host that leaves them to its NIC: replay says how many there are, of the header of
# IPv4 and of TCP or UDP; ips and dpi count them by a word of their own, or, with `checksums: false`, look at all. The frames
# are made here with checksums computed by python; on others' captures tshark is the judge. As TAP, without root.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "${BASH_SOURCE[0]}")/replay.sh"
is() { [ "$2" = "$3" ]; ok "$1" $? "got $2, expected $3"; }

# Twelve flows of UDP with the word "attack": four are right, five have a wrong IPv4 header, three a wrong UDP checksum.
python3 - "$dir/made.pcap" <<'END'
import struct, sys
def checksum(b):
    s = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
def frame(n):
    src, dst, data = bytes([10, 0, 0, 1 + n]), bytes([203, 0, 113, 5]), b'attack!!'
    udp = struct.pack('!HHHH', 4000 + n, 5000, 16, 0) + data
    udp = udp[:6] + struct.pack('!H', checksum(src + dst + b'\0\x11\0\x10' + udp) ^ (0x101 if n >= 9 else 0)) + udp[8:]
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 36, n, 0, 64, 17, 0) + src + dst
    ip = ip[:10] + struct.pack('!H', checksum(ip) ^ (0x101 if 4 <= n < 9 else 0)) + ip[12:]
    return b'\2\0\0\0\0\2' + b'\2\0\0\0\0\1' + b'\x08\0' + ip + udp
with open(sys.argv[1], 'wb') as out:
    out.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for n in range(12):
        f = frame(n)
        out.write(struct.pack('<IIII', 1700000000 + n, 0, len(f), len(f)) + f)
END
echo 'alert udp any any -> any any (content:"attack"; sid:1;)' >"$dir/rules"
chain() { # NAME MODULES NF
    echo "chain: { name: x, lanes: ${4:-1}, $2 nfs: [ $3 ] }" >"$dir/$1.yaml"
}
chain strict "" "ips: { rules: rules }"
chain loose "" "ips: { rules: rules, checksums: false }"
chain four "" "ips: { rules: rules, checksums: false }" 4
chain behind "" "firewall: { rules: fw.rules }, ips: { rules: rules, checksums: false }"
echo 'default allow' >"$dir/fw.rules"
sed -i 's/\[ firewall: \(.*\)}, ips: \(.*\) \]/[ { firewall: \1} }, { ips: \2 } ]/' "$dir/behind.yaml"

run -c "$dir/strict.yaml" "$dir/made.pcap"
is "replay says how many have a wrong IPv4 header, and how many a wrong UDP checksum" "$(fact '"\(.ip_checksums_wrong) \(.checksums_wrong)"')" "5 3"
is "ips drops both, each by its word, and none as malformed" \
    "$(fact '.nfs.ips | "\(.counters.ip_checksum) \(.counters.checksum) \(.counters.malformed) \(.counters.matches)"')" "5 3 0 4"
is "people read it" "$("$understudy" replay -c "$dir/strict.yaml" "$dir/made.pcap" | grep -c 'wrong checksum')" 2
for name in loose four; do
    run -c "$dir/$name.yaml" --kill primary@6 "$dir/made.pcap"
    is "checksums: false means all ($name)" "$? $(fact '.nfs.ips | "\(.counters.ip_checksum) \(.counters.checksum) \(.counters.malformed) \(.counters.matches) \(.counters.flows_created)"')" \
        "0 0 0 0 12 12"
done
run -c "$dir/behind.yaml" "$dir/made.pcap"
is "behind another NF, which gets them, too" "$? $(fact '"\(.dropped) \(.nfs.ips.counters.matches)"')" "0 0 12"
is "a capture in which all are right says nothing of it" \
    "$(python3 -c 'import sys; b = open(sys.argv[1], "rb").read(); open(sys.argv[2], "wb").write(b[:24 + 4 * 66])' "$dir/made.pcap" "$dir/right.pcap"
        "$understudy" replay -c "$dir/strict.yaml" "$dir/right.pcap" | grep -c checksum)" 0

if [ -e "${BUILD:-build}/lib/understudy/dpi.so" ]; then
    chain dpi "modules: [ dpi.so ]," "dpi: {}"
    chain dpi-all "modules: [ dpi.so ]," "dpi: { checksums: false }"
    run -c "$dir/dpi.yaml" "$dir/made.pcap"
    is "dpi leaves out wrong headers, and counts them" "$(fact '.nfs.dpi.counters | "\(.other) \(.ip_checksum) \(.flows)"')" "5 5 7"
    run -c "$dir/dpi-all.yaml" "$dir/made.pcap"
    is "with checksums: false it looks into all" "$(fact '.nfs.dpi.counters | "\(.other) \(.ip_checksum) \(.flows)"')" "0 0 12"
fi

skip_without_captures "as many as tshark says"
if command -v tshark >/dev/null; then
    for file in "$pcaps"/*.pcap; do
        [ -e "$file" ] || continue
        # Ethernet with IPv4 right behind it or behind tags, and the frame's first: what a node reads.
        want=$(tshark -r "$file" -o ip.check_checksum:TRUE -T fields -e frame.protocols -e ip.checksum.status -E occurrence=f 2>/dev/null |
            awk -F'\t' '$1 ~ /^eth:ethertype:(vlan:ethertype:)*ip:/ && $2 == "0"' | wc -l)
        run -c "$dir/strict.yaml" "$file"
        is "as many as tshark says: $(basename "$file")" "$(fact .ip_checksums_wrong)" "$want"
    done
fi
echo "1..$tests"
