#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The replay matrix, whole (tests/lab/matrix.sh): every capture, policy, number of lanes, with an input keeper and without: 50 kills
# each with it and 10 without, a fifth of that for a capture with more than 10000 packets. MATRIX_POINTS=N in
# place of 50. Chains take turns, beginning where the seed says. As TAP.
set -u
MATRIX_SEED=${MATRIX_SEED:-$((RANDOM * 32768 + RANDOM))}
# shellcheck source=tests/lab/matrix.sh
. "$(dirname "$0")/../matrix.sh"
wide_chains
all_captures
read -r -a chain_of <<<"$chain_names"

# One chain after the other, since a chain's undisturbed run is kept for all its cells.
for file in "${captures[@]}"; do
    turn=$seed
    todo=()
    for policy in $policies; do
        for lanes in 1 2 4; do
            for keeper in keeper no-keeper; do
                todo+=("$((turn++ % ${#chain_of[@]})) $policy $lanes $keeper")
            done
        done
        turn=$((turn + 1)) # or the input keeper would always meet the same chains
    done
    points=${MATRIX_POINTS:-50} # in one run, which takes 64
    run -c "$dir/chain/forward.yaml" --mode off "$file" && [ "$(fact .input)" -le 10000 ] || points=$(((points + 4) / 5))
    while read -r chain policy lanes keeper; do
        here=$points
        [ "$keeper" = keeper ] || here=$(((points + 4) / 5))
        cell "$file" "$policy" "$lanes" "$keeper" "${chain_of[$chain]}" "$here"
    done < <(printf '%s\n' "${todo[@]}" | sort -n)
done
echo "1..$tests"
