#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The primary is killed in the midst of a change of interfaces, addresses, routes and next hops, of both families, at several
# places of it: who goes on has the set before or the one after, whole, and no part of the other one; where its standby was
# READY it goes on at once, with the download that is under way. First the same change without a kill, beside traffic.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/apply-kill.sh"
need_lab
# What the primary says, and how many seconds later it dies.
moments=("the peer is checking" "the chain is being changed" "the chain is changed" "the chain is changed, 0.1"
    "the chain is changed, 0.02" "holding until the standby is ready" ": the standby is ready")
plan $((14 + 5 * ${#moments[@]}))

here=2001:db8:1 there=2001:db8:2 far4=192.0.2.10 far6=2001:db8:9::10
mkdir -p "$work"
cat >"$work/rules" <<END
allow out tcp from any to any
allow out udp from any to any
allow out icmp from any to any
allow out icmpv6
default deny
END
export LAB_RULES=$work/rules
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, address6: $here::1/64 },
  { name: outside, side: outside, address: 203.0.113.1/24, address6: $there::1/64 }"
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 2000, unsupported: pass } },
           { firewall: { rules: firewall.rules, ipv6: true, max_flows: 2000 } },
           { monitor: { max_flows: 2000, ipv6: true }"

at() { ip netns exec "$LAB_PREFIX$1" timeout 60 "${@:2}"; } # HOST COMMAND…
end_hosts() { [ ! -e "/run/netns/${LAB_PREFIX}router" ] || ip netns del "${LAB_PREFIX}router"; }
download=
release() {
    [ -z "$download" ] || kill "$download" 2>/dev/null
    end_hosts
    cleanup
}
trap release EXIT
end_hosts # of a test that was killed

# ── the two sets ──
# In the second one the outside has another number, since a VLAN stands before it, and a further address; both default routes
# lead to another router, which has a time to live of its own.
sets() {
    sed "s|^next_hops: .*|  - { to: '::/0', via: '$there::100' }\nnext_hops: [ 203.0.113.100, 10.0.0.100, '$there::100' ]|" "$pair" >"$work/first.yaml"
    sed "s|{ to: 0.0.0.0/0, via: 203.0.113.100 }|{ to: 0.0.0.0/0, via: 203.0.113.200 }|
        s|$there::100|$there::200|
        s|^next_hops: .*|next_hops: [ 203.0.113.100, 203.0.113.200, 10.0.0.100, '$there::200' ]|
        s|^  { name: outside,|  { name: guests, port: inside, vlan: 100, side: inside, address: 10.1.0.1/24 },\n&|
        s|address: 203.0.113.1/24,|& extra: [ 203.0.113.77 ],|" "$work/first.yaml" >"$work/second.yaml"
    cp "$work/first.yaml" "$pair"
}
ttl() { at client ping -n -c 1 -W 1 "$1" | grep -o 'ttl=[0-9]*'; } # ADDRESS
is_answered() { # ADDRESS, at the server
    at server ip neigh flush all
    at server ping -n -q -c 1 -W 0.3 "$1" >/dev/null
    at server ip neigh show "$1" | grep -q lladdr && echo answered || echo silent
}
# What hosts see of the chain, and what it says of itself.
seen() { # NODE
    echo "$(field "$1" 'ports | map(.port) | join(" ")'), $(ttl $far4), $(ttl $far6), 203.0.113.77 $(is_answered 203.0.113.77)"
}
declare -A whole=([first]="inside outside, ttl=63, ttl=63, 203.0.113.77 silent"
    [second]="inside guests outside, ttl=76, ttl=76, 203.0.113.77 answered")
declare -A set_of # by the chain's hash
is_whole() { # NODE SET
    [ "$(seen "$1")" = "${whole[$2]}" ] || { echo "$2: ${whole[$2]}"; echo "got: $(seen "$1")"; return 1; }
}
neighbour() { us show l3 -o json | jq -e --arg a "$1" '[.. | .addr? // empty] | index($a) != null' >/dev/null; } # ADDRESS

# ── hosts ──
host6() { # NAME NETWORK HOST
    at "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=0 &&
        ip -n "$LAB_PREFIX$1" address add "$2::$3/64" dev eth0 nodad && ip -n "$LAB_PREFIX$1" -6 route add default via "$2::1"
}
router() {
    ip netns add "${LAB_PREFIX}router" || return
    ip -n "${LAB_PREFIX}fabric" link add router type veth peer name eth0 netns "${LAB_PREFIX}router"
    ip -n "${LAB_PREFIX}fabric" link set router master br-out up
    ip netns exec "${LAB_PREFIX}fabric" ethtool -K router tx off rx off sg off tso off gso off gro off >/dev/null 2>&1
    at router ethtool -K eth0 tx off rx off sg off tso off gso off gro off >/dev/null 2>&1
    ip -n "${LAB_PREFIX}router" link set lo up
    ip -n "${LAB_PREFIX}router" link set eth0 up
    ip -n "${LAB_PREFIX}router" address add 203.0.113.200/24 dev eth0
}
"$lab" up --no-nodes || exit 1
router
host6 client $here 100
host6 server $there 100
host6 router $there 200
for h in server router; do
    ip -n "$LAB_PREFIX$h" address add $far4/32 dev lo
    ip -n "$LAB_PREFIX$h" address add $far6/128 dev lo nodad
done
at router sysctl -qw net.ipv4.ip_default_ttl=77 net.ipv6.conf.eth0.hop_limit=77 net.ipv6.conf.all.hop_limit=77
sets
web_files "$work" 12000000
fetch() { "$lab" exec client curl -q -sS --max-time 20 --limit-rate 3M -o "$work/got" http://203.0.113.100/0 2>"$work/err" & download=$!; }
ended() { # what became of the download
    local code
    wait $download
    code=$?
    download=
    [ "$(sha256sum <"$work/got" | cut -d' ' -f1)" = "$(awk 'NR == 1 { print $2 }' "$work/sums")" ]
    result="curl $code, $([ $? = 0 ] && echo whole || echo broken)"
}

# ── without a kill ──
start_both() { "$lab" start a; "$lab" start b; is_protected; }
ok "the pair is PROTECTED" start_both || exit 1
ok "a web server behind the chain" web_serve "$work"
ok "the first set is whole" soon is_whole a first
set_of[$(field a chain.hash)]=first
at client ping -6 -n -i 0.1 -c 80 -W 1 $far6 >"$work/pings" &
pinging=$!
fetch
sleep 0.5
cp "$work/second.yaml" "$pair"
us apply --dry-run >"$work/out" 2>&1
is "a dry run tells the route of IPv6" "$? $(grep -A1 '^route ::/0  changes' "$work/out" | tail -n 1 | xargs)" \
    "0 via $there::100 on outside, then via $there::200 on outside"
ok "it changes" us apply
ok "the second set is whole" soon is_whole a second
set_of[$(field a chain.hash)]=second
ok "the next hop of IPv6 is known" neighbour $there::200
wait $pinging
is "a host that pings by IPv6 meanwhile sees one router, then the other" "$(grep -o 'ttl=[0-9]*' "$work/pings" | uniq | xargs)" "ttl=63 ttl=76"
diag "$(tail -n 2 "$work/pings" | head -n 1)"
ended
is "a download beside it is whole" "$result" "curl 0, whole"
ok "digests are equal" us verify

# ── with kills ──
went_on() { [ "$(field "$1" role)" = primary ] || [ "$(field "$1" state)" = JOINING ]; } # NODE: or could not
now=second before=0 behind=0
for moment in "${moments[@]}"; do
    then=$([ $now = first ] && echo second || echo first)
    victim=$(primary)
    other=$([ "$victim" = a ] && echo b || echo a)
    pid=$(field "$victim" pid)
    cp "$work/$then.yaml" "$pair"
    rm -f "$work/killed"
    fetch
    lines=$(wc -l <"$LAB_DIR/$victim.log")
    kill_at "$victim" "$pid" "$moment" "$lines" &
    killer=$!
    us apply >"$work/out" 2>&1
    wait $killer
    [ -e "$work/killed" ] || { ok "it says \"$moment\"" false; break; }
    soon went_on "$other"
    found=${set_of[$(field "$other" chain.hash)]:-neither}
    went=$(field "$other" role)
    diag "at \"$moment\", $now to $then: $other is $went, $(field "$other" state), with the $found set"
    ok "killed at \"$moment\": the other node has one of the sets" [ "$found" != neither ]
    if [ "$went" = primary ]; then
        [ "$found" = $now ] && before=$((before + 1)) || behind=$((behind + 1))
        ok "and it is whole" soon is_whole "$other" "$found"
        ended
        is "the download goes on, and is whole" "$result" "curl 0, whole"
    else
        is "it was not READY, and its interfaces are those of one set" "$(field "$other" 'ports | map(.port) | join(" ")')" "${whole[$found]%%,*}"
        ok "nobody takes over, as long as the other one is missing" [ "$(field "$other" role)" != primary ]
        kill $download 2>/dev/null
        ended 2>/dev/null
    fi
    ok "a pair again, with the set of the file" mend "$victim" || break
    ok "whole, and digests are equal" eval 'soon is_whole "$(primary)" $then && us verify'
    now=$then
done
ok "a successor went on with the set before" [ $before -gt 0 ]
ok "one with the set after" [ $behind -gt 0 ]
is "what both read is the same" "$(field a chain.hash)" "$(field b chain.hash)"
ok "and each of the two sets has a hash of its own" [ ${#set_of[@]} = 2 ]
