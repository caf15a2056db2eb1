#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tricks by which a sender shows ips other bytes than a receiver reads, against a real one: without a chain each of them
# works, so they are tricks to Linux; through a pair with ips none does. tests/lab/evade.py has them.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
export LAB_RULES=$work/rules LAB_NFS='ips: { rules: firewall.rules, max_flows: 256, tcp_closed: 1 }'
echo 'drop tcp any any -> any 7200 (content:"attack"; sid:7;)' >"$work/rules"
plan 7

evade() { "$lab" exec "$1" python3 tests/lab/evade.py "${@:2}"; }

# What was read, and the names of tricks by ports, as "NAME READ", sorted. Waits for COUNT lines, and for a second more.
read_by() { # SENT READ COUNT
    soon eval "[ \$(wc -l <'$2') -ge $3 ]" >&2
    sleep 1
    join <(sort "$1") <(sort "$2") | cut -d' ' -f2- | sort
}

ok "the pair is PROTECTED" "$lab" up || exit 1
"$lab" exec server sh -c 'ip link add t0 type veth peer name t1 && ip address add 192.0.2.1/24 dev t0 && ip link set t0 up &&
    ip link set t1 up && for d in t0 t1; do ethtool -K $d tx off rx off; done' >/dev/null
evade server serve 0.0.0.0 7200 "$work/read" &
server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
ok "somebody listens" listens server tcp 7200

: >"$work/read"
evade server send t1 192.0.2.77 192.0.2.1 192.0.2.1 7200 >"$work/sent"
read_by "$work/sent" "$work/read" 17 >"$work/direct"
is "without a chain every trick works" "$(awk '$2 != "attack" {print $1}' "$work/direct")" plain
ok "there are 16 of them" [ "$(wc -l <"$work/direct")" = 17 ]

: >"$work/read"
evade client send eth0 10.0.0.77 10.0.0.1 203.0.113.100 7200 >"$work/sent"
read_by "$work/sent" "$work/read" 1 >"$work/through"
ok "through ips what is harmless comes through" grep -qx 'plain harmless' "$work/through"
is "and no trick works" "$(grep attack "$work/through")" ""
diag "$("$UNDERSTUDY" show -c "$LAB_DIR/pair.yaml" ips -o json 2>/dev/null | jq -c '.counters // empty' 2>/dev/null | head -c 900)"
is "the pair is PROTECTED" "$(is_protected && echo yes)" yes
