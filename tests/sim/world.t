#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The simulation itself: the same seed is the same run, byte for byte; scenarios.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}

number=0
is() { # what, expected, got
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '# expected: %s\n# got:      %s\n' "$2" "$3"
    fi
}

for seed in 7 42 99 4711 123456789; do
    first=$("$BUILD/simulate" -s $seed -v | md5sum)
    second=$("$BUILD/simulate" -s $seed -v | md5sum)
    is "seed $seed twice" "$first" "$second"
    is "seed $seed after another in the same process" "1 passed, 0 failed" "$("$BUILD/simulate" -s $seed | tail -1)"
done

for scenario in tests/sim/scenarios/*.sim; do
    said=$("$BUILD/simulate" "$scenario" | tail -1)
    is "$(basename "$scenario" .sim): $(sed -n '2{s/^# //;p}' "$scenario")" "ok 1 - $scenario" "$said"
done
echo "1..$number"
