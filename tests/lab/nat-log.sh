# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What tests of the NAT's log share; sourced behind lib.sh. A collector in a namespace of its own, which both nodes reach by
# ways of their own: nfcapd of nfdump by UDP; by TCP one that keeps bytes, of which tshark decodes the capture.

for tool in nfcapd nfdump tshark tcpdump python3; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done

space=${LAB_PREFIX}c
judge=$root/tests/lab/nat-log.py
started=()
end_all() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
    started=()
}
clean_all() {
    end_all
    cleanup
    ip netns del "$space" 2>/dev/null
}
trap clean_all EXIT

export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 20000 } }, { monitor: { max_flows: 20000, timeout: 5 } },
           { flow_log: { }"
export_by() { # YAML of `export`
    export LAB_NODE="mbufs: 8192, memory_mb: 256, realtime: true, export: { $1 }"
}

ways() {
    local s n=0
    ip netns add "$space" && ip -n "$space" link set lo up && ip -n "$space" address add 10.98.0.1/32 dev lo
    for s in a b; do
        n=$((n + 1))
        ip -n "$space" link add c-$s type veth peer name $s-c netns "${LAB_PREFIX}$s" &&
            ip -n "$space" address add 10.98.$n.1/30 dev c-$s && ip -n "$space" link set c-$s up &&
            ip -n "${LAB_PREFIX}$s" address add 10.98.$n.2/30 dev $s-c && ip -n "${LAB_PREFIX}$s" link set $s-c up &&
            ip -n "${LAB_PREFIX}$s" route replace 10.98.0.1 via 10.98.$n.1 || return 1
    done
}

# Programs that run until end_all.
start() { "$@" >>"$work/started.log" 2>&1 </dev/null & started+=($!); }
collect() { # DIR
    mkdir -p "$work/$1"
    start ip netns exec "$space" nfcapd -p 4739 -w "$work/$1" -t 3600
    soon eval '[ -n "$(ip netns exec "$space" ss -Huln "sport = :4739")" ]'
}
collect_tcp() { # reads what comes, and keeps nothing
    start ip netns exec "$space" python3 -c '
import socket, threading
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("10.98.0.1", 4739)); s.listen(8)
def read(c):
    while c.recv(65536): pass
while True: threading.Thread(target=read, args=(s.accept()[0],), daemon=True).start()'; }
capture() { # SPACE DEV FILE FILTER
    start ip netns exec "$1" tcpdump -U -B 16384 -n -i "$2" -w "$work/$3" "$4"
    soon test -s "$work/$3"
}

# That a capture has all until now: a SYN of ours, which nobody answers for and nobody counts, is behind it and is in the file.
captured() { # SPACE FILE HOST PORT: of the capture's filter
    ip netns exec "$1" python3 -c 'import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", 1)); s.settimeout(0.1)
try: s.connect((sys.argv[1], int(sys.argv[2])))
except OSError: pass' "$3" "$4"
    [ -n "$(tcpdump -n -r "$work/$2" "src port 1" 2>/dev/null | head -n 1)" ]
}
taken_in() { ip netns exec "$space" ss -Huln 'sport = :4739' | awk '$2 != 0 { bad = 1 } END { exit bad }'; } # nfcapd has read all that came

kills() { local i; for ((i = 0; i < $1; i++)); do kill_primary || return 1; done; }

waiting() { us show flow_log -n "$1" -o json 2>/dev/null | jq '[.. | .waiting? // empty] | add'; } # NODE
all_exported() { # what the primary's log has
    local left=$(polls) node=a
    [ "$(field a role)" = primary ] || node=b
    until [ "$(waiting $node)" = 0 ]; do
        poll || { us show flow_log -n $node; return 1; }
    done
}

# nfcapd keeps no numbers; tshark has them. What a collector of TCP has read is in the capture of its port.
kept_by_nfcapd() { nfdump -q -R "$work/$1" -o raw | python3 "$judge" kept raw >"$work/$1.kept"; } # DIR
kept_by_tshark() { # FILE
    tshark -r "$work/$1" -d tcp.port==4739,cflow -d udp.port==4739,cflow -V 2>/dev/null |
        python3 "$judge" kept verbose >"$work/$1.kept"
}
serve() {
    mkdir -p "$work/files" && echo 0123456789 >"$work/files/0" && web_serve "$work"
}
# Connections meanwhile; how many were whole is in $work/whole.
connections() { "$lab" exec client python3 "$judge" connect 203.0.113.100 80 "$1" 8 >"$work/whole" & } # SECONDS
