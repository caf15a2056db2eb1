#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A bit flips in the standby's memory, where no packet looks: within a round the pair finds it by itself, both nodes say
# where and save their bytes of it, and the standby is brought up to date. With the log, with deltas, with a warm standby,
# and in what the lanes of a pair of two share.
. "$(dirname "$0")/../lib.sh"
need_lab
plan 52

flip() { python3 "$root/tests/lab/flip.py" "$1" "$2" >"$work/at"; }
counted() { grep -cE "$1" "$LAB_DIR/$2.log"; }
head_of() { head -n 1 "$LAB_DIR/$1/$1.diverged"; }
# Bits in which the two files' lines differ.
bits() {
    python3 - "$LAB_DIR/a/a.diverged" "$LAB_DIR/b/b.diverged" <<'END'
import sys
a, b = ({l.split()[0]: int(l.split()[1], 16) for l in list(open(f))[1:]} for f in sys.argv[1:])
print(sum(bin(a.get(k, 0) ^ b.get(k, 0)).count("1") for k in a.keys() | b.keys()))
END
}
# A round has ended since the standby got its state.
rounds() {
    local left=$(polls)
    until [ "$(field a verified.age_s)" != null ] && [ "$(field b verified.age_s)" != null ]; do
        poll || { field a verified; field b verified; return 1; }
    done
}

heals() { # WORD PROTECT LANES PLACE WHOSE
    local standby
    export LAB_PROTECT="$2, verify_every_s: 3" LAB_LANES=$3
    ok "$1: the pair is PROTECTED" "$lab" up || exit 1
    web_serve "$work" || { diag "no web server"; exit 1; }
    web_fetch "$work" "$work/out" 20 5
    ok "$1: a round finds the states equal" rounds
    is "$1: and nothing that differs" "$(field a diverged) $(field b diverged)" "null null"
    standby=$(field b pid)
    ok "$1: a bit flips in the standby's memory" flip "$standby" "$4"
    ok "$1: the primary hears of it" await a verified.different 1
    ok "$1: the pair is PROTECTED again" is_protected
    ok "$1: by the same process, which says whose bytes they are" \
        test "$standby $(counted "replay diverged: .*: digest of slice [0-9]+ \($5" b)" = "$(field b pid) 1"
    ok "$1: both have saved them" test "$(counted "slice .*($5).* differs from the peer's: saved as" a) $(counted \
        "slice .*($5).* differs from the peer's: saved as" b)" = "1 1"
    is "$1: for nobody else to read" "$(stat -c %a "$LAB_DIR/a/a.diverged" "$LAB_DIR/b/b.diverged" | sort -u)" 600
    is "$1: as they were at one moment" "$(head_of a)" "$(head_of b)"
    is "$1: and they differ in that bit" "$(bits)" 1
    ok "$1: then a round finds all equal" rounds
    is "$1: and so does verify" "$(us verify -o json | jq .equal)" true
    rm -f "$LAB_DIR/a/a.diverged" "$LAB_DIR/b/b.diverged"
    "$lab" down
}

web_files "$work" 10 4000 300000
heals "log" "mode: log" 1 lowest "nf"
heals "delta" "mode: delta" 1 lowest "nf"
heals "warm" "mode: log, standby: warm, checkpoint_ms: 5" 1 lowest "nf"
export LAB_NFS="rate_limiter: { clients: inside, pps: 1000000, burst_packets: 100000, max_clients: 1000, max_flows: 20000 } },
           { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } },
           { forward: { read: true }"
heals "two lanes" "mode: log" 2 highest "the shared arena"
