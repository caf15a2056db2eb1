#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Lanes that fight over one number in every packet (tests/lab/fight.c), killed at seeded points in every policy: what left
# never contradicts what the successor knows. FIGHT_KILLS in each policy with 2 and with 4 lanes; 100 in make check-long.
# MATRIX_SEED=N is the same run again. As TAP.
set -u
# shellcheck source=tests/lab/matrix.sh
. "$(dirname "$0")/matrix.sh"
mkdir -p "$dir/chain"
made=$dir/made.pcap
python3 tests/lab/mkpcap.py "$made" 6000 300 9
cat >"$dir/chain/fight.yaml" <<END
chain: { name: fight, lanes: 1, modules: [ fight.so ], nfs: [ fight: {} ] }
END
built=${BUILD:-build}/include
gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$built" -shared -o "$dir/chain/fight.so" tests/lab/fight.c 2>"$dir/err"
ok "the NF builds against $built" $? || exit 1

# ---- what it is worth: the order shows, and lanes do fight ----------------------------------------------------------

run -c "$dir/chain/fight.yaml" --lanes 4 "$made" && [ "$(fact '"\(.equivalent) \(.dependencies > 120)"')" = "true true" ]
ok "four lanes meet in more than one packet of fifty" $? "$(cat "$dir/json")"
if [ -x "$planted" ]; then
    UNDERSTUDY_PLANT=drop-edge timeout 120 "$planted" replay -o json -c "$dir/chain/fight.yaml" --mode log --lanes 4 \
        --kill primary@2000 --kill primary@4000 "$made" >"$dir/json" 2>"$dir/err"
    [ $? = 1 ] && [ "$(fact .equivalent)" = false ]
    ok "an order that is lost is caught" $? "$(cat "$dir/json")"
fi

# ---- kills --------------------------------------------------------------------------------------------------------

points=${FIGHT_KILLS:-10}
for policy in $policies; do
    for lanes in 1 2 4; do
        [ $lanes != 1 ] || [ "$policy" = log:hot ] || continue
        for ((left = points; left > 0; left -= 50)); do
            cell "$made" "$policy" "$lanes" keeper fight $((left < 50 ? left : 50)) "$left"
        done
        cell "$made" "$policy" "$lanes" no-keeper fight "$(((points + 4) / 5))"
    done
done
echo "1..$tests"
