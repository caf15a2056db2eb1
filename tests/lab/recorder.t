#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The flight recorder of a pair with downloads under way and its primary killed: what both kept, and what the survivor
# does alone, is executed again to the same state, stops where it is told, and is refused when it is damaged. A replay with a bug
# planted in it comes to something else, and says where.
. "$(dirname "$0")/lib.sh"
need_lab
plan 73

export LAB_RECORD="dir: $work/rec, file_mb: 1, files: 4"
began=$(date +%s.%N)
ok "the pair is PROTECTED" "$lab" up || exit 1
web_files "$work" 10 4000 300000 2000000 8000000 3000000
ok "a web server behind the chain" web_serve "$work"
web_fetch "$work" "$work/out" 60 10 &
sleep 1
ok "digests equal while it records" us verify
wait
"$lab" exec server bash -c 'for i in 1 2 3 4 5; do echo x >/dev/udp/203.0.113.1/9; sleep 0.02; done' # nobody's
"$lab" exec server ip neigh flush dev eth0 # who asks for the chain's address: L3 takes that in
ok "one more download" "$lab" exec client curl -q -sf -o "$work/one" http://203.0.113.100/1
ok "once more, behind the last one" us verify
kill -KILL "$(field a pid)"
ok "b is primary" await b state SOLO

log=$work/rec/b
replay() { timeout 900 "$UNDERSTUDY" replay -c "$pair" --log "$@" >"$work/out.txt" 2>"$work/err.txt"; }
json() { jq -r "$1" "$work/out.txt"; }

kept=$(find "$log" -name '*.rec' | wc -l)
ok "files are rotated and bounded: $kept" test "$kept" -gt 1 -a "$kept" -le 4
ok "the log is executed to the same state" replay "$log" -o json
diag "$(cat "$work/err.txt")"
is "nothing differs" "$(json .equal)" true
ok "snapshots are held against what was replayed: $(json .snapshots)" test "$(json .snapshots)" -ge 1
diag "$(json .bursts) bursts, $(json .inputs) inputs, $(json .digests) digests"
ok "a digest of the primary's is among what was checked" test "$(json .digests)" -ge 1
to=$(json .seq)
is "the recorder had no gap" "$(field b recorder.gaps) $(field b recorder.failures)" "0 0"
middle=$((to - 100))
ok "it stops where it is told" replay "$log" --until "0:$middle" -w "$work/out.pcap" -o json
is "the last input shown is that one" "$(json '.last[-1].seq') $(json '.last | length')" "$middle 8"
ok "outputs are a capture" test "$(stat -c %s "$work/out.pcap")" -gt 1000
ok "for people too" replay "$log"
diag "$(head -n 20 "$work/out.txt")"

# Moments: by the wall clock, of which the test has one of its own; what is between two of them, told by tshark.
now=$(date +%s.%N)
within() { awk -v a="$began" -v b="$now" '$1 < a || $1 > b { bad++ } END { exit bad || !NR }'; }
ok "all of it" replay "$log" --inputs "$work/all.pcap" -o json
inputs=$(json .inputs) first=$(($(json .seq) - $(json .inputs) + 1))
is "each input is in the capture" "$(tshark -r "$work/all.pcap" 2>/dev/null | wc -l)" "$inputs"
ok "at the time at which it came" within < <(tshark -r "$work/all.pcap" -T fields -e frame.time_epoch 2>/dev/null)
# Questions to it: a flow of which tshark says how many packets came from inside, and how many left to there; and what was dropped.
read -r client port < <(tshark -r "$work/all.pcap" -Y "ip.src == 10.0.0.0/8 && tcp.flags.syn == 1 && tcp.flags.ack == 0" -T fields -e ip.src -e tcp.srcport 2>/dev/null | tail -n 1)
ok "each packet of a flow" replay "$log" --flow "$client:$port" -w "$work/left.pcap" -o json
both=$(($(tshark -r "$work/all.pcap" -Y "ip.src == $client && tcp.srcport == $port" 2>/dev/null | wc -l) + $(tshark -r "$work/left.pcap" -Y "ip.dst == $client && tcp.dstport == $port" 2>/dev/null | wc -l)))
is "both ways, as tshark counts them: $both" "$(json '.told | length')" "$both"
is "in order" "$(json '[.told[].seq] | . == sort and length > 3')" true
ok "with rows of nat" replay "$log" --flow "$client:$port" --show nat -o json
is "one came with the first packet, and is its own" \
    "$(json "[([.told[].changes | values][0])[] | select(startswith(\"+ \") and contains(\"$client:$port\"))] | length")" 1
later=$(json '.told[2].seq') last=$(json '.told[-1].seq')
ok "from a later moment on" replay "$log" --flow "$client:$port" --show nat --at "0:$later" --until "0:$last" -o json
is "a row that was there before changes, and is not told to have come" \
    "$(json "[([.told[].changes | values][0])[] | select(contains(\"$client:$port \")) | .[:1]] | sort | join(\" \")")" "+ -"
ok "what was dropped" replay "$log" --drops -o json
is "is all of it, and who dropped what nobody had asked for is named" \
    "$(json '[(.told | length) == .dropped, ([.told[] | select(.input | test("udp .* > 203.0.113.1:9$")) | .verdict] | unique | join(" ")), ([.told[] | select(.input | endswith(":9"))] | length)] | join(" ")')" \
    "true dropped by firewall: denied by $LAB_DIR/firewall.rules:$(grep -n '^default deny in' "$LAB_DIR/firewall.rules" | cut -d: -f1), default in 5"
is "what L3 took in is not among it" "$(json '[.taken_in > 0, ([.told[] | select(.verdict | test("l3_(arp|nd)$"))] | length)] | join(" ")')" "true 0"
at=$((first + inputs / 3)) until=$((first + inputs / 2))
instant=$(tshark -r "$work/all.pcap" -Y "frame.number == $((inputs / 2))" -T fields -e frame.time_epoch 2>/dev/null)
ok "two moments" replay "$log" --at "0:$at" --until "0:$until" --diff --show firewall --inputs "$work/some.pcap" -o json
between=$(tshark -r "$work/some.pcap" 2>/dev/null | wc -l)
ok "what came in between, in whole bursts: $between" test "$between" -ge $((until - at - 32)) -a "$between" -le $((until - at + 32))
is "the NF's own count of them" "$(json '.diff.monitor.counters.packets')" \
    "$(tshark -r "$work/some.pcap" -Y "ip.proto == 6 || ip.proto == 17" 2>/dev/null | wc -l)"
is "rows that came and went are what two looks see" "$(json '.diff.firewall | (.come | length) - (.gone | length)')" \
    "$(($(json '.rows | length') - $(replay "$log" --at "0:$at" --show firewall -o json && json '.rows | length')))"
zulu=$(date -u -d "@$instant" +%Y-%m-%dT%H:%M:%S.%NZ)
ok "a moment by the wall clock" replay "$log" --at "$zulu" -o json
ok "nothing later was executed, nor much less" awk -v is="$(json .seq)" -v want=$((first + inputs / 2 - 1)) \
    'BEGIN { exit is < want - 64 || is > want + 64 }'
is "and the last input is not behind it" "$(json '.last[-1].wall' | sed 's/Z//')" "$(json '.last[-1].wall' | sed 's/Z//' |
    awk -v z="$zulu" '{ print ($0 "999") <= z || substr(z, 1, length($0)) == $0 ? $0 : "later than " z }')"
ok "what two looks at one moment see is one state" test "$(replay "$log" --at "$zulu" -o json && json .digest)" = \
    "$(replay "$log" --until "$zulu" -o json && json .digest)"
if ! gdb_can '= 4$' || ! gdb_can 'hit Hardware'; then
    skip "a debugger stops before an input, in the NF that is about to take it" "gdb cannot call functions, or has no watchpoints, here"
else
    timeout -k 5 60 "$UNDERSTUDY" replay -c "$pair" --log "$log" --at "0:$at" --gdb </dev/null >"$work/gdb.txt" 2>&1
    is "a debugger stops before an input, in the NF that is about to take it" \
        "$(grep -c '^Value = ' "$work/gdb.txt") $(grep -cE '^(0x[0-9a-f]+ in )?(nat|mon)_process ' "$work/gdb.txt")" "1 1" ||
        diag "$(tail -n 30 "$work/gdb.txt")"
fi

ok "what the primary recorded is executed as well" replay "$work/rec/a" -o json
is "nothing differs" "$(json .equal)" true
is "to the moment at which it was killed" "$(json '.end.how + ": " + .end.line' | grep -c '^killed: was killed')" 1

# Of two servers, of which one has lost its older files: the other's lead to those that it has.
mkdir -p "$work/joined/b"
cp -r "$work/rec/a" "$work/joined"
find "$log" -name '*.rec' | sort | tail -n 2 | xargs -I{} cp {} "$work/joined/b"
ok "recordings of both nodes are joined" replay "$work/joined" -o json
diag "$(cat "$work/err.txt")"
is "equal, of both, and nothing is missing" \
    "$(json .equal) $(json '[.recordings[].node] | unique | join(" ")') $(json '[.recordings[].missing_ns] | add')" "true a b 0"
end=$(json .seq)
ok "to the end, $end, with more than b's two files" test "$end" -ge "$to" -a "$(json .files)" -gt 2
ok "as two directories" replay "$work/joined/b" --log "$work/joined/a" -o json
is "the same" "$(json .equal) $(json .seq)" "true $end"

web_fetch "$work" "$work/alone" 20 5
is "downloads through b alone" "$(web_count "$work" intact)" 20
ok "it recorded them, too" replay "$log" -o json
ok "in the recording that it began as a standby: $(json .seq) after $to, $(json .snapshots) snapshots" test "$(json .seq)" -gt $((to + 100)) -a "$(json .snapshots)" -ge 1

for bug in none wrong-time skip-record; do
    UNDERSTUDY_PLANT=$bug timeout 60 "$BUILD/understudy-planted" replay -c "$pair" --log "$log" >"$work/out.txt" 2>"$work/err.txt"
    code=$?
    said=$(grep -cE 'diverged: lane 0 burst [0-9]+ seq [0-9]+: .*: expected [0-9a-f]+, got [0-9a-f]+$' "$work/err.txt")
    [ $bug = none ] && expected="0 0" || expected="1 1"
    is "planted: $bug" "$code $said" "$expected"
done

newest=$(find "$log" -name '*.rec' | sort | tail -n 2 | head -n 1) # the very newest begins with the takeover
oldest=$(find "$log" -name '*.rec' | sort | head -n 1)
mkdir -p "$work/apart/a" "$work/apart/b"
find "$work/rec/a" -name '*.rec' | sort | head -n 1 | xargs -I{} cp {} "$work/apart/a"
cp "$newest" "$work/apart/b"
ok "one file alone" replay "$(echo "$work"/apart/a/*.rec)" -o json
between=$(($(json .seq) + 1))
head -c -5 "$newest" >"$work/torn.rec"
cp "$oldest" "$work/bad.rec"
was=$(od -An -tu1 -j 5000 -N 1 "$work/bad.rec") # whatever it is, another one
printf '%b' "\\0$(printf %o $((was ^ 255)))" | dd of="$work/bad.rec" bs=1 seek=5000 conv=notrunc status=none
refused() { # CODE PATTERN ARGUMENT…
    local code=$1 pattern=$2
    shift 2
    replay "$@"
    is "exit $code: $pattern" "$? $(grep -cE -- "$pattern" "$work/err.txt") $(wc -l <"$work/err.txt")" "$code 1 1" || diag "$(cat "$work/err.txt")"
}
: >"$log/99999999.rec" # begun when its node died
ok "a file with nothing in it is passed over" replay "$log"
is "and said so" "$(grep -c '99999999.rec:offset 0: .*, passed over$' "$work/err.txt")" 1
rm "$log/99999999.rec"
cp -r "$log" "$work/scarred"
cp "$work/bad.rec" "$work/scarred/$(basename "$oldest")"
ok "a damaged old file is passed over" replay "$work/scarred"
is "and said so" "$(grep -cE "$(basename "$oldest"):offset [0-9]+: .*, passed over$" "$work/err.txt")" 1
ok "a torn file is read as far as it goes" replay "$work/torn.rec"
refused 65 'bad.rec:offset [0-9]+: .*, expected' "$work/bad.rec"
refused 65 'pair.yaml:offset 0: .*, expected a recording' "$pair"
refused 64 'expected LANE:SEQ, a time' "$log" --until 5
refused 64 "0:$between: the log has sequence numbers of lane 0: [0-9]+ to $((between - 1)) \(a\), (nothing for [0-9.]+ s, )?[0-9]+ to [0-9]+ \(b\)$" \
    "$work/apart" --at "0:$between"
refused 64 'the log has 20.*Z to 20.*Z' "$log" --at 2020-01-01T00:00:00Z
refused 64 'the log has sequence numbers' "$log" --until 1:$to
refused 64 "--seed.* with --log, expected a capture" "$log" --seed 7
refused 65 'no recording, expected files' "$work/out"
sed 's/max_flows: 20000/max_flows: 20001/' "$pair" >"$work/other.yaml"
cp "$LAB_DIR/firewall.rules" "$work/"
timeout 900 "$UNDERSTUDY" replay -c "$work/other.yaml" --log "$log" >"$work/out.txt" 2>"$work/err.txt"
is "another chain is refused by name" "$? $(grep -cE 'rec:offset 16: chain with .*20000.*, expected .*20001' "$work/err.txt")" "65 1"
refused 64 'the log has sequence numbers' "$log" --until "0:$((to + 1000000))"

# ── another chain while it records ───────────────────────────────────────────────────────────────

cp "$pair" "$work/before.yaml"
before=$(find "$log" -name '*.rec' | sort | tail -n 1)
sed -i 's/max_flows: 20000/max_flows: 20002/' "$pair"
ok "another chain is applied to a node that records" us apply
ok "a download goes through it" "$lab" exec client curl -q -sf -o "$work/one" http://203.0.113.100/2
executed() { replay "$log" -o json && [ "$(json .equal)" = true ] && [ "$(json .inputs)" -gt 100 ]; }
ok "what is recorded since is executed to the same state" soon executed
timeout 900 "$UNDERSTUDY" replay -c "$work/before.yaml" --log "$before" -o json >"$work/out.txt" 2>"$work/err.txt"
is "and what was recorded before, by the file of then" "$? $(json .equal)" "0 true"
is "without a gap" "$(field b recorder.gaps) $(field b recorder.failures)" "0 0"
