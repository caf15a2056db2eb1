#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Twenty ways to die, on a live pair that records, under downloads and in the traffic of a capture: whether the node's own report
# tells signal, NF and packet, whether a download breaks, and whether `replay --crash` stops at the same instruction the first
# time. The NF is tests/help/crasher.c, as a module of its own; the table of what came of it is written to BUILD/twenty.md.
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/lab/supervised.sh
. "$root/tests/lab/supervised.sh"
need_lab
command -v tshark >/dev/null || skip_all "tshark is not installed"
plan 46
DOWNLOADS=150

# What it does | the UDP port of its packet, from 6660 on, or a command | signal | what the chain is at
ways="null pointer|0|SIGSEGV|packets
stack overflow|1|SIGSEGV|packets
broken invariant|3|SIGABRT|packets
division by zero|4|SIGFPE|packets
out of memory, not looked at|13|SIGSEGV|packets
endless loop|5|SIGABRT|packets
double free|6|SIGABRT|packets
heap overrun|21|SIGABRT|packets
use of freed memory|23|SIGSEGV|packets
write behind the region|25|SIGSEGV|packets
call of a null pointer|7|SIGSEGV|packets
return address overwritten|19|SIGSEGV|packets
illegal instruction|10|SIGILL|packets
unaligned vector|22|SIGSEGV|packets
bus error|9|SIGBUS|packets
when a session ends|26|SIGSEGV|sessions
in set|set|SIGSEGV|set
in clear|clear|SIGSEGV|clear
in show|show|SIGFPE|show
in timers|8|SIGSEGV|timers"

ok "an NF that dies in many ways" gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" -shared \
    -o "$work/crasher.so" tests/help/crasher.c
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } }, { crasher: {} }, { monitor: { max_flows: 20000 }"
export LAB_MODULES="$work/crasher.so" LAB_RECORD="dir: $work/rec, file_mb: 16, files: 8"
ok "a lab without nodes" "$lab" up --no-nodes || exit 1

# With a supervisor, whose word the watchdog goes by.
start_node() { # NODE
    ip netns exec "$LAB_PREFIX$1" setsid nohup "$root/tests/lab/supervisor.py" "$work/$1.says" 1000 "$UNDERSTUDY" run \
        -c "$pair" -n "$1" </dev/null >>"$LAB_DIR/$1.log" 2>&1 &
}
start_node a
start_node b
ok "the pair is PROTECTED" is_protected || exit 1
web_files "$work" 10 4000 300000 2000000 8000000 16000000
ok "a web server behind the chain" web_serve "$work"

capture=${UNDERSTUDY_PCAPS:-$root/../shared/pcaps}/gnutella.pcap
if [ ! -e "$capture" ]; then
    capture=$work/made.pcap
    python3 tests/lab/mkpcap.py "$capture" 4000 50
fi
"$lab" exec client ping -q -c 1 -W 2 10.0.0.1 >/dev/null
CHAIN_MAC=$(ip -n "${LAB_PREFIX}client" neigh show 10.0.0.1 | sed -n 's/.*lladdr \([0-9a-f:]*\).*/\1/p' | tr -d :)
export CHAIN_MAC

# The capture's frames, to the chain's MAC; in the middle of them one of its UDP packets from inside, to another port. PORT 0: without.
send_frames() { # PORT
    "$lab" exec client python3 - "$capture" "$1" "$root/tests/lab" <<'END'
import socket, struct, sys, time

sys.path.insert(0, sys.argv[3])
from hostile import pcap

def may_kill(f):
    return f[12:15] == b"\x08\x00\x45" and f[23] == 17 and f[20:22] in (b"\0\0", b"\x40\0") and f[26] == 10 and 10 < f[30] < 224

port = int(sys.argv[2])
frames = [f[:1514] for f in pcap(sys.argv[1])]
middle = len(frames) // 2
if port:
    udp = next(f for f in frames[middle:] if may_kill(f))
    frames.insert(middle, udp[:36] + struct.pack("!H", port) + udp[38:40] + b"\0\0" + udp[42:])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for n, frame in enumerate(frames):
    s.send(frame.ljust(60, b"\0"))
    if n % 16 == 0 and abs(n - middle) > 16:
        time.sleep(0.002)
END
}

incidents() { us incidents -n "$1" -o json 2>/dev/null | jq "$2"; } # NODE FILTER

# As systemd does, a second after the last word.
watch_over() { # NODE
    local n=-1 says=$work/$1.says
    while [ "$(fed)" -gt "$n" ]; do
        n=$(fed)
        sleep 1
    done
    kill -ABRT "$2"
}

kill_by() { # PORT OR COMMAND, NODE
    local pid
    pid=$(field "$2" pid)
    case $1 in
    show) send_frames 0; us set crasher die=show; us show crasher -n "$2" ;;
    set) send_frames 0; us set crasher die=set ;;
    clear) send_frames 0; us clear crasher ;;
    *) send_frames $((6660 + $1)) ;;
    esac
    [ "$1" != 5 ] || watch_over "$2" "$pid"
}

is_reported() { # NODE BEFORE: one more than before
    local left=$(polls)
    until [ "$(incidents "$1" ".incidents | length")" -gt "$2" ] 2>/dev/null; do
        poll || { echo "no report of $1"; return 1; }
    done
}

# Where nobody is left to answer them, downloads would wait for minutes.
end_downloads() { # PID
    local end=$((SECONDS + 40)) left
    while kill -0 "$1" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
    left=$(ip netns pids "${LAB_PREFIX}client")
    [ -z "$left" ] || kill $left
    wait "$1"
}

# What the marked frames, and no others, are sent to.
marked() { # DIRECTORY
    tshark -r "$1/burst.pcapng" -Y 'frame.comment contains "THE PACKET"' -T fields -e udp.dstport 2>/dev/null | paste -sd ' '
}

# "right", or what was told instead.
judge_report() { # WAY SIGNAL DOING
    local told wanted directory
    [ -s "$work/report.json" ] || { echo "no report"; return; }
    directory=$(jq -r .directory "$work/report.json")
    told=$(jq -r '.report | "\(.signal) in \(.nf), \(.doing), lane \(.lane), \(.how), \(.packets | length) packets"' "$work/report.json")
    wanted="$2 in crasher, $3, lane 0, crashed, 0 packets"
    [ "$1" != 5 ] || wanted=${wanted/crashed/hung}
    case $3 in packets | sessions) told+=" to $(marked "$directory")" wanted="${wanted/0 packets/1 packets} to $((6660 + $1))" ;; esac
    [ "$told" = "$wanted" ] && echo right || echo "$told"
}

# The instruction, when it is the same with signal and NF, or both. Of a stack that came to its end it is the function.
same_place='def place: if .symbol then .symbol elif .object == "?" then "address \(.offset)" else "\(.object)+\(.offset)" end;
    def death: "\(.signal) in \(.nf) at \(place)";
    if .report.hangs and .here.hangs and .report.nf == .here.nf then "yes: it hangs"
    elif (.report | death) == (.here | death) then "yes: " + (.here | place)
    elif (.report | death | sub("\\+.*"; "")) == (.here | death | sub("\\+.*"; "")) and .reproduced then "yes: " + (.here.symbol | sub("\\+.*"; ""))
    else "no: \(.report | death), and here \(.here | death)" end + if .fresh then " (from a fresh state)" else "" end'
judge_replay() { # DIRECTORY
    local code
    timeout 120 "$UNDERSTUDY" replay -c "$pair" --crash "$1" -o json >"$work/again.json" 2>"$work/again.txt"
    code=$?
    if [ $code -gt 1 ]; then echo "no: exit $code, $(tail -n 1 "$work/again.txt")"; else jq -r "$same_place" "$work/again.json"; fi
}

# Nodes that died are started, and where both did and do not find together, with a new state.
bring_back() {
    local n
    for n in a b; do [ -n "$(field $n pid)" ] || start_node $n; done
    is_protected && return
    for n in a b; do ip netns pids "$LAB_PREFIX$n" | xargs -r kill -KILL; done
    sleep 0.5
    rm -f "$LAB_DIR"/[ab]/*.view*
    start_node a
    start_node b
    is_protected
}

right=0 same=0
echo "| way | the report: signal, NF, lane, packet | downloads intact | ended after it | \`replay --crash\`: the same instruction |
|---|---|---|---|---|" >"$BUILD/twenty.md"
while IFS='|' read -r -u 3 what how signal doing; do
    ok "$what: the pair is PROTECTED" bring_back
    node=a
    [ "$(field a role)" = primary ] || node=b
    before=$(incidents $node '.incidents | length')
    web_fetch "$work" "$work/out" $DOWNLOADS 10 &
    fetch=$!
    sleep 0.3
    kill_by "$how" $node >"$work/kill.txt" 2>&1
    rm -f "$work/report.json"
    ended=$(web_ended "$work")
    is_reported $node "$before" && incidents $node '.incidents[0]' >"$work/report.json"
    end_downloads $fetch
    intact=$(web_count "$work" intact)
    if [ "$doing" = timers ]; then
        skip "$what: downloads intact" "the successor has the state that kills, and may die of it as well: $intact of $DOWNLOADS"
    else
        is "$what: downloads intact" "$intact" $DOWNLOADS
    fi
    told=$(judge_report "$how" "$signal" "$doing")
    [ "$told" != right ] || right=$((right + 1))
    again="no: nothing to execute"
    [ ! -s "$work/report.json" ] || again=$(judge_replay "$(jq -r .directory "$work/report.json")")
    case $again in yes*) same=$((same + 1)) ;; esac
    row="| $what | $([ "$told" = right ] && echo "$signal, right" || echo "$told") | $intact of $DOWNLOADS | $((DOWNLOADS - ended)) | $again |"
    diag "$row"
    echo "$row" >>"$BUILD/twenty.md"
done 3<<<"$ways"
is "the report tells signal, NF, lane and packet" $right 20
is "the same instruction, the first time" $same 20
