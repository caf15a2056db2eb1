#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How long a shard of a fleet stands still, and of what that is made: a node's process is killed, as often as KILLS says (20); the
# server of all eight primaries is frozen and cut off, ROUNDS times (3), so that eight shards ask etcd at once. The successors' own
# times say what was detected, asked and replayed; a probe each 1 ms, or 50 ms of the eight, says what a flow saw.
# FLEET_PARTS: process, server, or both.
FLEET_SERVERS=5 FLEET_SHARDS=8 FLEET_HOLD_DOWN=86400 # nothing is moved but what is said here
. "$(dirname "$0")/../lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
. "$root/tests/lab/fleet-load.sh"

tell() { # WHAT: of figures, one a line
    sort -n | awk -v what="$1" '{ a[NR] = $1 } END { printf "# %s: median %s, 99th percentile %s, worst %s, of %d\n", what, a[int((NR + 1) / 2)], a[int(NR * 0.99 + 0.999)], a[NR], NR }'
}

process_dies() {
    FLEET_ON="s1, s2"
    servers="s1 s2" shards=n1
    fleet_network && fleet_files && etcd_start && etcd_answers || return
    for s in $servers; do agent_start "$s"; done
    ok "a shard is PROTECTED" all_protected || return
    PROBE_US=1000
    probe_begin n1
    kills() {
        local i at server view
        for ((i = 0; i < ${KILLS:-20}; i++)); do
            all_protected || return
            sleep 1
            server=$(said '.shards[0].primary') view=$(said '.shards[0].view')
            at=$(uptime_s)
            kill -KILL "$(cat "$LAB_DIR/units/n1-$server.pid")"
            await_fleet ".shards[0].view > $view" true || return
            server=$(said '.shards[0].primary')
            echo "$at $(node_says n1 "$server" 'takeover | "\(.decided_ns) \(.replay_done_ns) \(.first_release_ns)"')" >>"$work/kills"
        done
    }
    ok "its primary's process is killed, again and again" kills
    all_protected
    probe_end
    # Of each kill, in ms: from the last answer to the decision, to the end of the replay, to the first packet, to the next answer.
    while read -r _ decided replayed released; do
        jq -r --argjson d "$decided" --argjson p "$replayed" --argjson r "$released" '
            .gaps[] | select(.at_ns <= $d and .at_ns + .ms * 1e6 >= $d) |
            "\(.ms) \(($d - .at_ns) / 1e6) \(($p - $d) / 1e6) \(($r - $p) / 1e6) \(.ms - ($r - .at_ns) / 1e6)"' "$work/probe-n1.json"
    done <"$work/kills" >"$work/killed"
    cut -d' ' -f1 "$work/killed" | tell "a process dies: pause at a probe each 1 ms, ms"
    cut -d' ' -f2 "$work/killed" | tell "of that until its standby decides"
    cut -d' ' -f3 "$work/killed" | tell "replays"
    cut -d' ' -f4 "$work/killed" | tell "lets the first packet out"
    cut -d' ' -f5 "$work/killed" | tell "and an answer comes"
    fleet_down
    unset FLEET_ON PROBE_US
}

# Of each shard: ms from the death to the suspicion, from there to the arbiter's answer, from there to the end of the replay.
times() { # AT
    local n server
    for n in $shards; do
        server=$(said ".shards[] | select(.shard == \"$n\").primary")
        "$UNDERSTUDY" status -c "$LAB_DIR/$server/$n-$server.yaml" -n "$n-$server" -o json |
            jq -r --argjson at "$1" '.takeover | [.suspected_ns / 1e6 - $at * 1000, (.decided_ns - .suspected_ns) / 1e6, (.replay_done_ns - .decided_ns) / 1e6] | map(tostring) | join(" ")'
    done
}

server_dies_with_eight() {
    unset agent
    declare -gA agent
    servers=$(seq -f s%g 5) shards=$(seq -f n%g 8)
    FLEET_TIMING="{ heartbeat_ms: 10, detect_ms: 50 }" FLEET_ROOM="nodes: 16"
    for n in $shards; do declare -g "FLEET_ON_$n=s1, s$((2 + $(number "$n") % 4))"; done
    fleet_network && fleet_files && etcd_start && etcd_answers || return
    for s in $servers; do agent_start "$s"; done
    ok "eight shards, with all primaries on one server" all_protected || return
    PROBE_US=50000
    for n in $shards; do probe_begin "$n"; done
    deaths() {
        local i n at
        for ((i = 0; i < ${ROUNDS:-3}; i++)); do
            sleep 3
            at=$(uptime_s)
            server_dies s1
            await_fleet '[.shards[] | select((.members | index("s1")) or (.protected | not))] | length' 0 || return
            echo "$at $(awk -v a="$at" '{ print $1 - a }' /proc/uptime)" >>"$work/deaths"
            times "$at" >>"$work/times"
            [ $i -lt $((${ROUNDS:-3} - 1)) ] || break
            server_returns s1
            for n in $shards; do fleet pin "$n" s1; done
            await_fleet '[.shards[] | .primary == "s1" and .protected] | all' true || return
            for n in $shards; do fleet unpin "$n"; done
        done
    }
    ok "it dies, frozen and cut off, and all are PROTECTED again" deaths
    probe_end
    cut -d' ' -f1 "$work/times" | tell "a server with eight primaries dies: detected, ms"
    cut -d' ' -f2 "$work/times" | tell "the arbiter asked until its answer, ms"
    cut -d' ' -f3 "$work/times" | tell "replayed, ms"
    awk '{ print $1 + $2 + $3 }' "$work/times" | tell "in all, ms"
    while read -r at _; do for n in $shards; do probe_pause "$n" "$at" 3; done; done <"$work/deaths" | tell "pause at probes each 50 ms, ms"
    cut -d' ' -f2 "$work/deaths" | tell "all PROTECTED again, s"
    is "each shard has taken over" "$(wc -l <"$work/times")" $((8 * ${ROUNDS:-3}))
}

for part in ${FLEET_PARTS:-process server}; do
    case $part in
    process) process_dies ;;
    server) server_dies_with_eight ;;
    esac
done
plan $tests
[ $bad = 0 ]
