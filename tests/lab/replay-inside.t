#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# understudy replay --inside: from which side the frames of a capture come, where no NAT says it. The capture is written
# here, so who speaks to whom is known; which side a frame came in on is what the firewall, whose rules know no other
# difference, allowed or denied. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
chains

# mksides OUT WHAT…: SYNs, one of each WHAT, "SOURCE>DESTINATION*COUNT": ports of the destination from 80 on, or with
# "SOURCE>DESTINATION+COUNT" its last byte. All frames have the same two MAC addresses in the same order.
cat >"$dir/mksides.py" <<'END'
import ipaddress, re, struct, sys
def sum16(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
def syn(a, b, port):
    tcp = struct.pack("!HHIIBBHHH", 3000, port, 1, 0, 0x50, 2, 8192, 0, 0)
    check = sum16(a + b + struct.pack("!HH", 6, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
    macs = b"\2\0\0\0\0\1\2\0\0\0\0\2"
    if len(a) == 16:
        return macs + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + a + b + tcp
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0) + a + b
    return (macs + b"\x08\x00" + ip[:10] + struct.pack("!H", sum16(ip)) + ip[12:] + tcp).ljust(60, b"\0")
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    n = 0
    for what in sys.argv[2:]:
        a, b, kind, count = re.fullmatch(r"(.*)>(.*)([*+])(\d+)", what).groups()
        a, b = ipaddress.ip_address(a).packed, ipaddress.ip_address(b)
        for i in range(int(count)):
            frame = syn(a, (b + (i if kind == "+" else 0)).packed, 80 + (i if kind == "*" else 0))
            f.write(struct.pack("<IIII", 1000 + n // 1000, n % 1000 * 1000, len(frame), len(frame)) + frame)
            n += 1
END
mksides() { python3 "$dir/mksides.py" "$@"; }
printf 'default allow out\ndefault deny in\n' >"$dir/chain/sides.rules"
cat >"$dir/chain/sides.yaml" <<END
chain: { name: sides, lanes: 1, nfs: [ firewall: { rules: sides.rules, ipv6: true } ] }
END
judged() { fact '.nfs.firewall.counters | "\(.allowed) \(.denied)"'; }

# ---- the rule ----------------------------------------------------------------------------------------------------------

here=10.1.0.0/16,2001:db8:1::/48
mksides "$dir/in.pcap" "198.51.100.9>10.1.0.80*10"
mksides "$dir/all.pcap" "198.51.100.9>10.1.0.80*10" "10.1.0.5>198.51.100.7*7" "10.1.0.5>10.1.9.6*5" "198.51.100.1>203.0.113.5*3" \
    "2001:db8:2::9>2001:db8:1::80*6" "2001:db8:1::5>2001:db8:2::9*4" "2001:db8:1::5>2001:db8:1:2::9*2"
run -c "$dir/chain/sides.yaml" "$dir/in.pcap" && [ "$(judged)" = "10 0" ]
ok "without it who begins is inside" $? "$(cat "$dir/json")"
run --inside 10.1.0.0/16 -c "$dir/chain/sides.yaml" "$dir/in.pcap" && [ "$(judged)" = "0 10" ]
ok "a destination inside: from outside" $? "$(cat "$dir/json")"
run --inside 198.51.100.0/24 -c "$dir/chain/sides.yaml" "$dir/in.pcap" && [ "$(judged)" = "10 0" ]
ok "a source inside: from inside" $? "$(cat "$dir/json")"
for lanes in 1 2 4; do
    for mode in log delta; do
        run --inside $here --lanes $lanes --mode $mode --kill primary@10 --kill primary@25 -c "$dir/chain/sides.yaml" "$dir/all.pcap" &&
            [ "$(fact '"\(.input) \(.failovers) \(.equivalent)"')" = "37 2 true" ] && [ "$(judged)" = "21 16" ]
        ok "both families; both ends inside, or neither: 16 of 37 are from outside, $lanes lanes, $mode" $? "$(cat "$dir/json")"
    done
done
run --inside 0.0.0.0/0,::/0 -c "$dir/chain/sides.yaml" "$dir/all.pcap" && [ "$(judged)" = "37 0" ]
ok "networks of no bits have everybody" $? "$(cat "$dir/json")"

# ---- a NAT's networks, and its address ------------------------------------------------------------------------------------

cat >"$dir/chain/natted.yaml" <<END
chain: { name: natted, lanes: 1, nfs: [ nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }, firewall: { rules: sides.rules } ] }
END
mksides "$dir/nat.pcap" "10.1.0.5>198.51.100.7*7" "198.51.100.1>203.0.113.1*3"
natted() { fact '"\(.nfs.nat.counters.translated_outward) \(.nfs.firewall.counters.denied)"'; }
run -c "$dir/chain/natted.yaml" "$dir/nat.pcap" && [ "$(natted)" = "7 3" ]
ok "of a NAT its networks are inside, and its address is reached from outside" $? "$(cat "$dir/json")"
run --inside 10.1.0.0/16 -c "$dir/chain/natted.yaml" "$dir/nat.pcap" && [ "$(natted)" = "7 3" ]
ok "its address is, whatever is inside" $? "$(cat "$dir/json")"
run --inside 198.51.100.0/29 -c "$dir/chain/natted.yaml" "$dir/nat.pcap" && [ "$(natted)" = "0 7" ]
ok "--inside is in place of its networks" $? "$(cat "$dir/json")"

# ---- NFs that look at clients outside ------------------------------------------------------------------------------------

cat >"$dir/chain/portscan.yaml" <<END
chain: { name: portscan, lanes: 1, nfs: [ portscan: { answer: 1 } ] }
END
cat >"$dir/chain/syn.yaml" <<END
chain: { name: syn, lanes: 1, nfs: [ syn_proxy: { servers: [10.1.0.0/16, "2001:db8:1::/48"], ports: 1-1023 } ] }
END
mksides "$dir/scan.pcap" "198.51.100.9>10.1.0.1+40" "2001:db8:2::9>2001:db8:1::1+40" "10.1.0.5>198.51.100.7*2000"
run -c "$dir/chain/portscan.yaml" "$dir/scan.pcap" && [ "$(fact '.nfs.portscan.counters | add')" = 0 ]
ok "without it portscan has nobody to look at" $? "$(cat "$dir/json")"
run --inside $here --kill primary@60 -c "$dir/chain/portscan.yaml" "$dir/scan.pcap" &&
    [ "$(fact '.nfs.portscan.counters | "\(.contacts) \(.scanners)"')" = "80 2" ]
ok "with it it finds who scans from outside, over both families" $? "$(cat "$dir/json")"
run -c "$dir/chain/syn.yaml" "$dir/scan.pcap" && [ "$(fact .nfs.syn_proxy.counters.answered)" = 0 ]
ok "without it syn_proxy has nobody to ask" $? "$(cat "$dir/json")"
run --inside $here --kill primary@60 -c "$dir/chain/syn.yaml" "$dir/scan.pcap" && [ "$(fact .nfs.syn_proxy.counters.answered)" = 80 ]
ok "with it every SYN from outside is answered with a cookie" $? "$(cat "$dir/json")"

# ---- what it refuses ----------------------------------------------------------------------------------------------------

many=$(printf '10.%d.0.0/16,' $(seq 17))
for bad in "10.1.0.1/16:10.1.0.1/16" "10.1.0.0:10.1.0.0" "10.1.0.0/33:10.1.0.0/33" "10.1.0.0/16,:" "10.1.0.0/16, 10.2.0.0/16: 10.2.0.0/16" \
    "2001:db8::1/32=2001:db8::1/32" "2001:db8::/129=2001:db8::/129" "=" "inside=inside" "${many%,}=10.17.0.0/16"; do
    mark=:
    [[ $bad != *=* ]] || mark==
    "$understudy" replay --inside "${bad%%"$mark"*}" -c "$dir/chain/sides.yaml" "$dir/in.pcap" >"$dir/out" 2>"$dir/err"
    [ $? = 64 ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] &&
        grep -qF -- "'${bad#*"$mark"}', expected at most 16 networks A.B.C.D/N or of IPv6, without host bits" "$dir/err"
    ok "refused: --inside ${bad%%"$mark"*}" $? "$(cat "$dir/err")"
done
"$understudy" replay --inside 10.0.0.0/8 -c "$dir/chain/sides.yaml" --log "$dir" >"$dir/out" 2>"$dir/err"
[ $? = 64 ] && grep -q -- "--inside with --log, expected a capture" "$dir/err"
ok "refused: with a log, which knows its sides" $? "$(cat "$dir/err")"
echo "1..$tests"
