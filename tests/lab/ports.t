#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A standby whose data ports would carry nothing: its port down, its two ports swapped, its MTU smaller. It is not called
# PROTECTED, port and reason are named, no handover goes there; all that ends when it is mended. A primary that dies is
# succeeded all the same.
. "$(dirname "$0")/lib.sh"
need_lab
plan 28

in_b() { ip -n "${LAB_PREFIX}b" link set "$@"; }
fabric() { ip -n "${LAB_PREFIX}fabric" link set "$@"; }

# Soon status has the exit code and every line that is expected, and the log of a tells of it, too.
last_said() { grep -oE 'data ports are (not whole: |whole again)' "$LAB_DIR/a.log" | tail -n 1; }
says() { # CODE LINE…
    local left=$(polls) code line all
    while :; do
        us status >"$work/status" 2>&1
        code=$? all=yes
        case "$code $(last_said)" in "0 "*not\ whole* | "1 "*again | "1 ") all=no ;; esac
        for line in "${@:2}"; do grep -qF -- "$line" "$work/status" || all=no; done
        [ "$code $all" = "$1 yes" ] && return
        poll || { echo "exit $code"; cat "$work/status"; return 1; }
    done
}
port() { field "$1" "ports[] | select(.port == \"$2\").$3"; } # NODE PORT FIELD
refused() { # COMMAND LINE: exit 1, that one line, and nobody handed over
    local view
    view=$(field a view)
    us "$1" >"$work/out" 2>"$work/err"
    is "$1 is refused with one line" "$? $(cat "$work/err")$(cat "$work/out")" "1 understudy: node $2"
    is "and nothing has changed" "$(field a role) $(field a view)" "primary $view"
}

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "and whole" says 0
is "both hear each other by each port" "$(field a 'ports | map(.peer_heard) | all') $(field b 'ports | map(.peer_heard) | all')" "true true"

down="node b: port inside: no carrier"
in_b b-in down
ok "a port that is down" says 1 "NOT PROTECTED" "$down"
is "in JSON" "$(port b inside up) $(port b outside up) $(field a protection) $(field a not_whole)" "false true UNPROTECTED $down"
refused drain "a: the standby could not carry traffic: $down"
refused promote "b: this node could not carry traffic: $down"
in_b b-in up
ok "up again" says 0

small="node b: port outside: MTU 1400, expected 1500 as node a has"
in_b b-out mtu 1400
ok "an MTU that is smaller" says 1 "NOT PROTECTED" "$small"
refused drain "a: the standby could not carry traffic: $small"
in_b b-out mtu 1500
ok "the same MTU" says 0

crossed="node a: port inside: hears port outside of node b; node a: port outside: hears port inside of node b"
# Both at once: faults that stand for 250 ms are in the log.
cross() { printf 'link set b-in master %s\nlink set b-out master %s\n' "$1" "$2" | ip -n "${LAB_PREFIX}fabric" -batch -; }
cross br-out br-in
ok "cables that are swapped" says 1 "NOT PROTECTED" "$crossed"
refused drain "a: the standby could not carry traffic: $crossed"
cross br-in br-out
ok "and back" says 0

# Carrier on both ends, and nothing passes.
fabric b-in nomaster
ok "a switch that does not pass frames" says 1 "NOT PROTECTED" "node a: port inside: does not hear node b"
fabric b-in master br-in
ok "which does again" says 0
# Each was waited for above. A change of both nodes may pass through what one of them has found: another text, and no line twice.
said() { sed -n 's/.* a: \(data ports are .*\)/\1/p' "$LAB_DIR/a.log"; }
is "the log has one line for each change" "$(said | uniq -d)$(said | grep 'not whole: ' | sort | uniq -d)" ""

# Frames that the kernel drops behind the port, since they are longer than its MTU. It would hand over at once.
us hold >/dev/null
ip -n "${LAB_PREFIX}a" link set a-out mtu 1400
before=$(port a outside tx_lost)
"$lab" exec client ping -q -c 20 -i 0.01 -W 1 -s 1450 203.0.113.100 >/dev/null
counted() { [ $(($(port a outside tx_lost) - before)) = 20 ]; }
ok "frames that the kernel dropped are counted" soon counted
ok "a primary that carries less than its standby is not whole" says 1 "NOT PROTECTED" "node a: port outside: MTU 1400, expected 1500 as node b has"
ok "and may hand over" us drain
is "which it did" "$(field b role)" primary
us unpin >/dev/null
ip -n "${LAB_PREFIX}a" link set a-out mtu 1500
ok "the pair is whole" says 0

ip -n "${LAB_PREFIX}a" link set a-in down
ok "the standby has a port that is down" says 1 "NOT PROTECTED" "node a: port inside: no carrier"
kill -KILL "$(field b pid)"
ok "and takes over from a primary that is dead" await a role primary
