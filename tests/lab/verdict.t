#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What understudy replay's verdict means: what a real pair would do. Frames are what capture would take, and what a port
# takes; the nodes have nothing in common by accident; the output does not depend on the number of lanes; the table says
# what the chain did. Captures are written here, so what is in them is known; tshark reads the cooked ones. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
chains
mkdir "$dir/m"

# mkframes OUT PACKETS CLIENTS FLOWS STEP_US LINK [LENGTH]: UDP of CLIENTS sources, FLOWS ports, STEP_US apart.
cat >"$dir/mkframes.py" <<'END'
import struct, sys
out, packets, clients, flows, step, link = sys.argv[1], *map(int, sys.argv[2:7])
length = int(sys.argv[7]) if len(sys.argv) > 7 else 64
def sum16(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
def packet(i):
    body = length - 14
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, body, i & 0xffff, 0, 64, 17, 0, bytes([10, 0, 0, 1 + i % clients]),
                     bytes([198, 51, 100, 7]))
    ip = ip[:10] + struct.pack("!H", sum16(ip)) + ip[12:]
    return ip + struct.pack("!HHHH", 2000 + i % flows, 7, body - 20, 0) + bytes((i + k) & 255 for k in range(body - 28))
def head(i, kind):
    if link == 113:
        return struct.pack("!HHH8sH", 0, 1, 6, b"\2\0\0\0\0\2\0\0", kind)
    if link == 276:
        return struct.pack("!HHIHBB8s", kind, 0, 3, 1, 0, 6, b"\2\0\0\0\0\2\0\0")
    return b"\2\0\0\0\0\1\2\0\0\0\0\2" + struct.pack("!H", kind)
with open(out, "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, link))
    for i in range(packets):
        # Of a cooked capture each tenth is neither IP nor ARP.
        frame = head(i, 0x88cc if link != 1 and i % 10 == 9 else 0x0800) + packet(i)
        t = i * step
        f.write(struct.pack("<IIII", 1000 + t // 1000000, t % 1000000, len(frame), len(frame)) + frame)
END
mkframes() { python3 "$dir/mkframes.py" "$@"; }

module() { # NAME BREACH [FLAG…]: a chain file $dir/m/NAME.yaml with an NF that breaks a rule
    gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"${BUILD:-build}/include" -shared "-DBREACH=$2" -o "$dir/m/$1.so" \
        tests/lab/rules.c "${@:3}" 2>"$dir/err" &&
        echo "chain: { name: $1, lanes: 1, modules: [ $1.so ], nfs: [ rules: {} ] }" >"$dir/m/$1.yaml"
}

# ---- frames as capture takes them ------------------------------------------------------------------------------------

mkframes "$dir/long.pcap" 2000 9 40 500 1 400
module payload PAYLOAD
ok "an NF that reads payload and says that it does not is built" $?
run -c "$dir/m/payload.yaml" "$dir/long.pcap"
[ $? = 1 ] && grep -q "audit: NF 'rules' (lane 0) touched byte 399 of the frame of seq 1, which has 64 bytes of headers" "$dir/err"
ok "it is named at its first look, without a kill" $? "$(cat "$dir/json")"
! grep -q "^lost: packet" "$dir/err"
ok "and no list of what was lost thereby buries that" $? "$(cat "$dir/err")"
run --fast -c "$dir/m/payload.yaml" "$dir/long.pcap"
[ $? = 1 ] && [ "$(fact '"\(.equivalent) \(.released)"')" = "false 2000" ] && grep -q "digest of the standby" "$dir/err" &&
    ! grep -q "digest of the primary" "$dir/err"
ok "without the audit its standby comes to another state: it has what a record would have" $? "$(cat "$dir/json")"
mkframes "$dir/short.pcap" 2000 9 40 500 1 60
run -c "$dir/m/payload.yaml" "$dir/short.pcap"
ok "of a small frame capture takes all, so there it may" $? "$(cat "$dir/json")"

# ---- frames that no port takes -----------------------------------------------------------------------------------------

mkframes "$dir/jumbo.pcap" 30 3 3 500 1 9000
tail -c +25 "$dir/short.pcap" >>"$dir/jumbo.pcap"
mkframes "$dir/most.pcap" 20 3 3 500 1 2048
mkframes "$dir/over.pcap" 20 3 3 500 1 2049
run -c "$dir/chain/monitor.yaml" "$dir/jumbo.pcap" && [ "$(fact '"\(.input) \(.frames_refused) \(.released)"')" = "2000 30 2000" ]
ok "9,000 bytes are refused as a node does, and counted" $? "$(cat "$dir/json")"
"$understudy" replay -c "$dir/chain/monitor.yaml" "$dir/jumbo.pcap" >"$dir/out" 2>"$dir/err" &&
    grep -q '^  refused  *30, under 14 or over 2048 bytes, as ports do$' "$dir/out"
ok "in the table too" $? "$(cat "$dir/out")"
run -c "$dir/chain/monitor.yaml" "$dir/most.pcap" && [ "$(fact '"\(.input) \(.frames_refused)"')" = "20 0" ] &&
    run -c "$dir/chain/monitor.yaml" "$dir/over.pcap" && [ "$(fact '"\(.input) \(.frames_refused)"')" = "0 20" ]
ok "2,048 bytes is the most" $? "$(cat "$dir/json")"
run -c "$dir/chain/monitor.yaml" --kill primary@1 "$dir/over.pcap" &&
    [ "$(fact '"\(.equivalent) \(.failovers) \(.kills_beyond)"')" = "true 0 1" ] &&
    grep -q "^--kill primary@1: left out, the capture has 0 packets$" "$dir/err"
ok "a kill with no frame left is told, and there is a verdict" $? "$(cat "$dir/json")"
run -c "$dir/chain/monitor.yaml" --kill primary@500 --kill standby@2001 "$dir/short.pcap" &&
    [ "$(fact '"\(.equivalent) \(.failovers) \(.kills_beyond)"')" = "true 1 1" ]
ok "so is one behind the last packet, and the others are done" $? "$(cat "$dir/json")"

# ---- nothing in common by accident -------------------------------------------------------------------------------------

echo 'int luck(void); int rand(void); int luck(void) { return rand(); }' >"$dir/luck.c"
gcc -O2 -fPIC -shared -o "$dir/m/libluck.so" "$dir/luck.c" &&
    module library LIBRARY -L"$dir/m" -Wl,-rpath,"$dir/m" -lluck && module address ADDRESS && module stack STACK && module none NONE
ok "NFs that rest on what processes have in common are built" $?
for lanes in 1 2; do
    run --fast --lanes $lanes -c "$dir/m/none.yaml" "$dir/short.pcap"
    ok "an NF that keeps the rules, $lanes lanes" $? "$(cat "$dir/json")"
    for breach in library address stack; do
        run --fast --lanes $lanes -c "$dir/m/$breach.yaml" "$dir/short.pcap"
        [ $? = 1 ] && [ "$(fact .equivalent)" = false ]
        ok "$breach: differs without a kill, $lanes lanes" $? "$(cat "$dir/json")"
    done
done
run --fast -c "$dir/m/library.yaml" "$dir/short.pcap"
grep -q 'library.so: warning: needs "libluck.so"' "$dir/err"
ok "a library that nobody looks into is told" $? "$(cat "$dir/err")"

# Packet 701 of one each 0.5 ms: three come within a millisecond, so it is the second of burst 234, which begins at 349.5 ms.
module late LATE
for kill in none primary@1500; do
    kills=()
    [ $kill = none ] || kills=(--kill "$kill")
    run "${kills[@]}" -c "$dir/m/late.yaml" "$dir/short.pcap"
    [ $? = 1 ] && [ "$(fact '.first | "\(.by) \(.nf) \(.lane) \(.burst) \(.seq) \(.time_ns)"')" = "primary rules 0 234 700 1000349500000" ]
    ok "a divergence is told from its first burst on, kills: $kill" $? "$(cat "$dir/json")"
    [ "$(fact '[.differences[] | "\(.node) \(.nf) \(.lane) \(.place) \(.lines) \(.expected != .got)"] | join("; ")')" = \
        "primary rules 0 the state of NF 'rules' at byte 24 1 true; standby rules 0 the state of NF 'rules' at byte 24 1 true" ]
    ok "with NF, lane, object and values of both nodes" $? "$(fact .differences)"
done
grep -q "the primary differs from the reference first in burst 234 of lane 0 (chain time 1000349500000 ns, seq from 700), in NF 'rules'" \
    "$dir/err"
ok "in text, too" $? "$(cat "$dir/err")"

# ---- lanes, and one clock ----------------------------------------------------------------------------------------------

# One client with 64 flows sends a packet each 1.5 ms for 9 s: 400 at once, then 200 a second.
mkframes "$dir/client.pcap" 6000 1 64 1500 1
cat >"$dir/chain/rate.yaml" <<END
chain: { name: rate, lanes: 1, nfs: [ rate_limiter: { clients: both, pps: 200, burst_packets: 400 } ] }
END
most=$((400 + 5999 * 1500 * 200 / 1000000))
for lanes in 1 2 4; do
    run --fast --lanes $lanes -c "$dir/chain/rate.yaml" "$dir/client.pcap" && [ "$(fact .released)" = $most ]
    ok "the rate limiter lets $most packets pass, $lanes lanes" $? "$(cat "$dir/json")"
done
echo "class all dscp any rate 200 pps burst 400" >"$dir/chain/police"
echo "chain: { name: rate, lanes: 1, nfs: [ policer: { classes: police } ] }" >"$dir/chain/police.yaml"
run --fast --lanes 4 -c "$dir/chain/police.yaml" --kill primary@2000 --kill primary@4000 "$dir/client.pcap" &&
    [ "$(fact '"\(.released) \(.lost) \(.failovers) \(.nfs.policer.counters.conformed)"')" = "$most 0 2 $most" ]
ok "the policer lets $most packets pass, 4 lanes, through kills" $? "$(cat "$dir/json")"
run --fast --lanes 4 -c "$dir/chain/rate.yaml" --kill primary@2000 --kill primary@4000 "$dir/client.pcap" &&
    [ "$(fact '"\(.released) \(.lost) \(.failovers)"')" = "$most 0 2" ]
ok "and through kills" $? "$(cat "$dir/json")"

# ---- what the chain did ------------------------------------------------------------------------------------------------

[ "$(fact '.nfs.rate_limiter.drops | add')" = $((6000 - most)) ] && [ "$(fact .dropped)" = $((6000 - most)) ]
ok "drops are told by their reason" $? "$(cat "$dir/json")"
run -c "$dir/chain/nat.yaml" "$dir/short.pcap" && [ "$(fact '.nfs | keys | join(" ")')" = "firewall monitor nat" ] &&
    [ "$(fact '"\(.nfs.monitor.counters.packets) \(.nfs.nat.counters.translated_outward) \(.dropped)"')" = "2000 2000 0" ]
ok "counters of every NF" $? "$(cat "$dir/json")"
sed 's/10.0.0.0\/8, //' "$dir/chain/nat.yaml" >"$dir/chain/other.yaml"
"$understudy" replay -c "$dir/chain/other.yaml" "$dir/short.pcap" >"$dir/out" 2>"$dir/err"
grep -qE '^  monitor  +all counters 0$' "$dir/out"
ok "an NF that never ran is seen" $? "$(cat "$dir/out")"

# ---- what --show says ----------------------------------------------------------------------------------------------------

# Packet i of the short frames has 18 bytes from i & 255 on, so 0 1 2 3 is in those that begin with 0 or with 242 and more.
hits=0
for ((i = 0; i < 2000; i++)); do ((i % 256 == 0 || i % 256 >= 242)) && hits=$((hits + 1)); done
cat >"$dir/chain/ips.rules" <<'END'
alert udp any any -> any 7 (msg:"four bytes"; content:"|00 01 02 03|"; sid:11;)
alert udp any any -> any 8 (msg:"no such port"; content:"|00 01 02 03|"; sid:12;)
END
cat >"$dir/chain/ips.yaml" <<END
chain: { name: ips, lanes: 1, nfs: [ ips: { rules: ips.rules }, monitor: { max_flows: 4096 } ] }
END
for mode in off log delta; do
    for lanes in 1 2; do
        kills=()
        [ $mode = off ] || kills=(--kill primary@700 --kill primary@1400)
        run --fast --mode $mode --lanes $lanes "${kills[@]}" --show ips -c "$dir/chain/ips.yaml" "$dir/short.pcap" && [ "$(fact '[.rows[] |
            select(.rule) | {rule, hits}] | group_by(.rule) | map("\(.[0].rule) \(map(.hits) | add)") | join(", ")')" = "11 $hits, 12 0" ] &&
            [ "$(fact '.nfs.ips.counters.matches')" = $hits ]
        ok "--show says which rule matched $hits times and which never, mode $mode, $lanes lanes" $? "$(cat "$dir/json")"
        [ "$(fact '[.rows[] | .lane] | unique | length')" = $lanes ] &&
            [ "$(fact '[.rows[] | .lane] | unique | .[0]')" = "$([ $lanes = 1 ] && echo null || echo 0)" ]
        ok "and of which lane, if there are several" $? "$(cat "$dir/json")"
    done
done
run --fast --show monitor -c "$dir/chain/ips.yaml" "$dir/short.pcap"
"$understudy" replay --fast --show monitor -c "$dir/chain/ips.yaml" "$dir/short.pcap" >"$dir/out" 2>"$dir/err" &&
    cmp -s <(sed -n '/^monitor$/,$p' "$dir/out") \
        <(echo monitor && fact '.rows[] | "  " + (to_entries | map("\(.key)=\(.value)") | join(" "))')
ok "for people the same rows behind the table" $? "$(cat "$dir/out")"
[ "$(fact '.rows | length')" = 360 ] && [ "$(fact '[.rows[].packets] | add')" = 2000 ]
ok "of the monitor all 360 flows with their 2000 packets" $? "$(cat "$dir/json")"
run --fast -c "$dir/chain/ips.yaml" "$dir/short.pcap" && [ "$(fact '.rows | length')" = 0 ]
ok "without it no rows" $? "$(cat "$dir/json")"

# ---- captures of -i any ------------------------------------------------------------------------------------------------

for link in 113:LINUX_SLL 276:LINUX_SLL2; do
    mkframes "$dir/any.pcap" 2000 9 40 500 "${link%:*}"
    run --fast -c "$dir/chain/nat.yaml" -w "$dir/out.pcap" "$dir/any.pcap" &&
        [ "$(fact '"\(.input) \(.frames_foreign) \(.released)"')" = "1800 200 1800" ]
    ok "${link#*:} is read; what is neither IP nor ARP is counted" $? "$(cat "$dir/json")"
    if command -v tshark >/dev/null; then
        tshark -r "$dir/any.pcap" -Y ip -T fields -e ip.id -e udp.srcport -e udp.payload >"$dir/in.txt" 2>/dev/null
        run --fast -c "$dir/chain/monitor.yaml" -w "$dir/out.pcap" "$dir/any.pcap"
        tshark -r "$dir/out.pcap" -Y 'eth.src == 02:00:00:00:00:02' -T fields -e ip.id -e udp.srcport -e udp.payload \
            >"$dir/out.txt" 2>/dev/null
        [ "$(wc -l <"$dir/in.txt")" = 1800 ] && cmp -s "$dir/in.txt" "$dir/out.txt"
        ok "${link#*:}: tshark sees the same packets on Ethernet" $? "$(wc -l "$dir/in.txt" "$dir/out.txt")"
    fi
done
echo "1..$tests"
