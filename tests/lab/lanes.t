#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair with two lanes behind ports with one queue: frames are dealt out in software, answers find the lane whose NAT
# gave out the port; primaries killed with downloads under way; a planned handover; what operators ask for.
. "$(dirname "$0")/lib.sh"
export LAB_LANES=${LAB_LANES:-2}
need_lab
plan 24

moved() { # every lane of the primary has had packets
    local name
    name=$(us status -o json 2>/dev/null | jq -r '.. | objects | select(.state? == "PROTECTED") | .node' | head -n 1)
    [ "$(field "$name" 'lanes | map(select(.received > 20)) | length')" = "$LAB_LANES" ] || {
        field "$name" lanes
        return 1
    }
}
equal() { us verify -o json | jq -e .equal; }

ok "the pair of $LAB_LANES lanes is PROTECTED" "$lab" up || exit 1
web_files "$work" 10 4000 300000 2000000 8000000 3000000
ok "a web server behind the chain" web_serve "$work"
web_fetch "$work" "$work/first" 40 10
is "downloads through all lanes are intact" "$(web_count "$work" intact)" 40
ok "all lanes of the primary took part" moved
ok "the lanes' digests are equal" equal
rm "$work/ended"
web_fetch "$work" "$work/out" 120 30 &
under_way
ok "two kills in a row" drill kill --repeat 2
wait
is "all downloads intact" "$(web_count "$work" intact)" 120
is "another node each time" "$(drilled '[.runs[].victim] | join(" ")')" "a b"
is "digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
is "no takeover that nobody asked for" "$(drilled '[.runs[].false_takeovers] | add')" 0
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")'), baseline $(drilled .baseline_gap_ms) ms"
ok "the pair is PROTECTED again" is_protected
ok "a planned handover" us drain
ok "the pair is PROTECTED once more" is_protected
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
