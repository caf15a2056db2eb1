#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A fleet with a real etcd and real nodes: on one server the NF takes 3 ms longer for each packet. The primary there hands over to its standby,
# which is as slow from then on as the primary was, is given up by the new primary and replaced on another server: within a minute nothing of the
# shard is on the slow server, and no connection is broken.
FLEET_SERVERS=3 FLEET_SHARDS=1 FLEET_SLOW=45 FLEET_HOLD_DOWN=1
FLEET_ON_n1="s1, s2"
. "$(dirname "$0")/lib.sh"
FLEET_MODULES=$work/straggler.so FLEET_NF="straggler: {}"
need_lab
. "$root/tests/lab/fleet.sh"
plan 11
trap 'kill "${pinging:-}" 2>/dev/null; fleet_down' EXIT

turns() { printf '%-15s\n' "$2" 1<>"$work/$1.turns"; } # SERVER TURNS: of each packet from now on
build() { gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" "$@" "$root/tests/lab/straggler.c"; }

fleet_network && fleet_files || exit 1
ok "an NF that is slow when it is told" build -shared -o "$work/straggler.so"
ok "a program that says how many turns take a microsecond" build -DCALIBRATE -o "$work/calibrate"
etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do
    turns "$s" 0
    agent_start "$s" env UNDERSTUDY_STRAGGLER="$work/$s.turns"
done
ok "the shard is PROTECTED" all_protected || exit 1
primary=$(said '.shards[0].primary') standby=$(said '.shards[0] | (.members - [.primary])[0]')
speak n1
in_space client ping -q -i 0.002 203.0.113.101 >/dev/null 2>&1 9>&- &
pinging=$!
turns "$primary" $((3000 * $("$work/calibrate")))
ok "its primary hands over to the standby" await_fleet '.shards[0].primary' "$standby"
ok "an agent says why" grep -qhE "shard n1: hand over to $standby: its primary on $primary is slow: its lanes are busy for (9[1-9]|100) % of the time, its standby's for [1-5]?[0-9] %" "$work"/agent-*.log
ok "the standby that was the primary is moved away" await_fleet ".shards[0].members | index(\"$primary\")" null
ok "and the shard is PROTECTED" all_protected
is "its primary is where it was handed over to" "$(said '.shards[0].primary')" "$standby"
ok "an agent says why it was moved" grep -qh "shard n1: re-pair with s3: its standby on $primary is slow" "$work"/agent-*.log
kill $pinging
ends_intact "the shard's connection was never broken" n1
