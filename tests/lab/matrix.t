#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A sample of the replay matrix (tests/lab/matrix.sh; all of it is tests/lab/long/matrix.t): every capture,
# every policy with every number of lanes; what meets what the seed draws. MATRIX_SEED=N is another sample. As TAP.
set -u
# shellcheck source=tests/lab/matrix.sh
. "$(dirname "$0")/matrix.sh"
wide_chains
all_captures

sample() { # CELLS: a line each, FILE POLICY LANES GATE CHAIN
    python3 -c '
import random, sys
seed, cells, policies, chains, files = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(), sys.argv[4].split(), sys.argv[5:]
draw = random.Random(seed)
draw.shuffle(files)
pairs = [(p, l) for p in policies for l in (1, 2, 4)]
draw.shuffle(pairs)
for i in range(cells):
    print(files[i % len(files)], *pairs[i % len(pairs)], "no-keeper" if draw.random() < 0.3 else "keeper", draw.choice(chains))
' "$seed" "$1" "$policies" "$chain_names" "${captures[@]}"
}

while read -r file policy lanes keeper chain; do
    cell "$file" "$policy" "$lanes" "$keeper" "$chain" 8
done < <(sample "${MATRIX_CELLS:-$((${#captures[@]} > 12 ? ${#captures[@]} : 12))}" | sort) # 12 pairs of policy and lanes
echo "1..$tests"
