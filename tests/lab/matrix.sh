# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
#
# The matrix of the replay tool, sourced by its short and its long test: captures × policies × lanes × input keeper, each cell
# a run with kills at points that its name and $seed draw (MATRIX_SEED; the long test draws one). What a cell must show is in `cell`. Chains pass what the
# captures hold: inside is everywhere.

# shellcheck source=tests/lab/replay.sh
. "$(dirname "${BASH_SOURCE[0]}")/replay.sh"

policies=${MATRIX_POLICIES:-log:hot delta:hot log:warm delta:warm}
chain_names="wide forward balanced race"
seed=${MATRIX_SEED:-1}
echo "# MATRIX_SEED=$seed"

wide_chains() {
    chains
    # Every packet is from inside, and is translated.
    cat >"$dir/chain/wide.yaml" <<END
chain:
  name: wide
  lanes: 1
  nfs:
    - nat: { inside: [0.0.0.0/0], outside: 203.0.113.1, ports: 1024-65535, unsupported: pass, max_flows: 20000 }
    - firewall: { rules: firewall.rules, ipv6: true, max_flows: 20000 }
    - monitor: { ipv6: true, max_flows: 20000 }
END
    # The load balancer behind it sees one client with many ports, and every destination is the service.
    cat >"$dir/chain/balanced.yaml" <<END
chain:
  name: balanced
  lanes: 1
  nfs:
    - nat: { inside: [0.0.0.0/0], outside: 203.0.113.1, ports: 1024-65535, unsupported: pass, max_flows: 20000 }
    - firewall: { rules: firewall.rules, ipv6: true, max_flows: 20000 }
    - monitor: { ipv6: true, max_flows: 20000 }
    - load_balancer: { vip: 0.0.0.0, proto: both, clients: inside, backends: "198.18.0.1 198.18.0.2 198.18.0.3", policy: least_connections, max_flows: 20000 }
END
    cat >"$dir/chain/forward.yaml" <<END
chain: { name: forward, lanes: 1, nfs: [ forward: { read: true } ] }
END
    # Rates are of clients that all lanes share: which packets pass depends on the order, which only one lane fixes.
    cat >"$dir/chain/race.yaml" <<END
chain:
  name: race
  lanes: 1
  nfs:
    - rate_limiter: { clients: both, pps: 200, burst_packets: 400, max_connections: 64, max_clients: 20000, max_flows: 20000, ipv6: 64 }
    - load_balancer: { vip: 0.0.0.0, proto: both, clients: inside, backends: "198.18.0.1 198.18.0.2 198.18.0.3", policy: random, max_flows: 20000 }
    - forward: { read: true }
END
}

# All captures there are: others' where they lie, else two of our own. Names of files in $captures.
all_captures() {
    captures=()
    for file in "$pcaps"/*.pcap; do
        [ ! -r "$file" ] || captures+=("$file")
    done
    if [ -r "$pcaps/echo-connections.pcap.gz" ]; then
        gunzip -c "$pcaps/echo-connections.pcap.gz" >"$dir/echo-connections.pcap"
        captures+=("$dir/echo-connections.pcap")
    fi
    python3 tests/lab/mkpcap.py "$dir/made.pcap" 6000 800 5
    captures+=("$dir/made.pcap")
    [ ${#captures[@]} -gt 1 ] && return
    python3 tests/lab/mkpcap.py "$dir/few.pcap" 6000 8 6
    python3 tests/lab/mkpcap.py "$dir/bulk.pcap" 6000 50 7 1
    captures+=("$dir/few.pcap" "$dir/bulk.pcap")
}

# Options for COUNT kills at seeded packets 1 … N, either side.
kills_at() { # SEED N COUNT
    python3 -c '
import random, sys
draw, n = random.Random(sys.argv[1]), int(sys.argv[2])
for i in range(int(sys.argv[3])):
    print("--kill", ("primary" if draw.random() < 0.5 else "standby") + "@" + str(1 + int(draw.random() * n)))' "$@"
}

# The run nothing happens to and nobody protects: what leaves, counted and written. Once for each chain, capture and
# number of lanes: what crosses lanes (a later fragment, an error about another lane's flow) may be dropped with several.
# The NFs are audited here; cells, of which there are many, are without it.
undisturbed() { # CHAIN FILE LANES; sets $plain (a name beside which .pcap, .released and .input lie)
    plain=$dir/plain/$1-$3-$(basename "$2" .pcap)
    [ ! -r "$plain.input" ] || return 0
    mkdir -p "$dir/plain"
    rm -f "$dir/plain/$1-$3-"* # one at a time: they are as large as the captures
    run -c "$dir/chain/$1.yaml" --mode off --lanes "$3" --seed "$seed" -w "$plain.pcap" "$2" || return
    fact .released >"$plain.released"
    fact .input >"$plain.input"
}

# One cell. Equivalent always. With an input keeper nothing is lost, twice, altered or out of order, as much leaves as from
# the undisturbed run, and with one lane its very bytes, in every policy. Without: what came in has left, or is told.
cell() { # FILE POLICY:STANDBY LANES GATE CHAIN POINTS [ROUND]
    local file=$1 policy=${2%:*} standby=${2#*:} lanes=$3 keeper=$4 chain=$5 points=$6
    local name code what primaries n why="" args kills
    name="$(basename "$file" .pcap), $policy, $standby, $lanes lanes, $keeper, $chain${7:+, round $7}"
    undisturbed "$chain" "$file" "$lanes" || { ok "$name: undisturbed" 1 "$(cat "$dir/json")"; return; }
    n=$(cat "$plain.input")
    mapfile -t kills < <(kills_at "$seed $name" "$n" "$points")
    args=(--fast -c "$dir/chain/$chain.yaml" --mode "$policy" --standby "$standby" --lanes "$lanes" --seed "$seed")
    [ "$keeper" = keeper ] || args+=(--no-input-keeper)
    [ "$lanes:$keeper" != 1:keeper ] || args+=(-w "$dir/run.pcap")
    # shellcheck disable=SC2206 # two words a line
    args+=(${kills[*]})
    run "${args[@]}" "$file"
    code=$?
    primaries=$(grep -c primary <<<"$(printf '%s\n' "${kills[@]}")")
    what=$(fact '"\(.equivalent) \(.failovers) \(.input) \(.altered) \(.reordered)"')
    [ "$code" = 0 ] && [ "$what" = "true $primaries $n 0 0" ] || why="not equivalent"
    if [ "$keeper" = keeper ]; then
        [ "$(fact '"\(.lost) \(.duplicated)"')" = "0 0" ] || why="$why; lost or twice"
        [ "$chain" = race ] && [ "$lanes" != 1 ] || [ "$(fact .released)" = "$(cat "$plain.released")" ] ||
            why="$why; $(cat "$plain.released") leave undisturbed"
        [ "$lanes" != 1 ] || cmp -s "$dir/run.pcap" "$plain.pcap" || why="$why; other bytes than undisturbed"
    elif [ "$chain" = forward ] || [ "$chain" = fight ]; then # every packet is one output
        [ "$(fact '.released - .duplicated + .lost')" = "$n" ] || why="$why; packets unaccounted for"
    fi
    [ -z "$why" ]
    ok "$name: $points kills" $? "$why; exit $code: $understudy replay ${args[*]} $file
$(cat "$dir/json")"
}
