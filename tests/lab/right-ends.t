#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Alone: a standby whose lane gets no processor for detect_ms reads no heartbeats, and takes over (docs/guarantees.md has it as a known fault).
# The link is cut while heartbeats on the data ports say that the primary lives. The standby's right ends, and it keeps its
# state: when the link is back it is brought up to date, and when the primary dies first, a person promotes it with its flows.
export LAB_TIMING="detect_ms: 500" # and the product's own right: 1,000 ms
. "$(dirname "$0")/lib.sh"
need_lab
plan 15

cut() { ip -n "${LAB_PREFIX}a" link set a-repl down; }
mend() { ip -n "${LAB_PREFIX}a" link set a-repl up; }
promoted() { # once its connection to the peer is given up
    local left=$(polls)
    until us promote -n b; do
        poll || return 1
    done
}
flows() { us show -n "$1" nat -o json | grep -c '10\.0\.0\.100'; }

ok "the pair is PROTECTED" "$lab" up || exit 1
probing 7007 4
view=$(field a view)
cut
ok "the standby's right ends" await b state JOINING
is "because the primary did not answer" "$(field b why)" "the right to promote has ended: the primary did not answer"
ok "the primary goes on alone" await a state SOLO
mend
ok "the pair is PROTECTED when the link is back" is_protected
is "in the same view" "$(field a view)" "$view"

cut
ok "the standby's right ends again" await b state JOINING
kill -KILL "$(field a pid)"
sleep 1
is "nobody takes over without a person" "$(field b state)" JOINING
ok "and hears how" grep -q "^understudy: node b is JOINING, to have it go on alone run: understudy promote -n b" <<<"$(us promote 2>&1)"
ok "who promotes it" promoted
is "with the state that it has kept" "$(field b why)" "took over from a: an operator's promote, with the state that was kept"
ok "finds the flows" test "$(flows b)" -ge 1
mend
"$lab" start a
ok "the pair is PROTECTED when the other is back" is_protected
probing_ends
is "no flow broken, nothing contradicted" "$(seen '.flows_broken + .contradicted')" 0
ok "digests equal" equal
diag "longest silence $(seen .silence_ms) ms"
