#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# dpi, nDPI with its memory in the region, over captures: through pairs of all kinds, with kills on both sides in the middle of flows, the states are
# those of a run without replication, to the byte, what nDPI keeps among them. So nothing that it keeps depends on the process: each has other
# addresses. What it says of flows is held against nDPI alone by tests/nf/test_dpi_captures.c. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
module=$(realpath "${BUILD:-build}/lib/understudy/dpi.so")
python3 tests/lab/mkpcap.py "$dir/made.pcap" 6000 800

chain() { # NAME NFS
    echo "chain: { name: $1, lanes: 1, modules: [ $module ], nfs: [ $2 ] }" >"$dir/$1.yaml"
}
chain dpi "dpi: { max_flows: 8192, heap_mb: 8 }"
chain blocks "dpi: { max_flows: 8192, heap_mb: 8, packets: 4, block: \"HTTP, DNS\" }, monitor: { max_flows: 8192 }"
chain tight "dpi: { max_flows: 8192, heap_mb: 1 }"
chain wrong "dpi: { block: \"HTTP, Nonsense\" }"

"$understudy" check -c "$dir/dpi.yaml" >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/err" ] && grep -q "mode log (auto: every NF can be replayed)" "$dir/out"
ok "check: no warning, and the log protects it" $? "$(cat "$dir/out")"
"$understudy" check -c "$dir/wrong.yaml" >"$dir/out" 2>&1
[ $? != 0 ] && grep -q 'dpi block has "Nonsense", expected names of nDPI.s protocols' "$dir/out" && [ "$(wc -l <"$dir/out")" = 1 ]
ok "a protocol that nDPI does not know is refused in one line" $? "$(cat "$dir/out")"

kills=(--kill primary@150 --kill standby@400 --kill primary@700)
for how in "dpi 1 log hot" "dpi 2 delta warm" "dpi 4 log hot" "blocks 2 log warm" "tight 1 delta hot" "tight 2 log hot"; do
    read -r name lanes mode standby <<<"$how"
    run_cell "$how" "dpi 1 log hot" -c "$dir/$name.yaml" --lanes "$lanes" --mode "$mode" --standby "$standby" --kill primary@1500 --kill standby@3000 --kill primary@4500 \
        "$dir/made.pcap"
    ok "made.pcap: EQUIVALENT: $how" $? "$(cat "$dir/json")"
done

# The chain of the tree finds the module beside its file.
cp nfs/chains/protocols.yaml "$module" "$dir/"
run -c "$dir/protocols.yaml" --lanes 2 "${kills[@]}" "$dir/made.pcap" && [ "$(fact '.nfs.dpi.counters.packets > 0')" = true ]
ok "made.pcap: EQUIVALENT: the chain protocols" $? "$(cat "$dir/json")"

# Each capture in one cell of the table, each cell with some capture, by turns in the two chains; with AUDIT_ALL in both.
cells=("1 log hot" "1 delta hot" "2 log warm" "2 log hot" "2 delta warm" "4 log hot" "1 log warm" "4 delta hot" "2 delta hot")
n=0
for capture in "$pcaps"/*.pcap; do
    [ -e "$capture" ] || break
    read -r lanes mode standby <<<"${cells[n++ % ${#cells[@]}]}"
    names=(dpi blocks)
    [ -n "${AUDIT_ALL:-}" ] || names=("${names[(n - 1) % 2]}")
    for name in "${names[@]}"; do
        run_cell "$lanes $mode $standby" "1 log hot" -c "$dir/$name.yaml" --lanes "$lanes" --mode "$mode" --standby "$standby" "${kills[@]}" "$capture"
        ok "$(basename "$capture"): EQUIVALENT: $name $lanes $mode $standby" $? "$(cat "$dir/json")"
    done
done
skip_without_captures "captures of others"
echo "1..$tests"
