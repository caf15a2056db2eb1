#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two ways between the nodes, a cable each. Whatever becomes of one, the pair stays PROTECTED, nobody is resynced, and no
# packet is lost. The kernel drops, by nftables, what comes by a way; cables lose their carrier; an end has a smaller MTU.
# Nodes have 2 s for what they do, so that a machine which is busy with other things, or stands, is no reason to hold; a way is lost by its
# heartbeats. What a client feels is measured from outside, by datagrams every half a millisecond.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ways.sh"
flows=4 rate=500 enough=300
. "$root/tests/lab/numbered.sh"
need_lab
command -v nft >/dev/null || skip_all "nftables is not installed"
plan 60
# dns_guard reads what packets carry, so they are recorded whole, and a large packet makes a large frame between the nodes.
export LAB_TIMING="heartbeat_ms: 2, detect_ms: 2000"
export LAB_NFS="dns_guard: { list: $work/domains } }, { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 2000 } }, { monitor: { max_flows: 2000 }"
echo listed.example >"$work/domains"

losses() { field a "link.ways[$1].losses"; }

# ── what becomes of a way, 0 or 1 ──
nothing() { :; }
cut_to_a() { drops a "$1"; }
cut_to_b() { drops b "$1"; }
lose_tenth() { for n in a b; do drops $n "$1" numgen random mod 10 == 0; done; }
unplug() { "$lab" exec a ip link set "a-${device[$1]}" down; }
make_hole() { # larger frames of a's are lost, of which there are some for sure
    "$lab" exec b ip link set "b-${device[$1]}" mtu 1000
    "$lab" exec client ping -q -c 10 -i 0.2 -s 1400 203.0.113.100 >"$work/large" &
}

silence() { jq .silence_ms "$work/probe.json"; }
# A fault of the way that carries what a says; what came of it.
fault() { # WHAT-IS-SAID FUNCTION
    local way lost
    way=$(carrier a)
    lost=$(losses "$way")
    "$probe" run 203.0.113.100 7007 --seconds 3 --interval-us 500 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json >"$work/probe.json" &
    local prober=$!
    begin
    $2 "$way"
    wait $prober
    end
    ok "$1: the pair stays PROTECTED, nobody is resynced" unchanged
    is "no flow is broken" "$(jq '.flows_broken + .contradicted' "$work/probe.json")" 0
    ok "each packet arrives once" each_once "$(jq .lost "$work/probe.json")"
    case $2 in
        nothing) ;; # a busy machine may have the other way carry
        make_hole)  # small frames go, so that way stands again and again, and may carry once more
            ok "that way was lost, or the other way carries" soon eval "[ \"\$(losses $way)\" -gt $lost ] || [ \"\$(carrier a)\" = $((1 - way)) ]" ;;
        *) ok "the other way carries" soon eval "[ \"\$(carrier a)\" = $((1 - way)) ]" ;;
    esac
    silences+=("$1: $(silence)")
    mend "$way"
    ok "and both stand again" both_stand
}

ok "a lab without nodes" env LAB_WAYS=2 "$lab" up --no-nodes || exit 1
filters
"$lab" start a && "$lab" start b
ok "the pair is PROTECTED" is_protected
ok "both ways stand" both_stand
is "status tells the address of each" "$(field a 'link.ways | map(.way) | join(" ")')" "10.99.0.1 10.98.0.1"
is "and that one of them carries" "$(field a '| [.link.ways[].carries] | sort | tojson')" "[false,true]"
before="$(course a) $(course b)"
silences=()
fault "nothing happens" nothing
fault "the way that carries is cut" cut
fault "the other one is cut in turn" cut
fault "a cable is unplugged" unplug
fault "nothing goes to a" cut_to_a
fault "nothing goes to b" cut_to_b
fault "large frames are lost" make_hole
losses=$(field a '| [.link.ways[].losses] | add')
ok "losses are counted" test "$losses" -ge 5
told() { # TEXT: the last that was said of it
    local left=$(polls)
    until [ "$(grep -o 'the way from 10.99.0.1 to b \(is lost\|stands again\)' "$LAB_DIR/a.log" | tail -n 1)" = "the way from 10.99.0.1 to b $1" ]; do
        poll || { grep 'the way from' "$LAB_DIR/a.log" | tail -n 3; return 1; }
    done
}
! grep -q "the way from 10.99.0.1 to b is lost" "$LAB_DIR/a.log" || told "stands again" # of the faults before
cut 0
ok "one that stays away is told of" told "is lost"
mend 0
ok "and that it stands again" told "stands again"
ok "both stand" both_stand

way=$(carrier a)
lose_tenth "$way"
missed_from_now
"$probe" run 203.0.113.100 7007 --seconds 4 --interval-us 500 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json >"$work/probe.json"
ok "a way that loses a tenth for 4 s: the pair stays PROTECTED, nobody is resynced" unchanged
is "nothing is contradicted" "$(jq .contradicted "$work/probe.json")" 0
ok "no packet is lost" none_lost "$(jq .lost "$work/probe.json")"
silences+=("a tenth is lost: $(silence)")
mend "$way"
ok "and both stand again" both_stand

cut 0
cut 1
ok "both are cut: the pair is not PROTECTED" await a state SOLO
mend 0
mend 1
ok "and is again once they are back" is_protected
ok "by both ways" both_stand
ok "digests equal" test "$(us verify -o json | jq .equal)" = true

cut "$(carrier a)"
sleep 0.3
ok "the primary is killed while one way is cut" drill kill
is "its death is told by the other way" "$(uncertain)" ""
for s in "${silences[@]}"; do diag "longest silence, $s ms"; done

mend 0
mend 1
address() { ip -n "${LAB_PREFIX}b" "$@" dev "b-${device[$way]}"; }
for way in 0 1; do
    ok "both ways stand" both_stand
    has=$(address -o -4 addr show | awk '{ print $4 }') pid=$(field b pid)
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    await a state SOLO
    address addr del "$has"
    "$lab" start b
    ok "a node that lacks the address of way $((way + 1)) when it begins is PROTECTED by the other" is_protected
    is "which alone stands" "$(field b 'link.ways | map(select(.stands)) | length')" 1
    address addr add "$has"
done
ok "it is given the address: both stand" both_stand
