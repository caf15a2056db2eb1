#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# syn_proxy in front of NAT, firewall and monitor, over both families: downloads by curl through it while primaries are
# killed, a server that speaks first, ends that lose a connection, and a flood of SYNs from forged sources, which makes no
# state while downloads go on.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
plan 20

# The firewall lets inner hosts begin connections, and expects whole handshakes: what it sees has to be one.
echo 'default allow' >"$work/rules"
export LAB_RULES=$work/rules
here=2001:db8:1 there=2001:db8:2
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, address6: $here::1/64 },
  { name: outside, side: outside, address: 203.0.113.1/24, address6: $there::1/64 }"
export LAB_NFS="syn_proxy: { clients: inside, servers: [203.0.113.100/32, \"$there::100/128\"], ports: 1-9999, max_flows: 4096 } },
  { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, unsupported: pass } },
  { firewall: { rules: firewall.rules, loose: false, ipv6: true } }, { monitor: { max_flows: 4096, ipv6: true }"
ok "the pair is PROTECTED" "$lab" up || exit 1
host() { # SPACE NETWORK
    "$lab" exec "$1" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=0 &&
        ip -n "$LAB_PREFIX$1" address add "$2::100/64" dev eth0 nodad &&
        ip -n "$LAB_PREFIX$1" -6 route add default via "$2::1"
}
ok "both ends have IPv6" eval 'host client $here && host server $there && "$lab" exec client ping -6 -qc2 -i 0.5 -W 5 $there::100 >/dev/null'
counters() { us show syn_proxy -o json | jq -c '[.. | .counters? | objects][0]'; }
counter() { us show syn_proxy -o json | jq "[.. | .counters? | objects | .$1] | add"; }
rows() { us show "$1" -o json | jq '.rows | length'; } # NF

# ---- downloads, with kills -------------------------------------------------------------------------------------------

web_files "$work" 6 4000 300000 2000000 3000000
WEB_HOST="203.0.113.100:80; listen [$there::100]" ok "a web server behind the chain, of both families" web_serve "$work"
web_fetch "$work" "$work/out" 60 20 &
fetch=$!
sleep 0.7
ok "two kills in a row" drill kill --repeat 2
wait $fetch
is "all downloads intact" "$(web_count "$work" intact)" 60
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
is "connections were opened by cookies, and servers answered all" "$(counters | jq '.opened >= 60 and .connected == .opened')" true

before=$(counter opened)
WEB_HOST="[$there::100]" web_fetch "$work" "$work/out6" 60 20 &
fetch=$!
sleep 0.7
ok "over IPv6 a kill" drill kill
wait $fetch
is "all downloads are intact" "$(web_count "$work" intact)" 60
is "they were opened by cookies, too" "$(($(counter opened) - before >= 60)) $(counters | jq '.connected == .opened')" "1 true"

# ---- a server that speaks first -----------------------------------------------------------------------------------------

# A greeting, then what is sent comes back, for as long as this test runs.
"$lab" exec server python3 - 2>/dev/null <<'END' &
import socket, socketserver
class Greet(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"220 ready\r\n")
        while data := self.request.recv(4096):
            self.request.sendall(data)
class Both(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
Both(("::", 7100), Greet).serve_forever()
END
listens() { for _ in {1..100}; do [ -z "$("$lab" exec server ss -Hltn 'sport = :7100')" ] || return 0; sleep 0.1; done; return 1; }
ok "a server that speaks first" listens
# Greeted, it echoes 200 times; its ports are used again for a second connection at once, while the session of the first is there.
cat >"$work/talk.py" <<'END'
import socket, sys, time
here, there, times, pause, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
for turn in range(2):
    with socket.socket(socket.AF_INET6 if ":" in here else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.settimeout(20)
        s.bind((here, 23456 + (end == "lost")))
        s.connect((there, 7100))
        greeting = s.recv(100)
        assert greeting == b"220 ready\r\n", greeting
        for i in range(times):
            word = (b"%d " % i) * 300
            s.sendall(word)
            got = b""
            while len(got) < len(word):
                got += s.recv(4096)
            assert got == word, (turn, i)
            time.sleep(pause)
        if end == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0") # the ports are free at once
        else:
            s.setsockopt(socket.IPPROTO_TCP, 19, 1) # TCP_REPAIR: it is gone, and nobody hears of it
END
talk() { "$lab" exec client python3 "$work/talk.py" "$@" 2>&1; } # FROM TO WORDS PAUSE reset|lost
talk 10.0.0.100 203.0.113.100 200 0.02 reset >"$work/talk" &
talk=$!
talk $here::100 $there::100 200 0.02 reset >"$work/talk6" &
talk6=$!
sleep 1
ok "a kill while it talks" drill kill
wait $talk
is "it was greeted, and every word came back, twice on the same ports" "$?$(cat "$work/talk")" 0
wait $talk6
is "over IPv6 as well" "$?$(cat "$work/talk6")" 0

# A host that crashed takes its ports again: the server has the old connection, and is made to give it up.
is "a client that lost a connection begins it anew" "$(talk 10.0.0.100 203.0.113.100 3 0 lost)$(talk $here::100 $there::100 3 0 lost)" ""
is "which the server was told, once in each family" "$(counter challenged)" 2

# ---- a flood --------------------------------------------------------------------------------------------------------------

before=$(counter answered) opened=$(counter opened)
cat >"$work/flood.py" <<'END'
import random, socket, struct, sys, time
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
def sum16(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
draw = random.Random(1)
server = bytes((203, 0, 113, 100))
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("eth0", 0))
for i in range(20000):
    source = struct.pack("!I", 0xc6120000 + draw.randrange(1 << 17)) # 198.18.0.0/15
    tcp = struct.pack("!HHIIBBHHH", draw.randrange(1024, 65536), 80, draw.randrange(1 << 32), 0, 0x50, 2, 64240, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", sum16(source + server + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0x4000, 64, 6, 0, source, server)
    head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
    out.send(mac + b"\2\0\0\0\0\x77" + b"\x08\0" + head + tcp)
    if i % 50 == 49:
        time.sleep(0.005)
END
"$lab" exec client ping -qc1 -W5 10.0.0.1 >/dev/null
mac=$("$lab" exec client ip neigh show 10.0.0.1 | grep -oE '([0-9a-f]{2}:){5}[0-9a-f]{2}')
"$lab" exec client python3 "$work/flood.py" "$mac" >"$work/flood" 2>&1 &
flood=$!
web_fetch "$work" "$work/flooded" 20 4
wait $flood
is "20,000 SYNs from forged sources, at least half of which the chain has answered" "$?$(cat "$work/flood") $(($(counter answered) - before > 10000))" "0 1"
is "downloads in the flood are intact" "$(web_count "$work" intact)" 20
is "only they were opened, and no flow is of a forged source" \
    "$(($(counter opened) - opened)) $(us show monitor -o json | jq '[.rows[] | select(.from | startswith("198.1"))] | length')" "20 0"
ok "digests equal" us verify
