# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Of tests of a lane's port (link_port); sourced, behind lib.sh.

carries() { [ "$(field "$1" link.port)" = carries ]; }
# Packets come densely, one way, until it is ended.
dense() {
    "$lab" exec client python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
n = 0
while True:
    s.sendto(b"x" * 20, ("203.0.113.100", 9000 + n % 50))
    n += 1
    if n % 32 == 0:
        time.sleep(0.001)' &
    denser=$!
}

port_carries() { # memif | af_packet: the pair is up, with a web server, and packets come so densely that the port carries
    web_files "$work" 10 4000 300000 2000000 3000000
    export LAB_PORT=$1
    ok "$1: the pair is PROTECTED" "$lab" up || exit 1
    ok "a web server behind the chain" web_serve "$work"
    dense
    ok "the port carries the records" soon carries a
}
