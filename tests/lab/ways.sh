# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A pair with two ways between its nodes: what stands, what carries, and what must not change; sourced, behind lib.sh.

device=(repl repl2)
second=b # the node that a has for its peer
joined=(a b) # by both ways
stands() { field "$1" "link.ways | map(.stands) | join(\" \")"; }
both_stand() {
    local left=$(polls)
    until [ "$(stands a) $(stands $second)" = "true true true true" ]; do
        poll || { echo "a: $(stands a), $second: $(stands $second)"; return 1; }
    done
}
# What must not change: state, view, resyncs, degradations, connections of the link.
course() { field "$1" '| [.state, .view, .link.connects, .degradations, (.resyncs | tojson)] | join(" ")'; }
unchanged() {
    [ "$(course a) $(course $second)" = "$before" ] || { echo "$(course a) $(course $second), before: $before"; return 1; }
}
# The way by which what a node says goes: 0 or 1.
carrier() { field "$1" 'link.ways | map(.carries) | index(true)'; }

# ── what becomes of a way, 0 or 1 ──
filters() { # once, before any is cut
    local n way
    for n in "${joined[@]}"; do
        "$lab" exec "$n" nft add table netdev ways
        for way in 0 1; do
            "$lab" exec "$n" nft add chain netdev ways way$way "{ type filter hook ingress device $n-${device[$way]} priority 0; }"
        done
    done
}
drops() { # NODE WAY MATCH…: of what comes to the node by that way
    "$lab" exec "$1" nft add rule netdev ways "way$2" "${@:3}" drop
}
cut() { local n; for n in "${joined[@]}"; do drops "$n" "$1" || return; done; }
mend() {
    local n
    for n in "${joined[@]}"; do
        "$lab" exec "$n" nft flush chain netdev ways "way$1"
        "$lab" exec "$n" ip link set "$n-${device[$1]}" mtu 1500 up
    done
}
