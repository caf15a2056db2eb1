#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `top` in a terminal (tmux): its frame fits 80x24 and whatever the window becomes, its rates are those of the counters, q
# ends it and leaves the terminal as it was. No root: a node without protection that reads a capture again and again.
. "$(dirname "$0")/lib.sh"
command -v tmux >/dev/null || skip_all "tmux is not installed"
plan 11

need_work
screen() { tmux -L "ut-$test_name" "$@"; }
trap 'screen kill-server 2>/dev/null; [ -z "$node" ] || kill -KILL "$node" 2>/dev/null; rm -rf "$work"' EXIT
python3 "$root/tests/lab/mkpcap.py" "$work/in.pcap" 200 20 && head -c 24 "$work/in.pcap" >"$work/none.pcap"
echo "default deny in
default deny out" >"$work/firewall.rules"
# The first lets all through, the second drops all that it gets: TCP and UDP from inside.
cat >"$work/pair.yaml" <<END
chain: { name: busy, lanes: 4, nfs: [ monitor, { firewall: { rules: firewall.rules } }, forward ] }
protect: { mode: off }
nodes:
  one: { role: primary, ports: { inside: "net_pcap0,rx_pcap=in.pcap,infinite_rx=1,tx_pcap=inside.pcap", outside: "net_pcap1,rx_pcap=none.pcap,tx_pcap=outside.pcap" }, replication: "127.0.0.1:4753", control: one.sock, mbufs: 4096, memory_mb: 128 }
  two: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4754", control: two.sock }
END
pair=$work/pair.yaml
(cd "$work" && exec "$UNDERSTUDY" run -c pair.yaml -n one 2>log) & # a device is at most 127 bytes: short paths
node=$!
waits() { local left=$(polls); until "$@"; do poll || { echo "$*:"; shown; cat "$work/log"; return 1; }; done; }
shown() { screen capture-pane -p -t top; }
up() { us status -n one 2>/dev/null | grep -q SOLO; }
waits up

screen -f /dev/null new-session -d -s top -x 80 -y 24 "sh -c '\"$UNDERSTUDY\" top -c \"$pair\"; echo ended with \$?; stty -a | grep -o \" icanon\"; cat'"
# One frame, drawn down to the rates of the last NF; no lane had stood when it was asked.
rated() {
    shown >"$work/frame"
    grep -qE '^monitor +[1-9][0-9.]*[kM]? ' "$work/frame" && grep -qE '^forward +[0-9]' "$work/frame" && head -n 1 "$work/frame" | grep -q '^NOT'
}
ok "top shows rates" waits rated
all=$(cat "$work/frame")
is "it fits, the verdict first and the hint last" "$(sed -n '1s/ .*//p; $p' <<<"$all" | xargs) $(($(wc -l <<<"$all") <= 24)) $(grep -c more <<<"$all")" "NOT q to quit 1 0"
is "each lane has its line" "$(grep -cE '^one +[0-3] +live' <<<"$all")" 4
is "what the firewall gets it drops" "$(awk '$1 == "firewall" { print $2 == $3 }' <<<"$all")" 1
is "so nothing comes to the one behind it" "$(awk '$1 == "forward" { print $2, $3 }' <<<"$all")" "0 0"
screen resize-window -t top -x 50 -y 12
small() { [ "$(shown | wc -l)" = 12 ] && shown | tail -n 1 | grep -q '^q to quit' && shown | head -n 1 | grep -q '^NOT'; }
ok "in a window of 50x12 it has 12 rows, the verdict first and the hint last" waits small
left_out() { [ "$(shown | grep -cE '^\([0-9]+ more (lanes|NFs)\)')" = 2 ]; }
ok "and says what it leaves out" waits left_out
screen resize-window -t top -x 100 -y 40
whole() { [ "$(shown | grep -c more)" = 0 ] && [ "$(shown | grep -cE '^one +[0-3] +live')" = 4 ]; }
ok "in a larger one all is there again" waits whole
# In the node's place somebody who counts a million packets a second, by the clock.
kill -KILL $node
wait $node 2>/dev/null
cat >"$work/counts.py" <<'END'
import json, os, socket, sys, time
os.path.exists(sys.argv[1]) and os.unlink(sys.argv[1])
with socket.socket(socket.AF_UNIX) as here:
    here.bind(sys.argv[1])
    here.listen()
    while True:
        client, _ = here.accept()
        with client:
            client.recv(4096)
            n = int(time.monotonic() * 1e6)
            client.sendall(json.dumps({"node": "one", "role": "primary", "state": "SOLO", "view": 1, "pid": 1, "lanes": [],
                "nfs": {"steady": {"seen": n // 4}, "l3": {"l3_no_neighbour": n // 50}}, "passing": {"steady": {"packets": [n // 2, n // 2], "dropped": [0, n // 100]}}}).encode() + b"\n")
END
(cd "$work" && exec python3 counts.py one.sock) & node=$!
near() { # by half or double: the clock is read here and there
    shown | awk 'function k(t) { return t ~ /k$/ ? t + 0 : t ~ /M$/ ? t * 1000 : t / 1000 }
        function about(t, n) { return k(t) > n / 2 && k(t) < n * 2 }
        $1 == "steady" { found = about($2, 1000) && about($3, 10) && $4 == "seen" && about($5, 250) } END { exit !found }'
}
ok "rates of packets, drops and counters are those that were made" waits near
lower() {
    shown | awk 'function k(t) { return t ~ /k$/ ? t + 0 : t / 1000 }
        $1 == "l3" { found = $2 == "-" && $3 == "-" && $4 == "l3_no_neighbour" && k($5) > 10 && k($5) < 40 } END { exit !found }'
}
ok "and those of what L3 drops, in a line of its own" waits lower
screen send-keys -t top q
ended() { [ "$(shown | grep -v '^$' | tail -n 2 | xargs)" = "ended with 0 icanon" ]; }
ok "q ends it, and the terminal is as it was" waits ended
