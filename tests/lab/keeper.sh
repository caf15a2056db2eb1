# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A pair behind an input keeper, and numbered datagrams both ways through its NAT; sourced, behind lib.sh.
export LAB_KEEPER=yes LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } }, { monitor: { max_flows: 20000 }"
flows=20 rate=2000
# shellcheck source=tests/lab/numbered.sh
. "$root/tests/lab/numbered.sh"

# A standby that stands for some milliseconds lacks what the primary has executed by then.
kill_node() { # ROLE [at-once]; which is started again
    local node=a other=b
    [ "$(field a role)" = "$1" ] || { node=b other=a; }
    missed >/dev/null
    python3 -c 'import os, sys, time
victim, other = int(sys.argv[1]), int(sys.argv[2])
stands = lambda t: open(f"/proc/{other}/task/{t}/stat").read().rsplit(")", 1)[1].split()[0] == "T"
if other:
    os.kill(other, 19)
    while not all(stands(t) for t in os.listdir(f"/proc/{other}/task")): # they take it one after another
        time.sleep(0.0005)
    time.sleep(0.005)
os.kill(victim, 9)
if other:
    os.kill(other, 18)' "$(field $node pid)" "$([ "$*" = primary ] && field $other pid || echo 0)" || return 1
    sleep 0.3
    "$lab" start $node
    is_protected
}

# From now on the network between keeper and nodes loses one of so many datagrams, both ways.
lose() { # OF
    local s
    for s in k a b; do
        "$lab" exec $s nft add table netdev lose
        "$lab" exec $s nft add chain netdev lose in "{ type filter hook ingress device $s-keep priority 0; }"
        "$lab" exec $s nft add rule netdev lose in numgen random mod "$1" == 0 drop
    done
}

# Three kills behind a keeper with a bug, which is to show in one of the two ways.
caught() { # BUG [at-once]
    "$lab" up || return 1
    [ "$2" != at-once ] || lose 10
    begin
    for kill in 1 2 3; do kill_node primary $2; done
    end
    "$lab" down
    diag "$1: $(way client server), $(way server client)"
    [ "$(way client server) $(way server client)" != "true 0 0 0 0 true 0 0 0 0" ]
}

learned() { # KEEPER: both switches have the chain's MACs at its ports
    local side mac
    for side in in out; do
        mac=$(ip netns exec "${LAB_PREFIX}$([ $side = in ] && echo client || echo server)" ip -j neigh show dev eth0 | jq -r '[.[].lladdr // empty][0]')
        ip netns exec "${LAB_PREFIX}fabric" bridge fdb show br br-$side | grep -q "^$mac dev $1-$side " || { echo "$mac: $(ip netns exec "${LAB_PREFIX}fabric" bridge fdb show br br-$side | grep "^$mac")"; return 1; }
    done
}

# ── two keepers ──────────────────────────────────────────────────────────────────────────────────

keeper() { of_socket "$LAB_DIR/$1.sock" "$2"; } # KEEPER PATH
other() { [ "$1" = k ] && echo l || echo k; }    # KEEPER
who() { local s; for s in k l; do [ "$(keeper $s active)" != true ] || printf '%s' $s; done; } # is active

is_one_active() { active=$(who); [ ${#active} = 1 ]; }
highest() { local s view most=0; for s in k l; do view=$(keeper $s keeper_view); [ "${view:-0}" -le $most ] || most=$view; done; echo $most; }
# shellcheck disable=SC2034
find_active() { # sets `active` and `waiting`, and `before`, the keeper view
    soon is_one_active || return 1
    waiting=$(other "$active")
    before=$(highest)
}
# On a busy machine an active keeper may not run for 100 ms, and then the other one is active (docs/keeper.md): how often that was so since
# find_active, behind the change that the test has made.
stood() { local n=$(($(highest) - before - 1)); echo $((n > 0 ? n : 0)); }
knows() { is_one_active && [ "$(keeper "$(other "$active")" primary)" != null ]; } # the one that waits, the primary

is_active() { # KEEPER, and feeds
    local left=$(polls)
    until [ "$(keeper "$1" feeds)" = true ]; do
        poll || { echo "$1 does not feed: $(us keeper status -n "$1" -o json)"; return 1; }
    done
}
waits() { # KEEPER, which the primary hears; or it has the word in a still later keeper view
    local left=$(polls)
    until { [ "$(keeper "$1" active)" = false ] || [ "$(stood)" -gt 0 ]; } && [ "$(keeper "$1" primary)" != null ]; do
        poll || { echo "$1 does not wait: $(us keeper status -n "$1" -o json)"; return 1; }
    done
}

# From when, of the clock in ms, until a keeper said that it is active: a thread of its own writes that line. One that became active before, since
# the other one had stood just then, said so earlier.
said_active() { # KEEPER SINCE
    local at
    at=$(grep 'this keeper is active' "$LAB_DIR/$1.log" | tail -1 | cut -d' ' -f1)
    echo $(($(date -d "$at" +%s%3N) - $2))
}
# From then until this test has seen that both switches know its place: what is sent from now on is not to be lost.
took() { # KEEPER SINCE
    soon learned "$1" >/dev/null && echo $(($(date +%s%3N) - $2)) && mark
}

# What was sent since the switches knew the new place is not lost, but for what rings had no room for, and when a keeper stood meanwhile.
little_lost() { # MS
    [ -n "$1" ] && { [ "$(stood)" -gt 0 ] || none_lost "$(lost_marked)"; } ||
        { echo "after $1 ms: $(lost_marked) of what was sent since; $(way client server), $(way server client); $(stood) times a keeper stood"; return 1; }
}
# Nor is anything altered, twice or out of order, but for what was in the hands of a port when its keeper was stopped, as often as one was
# or stood: 32 frames at most (docs/keeper.md).
no_harm() { # MS [STOPPED]
    local there back
    there=$(way client server) back=$(way server client)
    # shellcheck disable=SC2086 # words
    set -- "$1" "${2:-0}" $there $back
    [ "$3 $7 $8 ${12}" = "true 0 true 0" ] && [ $(($5 + $6 + ${10} + ${11})) -le $((32 * ($2 + $(stood)))) ] && little_lost "$1" ||
        { echo "after $1 ms: $there, $back; $(lost_marked) since; $(stood) times a keeper stood; rings had no room for $(missed); by flow, sent and got:"
          jq -c .sent "$work/client.json"
          jq -c '[.got[][0]]' "$work/server.json"
          return 1; }
}
lost() { echo "$(way client server | cut -d' ' -f2) and $(way server client | cut -d' ' -f2)"; }
