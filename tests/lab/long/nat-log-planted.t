#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the comparison of tests/lab/nat-log.t is worth: bugs planted in the export of the log of mappings are each caught by
# it. A successor that forgets what was not exported, one that repeats what was, events that leave before they are stable.
. "$(dirname "$0")/../lib.sh"
need_lab
export UNDERSTUDY=$BUILD/understudy-planted
[ -x "$UNDERSTUDY" ] || skip_all "$UNDERSTUDY is not built"
. "$root/tests/lab/nat-log.sh"
plan 4
export_by "tcp: 10.98.0.1:4739"

# Whether the collector is there before the kills; what it has is in $work/log.pcap.kept.
run() { # PLANT KILLS before|behind
    ip netns del "$space" 2>/dev/null
    rm -f "$work"/*.pcap*
    UNDERSTUDY_PLANT=$1 "$lab" up --no-nodes && ways || return 1
    capture "$space" any log.pcap "tcp port 4739"
    [ "$3" = behind ] || collect_tcp
    UNDERSTUDY_PLANT=$1 "$lab" start a
    UNDERSTUDY_PLANT=$1 "$lab" start b
    is_protected || return 1
    capture "${LAB_PREFIX}server" eth0 left.pcap tcp
    serve
    connections $(($2 * 4 + 2))
    sleep 1
    UNDERSTUDY_PLANT=$1 kills "$2"
    [ "$3" = before ] || collect_tcp
    wait %?connect
    sleep 5
    end_all
    "$lab" down
    kept_by_tshark log.pcap
    python3 "$judge" judge "$work/left.pcap" 203.0.113.1 $(($2 * 100)) "$work/log.pcap.kept" >"$work/verdict"
}
caught() { # PATTERN
    grep -q "$1" "$work/verdict" || { cat "$work/verdict"; return 1; }
}

ok "nothing is wrong without a bug" run none 1 behind
diag "$(tail -n 1 "$work/verdict")"
run export-forgets 1 behind
ok "a successor that forgets is caught" caught "left and was never told"
diag "$(tail -n 1 "$work/verdict")"
run export-repeats 2 before
ok "a successor that repeats is caught" caught "repeats, .* at most"
diag "$(tail -n 1 "$work/verdict")"
run export-early,late-lane 5 before
ok "events that leave before they are stable are caught" caught "is of two events\|told and never left"
diag "$(tail -n 1 "$work/verdict")"
