#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Twenty ways to die, each on a live pair that records, in the traffic of a capture: what the node's own report says of NF and
# packet, and whether `replay --crash` dies at the same instruction the first time. The NF is tests/unit/help_crasher.c, as a
# module of its own; the table of what came of it is written to BUILD/twenty.md.
. "$(dirname "$0")/../lib.sh"
need_lab
command -v tshark >/dev/null || skip_all "tshark is not installed"
RIGHT=20 SAME=20
plan 24

# What it does | the UDP port of its packet, from 6660 on, or a command | signal | what the chain is at
ways="null pointer|0|SIGSEGV|packets
stack overflow|1|SIGSEGV|packets
broken invariant|3|SIGABRT|packets
division by zero|4|SIGFPE|packets
out of memory, not looked at|13|SIGSEGV|packets
endless loop|5|SIGABRT|packets
heap corruption|18|SIGABRT|packets
write behind the region|22|SIGSEGV|packets
jump to nowhere|7|SIGSEGV|packets
illegal instruction|10|SIGILL|packets
unaligned vector|19|SIGSEGV|packets
use of freed memory|20|SIGSEGV|packets
double free|6|SIGABRT|packets
write to code|21|SIGSEGV|packets
bus error|9|SIGBUS|packets
in timers|8|SIGSEGV|timers
in show|show|SIGFPE|show
in set|set|SIGSEGV|set
in clear|clear|SIGSEGV|clear
when a session ends|23|SIGSEGV|sessions"

ok "an NF that dies in many ways" gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" -shared \
    -o "$work/crasher.so" tests/unit/help_crasher.c
export LAB_NFS="monitor: { max_flows: 20000 } }, { crasher: {}" LAB_MODULES="$work/crasher.so"
export LAB_RECORD="dir: $work/rec, file_mb: 4, files: 4"
ok "a lab without nodes" "$lab" up --no-nodes || exit 1
sed -i '/^interfaces:/d; /^routes:/,/^nodes:/{/^nodes:/!d}' "$pair" # a wire, for any frame
capture=${UNDERSTUDY_PCAPS:-$root/../shared/pcaps}/dnscrypt-v1-and-resolver-pings.pcap
if [ ! -e "$capture" ]; then
    capture=$work/made.pcap
    python3 tests/lab/mkpcap.py "$capture" 2000 50
fi

# The capture's frames as they are, in the middle of them one of its UDP packets to another port. PORT 0: without.
send_frames() { # PORT
    "$lab" exec client python3 - "$capture" "$1" "$root/tests/lab" <<'END'
import socket, struct, sys, time

sys.path.insert(0, sys.argv[3])
from hostile import pcap

port = int(sys.argv[2])
frames = [f[:1514] for f in pcap(sys.argv[1])][:600]
middle = len(frames) // 2
if port:
    udp = next(f for f in frames[middle:] if f[12:15] == b"\x08\x00\x45" and f[23] == 17 and f[20:22] in (b"\0\0", b"\x40\0"))
    frames.insert(middle, udp[:36] + struct.pack("!H", port) + udp[38:40] + b"\0\0" + udp[42:])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for n, frame in enumerate(frames):
    s.send(frame.ljust(60, b"\0"))
    if n % 16 == 0 and abs(n - middle) > 16:
        time.sleep(0.002)
END
}

end_nodes() {
    local s pids tries signal=TERM
    for ((tries = 0; tries < 100; tries++)); do
        pids=$(for s in a b; do ip netns pids "$LAB_PREFIX$s"; done)
        [ -n "$pids" ] || return 0
        [ $tries -lt 80 ] || signal=KILL
        [ $((tries % 40)) -gt 0 ] || kill -$signal $pids 2>/dev/null
        sleep 0.1
    done
}

fresh_pair() {
    end_nodes
    rm -rf "$work/rec" "$LAB_DIR"/[ab]/* "$LAB_DIR"/[ab]/.[!.]*
    "$lab" start a && "$lab" start b && is_protected
}

incident() { us incidents -n a -o json 2>/dev/null | jq -r ".incidents[0].$1 // empty"; }
kill_by() { # PORT OR COMMAND: the primary, in traffic
    local pid end=$((SECONDS + 20))
    pid=$(field a pid)
    case $1 in
    show) send_frames 0; us set crasher die=show; us show crasher ;;
    set) send_frames 0; us set crasher die=set ;;
    clear) send_frames 0; us clear crasher ;;
    *) send_frames $((6660 + $1)) ;;
    esac >/dev/null 2>&1
    if [ "$1" = 5 ]; then
        sleep 1
        kill -ABRT "$pid" # as a supervisor whose watchdog is not fed
    fi
    until [ -n "$(incident directory)" ]; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# The marked frame, and no other, has the port that kills.
packet_of() { # DIRECTORY
    tshark -r "$1/burst.pcapng" -Y 'frame.comment contains "THE PACKET"' -T fields -e udp.dstport -e frame.comment 2>/dev/null |
        awk '/PERHAPS/ { perhaps = 1 } { port = port $1 " " } END { sub(/ $/, "", port); print perhaps ? "perhaps " port : port }'
}

# "" when NF, signal, what it was at and packet are told as they were, or what was told.
misreport() { # WAY SIGNAL DOING DIRECTORY
    local told wanted packet=
    [ -n "$4" ] || { echo "no report"; return; }
    told="$(incident report.nf) $(incident report.signal) $(incident report.doing)"
    wanted="crasher $2 $3"
    case $3 in packets | sessions) packet=$(packet_of "$4"); told+=" $packet" wanted+=" $((6660 + $1))" ;; esac
    [ "$told" = "$wanted" ] || echo "$told"
}

reproduce() { # DIRECTORY
    timeout 60 "$UNDERSTUDY" replay -c "$pair" --crash "$1" >"$work/out.txt" 2>&1 && grep -q reproduced "$work/out.txt"
}

right=0 same=0
offline=yes
"$UNDERSTUDY" replay --help | grep -q -- --crash || offline=
echo "| way | signal | the report: NF and packet | replay --crash: same instruction |
|---|---|---|---|" >"$BUILD/twenty.md"
while IFS='|' read -r -u 3 what how signal doing; do
    ok "$what: the pair is PROTECTED" fresh_pair || continue
    kill_by "$how" || diag "$what: nobody died, or nobody told"
    directory=$(incident directory)
    told=$(misreport "$how" "$signal" "$doing" "$directory")
    [ -n "$told" ] || right=$((right + 1))
    again=no
    if [ -n "$offline" ] && [ -n "$directory" ] && reproduce "$directory"; then
        again=yes
        same=$((same + 1))
    fi
    [ $again = yes ] || [ -z "$offline" ] || diag "$what: $(tail -n 5 "$work/out.txt")"
    echo "| $what | $signal | ${told:-right} | ${offline:+$again} |" >>"$BUILD/twenty.md"
done 3<<<"$ways"
diag "$(cat "$BUILD/twenty.md")"
is "the report tells NF and packet" "$right" $RIGHT
if [ -n "$offline" ]; then
    is "the same instruction, the first time" "$same" $SAME
else
    skip "the same instruction, the first time" "this program has no replay --crash"
fi
