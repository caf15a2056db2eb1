#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# understudy replay with several lanes, which are real threads: lanes that fight over shared variables, killed at seeded
# points. The verdict is the tool's: the surviving log, executed again from nothing, gives the same outputs and state.
# As TAP; stops adding runs when its minute is over.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/../replay.sh"
chains
end=$((SECONDS + ${LANES_SECONDS:-50}))
made=$dir/made.pcap
python3 tests/lab/mkpcap.py "$made" 8000 1500

kills() { # SEED INPUTS: three kills, two of them of the primary
    kills=(--seed "$1" --kill "primary@$(point "$1" one "$2")" --kill "standby@$(point "$1" two "$2")"
        --kill "primary@$(point "$1" three "$2")")
}

verdict() { # NAME FAILOVERS CODE
    local what
    what=$(fact '"\(.equivalent) \(.failovers) \(.lost) \(.duplicated) \(.reordered) \(.altered)"')
    [ "$3" = 0 ] && [ "$what" = "true $2 0 0 0 0" ]
    ok "$1" $? "exit $3, $(cat "$dir/json")"
}

# ---- every chain, with kills ----------------------------------------------------------------------------------------

for name in forward edge balanced race; do
    for lanes in 2 4; do
        kills "$lanes" 8000
        run -c "nfs/chains/$name.yaml" --lanes "$lanes" "${kills[@]}" "$made"
        verdict "$name, $lanes lanes: ${kills[*]}" 2 $?
    done
done
[ "$(fact .dependencies)" -gt 100 ]
ok "lanes that fight over a number leave dependencies" $? "$(fact .dependencies)"
run -c nfs/chains/edge.yaml --lanes 4 "$made"
[ "$(fact '.dependencies * 1000 / .input < 5')" = true ]
ok "lanes that share a pool of ports hardly meet: below 5 dependencies a thousand packets" $? "$(fact .dependencies)"

# ---- what a file of several lanes holds, and other modes --------------------------------------------------------------

sort_packets() { tcpdump -nr "$1" --nano -tt -xx 2>/dev/null | tr -d '\n' | sed 's/\([0-9]\{10\}\.[0-9]\{9\}\)/\n\1/g' | sort; }
if command -v tcpdump >/dev/null; then
    kills 5 8000
    run -c "$dir/chain/monitor.yaml" --lanes 4 -w "$dir/a.pcap" "${kills[@]}" "$made"
    verdict "monitor, 4 lanes: ${kills[*]}" 2 $?
    cmp -s <(sort_packets "$dir/a.pcap") <(sort_packets "$made")
    ok "each packet leaves once, as it came, with its time" $?
fi
sed 's/lanes: 1/lanes: 3/' "$dir/chain/nat.yaml" >"$dir/chain/three.yaml"
run -c "$dir/chain/three.yaml" --mode off "$made" && [ "$(fact '"\(.equivalent) \(.log_bytes)"')" = "true 0" ]
ok "three lanes by the file, mode off" $? "$(cat "$dir/json")"
run -c "$dir/chain/three.yaml" --lanes 16 --kill primary@4000 "$made"
verdict "16 lanes" 1 $?
kills 6 8000
run -c nfs/chains/race.yaml --lanes 2 --no-input-keeper "${kills[@]}" "$made"
code=$?
[ "$code" = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers) \(.reordered) \(.altered)"')" = "true 2 0 0" ]
ok "without an input keeper: what is lost is lost, the rest holds" $? "exit $code, $(cat "$dir/json")"

# ---- what the verdict is worth ----------------------------------------------------------------------------------------

if [ -x "$planted" ]; then
    for bug in drop-edge early-release,late-lane skip-record reuse-seq; do
        UNDERSTUDY_PLANT=$bug timeout 120 "$planted" replay -o json -c nfs/chains/race.yaml --lanes 4 --kill primary@2000 \
            --kill primary@4000 --kill primary@6000 "$made" >"$dir/json" 2>"$dir/err"
        [ $? = 1 ] && [ "$(fact .equivalent)" = false ]
        ok "caught: $bug" $? "$(cat "$dir/json")"
    done
fi

# ---- a fight, killed again and again, while there is time ---------------------------------------------------------------

bad=0 done=0
for seed in $(seq 1 "${LANES_KILLS:-15}"); do
    for lanes in 2 4; do
        [ "$done" = 0 ] || [ $SECONDS -lt "$end" ] || break 2
        kills "$seed" 8000
        run -c nfs/chains/race.yaml --lanes "$lanes" "${kills[@]}" "$made" || {
            bad=$((bad + 1))
            echo "# race, $lanes lanes, ${kills[*]}: $(cat "$dir/json")"
        }
        done=$((done + 1))
    done
done
[ "$bad" = 0 ] && [ "$done" -gt 0 ]
ok "race: $done runs of three kills each" $? "$bad were not equivalent"

skip_without_captures "race, 4 lanes, captures of others"
for file in "$pcaps"/*.pcap; do
    [ $SECONDS -lt $((end + 8)) ] || break
    [ -r "$file" ] && [ "$(stat -c %s "$file")" -lt 3000000 ] || continue
    run -c nfs/chains/race.yaml --lanes 4 "$file"
    verdict "race, 4 lanes, $(basename "$file" .pcap)" 0 $?
    n=$(fact .input)
    [ "$n" -gt 0 ] || continue
    kills 1 "$n"
    run -c nfs/chains/race.yaml --lanes 4 "${kills[@]}" "$file"
    verdict "race, 4 lanes, $(basename "$file" .pcap), $n packets: ${kills[*]}" 2 $?
done
echo "1..$tests"
