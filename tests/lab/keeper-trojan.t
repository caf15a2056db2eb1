#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The order in which packets came in, on a network that delays each by its own time (Khalid, Akella, NSDI 2019, 7.3: 11 trojans):
# behind an input keeper, which numbers what comes, trojan tells all of them and no other host, also over a kill of the
# primary, and so does who has only replayed. Where the same network lies in front of the keeper it does not.
. "$(dirname "$0")/lib.sh"
need_lab
plan 12

export LAB_KEEPER=yes LAB_NFS="trojan: { max_hosts: 1024, max_flows: 4096 } }, { monitor: { max_flows: 20000 }"
fabric() { ip -n "${LAB_PREFIX}fabric" "$@"; }
# From now on INTERFACE of the fabric is a cable with delays of MOST ms.
delay() { # INTERFACE MOST
    local bridge
    bridge=$(fabric -j link show "$1" | jq -r '.[].master')
    fabric link set "$1" nomaster promisc on
    fabric link add "late-$1" type veth peer name "end-$1"
    for i in "late-$1" "end-$1"; do fabric link set "$i" mtu 9000 promisc on up; done
    fabric link set "end-$1" master "$bridge"
    ip netns exec "${LAB_PREFIX}fabric" python3 tests/lab/delays.py "$1" "late-$1" "$2" 7 &
    relay=$!
}
# Eleven hosts that do it all in order, among 22 that do it in another, and others. Each host's packets are some 30 ms apart.
send_trojans() { # FIRST, the last byte of the first host's address
    "$lab" exec client ping -q -c 1 -W 2 10.0.0.1 >/dev/null
    "$lab" exec client python3 - "$1" <<'END'
import random, socket, subprocess, sys, time
first = int(sys.argv[1])
sys.path.insert(0, "tests/lab")
from mktrojan import ACK, PSH, SYN, frame
end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
end.bind(("eth0", 0))
mac = subprocess.run("ip neigh show 10.0.0.1", shell=True, capture_output=True, text=True).stdout.split("lladdr ")[1][:17]
own = open("/sys/class/net/eth0/address").read().strip()
head = bytes.fromhex((mac + own).replace(":", ""))
draw, turns = random.Random(11), []
HTML, ZIP, EXE = b"RETR news.html\r\n", b"RETR kit.zip\r\n", b"RETR run.exe\r\n"
for h in range(33):
    host, sent = bytes((10, 0, 0, first + h)), 1
    begin, irc = frame(host, 2001, 21, SYN, 0), frame(host, 2002, 6667, SYN, 1)
    ssh, files = frame(host, 2000, 22, SYN, 1), []
    for text in (ZIP, HTML, EXE) if h % 3 == 1 else (HTML, ZIP, EXE):
        files.append(frame(host, 2001, 21, ACK | PSH, sent, text))
        sent += len(text)
    turns.append([ssh, begin] + files[:2] + [irc] + files[2:] if h % 3 == 2 else [ssh, begin] + files + [irc])
while turns:
    draw.shuffle(turns)
    for one in turns:
        end.send(head + one.pop(0)[12:])
        time.sleep(0.001)
    turns = [one for one in turns if one]
END
}
trojans() { # NODE: how many hosts are told
    us show -n "$1" trojan -o json | jq '[.. | objects | select(.step? == "trojan")] | length'
}
right() { # NODE FIRST: how many of those are the eleven
    us show -n "$1" trojan -o json | jq -r '.. | objects | select(.step? == "trojan") | .host' | awk -F. -v first="$2" '($4 - first) % 3 == 0' | wc -l
}

tells() { # NODE FIRST COUNT: so many hosts, the eleven among them
    [ "$(trojans "$1") $(right "$1" "$2")" = "$3 11" ] || { trojans "$1"; right "$1" "$2"; return 1; }
}

ok "the pair is PROTECTED behind its keeper" "$lab" up || exit 1
delay k-keep 20
sleep 1
ok "it is so on a network with delays" is_protected
send_trojans 20
ok "eleven trojans are told, and no other host" soon tells a 20 11
send_trojans 60 &
sending=$!
sleep 0.1
kill -KILL "$(field a pid)"
wait $sending
ok "the standby takes over" await b role primary
ok "of eleven during which the primary was killed the successor tells all" soon tells b 60 22
ok "and has replayed those before" tells b 20 22
is "the keeper has lost nothing" "$(us keeper status -o json | jq -r '[.takeovers, .begun, .lost] | join(" ")')" "1 1 0"
"$lab" start a
ok "the pair is PROTECTED" is_protected
kill -KILL "$(field b pid)"
ok "it is told by who has it from a snapshot" await a role primary
is "as it was" "$(trojans a)" 22
kill $relay
"$lab" down

ok "a pair with the same network in front of its keeper" "$lab" up || exit 1
delay client 200
send_trojans 20
sleep 1.5
got=$(trojans a)
ok "does not tell all eleven and no other: $got, of which $(right a 20) are right" test "$got $(right a 20)" != "11 11"
kill $relay
