#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the simulation's oracles are worth: each planted bug (ftcore/plant.h) is found within 2,000 seeds, and
# the same seeds pass without it.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
JOBS=$(nproc)

bugs=(
    # hold, release           # record, order              # takeover, fencing           # resync, core
    early-release one-too-many
    skip-record wrong-time drop-edge lost-edge open-set
    reuse-clock old-tail no-fence never-slept view-forgotten long-lease lease-from-answer endless-right
    skip-line edit-before-copy ready-early gate-unseen solo-early overslept
)
echo "1..$((${#bugs[@]} + 1))"
number=0
for bug in "${bugs[@]}"; do
    number=$((number + 1))
    said=$(UNDERSTUDY_PLANT=$bug "$BUILD/simulate-planted" -q -x -f 1 -n 2000 -j "$JOBS")
    if [ $? -eq 1 ] && found=$(grep -m1 '^seed .* failed' <<<"$said"); then
        echo "ok $number - $bug: $found"
    else
        echo "not ok $number - $bug: not found in 2000 seeds"
    fi
done
number=$((number + 1))
if said=$(UNDERSTUDY_PLANT=none "$BUILD/simulate-planted" -q -f 1 -n 200 -j "$JOBS"); then
    echo "ok $number - without any of them: $(tail -1 <<<"$said")"
else
    echo "not ok $number - without any of them: $(tail -1 <<<"$said")"
fi
