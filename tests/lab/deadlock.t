#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A log with a deadlock: two records of two lanes of which each waits for the other (tests/lab/deadlock.c makes it), hangs
# nobody: a standby, replay --log and the replay tool's reference each end with what they waited for. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
node=
trap '[ -z "$node" ] || kill -KILL "$node" 2>/dev/null; rm -rf "$dir"' EXIT
built=${BUILD:-build}/include
mkdir -p "$dir/chain"
gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$built" -shared -o "$dir/chain/deadlock.so" tests/lab/deadlock.c 2>"$dir/err"
ok "the NF builds against $built" $? || exit 1
cat >"$dir/chain/deadlock.yaml" <<END
chain: { name: deadlock, lanes: 2, modules: [ deadlock.so ], nfs: [ deadlock: {} ] }
END
python3 tests/lab/mkpcap.py "$dir/made.pcap" 4000 200 3
deadlock='^understudy: replay diverged: lane 0 burst [0-9]+ seq [0-9]+: deadlock: waits for an access of lane 1: lane 0 for lane 1 for lane 0: expected 1, got 0$'

# ---- a standby, and the reference -----------------------------------------------------------------------------------

run -c "$dir/chain/deadlock.yaml" --lanes 1 --kill primary@1000 "$dir/made.pcap"
ok "one lane has no deadlock" $? "$(cat "$dir/json")"
for standby in "log hot" "log warm"; do
    run -c "$dir/chain/deadlock.yaml" --mode "${standby% *}" --standby "${standby#* }" "$dir/made.pcap"
    code=$?
    [ $code = 1 ] && [ "$(fact '"\(.equivalent) \(.released)"')" = "false 4000" ]
    ok "$standby: the run ends, and is not equivalent" $? "exit $code, $(cat "$dir/json")"
    [ "${standby#* }" = warm ] || grep -qE "$deadlock" "$dir/err"
    ok "$standby: a hot standby says who waits for whom, and comes back" $? "$(head -n 3 "$dir/err")"
    grep -q '^understudy replay: the surviving log could not be executed again$' "$dir/err"
    ok "$standby: nor can the reference execute it" $?
done

# ---- a recording ----------------------------------------------------------------------------------------------------

head -c 24 "$dir/made.pcap" >"$dir/none.pcap"
# Late enough for the recording to have begun by then, and so slow that it keeps up.
sed 's/deadlock: {}/deadlock: { at: 10000, pause_us: 200 }/' "$dir/chain/deadlock.yaml" >"$dir/chain/late.yaml"
cat >"$dir/pair.yaml" <<END
chain: { file: chain/late.yaml }
protect: { mode: off }
record: rec
nodes:
  one:
    role: primary
    ports: { inside: "net_pcap0,rx_pcap=$dir/made.pcap,infinite_rx=1,tx_pcap=$dir/in.pcap", outside: "net_pcap1,rx_pcap=$dir/none.pcap,tx_pcap=/dev/null" }
    replication: 127.0.0.1:4703
    control: one.sock
    mbufs: 8192
  two:
    role: standby
    ports: { inside: net_null0, outside: net_null1 }
    replication: 127.0.0.1:4704
    control: two.sock
END
"$understudy" run -c "$dir/pair.yaml" -n one 2>"$dir/log" &
node=$!
for _ in $(seq 300); do
    [ "$("$understudy" status -c "$dir/pair.yaml" -n one -o json 2>/dev/null | jq '[.lanes[].received] | min > 15000')" = true ] && break
    sleep 0.1
done
kill -TERM $node
wait $node
node=
log=$dir/rec/one/00000001.rec # later ones may have another snapshot: this machine's disk decides
timeout 900 "$understudy" replay -c "$dir/pair.yaml" --log "$log" -o json >"$dir/json" 2>"$dir/err"
code=$?
[ $code = 1 ] && [ "$(fact .equal)" = false ] && [ "$(grep -cE "$deadlock" "$dir/err")" = 1 ]
ok "replay --log ends, with the lanes that are stuck" $? "exit $code; $(cat "$dir/log")"
"$understudy" replay -c "$dir/pair.yaml" --log "$log" --until 0:100 -o json >"$dir/json" 2>"$dir/err"
ok "up to before the deadlock it is executed" $? "$(cat "$dir/json")"
echo "1..$tests"
