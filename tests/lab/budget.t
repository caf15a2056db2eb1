#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hot standby that replays far slower than its primary executes: recovery_budget_ms bounds what it has acknowledged and
# not replayed, and so the primary waits for it. How far behind it may be is judged by tests/unit/test_lane.c. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
chains
gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"${BUILD:-build}/include" -shared -o "$dir/chain/slow.so" tests/lab/slow.c \
    2>"$dir/err"
ok "the NF that is slow in replay builds" $?

lag() { # MS: the most packets that the standby was behind; a run whose states differ at its end fails
    cat >"$dir/chain/slow.yaml" <<END
chain: { name: slow, modules: [ slow.so ], nfs: [ slow: {}, monitor: { max_flows: 1000 } ] }
protect: { mode: log, recovery_budget_ms: $1 }
END
    "$understudy" bench -c "$dir/chain/slow.yaml" --compare log:hot --flows 500 --frame 300 --pairs 1 --seconds 0.5 --no-latency -o json \
        2>"$dir/err" | jq -r '.runs[0] | "\(.lag_packets) \(.waits)"'
}

read -r small waits <<<"$(lag 2)"
[ "${small:-0}" -gt 0 ] && [ "${waits:-0}" -gt 0 ]
ok "with a budget of 2 ms the primary waits for it: at most ${small:-?} packets behind" $? "$(cat "$dir/err")"
echo "1..$tests"
