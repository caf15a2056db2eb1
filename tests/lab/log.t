#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Both nodes write their log into pipes that are full and that nobody reads, as a journal or a container's log driver that
# stands: traffic goes on, takeovers happen, a node starts and ends. When somebody reads again, the lines are there.
. "$(dirname "$0")/lib.sh"
need_lab
plan 18

log_of() { echo "$LAB_DIR/$1.log"; }

# What is left in the pipes becomes plain files, which the end of the test shows where it failed.
drain_pipes() {
    local node
    for node in a b; do
        [ -p "$(log_of $node)" ] || continue
        dd if="$(log_of $node)" iflag=nonblock bs=65536 2>/dev/null | tr -d '\0' >"$work/$node.log"
        rm -f "$(log_of $node)"
        mv "$work/$node.log" "$(log_of $node)"
    done
    exec 7>&- 8>&-
}
trap 'drain_pipes; cleanup' EXIT

write_zeros() { dd if=/dev/zero of="$(log_of "$1")" oflag=nonblock conv=notrunc "${@:2}" 2>/dev/null; } # NODE DD-OPTION…
fill() { # NODE: its pipe to the last byte
    write_zeros "$1" bs=4096 count=1000
    write_zeros "$1" bs=1 count=100000
    is "the pipe of $1's log is full" "$(write_zeros "$1" bs=1 count=1 && echo room)" ""
}

passes() {
    "$probe" run 203.0.113.100 7007 --seconds 1 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
        >"$work/probe.json"
    jq -e '.received > 0' "$work/probe.json" || { cat "$work/probe.json"; us status; false; }
}

ends() { # PID: told to, it does
    local left=$(polls)
    [ -d "/proc/$1" ] && [ -n "$1" ] || { echo "there is no process '$1'"; return 1; }
    kill -TERM "$1"
    while kill -0 "$1" 2>/dev/null; do
        poll || { echo "process $1 is still there"; return 1; }
    done
}

ok "a network without nodes" "$lab" up --no-nodes || exit 1
mkfifo "$(log_of a)" "$(log_of b)"
exec 7<>"$(log_of a)" 8<>"$(log_of b)" # both ends stay open, and nobody reads
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected || exit 1
fill a
fill b

resyncs=$(field a resync.done)
ok "a primary that has much to say" us resync
ok "is PROTECTED afterwards" await a resync.done $((resyncs + 1))
ok "PROTECTED" is_protected
ok "and traffic passes" passes

kill -KILL "$(field a pid)"
ok "the primary is killed: the standby takes over" await b role primary
ok "traffic passes" passes
"$lab" start a
ok "a node starts, and the pair is PROTECTED" is_protected
kill -KILL "$(field b pid)"
ok "the next takeover" await a role primary
ok "traffic passes then, too" passes
"$lab" start b
ok "PROTECTED once more" is_protected
is "no line is lost, for there are few" "$(field a log_lost) $(field b log_lost)" "0 0"

ok "a node that is to end ends" ends "$(field a pid)"
ok "and the other takes over" await b role primary

# Until the line that was written last.
timeout 120 grep -a -m 1 ' b: SOLO' <&8 | tr -d '\0' >"$work/read"
diag "$(cat "$work/read")"
ok "when the pipe is read, the lines come" grep -qE '^[-0-9]{10}T[0-9:]{8}\.[0-9]{3}Z warning takeover +b: SOLO, view [0-9]+: ' "$work/read"
