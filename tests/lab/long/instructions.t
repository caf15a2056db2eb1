#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lane's instructions per packet against the committed figures (tests/bench/instructions.txt), as TAP. Counted by
# valgrind, so the same on every run and every load of the machine. One that grew on purpose: say so in
# docs/performance.md and commit the new figure; the rule is at the head of that file.
set -u
cd "$(dirname "$0")/../../.." || exit 1

understudy=${UNDERSTUDY:-build/understudy}
[ -x "$understudy" ] || { echo "1..0 # SKIP no $understudy: make"; exit 0; }
case ${BUILD:-build} in
*-san) echo "1..0 # SKIP sanitizers count as well"; exit 0 ;;
esac
command -v valgrind >/dev/null || { echo "1..0 # SKIP no valgrind: make deps"; exit 0; }

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
UNDERSTUDY=$understudy scripts/instructions --check >"$dir/out" 2>"$dir/err"
code=$?
number=0
while read -r chain protection now; do
    number=$((number + 1))
    if why=$(grep -F "instructions: $chain $protection:" "$dir/err"); then
        echo "not ok $number - $chain, $protection: instructions per packet"
        echo "# $why"
    else
        echo "ok $number - $chain, $protection: $now instructions per packet"
    fi
done <"$dir/out"
number=$((number + 1))
if [ "$code" = 0 ] && [ "$number" = 8 ]; then
    echo "ok $number - all were counted, none grew"
else
    echo "not ok $number - all were counted, none grew"
    sed 's/^/# /' "$dir/err"
fi
echo "1..$number"
