# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A pair with two ways between its nodes: what stands, what carries, and what must not change; sourced, behind lib.sh.

device=(repl repl2)
stands() { field "$1" "link.ways | map(.stands) | join(\" \")"; }
both_stand() {
    local end=$((SECONDS + 10))
    until [ "$(stands a) $(stands b)" = "true true true true" ]; do
        [ $SECONDS -lt $end ] || { echo "a: $(stands a), b: $(stands b)"; return 1; }
        sleep 0.05
    done
}
# What must not change: state, view, resyncs, degradations, connections of the link.
course() { field "$1" '| [.state, .view, .link.connects, .degradations, (.resyncs | tojson)] | join(" ")'; }
unchanged() { [ "$(course a) $(course b)" = "$before" ] || { echo "$(course a) $(course b), before: $before"; return 1; }; }
# The way by which what a node says goes: 0 or 1.
carrier() { field "$1" 'link.ways | map(.carries) | index(true)'; }
