#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Frames of up to 9,216 bytes through a pair of processes: every way to protect a chain, kills, several lanes, whole and
# partial capture. Frames are made here, every length between the smallest and the largest, tagged and not. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"

# 3,000 UDP frames of 40 flows, the first 60 of 9,216 bytes, then of any length; each third has a VLAN tag.
python3 - "$dir/large.pcap" <<'END'
import random, struct, sys
draw = random.Random(19)
def sum16(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for i in range(3000):
        tag = b"\x81\0\0\x64" if i % 3 == 2 else b""
        length = 9216 if i < 60 else draw.randint(64, 9216)
        body = length - 14 - len(tag)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, body, i, 0x4000, 64, 17, 0, bytes([10, 0, 0, 1 + i % 40]), bytes([198, 51, 100, 7]))
        ip = ip[:10] + struct.pack("!H", sum16(ip)) + ip[12:]
        frame = b"\2\0\0\0\0\1\2\0\0\0\0\2" + tag + b"\x08\0" + ip + struct.pack("!HHHH", 2000, 7, body - 20, 0) + draw.randbytes(body - 28)
        f.write(struct.pack("<IIII", 1000 + i // 5000, i % 5000 * 200, length, length) + frame)
END
echo 'default allow' >"$dir/firewall.rules"
chain() { # FRAME_MAX PROTECT: a chain file
    cat >"$dir/chain.yaml" <<END
chain:
  name: large
  frame_max: $1
  nfs:
    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-9215, max_flows: 4096 }
    - firewall: { rules: firewall.rules, max_flows: 4096 }
    - monitor: { max_flows: 4096 }
protect: { $2 }
END
}

chain 9216 ""
run -c "$dir/chain.yaml" -w "$dir/whole.pcap" "$dir/large.pcap" && [ "$(fact '"\(.input) \(.frames_refused) \(.released)"')" = "3000 0 3000" ]
ok "all 3,000 are taken, and leave" $? "$(cat "$dir/json")"
sizes() { python3 - "$1" <<'END'
import struct, sys
data, at, sizes = open(sys.argv[1], "rb").read(), 24, []
while at < len(data):
    n, wire = struct.unpack("<II", data[at + 8 : at + 16])
    sizes.append(wire)
    at += 16 + n
print(len(sizes), max(sizes), sum(sizes))
END
}
[ "$(sizes "$dir/whole.pcap")" = "$(sizes "$dir/large.pcap")" ]
ok "with their lengths" $? "$(sizes "$dir/whole.pcap")"
for protect in "mode: log" "mode: log, capture: full" "mode: log, standby: warm" "mode: log, standby: warm, capture: full" \
    "mode: delta" "mode: delta, capture: full"; do
    chain 9216 "$protect"
    for lanes in 1 4; do
        run_cell "$protect $lanes" "mode: log 1" -c "$dir/chain.yaml" --lanes $lanes --kill primary@40 --kill standby@900 --kill primary@1700 -w "$dir/killed.pcap" "$dir/large.pcap" &&
            [ "$(fact '"\(.equivalent) \(.failovers) \(.lost) \(.duplicated) \(.altered)"')" = "true 2 0 0 0" ] &&
            { [ $lanes -gt 1 ] || cmp -s "$dir/whole.pcap" "$dir/killed.pcap"; }
        ok "$protect, $lanes lanes, kills: nothing is lost or altered" $? "$(cat "$dir/json")"
    done
    run_fast -c "$dir/chain.yaml" --no-input-keeper --kill primary@40 --kill primary@1700 "$dir/large.pcap" &&
        [ "$(fact '"\(.equivalent) \(.failovers) \(.reordered) \(.altered)"')" = "true 2 0 0" ]
    ok "$protect, without an input keeper: the rest holds" $? "$(cat "$dir/json")"
done
chain 5000 ""
run -c "$dir/chain.yaml" --kill primary@700 "$dir/large.pcap"
[ "$(fact '.equivalent')" = true ] && [ "$(fact '.input + .frames_refused')" = 3000 ] &&
    [ "$(fact '.frames_refused')" = "$(tshark -r "$dir/large.pcap" -n -Y 'frame.len > 5000' 2>/dev/null | wc -l)" ]
ok "frames above frame_max are refused and counted" $? "$(cat "$dir/json")"
chain 2047 ""
run -c "$dir/chain.yaml" "$dir/large.pcap"
[ $? = 65 ] && grep -q "chain frame_max is 2047, expected a number from 2048 to 9216$" "$dir/err"
ok "less than ports take anyway is refused" $? "$(cat "$dir/err")"
echo "1..$tests"
