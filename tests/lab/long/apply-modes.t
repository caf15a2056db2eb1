#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `apply` with several lanes, with a warm standby and with deltas: backends of a load balancer and an NF come and go beside
# connections, of which only those of a backend that is gone end.
. "$(dirname "$0")/../lib.sh"
export LAB_NFS="load_balancer: { vip: 203.0.113.50, port: 7777, clients: inside, backends: '203.0.113.100', policy: least_connections, max_flows: 20000 } },
           { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } },
           { monitor: { max_flows: 20000 }"
need_lab
by_successor() { is_protected && us apply; }
pairs="2,mode:_log,hot 2,mode:_log,warm 1,mode:_delta,hot 2,mode:_delta,hot"
plan $((13 * $(wc -w <<<"$pairs")))

edit() { sed -i "$1" "$pair"; }
# Each server says its own name in front of the line that comes back.
serve() {
    local address
    ip -n "${LAB_PREFIX}server" address add 203.0.113.101/24 dev eth0 || return 1
    for address in 203.0.113.100 203.0.113.101; do
        "$lab" exec server python3 - $address <<'PY' >/dev/null 2>&1 9>&- &
import socketserver, sys
class H(socketserver.BaseRequestHandler):
    def handle(self):
        while (d := self.request.recv(100)): self.request.sendall(sys.argv[1].encode() + b" " + d)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((sys.argv[1], 7777), H).serve_forever()
PY
    done
    sleep 0.5
}
# COUNT connections to the virtual address, each by one server; then a line for each line on its input: which servers
# answered, with the count of connections that are alive.
client() { # NAME COUNT
    mkfifo "$work/$1.in"
    "$lab" exec client python3 - "$work/$1.in" "$work/$1.out" "$2" <<'PY' >/dev/null 2>"$work/$1.err" 9>&- &
import socket, sys
all = [socket.create_connection(("203.0.113.50", 7777), 10) for _ in range(int(sys.argv[3]))]
for s in all: s.settimeout(2)
out = open(sys.argv[2], "w", 1)
def answer(s, line):
    try:
        s.sendall(line.encode())
        return s.recv(100).decode().split()[0]
    except OSError:
        return ""
for line in open(sys.argv[1]):
    got = [a for a in (answer(s, line) for s in all) if a]
    out.write(line.strip() + " " + str(len(got)) + " " + " ".join(sorted(set(got))) + "\n")
PY
}
asked() { # NAME FD WORD: what its connections say
    echo "$3" >&"$2"
    for _ in $(seq 400); do
        if grep -sq "^$3 " "$work/$1.out"; then sed -n "s/^$3 //p" "$work/$1.out"; return; fi
        sleep 0.05
    done
}
begin() { client "$1" 8 && eval "exec $2>\"$work/$1.in\""; }

for each in $pairs; do
    IFS=, read -r lanes mode standby <<<"${each//_/ }"
    name="$lanes lanes, $mode, $standby"
    export LAB_LANES=$lanes LAB_PROTECT="$mode, standby: $standby"
    ok "$name: PROTECTED" "$lab" up || exit 1
    ok "$name: two servers" serve
    rm -f "$work"/{one,two}.*
    begin one 8
    is "$name: all connections are at the one backend" "$(asked one 8 first)" "8 203.0.113.100"
    edit "s/backends: '203.0.113.100'/backends: '203.0.113.100 203.0.113.101'/"
    ok "$name: a backend is added" us apply
    diag "$(us apply 2>&1)"
    begin two 7
    is "$name: the old connections go on" "$(asked one 8 added)" "8 203.0.113.100"
    is "$name: new ones are at the other" "$(asked two 7 added)" "8 203.0.113.101"
    edit 's/{ monitor: {/{ rate_limiter: { clients: inside, pps: 1000000, burst_packets: 1000000 } }, { monitor: {/'
    ok "$name: an NF is added" us apply
    is "$name: connections go on" "$(asked one 8 limiter) $(asked two 7 limiter)" "8 203.0.113.100 8 203.0.113.101"
    ok "$name: digests are equal" us verify
    ok "$name: a takeover with the changed chain" drill kill
    is "$name: connections go on" "$(asked one 8 takeover) $(asked two 7 takeover)" "8 203.0.113.100 8 203.0.113.101"
    edit "s/backends: '203.0.113.100 203.0.113.101'/backends: '203.0.113.101'/"
    ok "$name: a backend is taken out by the successor" by_successor
    sleep 1 # the load balancer's timers end the flows of a backend that is gone
    is "$name: those of the other go on, its own end" "$(asked one 8 gone) $(asked two 7 gone)" "0  8 203.0.113.101"
    exec 8>&- 7>&-
    "$lab" down
done
