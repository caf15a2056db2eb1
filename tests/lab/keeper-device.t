#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A keeper that speaks to its nodes by a DPDK device in place of the kernel: first with nodes that have sockets of the
# kernel's, which takes its datagrams for what they are, as tshark does; then with nodes that have devices, too, and two keepers. Numbered
# datagrams both ways, kills of both nodes, malformed frames on that network meanwhile.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
plan 12

# To the keeper and from anybody: ARP and UDP that lie about their lengths, fragments, noise of any length.
noise() {
    ip netns exec "${LAB_PREFIX}fabric" python3 - br-keep <<'END'
import random, socket, struct, sys
random.seed(1)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
eth = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x66"
keeper, node = socket.inet_aton("10.97.0.11"), socket.inet_aton("10.97.0.1")
for i in range(3000):
    n = random.randrange(0, 200)
    fragment, ihl = random.choice([0, 0x4000, 0x2000, 1]), random.choice([0x45, 0x4f, 0x40, 0x65])
    total, length = random.choice([28 + n, 0, 20, 65535, 1500]), random.choice([8 + n, 0, 7, 65535])
    ip = struct.pack("!BBHHHBBH", ihl, 0, total, i, fragment, 64, 17, 0) + node + keeper
    udp = struct.pack("!HHHH", 6081, 6081, length, 0)
    whole = [b"\x08\x00" + ip + udp + random.randbytes(n), b"\x08\x06" + random.randbytes(n % 40),
             b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, i % 4) + b"\xff" * 6 + node + bytes(6) + keeper, random.randbytes(n)][i % 4]
    whole = whole[: random.randrange(2, len(whole) + 1)] if i % 3 and len(whole) > 2 else whole
    s.send(eth + whole.ljust(2, b"\0"))
END
}
listen() { # for what the keeper sends and gets; then
    ip netns exec "${LAB_PREFIX}fabric" tcpdump -i k-keep -s 400 -c 4000 -w "$work/k.pcap" >/dev/null 2>&1 &
    heard=$!
}
told() { tshark -r "$work/k.pcap" -o ip.check_checksum:TRUE -Y "$1" 2>/dev/null | wc -l; } # FILTER

# With polling devices four processes and the traffic share this machine's cores. Of two keepers an active one that did not run for
# 100 ms has been replaced, which costs what came meanwhile (docs/keeper.md): loss counts where no keeper view has changed.
loss() { [ $inputs = mixed ] || [ "$view" = "$(keeper k keeper_view)" ] || echo any; }

for inputs in mixed af_packet; do
    export LAB_INPUTS=$inputs
    [ $inputs = mixed ] || export LAB_KEEPER=two
    ok "$inputs: the pair is PROTECTED" "$lab" up || exit 1
    view=$([ $inputs = mixed ] || keeper k keeper_view)
    begin
    listen
    ok "$inputs: a kill of the primary" kill_node primary
    ok "$inputs: malformed frames" noise
    ok "$inputs: a kill of the standby" kill_node standby
    wait $heard
    end
    ok "$inputs: enough was sent, and each arrives once, whole and in order" each_once $(loss)
    if [ $inputs = mixed ]; then
        is "tshark finds GENEVE in what it sends" "$(($(told 'ip.src == 10.97.0.11 && geneve.option.class == 0xff75') > 1000))" 1
        is "and no checksum of IPv4 that is wrong" "$(told 'ip.src == 10.97.0.11 && ip.checksum.status == "Bad"')" 0
    fi
    "$lab" down
done
