#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A fleet goes from one version of the program to another under downloads: it is installed, the agents are restarted one after the
# other, and `fleet upgrade` starts all nodes anew, one shard after the other. Each node is of the other version then, no takeover was
# without a plan, and no download is broken.
FLEET_SERVERS=3 FLEET_SHARDS=3
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
. "$root/tests/lab/fleet-load.sh"
next=$BUILD/understudy-next
[ -x "$next" ] || skip_all "no $next: make build/understudy-next"
export WEB_RATE=200000
plan 14

fleet_network && fleet_files || exit 1
install_version() { cp "$1" "$LAB_DIR/understudy.new" && mv "$LAB_DIR/understudy.new" "$LAB_DIR/understudy"; } # FILE: as a package does
install_version "$UNDERSTUDY"
UNDERSTUDY=$LAB_DIR/understudy
etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do agent_start "$s"; done
ok "all shards are PROTECTED" all_protected || exit 1
load_serve 500000 1000000 || exit 1
for n in $shards; do load_begin "$n" 24 2; done
processes() { local f p; for f in "$LAB_DIR"/units/*.pid; do p=$(cat "$f"); kill -0 "$p" 2>/dev/null && echo "$p"; done; }
versions() { # of all nodes, and how many have each
    local n s
    for n in $shards; do for s in $(said ".shards[] | select(.shard == \"$n\").members[]"); do node_says "$n" "$s" version; done; done | sort | uniq -c | xargs
}
one=$(versions)
before=$(processes)
is "six nodes run, of one version" "$(wc -w <<<"$before") $(wc -w <<<"$one")" "6 2"

install_version "$next"
for s in $servers; do
    agent_restart "$s"
    ok "another one is installed, and the agent of $s is restarted" await_fleet "[.servers[] | select(.server == \"$s\")][0].lease" true
done
is "their nodes went on" "$(processes)" "$before"
while sleep 0.05; do said .unprotected; done >"$work/unprotected" 2>/dev/null 9>&- &
watching=$!
ok "all nodes are to be started anew" fleet upgrade
anew() {
    local left=$(polls) p old
    while :; do
        old=
        for p in $before; do ! kill -0 "$p" 2>/dev/null || old+=" $p"; done
        [ -n "$old" ] || return 0
        poll || { echo "still there:$old"; fleet status; return 1; }
    done
}
ok "each was" anew
ok "and all are PROTECTED" all_protected
kill $watching
is "of its shards one at most was without protection, at any time" "$(sort -n "$work/unprotected" | tail -n 1)" 1
all_new() { [ "$(versions)" = "6 $("$next" version | awk 'NR == 1 { print $2 }')" ]; }
ok "each is of the other version" soon all_new || diag "$(versions); $(fleet status)"
load_end
is "all downloads are intact" "$(load_count intact) of 72, $(load_count broken) broken" "72 of 72, 0 broken"
is "no takeover was without a plan" "$(grep -h 'warning takeover' "$LAB_DIR"/units/*.log)" ""
[ $bad = 0 ]
