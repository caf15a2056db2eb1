#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An NF whose state belongs to an address is right with any number of lanes: the example's limiter over a capture in which
# every source has many flows, with kills. What it lets pass is known: so many packets of each source. NFs that cannot
# agree by what packets are dealt are refused together.
. "$(dirname "$0")/lib.sh"
need_work
command -v tshark >/dev/null || skip_all "tshark is not installed"
plan 13

ok "the limiter builds" make -C "$root/docs/examples/hello" BUILD="$BUILD" OUT="$work" || exit 1
# 240 sources, each with 8 packets of 8 flows, and an answer to each.
python3 - "$work/in.pcap" <<'END' || exit 1
import struct, sys
def sum16(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def frame(a, b, sport, dport):
    udp = struct.pack("!HHHH", sport, dport, 26, 0) + b"x" * 18
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0x4000, 64, 17, 0, a, b)
    head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
    return b"\x02\0\0\0\0\1\x02\0\0\0\0\2\x08\0" + head + udp
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    time = 0
    for turn in range(8):
        for s in range(240):
            inside, outside = bytes([10, 1, s, 7]), bytes([198, 51, 100, (s * 7 + turn * 31) % 250 + 1])
            for f in (frame(inside, outside, 2000 + turn * 37, 53), frame(outside, inside, 53, 2000 + turn * 37)):
                time += 1000
                out.write(struct.pack("<IIII", 1600000000 + time // 1000000, time % 1000000, len(f), len(f)) + f)
END
counted() { tshark -r "$1" -Y "$2" -T fields -e ip.src 2>/dev/null | sort | uniq -c | awk '{print $1}' | sort | uniq -c | xargs; }
is "the capture has 240 sources with 8 packets each" "$(counted "$work/in.pcap" "ip.src==10.1.0.0/16")" "240 8"

cp "$root/docs/examples/hello/chain.yaml" "$work/chain.yaml"
for lanes in 1 2 4; do
    for kills in "" "--kill primary@1000 --kill primary@2500"; do
        # shellcheck disable=SC2086
        ok "$lanes lanes${kills:+, two kills}: as without failure" "$UNDERSTUDY" replay -c "$work/chain.yaml" --lanes $lanes $kills \
            -w "$work/out.$lanes.pcap" "$work/in.pcap"
        [ -n "$kills" ] || continue
        is "and five packets of each source have passed" "$(counted "$work/out.$lanes.pcap" "ip.src==10.1.0.0/16")" "240 5"
    done
done

cat >"$work/chain.c" <<'END'
#include "nflib/nf.h"
static void pass(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf; (void)packets; (void)n; (void)now;
}
static enum nf_scope outside(const void *config) { (void)config; return NF_OF_OUTSIDE; }
static const struct nf_module knocked = {.name = "knocked", .summary = "of hosts outside", .scope = outside, .process = pass};
NF_MODULE(knocked)
END
gcc -std=gnu11 -O2 -fPIC -shared -I"$BUILD/include" -o "$work/knocked.so" "$work/chain.c" || exit 1
sed 's/limiter.so/&, knocked.so/; s/name: hello/&\n  lanes: 4/; $a\    - knocked' "$work/chain.yaml" >"$work/both.yaml"
is "two that cannot agree are refused, and named" "$("$UNDERSTUDY" check -c "$work/both.yaml" 2>&1)" \
    "$work/both.yaml:7: chain nfs: knocked: its state is of an outside address, that of limiter of an inside address: no packet can go to the lanes of both, expected 1 lane, not 4"
sed -i 's/lanes: 4/lanes: 1/' "$work/both.yaml"
ok "with one lane they are a chain" "$UNDERSTUDY" check -c "$work/both.yaml"
