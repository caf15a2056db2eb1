#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Behind an input keeper a route, a next hop and an address change while datagrams pass, and none is lost, comes twice or out of
# order; the successor of a primary that dies then goes on with them. What the keeper has read at its start, and knows frames by,
# is refused, by one line, and nothing has changed.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
plan 17

end_hosts() { [ ! -e "/run/netns/${LAB_PREFIX}router" ] || ip netns del "${LAB_PREFIX}router"; }
release() { end_hosts; cleanup; }
trap release EXIT
end_hosts # of a test that was killed

at() { ip netns exec "$LAB_PREFIX$1" timeout 60 "${@:2}"; } # HOST COMMAND…
is_ttl() { # TTL of what 192.0.2.10 answers: by the server, or by the other router
    local got
    got=$(at client ping -n -c 1 -W 1 192.0.2.10 | grep -o 'ttl=[0-9]*')
    [ "$got" = "ttl=$1" ] || { echo "$got"; return 1; }
}
router() {
    ip netns add "${LAB_PREFIX}router" || return
    ip -n "${LAB_PREFIX}fabric" link add router type veth peer name eth0 netns "${LAB_PREFIX}router"
    ip -n "${LAB_PREFIX}fabric" link set router master br-out up
    at fabric ethtool -K router tx off rx off sg off tso off gso off gro off >/dev/null 2>&1
    at router ethtool -K eth0 tx off rx off sg off tso off gso off gro off >/dev/null 2>&1
    ip -n "${LAB_PREFIX}router" link set lo up
    ip -n "${LAB_PREFIX}router" link set eth0 up
    ip -n "${LAB_PREFIX}router" address add 203.0.113.200/24 dev eth0
    ip -n "${LAB_PREFIX}router" route add default via 203.0.113.1
    at router sysctl -qw net.ipv4.ip_default_ttl=77
    for h in server router; do ip -n "$LAB_PREFIX$h" address add 192.0.2.10/32 dev lo; done
}
hashes() { echo "$(field a chain.hash) $(field b chain.hash)"; }
refused() { # SED: what of the file it changes is of the keeper
    sed "$1" "$work/before.yaml" >"$pair"
    cmp -s "$pair" "$work/before.yaml" && { echo "the file is as it was"; return 1; }
    if us apply >"$work/out" 2>&1; then echo "taken"; return 1; fi
    cp "$work/before.yaml" "$pair"
    [ "$(wc -l <"$work/out")" = 1 ] && grep -q 'cannot be changed while a keeper runs' "$work/out" && [ "$(hashes)" = "$had" ] ||
        { cat "$work/out"; echo "$(hashes), before: $had"; return 1; }
}

ok "the pair is PROTECTED behind its keeper" "$lab" up || exit 1
router
ok "the far host is behind the first router" soon is_ttl 63
had=$(hashes)
begin
sed -i 's/via: 203.0.113.100 }/via: 203.0.113.200 }/; s/^next_hops: \[/& 203.0.113.200,/; s|address: 203.0.113.1/24|&, extra: [ 203.0.113.77 ]|' "$pair"
ok "another route, next hop and address are applied" us apply
ok "the far host is behind the other router" soon is_ttl 76
ok "the address is answered for" at server ping -n -q -c 2 -i 0.2 -W 2 203.0.113.77
is_other() { [ "$(hashes)" != "$had" ] && [ "$(field a chain.hash)" = "$(field b chain.hash)" ] || { echo "$(hashes), before: $had"; return 1; }; }
ok "both nodes have it" is_other
ok "the primary is killed" kill_node primary
ok "the successor has the route, too" is_ttl 76
end
ok "enough was sent, and each arrives once, whole and in order" each_once

cp "$pair" "$work/before.yaml"
had=$(hashes)
ok "a further interface is refused" refused 's|^interfaces: \[|& { name: guests, port: inside, vlan: 100, side: inside, address: 10.1.0.1/24 },|'
ok "another order" refused 's|^interfaces: \[ \(.* }\), \(.*}\) \]|interfaces: [ \2, \1 ]|'
ok "a VLAN" refused 's|{ name: outside,|& port: outside, vlan: 7,|'
ok "a MAC" refused 's|{ name: outside,|& mac: "02:00:00:00:00:77",|'
ok "digests are equal" us verify

# Who starts later reads the new file.
ok "the keeper is killed" kill -KILL "$(ip netns pids "${LAB_PREFIX}k")"
"$lab" start k
ok "another one feeds the pair" await a inputs.keepers_heard 1
ok "and the far host is where it was" soon is_ttl 76
