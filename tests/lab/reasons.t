#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is left to read at 3 a.m.: who took over from whom, why and when; that a standby was lost; that a node was fenced.
# Each is told in one line of the log, is seen by `watch` as it happens, and stays in status, with its wall-clock time,
# after the pair is whole again. The log is JSON here, and each of its lines is an object.
. "$(dirname "$0")/lib.sh"
need_lab
plan 35

now() { date -u +%FT%T.%3NZ; }
between() { [[ ! "$2" < "$1" && ! "$3" < "$2" ]] || { echo "'$2' is not from $1 to $3"; return 1; }; } # FROM WHEN TO
log_of() { jq -c 'select(.event != "dpdk")' "$LAB_DIR/$1.log"; }
told() { log_of "$1" | jq -s "[.[] | select(.event == \"$2\")] | length"; } # NODE EVENT: lines of it

# Waits for a line of a file: seen before the test goes on, not at its end.
sees() { # FILE PATTERN
    local left=$(polls)
    until grep -qE "$2" "$1"; do
        poll || { echo "no '$2' in:"; cat "$1"; return 1; }
    done
}
# In the place of a background shell: it ends by itself should this test be killed, and keeps none of the descriptors that the
# test has inherited: one may be a lock that others wait for.
apart() { # COMMAND…
    local fd
    for fd in /proc/"$BASHPID"/fd/*; do
        fd=${fd##*/}
        [ "$fd" -le 2 ] || exec {fd}>&-
    done
    exec timeout 150 "$@"
}
watch() { # FILE [OPTION…]
    apart "$UNDERSTUDY" watch -c "$pair" "${@:2}" >"$work/$1" 2>"$work/$1.err" &
    watchers+=($!)
}
watching() { sees "$work/$1.err" 'watching node a' && sees "$work/$1.err" 'watching node b'; } # FILE
watchers=()
trap '[ ${#watchers[@]} = 0 ] || kill "${watchers[@]}" 2>/dev/null; cleanup' EXIT

ok "the pair is PROTECTED" env LAB_LOG=json LAB_TIMING="detect_ms: 30, solo_after_ms: 400" "$lab" up || exit 1
is "nothing of the past is known" "$(field a '| [.takeover, .fenced, .standby_lost] | map(type) | unique | join(" ")')" null
watch text
ok "watch is there" watching text
watch json -o json
ok "watch -o json is there" watching json

before=$(now)
kill -KILL "$(field a pid)"
ok "watch sees the takeover" sees "$work/text" \
    '^[-0-9]{10}T[:0-9]{8}\.[0-9]{3}Z warning takeover +b: SOLO, view [0-9]+: took over from a: the death notice$'
ok "watch -o json, too" sees "$work/json" '"level":"warning","event":"takeover","node":"b"'
after=$(now)
sleep 1
is "why it is SOLO stays: the successor has seen its old connection end, and nobody come" "$(field b why)" \
    "took over from a: the death notice"
watch late -n a
ok "watch waits for a node that does not run" sees "$work/late.err" '^understudy: node a: '
"$lab" start a
ok "PROTECTED again" is_protected
ok "and tells all that it said from its start on" sees "$work/late" ' state +a: JOINING, view [0-9]+: started$'
is "by another reason" "$(field b why)" "the standby is ready"
is "who, why and in what view is still told" "$(field b '| "\(.takeover.why), \(.takeover.view)"')" \
    "took over from a: the death notice, $(field b view)"
ok "and when: as the test saw it" between "$before" "$(field b takeover.at)" "$after"
ok "status says so to people" grep -qE "^node b: last takeover $(field b takeover.at), view [0-9]+: took over from a: the death notice$" \
    <(us status)
is "it is one line of the log" "$(told b takeover)" 1
is "the line's time is status's, but for the ms between" "$(log_of b | jq -r 'select(.event == "takeover") | .time[:21]')" \
    "$(field b 'takeover.at[:21]')"

taken=$(field b takeover.at)
before=$(now)
kill -KILL "$(field a pid)"
# DEGRADED where the lease had run out before the standby died: an answer of it was late. Or its connection ended a
# moment before its guardian's word came, which came another way.
ok "watch sees the loss of the standby" sees "$work/text" \
    'warning standby_lost b: (SOLO|DEGRADED), view [0-9]+: standby a lost: (its guardian says it is dead|the connection broke)$'
ok "and that its guardian says so" sees "$work/text" 'b: (SOLO|DEGRADED), view [0-9]+: standby a lost: its guardian says it is dead$'
after=$(now)
sleep 2
is "SOLO for seconds is no event: one line" "$(told b standby_lost) $(log_of b | jq -s '[.[] | select(.fields.state == "SOLO")] | length')" "1 2"
is "the reason is the loss" "$(field b why)" "standby a lost: its guardian says it is dead"
"$lab" start a
ok "PROTECTED once more" is_protected
is "the loss is still told" "$(field b '| "\(.standby_lost.count) \(.standby_lost.why)"')" \
    "1 standby a lost: its guardian says it is dead"
ok "and when" between "$before" "$(field b standby_lost.at)" "$after"
is "the takeover before it, too" "$(field b takeover.at)" "$taken"
ok "status says so to people" grep -qE '^node b: last loss .*Z, view [0-9]+: standby a lost: its guardian says it is dead$' <(us status)

pid=$(field b pid)
before=$(now)
kill -STOP "$pid"
ok "a takes over from a node that stands" sees "$work/text" 'takeover +a: SOLO, view [0-9]+: took over from b: silence for [0-9]+ ms$'
kill -CONT "$pid"
ok "and that one is fenced" sees "$work/text" 'warning fenced +b: FENCED, view [0-9]+: a has taken over: view [0-9]+ has begun$'
after=$(now)
ok "PROTECTED the other way round" is_protected
is "b tells by whom" "$(field b fenced.by)" a
ok "and when" between "$before" "$(field b fenced.at)" "$after"
ok "status says so to people" grep -qE '^node b: last fence .*Z, view [0-9]+: a had taken over$' <(us status)

is "each line of both logs is an object with what it should have" \
    "$(jq -s 'map(keys == ["event","fields","level","message","node","time"]) | unique | map(tostring) | join(" ")' "$LAB_DIR/a.log" "$LAB_DIR/b.log" -r)" true
is "what watch printed as JSON is what the logs have" \
    "$(comm -23 <(jq -cS . "$work/json" | sort) <(jq -cS . "$LAB_DIR/a.log" "$LAB_DIR/b.log" | sort) | wc -l) $(jq -s 'length > 8' "$work/json")" "0 true"

# A node that has more to tell than it keeps: the gap is a line.
apart python3 - "$work/a.sock" <<'PY' &
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1]); s.listen()
while True:
    c, _ = s.accept()
    seen = json.loads(c.makefile().readline()).get("next")
    answer = {"of": 7, "next": 300 if seen in (2, 300) else 2, "lost": 44 if seen == 2 else 0, "events": []}
    c.sendall((json.dumps(answer) + "\n").encode())
    c.close()
PY
watchers+=($!)
sed "s|control: .*a\.sock|control: $work/a.sock|" "$pair" >"$LAB_DIR/gap.yaml" # beside the files that it names
timeout 3 "$UNDERSTUDY" watch -c "$LAB_DIR/gap.yaml" -n a >"$work/gap" 2>"$work/gap.err"
is "a slow reader is told what it missed, once" "$(grep -c ' log  *a: 44 lines before the next one were not read in time$' "$work/gap") $(wc -l <"$work/gap")" "1 1"
is "a signal ends it, and that is no failure" "$(apart "$UNDERSTUDY" watch -c "$pair" 2>/dev/null & sleep 0.3; kill -TERM $!; wait $!; echo $?)" 0
