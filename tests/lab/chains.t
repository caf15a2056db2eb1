#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Any chain: chains of 2 to 6 NFs, drawn by seeds (tests/lab/chains.py), each over a capture, with a number of lanes, a policy and
# kills that the seed draws as well. All equivalent, with the audit of what NFs write and read; with an input keeper nothing is lost
# or comes twice, and with one lane the bytes are those of a run without a pair. CHAINS=N of them from seed CHAINS_SEED on. As TAP.
set -u
# shellcheck source=tests/lab/matrix.sh
. "$(dirname "$0")/matrix.sh"
chains
all_captures
first=${CHAINS_SEED:-1} count=${CHAINS:-6}
python3 tests/lab/chains.py files "$dir/chain"
MODULES=$(realpath "${BUILD:-build}/lib/understudy/dpi.so")
export MODULES
printf 'chain: { name: all, modules: [ %s ], nfs: [ forward ] }\n' "$MODULES" >"$dir/chain/all.yaml"
[ "$("$understudy" nfs -c "$dir/chain/all.yaml" -o json | jq -r '[.nfs[].name] | sort | join(" ")')" = "$(python3 tests/lab/chains.py names)" ]
ok "chains are drawn from all NFs that there are" $? "$("$understudy" nfs -c "$dir/chain/all.yaml" -o json | jq -c '[.nfs[].name]')"

# What one seed draws: capture, lanes, policy, standby, input keeper, number of kills. Several lanes that send deltas take some
# milliseconds for each empty burst of a capture's pauses, so theirs is a capture of our own.
draw() { # SEED
    python3 -c '
import random, sys
draw = random.Random("run " + sys.argv[1])
lanes, policy, file = draw.choice((1, 1, 2, 4)), draw.choice(("log", "delta")), draw.choice(sys.argv[3:])
print(sys.argv[2] if lanes > 1 and policy == "delta" else file, lanes, policy, draw.choice(("hot", "warm")),
      draw.choice(("keeper", "keeper", "no-keeper")), draw.randint(1, 6))' "$1" "$dir/made.pcap" "${captures[@]}"
}

one() { # SEED
    local chain=$dir/chain/drawn.yaml file lanes policy standby keeper points what why="" args kills
    read -r file lanes policy standby keeper points < <(draw "$1")
    python3 tests/lab/chains.py "$1" "$dir/chain" >"$chain"
    # State that is not of a flow may want one lane: `replay` says so, and then it is one.
    run --fast -c "$chain" --mode off --lanes "$lanes" --seed "$1" -w "$dir/plain.pcap" "$file" ||
        { grep -q "expected 1 lane" "$dir/err" && lanes=1 && run --fast -c "$chain" --mode off --seed "$1" -w "$dir/plain.pcap" "$file"; } ||
        why="undisturbed"
    what="seed $1: $(basename "$file" .pcap), $lanes lanes, $policy, $standby, $keeper, $points kills: $(sed -n 's/^    - \([a-z0-9_]*\):.*/\1/p' "$chain" | paste -sd ' ')"
    if [ -z "$why" ]; then
        mapfile -t kills < <(kills_at "$1" "$(fact .input)" "$points")
        args=(-c "$chain" --mode "$policy" --standby "$standby" --lanes "$lanes" --seed "$1")
        [ "$keeper" = keeper ] || args+=(--no-input-keeper)
        # shellcheck disable=SC2206 # two words a line
        args+=(${kills[*]} -w "$dir/run.pcap")
        run "${args[@]}" "$file" || why="exit $?"
        [ "$(fact '"\(.equivalent) \(.altered) \(.reordered)"')" = "true 0 0" ] || why="$why not equivalent"
        if [ "$keeper" = keeper ]; then
            [ "$(fact '"\(.lost) \(.duplicated)"')" = "0 0" ] || why="$why; lost or twice"
            [ "$lanes" != 1 ] || cmp -s "$dir/plain.pcap" "$dir/run.pcap" || why="$why; other bytes than undisturbed"
        fi
    fi
    [ -z "$why" ]
    ok "$what${why:+: $why, $(head -n 1 "$dir/err")}" $? "$why: $understudy replay ${args[*]:-} $file
$(cat "$chain" "$dir/json")"
}

for ((seed = first; seed < first + count; seed++)); do
    one $seed
done
echo "1..$tests"
