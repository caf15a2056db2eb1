#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Alone: its nodes ask for FRR where this machine has it, /run/frr.
# A node that tracks a BGP peer and a BFD peer of FRR on its server: the role moves when the session goes, and the counter says
# why. FRR on both servers, with sessions to each other; only node a tracks.
. "$(dirname "$0")/lib.sh"
need_lab
need_root # FRR becomes a user of its own
in_space() { ip netns exec "$LAB_PREFIX$1" "${@:2}"; }
go_first() { :; }
. "$root/tests/lab/frr.sh"
[ ! -e /run/frr/bgpd.vty ] || skip_all "FRR runs here, and a node asks it"
plan 18

frr_end() {
    local pid
    for pid in "$LAB_DIR"/frr-*/*.pid; do [ ! -e "$pid" ] || kill "$(cat "$pid")" 2>/dev/null; done
    rm -f /run/frr/bgpd.vty /run/frr/bfdd.vty
}
trap 'frr_end; cleanup' EXIT
ok "a lab" "$lab" up --no-nodes || exit 1
sed -i "s|^    state: .*/a\$|&\n    track:\n      - { bgp: 10.99.0.2, weight: 20, every_ms: 1000, rise: 1, fall: 1 }\n      - { bfd: 10.99.0.2, every_ms: 1000, rise: 1, fall: 1 }|; \$a hold_down_s: 1" "$pair"
ok "the file is good" us check

frr_conf() { # AS ADDRESS PEER: AS
    cat <<END
router bgp $1
 bgp router-id $2
 no bgp ebgp-requires-policy
 neighbor $3 remote-as external
 neighbor $3 timers 1 3
 neighbor $3 timers connect 1
 neighbor $3 bfd
bfd
 peer $3
END
}
frr_conf 65001 10.99.0.1 10.99.0.2 >"$work/a.conf"
frr_conf 65002 10.99.0.2 10.99.0.1 >"$work/b.conf"
ok "FRR on a" frr_start a "$work/a.conf"
ok "FRR on b" frr_start b "$work/b.conf"
mkdir -p /run/frr && ln -s "$LAB_DIR/frr-a/bgpd.vty" "$LAB_DIR/frr-a/bfdd.vty" /run/frr/

"$lab" start a
"$lab" start b
finds() { # INDEX TEXT: what a's last look found
    local left=$(polls)
    until [ "$(field a "track[$1].found")" = "$2" ]; do
        poll || { field a track; return 1; }
    done
}
leads() { await "$1" role primary && await "$1" state PROTECTED; }
counts() { # NUMBER: in a's counter
    local left=$(polls)
    until us status 2>&1 | grep -qF " $1 (a"; do
        poll || { us status; return 1; }
    done
}
# A lab's node is root without capabilities and groups, not a user of the group frrvty.
ok "a node that may not ask FRR about BGP says so" finds 0 "vtysh: permission denied"
ok "nor about BFD" finds 1 "vtysh: permission denied"
chmod o+rw "$LAB_DIR"/frr-a/*.vty
ok "the pair is PROTECTED" is_protected
ok "the BGP session is Established" finds 0 well
ok "the BFD session is up" finds 1 well
ok "nothing is in the counter" counts 0
ok "a is primary" eval '[ "$(field a role)" = primary ] || us drain -n b'
ok "and remains it" leads a

kill "$(cat "$LAB_DIR/frr-b/bgpd.pid")"
ok "the BGP session goes, and the role with it" leads b
is "by a planned handover" "$(field b takeover.reason)" planned
ok "the counter says which" eval 'us status | grep -qF "(a: bgp 10.99.0.2: no session that is up)"'
kill "$(cat "$LAB_DIR/frr-b/bfdd.pid")"
ok "the BFD session goes too" finds 1 "no session that is up"
frr_daemon b bgpd
frr_daemon b bfdd
again() { # DAEMON
    local left=$(polls)
    until in_space b vtysh --vty_socket "$LAB_DIR/frr-b" --config_dir "$LAB_DIR/frr-b" -b -d "$1" >/dev/null 2>&1; do
        poll || return 1
    done
}
again bgpd
again bfdd
ok "both are well again" eval 'finds 0 well && finds 1 well && counts 0'
kill "$(cat "$LAB_DIR/frr-a/bgpd.pid")"
ok "FRR of its own server that does not answer counts as a session that is gone" finds 0 "exit 1"
[ $bad = 0 ]
