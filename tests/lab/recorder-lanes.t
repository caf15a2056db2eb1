#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The flight recorder of a pair of four lanes that share state: the primary records what it executes, the standby what it
# replays, and goes on when it takes over and while it brings up another standby. Both recordings are executed again, to
# the same digests; a replay with a bug planted in it is not.
. "$(dirname "$0")/lib.sh"
export LAB_LANES=${LAB_LANES:-4}
export LAB_NFS="rate_limiter: { clients: inside, pps: 1000000, burst_packets: 100000, max_clients: 1000, max_flows: 20000 } },
           { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } },
           { forward: { read: true }"
need_lab
plan 33

export LAB_RECORD="dir: $work/rec, file_mb: 1, files: 6"
replay() { timeout 900 "$UNDERSTUDY" replay -c "$pair" --log "$@" >"$work/out.txt" 2>"$work/err.txt"; }
json() { jq -r "$1" "$work/out.txt"; }
fetch() { # DIRECTORY COUNT
    web_fetch "$work" "$1" "$2" 10
    is "downloads are intact" "$(web_count "$work" intact)" "$2"
}
executed() { # NODE: its log, to its end
    ok "the log of $1 is executed to the same state" replay "$work/rec/$1" -o json
    diag "$(cat "$work/err.txt")"
    diag "$(json '"\(.bursts) bursts, \(.inputs) inputs, \(.snapshots) snapshots, \(.digests) digests, clocks \(.lanes | map(.seq))"')"
    is "nothing differs, all lanes took part" "$(json '"\(.equal) \(.lanes | map(select(.inputs > 0)) | length)"')" "true $LAB_LANES"
}

ok "the pair of $LAB_LANES lanes is PROTECTED" "$lab" up || exit 1
web_files "$work" 10 4000 300000 2000000
ok "a web server behind the chain" web_serve "$work"
fetch "$work/one" 60
ok "digests equal while both record" equal
fetch "$work/two" 20
ok "once more" equal
is "no recorder had a gap" "$(field a recorder.gaps) $(field b recorder.gaps)" "0 0"
kill -KILL "$(field a pid)"
ok "b is primary" await b state SOLO
for node in a b; do
    executed $node
    ok "snapshots were held against it: $(json .snapshots)" test "$(json .snapshots)" -ge 1
    ok "a digest of all lanes is among what was checked: $(json .digests)" test "$(json .digests)" -ge 1
done

before=$(json '.lanes | map(.seq) | add')
fetch "$work/three" 20
executed b
ok "also what it did alone: from $before to $(json '.lanes | map(.seq) | add')" test "$(json '.lanes | map(.seq) | add')" -gt $((before + 1000))
to=$(json '.lanes[2].seq')
# Of the same files both times: b goes on recording, and its oldest file may go in between.
cp -r "$work/rec/b" "$work/same"
ok "it stops where it is told" replay "$work/same" --until "2:$((to - 20))" -w "$work/one.pcap" -o json
is "at that input" "$(json '"\(.last[-1].lane) \(.last[-1].seq) \(.stopped)"')" "2 $((to - 20)) true"
digest=$(json .digest)
replay "$work/same" --until "2:$((to - 20))" -w "$work/two.pcap" -o json
is "and comes to the same state each time" "$(json .digest)" "$digest"
ok "with the same outputs" cmp "$work/one.pcap" "$work/two.pcap"

"$lab" start a
ok "a standby is brought up to date while b records" is_protected
fetch "$work/four" 20
ok "digests equal" equal
executed b

# The newest that is full: the last one may have hardly more than its base.
full=$(find "$work/rec/b" -name '*.rec' | sort | tail -n 2 | head -n 1)
head -c "$(($(stat -c %s "$full") - 70001))" "$full" >"$work/torn.rec"
ok "a torn file is read as far as it goes" replay "$work/torn.rec"
is "and said so" "$(grep -cE 'torn at offset [0-9]+ of [0-9]+: read up to burst ([0-9]+, ){3}[0-9]+$' "$work/err.txt")" 1

for bug in wrong-time skip-record; do
    UNDERSTUDY_PLANT=$bug timeout 100 "$BUILD/understudy-planted" replay -c "$pair" --log "$work/rec/b" >"$work/out.txt" 2>"$work/err.txt"
    code=$?
    is "planted: $bug" "$code $(grep -c '^understudy: replay diverged: lane' "$work/err.txt" | sed 's/[1-9]/some/')" "1 some"
done
