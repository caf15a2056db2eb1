#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the replay tool's verdict is worth where state travels in deltas, standbys are warm, or several lanes make one
# closed set: bugs planted in a build of their own must each be caught wherever they can do harm. (In the log, hot, on one
# lane: replay.t; on several: replay-lanes.t.) Which one is made is in ftcore/base/plant.h's users; a bug that stops a takeover
# is caught after 10 s. As TAP.
set -u
# shellcheck source=tests/lab/matrix.sh
. "$(dirname "$0")/../matrix.sh"
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
[ -x "$planted" ] || { echo "1..0 # SKIP no $planted: make $planted"; exit 0; }
wide_chains
built=${BUILD:-build}/include
gcc -std=gnu11 -O2 -g -fPIC -I"$built" -shared -o "$dir/chain/fight.so" tests/lab/fight.c 2>"$dir/err"
ok "the fighting NF builds" $? || exit 1
echo 'chain: { name: fight, lanes: 1, modules: [ fight.so ], nfs: [ fight: {} ] }' >"$dir/chain/fight.yaml"
python3 tests/lab/mkpcap.py "$dir/made.pcap" 6000 800 5

cases=()
# NAME CHAIN POLICY:STANDBY LANES KILLS [RUNS]: the primary is killed so often, evenly; up to so many runs, of seeds one
# after the other, until the bug is caught. As many cases at a time as there are processors; told by `verdicts`, in order.
caught() {
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    cases+=("$*")
    try "$dir/case.${#cases[@]}" "$@" &
}

try() { # FILE, and a case: what it says in FILE.json and FILE.err, exit code and runs in FILE.ended
    local file=$1 name=$2 chain=$3 policy=${4%:*} standby=${4#*:} lanes=$5 code=0 i args=() runs=0
    for ((i = 1; i <= $6; i++)); do args+=(--kill "primary@$((i * 6000 / ($6 + 1)))"); done
    for (( ; code == 0 && runs < ${7:-1}; runs++)); do
        UNDERSTUDY_PLANT=$name timeout 120 "$planted" replay -o json -c "$dir/chain/$chain.yaml" --mode "$policy" \
            --standby "$standby" --lanes "$lanes" --seed $((seed + runs)) "${args[@]}" "$dir/made.pcap" >"$file.json" 2>"$file.err"
        code=$?
    done
    echo "$code $runs" >"$file.ended"
}

verdicts() { # Without a bug ("none", or one that does no harm alone) all is well.
    local n=0 case name chain policy lanes kills most code runs equivalent
    wait
    for case in "${cases[@]}"; do
        n=$((n + 1))
        read -r name chain policy lanes kills most <<<"$case"
        read -r code runs <"$dir/case.$n.ended"
        equivalent=$(jq -r .equivalent "$dir/case.$n.json")
        if [ "$name" = none ] || [ "$name" = late-lane ]; then
            [ "$code" = 0 ]
            ok "no bug planted ($name): equivalent ($chain, $policy, $lanes lanes)" $? "exit $code, $(cat "$dir/case.$n".{json,err})"
        else
            [ "$code" = 1 ] && [ "$equivalent" = false ]
            ok "caught: $name ($chain, $policy, $lanes lanes, $kills kills${most:+, in run $runs})" $? "exit $code, $(cat "$dir/case.$n".{json,err})"
        fi
    done
}

for where in "delta:hot 1" "delta:hot 2" "delta:warm 1" "log:warm 1" "log:warm 2"; do
    read -r policy lanes <<<"$where"
    for bug in none unmarked wrong-base skip-dirty-line; do
        # Of a warm standby's checkpoints the last before a kill may be a sound one.
        again=10
        [ $bug != none ] || again=1
        caught $bug wide "$policy" "$lanes" 4 $again
    done
done
for bug in early-release,late-lane reuse-seq skip-line; do
    for policy in delta:hot delta:warm log:warm log:hot; do
        caught $bug wide $policy 1 12
    done
done
for bug in wrong-time skip-record; do # of what a warm standby replays when it takes over
    caught $bug wide log:warm 1 12 10
done
caught drop-edge fight log:warm 4 8 20 # a warm standby follows the order only when it takes over
# Which lane's part of a whole is there when the primary dies: one lane's is sent late, so another's lacks it.
for policy in log:hot log:warm delta:hot delta:warm; do
    caught late-lane fight $policy 4 8
done
for policy in log:hot log:warm; do
    caught outside-closed,late-lane fight $policy 4 8 40
done
for policy in delta:hot delta:warm; do
    caught half-delta,late-lane fight $policy 4 8 5
done
verdicts
echo "1..$tests"
