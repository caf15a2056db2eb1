# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # `dir`
#
# What both demos have; sourced. Lines with their time, waits that can be ended, and an end that removes all that was made, whatever
# ends the demo: a signal has it removed at once, after SIGKILL a guard of its own session does it, and what even that left the next start
# removes. The demo has `dir`, where its files go, `tell_begin` is called first, and `remove` takes everything away, also when it is called twice.
#
#   demo_begin "$@"     what an earlier run left is removed, and the guard begins. With the guard's own arguments it does not return
#   in_turn CMD…        runs it, so that a signal does not wait for its end
#   keep FILE…          copies of these are in $dir/failed when the demo fails

tell_begin() { begin=$(cut -d' ' -f1 /proc/uptime); }
tell() { printf '%8.2f s  %s\n' "$(awk -v b="$begin" '{ print $1 - b }' /proc/uptime)" "$*"; }
fail() { tell "FAILED: $*"; exit 1; }

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
# All processes of a run have its mark in their environment, whatever they became. All but this shell are ended.
end_run() { # PID START
    local tries pid left
    for ((tries = 0; tries < 50; tries++)); do
        DEMO_RUN='' grep -lsz "^DEMO_RUN=$1:$2\$" /proc/[0-9]*/environ >"$dir/marked"
        left=
        while IFS=/ read -r _ _ pid _; do
            [ "$pid" = $$ ] || { kill -KILL "$pid" && left=yes; } 2>/dev/null
        done <"$dir/marked"
        [ -n "$left" ] || break
        sleep 0.1
    done
    rm -f -- "$dir/marked"
}
lives() { [ -n "${2:-}" ] && [ "$(start_time "$1")" = "$2" ]; } # PID START

kept=()
keep() { kept+=("$@"); }
keep_failed() {
    local file any=
    mkdir -p "$dir/failed"
    for file in "${kept[@]}"; do [ ! -e "$file" ] || { cp -- "$file" "$dir/failed/" && any=yes; }; done
    [ -z "$any" ] || tell "what the programs said is in $dir/failed" >&2
}

turn=
in_turn() {
    local code
    set -m # a group of processes, which can be ended as a whole
    "$@" &
    turn=$!
    set +m
    wait $turn
    code=$?
    turn=
    return $code
}

finish() {
    local code=$?
    trap '' INT TERM HUP
    if [ -n "$turn" ]; then
        kill -TERM -- -"$turn"
        wait "$turn"
    fi 2>/dev/null
    [ $code = 0 ] || [ $code = 130 ] || keep_failed
    [ $code = 0 ] || end_run $$ "$(start_time $$)" # what was just begun is known to nobody yet
    remove
    if [ -n "${guard:-}" ]; then
        kill -KILL "$guard"
        wait "$guard"
    fi 2>/dev/null
    rm -f -- "$dir/running"
    exit $code
}

demo_begin() {
    local pid since ward ward_since
    if [ "${1:-}" = --when-ended ]; then # PID START: the guard
        while lives "$2" "$3"; do sleep 0.5; done
        end_run "$2" "$3"
        remove
        rm -f -- "$dir/running"
        exit 0
    fi
    [ $# = 0 ] || { echo "usage: $0" >&2; exit 64; }
    pid=$$:$(start_time $$)
    [ "${DEMO_RUN:-}" = "$pid" ] || DEMO_RUN=$pid exec bash "$0"
    mkdir -p "$dir" || exit 73
    if [ -e "$dir/running" ]; then
        read -r pid since ward ward_since <"$dir/running"
        ! lives "$pid" "$since" || { echo "${0##*/}: another one runs in $dir, process $pid" >&2; exit 69; }
        ! lives "$ward" "$ward_since" || kill -KILL "$ward"
        end_run "$pid" "$since"
        tell "what an earlier run left is removed"
    fi
    rm -rf -- "$dir/failed"
    trap finish EXIT
    trap 'exit 130' INT TERM HUP
    remove
    DEMO_RUN='' setsid bash "$0" --when-ended $$ "$(start_time $$)" </dev/null >/dev/null 2>&1 &
    guard=$!
    disown
    echo "$$ $(start_time $$) $guard $(start_time $guard)" >"$dir/running"
}
