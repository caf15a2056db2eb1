#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Mode auto is decided by the chain: the log, or deltas when an NF declares that it cannot be replayed. check, status and
# the bench tell it, replay survives kills with such an NF, and where the log is asked for it is refused. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
node=
finish() {
    [ -z "$node" ] || kill -KILL "$node" 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

build() { # OUT FLAG…
    gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"${BUILD:-build}/include" -shared "${@:2}" -o "$dir/$1" tests/lab/frail.c \
        2>"$dir/err"
}
build frail.so && build sound.so -DFRAIL_REPLAYABLE
ok "the NF builds, with its flag and without" $?
chain() { # NAME MODULE PROTECT
    echo "chain: { name: $1, lanes: 1, modules: [ $2 ], nfs: [ monitor: { max_flows: 4096 }, frail: {} ] }" >"$dir/$1.yaml"
    echo "protect: { $3 }" >>"$dir/$1.yaml"
}
chain frail frail.so ""
chain sound sound.so ""
chain log frail.so "mode: log"
chain asked frail.so "mode: delta"
python3 tests/lab/mkpcap.py "$dir/made.pcap" 4000 300 9

# ---- check -----------------------------------------------------------------------------------------------------------

said() { # DESCRIPTION CODE LINE ARGUMENT…: all it says, and its exit code
    local what=$1 code=$2 line=$3 got
    shift 3
    got=$("$understudy" "$@" 2>&1)
    [ "$? $got" = "$code $line" ]
    ok "$what" $? "got: $got"
}
of="(monitor, frail), 1 lane, mode"
said "check: auto is the log" 0 "$dir/sound.yaml: ok: chain sound $of log (auto: every NF can be replayed)" check -c "$dir/sound.yaml"
said "check: auto is delta, and for which NF" 0 \
    "$dir/frail.yaml: ok: chain frail $of delta (auto: NF \"frail\" cannot be replayed)" check -c "$dir/frail.yaml"
said "check: delta as asked for" 0 "$dir/asked.yaml: ok: chain asked $of delta" check -c "$dir/asked.yaml"
said "check: no log of what cannot be replayed" 65 \
    "$dir/log.yaml:2: protect mode is log, NF \"frail\" cannot be replayed, expected delta or auto" check -c "$dir/log.yaml"
modes() { jq -c '[.mode, .mode_asked, .mode_decided_by]'; }
for name in frail sound asked; do "$understudy" check -o json -c "$dir/$name.yaml" | modes; done >"$dir/out"
[ "$(xargs <"$dir/out")" = "[delta,auto,frail] [log,auto,null] [delta,delta,null]" ]
ok "check, JSON" $? "$(cat "$dir/out")"

# ---- replay ----------------------------------------------------------------------------------------------------------

kills=(--no-input-keeper --kill primary@900 --kill standby@1800 --kill primary@2700)
for standby in hot warm; do
    run -c "$dir/frail.yaml" --standby $standby "${kills[@]}" "$dir/made.pcap" &&
        [ "$(fact '"\(.equivalent) \(.failovers) \(.log_bytes) \(.delta_bytes > 0)"')" = "true 2 0 true" ]
    ok "replay, $standby: deltas, and the same state through three kills" $? "$(cat "$dir/json")"
done
# Without the audit, which would name it at once. Without kills: a pair that is fed at full speed may lose its primary
# before the first record has left.
run --fast -c "$dir/sound.yaml" "$dir/made.pcap"
[ $? = 1 ] && [ "$(fact '"\(.lost) \(.delta_bytes) \(.log_bytes > 0) \([.differences[].node] | join(","))"')" = "0 0 true standby" ]
ok "without its flag: the log, and the standby has another state" $? "$(cat "$dir/json")"
run --fast -c "$dir/sound.yaml" --mode delta "${kills[@]}" "$dir/made.pcap"
ok "and the right one by deltas" $? "$(cat "$dir/json")"
said "replay --mode log of it is refused" 64 \
    'understudy replay: --mode log, NF "frail" cannot be replayed, expected delta or auto (see understudy --help)' \
    replay -c "$dir/frail.yaml" --mode log "$dir/made.pcap"
run -c "$dir/asked.yaml" --mode auto "$dir/made.pcap" && [ "$(fact '"\(.log_bytes) \(.delta_bytes > 0)"')" = "0 true" ]
ok "--mode auto is decided as the file's" $? "$(cat "$dir/json")"

# ---- bench -----------------------------------------------------------------------------------------------------------

timeout 120 "$understudy" bench -c "$dir/frail.yaml" --compare log,ftmb,auto --flows 64 --pairs 1 --seconds 0.05 --no-latency \
    -o json >"$dir/json" 2>"$dir/err" &&
    [ "$(fact '[.runs[] | .refused] | join("; ")')" = \
    'NF "frail" cannot be replayed, expected delta or auto; NF "frail" cannot be replayed, expected delta or auto; ' ]
ok "bench: log and ftmb are named and left out, auto runs" $? "$(cat "$dir/json")"
[ "$(fact '.runs[2] | "\(.mpps > 0) \(.settings)"')" = \
    'true mode delta (auto: NF "frail" cannot be replayed); cut each 1000 us' ]
ok "and says what it was decided to" $? "$(fact '.runs[2]')"

# ---- status ----------------------------------------------------------------------------------------------------------

cat >"$dir/pair.yaml" <<END
chain: { file: frail.yaml }
timing: { start_alone_ms: 1 }
link: { insecure: true }
nodes:
  one: { role: primary, ports: { inside: "net_null0,no-rx=1", outside: "net_null1,no-rx=1" }, replication: "127.0.0.1:4759", control: one.sock, mbufs: 2048, memory_mb: 128, realtime: false }
  two: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4760", control: two.sock }
END
"$understudy" run -c "$dir/pair.yaml" -n one 2>"$dir/log" &
node=$!
for ((i = 0; i < 200; i++)); do
    [ "$("$understudy" status -c "$dir/pair.yaml" -n one -o json 2>/dev/null | tee "$dir/json" | jq -r .state)" != SOLO ] || break
    sleep 0.05
done
[ "$(modes <"$dir/json")" = '["delta","auto","frail"]' ]
ok "status, JSON" $? "$(cat "$dir/json" "$dir/log")"
# It is STALE while a thread has no processor for 50 ms.
for ((i = 0; i < 1200; i++)); do
    line=$("$understudy" status -c "$dir/pair.yaml" -n one 2>&1 | head -n 1)
    case $line in STALE*) sleep 0.05 ;; *) break ;; esac
done
[ "$line" = 'NOT PROTECTED  chain frail, node one is SOLO, mode delta (auto: NF "frail" cannot be replayed), link INSECURE' ]
ok "status" $? "$line"
kill -TERM $node
wait $node
node=
echo "1..$tests"
