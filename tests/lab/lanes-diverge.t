#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A standby of four lanes whose replay leaves a record out, once: it says so, drops its state and is brought up to date
# again by the same process; nothing else happens. The digest of verify covers what lanes share.
. "$(dirname "$0")/lib.sh"
export LAB_LANES=${LAB_LANES:-4} UNDERSTUDY=$BUILD/understudy-planted UNDERSTUDY_PLANT=skip-once
export LAB_PROTECT="mode: log, verify_every_s: 0" # verify is to find it, before the pair does
export LAB_NFS="rate_limiter: { clients: inside, pps: 1000000, burst_packets: 100000, max_clients: 1000, max_flows: 20000 } },
           { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } },
           { forward: { read: true }"
need_lab
[ -x "$UNDERSTUDY" ] || skip_all "understudy-planted is not built"
plan 17

diverged() { grep -cE 'replay diverged: lane [0-9] burst [0-9]+ seq [0-9]+: .*: expected [0-9]+, got [0-9]+$' "$LAB_DIR/b.log"; }
fetched() { # DIRECTORY
    web_fetch "$work" "$1" 60 15
    is "downloads are intact" "$(web_count "$work" intact)" 60
}

ok "the pair of $LAB_LANES lanes is PROTECTED" "$lab" up || exit 1
web_files "$work" 10 4000 300000 2000000
ok "a web server behind the chain" web_serve "$work"
standby=$(field b pid)
fetched "$work/first"
is "the standby's replay diverged, once" "$(diverged)" 1
ok "the pair is PROTECTED again" is_protected
is "by the same process" "$(field b pid) $(field b state)" "$standby READY"
ok "after a fall to JOINING" grep -qE ' state +b: JOINING.*replay did not reproduce' "$LAB_DIR/b.log"
ok "the digests of all are equal" equal
fetched "$work/second"
ok "and behind more downloads" equal
is "no other divergence" "$(diverged)" 1

"$lab" down
export UNDERSTUDY_PLANT=spoil-shared
ok "another pair, whose standby has a byte of the shared arena wrong" "$lab" up
resyncs=$(field a resync.done)
soon has_compared
is "verify finds it" "$(jq .equal "$work/verify.json")" false
ok "the standby heard of it" soon grep -qE 'replay diverged: .*: digest: expected' "$LAB_DIR/b.log"
resynced() { [ "$(field a resync.done)" -gt "$resyncs" ]; } # the log's line comes before what it causes
ok "it is brought up to date" soon resynced
ok "and the pair is PROTECTED" is_protected
ok "equal then" equal
