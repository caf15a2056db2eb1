#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policies of a running pair, one after the other: deltas to a hot standby; the log and checkpoints to a warm one;
# deltas between nodes of two lanes; and the log of two lanes, behind ports with one queue: frames are dealt out in software, and answers
# find the lane whose NAT gave out the port. In each the primary is killed twice with downloads under way, and hands over. What
# operators ask of lanes.
. "$(dirname "$0")/lib.sh"
need_lab
plan 46

web_files "$work" 10 4000 300000 2000000 8000000 3000000

policy() { # WORD PROTECT LANES
    export LAB_PROTECT=$2 LAB_LANES=$3
    ok "$1: the pair is PROTECTED" "$lab" up || exit 1
    web_serve "$work" || { diag "no web server"; exit 1; }
    strike "$1" 40 10 kill --repeat 2
    is "$1: another node each time, and no takeover that nobody asked for" \
        "$(drilled '[.runs[].victim] | join(" ")') $(drilled '[.runs[].false_takeovers] | add')" "a b 0"
    ok "$1: a planned handover" us drain
    ok "$1: the pair is PROTECTED once more" is_protected
}
moved() { # every lane of the primary has had packets
    [ "$(field b 'lanes | map(select(.received > 20)) | length')" = "$LAB_LANES" ] || { field b lanes; return 1; }
}
equal() { us verify -o json | jq -e .equal; }

policy "delta" "mode: delta" 1
is "what goes to the standby are deltas" "$(field b mode)" delta
"$lab" down
policy "log, warm" "mode: log, standby: warm" 1
"$lab" down
policy "delta, two lanes, warm" "mode: delta, standby: warm" 2
"$lab" down
policy "log, two lanes" "mode: log" 2
web_fetch "$work" "$work/first" 40 10
is "downloads through all lanes are intact" "$(web_count "$work" intact)" 40
ok "all lanes of the primary took part" moved
ok "the lanes' digests are equal" equal
ok "a change reaches every lane" us set nat udp=200
said() { cat "$LAB_DIR"/[ab].log | grep -c "an operator has said: set nat udp=200"; }
ok "the log says so" soon 10 said
ok "and the standby goes along" equal
is "it was said once" "$(said)" 1
ok "show goes through every lane" us show nat -o json
is "and has the timeout as it is now" "$(us show nat -o json | jq .timeouts.udp)" 200
# Of UDP: those of connections that have just ended go by themselves.
"$probe" run 203.0.113.100 7007 --seconds 1 --flows 16 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" >"$work/probe"
us show nat -o json | jq -r '.rows[] | select(.outside_port and .proto == "udp") | "\(.proto)/\(.outside_port)"' >"$work/mappings"
first=$(head -n 1 "$work/mappings") last=$(tail -n 1 "$work/mappings")
is "a mapping of the first lane is cleared" "$(us clear nat "$first" 2>&1)" "clear nat $first: done"
is "one of the last lane, too" "$(us clear nat "$last" 2>&1)" "clear nat $last: done"
us clear nat "$last" 2>/dev/null
is "then no lane has it" $? 65
ok "the lanes' digests are equal at the end" equal
