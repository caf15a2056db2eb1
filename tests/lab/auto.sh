# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
#
# What the tests of mode auto share; sourced. Bytes on the link depend on how records fall into messages, since larger
# ones pack better: of each mode the least of $runs runs is compared.

# shellcheck source=tests/lab/replay.sh
. "$(dirname "${BASH_SOURCE[0]}")/replay.sh"
runs=${AUTO_RUNS:-3}

wide_chain() { # PROTECT: writes $dir/chain/wide.yaml
    chains
    cat >"$dir/chain/wide.yaml" <<END
chain:
  name: wide
  lanes: 1
  nfs:
    - nat: { inside: [0.0.0.0/0], outside: 203.0.113.1, ports: 1024-65535, unsupported: pass, max_flows: 20000 }
    - firewall: { rules: firewall.rules, max_flows: 20000 }
    - monitor: { max_flows: 20000 }
protect: { recovery_budget_ms: 10000$1 }
END
}

# Bytes of log and delta together, least of $runs; 0 when a run is not equivalent. Behind it, were there deltas: 0 or 1.
bytes() { # CHAIN MODE ARGUMENT…
    local chain=$1 mode=$2 least=0 deltas=0 now i
    shift 2
    for ((i = 0; i < runs; i++)); do
        run -c "$dir/chain/$chain.yaml" --mode "$mode" "$@" || { echo 0 0; return; }
        [ "$(fact .delta_bytes)" = 0 ] || deltas=1
        now=$(fact '.log_bytes + .delta_bytes')
        [ "$least" != 0 ] && [ "$least" -lt "$now" ] || least=$now
    done
    echo "$least $deltas"
}

# Auto sends at most a tenth more than the better of log and delta. Where it made no delta, it sent what log sends, record
# for record, so it is log's bytes that count.
no_worse() { # NAME CHAIN ARGUMENT…
    local name=$1 chain=$2 log delta auto deltas better
    shift 2
    read -r log _ <<<"$(bytes "$chain" log "$@")"
    read -r delta _ <<<"$(bytes "$chain" delta "$@")"
    read -r auto deltas <<<"$(bytes "$chain" auto "$@")"
    [ "$deltas:$auto" = 0:0 ] || [ "$deltas" = 1 ] || auto=$log
    better=$((log < delta ? log : delta))
    [ $better -gt 0 ] && [ "$auto" -gt 0 ] && [ $((auto * 10)) -le $((better * 11)) ]
    ok "$name: log $log, delta $delta, auto $auto bytes" $?
}
