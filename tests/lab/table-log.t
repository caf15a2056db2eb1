#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table (table.sh), of one lane's log. IPv6 beside IPv4 that is translated: what IPv6's hosts see of the chain, primaries that are
# killed, one that is back at once, handovers, a standby that is killed or stopped, a primary that hangs or whose server is lost, drills
# that are ended in the middle. And a strict pair, which holds without a standby.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/table.sh"
need_lab

# ── log, IPv6 ────────────────────────────────────────────────────────────────────────────────────

here=2001:db8:1 there=2001:db8:2
mkdir -p "$work"
cat >"$work/rules" <<END
allow out tcp from any to any
allow out udp from any to any
allow out icmp from any to any
allow out icmpv6
allow in icmpv6 to $here::/64 type 128
allow in icmpv6 to $there::/64 type 128
default deny
END
export LAB_RULES=$work/rules
export LAB_INTERFACES="{ name: inside, side: inside, address: 10.0.0.1/24, address6: $here::1/64 },
  { name: outside, side: outside, address: 203.0.113.1/24, address6: $there::1/64, mtu: 1400, extra: [ $there::7 ] }"
export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 4000, unsupported: pass } },
           { firewall: { rules: firewall.rules, ipv6: true, max_flows: 4000 } },
           { monitor: { max_flows: 4000, ipv6: true }"

host() { # SPACE NETWORK
    "$lab" exec "$1" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=0 &&
        ip -n "$LAB_PREFIX$1" address add "$2::100/64" dev eth0 nodad &&
        ip -n "$LAB_PREFIX$1" -6 route add default via "$2::1"
}
in_client() { "$lab" exec client timeout 60 "$@"; }
in_server() { "$lab" exec server timeout 60 "$@"; }
pings() { in_client ping -6 -n -c "${2:-3}" -i 0.2 -W 2 "$1"; }
mac_of() { ip -n "${LAB_PREFIX}client" -6 neigh show "$1" | sed -n 's/.* lladdr \([0-9a-f:]*\).*/\1/p'; }
neighbours() { us show l3 -o json | jq -r '[.. | .addr? // empty] | unique | map(select(contains(":"))) | join(" ")'; }

begins "log, IPv6"
ok "check takes its file" us check
host client $here
host server $there
ok "the chain's address answers" pings $here::1
ok "and its address on the other side, from there" in_server ping -6 -n -c 2 -i 0.2 -W 2 $there::1
ok "and the one that is its own besides" in_server ping -6 -n -c 2 -i 0.2 -W 2 $there::7
mac=$(mac_of $here::1)
local6=$(python3 -c 'import sys
m = [int(x, 16) for x in sys.argv[1].split(":")]
e = [m[0] ^ 2, *m[1:3], 0xff, 0xfe, *m[3:]]
print("fe80::" + ":".join("%x" % (e[i] << 8 | e[i + 1]) for i in range(0, 8, 2)))' "$mac")
ok "and its link-local one, which is made of its MAC" pings "$local6%eth0"
ok "a host gets the address" bash -c "ip -n ${LAB_PREFIX}client address add $here::1/64 dev eth0"
taken() { ip -n "${LAB_PREFIX}client" -6 address show dev eth0 dadfailed | grep -q $here::1/64; }
ok "and finds it taken" soon taken
ip -n "${LAB_PREFIX}client" address del $here::1/64 dev eth0
ok "the other side is reached" pings $there::100
is "a packet that runs out is told by the chain" \
    "$(in_client ping -6 -n -c 1 -t 1 -W 20 $there::100 | grep -o "From $here::1 icmp_seq=1 Time exceeded: Hop limit")" \
    "From $here::1 icmp_seq=1 Time exceeded: Hop limit"
is "one that is too big, too" \
    "$(in_client ping -6 -n -M do -c 1 -s 1400 -W 20 $there::100 | grep -o "From $here::1 icmp_seq=1 Packet too big: mtu=1400")" \
    "From $here::1 icmp_seq=1 Packet too big: mtu=1400"
is "and one to nowhere" \
    "$(in_client ping -6 -n -c 1 -W 20 2001:db8:77::1 | grep -o "From $here::1 icmp_seq=1 Destination unreachable: No route")" \
    "From $here::1 icmp_seq=1 Destination unreachable: No route"
# Three requests to an address that nobody has, a second apart; who sends on is told.
in_client ping -n -c 6 -i 1 -W 1 $there::55 >"$work/nobody6" &
pinging=$!
in_client ping -n -c 6 -i 1 -W 1 203.0.113.55 >"$work/nobody"
wait $pinging
ok "who does not answer on a link is unreachable, over IPv6" \
    grep -qE "From $here::1 icmp_seq=[4-6] Destination unreachable: Address unreachable" "$work/nobody6"
ok "and over IPv4, where the sender is translated" grep -qE "From 10.0.0.1 icmp_seq=[4-6] Destination Host Unreachable" "$work/nobody"
ok "the firewall lets pings in" in_server ping -6 -n -c 2 -i 0.2 -W 2 $here::100
# Where nobody listens a host refuses a connection that reaches it: 7. This one hears nothing: 28.
is "and nobody's connection" \
    "$(in_server curl -gs -m 2 -o "$work/out" "http://[$here::100]:7300/"; echo $?)" 28
is "the chain knows its neighbours" "$(neighbours | tr ' ' '\n' | grep -c '^2001:db8:[12]::100$')" 2

hosts=(203.0.113.100 "[$there::100]")
web_begins
kill_row 3
is "the chain's MAC is the same for IPv6" "$(mac_of $here::1)" "$mac"
has_ipv6() { us show firewall -o json | grep -q "$there::100"; } # each other round has
ok "the firewall has connections of IPv6" soon has_ipv6

# ── a drill's report ─────────────────────────────────────────────────────────────────────────────

# Zero on the time axis of a drill's report is the kill: the kernel, asked beside it, saw the victim end behind it.
victim=$(field "$(primary)" pid)
python3 -c 'import sys, time
exiting = 4 # of the flags in /proc/PID/stat: its memory goes for a while longer
try:
    while not int(open("/proc/%s/stat" % sys.argv[1]).read().rsplit(")", 1)[1].split()[6]) & exiting:
        time.sleep(0.001)
except (FileNotFoundError, ProcessLookupError):
    pass # this one was not run for as long as that took
print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))' "$victim" >"$work/end" &
watching=$!
begun=$(python3 -c 'import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))')
ok "another kill, with a report" drill kill --report "$work/drill.html" || kill $watching # nobody may have died
wait $watching
at=$(drilled '.runs[0].at_ns') ended=$(cat "$work/end")
ok "the run begins with the kill: behind the command, before the victim's end" [ "$begun" -lt "$at" -a "$at" -le "$ended" ]
diag "the victim's end was seen $(((ended - at) / 1000000)) ms behind the kill"
sed -n 's|^<script type="application/json" id="report">\(.*\)</script>$|\1|p' "$work/drill.html" >"$work/report.json"
is "which is the zero of its timeline: the last answer came before it, the next one after the silence" "$(jq -c \
    '.runs[0].at_ns as $at | .drawn[0] | .arrivals[0] as $probe | ($probe.silence_ms[0] * 1000) as $from | ($from + $probe.silence_ms[1] * 1000) as $to |
    [.fault, ([$probe.at[] | select(. > $from + 1 and . < $to - 1)] | length), any($probe.at[]; . < 0), any($probe.at[]; . > 0)]' "$work/report.json")" \
    '["kill",0,true,true]'
is "and its run the one that was printed" "$(jq .runs[0].at_ns "$work/report.json")" "$(drilled '.runs[0].at_ns')"
is "no death looks like a wrong key" "$(field "$(primary)" 'link.turned_away.unproven // 0') $(field "$(standby)" 'link.turned_away.unproven // 0')" "0 0"
whole "kill with a report"

# ── a primary that is back at once ───────────────────────────────────────────────────────────────

flows() { [ "$(us show -n "$1" monitor -p tcp -d 203.0.113.100:7017 --count)" = 4 ]; }
first=$(primary) second=$(standby)
ok "the prober's flows are in the chain" soon flows "$first"
view=$(field "$first" view)
pid=$(field "$first" pid)
kill -KILL "$pid"
while kill -0 "$pid" 2>/dev/null; do :; done # as a supervisor does, which waits for its child
"$lab" start "$first"
ok "the other one takes over" await "$second" role primary
whole "back at once"
is "the one that was back at once is the standby" "$(standby)" "$first"
is "one view later" "$(field "$second" view)" $((view + 1))
ok "the flows are in the chain of the new primary" flows "$second"

planned_row
standby_kill_row
first=$(primary) second=$(standby)
kill -TERM "$(field "$second" pid)"
ok "the standby is stopped: the primary is SOLO" await "$first" state SOLO
is_like "because it was told, and not because nobody answered for solo_after_ms" "$(field "$first" why)" "standby $second lost: *"
diag "$(field "$first" why)"
"$lab" start "$second"
whole "standby stopped"
hang_row
server_loss_row

# ── drills that are ended in the middle ──────────────────────────────────────────────────────────

process_state() { sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null; }

# Ends a drill once a condition holds; the victim may not stay hurt. A drill that was over before anybody looked is begun again.
end_drill() { # SIGNAL KIND CONDITION…
    local signal=$1 kind=$2 tries=0 pid=
    shift 2
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 2000 ] || { echo "$kind: nothing was hurt"; kill -KILL $pid; return 1; }
        if [ -z "$pid" ] || ! kill -0 $pid 2>/dev/null; then
            [ -z "$pid" ] || is_protected
            "$UNDERSTUDY" drill "$kind" -c "$pair" --no-probe -o json >"$work/ended.json" 2>"$work/ended.err" &
            pid=$!
        fi
        sleep 0.005
    done
    kill "-$signal" $pid
    wait $pid
    [ $? -lt 128 ] || { echo "$kind: ended by the signal"; return 1; }
}
is_stopped() { for victim in "${nodes[@]}"; do [ "$(process_state "$victim")" != T ] || return 0; done; return 1; } # whichever is primary when it begins
links_down() { for s in a b; do "$lab" exec $s ip -o link show "$s-in" | grep -q 'state DOWN' && return 0; done; return 1; }

for signal in TERM HUP; do
    nodes=("$(field a pid)" "$(field b pid)")
    ok "SIG$signal in the middle of hang" end_drill $signal hang is_stopped
    if is_stopped; then kill -CONT "$victim"; false; fi
    is "nobody is stopped, the pair is PROTECTED" "$? $(is_protected && echo yes)" "0 yes"
done
ok "SIGTERM in the middle of server-loss" end_drill TERM server-loss links_down
links_down
is "no link is down" $? 1
whole "drills ended in the middle"

# ── a standby that is stopped owes a digest ──────────────────────────────────────────────────────

# Straight to the sockets: it is to be asked while the pair is PROTECTED yet, and of the node that is standby in that moment.
python3 - "$LAB_DIR" >"$work/pending.json" <<'END'
import json, os, signal, socket, sys, time

def dial(node):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{sys.argv[1]}/{node}.sock")
    return s.makefile("rw")

def ask(file, cmd):
    file.write(json.dumps({"cmd": cmd}) + "\n")
    file.flush()
    return json.loads(file.readline())

nodes = {name: dial(name) for name in "ab"}
said = {name: ask(nodes[name], "status") for name in nodes}
standby = "b" if said["b"]["role"] == "standby" else "a"

def stands(pid): # each of its threads: they take the signal one after another, and until then one may answer
    return all(open(f"/proc/{pid}/task/{t}/stat").read().rsplit(")", 1)[1].split()[0] == "T" for t in os.listdir(f"/proc/{pid}/task"))

os.kill(said[standby]["pid"], signal.SIGSTOP)
try:
    while not stands(said[standby]["pid"]):
        time.sleep(0.0005)
    print(json.dumps(ask(nodes["a" if standby == "b" else "b"], "verify") | {"standby": standby}))
finally:
    os.kill(said[standby]["pid"], signal.SIGCONT)
END
ok "who asks for it hears that the pair is not protected" grep -q '"text": "not protected' "$work/pending.json"
diag "$(cat "$work/pending.json")"
ok "the pair is PROTECTED then" is_protected
whole "standby sleeps"
ends

# ── log, strict ──────────────────────────────────────────────────────────────────────────────────

unset LAB_INTERFACES LAB_NFS LAB_RULES
export LAB_PROTECT="mode: log, strict: true" LAB_TIMING="detect_ms: 500, promote_within_ms: 800, solo_after_ms: 900"
hosts=(203.0.113.100)
begins strict
web_begins
probes() { # of 2 s, longer than solo_after_ms: how many are answered
    "$probe" run 203.0.113.100 7007 --seconds 2 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json >"$work/probes.json"
    jq -r 'if .sent == 0 then "none sent" elif .received == 0 then "none" else "some" end' "$work/probes.json"
}
for victim in b a; do # the standby, then the primary
    other=$([ $victim = a ] && echo b || echo a)
    kill -KILL "$(field $victim pid)"
    ok "strict, $victim killed: the other one holds" await $other state DEGRADED
    is "strict, $victim killed: no probe gets through" "$(probes)" none
    is "strict, $victim killed: it stays DEGRADED" "$(field $other state)" DEGRADED
    us status >/dev/null 2>&1
    is "strict, $victim killed: status says so by its exit code" $? 1
    "$lab" start $victim
    whole "$victim killed"
done
kill_row 1
is "strict, kill: the successor goes on" "$(field "$(drilled '.runs[0].survivor')" role)" primary
ends

plan $tests
