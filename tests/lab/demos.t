#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Both demos: whatever ends them, nothing of them is left; what fails is named, and its logs are kept.
. "$(dirname "$0")/lib.sh"
need_lab
plan 16

mkdir -p "$LAB_DIR" "$work" || exit 1
trap 'kill -KILL "${pid:-}" 2>/dev/null; "$lab" down 2>/dev/null; rm -rf "$LAB_DIR" "$work"' EXIT
begun=0
begin() { # DEMO [VARIABLE=VALUE…]: in the background, with a terminal's signals
    # What a killed one leaves may still write into its own.
    files=$LAB_DIR/$1 said=$work/said-$((++begun))
    : >"$said"
    env --default-signal=INT DEMO_DIR="$files" "${@:2}" "$root/scripts/$1" >"$said" 2>&1 &
    pid=$!
}
until_said() { # PATTERN
    local left=$(polls)
    until grep -q "$1" "$said"; do
        kill -0 $pid 2>/dev/null && poll || { diag "not said: $1"; diag "$(cat "$said")"; return 1; }
    done
}
remains() { # what there is of it, beside its report: namespaces, processes, directories
    ip netns list | grep "^$LAB_PREFIX"
    grep -lsz "^DEMO_DIR=$files\$" /proc/[0-9]*/environ | cut -d/ -f3 | xargs -r ps -o pid=,args= -p
    ls -d "$files"/{lab,files,nginx,running,out}* 2>/dev/null
}
nothing_left() {
    local left=$(polls)
    while [ -n "$(remains)" ]; do
        poll || { remains; cat "$said"; return 1; }
    done
}
ends() { # WHAT CODE
    wait $pid 2>/dev/null
    is "$1" $? "$2" || diag "$(cat "$said")"
}

begin demo
until_said 'nodes are started'
kill -TERM $pid
ends "a demo that is ended while its nodes start" 130
ok "leaves nothing" nothing_left
begin demo
until_said 'the pair is PROTECTED'
kill -INT $pid
ends "one that is interrupted once they are PROTECTED" 130
ok "neither" nothing_left
begin demo
until_said 'downloads begin'
kill -KILL $pid
wait $pid 2>/dev/null
ok "nor one that is killed in the middle of its downloads" nothing_left
begin demo LAB_WAIT=0
ends "one whose pair is not PROTECTED in time" 1
is_like "says so, and nothing else speaks" "$(grep -v '^lab: \|^ *[0-9.]* s  \|^[ab]: ' "$said" | head -n 3)$(grep FAILED "$said")" \
    "*FAILED: the pair is not PROTECTED"
# A node that was ended at once may have said nothing yet: its log is empty, and kept.
ok "the nodes' logs are kept" test -e "$files/failed/a.log" -a -e "$files/failed/b.log"
ok "and nothing else" nothing_left

begin fleet-demo
until_said 'etcd starts'
kill -TERM $pid
ends "a fleet's demo that is ended" 130
ok "leaves nothing" nothing_left
begin fleet-demo
until_said 'all PROTECTED'
kill -KILL $pid
wait $pid 2>/dev/null
ok "nor one that is killed" nothing_left
begin fleet-demo
until_said 'agent on s1'
read -r shell _ guard _ <"$files/running"
kill -KILL "$shell" "$guard"
wait $pid 2>/dev/null
ok "where its guard is killed as well it is all there" test -n "$(remains)"
begin fleet-demo DEMO_WAIT=0
ends "the next start removes it; it fails, and says of which condition" 1
is_like "by shard" "$(grep FAILED "$said")" "*FAILED: for 0 s: n1 is *"
ok "and leaves nothing but logs" nothing_left
