#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fifty times another node becomes the standby, round three nodes, under 500 downloads; then processes are killed in the midst
# of it, whichever step that is: one pair comes of it each time, and never two primaries.
export LAB_SPARES="c"
. "$(dirname "$0")/../lib.sh"
need_lab
. "$root/tests/lab/arbiter.sh"
plan 10
REPAIRS=${REPAIRS:-50}
KILLS=${KILLS:-20}
RANDOM=7

LAB_ARBITER="etcd: [ http://10.98.0.1:2379 ]" "$lab" up --no-nodes && ways || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1
for n in a b c; do "$lab" start $n; done
ok "the pair is PROTECTED" is_protected || exit 1
web_files "$work" 10 4000 300000 2000000 8000000 3000000
ok "a web server behind the chain" web_serve "$work"

in_role() { local n; for n in a b c; do [ "$(field $n role)" != "$1" ] || { echo $n; return; }; done; }
spare() { local n; for n in a b c; do [ "$n" = "$1" ] || [ "$n" = "$2" ] || echo $n; done; }
others() { local n; for n in a b c; do [ "$n" = "$1" ] || echo $n; done; }

# ── round three nodes ────────────────────────────────────────────────────────────────────────────

web_fetch "$work" "$work/out" 500 30 &
fetcher=$!
took=() failed=0
for ((i = 1; i <= REPAIRS; i++)); do
    primary=$(in_role primary)
    next=$(spare "$primary" "$(in_role standby)")
    from=$(date +%s%N)
    us re-pair "$next" -n "$primary" >"$work/repair.out" 2>&1 || { failed=$((failed + 1)); diag "$i: $(cat "$work/repair.out")"; }
    took+=($((($(date +%s%N) - from) / 1000000)))
    if [ $((i % 5)) = 0 ]; then # the role goes on, too
        us drain -n "$primary" >/dev/null 2>&1 || diag "$i: no handover from $primary"
    fi
    is_protected >/dev/null || diag "$i: not PROTECTED"
done
diag "ms of a re-pair, the command's start included: $(printf '%s\n' "${took[@]}" | sort -n | awk '{ v[NR] = $1 } END { print "median " v[int((NR + 1) / 2)] ", most " v[NR] }')"
is "each re-pair was done" $failed 0
diag "$(web_ended "$work") of 500 downloads ended meanwhile"
wait $fetcher
is "all downloads intact" "$(web_count "$work" intact)" 500
is "digests equal" "$(us verify -n "$(in_role primary)" -o json 2>/dev/null | jq .equal)" true

# ── kills in the midst of it ─────────────────────────────────────────────────────────────────────

primaries() { local n count=0; for n in a b c; do releases $n && count=$((count + 1)); done; echo $count; }
two=0 stuck=0
for ((i = 1; i <= KILLS; i++)); do
    primary=$(in_role primary)
    next=$(spare "$primary" "$(in_role standby)")
    timeout 20 "$UNDERSTUDY" re-pair -c "$pair" "$next" -n "$primary" >/dev/null 2>&1 &
    sleep "0.0$((RANDOM % 90 + 10))"
    victim=$(printf '%s\n' a b c | sed -n "$((RANDOM % 3 + 1))p")
    kill -KILL "$(field $victim pid)" 2>/dev/null
    for ((k = 0; k < 5; k++)); do [ "$(primaries)" -lt 2 ] || two=$((two + 1)); done
    "$lab" start "$victim"
    if ! is_protected >/dev/null; then
        stuck=$((stuck + 1))
        diag "$i: $victim was killed: $(us status | head -n 8)"
    fi
    wait %% 2>/dev/null
done
is "never two primaries" $two 0
is "each time a pair came of it" $stuck 0
is "digests equal" "$(us verify -n "$(in_role primary)" -o json 2>/dev/null | jq .equal)" true
ok "and it is two of the three" test "$(for n in a b c; do field $n member; done | grep -c true)" = 2
