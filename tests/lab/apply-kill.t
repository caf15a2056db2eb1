#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The primary is killed in the midst of a change of its chain, at one moment after the other: what is left has the
# chain before or the one after, never both unseen, and a pair with one chain is made of it by `apply`.
. "$(dirname "$0")/lib.sh"
need_lab
moments="0.02 0.06 0.1 0.3"
plan $((2 + 4 * $(wc -w <<<"$moments")))

# The one that is primary, by what it says.
primary() { local n; for n in a b; do [ "$(field $n role)" = primary ] && echo $n && return; done; }
# A pair of one chain: the node that was killed starts by the file, and does not fit one that runs the chain before.
mend() { # NODE
    "$lab" start "$1"
    is_protected 6 >/dev/null && return
    us apply || return 1
    kill -0 "$(field "$1" pid)" 2>/dev/null || "$lab" start "$1"
    is_protected
}

ok "the pair is PROTECTED" "$lab" up || exit 1
n=100
for moment in $moments; do
    victim=$(primary)
    pid=$(field "$victim" pid)
    echo "deny out tcp from any to any port $((n += 1))" | cat - "$LAB_DIR/firewall.rules" >"$work/rules" &&
        cp "$work/rules" "$LAB_DIR/firewall.rules"
    us apply >"$work/out" 2>&1 &
    asked=$!
    sleep "$moment"
    kill -KILL "$pid"
    wait $asked
    diag "after $moment s: $(grep ' chain ' "$LAB_DIR/$victim.log" | tail -n 1)"
    other=$([ "$victim" = a ] && echo b || echo a)
    after=$(field "$other" chain.hash)
    # Killed before the standby had the new chain, it takes over with the old one; behind that, it has no state.
    ok "killed after $moment s: the other node is there" [ -n "$after" ]
    ok "a pair again" mend "$victim" || break
    ok "of one chain" [ "$(field a chain.hash)" = "$(field b chain.hash)" ]
    ok "digests are equal" us verify
done
ok "the last rule is there" [ "$(us show firewall -o json | jq -r '[.rows[] | select(.line == 1)][0].action')" = deny ]
