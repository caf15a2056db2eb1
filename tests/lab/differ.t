#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two nodes whose files differ: both logs name the setting and the nodes, the standby ends with 65, the primary waits.
# And a node whose address is taken ends with 69. No root: ports that hold nothing.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work" || exit 1
nodes=
finish() {
    for pid in $nodes; do kill "$pid"; done 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
plan 7

# pair FILE PROTECT MONITOR-SETTINGS
pair() {
    cat >"$work/$1" <<END
chain: { name: x, nfs: [ monitor: { $3 } ] }
protect: { $2 }
timing: { detect_ms: 500, start_alone_ms: 0 }
link: { insecure: true }
nodes:
  alpha: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4711", control: a.sock, mbufs: 2048, memory_mb: 128, realtime: false }
  beta: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4712", control: b.sock, mbufs: 2048, memory_mb: 128, realtime: false }
END
}
logged() { # FILE TEXT: waits for it
    local left=$(polls)
    until grep -qF "$2" "$work/$1"; do
        poll || { cat "$work/$1"; return 1; }
    done
}
run() { exec timeout 60 "$UNDERSTUDY" run -c "$work/$1" -n "$2" 2>"$work/$2.log"; }

pair a.yaml "" "timeout: 200"
(run a.yaml alpha) &
alpha=$!
nodes=$alpha

pair b.yaml "pending_mb: 32" "timeout: 200"
(run b.yaml beta)
is "a standby that differs ends with 65" $? 65
ok "it says in what" logged beta.log "pending_mb: "
ok "and by name, in the order of neither" grep -qE "pending_mb: (alpha 64, beta 32|beta 32, alpha 64)" "$work/beta.log"
ok "so does the primary" logged alpha.log "pending_mb: "

pair b.yaml "" "timeout: 300"
(run b.yaml beta)
is "so does one with another setting of an NF" $? 65
ok "late in its line" grep -qE "nf 1: monitor timeout: (alpha 200, beta 300|beta 300, alpha 200)" "$work/beta.log"

(run a.yaml alpha)
is "a second node of that name ends with 69" $? 69
