#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The standby is killed: the primary goes SOLO and on; with `strict` it holds, and not one packet leaves. With `strict`
# a successor of the primary holds too, until the other node is back. A standby that is stopped costs no silence.
. "$(dirname "$0")/lib.sh"
need_lab
plan 20

ok "the pair is PROTECTED" env LAB_TIMING="solo_after_ms: 1500" "$lab" up || exit 1
ok "the standby is killed" drill standby-kill
is "no flow broken, nothing contradicted" "$(drilled '.runs[0] | .contradicted + .flows_broken')" 0
is "the primary stayed the primary" "$(field a role)" primary
diag "longest silence $(drilled '.runs[0].outage_ms') ms"
ok "the pair is PROTECTED again" is_protected
"$probe" run 203.0.113.100 7007 --seconds 2 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
    >"$work/probe.json" &
prober=$!
sleep 0.5
kill -TERM "$(field b pid)"
wait $prober
is "the standby is stopped: the primary is SOLO" "$(field a state)" SOLO
# solo_after_ms is far above what a busy machine's silences are.
ok "and did not hold its outputs for solo_after_ms" jq -e '.silence_ms < 1200' "$work/probe.json"
diag "longest silence $(jq .silence_ms "$work/probe.json") ms"
ok "down" "$lab" down

export LAB_PROTECT="mode: log, strict: true" LAB_TIMING="solo_after_ms: 400"
ok "a strict pair is PROTECTED" "$lab" up || exit 1
kill -KILL "$(field b pid)"
ok "it holds" await 5 a state DEGRADED
sleep 0.5
"$probe" run 203.0.113.100 7007 --seconds 1 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
    >"$work/probe.json"
is "no probe gets through" "$(jq '.sent > 0 and .received == 0' "$work/probe.json")" true
is "it stays DEGRADED" "$(field a state)" DEGRADED
us status >/dev/null 2>&1
is "status says so by its exit code" $? 1
"$lab" start b
ok "with a standby it is PROTECTED again" is_protected
"$probe" run 203.0.113.100 7007 --seconds 1 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
    >"$work/probe.json"
ok "and probes get through" jq -e '.received > .sent * 0.9' "$work/probe.json"

ok "the primary of a strict pair is killed" drill kill
is "digests equal, the successor goes on" "$(drilled '.runs[0].digests_equal') $(field "$(drilled '.runs[0].survivor')" role)" "true primary"
ok "its first packet left once the pair was PROTECTED again" \
    jq -e '.runs[0] | .first_packet_ms != null and .first_packet_ms + .detect_ms > .protected_ms * 0.5' "$work/drill.json"
ok "the outage is that of the resync" jq -e '.runs[0] | .outage_ms >= .first_packet_ms' "$work/drill.json"
is "no flow broken, nothing contradicted" "$(drilled '.runs[0] | .contradicted + .flows_broken')" 0
diag "$(drilled '.runs[0] | {detect_ms, first_packet_ms, outage_ms, protected_ms} | tojson')"
