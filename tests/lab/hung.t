#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A packet of which an NF does not come to an end, once on a processor, once asleep, and once in short sleeps: the node is ended, says of what,
# and its standby takes over and drops the packet, which comes again. No download breaks. A node that is stopped for
# longer than an NF may take is not taken for one that hangs. An NF that `apply` adds and that is never made ends its node, too.
# The NFs are tests/lab/poison.c and stuck.c.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/dying.sh"
need_lab
plan 28

dying_pair "poison: {}" 20 tests/lab/poison.c tests/lab/stuck.c
web_files "$work" 10 4000 300000 3000000
ok "a web server behind the chain" web_serve "$work"

send_word() { # WORD, twice a second for as long as the file "$work/on" is there
    "$lab" exec client python3 -c '
import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.100", 7000))
while os.path.exists(sys.argv[2]):
    s.sendto(sys.argv[1].encode(), ("203.0.113.100", 6660))
    time.sleep(0.5)' "$1" "$work/on"
}
incidents() { us incidents -o json | jq -r ".incidents[] | $1"; }

dies=a lives=b reported=0
all_reported() { [ "$(us incidents -o json | jq '.incidents | length')" -ge $reported ]; } # a reporter writes it behind its node's end
for word in SPINNER SLEEPER DOZER; do
    ok "$word: the pair is PROTECTED" is_protected || exit 1
    downloads_begin
    behind=$(wc -l <"$LAB_DIR/$lives.log")
    said_now() { tail -n +$((behind + 1)) "$LAB_DIR/$lives.log" | grep -q "$1"; }
    send_word $word &
    sent=$!
    ok "$word: the standby takes over" await $lives role primary
    sleep 3
    reported=$((reported + 1))
    soon all_reported
    is "$word: one node was ended, and says of what" \
        "$(incidents "select(.node == \"$dies\") | [.report.how, .report.nf, .report.doing] | join(\" \")" | sort -u)" "hung poison packets"
    ok "$word: both logs have its NF and packet" soon \
        said_now "$lives: node $dies hung in NF poison, lane 0, burst [0-9]*, packet [0-9]*; frames"
    ok "$word: it came again and was dropped" soon said_now "come again, and are dropped"
    rm "$work/on"
    wait $fetch $sent
    is "$word: all downloads intact" "$(sort -u "$work/rounds")" 40
    "$lab" start $dies
    is_protected
    dies=$lives
    lives=$([ $dies = a ] && echo b || echo a)
done

ok "the pair is PROTECTED again" is_protected || exit 1
stopped=$(field a pid)
kill -STOP "$stopped"
sleep 5
kill -CONT "$stopped"
ok "a node that was stopped for five seconds goes on" is_protected
is "and nobody took it for one that hangs" "$(us incidents -o json | jq '.incidents | length')" 3

cp "$pair" "$work/pair.first"
sed -i 's/{ poison: {} }/{ poison: {} }, { stuck: {} }/' "$pair"
primary=$(primary)
standby=$([ $primary = a ] && echo b || echo a)
us apply >"$work/applied" 2>&1 &
applied=$!
ok "the standby takes over from a node that makes an NF without end" await $standby role primary
wait $applied
told_of_make() { # its reporter writes it behind the node's end
    incidents "select(.node == \"$primary\") | select(.report.nf == \"stuck\") | [.report.how, .report.doing] | join(\" \")" | grep -qx "hung make"
}
ok "which says so" soon told_of_make
cp "$work/pair.first" "$pair"
"$lab" start $primary
ok "with the chain as it was the pair is PROTECTED" is_protected
