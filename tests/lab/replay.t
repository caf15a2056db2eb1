#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# understudy replay: captures through a pair, with kills on both sides; the verdict, and what it is worth: bugs planted
# in a build of their own must each be caught. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
chains

# ---- what the tool says ---------------------------------------------------------------------------------------------

python3 tests/lab/mkpcap.py "$dir/made.pcap" 12000 1500
keys="altered checksums_wrong crashed delta_bytes dependencies differences dropped duplicated equivalent failovers first frames_foreign frames_refused frames_sent input ip_checksums_wrong"
keys="$keys kills_beyond log_bytes lost nfs reference_digest released reordered rows run_digest suppressed"
run -c "$dir/chain/nat.yaml" "$dir/made.pcap"
ok "a capture of our own through nat, firewall, monitor" $? "$(cat "$dir/json")"
[ "$(fact 'keys | join(" ")')" = "$keys" ]
ok "JSON has exactly the keys of the contract" $? "$(fact 'keys | join(" ")')"
[ "$(fact .input)" = 12000 ] && [ "$(fact '.reference_digest == .run_digest')" = true ]
ok "all packets of the capture, equal digests" $?
"$understudy" replay -c "$dir/chain/nat.yaml" "$dir/made.pcap" >"$dir/out" 2>"$dir/err" && grep -q EQUIVALENT "$dir/out" &&
    [ ! -s "$dir/err" ]
ok "for people: a table on stdout" $?
run -c "$dir/chain/nat.yaml" -w "$dir/a.pcap" "$dir/made.pcap"
run -c "$dir/chain/nat.yaml" -w "$dir/b.pcap" --mode off "$dir/made.pcap" && [ "$(fact .log_bytes)" = 0 ] &&
    cmp -s "$dir/a.pcap" "$dir/b.pcap"
ok "mode off: the same file, nothing logged" $? "$(cat "$dir/json")"
run -c "$dir/chain/nat.yaml" --seed 7 "$dir/made.pcap"
other=$(fact .run_digest)
run -c "$dir/chain/nat.yaml" --seed 7 "$dir/made.pcap"
[ "$other" = "$(fact .run_digest)" ]
ok "the same seed gives the same state" $?
run -c "$dir/chain/nat.yaml" --seed 8 "$dir/made.pcap"
[ "$other" != "$(fact .run_digest)" ]
ok "another seed gives another" $?

# ---- what -w may replace ------------------------------------------------------------------------------------------------

# refuses FILE: replay with -w FILE leaves it as it is.
refuses() {
    local before
    before=$(sha256sum "$1")
    "$understudy" replay -c "$dir/chain/nat.yaml" -w "$1" "$dir/made.pcap" >"$dir/out" 2>"$dir/err"
    [ $? = 64 ] && [ "$(sha256sum "$1")" = "$before" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "expected" "$dir/err"
}
cp "$dir/chain/nat.yaml" "$dir/mine.yaml"
printf 'US-REC' >"$dir/mine.rec"
refuses "$dir/mine.yaml" && refuses "$dir/mine.rec" && refuses "$dir/made.pcap"
ok "-w replaces no chain, no recording, and not the capture that is read" $? "$(cat "$dir/err")"
: >"$dir/c.pcap"
run -c "$dir/chain/nat.yaml" -w "$dir/c.pcap" "$dir/made.pcap" && run -c "$dir/chain/nat.yaml" -w "$dir/c.pcap" "$dir/made.pcap" &&
    cmp -s "$dir/a.pcap" "$dir/c.pcap"
ok "an empty file and an earlier output are replaced" $?
python3 tests/lab/mkpcap.py "$dir/long.pcap" 400000 1500
before=$(sha256sum "$dir/c.pcap")
"$understudy" replay -c "$dir/chain/nat.yaml" -w "$dir/c.pcap" "$dir/long.pcap" >"$dir/out" 2>"$dir/err" &
pid=$!
for ((i = 0; i < 2000; i++)); do [ ! -e "$dir/c.pcap.part" ] || break; sleep 0.005; done
kill -KILL $pid
wait $pid 2>/dev/null
[ $? = 137 ] && [ "$(sha256sum "$dir/c.pcap")" = "$before" ]
ok "a run that is killed leaves the file it would have replaced" $?
rm -rf "$dir/long.pcap" "$dir/c.pcap.part" "${TMPDIR:?}"/* # what a killed program cannot clear away

# ---- the file that is written: stamps and bytes, by another program's eyes --------------------------------------------

if command -v tcpdump >/dev/null; then
    run -c "$dir/chain/monitor.yaml" -w "$dir/a.pcap" "$dir/made.pcap"
    cmp -s <(tcpdump -nr "$dir/a.pcap" --nano -tt -xx 2>/dev/null) <(tcpdump -nr "$dir/made.pcap" --nano -tt -xx 2>/dev/null)
    ok "the monitor changes nothing: every packet leaves as it came, with its time" $?
    run -c "$dir/chain/nat.yaml" -w "$dir/a.pcap" "$dir/made.pcap"
    n=$(tcpdump -nr "$dir/a.pcap" src host 203.0.113.1 and tcp 2>/dev/null | wc -l)
    m=$(tcpdump -nr "$dir/made.pcap" src net 10.0.0.0/16 and tcp 2>/dev/null | wc -l)
    [ "$n" = "$m" ] && [ "$n" -gt 1000 ]
    ok "all $m packets of TCP from inside leave with the outside address" $? "got $n"
fi

# ---- kills ------------------------------------------------------------------------------------------------------------

for seed in 1 2 3; do
    capture nat "$dir/made.pcap" "$seed"
done
run -c "$dir/chain/nat.yaml" -w "$dir/a.pcap" "$dir/made.pcap"
for kills in "primary@1" "primary@12000" "standby@1" "primary@6000 primary@6000" "standby@6000 standby@6000 primary@6001" \
    "primary@1000 primary@2000 primary@3000 standby@3500 primary@4000 primary@9000"; do
    list=()
    for kill in $kills; do list+=(--kill "$kill"); done
    run -c "$dir/chain/nat.yaml" -w "$dir/b.pcap" "${list[@]}" "$dir/made.pcap" && cmp -s "$dir/a.pcap" "$dir/b.pcap" &&
        [ "$(fact .failovers)" = "$(grep -o primary <<<"$kills" | wc -l)" ]
    ok "kills $kills: the same file" $? "$(cat "$dir/json")"
done
run -c "$dir/chain/monitor.yaml" --no-input-keeper --kill primary@3000 --kill primary@6000 --kill primary@9000 "$dir/made.pcap"
code=$?
lost=$(fact .lost)
told=$(grep -c '^lost: .*seq [0-9]' "$dir/err")
[ "$code" = 0 ] && [ "$told" = $((lost < 20 ? lost : 20)) ]
ok "without an input keeper: the $lost lost are listed with their clocks, 20 of them at most" $? "$told listed"

# ---- captures of others -----------------------------------------------------------------------------------------------

skip_without_captures "captures of others"
for file in "$pcaps"/*.pcap; do
    [ -r "$file" ] || continue
    capture monitor "$file" 1
done
[ ! -r "$pcaps/gnutella.pcap" ] || capture nat "$pcaps/gnutella.pcap" 2
if [ -r "$pcaps/echo-connections.pcap.gz" ]; then
    gunzip -c "$pcaps/echo-connections.pcap.gz" >"$dir/echo-connections.pcap"
    capture monitor "$dir/echo-connections.pcap" 3
    [ "$(fact .input)" = 82582 ]
    ok "echo-connections: 82582 packets, as others count" $?
fi

# ---- kills as many and as near as can be ------------------------------------------------------------------------------

run -c "$dir/chain/nat.yaml" -w "$dir/a.pcap" "$dir/made.pcap"
mapfile -t many < <(for i in $(seq 32); do printf '%s\n' --kill "primary@$((i * 370))" --kill "standby@$((i * 370))"; done)
run -c "$dir/chain/nat.yaml" -w "$dir/b.pcap" "${many[@]}" "$dir/made.pcap"
code=$?
[ $code = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers)"')" = "true 32" ] && cmp -s "$dir/a.pcap" "$dir/b.pcap"
ok "64 kills, both sides at each of 32 packets: the same file" $? "exit $code, $(cat "$dir/json")"
run -c "$dir/chain/nat.yaml" -w "$dir/b.pcap" --kill primary@1 --kill standby@1 --kill primary@1 --kill primary@12000 \
    --kill standby@12000 --kill primary@12000 "$dir/made.pcap"
code=$?
[ $code = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers)"')" = "true 4" ] && cmp -s "$dir/a.pcap" "$dir/b.pcap"
ok "kills at the first packet and at the last: the same file" $? "exit $code, $(cat "$dir/json")"

# ---- what it refuses --------------------------------------------------------------------------------------------------

refused() { # NAME CODE PATTERN ARGUMENTS...
    local name=$1 code=$2 pattern=$3 got
    shift 3
    timeout 900 "$understudy" replay "$@" >"$dir/out" 2>"$dir/err"
    got=$?
    [ "$got" = "$code" ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qE -- "$pattern" "$dir/err"
    ok "refused: $name" $? "exit $got, expected $code and $pattern"
}
chain=$dir/chain/nat.yaml
made=$dir/made.pcap
head -c 1234 "$made" >"$dir/short.pcap"
{ head -c 24 "$made"; head -c 300 /dev/urandom | tr '\0-\377' '\377'; } >"$dir/bad.pcap"
head -c 10 "$made" >"$dir/stub.pcap"
: >"$dir/empty.pcap"
{ head -c 20 "$made"; printf '\145\0\0\0'; tail -c +25 "$made"; } >"$dir/raw.pcap"
head -c 24 "$made" >"$dir/none.pcap"
refused "an option twice" 64 "option --mode twice, expected once" -c "$chain" --mode log --mode log "$dir/short.pcap"
refused "a capture cut off" 65 "short.pcap:offset [1-9][0-9]*: truncated.*, expected a whole record" -c "$chain" "$dir/short.pcap"
refused "a corrupt record" 65 "bad.pcap:offset 24: .*, expected" -c "$chain" "$dir/bad.pcap"
# A time stamp in a record of pcap: seconds, and microseconds or nanoseconds, as the file's first word says.
stamped() { # NAME MAGIC SECONDS FRACTION [ENDIAN]
    python3 -c '
import struct, sys
out, magic, seconds, fraction, end = sys.argv[1], *(int(word, 16) for word in sys.argv[2:5]), sys.argv[5]
with open(out, "wb") as f:
    f.write(struct.pack(end + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1))
    for sub in (0, fraction):
        f.write(struct.pack(end + "IIII", seconds if sub else 0, sub, 60, 60) + bytes(60))' "$dir/$1.pcap" "$2" "$3" "$4" "${5:-<}"
}
stamped micro A1B2C3D4 3E8 F4240
stamped other A1B2C3D4 3E8 F4240 '>'
stamped nano A1B23C4D 3E8 3B9ACA00
stamped late A1B2C3D4 F0000000 5
refused "a million microseconds" 65 "micro.pcap:offset 100: a time stamp with 1000000 microseconds, expected 0 to 999999$" -c "$chain" "$dir/micro.pcap"
refused "the same in the other order" 65 "other.pcap:offset 100: a time stamp with 1000000 microseconds, expected 0 to 999999$" -c "$chain" "$dir/other.pcap"
refused "1e9 nanoseconds" 65 "nano.pcap:offset 100: a time stamp with 1000000000 nanoseconds, expected 0 to 999999999$" -c "$chain" "$dir/nano.pcap"
refused "a time before 1970" 65 "late.pcap:offset 100: a time stamp with -268435456 seconds, expected 0 .1970. to 10000000000 .2286.$" -c "$chain" "$dir/late.pcap"
stamped micro A1B2C3D4 3E8 F423F
stamped nano A1B23C4D 3E8 3B9AC9FF
run -c "$dir/chain/monitor.yaml" "$dir/micro.pcap" && run -c "$dir/chain/monitor.yaml" "$dir/nano.pcap" && [ "$(fact .input)" = 2 ]
ok "the last of each second are times" $? "$(cat "$dir/json")"
refused "half a header" 65 "stub.pcap:offset 0: .*, expected a capture" -c "$chain" "$dir/stub.pcap"
refused "an empty file" 65 "empty.pcap:offset 0: .*, expected a capture" -c "$chain" "$dir/empty.pcap"
refused "another format" 65 "nat.yaml:offset 0: .*, expected a capture" -c "$chain" "$chain"
refused "another link type" 65 "raw.pcap:offset 20: link type .*, expected Ethernet, LINUX_SLL or LINUX_SLL2$" -c "$chain" "$dir/raw.pcap"
# A section, an interface, two packets: the whole of pcapng that is needed; then cut off, then with a length that cannot be.
python3 -c '
import struct, sys
def block(kind, body):
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)
whole = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 0))
whole += block(6, struct.pack("<IIIII", 0, 0, 1000, 64, 64) + b"x" * 64) * 2
open(sys.argv[1] + "/whole.pcapng", "wb").write(whole)
open(sys.argv[1] + "/short.pcapng", "wb").write(whole[:-30])
open(sys.argv[1] + "/bad.pcapng", "wb").write(whole[:52] + b"\3\0\0\0" + whole[56:])' "$dir"
run -c "$chain" "$dir/whole.pcapng" && [ "$(fact .input)" = 2 ]
ok "a capture in the newer format" $? "$(cat "$dir/json")"
refused "the newer format, cut off" 65 "short.pcapng:offset [1-9][0-9]*: truncated.*, expected a whole record" -c "$chain" "$dir/short.pcapng"
refused "the newer format, corrupt" 65 "bad.pcapng:offset [1-9][0-9]*: .*length of 3.*, expected" -c "$chain" "$dir/bad.pcapng"
printf 'UNDSTREC%0200d' 0 >"$dir/foreign.rec"
refused "a recording for a capture" 65 "foreign.rec:offset 0: .*, expected a capture" -c "$chain" "$dir/foreign.rec"
refused "a capture for a recording" 65 "made.pcap:offset 0: .*, expected a recording" -c "$chain" --log "$made"
refused "a recording of no kind known" 65 "foreign.rec:offset [0-9]+: .*, expected" -c "$chain" --log "$dir/foreign.rec"
mkdir "$dir/none"
refused "a directory without recordings" 65 "no recording, expected files" -c "$chain" --log "$dir/none"
refused "a directory" 65 "expected a capture" -c "$chain" "$dir"
refused "a capture that is not there" 65 "nowhere.pcap: No such file" -c "$chain" "$dir/nowhere.pcap"
refused "a chain that is not there" 65 "nowhere.yaml" -c "$dir/nowhere.yaml" "$made"
refused "rows of an NF that is not there" 64 "--show dpi: no NF of this chain" -c "$chain" --show dpi "$made"
refused "no chain" 64 "expected -c FILE" "$made"
refused "no capture" 64 "expected IN.pcap" -c "$chain"
refused "two captures" 64 "unexpected argument" -c "$chain" "$made" "$made"
refused "an output that cannot be written" 65 "expected a file" -c "$chain" -w "$dir/no/such.pcap" "$made"
for kill in primary master@1 primary@ primary@x primary@0 primary@-1 primary@1x @1 primary@99999999999999999999; do
    refused "--kill $kill" 64 "expected primary@PACKET or standby@PACKET" -c "$chain" --kill "$kill" "$made"
done
mapfile -t many < <(for i in $(seq 65); do printf '%s\n' --kill "primary@$((i * 180))"; done)
refused "65 kills" 64 "more than 64 kills" -c "$chain" "${many[@]}" "$made"
refused "a kill with mode off" 64 "nobody to go on" -c "$chain" --mode off --kill primary@1 "$made"
refused "17 lanes" 64 "expected a number from 1 to 16" -c "$chain" --lanes 17 "$made"
refused "mode fast" 64 "expected off, log, delta or auto" -c "$chain" --mode fast "$made"
refused "a cold standby" 64 "expected hot or warm" -c "$chain" --standby cold "$made"
refused "an unknown option" 64 "unknown option" -c "$chain" --frobnicate "$made"
run -c "$chain" "$dir/none.pcap" && [ "$(fact '"\(.input) \(.released) \(.equivalent)"')" = "0 0 true" ]
ok "a capture without packets is none wrong" $?

# ---- what the verdict is worth ----------------------------------------------------------------------------------------

if [ -x "$planted" ]; then
    caught() { # NAME ARGUMENTS...
        local name=$1 code
        shift
        UNDERSTUDY_PLANT=$name timeout 120 "$planted" replay -o json -c "$chain" --kill primary@3000 --kill primary@6000 \
            --kill primary@9000 --kill primary@11000 "$@" "$made" >"$dir/json" 2>"$dir/err"
        code=$?
        if [ "$name" = none ]; then
            [ "$code" = 0 ]
            ok "no bug planted: equivalent ($*)" $? "exit $code"
        else
            [ "$code" = 1 ] && [ "$(fact .equivalent)" = false ]
            ok "caught: $name ($*)" $? "exit $code, $(cat "$dir/json")"
        fi
    }
    for bug in none early-release,late-lane skip-record reuse-seq wrong-time skip-line; do
        caught "$bug" --seed 1
        caught "$bug" --seed 2 --no-input-keeper
    done
    # Packets recorded by their sessions, as they are where no input keeper has the frames.
    for bug in none told-neighbour told-other-key told-first-key; do
        caught "$bug" --seed 2 --no-input-keeper --mode log
    done
fi

# Checkpoints far apart, and the last burst is full: the one that is asked for at the end is copied all the same.
python3 tests/lab/mkpcap.py "$dir/full.pcap" 128000 1000 3
sed 's/$/\nprotect: { checkpoint_ms: 60000 }/' "$dir/chain/monitor.yaml" >"$dir/chain/far.yaml"
run -c "$dir/chain/far.yaml" --mode log --standby warm --no-input-keeper "$dir/full.pcap"
ok "a warm standby gets the checkpoint that is asked for, whatever was the last burst" $? "$(cat "$dir/json")"

left=$(find "$TMPDIR" -mindepth 1 2>/dev/null)
[ -z "$left" ]
ok "no directory is left behind" $? "$left"
echo "1..$tests"
