#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a running pair may still do to its machine, started as root and with a user of its own: no thread has a
# capability, each is behind a filter of system calls, files are for the owner and the group. Traffic, takeovers and
# death notices need none of what was given up. Signals that ask for nothing end nothing.
. "$(dirname "$0")/lib.sh"
need_lab
need_root
plan 35

# All threads of PID: their users, whether one has a capability, whether they may get one, their filters of system calls.
may() { # PID
    awk '/^Uid:/ { uid[$2 " " $3 " " $4 " " $5] }
        /^Cap(Inh|Prm|Eff|Amb):/ && $2 !~ /^0+$/ { some = 1 }
        /^NoNewPrivs:/ { fixed[$2] }
        /^Seccomp:/ { filter[$2] }
        END {
            for (i in uid) printf "uid %s, ", i
            printf "%s capabilities, ", some ? "some" : "no"
            for (i in fixed) printf "no new ones %s, ", i
            for (i in filter) printf "filter %s", i
        }' /proc/"$1"/task/*/status
}
core_limit() { awk '/^Max core/ { print $5, $6 }' "/proc/$1/limits"; }

check_pair() { # UIDS
    local n
    for n in a b; do
        is "node $n has no capability in any thread, and a filter" "$(may "$(field $n pid)")" "uid $1, no capabilities, no new ones 1, filter 2"
        is "nor has its guardian, and it has a filter" "$(may "$(field $n guardian_pid)")" \
            "uid $1, no capabilities, no new ones 1, filter 2"
    done
    is "no core file of either" "$(core_limit "$(field a pid)"), $(core_limit "$(field b guardian_pid)")" "0 0, 0 0"
    is "the replicators have their priority all the same" "$(field a realtime) $(field b realtime)" "true true"
    is "and the lanes theirs" "$(ps -L -o ni= -o comm= -p "$(field a pid)" | awk '/worker|lcore/ { print $1 }' | sort -u | xargs)" -10
    is "recordings and views are for owner and group" \
        "$(find "$work/rec" "$LAB_DIR"/[ab] -type f -perm /137 -o -type d -perm /027 ! -path "$LAB_DIR/[ab]")" ""
    ok "there are some" test -n "$(find "$work/rec/a" -name '*.rec')" -a -e "$LAB_DIR/a/a.view"
    is "the control socket too" "$(stat -c %a "$LAB_DIR/a.sock")" 660
}

check_takeovers() {
    web_fetch "$work" "$work/$1" 40 10 &
    sleep 0.5
    ok "two kills in a row" drill kill --repeat 2
    wait
    is "all downloads intact" "$(web_count "$work" intact)" 40
    is "by the word of the guardian each time" "$(drilled '[.runs[].reason] | unique | join(", ")')" "the death notice"
    is "digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
}

export LAB_RECORD="dir: $work/rec, file_mb: 4, files: 4"
web_files "$work" 10 4000 300000 2000000
chmod 755 "$work"

# ── as root ──────────────────────────────────────────────────────────────────────────────────────

ok "started as root, the pair is PROTECTED" "$lab" up || exit 1
ok "a web server behind the chain" web_serve "$work"
check_pair "0 0 0 0"

was="$(field a pid) $(field a guardian_pid) $(field a state)"
for signal in HUP USR1 USR2; do kill -$signal "$(field a pid)" "$(field a guardian_pid)"; done
ok "a primary that is told to reads files again" timeout 5 sh -c "until grep -q 'new connections are sealed by' '$LAB_DIR/a.log'; do sleep 0.1; done"
is "and no signal ended it or its guardian" "$(field a pid) $(field a guardian_pid) $(field a state)" "$was"
check_takeovers root
"$lab" down
rm -rf "$work/rec"

# ── with a user ──────────────────────────────────────────────────────────────────────────────────

export LAB_NODE="mbufs: 32768, memory_mb: 512, realtime: true, user: nobody"
"$lab" up --no-nodes
chown -R nobody "$LAB_DIR"/* "$work"
# The pair file stays root's, and so does its directory, in which the node's user may make sockets.
chown root "$LAB_DIR"/*.yaml
chmod 1777 "$LAB_DIR"
ok "a web server behind the chain" web_serve "$work"
"$lab" start a
"$lab" start b
ok "with a user of its own, the pair is PROTECTED" is_protected || exit 1
uid=$(id -u nobody)
check_pair "$uid $uid $uid $uid"
is "nobody of that user may look into it" "$(stat -c %u "/proc/$(field a pid)/fd")" 0
check_takeovers nobody
