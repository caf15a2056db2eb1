#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A full table: 1,500 short connections of TCP pass a NAT that has room for 200, beside 20 that stay open. Each gets through,
# and those that are open go on, also after a takeover. Log, status, show and metrics say how full the table is.
. "$(dirname "$0")/lib.sh"
need_lab
command -v python3 >/dev/null || skip_all "python3 is not installed"
[ -x "$BUILD/understudy-planted" ] || skip_all "understudy-planted is not built"
plan 18

# A node that makes its state anew has no place free in any pool until that is done, for 1 s here: it says nothing of tables,
# rather than that they are full.
cat >"$work/slow.yaml" <<END
chain: { name: slow, nfs: [ nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 } ] }
protect: { mode: off }
nodes:
  one: { role: primary, ports: { inside: "net_null0,no-rx=1", outside: "net_null1,no-rx=1" }, replication: "127.0.0.1:4761", control: one.sock, mbufs: 2048, memory_mb: 128 }
  two: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4762", control: two.sock }
END
slow() { UNDERSTUDY_PLANT=slow-make "$BUILD/understudy-planted" run -c "$work/slow.yaml" -n one 2>"$work/slow.log" 9>&- & }
of_slow() { "$UNDERSTUDY" status -c "$work/slow.yaml" -n one -o json 2>/dev/null | jq -c "$1"; }
slow_is() { # JQ VALUE
    local left=$(polls)
    until [ "$(of_slow "$1")" = "$2" ]; do
        poll || { of_slow .; cat "$work/slow.log"; return 1; }
    done
}
slow
alone=$!
ok "a node that makes its state says that nothing is in its tables" slow_is '[.state, ([.tables[].entries] | add)]' '["SOLO",0]'
ok "then it does" slow_is '.tables["nat.tcp_ports"].entries' 0
kill -TERM $alone
wait $alone
is "its log has no word of a table" "$(grep ' table ' "$work/slow.log")" ""

at=127.0.0.1:9470
export LAB_NODE="mbufs: 32768, memory_mb: 512, realtime: true, metrics: $at"
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 200 } }, { monitor: { max_flows: 1000 }"
ok "the pair is PROTECTED" "$lab" up || exit 1

# Sends back what it gets, on every connection, for as long as this test runs.
"$lab" exec server python3 - <<'END' &
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.request_queue_size = 256
socketserver.ThreadingTCPServer(("203.0.113.100", 7100), Echo).serve_forever()
END
server=$!

# 20 connections that stay; N short ones in each part, one after the other. A line for each part: how many of both were
# whole. The next part begins when it is told to.
client() {
    "$lab" exec client python3 - "$work" >"$work/echoed" <<'END'
import os, socket, sys, time
at = ("203.0.113.100", 7100)
def echo(s, data):
    s.sendall(data)
    return s.recv(100) == data
def short(i):
    try:
        with socket.create_connection(at, timeout=3) as s:
            return echo(s, b"%d" % i)
    except OSError:
        return False
stay = [socket.create_connection(at, timeout=10) for i in range(20)]
for part in (1, 2):
    whole, lost = 0, 0
    for i in range(1500 if part == 1 else 300):
        whole, lost = (whole + 1, lost) if short(i) else (whole, lost + 1)
        if lost == 5: # a lost one takes 3 s
            break
    print(whole, sum(echo(s, b"stay") for s in stay), flush=True)
    open(f"{sys.argv[1]}/done{part}", "w").close()
    while not os.path.exists(f"{sys.argv[1]}/go"):
        time.sleep(0.05)
END
}
ok "the server answers" soon "$lab" exec client bash -c 'exec 3<>/dev/tcp/203.0.113.100/7100'
client &
part_done() { local left=$(polls); until [ -e "$work/done$1" ]; do poll || return 1; done; }
ok "all of it was sent" part_done 1
is "every short connection got through, and those that stay" "$(sed -n 1p "$work/echoed")" "1500 20"

# ── what is said of it ───────────────────────────────────────────────────────────────────────────

is "the table has the limit of the file" "$(field a 'tables["nat.flows"].limit')" 200
lines() { grep -c " table *a: table nat.flows: $1" "$LAB_DIR/a.log"; }
is "the log said once that it was nearly full, and once that it was full" "$(lines '80 % full: ') $(lines 'full: 200 of 200')" "1 1"
is "the standby's log does not" "$(grep -c 'table nat.flows' "$LAB_DIR/b.log")" 0
us show nat >"$work/shown"
ok "show has the table" grep -qE '^nat.flows +0 +[0-9]+ +200$' "$work/shown"
displaced=$(awk '$1 == "mappings_displaced" { print $2 }' "$work/shown")
ok "show has the counters: flows were displaced" test "$displaced" -ge 1000
is "and none found no room" "$(awk '$1 == "table_full" { print $2 }' "$work/shown")" 0
ok "status has it too" sh -c "'$UNDERSTUDY' status -c '$pair' | grep -qE '^nat.flows +[0-9]+ +200 +[0-9]+ %$'"
ok "metrics have it" sh -c "'$lab' exec a curl -s --max-time 10 http://$at/metrics | grep -qx 'understudy_table_limit{table=\"nat.flows\",lane=\"0\"} 200'"
again() { local left=$(polls); until [ "$(lines 'has room again: ')" = 1 ]; do poll || return 1; done; }
ok "closed connections go after seconds: the log says that there is room again" again

# ── and after a takeover ─────────────────────────────────────────────────────────────────────────

ok "a takeover" drill kill
touch "$work/go"
part_done 2
is "short connections and those that stay go on" "$(sed -n 2p "$work/echoed")" "300 20"
kill "$server" 2>/dev/null
wait 2>/dev/null
