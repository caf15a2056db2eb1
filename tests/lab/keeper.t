#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair behind an input keeper, numbered datagrams both ways through a NAT, and kills of the primary and of the standby in
# turn: each datagram arrives once, whole, and in the order of its flow. Then a handover. Then the keeper itself is killed:
# what was in it is lost, nothing comes twice, and the pair goes on as it was.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
plan 23
rate=1000

serves() { [ "$1" = k ] && ip netns pids "${LAB_PREFIX}k" || field "$1" pid; } # NODE
read_it() { cat "$LAB_DIR"/[kab].log | grep -c 'pair.key as it is now$'; }
all_read_it() { [ "$(read_it)" -ge $((before + 3)) ]; }
reload() { # KEY…, a step of docs/operating.md: what one side says with a key that the other has no more comes again
    before=$(read_it)
    printf '%s\n' "$@" >"$LAB_DIR/pair.key"
    for n in k a b; do kill -HUP "$(serves $n)" || return; done
    soon all_read_it
}

# A file on a file system whose server answers nothing, for so many seconds.
stands='import ctypes, os, sys, time
server, libc = os.open("/dev/fuse", os.O_RDWR), ctypes.CDLL(None, use_errno=True)
options = f"fd={server},rootmode=100600,user_id=0,group_id=0".encode()
if libc.mount(b"stands", sys.argv[1].encode(), b"fuse.stands", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
time.sleep(int(sys.argv[2]))'
can_stand() { is_root && : >"$work/try" && unshare -m python3 -c "$stands" "$work/try" 0 >"$work/can-stand" 2>&1; }
# The thread that reads keys opens the file (openat, 257), or asks what it is (newfstatat, 262), and has no answer.
waits_for_it() { grep -lx us-keys /proc/"$1"/task/*/comm | sed 's/comm$/syscall/' | xargs grep -qE '^(257|262) '; }
goes_on() { [ "$(keeper k released)" -gt "$1" ]; }
disk_stands() {
    local pid=$(serves k) server before code
    nsenter -t "$pid" -m python3 -c "$stands" "$LAB_DIR/pair.key" 600 >"$work/stands" 2>&1 &
    server=$!
    soon grep -q mounted "$work/stands" || return
    kill -HUP "$pid"
    soon waits_for_it "$pid" || { cat /proc/"$pid"/task/*/syscall; return 1; }
    before=$(keeper k released)
    soon goes_on $((before + 500))
    code=$?
    kill $server # and the file system has no server any more
    wait $server 2>/dev/null
    nsenter -t "$pid" -m umount -l "$LAB_DIR/pair.key"
    soon grep -q 'pair.key.*the keys stay as they were' "$LAB_DIR/k.log" || return
    return $code
}

ok "the pair is PROTECTED behind its keeper" "$lab" up || exit 1
feeds_a() { [ "$(keeper k primary)" = a ]; }
ok "the keeper feeds the primary" soon feeds_a
begin
for i in 1 2 3; do
    ok "kill $i of the primary" kill_node primary
    ok "kill $i of the standby" kill_node standby
done
ok "a handover" us drain
old=$(cat "$LAB_DIR/pair.key") new=$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')
ok "both keys are read" reload "$old" "$new"
ok "then the new one alone" reload "$new"
strangers() { echo "$(keeper k strangers) $(field a inputs.strangers) $(field b inputs.strangers)"; }
nobody_new() { local before; before=$(strangers); sleep 0.3; [ "$(strangers)" = "$before" ]; }
ok "and nobody is a stranger with it, once what was under way has come" soon nobody_new
if can_stand; then
    ok "a disk that does not answer while the key is read delays nobody" disk_stands
else
    skip "a disk that does not answer while the key is read delays nobody" "needs the machine's root and FUSE: $(tail -n 1 "$work/can-stand" 2>&1)"
fi
end
ok "enough was sent, and each arrives once, whole and in order" each_once
# Four times by this test; each takeover is a view.
is "another primary in each view behind the first, and the state was never lost" \
    "$(us keeper status -o json | jq -r --argjson view "$(field a view)" '[.takeovers >= 4, .takeovers - $view + 1, .begun, .lost, .lost_inputs, .incomplete] | join(" ")')" "true 0 1 0 0 0"
diag "$(us keeper status -o json)"

# What Prometheus reads.
counts() { us keeper status -o json | jq -c '{view, released, suppressed, lost, takeovers, begun, lost_inputs, strangers}'; }
scrape() { # at a moment when nothing passed: the chain asks its next hops now and then
    counts >"$work/k.before"
    "$lab" exec k curl -sf --max-time 60 http://127.0.0.1:9471/metrics >"$work/page" || return
    counts >"$work/k.json"
    [ -s "$work/k.json" ] && cmp "$work/k.before" "$work/k.json"
}
scrape_is_status() {
    local key value
    soon scrape || return
    while read -r key value; do
        grep -qE "^understudy_keeper_$key(_total)? $value$" "$work/page" || { echo "$key: $value, and $(grep "_$key" "$work/page")"; return 1; }
        grep -q "\`$key\`" "$root/docs/keeper.md" || { echo "$key is not in docs/keeper.md"; return 1; }
    done < <(jq -r 'to_entries[] | "\(.key) \(.value)"' "$work/k.json")
    grep -q '^understudy_keeper_feeds 1' "$work/page"
}
ok "what Prometheus reads is what status says" scrape_is_status
asked_for() { # by alerts and dashboard, of a keeper
    local metric bad=0
    for metric in $(cat "$root/docs/examples/alerts.yml" "$root/docs/examples/dashboard.json" | grep -oE 'understudy_keeper_[a-z_]+' | sort -u); do
        grep -q "^$metric [0-9]" "$work/page" || { echo "$metric is no metric of a keeper"; bad=1; }
    done
    return $bad
}
ok "and has what alerts and dashboard ask for" asked_for

view=$(field a view) primary=$([ "$(field a role)" = primary ] && echo a || echo b)
begin
ok "the keeper is killed" kill -KILL "$(ip netns pids "${LAB_PREFIX}k")"
sleep 0.5
"$lab" start k
ok "it comes back, and the pair is PROTECTED" is_protected
sleep 1
end
is "nothing is twice, reordered or altered" "$(way client server | cut -d' ' -f3-) $(way server client | cut -d' ' -f3-)" "0 0 0 0 0 0"
is "it goes on where the primary is" "$(us keeper status -o json | jq -r '[.primary, .takeovers, .begun, .lost, .view] | join(" ")')" "$primary 0 1 0 $view"
before=$(us keeper status -o json | jq .released)
ok "datagrams pass again" "$lab" exec client ping -q -c 20 -i 0.05 -W 1 203.0.113.100
diag "lost while it was away: $(way client server | cut -d' ' -f2) and $(way server client | cut -d' ' -f2); $before released"

# It may have come back on another server: the switches are told, and do not wait for a host that asks.
mac=$(ip netns exec "${LAB_PREFIX}client" ip -j neigh show dev eth0 | jq -r '[.[].lladdr // empty][0]')
kill "$(ip netns pids "${LAB_PREFIX}k")"
ip netns exec "${LAB_PREFIX}fabric" bridge fdb replace "$mac" dev client master dynamic
"$lab" start k
ok "a keeper that comes back is where the switches send the chain's packets" soon learned k
