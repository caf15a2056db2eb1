#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A packet of death as an ordinary client sends it: a request over TCP, which Linux sends again with other timestamps,
# and in other segments, until it is answered. One node dies of it, its successor drops it, and other downloads go on;
# whatever the service's port is, and if it lies in the answer.
# Then a death of which nobody knows the packet: what is suspected is dropped until the pair is PROTECTED again, passes
# alone, and the one that kills is known. The NF is tests/lab/poison.c, as a module of its own.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/dying.sh"
need_lab
plan 35

dying_pair "poison: {}" 600 tests/lab/poison.c
web_files "$work" 10 4000 300000 3000000
{ head -c 3000 /dev/zero; printf KILL-KNOWN; head -c 3000 /dev/zero; } >"$work/files/answer"
export WEB_PORTS="80 8080 50051"
ok "a web server behind the chain" web_serve "$work"

# One connection, on which the kernel sends the request again as often as it likes in 5 seconds.
deadly_request() { # WORD
    "$lab" exec client curl -q --silent --max-time 5 -H "X-Word: $1" http://203.0.113.100/0 >/dev/null
}
deaths() { us incidents -o json | jq -r '.incidents | length'; }
died() { [ "$(deaths)" = "$1" ]; } # a reporter tells of it behind the node's end

# ---- a packet that is known ----
downloads_begin
ok "a request is sent again and dropped" deadly_until_dropped KILL-KNOWN b 3
is "it is not answered" "$(wc -c <"$work/answer")" 0
is "the successor serves" "$(field b role)" primary
ok "one death" soon died 1
deadly_request KILL-KNOWN
is "another connection with the same request: one death" "$(deaths)" 1
downloads_end
is "all downloads intact" "$(sort -u "$work/rounds")" 40
is "nothing else was dropped: answers come" "$("$lab" exec client curl -q --silent --max-time 60 -o /dev/null -w '%{http_code}' http://203.0.113.100/0)" 200

# Whoever asks twice, each time from another port, and so of the NAT's: above and below that of the service.
kills_once() { # LABEL NODE COMMAND…, by the client: NODE is dead, and the other one dies of it
    local label=$1 node=$2 before
    shift 2
    "$lab" start "$node"
    is_protected
    before=$(deaths)
    "$lab" exec client "$@" >/dev/null 2>&1
    ok "$label: one death" soon died $((before + 1))
    is "$label: the successor serves" "$(field "$node" role)" primary
}
thrice() { echo "for i in 1 2 3; do curl -q --silent --max-time 2 -o /dev/null $*; done"; }
kills_once "a request to a port above the client's" a bash -c "$(thrice -H "'X-Word: KILL-KNOWN'" http://203.0.113.100:50051/0)"
kills_once "an answer from a port above the NAT's" b bash -c "$(thrice http://203.0.113.100:8080/answer)"
# Two connections at once, a header and a body on each: Linux sends both again in one segment.
kills_once "two requests at once" a python3 -c '
import socket, time
ends = [socket.create_connection(("203.0.113.100", 80)) for _ in range(2)]
for end in ends:
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.sendall(b"POST /0 HTTP/1.1\r\nHost: two\r\nX-Filler: " + b"f" * 80 + b"\r\nContent-Length: 200\r\n\r\n")
    end.sendall(b"KILL-KNOWN" + b"two" * 60 + b"0123456789")
time.sleep(3)'
# Equal records, so that each segment kills: what is behind the first one does not pass either. Twice, each other
# bytes. The connection is reset at its end, or the client's kernel would go on with it for minutes.
for other in "b z" "a y"; do
    kills_once "a request that kills with each of its segments (${other#* })" "${other% *}" python3 -c '
import socket, struct, sys, time
end = socket.create_connection(("203.0.113.100", 80))
end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
end.sendall(b"POST /0 HTTP/1.1\r\nHost: one\r\nContent-Length: 9000\r\n\r\n" +
            (sys.argv[1].encode() * 600 + b"KILL-KNOWN") * 12)
time.sleep(2)
end.close()' "${other#* }"
done
# A question without an answer, which goes to the next server.
kills_once "a resolver with two servers" b python3 -c '
import socket, time
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for server in ("203.0.113.100", "203.0.113.101") * 2:
    end.sendto(b"KILL-KNOWN, the same question", (server, 53))
    time.sleep(1)'

# ---- a packet that is not known ----
"$lab" start a
ok "the pair is PROTECTED again" is_protected || exit 1
ok "a drain" grep -qE "node b has handed over to node a, view [0-9]+$" <<<"$(us drain)"
ok "the quarantine goes over with the role" await a quarantine.nf poison
deadly_request KILL-KNOWN
is "the same request: no other death" "$(deaths)" 7 ||
    diag "$(grep -hE " (crash|quarantine) " "$LAB_DIR/a.log" "$LAB_DIR/b.log" | sort)"
is "and the node that died of it serves" "$(field a role)" primary
is_protected
kill -KILL "$(field a pid)"
ok "after a kill -9 the other one takes over" await b role primary
deadly_request KILL-KNOWN
is "which still knows the request" "$(field b role)" primary
"$lab" start a
ok "and the pair is PROTECTED" is_protected
# A client's kernel goes on for minutes to send again what killed before. A notice has room for eight of those beside a burst of suspects.
"$lab" exec client ss -K dst 203.0.113.100 >/dev/null
downloads_begin
# A program that asks again and again, until it is told to leave it.
touch "$work/asks"
while [ -e "$work/asks" ]; do deadly_request KILL-UNKNOWN; done &
request=$!
ok "the other one takes over" await a role primary
"$lab" start b
# Once the pair is PROTECTED the suspects pass, one by one; the one that kills is in its burst alone.
ok "which meets the packet once more, and tells which it was" await b role primary ||
    diag "$(grep -h uspect "$LAB_DIR/a.log" "$LAB_DIR/b.log")"
rm "$work/asks"
wait $request
downloads_end
ok "ten deaths in all, one by kill -9" soon died 10
is "and the last one is told by its one fingerprint" \
    "$(us incidents -o json | jq -r '.incidents | max_by(.directory | sub(".*crash-"; "")) | .report.packets | length')" 1
is "all downloads intact" "$(sort -u "$work/rounds")" 40
