#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A service of IPv6 with two backends and real clients: downloads to its address through kills, each backend has some, one
# that is taken down has no more, errors find their way.
. "$(dirname "$0")/lib.sh"
need_lab
plan 19

here=2001:db8:1 there=2001:db8:2 vip=2001:db8:80::1
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, address6: $here::1/64 },
  { name: outside, side: outside, address: 203.0.113.1/24, address6: $there::1/64, mtu: 1400 }"
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 2000, unsupported: pass } },
           { monitor: { max_flows: 2000, ipv6: true } },
           { load_balancer: { vip: 192.0.2.1, vip6: \"$vip\", port: 80, clients: inside, max_flows: 2000,
                              backends: \"$there::11 [$there::12]:8080\", policy: least_connections }"

host() { # SPACE NETWORK SUFFIXES…
    local end
    "$lab" exec "$1" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=0
    for end in "${@:3}"; do ip -n "$LAB_PREFIX$1" address add "$2::$end/64" dev eth0 nodad; done
    ip -n "$LAB_PREFIX$1" -6 route add default via "$2::1"
}
in_client() { "$lab" exec client timeout 60 "$@"; }
shown() { us show load_balancer -o json | jq -c "$1"; }
backend() { shown "[.. | objects | select(.backend? == \"$1\") | .$2][0]"; } # TEXT FIELD
counter() { shown "[.. | .counters? | objects | .$1] | add"; }

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "check takes its file" us check
host client $here 100
host server $there 100 11 12
web_files "$work" 10 4000 300000 2000000 8000000 3000000
WEB_HOST="[::]" ok "a web server, at all addresses of its host" web_serve "$work"
sed -i "s/listen .*80;/& listen [::]:8080;/" "$work/nginx/nginx.conf"
ok "at port 8080, too" "$lab" exec server nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log" -s reload
listens server tcp 8080
export WEB_HOST="[$vip]"
ok "the service answers" in_client curl -gsS -o "$work/out" "http://[$vip]/0"
is "from its own address" "$(in_client curl -gsS -o /dev/null -w '%{remote_ip}' "http://[$vip]/1")" $vip
is "what nobody serves there is not translated" "$(in_client curl -gsS -m 3 -o /dev/null "http://[$vip]:81/0" 2>/dev/null; echo $?)" 7

web_fetch "$work" "$work/out.d" 100 20 &
under_way
ok "two kills in a row, in the middle of downloads" drill kill --repeat 2
wait
is "all downloads intact" "$(web_count "$work" intact)" 100
is "digests equal after each" "$(drilled '[.runs[].digests_equal] | all')" true
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
created=$(counter flows_created)
ok "flows were begun for each of them" test "$created" -ge 100
diag "flows: $created"
ok "both backends have had some" [ "$(backend "[$there::11]:0" total)" -gt 20 -a "$(backend "[$there::12]:8080" total)" -gt 20 ]

ok "one backend is down" us set load_balancer "backend.[$there::12]:8080=down"
before=$(backend "[$there::12]:8080" total)
web_fetch "$work" "$work/out.d" 20 5
is "downloads go on" "$(web_count "$work" intact)" 20
is "by the other one alone" "$(backend "[$there::12]:8080" total)" "$before"
ok "what is too big for the way is told" in_client curl -gsS -o /dev/null "http://[$vip]/3"
ok "the pair is PROTECTED again" is_protected
ok "the states are equal" eval 'us verify -o json | jq -e .equal'
