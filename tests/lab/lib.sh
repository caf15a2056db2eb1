# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What lab tests share; sourced. Each test has a lab of its own, named after itself, and removes it however it ends.
# TAP on stdout, as prove reads it. What a test judges is a fact: a counter, an order in a log, bytes, a state that is waited for. How long
# something took is told by diag, since other work on the machine decides it. Any two tests run at the same time, but for those whose
# first line of comment begins with "Alone:" and says why.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac
export UNDERSTUDY=${UNDERSTUDY:-$BUILD/understudy}
case $UNDERSTUDY in /*) ;; *) UNDERSTUDY=$root/$UNDERSTUDY ;; esac
test_name=$(basename "$0" .t)
case $0 in */long/* | long/*) test_name=long-$test_name ;; esac # some are called as one of those that are not
export LAB_PREFIX=ut-$test_name- LAB_DIR=$BUILD/lab-$test_name
lab=$root/scripts/lab
probe=$BUILD/probe
pair=$LAB_DIR/pair.yaml
work=$BUILD/lab-$test_name.work
# The tests share their processors with others, whose work is to be no failure of a node. Tests of silence set their own,
# or nothing: the product's. A standby that waits for its processor for a second keeps its right.
export LAB_TIMING=${LAB_TIMING-detect_ms: 500, promote_within_ms: 1900}
# Nor is a standby that waits for its processor given up, but in tests of slow ones.
export LAB_SLOW=${LAB_SLOW-slow_percent: 0}
export LAB_WAIT=${LAB_WAIT:-120} # as scripts/wait.sh
tests=0 bad=0

# shellcheck source=scripts/web.sh
. "$root/scripts/web.sh"
# shellcheck source=scripts/wait.sh
. "$root/scripts/wait.sh"

plan() { echo "1..$1"; }
diag() { sed 's/^/# /' <<<"$*"; }
skip_all() { echo "1..0 # SKIP $*"; trap - EXIT; exit 0; }

ok() { # DESCRIPTION COMMAND…
    local what=$1 out
    shift
    tests=$((tests + 1))
    if out=$("$@" 2>&1); then
        echo "ok $tests - $what"
    else
        echo "not ok $tests - $what"
        bad=$((bad + 1))
        diag "$out"
        return 1
    fi
}

skip() { # DESCRIPTION WHY
    tests=$((tests + 1))
    echo "ok $tests - $1 # SKIP $2"
}

is() { # DESCRIPTION GOT WANTED
    tests=$((tests + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $tests - $1"
    else
        echo "not ok $tests - $1"
        bad=$((bad + 1))
        diag "got:      $2"
        diag "expected: $3"
        return 1
    fi
}

is_like() { # DESCRIPTION TEXT PATTERN
    case $2 in $3) is "$1" yes yes ;; *) is "$1" "$2" "$3" ;; esac
}

us() { timeout 60 "$UNDERSTUDY" "$1" -c "$pair" "${@:2}"; }
# A field of JSON, or of what the node behind a control socket says: a path, which ask knows, or what jq makes of one.
is_path() { [[ $1 =~ ^[][a-z0-9_.]+$ ]]; }
of_json() { if is_path "$1"; then "$BUILD/ask" "$1"; else jq -r ".$1"; fi; }
of_socket() { if is_path "$2"; then "$BUILD/ask" "$1" "$2"; else "$BUILD/ask" "$1" "" | jq -r ".$2"; fi; } # SOCKET PATH
field() { # NODE PATH; a node that has no lab is asked by the command
    if [ -S "$LAB_DIR/$1.sock" ]; then of_socket "$LAB_DIR/$1.sock" "$2"; else us status -n "$1" -o json 2>/dev/null | of_json "$2"; fi
}
primary() { if [ "$(field a role)" = primary ]; then echo a; else echo b; fi; }
standby() { if [ "$(field a role)" = primary ]; then echo b; else echo a; fi; }
# Both states, at one point of the log. A primary that holds at that moment compares nothing, and is asked again; a difference meanwhile counts.
differences() { echo "$(field a diverged.count) $(field b diverged.count)"; }
has_compared() { us verify -o json >"$work/verify.json" 2>"$work/verify.err"; jq -e 'has("equal")' "$work/verify.json" || { cat "$work/verify.err"; return 1; }; }
equal() {
    local before
    before=$(differences)
    soon has_compared && [ "$(differences)" = "$before" ] && jq -e .equal "$work/verify.json"
}

# Waits for a node's field to have a value.
await() { # NODE PATH VALUE
    local left=$(polls) at=$LAB_DIR/$1.sock is
    if [ -S "$at" ] && is_path "$2"; then
        is=$("$BUILD/ask" "$at" "$2" $((left / 10)) "$3") || { echo "$1 .$2 is $is"; return 1; }
        return 0
    fi
    until [ "$(field "$1" "$2")" = "$3" ]; do
        poll || { echo "$1 .$2 is $(field "$1" "$2")"; return 1; }
    done
}

# A prober in the background: $prober. When this returns its flows have begun, so what is struck next strikes them.
probing() { # PORT FLOWS [OPTION…]
    "$probe" run 203.0.113.100 "$1" --seconds 1200 --flows "$2" "${@:3}" --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" \
        -o json >"$work/probe.json" 9>&- &
    prober=$!
    listens server tcp "$1" && ask_prober # before that a signal would end it
}
ask_prober() {
    local had
    had=$(wc -l <"$work/probe.json")
    kill -USR1 "$prober" && soon told_more "$had"
}
told_more() { [ "$(wc -l <"$work/probe.json")" -gt "$1" ]; }
seen() { tail -n 1 "$work/probe.json" | jq -r "$1"; } # so far, when it was last asked or has ended
probing_ends() {
    kill -TERM "$prober"
    wait "$prober"
}

# Waits until the first of the downloads that web_fetch has begun has ended: the others go on.
under_way() { soon test -s "$work/ended"; }

# That node a has begun a trace, whose process has PID for its parent: it sleeps on the connection that it had before the node answered
# somebody who came later. It asks for status first, on another connection.
is_tracing() { # PID
    local at on
    at=$(pgrep -P "$1") && on=$(ss -Hx src "$LAB_DIR/a.sock*") && [ -n "$on" ] && [ -n "$(field a role)" ] &&
        [ "$(ss -Hx src "$LAB_DIR/a.sock*")" = "$on" ] && [ "$(sed 's/.*) //; s/ .*//' "/proc/$at/stat" 2>/dev/null)" = S ]
}

# Waits until somebody has these ports in a namespace of the lab.
listens() { # SPACE udp|tcp PORT…
    local port left=$(polls)
    for port in "${@:3}"; do
        until [ -n "$("$lab" exec "$1" ss -Hln "--$2" "sport = :$port")" ]; do
            poll || { echo "nobody has port $port of $2 in $1"; return 1; }
        done
    done
}

# The command judges; it is asked when a node says that it may be so.
may_be_protected() {
    local at
    for at in "$LAB_DIR"/[a-z].sock; do
        case $([ ! -S "$at" ] || "$BUILD/ask" "$at" state) in PROTECTED | READY) return 0 ;; esac
    done
    [ ! -S "$LAB_DIR/a.sock" ]
}
is_protected() {
    local left=$(polls)
    until may_be_protected && us status >/dev/null 2>&1; do
        poll || { us status; return 1; }
    done
}

# The primary dies, and comes back as the standby.
kill_primary() {
    local node=a other=b
    [ "$(field a role)" = primary ] || { node=b; other=a; }
    kill -KILL "$(field $node pid)" && await $other role primary && "$lab" start $node && is_protected
}

# Whether gdb, tried once with a program of ours, says PATTERN: a virtual machine may have no hardware watchpoints ("hit
# Hardware"), and some kernels do not let a debugger call a function of the program ("= 4$").
gdb_can() { # PATTERN
    if [ ! -e "$work/gdb-can.txt" ]; then
        cat >"$work/gdb-can.c" <<'END'
volatile int watched;
__attribute__((noinline)) int called(int n) { return n + watched; }
int main(void) { return called(watched); }
END
        gcc -g -O0 -o "$work/gdb-can" "$work/gdb-can.c" || return 1
        timeout -k 5 30 gdb -q -batch -ex 'break called if called(3) == 3' -ex run -ex 'print called(4)' -ex 'rwatch watched' \
            -ex continue "$work/gdb-can" >"$work/gdb-can.txt" 2>&1 </dev/null
    fi
    grep -q "$1" "$work/gdb-can.txt"
}

# Frames that found a full ring since missed_from_now: the kernel's, of nodes and keepers, or a lane's, into which the lane that polls the port
# deals. A machine that gives a node no processor loses them, and no promise is broken by that: a row that wants no loss takes them off, and the
# test says so at its end. The kernel counts by socket, so who is killed is asked before.
missed() {
    local n dealt
    # shellcheck disable=SC2046 # words
    "$root/tests/lab/missed.py" $(for n in a b k l; do ip netns pids "$LAB_PREFIX$n" 2>/dev/null; done) >>"$work/missed"
    for n in a b; do
        dealt=$(field $n frames_not_dealt)
        echo $((dealt - $(cat "$work/dealt-$n" 2>/dev/null || echo 0))) >>"$work/missed"
        echo "${dealt:-0}" >"$work/dealt-$n"
    done
    awk '$1 > 0 { n += $1 } END { print n + 0 }' "$work/missed"
}
missed_from_now() {
    missed >/dev/null
    : >"$work/missed"
}
none_lost() { # COUNT
    local none
    [ "$1" = 0 ] && return
    none=$(missed)
    echo "$1 lost; rings had no room for $none" | tee -a "$work/excused"
    [ "$1" -gt 0 ] && [ "$1" -le "$none" ]
}

cleanup() {
    if [ $bad -gt 0 ] && [ -e "$LAB_DIR/a.log" ]; then
        diag "$("$root/scripts/log-end" 15 "$LAB_DIR/a.log" "$LAB_DIR/b.log")"
    fi
    [ ! -s "$work/excused" ] || diag "$(cat "$work/excused")"
    "$lab" down 2>/dev/null
    rm -rf "$work"
}

# A test that was killed in another clone may have left namespaces of this name. Those that are a minute old and in which no process runs are
# removed; a test that is under way there keeps its own.
forgotten() {
    local space
    for space in $(find /run/netns -maxdepth 1 -name "$LAB_PREFIX*" -mmin +1 -printf '%f\n' 2>/dev/null); do
        case ${space#"$LAB_PREFIX"} in *-*) continue ;; esac # of a lab whose name begins alike
        [ -n "$(ip netns pids "$space")" ] || ip netns del "$space"
    done
}

# Network namespaces are needed: who is not root has them in a user namespace, in which the test is begun again. A lab left by a test that was
# killed goes first.
need_lab() {
    local tool
    if [ "$(id -u)" != 0 ]; then
        "$root/scripts/as-root" true 2>/dev/null || skip_all "not root, and no user namespace is to be had"
        exec "$root/scripts/as-root" bash "$0"
    fi
    for tool in ip ethtool curl nginx jq; do
        command -v $tool >/dev/null || skip_all "$tool is not installed"
    done
    ip netns add "ut-$test_name-try" 2>/dev/null || skip_all "no network namespaces here"
    ip netns del "ut-$test_name-try"
    trap cleanup EXIT
    trap 'exit 1' INT TERM
    "$lab" down 2>/dev/null
    forgotten
    mkdir -p "$work"
}

# Of the machine, not of a user namespace alone: other users' files, and programs of XDP.
is_root() { grep -qw 4294967295 /proc/self/uid_map; }
need_root() { is_root || skip_all "needs the machine's root"; }

# For a test of one node without a lab, whose process is $node while it runs: no root, no namespaces.
need_work() {
    node=
    trap 'exit 1' INT TERM
    trap '[ -z "$node" ] || kill -KILL "$node" 2>/dev/null; rm -rf "$work"' EXIT
    mkdir -p "$work" || exit 1
}

# A pair whose standby is late for a moment is asked again; nothing else is.
drain() {
    local left=$(polls)
    until us drain >"$work/drain" 2>&1; do
        grep -q "only a PROTECTED primary" "$work/drain" && poll || { cat "$work/drain"; return 1; }
    done
}

# A drill as JSON in $work/drill.json; a description of what failed on failure.
# Where a lab makes its machine stand still (machine_stands), the standby may have no processor until its right to promote has ended: then it does
# not take over from a primary that hangs (docs/guarantees.md), and the drill is made again, five times at most.
stood_too_long() { # KIND
    [ -n "${machine_stands:-}" ] && [ "$1" = hang ] && grep -q "did not take over .*the right to promote has ended" "$work/drill.err" &&
        jq -e '.runs[-1].survivor' -r "$work/drill.json" >"$work/survivor" && [ "$(field "$(cat "$work/survivor")" '| .damping.longest_stall_ms > 20')" = true ] &&
        echo "$1: the standby had no processor until its right to promote had ended" >>"$work/excused"
}
drill() { # KIND [OPTION…]
    local code made
    for made in 1 2 3 4 5; do
        timeout 120 "$UNDERSTUDY" drill -c "$pair" "$@" -o json >"$work/drill.json" 2>"$work/drill.err"
        code=$?
        stood_too_long "$1" || break
    done
    [ $code = 0 ] || { echo "exit $code"; cat "$work/drill.err" "$work/drill.json"; }
    return $code
}
drilled() { jq -r "$1" "$work/drill.json"; }
# What a drill's takeovers were by, but for the guardian's word, and the kernel's, which closes what the dead one had: a survivor that had no
# processor meanwhile finds both at once.
uncertain() { drilled '[.runs[].reason] - ["the death notice", "the peer closed its connection", "the peer'"'"'s kernel reset its connection"] | join(", ")'; }

# A drill in the middle of downloads: four tests.
strike() { # WHAT DOWNLOADS AT-A-TIME KIND [OPTION…]
    local fetching
    rm -f "$work/ended"
    web_fetch "$work" "$work/out" "$2" "$3" &
    fetching=$!
    under_way
    ok "$1: drill ${*:4}" drill "${@:4}"
    wait $fetching
    is "$1: all downloads intact" "$(web_count "$work" intact)" "$2"
    is "$1: digests equal, nothing contradicted, no flow broken, each time" \
        "$(drilled '[.runs[] | [.digests_equal, .contradicted, .flows_broken]] | unique | tojson')" '[[true,0,0]]'
    ok "$1: the pair is PROTECTED again" is_protected
    diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")'), baseline $(drilled .baseline_gap_ms) ms"
}
