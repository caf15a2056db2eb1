#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The smaller NFs through understudy replay: captures, 1 to 4 lanes, the log and deltas, hot and warm standbys, and
# kills of both nodes. What each must have done is known by tshark. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
compgen -G "$pcaps/*.pcap" >/dev/null || { echo "1..0 # SKIP no captures in $pcaps"; exit 0; }
mkdir -p "$dir/chain"
cp nfs/chains/*.rules nfs/chains/campus.yaml "$dir/chain/"

one() { # NAME SETTINGS
    printf 'chain: { name: %s, nfs: [ %s: { %s } ] }\n' "$1" "$1" "$2" >"$dir/chain/$1.yaml"
}

# One capture through one chain of several shapes, with three kills; COUNTERS (a jq object of what the NF counted) are the
# same in each. With an input keeper nothing may be lost, and the file that leaves is the same.
shapes() { # CHAIN CAPTURE COUNTERS SHAPES…
    local chain=$1 file=$pcaps/$2 counters=$3 shape n code name=${2%.pcap}
    shift 3
    run -c "$dir/chain/$chain.yaml" -w "$dir/a.pcap" "$file"
    code=$?
    n=$(fact .input)
    [ "$code" = 0 ] && [ "$(fact ".nfs.${chain}.counters | contains($counters)")" = true ]
    ok "$chain, $name: $n packets without kills, and it counts $counters" $? "exit $code, $(fact ".nfs.${chain}")" || return
    for shape in "$@"; do
        # shellcheck disable=SC2086
        run -c "$dir/chain/$chain.yaml" $shape -w "$dir/b.pcap" --kill "primary@$((n / 4))" --kill "standby@$((n / 2))" \
            --kill "primary@$((n * 3 / 4))" "$file"
        code=$?
        [ "$code" = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers) \(.lost) \(.altered)"')" = "true 2 0 0" ] &&
            [ "$(fact ".nfs.${chain}.counters | contains($counters)")" = true ] &&
            { [[ $shape == *"lanes 1"* ]] || sorted; } && { [[ $shape != *"lanes 1"* ]] || cmp -s "$dir/a.pcap" "$dir/b.pcap"; }
        ok "$chain, $name, $shape, with kills: as without" $? "exit $code, $(cat "$dir/json")"
    done
}
# Lanes release in an order of their own: as many bytes have left.
sorted() { [ "$(stat -c %s "$dir/a.pcap")" = "$(stat -c %s "$dir/b.pcap")" ]; }

all=("--lanes 1" "--lanes 2" "--lanes 4" "--lanes 2 --standby warm" "--lanes 1 --mode delta" "--lanes 2 --mode delta --standby warm")

one portscan "watch: inside, action: drop, max_hosts: 1024, max_contacts: 4096"
shapes portscan gnutella.pcap '{"contacts":69,"successes":19,"refused":5,"unanswered":45,"scanners":1}' "${all[@]}"
one portscan "watch: inside, destinations: ports, max_hosts: 1024, max_contacts: 4096"
shapes portscan synscan.pcap '{"contacts":1000,"successes":3,"refused":4,"unanswered":993,"scanners":1}' "--lanes 4"

# The campus: behind the NAT scanners outside are told by who sends what nobody asked for.
for capture in gnutella synscan mixed; do
    run -c "$dir/chain/campus.yaml" --lanes 2 --kill primary@50 --kill primary@120 "$pcaps/$capture.pcap"
    code=$?
    [ "$code" = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers)"')" = "true 2" ]
    ok "campus, $capture: two kills" $? "exit $code, $(cat "$dir/json")"
done

echo "1..$tests"
