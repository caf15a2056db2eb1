#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that is slow: its NF takes 3 or 10 us longer for each packet, first the standby's, then the primary's, at 30 and 50 % of what the ports of
# this lab carry (CHC, NSDI 2019, Table 5). Numbered datagrams go both ways all the time: none is lost but for those that the kernel counts as dropped, none comes twice or is altered, and the NF has
# counted each of them exactly once, before, during and behind the slowness. How many packets pass and when the standby is given up and taken
# back is told, not judged. An NF with a bug that counts twice shows that the judgement sees it. STRAGGLER_S: how long a node is slow.
LAB_SLOW= # as the product has it
. "$(dirname "$0")/../lib.sh"
flows=20 enough=1000
. "$root/tests/lab/numbered.sh"
need_lab
plan 47
seconds=${STRAGGLER_S:-5}
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } }, { straggler: {}"
export LAB_PROTECT="mode: log"

build() { gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" "$@" "$root/tests/lab/straggler.c"; }
ok "an NF that is slow when it is told" build -shared -o "$work/straggler.so"
ok "the same, which counts twice while it is slow" build -shared -DTWICE -o "$work/twice.so"
ok "a program that says how many turns take a microsecond" build -DCALIBRATE -o "$work/calibrate"
per_us=$("$work/calibrate")

turns() { printf '%-15s\n' "$2" 1<>"$work/$1.turns"; } # NODE TURNS: of each packet from now on
ups() { cut -d' ' -f1 /proc/uptime; }
received() { field a 'lanes[0].received'; }
# Packets a second that node a executes, from the last call to this one.
rate_from_now() { from=$(received) from_at=$(ups); }
rate_since() { awk -v n=$(($(received) - from)) -v a="$from_at" -v b="$(ups)" 'BEGIN { printf "%.0f", n / (b - a) }'; }
# Seconds from a time, as `date` has it, to the first line of a's log that says so.
said_after() { # SINCE PATTERN
    local at
    at=$(sed -n "s/^\([^ ]*\) $2.*/\1/p" "$LAB_DIR/a.log" | head -n 1)
    [ -n "$at" ] || { echo -; return; }
    awk -v a="$1" -v b="$(date -d "$at" +%s.%N)" 'BEGIN { printf "%.2f", b - a }'
}

pair_up() { # MODULE
    local n
    for n in a b; do turns $n 0; done
    LAB_MODULES=$work/$1.so "$lab" up --no-nodes || return 1
    for n in a b; do UNDERSTUDY_STRAGGLER=$work/$n.turns "$lab" start $n || return 1; done
    is_protected
}

# How many updates of the NF's state are doubled, and how many are missing, by length and direction. Where datagrams were lost in front of the
# chain, no length may have more updates than were sent, and all lengths together no fewer than have arrived.
updates() {
    us show straggler -o json >"$work/show.json" || return 1
    python3 - "$work" <<'END'
import json, sys
work = sys.argv[1]
end = {w: json.load(open(f"{work}/{w}.json")) for w in ("client", "server")}
rows = {r["length"]: r for r in json.load(open(f"{work}/show.json"))["rows"]}
twice = missing = 0
for way, to in (("client", "server"), ("server", "client")):
    sent = dict.fromkeys(rows, 0)
    for n in end[way]["sent"]:
        for c in range(1200): # of 1200 datagrams in a row all lengths are different
            sent[40 + c * 37 % 1200] += n // 1200 + (0 < c <= n % 1200)
    twice += sum(max(0, rows[l][way] - sent[l]) for l in rows)
    got = sum(g[0] for g in end[to]["got"])
    lacking = sum(max(0, sent[l] - rows[l][way]) for l in rows)
    missing += lacking if got == sum(end[way]["sent"]) else max(0, got - sum(rows[l][way] for l in rows))
print(twice, missing)
END
}

row() { # NODE US PERCENT
    local since before during gave_up healed
    rate=$((carried * $3 / 200)) # of each end
    ok "node $1, $2 us, $3 %: the pair is PROTECTED" pair_up straggler || exit 1
    begin
    rate_from_now
    sleep 3
    before=$(rate_since)
    since=$(date +%s.%N)
    turns "$1" $((per_us * $2))
    rate_from_now
    sleep "$seconds"
    during=$(rate_since)
    gave_up=$(said_after "$since" "warning standby_lost a: .*slow: waited")
    turns "$1" 0
    healed=$(ups)
    ok "it is PROTECTED when the node is as quick as before" is_protected
    healed=$(awk -v a="$healed" -v b="$(ups)" 'BEGIN { printf "%.1f", b - a }')
    end
    ok "each datagram arrives once, as it was sent" each_once
    is "no update of the state is doubled or missing" "$(updates)" "0 0"
    ok "and both states are equal" equal
    figures+=("node $1, $2 us, $3 %: packets/s $before, then $during; waited $(field a 'lanes[0].waited_ms') ms, given up after s $gave_up, PROTECTED again after s $healed; lost $(way client server | cut -d' ' -f2) + $(way server client | cut -d' ' -f2), rings had no room for $(missed)")
    "$lab" down
}

# ── what the ports carry ───────────────────────────────────────────────────────────────────────────

rate=1000000
ok "a pair that is not slow is PROTECTED" pair_up straggler || exit 1
begin
rate_from_now
sleep 4
carried=$(rate_since)
kill "$client" "$server"
wait "$client" "$server" 2>/dev/null
"$lab" down
figures=("the ports carry $carried packets/s, both ways together; $per_us turns take 1 us; a is the primary")

for node in b a; do
    for us in 3 10; do
        for percent in 30 50; do row $node $us $percent; done
    done
done

# ── a bug ──────────────────────────────────────────────────────────────────────────────────────────

rate=1000
ok "a pair whose NF counts twice while it is slow is PROTECTED" pair_up twice || exit 1
turns b 1
begin
ok "a standby that counts twice is seen by the digests" soon eval '! equal'
turns b 0
turns a 1
sleep 3
end
is_like "a primary that counts twice is seen by its count" "$(updates)" "[1-9]* 0"
"$lab" down
for f in "${figures[@]}"; do diag "$f"; done
