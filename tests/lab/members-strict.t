#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A strict pair, which has no arbiter, gets another standby: by the standby's own word, after its certain death, or when a
# person says that it is lost. A silent one is not released by time, and a machine without a view file proves nothing.
# The lease and the right have room for a wait for the processor.
export LAB_SPARES="c" LAB_PROTECT="strict: true" LAB_TIMING="lease_ms: 450, detect_ms: 500, promote_within_ms: 1900"
. "$(dirname "$0")/lib.sh"
need_lab
plan 34

"$lab" up || exit 1
"$lab" start c
ok "the pair is PROTECTED" is_protected || exit 1
ok "the spare is no member" await c member false
probing 7007 4
refused() { us re-pair "$@" 2>&1 >/dev/null | tail -n 1; }

# ── the standby answers ──────────────────────────────────────────────────────────────────────────

is_like "a standby that answers is not lost" "$(refused c --lost b)" "*the standby answers, and is not lost"
is_like "nor is a node that is none" "$(refused c --lost c)" "*who is said to be lost is not the standby"
ok "c takes b's place" us re-pair c
is "it is a and c, in the next view" "$(field a 'members | tostring') $(field a view)" '["a","c"] 2'
is "and status counts it" "$(field a repair.count)" 1
ok "b knows that it is no member" await b member false
ok "once more is no harm" us re-pair c
is "the view is the same" "$(field a view)" 2

# ── a death of which the guardian tells ──────────────────────────────────────────────────────────

kill -KILL "$(field c pid)"
ok "c dies: a holds" await a state DEGRADED
ok "and knows that c has no state" us re-pair b
ok "the pair is PROTECTED" is_protected
"$lab" start c
ok "c comes back, and is no member" await c member false

# ── silence ──────────────────────────────────────────────────────────────────────────────────────

sleeper=$(field b pid)
kill -STOP "$sleeper"
ok "b is silent: a holds" await a state DEGRADED
sleep 4
is_like "time does not release it" "$(refused c)" "*if it is dead, say so with --lost"
is "nothing has changed" "$(field a state) $(field a 'members | tostring')" 'DEGRADED ["a","b"]'
ok "a person says that it is lost" us re-pair c --lost b
ok "the pair is PROTECTED" is_protected
quiet() { # for 3 s b is no primary; a strict one that is alone holds, and is one all the same
    local left=$(polls 3)
    while poll; do
        if [ "$(field b role)" = primary ]; then echo "b: $(field b why)"; return 1; fi
    done
}
kill -CONT "$sleeper"
ok "b wakes, and is no primary" quiet
ok "it learns that it is no member" await b member false
go_on() { [ "$(field a state) $(field c state)" = "PROTECTED READY" ]; }
ok "a and c go on" soon go_on

# ── the standby takes over, and the primary's place is taken ─────────────────────────────────────

sleeper=$(field a pid)
kill -STOP "$sleeper"
ok "a is silent: c takes over, and holds" await c state DEGRADED
ok "b takes a's place at once: a cannot go on without c" us re-pair b -n c
is "it is b and c" "$(field c 'members | tostring')" '["b","c"]'
kill -CONT "$sleeper"
ok "a wakes, and learns that it is no member" await a member false

# ── a machine that was lost with its disk ────────────────────────────────────────────────────────

gone="$(field b pid) $(field b guardian_pid)"
kill -STOP ${gone% *} # a machine that dies tells nobody
ok "c holds" await c state DEGRADED
kill -KILL $gone
rm "$LAB_DIR/b/b.view"
"$lab" start b
told() { [[ $(field c why) == *"b comes without a view file"* ]]; }
heard() { local left=$(polls); until told; do poll || { field c why; return 1; }; done; }
ok "a new machine in its place proves nothing" heard
is_like "a re-pair with it as if nothing had happened waits for nothing" "$(refused b -n c)" "*say so with --lost"
is_like "who is lost is the standby" "$(refused b --lost c -n c)" "*expected the name of another node*"
ok "a person says that it was lost" us re-pair b --lost b -n c
ok "the pair is PROTECTED" is_protected
is "it is b and c, in a new view" "$(field c 'members | tostring')" '["b","c"]'

probing_ends
is "nothing that clients saw is contradicted" "$(seen .contradicted)" 0
