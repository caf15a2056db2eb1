#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An NF with a library in it that allocates and writes without edits (tests/lab/heaped.c): through pairs of all kinds with
# kills on both sides, with room for the library and without. What an NF with a heap must not do is found, and so is a cut
# that does not look which pages were written. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
made=$dir/made.pcap
python3 tests/lab/mkpcap.py "$made" 8000 1000
kills=(--kill primary@2000 --kill standby@4000 --kill primary@6000)

build() { # NAME [FLAG]...
    gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"${BUILD:-build}/include" -shared "${@:2}" -o "$dir/$1.so" tests/lab/heaped.c \
        2>"$dir/err"
}
chain() { # NAME MODULE KIB
    echo "chain: { name: $1, lanes: 1, modules: [ $2.so ], nfs: [ monitor: { max_flows: 4096 }, heaped: { heap_kb: $3 } ] }" >"$dir/$1.yaml"
}
build heaped && build frail -DHEAPED_UNREPLAYABLE && build address -DHEAPED_BREACH=1 && build outside -DHEAPED_BREACH=2 &&
    build read -DHEAPED_BREACH=3 && build written -DHEAPED_BREACH=4
ok "an NF with a heap is built, and those that break a rule" $?
chain roomy heaped 4096 && chain tight heaped 96 && chain frail frail 4096 && chain address address 4096 && chain outside outside 4096 && chain read read 4096 && chain written written 4096
"$understudy" check -c "$dir/roomy.yaml" >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/err" ]
ok "check has nothing to say of it" $? "$(cat "$dir/out")"
grep -q 'mode delta' <("$understudy" check -c "$dir/frail.yaml" 2>&1)
ok "of a library that cannot be replayed deltas carry the heap" $?

for how in "roomy 1 log hot" "roomy 2 log hot" "roomy 1 delta hot" "roomy 2 delta warm" "roomy 1 log warm" "roomy 2 log warm" "tight 1 log hot" \
    "tight 2 delta hot" "tight 1 log warm" "frail 1 auto hot"; do
    read -r name lanes mode standby <<<"$how"
    run -c "$dir/$name.yaml" --lanes "$lanes" --mode "$mode" --standby "$standby" "${kills[@]}" "$made"
    ok "EQUIVALENT: $how, three kills" $? "$(cat "$dir/json")"
done
! grep -qE "warning|audit" "$dir/err"
ok "and there is no warning of it" $?

run -c "$dir/address.yaml" "${kills[@]}" "$made"
[ $? = 1 ] && grep -q "differs in NF 'heaped'" "$dir/err"
ok "an address of the program in the heap: the verdict names the NF" $?
run -c "$dir/outside.yaml" "$made"
[ $? != 0 ] && grep -qE "audit: NF 'heaped' .lane 0. changed offset 0x[0-9a-f]+ of its arena without an edit" "$dir/err"
ok "a write without an edit that is not in the heap: the audit names it" $?

run -c "$dir/read.yaml" "$made"
[ $? = 1 ] && grep -q '0xdbdbdbdbdbdbdbdb is given back to a heap' "$dir/err" && grep -q 'in NF heaped' "$dir/err"
ok "a pointer that is read from memory given back leads nowhere, and the NF is named" $? "$(cat "$dir/err")"
run -c "$dir/written.yaml" "$made"
[ $? != 0 ] && grep -qE "NF 'heaped' .lane 0. wrote to memory of its heap that it had given back" "$dir/err"
ok "a write to memory given back is named" $? "$(cat "$dir/err")"
run --fast -c "$dir/read.yaml" "$made"
ok "without the audit nobody finds that" $?

if [ -x "$planted" ]; then
    for how in "delta hot" "delta warm" "log warm"; do
        UNDERSTUDY_PLANT=pages-unseen timeout 120 "$planted" replay -o json -c "$dir/roomy.yaml" --mode "${how% *}" --standby "${how#* }" \
            "${kills[@]}" "$made" >"$dir/json" 2>"$dir/err"
        [ $? = 1 ] && grep -q 'NOT EQUIVALENT' "$dir/err"
        ok "a cut that does not look which pages were written is caught: $how" $?
    done
fi
echo "1..$tests"
