#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Interfaces below ports that would not carry what they should: `check` and a node's start name each and the command that
# mends it; the commands are run as they are printed.
. "$(dirname "$0")/lib.sh"
need_lab
plan 12

in_a() { "$lab" exec a "$@"; }
warnings() { in_a timeout 60 "$UNDERSTUDY" check -c "$pair" 2>&1 >/dev/null; }

ok "a network, no nodes" "$lab" up --no-nodes || exit 1
is "nothing is amiss" "$(warnings)" ""
in_a ip link set a-out mtu 9000
in_a ethtool -K a-out gro on rxvlan on
in_a ip link set a-in down
said=$(warnings)
is "each has a warning" "$(sed -n 's/.*warning: node a: \([^,]*\), run: .*/\1/p' <<<"$said" | sort)" \
    "$(printf '%s\n' "a-in: is down" "a-out: MTU 9000: frames above 2048 bytes are dropped" \
        "a-out: gro makes frames too large to send on" "a-out: rxvlan takes tags out of frames" | sort)"
is "and no other node's" "$(grep -vc 'node a:' <<<"$said")" 0
"$lab" start a >"$work/up" 2>&1
await a role SOLO >"$work/solo"
is "a node's start says the same, by port" "$(grep -c 'warning port  *a: port \(inside: a-in\|outside: a-out\): ' "$LAB_DIR/a.log")" 4
sed -n 's/.*, run: //p' <<<"$said" | while read -r command; do
    # shellcheck disable=SC2086
    in_a $command || echo "failed: $command"
done >"$work/mended" 2>&1
is "the commands run as they are printed" "$(cat "$work/mended")" ""
is "and nothing is amiss" "$(warnings)" ""
ip -n "${LAB_PREFIX}fabric" link set a-in down
is "an end without a link is told" "$(warnings | sed 's/.*node a: //')" "a-in: has no link: look at its cable and what is at the other end"
ip -n "${LAB_PREFIX}fabric" link set a-in up
in_a ip address add 10.0.0.1/32 dev lo
is "an address of the chain that the kernel has is told" "$(warnings | sed 's/.*warning: //; s/, run: .*//')" \
    "10.0.0.1 is the chain's address, and this server's kernel has it on lo"
in_a ip address flush dev lo to 10.0.0.1
sed 's/iface=a-in/iface=nonesuch/' "$pair" >"$LAB_DIR/none.yaml"
is "and an interface that this node's server does not have" \
    "$(in_a timeout 60 "$UNDERSTUDY" check -c "$LAB_DIR/none.yaml" 2>&1 >/dev/null | sed 's/.*yaml: //; s/net_af_packet.*'\''/DEVICE/')" \
    "node a does not start: port inside: 'DEVICE cannot be opened: No such device"
in_a ip link set a-out mtu 1300
is "so is an MTU below that of the chain's interface" "$(warnings | sed 's/.*node a: //')" \
    "a-out: MTU 1300: packets of up to 1500 bytes are let pass and dropped here, run: ip link set a-out mtu 1500"
sed 's/iface=b-out/iface=a-out/' "$pair" >"$LAB_DIR/other.yaml"
is "the other node's interfaces are another server's, whatever they are called" \
    "$(in_a timeout 60 "$UNDERSTUDY" check -c "$LAB_DIR/other.yaml" 2>&1 >/dev/null | grep -c 'node a'; in_a timeout 60 "$UNDERSTUDY" check -c "$LAB_DIR/other.yaml" 2>&1 >/dev/null | grep -c 'node b')" "1
0"
