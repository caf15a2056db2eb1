#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node whose ports are memif interfaces, beside DPDK's testpmd as the peer: what testpmd reads from a capture passes the
# chain, and is in the capture that testpmd writes at the other port. The carrier is the peer's. A node that is killed is
# started again at the same place. Two chains of one machine may have nodes of one name.
. "$(dirname "$0")/lib.sh"
need_lab
plan 7

mkdir -p "$work"
cat >"$work/pair.yaml" <<END
chain: { name: memif, nfs: [ { monitor: { max_flows: 1000 } } ] }
link: { insecure: true }
timing: { start_alone_ms: 500 }
nodes:
$(for n in a b; do echo "  $n: { role: $([ $n = a ] && echo primary || echo standby), mbufs: 4096, memory_mb: 128, replication: 127.0.0.$([ $n = a ] && echo 1 || echo 2):4790,
    ports: { inside: \"net_memif0,role=server,socket=$test_name-$n-in\", outside: \"net_memif1,role=server,socket=$test_name-$n-out\" },
    control: $work/$n.sock, state: $work/$n }"; done)
END
us() { "$UNDERSTUDY" "$@" -c "$work/pair.yaml" -n a; }
begin() {
    mkdir "$work/a" "$work/b" "$work/a2" "$work/b2" 2>/dev/null
    "$UNDERSTUDY" run -c "$work/pair.yaml" -n a >"$work/a.log" 2>&1 &
    node=$!
}
carrier() { [ "$(us status -o json 2>/dev/null | jq -c '[.ports[].up]')" = "$1" ]; }
waits() { # COMMAND…
    local left=$(polls)
    until "$@"; do poll || return 1; done
}
has_received() { [ "$(us status -o json | jq '[.lanes[].received] | add')" -ge "$(frames "$work/in.pcap" | grep -c '^[^[:space:]]')" ]; } # all that testpmd reads
end() { kill -KILL $node $beside 2>/dev/null; wait $node 2>/dev/null; rm -rf "$work"; }
trap end EXIT

# Once through the chain and back out: what testpmd has written, as tcpdump tells it.
passes() {
    rm -f "$work/out.pcap"
    mkfifo "$work/orders"
    dpdk-testpmd --no-huge -m 128 --no-pci --file-prefix="$test_name-peer" -l 0,1 --no-telemetry \
        --vdev "net_pcap0,rx_pcap=$work/in.pcap,tx_pcap=$work/back.pcap" --vdev "net_memif0,role=client,socket=$test_name-a-in" \
        --vdev "net_memif1,role=client,socket=$test_name-a-out" --vdev "net_pcap1,tx_pcap=$work/out.pcap" \
        -- -i --no-flush-rx --total-num-mbufs=4096 <"$work/orders" >"$work/testpmd" 2>&1 &
    exec 9>"$work/orders"
    rm "$work/orders"
    waits carrier '[true,true]' || return
    echo start >&9
    waits has_received
    waits has_written
    printf 'stop\nquit\n' >&9
    exec 9>&-
    wait $!
}
has_written() { [ "$(frames "$work/out.pcap" | wc -l)" = "$(frames "$work/in.pcap" | wc -l)" ]; }
frames() { tcpdump -r "$1" -ttnne -XX ip 2>/dev/null | sed 's/^[0-9.]* //'; }

python3 - "$work/in.pcap" <<'END'
import struct, sys
def checksum(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for i in range(200):
        data = bytes((i + k) & 255 for k in range(18 + 7 * i))
        head = struct.pack("!BBHHHBBHII", 0x45, 0, 28 + len(data), i, 0x4000, 64, 17, 0, 0x0a000002, 0xc6336402)
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        frame = bytes.fromhex("020000000001020000000002") + b"\x08\x00" + head + struct.pack("!HHHH", 1000 + i, 53, 8 + len(data), 0) + data
        frame = frame[:1514]
        if len(frame) == 1514: continue
        out.write(struct.pack("<IIII", 1, i, len(frame), len(frame)) + frame)
END

begin
serves() { [ "$(us status -o json 2>/dev/null | jq -r .state)" = SOLO ]; }
ok "a node with two memif ports serves" waits serves
ok "without a peer it has no carrier" waits carrier '[false,false]'
sed "s#$work/[ab]#&2#g; s/chain: { name: memif/chain: { name: other/; s/$test_name-[ab]/&2/g; s/4790/4791/" "$work/pair.yaml" >"$work/other.yaml"
"$UNDERSTUDY" run -c "$work/other.yaml" -n a >"$work/a2.log" 2>&1 &
beside=$!
others() { [ "$("$UNDERSTUDY" status -o json -c "$work/other.yaml" -n a 2>/dev/null | jq -r .state)" = SOLO ]; }
ok "another chain's node of the same name serves beside it" waits others
kill $beside
wait $beside 2>/dev/null
ok "testpmd is its peer" passes
is "all that testpmd read has passed" "$(frames "$work/out.pcap" | cksum)" "$(frames "$work/in.pcap" | cksum)"
ok "the carrier goes with the peer" waits carrier '[false,false]'
kill -KILL $node
wait $node 2>/dev/null
rm -r "$work/a"
begin
waits serves && passes
is "the same with a node that was killed and started again" "$(frames "$work/out.pcap" | cksum)" "$(frames "$work/in.pcap" | cksum)"
