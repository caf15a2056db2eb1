#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# understudy bench: that it runs a real pair, counts what left, and says what the contract says. Nothing here depends on
# how fast the machine is. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
chains

bench() { timeout 300 "$understudy" bench -o json "$@" >"$dir/json" 2>"$dir/err"; }
refused() { # DESCRIPTION EXPECTED ARGUMENTS...: usage, one line
    local what=$1 expected=$2 code
    shift 2
    "$understudy" bench "$@" >"$dir/json" 2>"$dir/err"
    code=$?
    [ "$code" = 64 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$expected" "$dir/err" && [ ! -s "$dir/json" ]
    ok "refused: $what" $? "exit $code"
}

# ---- a short comparison ------------------------------------------------------------------------------------------------

bench -c nfs/chains/balanced.yaml --compare off,log --flows 2000 --pairs 2 --seconds 0.1
ok "off and log, two pairs" $?
keys='["protection","chain","frame","mpps","standby","overhead_pct","overhead_ns","overhead_spread","added_latency_us",'
keys=$keys'"wire_bytes_per_packet","takeover_ms"]'
[ "$(jq --argjson k "$keys" '(.machine | length > 0) and (.runs | length == 2) and
    ([.runs[] | keys as $have | $k - $have | length] == [0, 0])' "$dir/json")" = true ]
ok "JSON has the keys of the contract" $? "$(cat "$dir/json")"
[ "$(fact '.runs[0] | .protection == "off" and .standby == "none" and .overhead_pct == 0 and .takeover_ms == null
    and .wire_bytes_per_packet == 0 and .mpps > 0')" = true ]
ok "off: nothing on the link, nobody to take over" $? "$(fact .runs[0])"
[ "$(fact '.runs[1] | .protection == "log:hot" and .standby == "hot" and .mpps > 0 and .wire_bytes_per_packet > 0
    and .records_per_s > 0 and .takeovers == 2 and .takeover_ms > 0 and (.pairs_mpps | length) == 2')" = true ]
ok "log: records on the link, a takeover in the last pair and after the latencies" $? "$(fact .runs[1])"
# By the pairs' own figures.
[ "$(fact '.runs[1] | ([.pairs_mpps[] | (1 - .[1] / .[0]) * 100] | add / 2) - .overhead_pct | fabs < 0.01')" = true ]
ok "overhead: the median of the pairs' ratios" $? "$(fact .runs[1])"
[ "$(fact '.runs[1].latency | map(.load_pct) == [25, 50, 75, 90]')" = true ] &&
    [ "$(fact '.runs[1] | .latency[1].added_us == .added_latency_us')" = true ] &&
    [ "$(fact '[.runs[1].latency[] | (.us, .off_us) | .p50 <= .p99 and .p99 <= .max * 1.02 and .p50 > 0] | all')" = true ]
ok "latency at four loads, in order" $? "$(fact .runs[1].latency)"
[ "$(fact '.runs[1].dropped_share')" = 0 ]
ok "the chain passes all of its traffic" $?

# ---- state in Redis ----------------------------------------------------------------------------------------------------

for protection in redis-sync:1 redis-async:2048 redis-sync-cache:64 redis-async-cache:32 redis-sync-rmw:64; do
    bench -c nfs/chains/balanced.yaml --compare "$protection" --flows 200 --pairs 1 --seconds 0.05 --no-latency
    ok "$protection runs, without a gap in its outputs" $? "$(tail -3 "$dir/err")"
    mode=${protection#redis-} batch=${protection#*:}
    mode=${mode%%[-:]*}
    [ "$(jq --arg m "$mode, cache" --arg b "batch $batch across" '.runs[0] | .mpps > 0 and .standby == "none"
        and .takeover_ms == null and (.settings | startswith($m) and contains($b))' "$dir/json")" = true ]
    ok "$protection is set as its name says, and has nobody to take over" $? "$(fact .runs[0])"
done

# ---- traffic -----------------------------------------------------------------------------------------------------------

for traffic in "--frame imix" "--frame 1500" "--zipf 1.1" "--new-flows 2000"; do
    # shellcheck disable=SC2086
    bench -c nfs/chains/edge.yaml --compare log --flows 1000 --pairs 1 --seconds 0.05 --no-latency $traffic &&
        [ "$(fact '.runs[0].mpps > 0 and .runs[0].dropped_share == 0 and .runs[0].latency == []')" = true ]
    ok "traffic: $traffic" $? "$(cat "$dir/json")"
done
python3 tests/lab/mkpcap.py "$dir/made.pcap" 3000 200
bench -c "$dir/chain/monitor.yaml" --compare off --capture "$dir/made.pcap" --pairs 1 --seconds 0.05 --no-latency &&
    [ "$(fact '.runs[0].frame == "capture" and .runs[0].mpps > 0')" = true ]
ok "traffic: a capture, again and again; off alone is held against off" $? "$(cat "$dir/json")"
"$understudy" bench -c nfs/chains/forward.yaml --compare off --flows 64 --pairs 1 --seconds 0.05 --no-latency \
    --save "$dir/table" >"$dir/out" 2>"$dir/err" && cmp -s "$dir/out" "$dir/table" && grep -q '^off ' "$dir/table"
ok "for people: a table, the same in the file" $?

# ---- counting, for an instruction counter ------------------------------------------------------------------------------

for protection in off log; do
    n=$("$understudy" bench -c nfs/chains/balanced.yaml --flows 1000 --compare "$protection" --count 5000 2>"$dir/err") &&
        [ "$n" -ge 5000 ] && [ "$n" -lt 5064 ]
    ok "--count, $protection: its packets, to the burst" $? "got $n"
done

# ---- refusals ----------------------------------------------------------------------------------------------------------

refused "an unknown protection" "expected off, log, delta" -c nfs/chains/forward.yaml --compare off,raid
refused "a standby that there is not" "expected :hot or :warm" -c nfs/chains/forward.yaml --compare log:cold
refused "a frame no Ethernet has" "from 64 to 1500" -c nfs/chains/forward.yaml --frame 63
refused "a batch of none" "from 1 to 2048" --compare redis-sync:0
refused "a standby of Redis" "from 1 to 2048" --compare redis-sync:hot
refused "counting with Redis" "expected no Redis" --compare redis-sync --count 100
refused "no flows" "from 2 to" --flows 0
refused "an argument" "expected none" IN.pcap
refused "--encode alone" "expected both" --encode
"$understudy" bench -c "$dir/none.yaml" >"$dir/json" 2>"$dir/err"
[ $? = 65 ] && [ "$(wc -l <"$dir/err")" = 1 ]
ok "refused: no such file, one line" $?

echo "1..$tests"
