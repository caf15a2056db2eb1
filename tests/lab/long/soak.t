#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The soak, short: four kills and two hangs at random moments, over three policies, downloads compared byte for byte. The
# schedule is that of SEED=n, or drawn. As part of make check-long.
. "$(dirname "$0")/../lib.sh"
need_lab
plan 3

soak() { # OUT [NAME=VALUE…]
    env SOAK_DIR="$work/soak" LAB_PREFIX="$LAB_PREFIX" SOAK_LIMIT=300 "${@:2}" "$root/scripts/soak" >"$1" 2>&1
}

soak "$work/out" KILLS=4 HANGS=2 SEED="${SEED:-$RANDOM}"
code=$?
diag "$(head -n 1 "$work/out")"
diag "$(tail -n 1 "$work/out")"
ok "nothing lost, nothing changed" sh -c "cat '$work/out'; exit $code"
ok "by what it says, too" grep -Eq '^4 kills, 2 hangs: [1-9][0-9]* downloads, 0 broken, 0 bytes different$' "$work/out"
ok "and the lab is gone" test ! -e "$work/soak/lab/made"
