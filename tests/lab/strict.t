#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# With `strict` a primary whose standby is killed holds, and not one packet leaves. A successor of the primary holds too, until the
# other node is back.
. "$(dirname "$0")/lib.sh"
need_lab
plan 16

export LAB_PROTECT="mode: log, strict: true" LAB_TIMING="detect_ms: 500, promote_within_ms: 800, solo_after_ms: 900"
ok "a strict pair is PROTECTED" "$lab" up || exit 1
probes() { # of 2 s, longer than solo_after_ms: how many are answered
    "$probe" run 203.0.113.100 7007 --seconds 2 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json >"$work/probe.json"
    jq -r 'if .sent == 0 then "none sent" elif .received == 0 then "none" else "some" end' "$work/probe.json"
}
for victim in b a; do # the standby, then the primary
    other=$([ $victim = a ] && echo b || echo a)
    kill -KILL "$(field $victim pid)"
    ok "$victim is killed: the other one holds" await 20 $other state DEGRADED
    is "no probe gets through" "$(probes)" none
    is "it stays DEGRADED" "$(field $other state)" DEGRADED
    us status >/dev/null 2>&1
    is "status says so by its exit code" $? 1
    "$lab" start $victim
    ok "with a standby it is PROTECTED again" is_protected
    is "and probes get through" "$(probes)" some
done

ok "the primary of a strict pair is killed" drill kill
is "digests equal, the successor goes on" "$(drilled '.runs[0].digests_equal') $(field "$(drilled '.runs[0].survivor')" role)" "true primary"
is "no flow broken, nothing contradicted" "$(drilled '.runs[0] | .contradicted + .flows_broken')" 0
diag "$(drilled '.runs[0] | {detect_ms, first_packet_ms, outage_ms, protected_ms} | tojson')"
