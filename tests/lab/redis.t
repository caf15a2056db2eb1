#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node whose chain keeps its state in Redis: what it says, what Redis holds, and how it ends when Redis does. No root:
# a node without protection on capture files.
. "$(dirname "$0")/lib.sh"
for tool in redis-server redis-cli; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done
plan 13

need_work

# Four UDP flows of one packet, over and over.
perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);
    for my $i (1 .. 4) {
        my $ip = pack("CCnnnCCnC8", 0x45, 0, 46, $i, 0, 64, 17, 0, 10, 0, 0, $i, 192, 0, 2, 1);
        my $sum = 0;
        $sum += $_ for unpack("n*", $ip);
        $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
        substr($ip, 10, 2) = pack("n", ~$sum & 0xffff);
        my $frame = pack("H*", "0200000000aa0200000000bb0800") . $ip . pack("nnnn", 1000, 7, 26, 0) . "x" x 18;
        print pack("LLLL", $i, 0, length $frame, length $frame) . $frame;
    }' >"$work/in.pcap"
head -c 24 "$work/in.pcap" >"$work/none.pcap"

pair=$work/pair.yaml
write_pair() { # REDIS SETTINGS
    cat >"$pair" <<END
chain: { name: x, state: redis, nfs: [ monitor: { max_flows: 100 }, forward: { merged: false } ] }
protect: { mode: off }
redis: { $1 }
nodes:
  one:
    role: primary
    ports:
      inside: "net_pcap0,rx_pcap=in.pcap,infinite_rx=1,tx_pcap=inside.pcap"
      outside: "net_pcap1,rx_pcap=none.pcap,tx_pcap=outside.pcap"
    replication: 127.0.0.1:4703
    control: one.sock
    mbufs: 2048
    memory_mb: 128
  two:
    role: standby
    ports: { inside: net_null0, outside: net_null1 }
    replication: 127.0.0.1:4704
    control: two.sock
END
}
start() {
    (cd "$work" && exec "$UNDERSTUDY" run -c "$pair" -n one 2>log) & # a device is at most 127 bytes: short paths
    node=$!
}
rows() { us show "$1" -o json 2>/dev/null | jq -r "$2"; }
above() { # NF JQ-EXPRESSION NUMBER: waits until it is more
    local end=$((SECONDS + 10))
    until [ "$(rows "$1" "$2")" -gt "$3" ] 2>/dev/null; do
        [ $SECONDS -lt $end ] || { echo "$2 is $(rows "$1" "$2"), expected more than $3"; cat "$work/log"; return 1; }
        sleep 0.05
    done
}
port() { sed -n 's/.* at 127.0.0.1:\([0-9]*\) .*/\1/p' "$work/log"; }
server() { pgrep -P "$node" redis-server; }
ended() { # within 10 s, its exit code in $code
    local end=$((SECONDS + 10))
    while kill -0 "$node" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.05; done
    kill -KILL "$node" 2>/dev/null && diag "the node was still there after 10 s"
    wait "$node"
    code=$?
    node=
}

write_pair "mode: sync, batch: 8"
start
ok "packets pass" above forward '.rows[0].shared' 1000
ok "it says how its Redis is set" grep -q 'state in Redis: sync, cache off, batch 8, counters by INCRBY; Redis .*--save "" --appendonly no' "$work/log"
ok "the word is in Redis, and grows" test "$(redis-cli -p "$(port)" GET 2.0:)" -gt 1000
is "and so are the flows" "$(redis-cli -p "$(port)" --raw KEYS '0.0:*' | grep -c '^0.0:')" 4
redis=$(server)
kill -KILL "$redis"
ended
is "Redis is killed: the node ends by itself, with the code for no answer" "$code" 69
is "and one line" "$(grep -c ' redis  *one: redis 127.0.0.1:' "$work/log")" 1

write_pair "mode: async, cache: true, batch: 256"
start
ok "async with a cache" above forward '.rows[0].shared' 1000
redis=$(server)
kill -TERM "$node"
ended
is "told to end, it ends with 0" "$code" 0
is "and nothing to say against Redis" "$(grep -c ' redis  *one: redis' "$work/log")" 0
is "its server is gone" "$(kill -0 "$redis" 2>&1 | grep -c 'No such process')" 1

write_pair "address: \"127.0.0.1:1\""
start
ended
is "nobody at the address: no answer, before a packet is taken" "$code" 69
is "in one line" "$(grep -c ' error   start  *one: redis 127.0.0.1:1: .*expected a server there$' "$work/log")" 1

"$UNDERSTUDY" replay -c "$pair" "$work/in.pcap" >"$work/out" 2>&1
is "replay takes no chain like that" "$?-$(cat "$work/out")" "65-$pair: chain state is redis, replay takes local only"
