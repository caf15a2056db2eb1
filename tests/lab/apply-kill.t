#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The primary is killed in the midst of a change of its chain, when it says how far it is: what is left has the chain
# before or the one after, never both unseen, and a pair with one chain is made of it by `apply`. Of the kills some come
# before the cut, and leave the old chain with its state; some behind it, and leave the new one. Of those the second leaves a
# standby that has compared a digest of burst 3 before, and is asked for one of another burst 3.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/apply-kill.sh"
need_lab
moments=("the peer is checking" "the chain is being changed" "the chain is changed" "the chain is changed" "the peer is checking")
plan $((4 + 4 * ${#moments[@]}))

ok "the pair is PROTECTED" "$lab" up || exit 1
n=100 before=0 behind=0
for moment in "${moments[@]}"; do
    victim=$(primary)
    other=$([ "$victim" = a ] && echo b || echo a)
    pid=$(field "$victim" pid)
    was=$(field "$other" chain.hash)
    lines=$(wc -l <"$LAB_DIR/$victim.log")
    echo "deny out tcp from any to any port $((n += 1))" | cat - "$LAB_DIR/firewall.rules" >"$work/rules" &&
        cp "$work/rules" "$LAB_DIR/firewall.rules"
    rm -f "$work/killed"
    kill_at "$victim" "$pid" "$moment" "$lines" &
    killer=$!
    us apply >"$work/out" 2>&1
    wait $killer
    said=$(sed -n "$((lines + 1)),\$p" "$LAB_DIR/$victim.log" | grep ' chain ' | tail -n 1)
    after=$(field "$other" chain.hash)
    diag "at \"$moment\": $said; chain $was, then $after"
    case $said in *"the chain is changed"*) behind=$((behind + 1)) ;; *) [ "$was" = "$after" ] && before=$((before + 1)) ;; esac
    ok "killed at \"$moment\": the other node is there" [ -e "$work/killed" -a -n "$after" ]
    ok "a pair again" mend "$victim" || break
    ok "of one chain" [ "$(field a chain.hash)" = "$(field b chain.hash)" ]
    ok "digests are equal" equal
done
ok "some kills came before the cut" [ $before -gt 0 ]
ok "and some behind it" [ $behind -gt 0 ]
ok "the last rule is there" [ "$(us show firewall -o json | jq -r '[.rows[] | select(.line == 1)][0].action')" = deny ]
