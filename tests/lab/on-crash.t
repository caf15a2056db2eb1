#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An NF that dies of its state, in its timers, ten times: its successor has that state, too, and would die of it. With
# `on_crash: bypass` the NF is bypassed from the takeover on, and downloads go on; an operator has it take part again,
# and it dies once more. With `on_crash: reset` the NF's state begins anew instead; and both with two lanes, of which one dies. The NF is tests/lab/poison.c.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/dying.sh"
need_lab
plan 38

dying_pair "poison: { on_crash: bypass }" 60 tests/lab/poison.c
web_files "$work" 10 4000 300000 3000000
ok "a web server behind the chain" web_serve "$work"

downloads_begin

send_word() { # of one flow, so to one lane
    "$lab" exec client python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 6661))
s.sendto(sys.argv[1].encode(), ("203.0.113.100", 6660))' "$1"
}
# The standby has the state that kills before anybody dies of it: verify compares both, behind the bomb.
send_bomb() {
    send_word TIMER-BOMB
    us verify >"$work/verify.txt"
    send_word TIMER-FUSE
}
# It dies at once where the timer was still set, and else of the fuse: the node that died may have taken its burst along.
take_part() {
    us set poison bypass=off >"$work/set.txt" 2>&1
    send_word TIMER-FUSE
}

# The pair does well, and the NF is bypassed.
is_bypassed() {
    await a 'peer.connected' true && await b 'peer.connected' true && await $lives state PROTECTED && soon says_bypassed
}
says_bypassed() { us status | grep -q "^BYPASSED  "; }

dies=a lives=b
for i in 1 2 3 4 5 6 7 8 9 10; do
    if [ $i = 1 ]; then send_bomb; else take_part; fi
    # It serves, and its status says what is bypassed.
    ok "death $i: the other node goes on without the NF" await $lives 'bypassed | join(" ")' poison || break
    "$lab" start $dies
    is_bypassed || break
    other=$dies dies=$lives lives=$other
done
is "ten deaths, all in timers" "$(us incidents -o json | jq -r '[.incidents[] | .report.doing + " " + .report.nf] | unique | join(", ")')" "timers poison"
is "no more of them" "$(us incidents -o json | jq '.incidents | length')" 10
downloads_end
is "all downloads intact" "$(sort -u "$work/rounds")" 40
ok "status says so first" soon says_bypassed
ok "and what is bypassed" grep -q "; NF poison is bypassed" <<<"$(us status)"
ok "as the log does" grep -q "NF poison is bypassed, since on_crash says so" "$LAB_DIR/$lives.log"

ok "its own commands are refused meanwhile" grep -q "it is bypassed, expected set poison bypass=off first" <<<"$(us clear poison 2>&1)"
ok "the states are equal" equal

ends() { # both nodes, in order: the standby first
    local pid standby=a
    [ "$(field b role)" = primary ] || standby=b
    for pid in $(field $standby pid) $(field $([ $standby = a ] && echo b || echo a) pid); do
        kill -TERM "$pid"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    done
}
ends
sed -i "s/on_crash: bypass/on_crash: reset/" "$pair"
"$lab" start a && "$lab" start b
ok "with on_crash: reset the pair is PROTECTED" is_protected || exit 1
downloads_begin
dies=a lives=b
[ "$(field a role)" = primary ] || { dies=b lives=a; }
for i in 1 2; do
    send_bomb
    ok "bomb $i: the other node goes on" await $lives role primary
    ok "bomb $i: with the NF's state anew" soon grep -q "the state of NF poison begins anew, since on_crash says so" "$LAB_DIR/$lives.log"
    "$lab" start $dies
    is_protected || break
    other=$dies dies=$lives lives=$other
done
is "packets pass through it" "$(field "$dies" 'bypassed | length')" 0
downloads_end
is "all downloads intact" "$(sort -u "$work/rounds")" 40

# Two lanes: the one that gets the bomb dies, and both bypass the NF, or reset it.
sed -i "s/lanes: 1/lanes: 2/; s/on_crash: reset/on_crash: bypass/" "$pair"
for how in bypass reset; do
    ends
    sed -i "s/on_crash: bypass/on_crash: $how/" "$pair"
    "$lab" start a && "$lab" start b
    ok "with two lanes and on_crash: $how the pair is PROTECTED" is_protected || exit 1
    dies=a lives=b
    [ "$(field a role)" = primary ] || { dies=b lives=a; }
    says="set poison bypass=on"
    [ $how = bypass ] || says="reset poison"
    before=$(grep -c "lane [01]: $says: done, since on_crash says so" "$LAB_DIR/$lives.log")
    downloads_begin
    send_bomb
    ok "the other node goes on" await $lives role primary
    done_by() { [ $(($(grep -c "lane [01]: $says: done, since on_crash says so" "$LAB_DIR/$lives.log") - before)) "$@" ]; } # so many
    soon done_by -ge 2
    "$lab" start $dies
    if [ $how = bypass ]; then is_bypassed; else is_protected; fi
    ok "the states are equal" equal
    ok "both lanes did it, once" done_by = 2
    downloads_end
    is "all downloads intact" "$(sort -u "$work/rounds")" 40
done
