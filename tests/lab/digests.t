#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each NF alone, on the same traffic: the state of the run that nobody protects, of a standby that replayed the log, of one
# that got deltas, of a warm one, and of a reference that executed it all again is the same, byte for byte. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
chains
python3 tests/lab/chains.py files "$dir/chain"
python3 tests/lab/mkpcap.py "$dir/made.pcap" 4000 600 8
gcc -std=gnu11 -O2 -g -fPIC -I"${BUILD:-build}/include" -shared -o "$dir/chain/limiter.so" docs/examples/hello/limiter.c 2>"$dir/err"
ok "docs/examples/hello builds" $?

balance='vip: 0.0.0.0, proto: both, clients: inside, backends: "198.18.0.1 198.18.0.2 198.18.0.3", max_flows: 4096'
while read -r name nf; do
    echo "chain: { name: one, lanes: 1, modules: [ limiter.so ], nfs: [ $nf ] }" >"$dir/chain/one.yaml"
    digests=""
    for how in "off hot" "log hot" "delta hot" "log warm" "delta warm"; do
        read -r mode standby <<<"$how"
        run_cell "$how" "log hot" -c "$dir/chain/one.yaml" --mode "$mode" --standby "$standby" "$dir/made.pcap" ||
            { digests="$digests $how: $(cat "$dir/json" "$dir/err")"; continue; }
        digests="$digests $(fact '"\(.run_digest) \(.reference_digest)"')"
    done
    [ "$(tr ' ' '\n' <<<"$digests" | grep -v '^$' | sort | uniq -c | awk '{ print $1 }')" = 10 ]
    ok "$name: live = log = deltas, hot and warm" $? "$digests"
    bad=""
    for how in "off hot" "log hot" "delta hot" "log warm"; do
        read -r mode standby <<<"$how"
        run_fast -c "$dir/chain/one.yaml" --lanes 2 --mode "$mode" --standby "$standby" "$dir/made.pcap" &&
            [ "$(fact '.run_digest == .reference_digest')" = true ] || bad="$bad $how: $(cat "$dir/json")"
    done
    [ -z "$bad" ]
    ok "$name, two lanes: each ends where its log, executed again, ends" $? "$bad"
done <<END
nat nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-9215, max_flows: 4096 }
firewall firewall: { rules: firewall.rules, max_flows: 4096 }
monitor monitor: { max_flows: 4096 }
forward forward: { read: true }
rate_limiter rate_limiter: { clients: both, pps: 2, burst_packets: 4, max_connections: 64, max_clients: 4096, max_flows: 4096 }
policer policer: { classes: police }
vlan_qos vlan_qos: { rules: qos.rules, max_flows: 4096 }
least_connections load_balancer: { $balance, policy: least_connections }
consistent load_balancer: { $balance, policy: consistent }
random load_balancer: { $balance, policy: random }
hello limiter: { packets: 3, window: 10 }
END
# ---- more held at once than the standby may keep ----------------------------------------------------------------------

# 5.6 MB of outputs within one commit interval, and a standby that keeps 1 MB: cuts come sooner.
python3 - "$dir/fat.pcap" <<'END'
import struct, sys
out = open(sys.argv[1], "wb")
out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
for i in range(4000):
    frame = b"\2\0\0\0\0\1\2\0\0\0\0\2\x88\xb5" + struct.pack(">I", i) * 346
    out.write(struct.pack("<IIII", 1700000000, i, len(frame), len(frame)) + frame)
END
cat >"$dir/chain/fat.yaml" <<END
chain: { name: fat, lanes: 1, nfs: [ forward: {} ] }
protect: { mode: delta, capture: full, commit_interval_us: 10000, pending_mb: 1 }
END
for how in "--standby hot" "--standby warm" "--lanes 2"; do
    # shellcheck disable=SC2086
    run -c "$dir/chain/fat.yaml" $how --kill primary@2000 "$dir/fat.pcap" && [ "$(fact .equivalent)" = true ]
    ok "a delta is cut before it outgrows the standby: $how" $? "$(cat "$dir/json")"
done
echo "1..$tests"
