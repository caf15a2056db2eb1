# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2001
#
# What the tests of the replay tool share; sourced. No root, no lab: everything happens in a directory of the test's
# own, which goes with it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
understudy=${UNDERSTUDY:-build/understudy}
planted=${BUILD:-build}/understudy-planted
pcaps=${UNDERSTUDY_PCAPS:-../shared/pcaps}
dir=$(mktemp -d) || exit 1
export TMPDIR=$dir/tmp # where the nodes meet: this run's alone
mkdir "$TMPDIR"
trap 'rm -rf "$dir"' EXIT
tests=0

[ -x "$understudy" ] || { echo "1..0 # SKIP no $understudy: make"; exit 0; }

ok() { # DESCRIPTION STATUS [WHY]
    tests=$((tests + 1))
    if [ "$2" = 0 ]; then
        echo "ok $tests - $1"
    else
        echo "not ok $tests - $1"
        [ -z "${3:-}" ] || sed 's/^/# /' <<<"$3"
        [ ! -s "$dir/err" ] || head -n 12 "$dir/err" | sed 's/^/# stderr: /'
    fi
}

# A test that needs others' captures, where there are none.
skip_without_captures() { # DESCRIPTION
    compgen -G "$pcaps/*.pcap" >/dev/null && return
    tests=$((tests + 1))
    echo "ok $tests - $1 # SKIP no captures in $pcaps"
}

chains() {
    mkdir -p "$dir/chain"
    echo 'default allow' >"$dir/chain/firewall.rules"
    # Everything passes; every input is one output.
    cat >"$dir/chain/monitor.yaml" <<END
chain: { name: monitor, lanes: 1, nfs: [ monitor: { max_flows: 4096 } ] }
END
    cat >"$dir/chain/nat.yaml" <<END
chain:
  name: nat
  lanes: 1
  nfs:
    - nat: { inside: [10.0.0.0/8, 192.168.0.0/16], outside: 203.0.113.1, ports: 1024-9215, max_flows: 4096 }
    - firewall: { rules: firewall.rules, max_flows: 4096 }
    - monitor: { max_flows: 4096 }
END
}

# Runs the tool; JSON in $dir/json, the rest in $dir/err. Its exit code. Four lanes that send deltas on two processors take up to four
# milliseconds for each burst, so a capture of 28,000 bursts takes 90 s; one that hangs is ended by scripts/part.
run() { "$understudy" replay -o json "$@" >"$dir/json" 2>"$dir/err"; }
# Without the audit, which takes most of a run's time; with it in make check-long, which sets AUDIT_ALL.
run_fast() { if [ -n "${AUDIT_ALL:-}" ]; then run "$@"; else run --fast "$@"; fi; }
# One cell of a table, with the audit if it is the one that is audited.
run_cell() { # CELL AUDITED-CELL ARGUMENT…
    if [ "$1" = "$2" ]; then run "${@:3}"; else run_fast "${@:3}"; fi
}
fact() { jq -r "$1" "$dir/json"; }

# A whole number 1 … N that SEED and TEXT decide.
point() { # SEED TEXT N
    echo $((0x$(sha256sum <<<"$1 $2 $3" | cut -c1-12) % $3 + 1))
}

# One capture through one chain: plain, with kills at seeded points (same file, nothing lost), and without an input keeper.
capture() { # CHAIN FILE SEED
    local chain=$dir/chain/$1.yaml name n code what
    name=$(basename "$2" .pcap)
    run -c "$chain" -w "$dir/a.pcap" --seed "$3" "$2" # by which ports are drawn, too
    code=$?
    n=$(fact .input)
    what=$(fact '"\(.equivalent) \(.failovers) \(.lost) \(.duplicated) \(.reordered) \(.altered)"')
    [ "$code" = 0 ] && [ "$what" = "true 0 0 0 0 0" ]
    ok "$1, $name: $n packets without kills" $? "exit $code, $(cat "$dir/json")" || return
    kills=(--seed "$3" --kill "primary@$(point "$3" one "$n")" --kill "standby@$(point "$3" two "$n")"
        --kill "primary@$(point "$3" three "$n")")
    run -c "$chain" -w "$dir/b.pcap" "${kills[@]}" "$2"
    code=$?
    what=$(fact '"\(.equivalent) \(.failovers) \(.lost) \(.duplicated) \(.reordered) \(.altered)"')
    [ "$code" = 0 ] && [ "$what" = "true 2 0 0 0 0" ] && cmp -s "$dir/a.pcap" "$dir/b.pcap"
    ok "$1, $name: ${kills[*]}: the same file" $? "exit $code, $(cat "$dir/json")"
    run -c "$chain" --no-input-keeper "${kills[@]}" "$2"
    code=$?
    what=$(fact '"\(.equivalent) \(.failovers) \(.reordered) \(.altered)"')
    [ "$code" = 0 ] && [ "$what" = "true 2 0 0" ]
    ok "$1, $name: ${kills[*]} without an input keeper: what is lost is lost, the rest holds" $? \
        "exit $code, $(cat "$dir/json")"
    # The monitor passes everything: what came in has left, or is counted as lost.
    [ "$1" != monitor ] || [ "$(fact '.released - .duplicated + .lost - .input')" = 0 ]
    ok "$1, $name: every packet is accounted for" $? "$(cat "$dir/json")"
}
