#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bugs planted in a keeper that forgets too early, feeds a successor too little, or lets leave what has left: what
# tests/lab/keeper.t asks finds each of them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
command -v nft >/dev/null || skip_all "nftables is not installed"
[ -x "$BUILD/understudy-planted" ] || skip_all "$BUILD/understudy-planted is not built"
plan 4

export UNDERSTUDY=$BUILD/understudy-planted UNDERSTUDY_PLANT=
not_caught() { # the same, judged as keeper.t judges it
    local code
    "$lab" up || return 1
    begin
    for kill in 1 2 3; do kill_node primary; done
    end
    each_once
    code=$?
    "$lab" down
    return $code
}
ok "the same with no bug: not caught" not_caught
for UNDERSTUDY_PLANT in confirms-too-early feeds-too-few forgets-index; do
    how=
    [ $UNDERSTUDY_PLANT != forgets-index ] || how=at-once # on a network that loses what the primary is told: it sends again what has left
    ok "$UNDERSTUDY_PLANT is caught" caught $UNDERSTUDY_PLANT $how
done
