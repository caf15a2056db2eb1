#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Lanes that speak to each other by a port of the link, of af_packet on the interface that the link's TCP has. Frames that are
# nobody's change nothing; a port that is cut off hands the stream back to the connection, and carries again when it is whole.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/link-port.sh"
need_lab
plan 10

refuses() { [ "$(field b "lanes[0].port_refused")" -ge "$1" ]; }
carries_nothing() { case $(field "$1" link.port) in open | silent) ;; *) return 1 ;; esac; }

# A copy of all that the port brought to b is sent again to it, with a bit changed and as it was.
replays() {
    "$lab" exec b python3 -c 'import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b6))
s.bind(("b-repl", 0))
s.settimeout(5)
frames = []
while len(frames) < 200:
    frame, at = s.recvfrom(2048)
    if at[2] != socket.PACKET_OUTGOING:
        frames.append(frame)
open(sys.argv[1], "wb").write(b"".join(len(f).to_bytes(2, "big") + f for f in frames))' "$work/heard" || return 1
    "$lab" exec a python3 -c 'import socket, sys
heard, frames = open(sys.argv[1], "rb").read(), []
while heard:
    n = int.from_bytes(heard[:2], "big")
    frames.append(heard[2:2 + n])
    heard = heard[2 + n:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("a-repl", 0))
for f in frames:
    s.send(f)
    s.send(f[:60 + len(f) % 7] + bytes([f[60 + len(f) % 7] ^ 1]) + f[61 + len(f) % 7:])
    s.send(f[:len(f) - 9])' "$work/heard"
}

port_carries af_packet

# ── frames that are nobody's ──────────────────────────────────────────────────────────────────────

before=$(field b 'lanes[0].port_refused')
ok "frames are sent again, as they were, changed and cut off" replays
ok "they are refused" soon refuses $((before + 500))

# ── the port is cut off, the link's TCP is not ────────────────────────────────────────────────────

ok "the port carries" soon carries a
"$lab" exec a nft -f - <<'END'
table netdev cut { chain out { type filter hook egress device "a-repl" priority 0; ether type 0x88b6 drop; }; }
END
web_fetch "$work" "$work/out-cut" 10 5 &
fetching=$!
ok "a port that brings nothing hands the stream back" soon carries_nothing a
wait $fetching
is "all downloads intact" "$(web_count "$work" intact)" 10
"$lab" exec a nft delete table netdev cut
ok "and carries again when it is whole" soon carries a
kill $denser
is "digests equal" "$(us verify -o json 2>/dev/null | jq .equal)" true
