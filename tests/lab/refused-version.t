#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Programs that have no version of the formats in common, and NFs of two versions: refused, with what to do.
. "$(dirname "$0")/lib.sh"
need_lab
[ -x "$BUILD/understudy-next" ] || skip_all "$BUILD/understudy-next is not built"
plan 8

stop() { # NODE
    local pid
    pid=$(field "$1" pid)
    kill -TERM "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
}

own=$("$UNDERSTUDY" version -o json | jq -r .version)
ok "the pair is PROTECTED" "$lab" up || exit 1
stop b
UNDERSTUDY=$BUILD/understudy-next UNDERSTUDY_ONLY_NEXT=1 "$lab" start b
# The file's standby ends when it is refused; a supervisor leaves that to a person (65).
said="formats: a (understudy $own) speaks 3 to 4, b (understudy 0.next) 5; upgrade a, one release after the other"
ok "a program that speaks the next format alone is refused" await a peer.version 0.next
has_ended() { [ -z "$(ip netns pids "${LAB_PREFIX}b")" ]; }
ok "it has ended" soon has_ended
is "the primary goes on" "$(field a state)" SOLO
ok "the log says it" grep -qF "$said" "$LAB_DIR/b.log"
UNDERSTUDY=$BUILD/understudy-next "$lab" start b
ok "one that speaks both is not" is_protected
is "as the standby" "$(field b role)" standby
is "in the format of both" "$(field a peer.format)" 4
