#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Mode auto sends no more than a tenth above the better of log and delta: long captures, with a gate and without, to a hot
# and to a warm standby, with a budget that does not press. As TAP.
set -u
# shellcheck source=tests/lab/auto.sh
. "$(dirname "$0")/../auto.sh"
wide_chain ""
sed 's/10000 }/10000, tail: suppress }/' "$dir/chain/wide.yaml" >"$dir/chain/suppress.yaml"
python3 tests/lab/mkpcap.py "$dir/few.pcap" 90000 8 6
python3 tests/lab/mkpcap.py "$dir/many.pcap" 90000 15000 6
python3 tests/lab/mkpcap.py "$dir/bulk.pcap" 90000 100 7 1
[ ! -r "$pcaps/echo-connections.pcap.gz" ] || gunzip -c "$pcaps/echo-connections.pcap.gz" >"$dir/echo-connections.pcap"
for file in "$dir"/*.pcap; do
    name=$(basename "$file" .pcap)
    for standby in hot warm; do
        no_worse "$name, $standby, gate" wide --standby $standby "$file"
        no_worse "$name, $standby, no gate" wide --standby $standby --no-gate "$file"
        no_worse "$name, $standby, no gate, tail suppressed" suppress --standby $standby --no-gate "$file"
    done
done
echo "1..$tests"
