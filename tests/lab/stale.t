#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A thread of the primary that stands for some seconds (planted in a build of the test's own): status says STALE and names
# it, though what the node last knew was PROTECTED. Afterwards all is as before. And status says whether the link is sealed.
. "$(dirname "$0")/lib.sh"
export UNDERSTUDY=$BUILD/understudy-planted
need_lab
[ -x "$UNDERSTUDY" ] || skip_all "understudy-planted is not built"
plan 22

passes() {
    "$probe" run 203.0.113.100 7007 --seconds 1 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
        >"$work/probe.json"
    jq -e '.received > 0' "$work/probe.json" || { cat "$work/probe.json"; us status; false; }
}

# One answer has it all: the thread goes on after 3 s.
says_stale() {
    us status >"$work/status"
    echo $? >"$work/code"
    grep -q '^STALE' "$work/status"
}
stands() { # PLANT THREAD LINK: what the first line says of the link
    is_protected
    is "the verdict" "$(us status | head -n 1)" "PROTECTED  chain lab, node a is PROTECTED, mode log$3"
    is "no thread is stale" "$(field a stale) $(field b stale)" "null null"
    kill -USR1 "$(field a pid)"
    ok "$1: status says STALE" soon says_stale
    is "with an exit code of its own" "$(cat "$work/code")" 1
    is "as its verdict" "$(head -n 1 "$work/status")" "STALE  chain lab, node a is primary, a thread of node a is stuck, mode log$3"
    ok "and by name" grep -qxE "node a: no turn of $2 for [0-9]+ ms" "$work/status"
    ok "the pair is PROTECTED again" is_protected
    is "by the same primary" "$(field a role)" primary
    ok "and traffic passes" passes
    diag "$(cat "$work/status")"
}

export UNDERSTUDY_PLANT=replicator-stands
ok "a pair with a key is PROTECTED" "$lab" up || exit 1
is "the link is sealed by it" "$(field a link.sealed) $(field b link.sealed)" "key key"
stands replicator-stands "the replicator" ""
"$lab" down

export UNDERSTUDY_PLANT=lane-stands LAB_LINK="insecure: true"
ok "a pair without one is PROTECTED" "$lab" up || exit 1
is "nothing seals the link" "$(field a link.sealed) $(field b link.sealed)" "no no"
stands lane-stands "lane 0" ", link INSECURE"
