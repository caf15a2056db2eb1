#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fourteen NFs of which each breaks a rule of docs/writing-an-nf.md (tests/lab/rules.c): with replay as it is by default each is
# named, by its module's file before it runs, by the audit, or by where the states differ. Without the audit those that
# the page lists may pass, and no others. RULES_ALL=1: with 1, 2 and 4 lanes, the log and deltas, kills and none (make
# check-long); else a few of those. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "${BASH_SOURCE[0]}")/replay.sh"
made=$dir/made.pcap
python3 tests/lab/mkpcap.py "$made" 1500 200

# NAME, what names it (a pattern on stderr), and without the audit: named (as well), differs, passes (it may).
rules=(
    'STATIC|module .*/STATIC.so has a variable "seen", expected state in the arena|named'
    'HEAP|HEAP.so: warning: takes "calloc", expected memory of the arena|named'
    'THREAD|module .*/THREAD.so has a thread.s variable "seen", expected state in the arena|named'
    "UNEDITED|audit: NF 'rules' .lane [0-9]. changed offset 0x[0-9a-f]+ of its arena without an edit|passes"
    "SHARED|audit: NF 'rules' .lane [0-9]. changed word 1 of NF 'rules' at byte 64 without an edit|passes"
    "OUTSIDE|audit: NF 'rules' .lane [0-9]. edited map 1 of NF 'rules' at byte [0-9]+ outside of its section|passes"
    "PEEK|audit: NF 'rules' .lane [0-9]. peeked at word 1 of NF 'rules'|passes"
    'CLOCK|module .*/CLOCK.so takes "time", expected the .now. that the NF is given|named'
    'RANDOM|module .*/RANDOM.so takes "rand", expected nf_random|named'
    "ADDRESS|the primary differs in NF 'rules' of lane [0-9], .*first at the state of NF 'rules' at byte 24: expected 0x|named"
    "PAYLOAD|audit: NF 'rules' .lane [0-9]. touched byte 999 of the frame of seq [0-9]+, which has 64 bytes of headers|passes"
    'OTHERS|OTHERS.so: warning: takes "read", expected nf_determinant|named'
)

build() { # BREACH
    gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"${BUILD:-build}/include" -shared "-DBREACH=$1" -o "$dir/$1.so" \
        tests/lab/rules.c 2>"$dir/err" &&
        echo "chain: { name: rules, lanes: 1, modules: [ $1.so ], nfs: [ rules: {} ] }" >"$dir/$1.yaml"
}

kills=(--kill primary@400 --kill standby@700 --kill primary@1000)
# verdict BREACH LANES MODE KILLS: its exit code; what it says in $dir/err.
verdict() {
    local args=(-c "$dir/$1.yaml" --lanes "$2" --mode "$3")
    [ "$4" = none ] || args+=("${kills[@]}")
    run "${args[@]}" "${@:5}" "$made"
}

# Every cell of 1, 2 and 4 lanes, log and delta, kills or none; or the first two.
cells=("1 log none" "2 delta kills")
if [ -n "${RULES_ALL:-}" ]; then
    cells=()
    for lanes in 1 2 4; do for mode in log delta; do for kill in none kills; do cells+=("$lanes $mode $kill"); done; done; done
fi

build NONE
ok "an NF that keeps all rules is built" $?
for cell in "${cells[@]}"; do
    # shellcheck disable=SC2086 # words of a cell
    verdict NONE $cell
    ok "it is EQUIVALENT: $cell" $? "$(cat "$dir/json")"
done
! grep -q warning "$dir/err"
ok "and there is no warning of it" $?

for row in "${rules[@]}"; do
    IFS='|' read -r name pattern fast <<<"$row"
    build "$name"
    ok "$name is built" $?
    for cell in "${cells[@]}"; do
        # shellcheck disable=SC2086
        verdict "$name" $cell
        code=$?
        # What is only warned of may be harmless here, and is told all the same.
        [[ $code != 0 || $pattern = *warning* ]] && grep -qE "$pattern" "$dir/err"
        ok "$name is named: $cell" $? "exit $code"
        # shellcheck disable=SC2086
        verdict "$name" $cell --fast
        code=$?
        [ $fast = passes ] || { [[ $code != 0 || $pattern = *warning* ]] && grep -qE "$pattern" "$dir/err"; }
        ok "$name, without the audit: $cell: $fast, exit $code" $?
    done
done

# State of more than a flow in a lane's own map: a warning, with several lanes and the audit.
build SCOPE
ok "SCOPE is built" $?
for cell in "1 log none 0" "4 log none 1" "2 delta kills 1" "4 log none 0 --fast"; do
    read -r lanes mode kill times more <<<"$cell"
    # shellcheck disable=SC2086 # none, or a word
    verdict SCOPE "$lanes" "$mode" "$kill" $more
    ok "SCOPE is EQUIVALENT: $cell" $?
    [ "$(grep -cE "audit: NF 'rules' added one key to maps of its own in lanes [0-9] and [0-9], expected one lane: by its scope its state is of a flow" "$dir/err")" -ge "$times" ] &&
        { [ "$times" = 1 ] || ! grep -q "to maps of its own" "$dir/err"; }
    ok "and what it keeps in two lanes is told: $cell" $? "$(cat "$dir/err")"
done
rules+=('SCOPE')

# What is not recorded of a flow: found where the log is replayed, so that a chain that deltas protect may have it.
# The field is named, and no other.
fields=("FLOW|the sequence number of TCP" "FLOW_TTL|the time to live of IPv4" "FLOW_ID|the identification of IPv4")
for row in "${fields[@]}"; do
    IFS='|' read -r name field <<<"$row"
    build "$name"
    ok "$name is built" $?
    for cell in "1 log none" "2 log kills" "1 log none --fast"; do
        # shellcheck disable=SC2086 # words of a cell
        verdict "$name" $cell
        code=$?
        [ $code != 0 ] && grep -qE "differs in NF 'rules' of lane [0-9], .*first at the state of NF 'rules' at byte 24" "$dir/err"
        ok "$name is named: $cell" $? "exit $code: $(tail -3 "$dir/err")"
        grep -qx "understudy replay: NF 'rules' reads $field, and declares NF_READS_FLOW, expected NF_READS_HEADERS" "$dir/err" &&
            [ "$(fact '[.differences[].undeclared] | unique | join(";")')" = "$field" ]
        ok "and what it reads: $cell" $? "$(tail -3 "$dir/err"; fact .differences)"
    done
done
rules+=('FLOW')

# The same kept in a flow's session, which lies in the lane's own state: the field is named, and that it is an NF's.
build FLOW_SLOT
ok "FLOW_SLOT is built" $?
for cell in "1 log none" "2 log kills" "1 log none --fast"; do
    # shellcheck disable=SC2086 # words of a cell
    verdict FLOW_SLOT $cell
    code=$?
    [ $code != 0 ] && grep -qE "the standby differs in the lane's own state of lane 0, " "$dir/err" &&
        ! grep -q "differs in NF 'rules'" "$dir/err"
    ok "FLOW_SLOT is found: $cell" $? "exit $code: $(tail -3 "$dir/err")"
    grep -qx "understudy replay: an NF, in its sessions or the lane's own state, reads the sequence number of TCP, and declares NF_READS_FLOW, expected NF_READS_HEADERS" "$dir/err" &&
        [ "$(fact '[.differences[].undeclared] | unique | join(";")')" = "the sequence number of TCP" ]
    ok "and what it reads: $cell" $? "$(tail -3 "$dir/err"; fact .differences)"
done

# The page lists them, in this order, by what the file or the audit says.
for row in "${rules[@]}"; do
    name=${row%%|*}
    grep -q "^| \`$name\` |" docs/writing-an-nf.md
    ok "docs/writing-an-nf.md has a row of $name" $?
done
echo "1..$tests"
