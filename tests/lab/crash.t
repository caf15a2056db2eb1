#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A packet of death, sent a thousand times to a pair under downloads: one takeover, no download broken, and both nodes
# say what it was. The NF is tests/help/crasher.c, as a module of its own.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/dying.sh"
need_lab
plan 27

export LAB_RECORD="dir: $work/rec, file_mb: 4, files: 8"
dying_pair "crasher: {}" 10 tests/help/crasher.c
web_files "$work" 10 4000 300000 2000000 8000000 3000000
ok "a web server behind the chain" web_serve "$work"

# The same frame each time: a datagram of a socket that is not connected has no number of its own.
send_deadly() { # TIMES EVERY_S
    "$lab" exec client python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.100", 7000))
for i in range(int(sys.argv[1])):
    s.sendto(b"death", ("203.0.113.100", 6660))
    time.sleep(float(sys.argv[2]))' "$1" "$2"
}

web_fetch "$work" "$work/out" 120 30 &
under_way
ok "a packet of death a thousand times" send_deadly 1000 0.003
is "status, JSON: the successor drops such frames" "$(field b quarantine.nf)" crasher
ok "status" grep -q "; drops frames that a node crashed on in NF crasher for [0-9]* s more, [0-9]* so far" <<<"$(us status 2>&1)"
wait
is "all downloads intact" "$(web_count "$work" intact)" 120
is "one takeover" "$(field b takeovers.count)" 1
is "by the word of the guardian" "$(field b takeover.reason)" "the death notice"

said='crashed in NF crasher, lane 0, burst [0-9]*, packet [0-9]*: SIGSEGV'
ok "the node that died says what it was" grep -q "a: $said; see $LAB_DIR/a/a.crash-" "$LAB_DIR/a.log"
ok "its successor says the same" \
    grep -q "b: node a $said; frames of [0-9]* fingerprints are dropped for 10 s" "$LAB_DIR/b.log"
ok "and that they come again" grep -q "frames that a node crashed on in NF crasher come again, and are dropped" "$LAB_DIR/b.log"
quarantined=$(field b 'lanes[0].quarantined')
ok "those that came after the takeover were dropped: $quarantined" test "$quarantined" -gt 0
ok "and the first of them kept" test -s "$LAB_DIR/b/b.quarantine.pcapng"
ended() {
    local left=$(polls)
    until grep -q "the quarantine for NF crasher has ended: $quarantined frames were dropped" "$LAB_DIR/b.log"; do
        poll || return 1
    done
}
ok "and after its time the quarantine ends" ended
is "and status has none" "$(field b quarantine)" null
is "incidents has it" "$(us incidents -o json | jq -r '.incidents[] | [.node, .report.nf, .report.signal, .report.how] | join(" ")')" \
    "a crasher SIGSEGV crashed"
directory=$(us incidents -o json | jq -r '.incidents[0].directory')
ok "the packet is marked in the burst" grep -qa "THE PACKET: lane 0" "$directory/burst.pcapng"

# Again, from the recording, whose node died with it.
again() { timeout 900 "$UNDERSTUDY" replay -c "$pair" "$@" >"$work/out.txt" 2>"$work/err.txt"; }
ok "its recording is executed to the crash" again --log "$work/rec/a" -o json
is "and ends with it" "$(jq -r '.end.line' "$work/out.txt" | grep -cE "^$said$") $(jq -r '.end.not_executed | length' "$work/out.txt")" "1 1"
ok "the crash is executed again, at the same instruction" again --crash "$directory" ||
    diag "$(cat "$work/out.txt" "$work/err.txt")"
is "and said so" "$(grep -c ': reproduced$' "$work/out.txt")" 1
stops="crasher_process SIGSEGV crasher_process"
! gdb_can 'hit Hardware' || stops="crasher_process hit Hard crasher_process SIGSEGV"
if ! gdb_can '= 4$'; then
    skip "a debugger stops before the packet, in the NF, and then at the crash" "gdb cannot call functions here"
else
    printf 'continue\nkill\n' | timeout -k 5 60 "$UNDERSTUDY" replay -c "$pair" --crash "$directory" --gdb >"$work/gdb.txt" 2>&1
    is "a debugger stops before the packet, in the NF, and then at the crash" \
        "$(grep -nE 'hit Hardware read watchpoint|crasher_process|received signal SIGSEGV' "$work/gdb.txt" | sed 's/.*\(hit Hard\|crasher_process\|SIGSEGV\).*/\1/' | uniq | head -n 4 | paste -sd ' ')" \
        "$stops" || diag "$(tail -n 40 "$work/gdb.txt")"
fi

"$lab" start a
ok "the pair is PROTECTED again" is_protected
kill -KILL "$(field b pid)"
told() { [ -z "$(ip netns pids "${LAB_PREFIX}b")" ] && us incidents -n b -o json | jq -e '.incidents | length > 0'; } # its reporter writes it, and ends the recording, behind the node's end
soon told >/dev/null
await a role primary
is "after a kill -9 there is a report, and no quarantine" \
    "$(us incidents -n b -o json | jq -r '.incidents[].report.how') $(grep -c 'fingerprints are dropped' "$LAB_DIR/a.log")" "killed 0"
ok "and the recording is executed to that moment" again --log "$work/rec/b" -o json
is "which it tells of" "$(jq -r .end.how "$work/out.txt")" killed
