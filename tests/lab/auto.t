#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Mode auto: where one kind of segment is much the smaller, auto finds it; and it keeps the budget of replay: for a warm
# standby by checkpoints, for a hot one that cannot keep up by deltas. (Close races are in long/auto.t.) As TAP.
set -u
# shellcheck source=tests/lab/auto.sh
. "$(dirname "$0")/auto.sh"
wide_chain ", tail: suppress"
python3 tests/lab/mkpcap.py "$dir/few.pcap" 90000 8 6
python3 tests/lab/mkpcap.py "$dir/many.pcap" 20000 8000 6
python3 tests/lab/mkpcap.py "$dir/bulk.pcap" 5000 1500 7 1

no_worse "many flows, hot: the log is smaller" wide "$dir/many.pcap"
run -c "$dir/chain/wide.yaml" --mode auto "$dir/many.pcap" && [ "$(fact .delta_bytes)" = 0 ]
ok "and auto stays with it" $? "$(cat "$dir/json")"
no_worse "few flows, warm: the log and its checkpoints are larger" wide --no-gate --standby warm "$dir/few.pcap"
run -c "$dir/chain/wide.yaml" --mode auto --no-gate --standby warm "$dir/few.pcap" &&
    [ "$(fact '.log_bytes < 200000')" = true ]
ok "and auto leaves it" $? "$(cat "$dir/json")"

# ---- the budget ---------------------------------------------------------------------------------------------------

deltas() { grep -oE 'in [0-9]+ deltas' "$dir/err" | grep -oE '[0-9]+'; }
budget() { # NAME MS MODULES NFS: a chain with the budget, checkpoints by the clock far apart
    cat >"$dir/chain/$1.yaml" <<END
chain: { name: $1, lanes: 1$3, nfs: [ $4 monitor: { max_flows: 20000 } ] }
protect: { recovery_budget_ms: $2, checkpoint_ms: 60000 }
END
}
python3 tests/lab/mkpcap.py "$dir/long.pcap" 200000 1000 3 # without pauses: 0.2 s of chain time
budget monitor 10000 "" ""
run -c "$dir/chain/monitor.yaml" --mode auto --standby warm --no-gate "$dir/long.pcap"
ok "warm, a budget that does not press" $? "$(cat "$dir/json")"
far=$(deltas)
budget monitor 1 "" ""
run -c "$dir/chain/monitor.yaml" --mode auto --standby warm --no-gate "$dir/long.pcap"
ok "warm, a budget of 1 ms" $? "$(cat "$dir/json")"
[ "$(deltas)" -gt $((far + 5)) ]
ok "checkpoints come as replay would take longer: $(deltas) instead of $far" $?

gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"${BUILD:-build}/include" -shared -o "$dir/chain/slow.so" tests/lab/slow.c \
    2>"$dir/err"
ok "the NF that is slow in replay builds" $?
budget slow 10000 ", modules: [ slow.so ]" "slow: {},"
run -c "$dir/chain/slow.yaml" --mode auto --no-gate "$dir/bulk.pcap" && [ "$(fact .delta_bytes)" = 0 ]
ok "hot, a slow standby, a budget that does not press: all log" $? "$(cat "$dir/json")"
budget slow 1 ", modules: [ slow.so ]" "slow: {},"
run -c "$dir/chain/slow.yaml" --mode auto --no-gate "$dir/bulk.pcap" && [ "$(fact '.delta_bytes > 0')" = true ]
ok "hot, a slow standby, a budget of 1 ms: deltas until it has caught up" $? "$(cat "$dir/json")"
echo "1..$tests"
