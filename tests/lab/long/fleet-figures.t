#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Figures of a fleet, beside those of other work where there are any: half of the load to a new server and back (StatelessNF, Fig. 9); ten deaths of four
# active servers with one for all standbys (DAL, Fig. 8); five deaths under downloads, of five servers with eight shards; and
# what a node takes; and how recovery grows with the flows of a shard. FLEET_FIGURES: a directory for the picture. FLEET_PARTS: move,
# standby, eight, flows, or some of them.
FLEET_SERVERS=5 FLEET_SHARDS=8 FLEET_HOLD_DOWN=86400 # nothing is moved but what is said here
. "$(dirname "$0")/../lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
. "$root/tests/lab/fleet-load.sh"

# ── what is measured ─────────────────────────────────────────────────────────────────────────────

median() { sort -n | awk '{ a[NR] = $1 } END { print NR ? a[int((NR + 1) / 2)] : "-" }'; }
worst() { sort -n | tail -n 1; }
since() { awk -v a="$1" '{ printf "%.1f", $1 - a }' /proc/uptime; }
nodes_of() { # SERVER…: processes of their nodes, with guardians
    local p s
    for s in "$@"; do
        for p in $(ip netns pids "$LAB_PREFIX$s"); do tr '\0' ' ' <"/proc/$p/cmdline" | grep -q "^$UNDERSTUDY run " && echo "$p"; done
    done
}
spent() { local p; for p in "$@"; do sed 's/.*) //' "/proc/$p/stat" 2>/dev/null; done | awk '{ t += $12 + $13 } END { print t / 100 }'; } # PIDS…: s
memory() { local p; for p in "$@"; do grep ^Pss: "/proc/$p/smaps_rollup"; done | awk '{ t += $2 } END { printf "%.0f", t / 1024 }'; } # PIDS…: MB
takes() { # WHAT COUNT PIDS…: what each of so many takes, over 10 s
    local before
    before=$(spent "${@:3}")
    sleep 10
    diag "$1: $(echo "$before $(spent "${@:3}")" | awk -v n="$2" '{ printf "%.1f", ($2 - $1) * 10 / n }') % of a core, $(memory "${@:3}" | awk -v n="$2" '{ printf "%.0f", $1 / n }') MB each"
}

fleet_up() { # SERVERS SHARDS
    fleet_down
    unset agent
    declare -gA agent
    servers=$(seq -f s%g "$1") shards=$(seq -f n%g "$2")
    fleet_network && fleet_files && etcd_start && etcd_answers || return 1
    for s in $servers; do agent_start "$s"; done
}

# A server dies: which shards it had, when, and how long all took to be PROTECTED again; a line in $work/deaths.
die_and_heal() { # SERVER
    local at of
    of=$(said "[.shards[] | select(.primary == \"$1\").shard] | join(\" \")")
    at=$(uptime_s)
    server_dies "$1"
    await_fleet "[.shards[] | select((.members | index(\"$1\")) or (.protected | not))] | length" 0 || return 1
    echo "$at $(since "$at") $of" >>"$work/deaths"
}
pauses() { # of each shard whose primary was where a server died
    local at took of n
    while read -r at took of; do for n in $of; do probe_pause "$n" "$at" 3; done; done <"$work/deaths"
}
# Of each takeover by silence: ms since the server died, as the successor's log has it. What a pause has beyond it is the way of the
# next packet. `deaths` has the time since the machine started, which is noted before the server is frozen.
takeovers() {
    local started
    started=$(date +%s.%N | awk -v up="$(uptime_s)" '{ printf "%.3f", $1 - up }')
    cat "$LAB_DIR"/units/*.log | sed -n 's/^\([^ ]*\) warning takeover .*: silence for .*/\1/p' | date -f - +%s.%3N |
        awk -v started="$started" 'NR == FNR { at[NR] = $1 + started; next } { for (i in at) if ($1 >= at[i] && $1 < at[i] + 5 && !(i + 1 in at && $1 >= at[i + 1])) printf "%.0f\n", ($1 - at[i]) * 1000 }' "$work/deaths" -
}
tell_deaths() { # WHAT
    pauses >"$work/pauses"
    diag "$1: $(wc -l <"$work/deaths") deaths, $(wc -l <"$work/pauses") shards lost their primary: pause median $(median <"$work/pauses") ms, worst $(worst <"$work/pauses") ms;" \
        "all PROTECTED again: median $(cut -d' ' -f2 "$work/deaths" | median) s, worst $(cut -d' ' -f2 "$work/deaths" | worst) s"
    takeovers >"$work/takeovers"
    diag "from the death until the successor had taken over: median $(median <"$work/takeovers") ms, worst $(worst <"$work/takeovers") ms, of $(wc -l <"$work/takeovers")"
}

# ── half of the load moves, and back ─────────────────────────────────────────────────────────────

half_moves() {
    export WEB_RATE=250000
    FLEET_ON="s1, s2"
    fleet_up 3 4 && ok "four shards, all of them on s1" all_protected || return
    load_serve 1000000 2000000 || return
    moved() { local n; for n in n3 n4; do fleet move $n "$1" || return; done; await_fleet "[.shards[] | select(.shard == \"n3\" or .shard == \"n4\") | .primary == \"$1\" and .protected] | all" true; }
    for n in $shards; do load_begin "$n" 40 4; done
    sleep 3
    note_begin
    begin=$(now)
    sleep 12
    note_event "half is to move to s3"
    half=$(now)
    ok "half of the shards move to s3" moved s3
    note_event "it has moved"
    sleep 12
    note_event "it is to move back"
    back=$(now)
    ok "and back" moved s1
    note_event "it has moved back"
    sleep 8
    end=$(now)
    load_end
    offered=$(python3 "$root/scripts/fleet-picture" sums "$work/picture" "$begin" "$half" | awk '$1 == "all" { print $2 }')
    {
        echo "$begin s1 $offered"
        echo "$half s1 $(echo "$offered / 2" | bc -l)"
        echo "$half s3 $(echo "$offered / 2" | bc -l)"
        echo "$back s1 $offered"
    } >"$work/picture/ideal"
    note_end "${FLEET_FIGURES:-$work}/fleet-move.svg"
    is "all downloads are intact" "$(load_count intact) of $((4 * 40))" "160 of 160"
    for what in "before $begin $half" "after $half $back" "at the end $back $end"; do
        diag "Mbit/s ${what% * *}: $(python3 "$root/scripts/fleet-picture" sums "$work/picture" ${what#"${what% * *}"} | tr '\n' ' ')"
    done
    unset FLEET_ON WEB_RATE
}

# ── four active servers, one for all standbys ────────────────────────────────────────────────────

one_for_all() {
    FLEET_ROOM="nodes: 4" FLEET_ROOM_s5="nodes: 16"
    FLEET_ON_n1="s1, s5" FLEET_ON_n2="s2, s5" FLEET_ON_n3="s3, s5" FLEET_ON_n4="s4, s5"
    fleet_up 5 4 && ok "four active servers, s5 has all standbys" all_protected || return
    takes "a node at rest" 8 $(nodes_of $servers)
    takes "a standby at rest on the fifth server" 4 $(nodes_of s5)
    for n in $shards; do probe_begin "$n"; done
    sleep 3
    deaths() {
        local i n
        for i in 1 2 3 4 1 2 3 4 1 2; do
            die_and_heal "s$i" || return
            server_returns "s$i"
            fleet pin "n$i" "s$i"
            await_fleet ".shards[] | select(.shard == \"n$i\") | .members == [\"s$i\", \"s5\"] and .protected" true || return
            fleet unpin "n$i"
        done
    }
    : >"$work/deaths"
    ok "ten deaths, healed" deaths
    probe_end
    tell_deaths "four active servers and one for standbys"
    is "each was one shard's" "$(wc -l <"$work/pauses")" 10
    unset FLEET_ROOM FLEET_ROOM_s5 FLEET_ON_n1 FLEET_ON_n2 FLEET_ON_n3 FLEET_ON_n4
}

# ── eight shards on five servers, under downloads ────────────────────────────────────────────────

eight_shards() { # 16 nodes on the processors of one machine, so heartbeats are half of the default's
    FLEET_TIMING="{ heartbeat_ms: 10, detect_ms: 50 }"
    fleet_up 5 8 && ok "eight shards on five servers" all_protected || return
    takes "a node at rest, of 16" 16 $(nodes_of $servers)
    takes "an agent" 5 "${agent[@]}"
    takes "etcd" 1 "${etcd[@]}"
    export WEB_RATE=15000 PROBE_US=50000
    load_serve 50000 100000
    for n in $shards; do
        probe_begin "$n"
        load_begin "$n" 63 1
    done
    sleep 5
    takes "a node, of 16, under downloads and probes" 16 $(nodes_of $servers)
    rounds() {
        local s
        for s in $servers; do
            die_and_heal "$s" || return
            server_returns "$s"
            all_protected || return
            sleep 5
        done
    }
    : >"$work/deaths"
    ok "five servers die, one after the other, and are healed" rounds
    load_end
    probe_end
    tell_deaths "eight shards on five servers"
    is "504 downloads are intact" "$(load_count intact)" 504
    unset FLEET_TIMING PROBE_US WEB_RATE
}

# ── a shard with few flows, and with many ────────────────────────────────────────────────────────

make_flows() { # COUNT: datagrams, 100 ports to as many as that takes; the table has them when they have passed
    in_space client python3 - "$1" <<'END'
import socket, sys, time
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
for i, s in enumerate(sockets):
    s.bind(("10.1.0.100", 30000 + i))
for i in range(int(sys.argv[1])):
    sockets[i % 100].sendto(b"flow", ("203.0.113.101", 10000 + i // 100))
    if i % 10 == 9:
        time.sleep(0.002)
END
}
flows_of() { said '.shards[0].primary' | { read -r s && node_says n1 "$s" nfs.nat.mappings_created; }; }

flows_grow() {
    local count=0 more
    FLEET_FLOWS=60000 FLEET_ON="s1, s2"
    fleet_up 3 1 && ok "a shard with room for 60,000 flows" all_protected || return
    probe_begin n1
    for more in 0 1000 9000 40000; do
        count=$((count + more))
        make_flows $more
        sleep 2
        diag "$(flows_of) mappings were made, and $((count - more)) before"
        three() {
            local i s
            for i in 1 2 3; do
                s=$(said '.shards[0].primary')
                die_and_heal "$s" || return
                server_returns "$s"
                all_protected || return
                sleep 1
            done
        }
        : >"$work/deaths"
        ok "its server dies three times with $count flows" three
        mv "$work/deaths" "$work/deaths-$count"
    done
    probe_end
    for count in 0 1000 10000 50000; do
        cp "$work/deaths-$count" "$work/deaths"
        tell_deaths "$count flows"
    done
    unset FLEET_FLOWS FLEET_ON
}

for part in ${FLEET_PARTS:-move standby eight flows}; do
    case $part in
    flows) flows_grow ;;
    move) half_moves ;;
    standby) one_for_all ;;
    eight) eight_shards ;;
    esac
done
plan $tests
[ $bad = 0 ]
