#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# understudy replay, at length: every capture with kills at many seeded points, on a chain of the size that is shipped
# too; and how fast it goes. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/../replay.sh"
chains
cp nfs/chains/* "$dir/chain/"
points=${POINTS:-50}

python3 tests/lab/mkpcap.py "$dir/made.pcap" 20000 3000 2
[ ! -r "$pcaps/echo-connections.pcap.gz" ] || gunzip -c "$pcaps/echo-connections.pcap.gz" >"$dir/echo-connections.pcap"
skip_without_captures "captures of others"
for file in "$dir"/*.pcap "$pcaps"/*.pcap; do
    [ -r "$file" ] || continue
    case $file in */a.pcap | */b.pcap) continue ;; esac
    # Fewer for the large ones.
    times=$points
    [ "$(stat -c %s "$file")" -lt 1000000 ] || times=$((points / 5 + 1))
    for seed in $(seq "$times"); do
        capture monitor "$file" "$seed"
        capture nat "$file" "$seed"
    done
done
for seed in 1 2 3; do
    capture edge "$dir/made.pcap" "$seed"
done

python3 tests/lab/mkpcap.py "$dir/fast.pcap" 1000000 20000
for round in 1 2 3; do
    run -c "$dir/chain/edge.yaml" "$dir/fast.pcap"
    ok "a million small packets through nat, firewall, monitor: $(grep -o '[0-9.]* Mpps' "$dir/err") (round $round)" $?
done
echo "1..$tests"
