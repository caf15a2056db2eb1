#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# State in Redis is a comparison's alone: a node refuses a file that asks for it; tests/bench/redis_bench.c says how its Redis
# is set, has the chain's state in it, and ends when that does. No root.
. "$(dirname "$0")/lib.sh"
for tool in redis-server redis-cli; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done
plan 14

need_work

file=$work/pair.yaml
write_file() { # STATE REDIS
    cat >"$file" <<END
chain: { name: x, $1 nfs: [ monitor: { max_flows: 100 }, forward: { merged: false } ] }
protect: { mode: off }
redis: { $2 }
nodes:
  one:
    role: primary
    ports: { inside: net_null0, outside: net_null1 }
    replication: 127.0.0.1:4755
    control: one.sock
  two:
    role: standby
    ports: { inside: net_null0, outside: net_null1 }
    replication: 127.0.0.1:4756
    control: two.sock
END
}
bench() { exec "$BUILD/bench-redis" bench -c "$file" --compare redis-sync --flows 4 --pairs 1 --no-latency -o json --seconds "$@"; }
within() { # COMMAND…: waits until it succeeds
    local left=$(polls)
    until "$@"; do
        poll || { cat "$work/err"; return 1; }
    done
}

# ---- a node ------------------------------------------------------------------------------------------------------------

write_file "state: redis," "batch: 8"
why="$file:1: chain state is redis, expected local: no node keeps it in Redis"
is "check refuses it" "$("$UNDERSTUDY" check -c "$file" 2>&1)-$?" "$why-65"
is "run" "$(timeout 60 "$UNDERSTUDY" run -c "$file" -n one 2>&1)-$?" "understudy: $why-65"
is "and replay" "$("$UNDERSTUDY" replay -c "$file" "$work/none.pcap" 2>&1)-$?" "$why-65"
is "apply says the same, and finds nobody who would take it" \
    "$("$UNDERSTUDY" apply -c "$file" 2>&1 | head -1)-${PIPESTATUS[0]}" "$why; the running nodes are asked all the same-0"
write_file "" "batch: 8"
ok "a file that only has the section is a node's as well" "$UNDERSTUDY" check -c "$file"

# ---- the bench ---------------------------------------------------------------------------------------------------------

(bench 0.1) >"$work/json" 2>"$work/err"
is "the bench reads the section" "$?-$(jq -r '.runs[0] | .mpps > 0 and (.settings |
    test("^sync, cache off, batch 8 across bursts, counters by INCRBY; Redis .*--save \"\" --appendonly no"))' "$work/json")" 0-true
write_file "" "batch: 4097"
is "and refuses what is wrong in it" "$( (bench 0.1) 2>&1)-$?" "understudy bench: $file:3: redis batch is 4097, expected a number from 1 to 4096 (see understudy --help)-64"

write_file "" "batch: 8"
(bench 100) >"$work/json" 2>"$work/err" &
node=$!
descend() { # PID: it and all below
    local child
    echo "$1"
    for child in $(pgrep -P "$1"); do descend "$child"; done
}
server() {
    local pid
    redis=
    for pid in $(descend "$node"); do [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = redis-server ] && redis=$pid; done
    [ -n "$redis" ]
}
cli() { redis-cli -p "$(tr '\0' ' ' <"/proc/$redis/cmdline" | sed 's/.*:\([0-9]*\) .*/\1/')" --raw "$@"; }
counts() { [ "$(cli GET 2.0: 2>/dev/null)" -gt 1000 ] 2>/dev/null; }
ok "a run of the bench starts a server" within server
server
ok "the word is in Redis, and grows" within counts
is "and so are the flows" "$(cli KEYS '0.0:*' | grep -c '^0.0:')" 4
kill -KILL "$redis"
gone() { ! kill -0 "$node" 2>/dev/null; }
ok "Redis is killed: the bench ends by itself" within gone
wait "$node"
is "with the code of a run that failed" "$?" 70
is "and one line" "$(grep -c '^understudy bench: redis-sync:8: .*redis 127.0.0.1:' "$work/err")" 1
is "and no server is left" "$(descend $$ | xargs -I{} cat /proc/{}/comm 2>/dev/null | grep -c redis-server)" 0
